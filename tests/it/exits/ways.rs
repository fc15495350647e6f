//! The ways out of `main`: the example `exits`, once for each way and run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::children::{LONG, Running, folder};
use crate::support::counts;

const LINES: usize = 500;
/// The way, its exit code, and whether a last event comes after the lines.
const WAYS: [(&str, i32, bool); 16] = [
    ("return", 0, false),
    ("question", 1, false),
    ("panic", 101, false),
    ("exit", 1, true),
    ("exit-worker", 1, true),
    ("exit-thread", 1, true),
    ("call", 3, false),
    ("call-worker", 3, false),
    ("call-thread", 3, false),
    ("tokio-main", 0, false),
    ("guard", 0, false),
    ("static-guard", 0, false),
    ("thread-local", 0, false),
    ("dropped", 0, false),
    ("start-on", 1, true),
    ("call-start-on", 3, false),
];
/// The programs of the README, for each bridge that is compiled in.
const BRIDGES: [(&str, bool); 2] = [("tracing", cfg!(feature = "tracing")), ("log", cfg!(feature = "log"))];

/// The example, built with the features of this test: `cargo test --test it` alone does not build it.
fn example() -> &'static Path {
    static EXAMPLE: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--example", "exits", "--no-default-features", "--features", &features()]);
        cargo.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(target);
        let names: Vec<_> = profile.strip_prefix(target).unwrap().iter().map(|name| name.to_str().unwrap()).collect();
        match names[..] {
            [profile] => cargo.args(["--profile", profile_of(profile)]),
            [triple, profile] => cargo.args(["--target", triple, "--profile", profile_of(profile)]),
            _ => panic!("{}", test.display()),
        };
        assert!(cargo.stdin(Stdio::null()).status().unwrap().success(), "the example is built");
        profile.join("examples").join(format!("exits{}", std::env::consts::EXE_SUFFIX))
    })
}

fn profile_of(folder: &str) -> &str {
    if folder == "debug" { "dev" } else { folder }
}

fn features() -> String {
    let all = [
        ("prometheus", cfg!(feature = "prometheus")),
        ("signal", cfg!(feature = "signal")),
        ("serde", cfg!(feature = "serde")),
        ("log", cfg!(feature = "log")),
        ("tracing", cfg!(feature = "tracing")),
        ("opentelemetry", cfg!(feature = "opentelemetry")),
        ("gzip", cfg!(feature = "gzip")),
        ("pretty", cfg!(feature = "pretty")),
        ("config", cfg!(feature = "config")),
        ("testing", cfg!(feature = "testing")),
    ];
    let on: Vec<_> = all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    on.join(",")
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    file: String,
    stderr: String,
    elapsed: Duration,
}

/// Runs the example with these arguments to its end.
fn run(way: &str, arguments: &[&str], folder: &Path) -> Ended {
    let file = folder.join(format!("{way}.log"));
    fs::remove_file(&file).unwrap_or_default();
    let began = Instant::now();
    let mut command = Command::new(example());
    command.arg(way).args(arguments).arg("--file").arg(&file).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut out = running.0.stdout.take().unwrap();
    let out = thread::spawn(move || std::io::read_to_string(&mut out).unwrap());
    let (status, stderr) = running.ends();
    let elapsed = began.elapsed();
    let file = fs::read_to_string(&file).unwrap_or_default();
    Ended { code: status.code(), stdout: out.join().unwrap(), file, stderr, elapsed }
}

/// Each line is there once, in order, and the last event after them.
fn assert_whole(way: &str, place: &str, text: &str, has_last: bool) {
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), LINES + usize::from(has_last), "{way}: {place}: {:?}", lines.last());
    for (number, line) in lines[..LINES].iter().enumerate() {
        assert!(line.contains(&format!("line {number}")), "{way}: {place}: {line}");
    }
    assert!(!has_last || lines[LINES].contains("cannot go on"), "{way}: {place}: {}", lines[LINES]);
}

#[test]
fn every_way_out_of_main_leaves_each_line_in_the_file_and_on_the_console() {
    let folder = folder("ways");
    for _ in 0..counts::runs() {
        for (way, code, has_last) in WAYS {
            let ended = run(way, &[], &folder);
            assert_eq!(ended.code, Some(code), "{way}: {}", ended.stderr);
            assert_whole(way, "file", &ended.file, has_last);
            assert_whole(way, "console", &ended.stdout, has_last);
            assert!(!ended.stderr.contains("logweir: "), "{way}: {}", ended.stderr);
        }
    }
}

#[test]
fn the_programs_of_the_readme_leave_each_line_without_a_guard() {
    let folder = folder("bridges");
    for _ in 0..counts::runs() {
        for (bridge, _) in BRIDGES.into_iter().filter(|(_, on)| *on) {
            let ended = run(bridge, &[], &folder);
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{bridge}");
            assert_whole(bridge, "file", &ended.file, false);
            assert_whole(bridge, "console", &ended.stdout, false);
        }
    }
}

#[test]
fn a_sink_that_hangs_delays_every_way_out_by_the_shutdown_timeout_and_its_loss_is_one_line() {
    let folder = &folder("hanging_ways");
    example();
    for _ in 0..counts::runs().div_ceil(2) {
        // A guard has a time of its own.
        let ways: Vec<_> = WAYS.into_iter().filter(|(way, ..)| !matches!(*way, "guard" | "thread-local")).collect();
        // Each waits most of its time. All at once they could be too slow on a busy machine.
        ways.chunks(7).for_each(|ways| {
            thread::scope(|scope| {
                let run = |way: (&'static str, i32, bool)| (way, scope.spawn(move || run(way.0, &["--hang"], folder)));
                let runs: Vec<_> = ways.iter().copied().map(run).collect();
                for ((way, code, has_last), run) in runs {
                    let ended = run.join().unwrap();
                    assert_eq!(ended.code, Some(code), "{way}: {}", ended.stderr);
                    assert!(ended.elapsed < LONG / 4, "{way}: {:?}", ended.elapsed);
                    assert_whole(way, "file", &ended.file, has_last);
                    assert_whole(way, "console", &ended.stdout, has_last);
                    let reports: Vec<_> =
                        ended.stderr.lines().filter(|line| line.starts_with("logweir: exits: ")).collect();
                    let [report] = reports[..] else { panic!("{way}: {}", ended.stderr) };
                    let lost = format!("sink `hangs`: 0 events lost, {} unconfirmed", LINES + usize::from(has_last));
                    assert!(report.contains("the process exits before") && report.ends_with(&lost), "{way}: {report}");
                }
            })
        });
    }
}

#[test]
fn a_program_without_a_logger_ends_as_ever() {
    let ended = run("nothing", &[], &folder("nothing"));
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", ""));
}
