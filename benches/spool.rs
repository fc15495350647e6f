//! What does a spool cost, and how fast is a backlog read back?
//!
//! cargo bench --bench spool --features spool
//!
//! Four threads log as fast as they can, with room for what they log (`Overflow::Block`), to a file of JSON lines, and to a
//! sink that drops its batches: without a spool, then with one of each durability, in turns. Printed are the medians of events
//! a second, the share of the same without a spool, and the processor time of an event. Then a backlog is left by an unavailable sink, and the next logger
//! delivers it: how long its start takes, and the megabytes a second that it reads. `--backlog GIB` sets its size. Before that,
//! 1, 16 and 256 tasks wait for a confirmation of each event, in turns with bare calls of `fdatasync` after a write of 64 bytes:
//! the medians of both a second, and their ratio.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::{Durability, FileSink, NullSink};
use logweir::{
    Batch, Level, Logger, Overflow, Pipeline, Sink, SinkError, Spool, WhenFull, async_trait, info, new_event,
};

const ROUNDS: usize = 5;
const THREADS: u64 = 4;
const EVENTS: u64 = 200_000;
/// How long each measurement lasts.
const MEASURED: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(600);

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let dir = std::env::temp_dir().join(format!("logweir-bench-spool-{}", std::process::id()));
    throughput(&dir, "JSON file", || Pipeline::new(FileSink::new(dir.with_extension("json")).format(Json::new())));
    throughput(&dir, "null sink", || Pipeline::new(NullSink));
    confirmations(&dir);
    let gib = std::env::args().skip_while(|arg| arg != "--backlog").nth(1).and_then(|gib| gib.parse().ok());
    backlog(&dir, gib.unwrap_or(0.5));
    std::fs::remove_dir_all(&dir).unwrap_or_default();
    std::fs::remove_file(dir.with_extension("json")).unwrap_or_default();
}

fn throughput(dir: &Path, sink: &str, pipeline: impl Fn() -> Pipeline) {
    let interval = Durability::SyncInterval(Duration::from_millis(500));
    let modes = [
        ("without a spool", None),
        ("Buffered", Some(Durability::Buffered)),
        ("SyncInterval(500 ms)", Some(interval)),
        ("SyncEveryBatch", Some(Durability::SyncEveryBatch)),
    ];
    let mut measured = vec![Vec::new(); modes.len()];
    for _ in 0..ROUNDS {
        for (index, (_, durability)) in modes.iter().enumerate() {
            measured[index].push(run(dir, pipeline(), *durability));
        }
    }
    let median = |index: usize, of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = measured[index].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let without = median(0, |(rate, _)| *rate);
    for (index, (name, _)) in modes.iter().enumerate() {
        let (rate, cpu) = (median(index, |(rate, _)| *rate), median(index, |(_, cpu)| *cpu));
        println!(
            "{sink}, {name:<22} {rate:>10.0} events/s, {:.2} of without, {cpu:.0} ns of processor an event",
            rate / without
        );
    }
}

/// Returns the events a second, and the processor time of one in nanoseconds.
fn run(dir: &Path, pipeline: Pipeline, durability: Option<Durability>) -> (f64, f64) {
    std::fs::remove_dir_all(dir).unwrap_or_default();
    std::fs::remove_file(dir.with_extension("json")).unwrap_or_default();
    let mut pipeline = pipeline.when_full(WhenFull::Block);
    if let Some(durability) = durability {
        pipeline = pipeline.spool(Spool::new(dir).durability(durability));
    }
    let logger = Logger::builder().overflow(Overflow::Block(LONG)).sink("sink", pipeline).start().expect("starts");
    let (begun, cpu) = (Instant::now(), cpu_time());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let logger = &logger;
            scope.spawn(move || {
                for n in 0..EVENTS {
                    info!(logger: logger, "order {n} of customer {thread} was paid", n, thread, total = 12.5);
                }
            });
        }
    });
    let report = logger.shutdown_blocking(LONG).expect("outside of a runtime");
    let took = begun.elapsed();
    report.check().expect("the counters add up");
    assert_eq!(report.sinks[0].delivered, THREADS * EVENTS, "{report}");
    let events = (THREADS * EVENTS) as f64;
    (events / took.as_secs_f64(), (cpu_time() - cpu).as_nanos() as f64 / events)
}

fn confirmations(dir: &Path) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for tasks in [1, 16, 256] {
        let rates: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (bare_syncs(dir), confirmed(dir, tasks))).collect();
        let (bare, confirmed): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
        let (bare, confirmed) = (median(bare), median(confirmed));
        println!(
            "{tasks:>3} tasks: {confirmed:.0} confirmations/s, {:.1} times the {bare:.0}/s of bare fdatasync",
            confirmed / bare
        );
    }
}

/// Returns how often a second the disk has 64 bytes more.
fn bare_syncs(dir: &Path) -> f64 {
    std::fs::create_dir_all(dir).expect("a directory");
    let mut file = std::fs::File::create(dir.join("bare")).expect("a file");
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < MEASURED {
        file.write_all(&[b'x'; 64]).and_then(|()| file.sync_data()).expect("a disk");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// Returns how many events a second are confirmed, if so many tasks wait for one each.
fn confirmed(dir: &Path, tasks: usize) -> f64 {
    std::fs::remove_dir_all(dir).unwrap_or_default();
    let pipeline = Pipeline::new(NullSink).spool(Spool::new(dir));
    let logger = Logger::builder().sink("sink", pipeline).start().expect("starts");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads");
    let begun = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let logger = logger.clone();
            runtime.spawn(async move {
                let mut count = 0_u64;
                while begun.elapsed() < MEASURED {
                    let event = new_event!(Level::Info, "paid {n}", n = count, task);
                    logger.emit_confirmed(event, LONG).await.expect("confirmed");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let count: u64 = running.into_iter().map(|task| runtime.block_on(task).expect("no panic")).sum();
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    logger.shutdown_blocking(LONG).expect("outside of a runtime").check().expect("the counters add up");
    rate
}

fn backlog(dir: &Path, gib: f64) {
    std::fs::remove_dir_all(dir).unwrap_or_default();
    let spool = || Spool::new(dir).max_bytes(1 << 40).durability(Durability::Buffered);
    let bytes = (gib * (1_u64 << 30) as f64) as u64;
    let pipeline = Pipeline::new(Unavailable).when_full(WhenFull::Block).spool(spool());
    let logger = Logger::builder().overflow(Overflow::Block(LONG)).sink("sink", pipeline).start().expect("starts");
    let mut n = 0_u64;
    while n.is_multiple_of(50_000) && size(dir) < bytes || !n.is_multiple_of(50_000) {
        info!(logger: logger, "order {n} was paid", n, customer = "x".repeat(60));
        n += 1;
    }
    let left = logger.shutdown_blocking(LONG).expect("outside of a runtime").sinks[0].spooled;
    let megabytes = size(dir) as f64 / 1e6;
    let begun = Instant::now();
    let pipeline = Pipeline::new(NullSink).spool(spool());
    let logger = Logger::builder().sink("sink", pipeline).start().expect("starts");
    let started = begun.elapsed();
    let mut most_memory = 0;
    while logger.stats().sinks[0].delivered < left {
        most_memory = most_memory.max(logger.stats().sinks[0].backlog_bytes);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed() - started;
    let report = logger.shutdown_blocking(LONG).expect("outside of a runtime");
    assert_eq!((report.sinks[0].recovered, report.sinks[0].delivered), (left, left), "{report}");
    println!(
        "a backlog of {megabytes:.0} MB, {left} events: start {:.1} ms, {:.0} MB/s, at most {:.1} MB of memory",
        started.as_secs_f64() * 1e3,
        megabytes / took.as_secs_f64(),
        most_memory as f64 / 1e6,
    );
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |path: PathBuf| match path.is_dir() {
        true => size(&path),
        false => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
    };
    entries.map(|entry| of(entry.path())).sum()
}

/// The processor time of this process so far.
fn cpu_time() -> Duration {
    // `utime` and `stime`, in ticks of 10 ms on Linux; nothing elsewhere.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

struct Unavailable;

#[async_trait]
impl Sink for Unavailable {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Err(SinkError::temporary("unavailable"))
    }
}
