//! How fast do events reach a file, and how long does the end take?
//!
//! cargo bench --bench throughput
//!
//! Events per second from two threads to a JSON file and to a null sink, losslessly (`Block` and `Wait`), with the lines
//! counted; then the time to shut down with 100,000 events in the queue. Medians of several rounds, interleaved.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::{FileSink, NullSink};
use logweir::{LevelFilter, Logger, Overflow, Pipeline, Sink, WhenFull, info};

const EVENTS: u64 = 1_000_000;
const THREADS: u64 = 2;
const QUEUED: u64 = 100_000;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("logweir-bench-{}", std::process::id()));
    let path = folder.join("throughput.json");
    let (mut file, mut null, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        file.push(sustained(FileSink::new(&path).format(Json::new())));
        assert_eq!(lines(&path), EVENTS, "every event is one line");
        std::fs::remove_dir_all(&folder).expect("the folder was made");
        null.push(sustained(NullSink));
        ends.push(shutdown());
    }
    println!("to a JSON file: {:.2} M events/s, {EVENTS} lines of {EVENTS}", EVENTS as f64 / 1e6 / median(file));
    println!("to a null sink: {:.2} M events/s", EVENTS as f64 / 1e6 / median(null));
    println!("shutdown with {QUEUED} queued to a null sink: {:.1} ms", median(ends) * 1e3);
}

/// Seconds from the first event to the end of the shutdown.
fn sustained(sink: impl Sink) -> f64 {
    let logger = Logger::builder()
        .overflow(Overflow::Block(PATIENCE))
        .sink("sink", Pipeline::new(sink).when_full(WhenFull::Block))
        .start()
        .expect("starts");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EVENTS / THREADS).for_each(|number| emit(&logger, number)));
        }
    });
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    let elapsed = started.elapsed();
    report.check().expect("the books balance");
    assert_eq!(report.sinks[0].delivered, EVENTS, "{report}");
    elapsed.as_secs_f64()
}

/// Seconds for a shutdown with everything still in the queue.
fn shutdown() -> f64 {
    let logger = Logger::builder()
        .lanes(1)
        .queue_capacity(QUEUED as usize * 2 + 2)
        .memory_limit(256 << 20)
        .flush_interval(Duration::from_secs(60))
        .flush_at(LevelFilter::Off)
        .sink("null", NullSink)
        .start()
        .expect("starts");
    (0..QUEUED).for_each(|number| emit(&logger, number));
    let queued = logger.stats().queued;
    let started = Instant::now();
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    let elapsed = started.elapsed();
    assert_eq!((queued, report.sinks[0].delivered), (QUEUED, QUEUED), "{report}");
    elapsed.as_secs_f64()
}

fn emit(logger: &Logger, number: u64) {
    info!(
        logger: logger,
        "request served",
        user_id = number,
        path = "/api/v1/orders",
        status = 200_u64,
        elapsed_ms = 12.5,
    );
}

fn lines(path: &Path) -> u64 {
    let file = std::fs::File::open(path).expect("the sink made it");
    BufReader::new(file).lines().inspect(|line| assert!(line.is_ok(), "not UTF-8")).count() as u64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
