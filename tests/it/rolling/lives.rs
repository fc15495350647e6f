//! Processes that start, write, roll, drain, end and are killed at any moment, all with one path.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use logweir::Sink;
use logweir::sink::{FileSink, Rolling};
use nix::time::{ClockId, clock_gettime};

use super::{PATIENCE, all_lines, batch, folder, names};
use crate::children::{FILE, Plain, ROLE, Running, child_of};
use crate::support::count;

const LIVES_AT_ONCE: usize = 3;
const LARGEST_BATCH: usize = 20;
/// Times of files are those of the kernel's ticks.
const TICK: u64 = 20_000_000;
const KEPT: usize = 6;

/// Nanoseconds by the clock that all processes share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// How the files of a round are kept.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    All,
    Compressed,
    Newest,
}

impl Kind {
    fn rolling(self) -> Rolling {
        let rolling = Rolling::by_size(700).close_timeout(PATIENCE);
        match self {
            #[cfg(feature = "gzip")]
            Kind::Compressed => rolling.gzip(),
            Kind::Newest => rolling.keep_files(KEPT),
            _ => rolling,
        }
    }
}

/// A life: lines in batches, each of which it says was delivered, and an end of its own, if it is not killed.
async fn live(path: &Path, kind: Kind, life: u64, lines: usize) {
    let mut rng = Rng::with_seed(life);
    let mut said = OpenOptions::new().create(true).append(true).open(path.with_extension("said")).unwrap();
    let mut sink = FileSink::new(path).format(Plain).rolling(kind.rolling());
    sink.open().unwrap();
    let mut number = 0;
    while number < lines {
        let end = lines.min(number + rng.usize(1..=LARGEST_BATCH));
        let start = now();
        sink.write(&batch((number..end).map(|number| format!("{life} {number} end")))).await.unwrap();
        let text: String = (number..end).map(|number| format!("{life} {number} {start} {}\n", now())).collect();
        said.write_all(text.as_bytes()).unwrap();
        number = end;
        if rng.u8(..8) == 0 {
            // A process that has less to do.
            thread::sleep(Duration::from_millis(rng.u64(1..8)));
        }
    }
    if rng.u8(..4) > 0 {
        sink.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_child() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(FILE)) else { return };
    let (kind, life) = role.split_once(' ').unwrap();
    let kind = match kind {
        "all" => Kind::All,
        "compressed" => Kind::Compressed,
        _ => Kind::Newest,
    };
    live(Path::new(&path), kind, life.parse().unwrap(), 400).await;
    std::process::exit(0);
}

/// Lets processes live, some at a time, some until they are killed. Returns how many were killed.
fn let_live(path: &Path, role: &str, lives: u32, until: Instant, rng: &mut Rng) -> usize {
    let mut running: Vec<(Running, Option<Instant>)> = Vec::new();
    let (mut started, mut killed) = (0, 0);
    while started < lives && Instant::now() < until || !running.is_empty() {
        if running.len() < LIVES_AT_ONCE && started < lives && Instant::now() < until {
            let mut child = child_of("rolling::lives::the_child", &format!("{role} {started}"));
            let kill = rng.bool().then(|| Instant::now() + Duration::from_millis(rng.u64(5..150)));
            running.push((Running::start(child.env(FILE, path)), kill));
            started += 1;
        }
        running.retain_mut(|(child, kill)| {
            if let Some(status) = child.0.try_wait().unwrap() {
                assert!(status.success() || status.code().is_none(), "{status}");
                killed += usize::from(status.code().is_none());
                return false;
            }
            if kill.is_some_and(|kill| Instant::now() >= kill) {
                child.0.kill().unwrap();
            }
            true
        });
        thread::sleep(Duration::from_millis(2));
    }
    killed
}

/// What a life reported of a line: when its write began and when it was delivered.
type Said = HashMap<(u64, u64), (u64, u64)>;

fn read_said(path: &Path) -> Said {
    let text = fs::read_to_string(path.with_extension("said")).unwrap();
    // The last line of a process that was killed may be torn; another one's follows on it.
    let parse = |line: &str| {
        let numbers: Vec<u64> = line.split(' ').map_while(|number| number.parse().ok()).collect();
        let &[life, number, start, end] = &numbers[..] else { return None };
        Some(((life, number), (start, end)))
    };
    text.lines().filter_map(parse).collect()
}

/// Checks what must hold of the files, and returns the lines that are there, in order.
fn check(folder: &Path, said: &Said, killed: usize) -> Vec<(u64, u64)> {
    let lines = all_lines(folder);
    assert!(lines.iter().all(|line| !line.is_empty()), "no blank line");
    let parse = |line: &String| {
        let (life, number) = line.strip_suffix(" end")?.split_once(' ')?;
        Some((life.parse::<u64>().ok()?, number.parse::<u64>().ok()?))
    };
    let whole: Vec<_> = lines.iter().filter_map(parse).collect();
    assert!(lines.len() - whole.len() <= killed, "only who was killed leaves a part of a line");
    let mut lives: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for &(life, number) in &whole {
        lives.entry(life).or_default().push(number);
    }
    for (life, numbers) in &lives {
        assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "life {life}: {numbers:?}");
    }
    let unsaid = whole.iter().filter(|line| !said.contains_key(line)).count();
    assert!(
        unsaid <= killed * LARGEST_BATCH,
        "{unsaid} lines without a report of their delivery, {killed} processes killed"
    );
    let hidden = names(folder).into_iter().filter(|name| name.starts_with('.')).collect::<Vec<_>>();
    assert!(hidden.is_empty(), "{hidden:?}");
    whole
}

/// One round; returns after a last life, which ends what the others have left undone.
fn round(name: &str, kind: Kind, lives: u32, until: Instant, seed: u64) {
    println!("{name}: seed {seed}");
    let folder = folder(&format!("lives-{name}"));
    let logs = folder.join("logs");
    let path = logs.join("app.log");
    fs::create_dir(&logs).unwrap();
    let said = folder.join("app");
    File::create(said.with_extension("said")).unwrap();
    // Beside the files, not among them.
    std::os::unix::fs::symlink(said.with_extension("said"), path.with_extension("said")).unwrap();
    let killed = let_live(&path, name, lives, until, &mut Rng::with_seed(seed));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ends = |life: u64| runtime.block_on(live(&path, kind, life, 400));
    ends(1_000_003);
    fs::remove_file(path.with_extension("said")).unwrap();
    let known = read_said(&said);
    let there = check(&logs, &known, killed);
    if kind == Kind::Newest {
        // The earliest moment at which a line that stays was delivered.
        let oldest = there.iter().filter_map(|line| known.get(line)).map(|(_, end)| *end).min().unwrap();
        let lost = known.iter().find(|(line, (start, _))| *start > oldest + TICK && !there.contains(line));
        assert_eq!(lost, None, "no line goes while an older one stays");
        return;
    }
    let mut missing: Vec<_> = known.keys().filter(|line| !there.contains(line)).collect();
    missing.sort();
    assert!(missing.is_empty(), "{missing:?}");
}

const NO_END: Duration = Duration::from_secs(3600);

#[test]
fn whatever_processes_do_at_once_every_delivered_line_is_there_once() {
    let (lives, seed) = (count("LOGWEIR_TEST_LIVES", 12), fastrand::u64(..));
    for (name, kind) in [("all", Kind::All), ("compressed", Kind::Compressed), ("newest", Kind::Newest)] {
        round(name, kind, lives, Instant::now() + NO_END, seed);
    }
}

#[test]
fn for_a_given_time_processes_that_are_killed_lose_nothing_but_their_last_batch() {
    let time = Duration::from_secs(count("LOGWEIR_TEST_SECONDS", 2).into());
    round("timed", Kind::Newest, u32::MAX, Instant::now() + time, fastrand::u64(..));
}

#[test]
fn limits_hold_again_when_those_who_shared_the_files_have_ended() {
    let folder = folder("lives-limits");
    let path: PathBuf = folder.join("app.log");
    let killed = let_live(&path, "newest", 6, Instant::now() + NO_END, &mut Rng::with_seed(7));
    println!("{killed} killed");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut sink = FileSink::new(&path).format(Plain).rolling(Kind::Newest.rolling());
        sink.open().unwrap();
        super::write(&mut sink, 0..3000).await;
        sink.close().await.unwrap();
    });
    fs::remove_file(path.with_extension("said")).unwrap();
    assert_eq!(names(&folder).len(), KEPT);
}
