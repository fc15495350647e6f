//! What do rolling and compressing cost, to the caller and from end to end?
//!
//! cargo bench --bench rolling --features gzip
//!
//! Two million events from one thread, losslessly, as fast as they go, into one plain JSON file, into files of 16 MiB, and
//! into such files that are compressed meanwhile. The end is when a flush says that every line is in a file; how many files
//! were compressed by then is shown. Then two million more, half a million a second, with each call timed. The three ways
//! take turns, round after round, and the lines are counted in the files after each; the ratios are medians of the rounds'
//! own ratios.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::{FileSink, Rolling};
use logweir::{Logger, Overflow, Pipeline, WhenFull, info};

const EVENTS: usize = 2_000_000;
const ROUNDS: usize = 5;
/// Calls in a burst, and the time from the beginning of one to that of the next: half a million events a second.
const BURST: usize = 500;
const PERIOD: Duration = Duration::from_millis(1);
const FILE: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// What one run came to.
struct Run {
    /// Events per second from the first call until every line is in a file.
    rate: f64,
    /// Nanoseconds of a call, at half a million a second: the median and the 99th percentile.
    call: [f64; 2],
    files: usize,
    compressed: usize,
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let ways: [(&str, Option<Rolling>); 3] =
        [("plain", None), ("rolled", Some(rolling())), ("rolled, gzip", Some(rolling().gzip()))];
    let mut runs: Vec<[Run; 3]> = Vec::new();
    for _ in 0..ROUNDS {
        runs.push(ways.each_ref().map(|(_, rolling)| run(rolling.clone())));
    }
    println!(
        "{:<14} {:>12} {:>7} {:>9} {:>9} {:>7} {:>7} {:>12}",
        "file", "M events/s", "ratio", "call p50", "call p99", "ratio", "files", "compressed"
    );
    for (way, (name, _)) in ways.iter().enumerate() {
        let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(|round| value(&round[way])).collect());
        let ratio = |value: &dyn Fn(&Run) -> f64| {
            median(runs.iter().map(|round| value(&round[way]) / value(&round[0])).collect())
        };
        println!(
            "{name:<14} {:>12.2} {:>7.2} {:>6.0} ns {:>6.0} ns {:>7.2} {:>7.0} {:>12.0}",
            of(&|run| run.rate) / 1e6,
            ratio(&|run| run.rate),
            of(&|run| run.call[0]),
            of(&|run| run.call[1]),
            ratio(&|run| run.call[0]),
            of(&|run| run.files as f64),
            of(&|run| run.compressed as f64),
        );
    }
}

/// What is left to compress in the end is waited for, so that it does not go on into the next run.
fn rolling() -> Rolling {
    Rolling::by_size(FILE).close_timeout(PATIENCE)
}

fn run(rolling: Option<Rolling>) -> Run {
    let folder = std::env::temp_dir().join(format!("logweir-bench-{}", std::process::id()));
    let logger = logger(&folder, rolling.clone());
    let started = Instant::now();
    (0..EVENTS).for_each(|number| emit(&logger, number as u64));
    let flushed = logger.flush_blocking(PATIENCE).expect("outside a runtime");
    let rate = EVENTS as f64 / started.elapsed().as_secs_f64();
    assert!(flushed.complete, "{flushed:?}");
    let compressed = files(&folder, "gz");
    end(&logger, &folder);
    let files = files(&folder, "gz") + files(&folder, "json");
    std::fs::remove_dir_all(&folder).expect("the folder was made");

    let logger = self::logger(&folder, rolling);
    let mut calls = Vec::with_capacity(EVENTS);
    let started = Instant::now();
    for burst in 0..EVENTS / BURST {
        let due = started + PERIOD * burst as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for number in 0..BURST {
            let called = Instant::now();
            emit(&logger, (burst * BURST + number) as u64);
            calls.push(called.elapsed().as_nanos() as f64);
        }
    }
    end(&logger, &folder);
    std::fs::remove_dir_all(&folder).expect("the folder was made");
    calls.sort_by(f64::total_cmp);
    Run { rate, call: [calls[EVENTS / 2], calls[EVENTS * 99 / 100]], files, compressed }
}

fn logger(folder: &Path, rolling: Option<Rolling>) -> Logger {
    let file = FileSink::new(folder.join("app.json")).format(Json::new());
    let file = match rolling {
        Some(rolling) => file.rolling(rolling),
        None => file,
    };
    let pipeline = Pipeline::new(file).when_full(WhenFull::Block).timeout(PATIENCE);
    Logger::builder().overflow(Overflow::Block(PATIENCE)).sink("file", pipeline).start().expect("starts")
}

#[inline(never)]
fn emit(logger: &Logger, number: u64) {
    info!(logger: logger, "request served", user_id = number, path = "/api/v1/orders", status = 200_u64, elapsed_ms = 12.5);
}

/// Ends the logger; every event is a line in one of the files.
fn end(logger: &Logger, folder: &Path) {
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    report.check().expect("the books balance");
    assert_eq!((report.sinks[0].delivered, report.sinks[0].errors), (EVENTS as u64, 0), "{report}");
    let mut count = Command::new("sh");
    count.args(["-c", "find . -type f | sort | xargs zcat -f | wc -l"]).current_dir(folder);
    let lines = count.output().expect("there is a shell").stdout;
    assert_eq!(String::from_utf8_lossy(&lines).trim(), EVENTS.to_string(), "every event is one line");
}

fn files(folder: &Path, extension: &str) -> usize {
    let names = std::fs::read_dir(folder).expect("the sink made it").map(|entry| entry.expect("is there"));
    let is_file = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    names.filter(is_file).filter(|entry| entry.path().extension().is_some_and(|end| end == extension)).count()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
