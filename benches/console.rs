//! What does a shared pipe cost?
//!
//! cargo bench --bench console
//!
//! Events per second, and CPU time per event, of a process that logs JSON to its standard output, losslessly: a pipe
//! that is read as fast as possible, the same pipe as standard error too (`2>&1`), a regular file and `/dev/null`. One
//! process for each figure; medians of several rounds, interleaved.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measured")]

use std::fs::File;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::ConsoleSink;
use logweir::{Logger, Overflow, Pipeline, WhenFull, info};

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);
const CHILD: &str = "LOGWEIR_BENCH_CONSOLE";
const STREAMS: [&str; 4] = ["pipe", "pipe 2>&1", "regular file", "/dev/null"];

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    if std::env::var_os(CHILD).is_some() {
        return log();
    }
    let mut figures = STREAMS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (stream, figures) in STREAMS.into_iter().zip(&mut figures) {
            figures.push(run(stream));
        }
    }
    for (stream, figures) in STREAMS.into_iter().zip(figures) {
        let (elapsed, cpu) = figures.into_iter().unzip();
        let (elapsed, cpu) = (median(elapsed), median(cpu));
        let events = EVENTS as f64;
        println!("{stream}: {:.2} M events/s, {:.0} ns CPU per event", events / 1e6 / elapsed, cpu / events * 1e9);
    }
}

/// The child: logs to standard output, then reports the seconds and the CPU seconds in a file.
fn log() {
    let started = Instant::now();
    let logger = Logger::builder()
        .overflow(Overflow::Block(PATIENCE))
        .sink("console", Pipeline::new(ConsoleSink::stdout().format(Json::new())).when_full(WhenFull::Block))
        .start()
        .expect("starts");
    for number in 0..EVENTS {
        info!(
            logger: logger,
            "request served",
            user_id = number,
            path = "/api/v1/orders",
            status = 200_u64,
            elapsed_ms = 12.5,
        );
    }
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    let elapsed = started.elapsed().as_secs_f64();
    assert_eq!(report.sinks[0].delivered, EVENTS, "{report}");
    let text = format!("{elapsed} {}", cpu());
    std::fs::write(std::env::var_os(CHILD).expect("the parent sets it"), text).expect("the folder is there");
}

#[cfg(unix)]
fn cpu() -> f64 {
    use nix::time::{ClockId, clock_gettime};

    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the clock is there");
    Duration::from(time).as_secs_f64()
}

#[cfg(not(unix))]
fn cpu() -> f64 {
    f64::NAN
}

/// Seconds and CPU seconds of a child with this standard output.
fn run(stream: &str) -> (f64, f64) {
    let base = std::env::temp_dir().join(format!("logweir-bench-console-{}", std::process::id()));
    let (figures, lines) = (base.with_extension("figures"), base.with_extension("lines"));
    let mut child = Command::new(std::env::current_exe().expect("a program has a path"));
    child.env(CHILD, &figures);
    let mut reader = None;
    match stream {
        "regular file" => child.stdout(File::create(&lines).expect("the folder is there")),
        "/dev/null" => child.stdout(Stdio::null()),
        _ => {
            let (out, writer) = io::pipe().expect("there are descriptors left");
            reader = Some(out);
            if stream == "pipe 2>&1" {
                child.stderr(writer.try_clone().expect("there are descriptors left"));
            }
            child.stdout(writer)
        }
    };
    let mut running = child.spawn().expect("the program starts");
    drop(child);
    if let Some(mut reader) = reader {
        let mut piece = vec![0; 1 << 16];
        while reader.read(&mut piece).expect("the pipe is read") > 0 {}
    }
    if !running.wait().expect("it is a child").success() {
        eprintln!("{stream}: the child failed");
        std::process::exit(1);
    }
    let text = std::fs::read_to_string(&figures).expect("the child wrote it");
    // It exists for one of the streams only.
    std::fs::remove_file(&lines).unwrap_or_default();
    std::fs::remove_file(&figures).expect("the child made it");
    let (elapsed, cpu) = text.split_once(' ').expect("two figures");
    (elapsed.parse().expect("a number"), cpu.parse().expect("a number"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
