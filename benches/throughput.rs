//! How fast do events reach a file, and how long does the end take?
//!
//! cargo bench --bench throughput
//!
//! Events per second to a null sink, as JSON to `/dev/null` (Unix) and to a file, losslessly (`Block` twice), with the lines
//! counted; then the time to shut down with 100,000 events in the queue. Medians of several rounds, interleaved. Beside
//! them, the allocations of the whole process per event.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::{FileSink, NullSink};
use logweir::{LevelFilter, Logger, Overflow, Pipeline, Sink, WhenFull, info};

const EVENTS: u64 = 1_000_000;
const QUEUED: u64 = 100_000;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what is allocated.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's.
#[expect(unsafe_code, reason = "an allocator has no other form")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of each round of one case.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    allocations: Vec<f64>,
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("logweir-bench-{}", std::process::id()));
    let path = folder.join("throughput.json");
    let cases = [
        "to a null sink, 1 thread",
        "to a null sink, 2 threads",
        "as JSON to /dev/null, 1 thread",
        "to a JSON file, 2 threads",
    ];
    let mut figures = cases.map(|_| Figures::default());
    let mut ends = Vec::new();
    for _ in 0..ROUNDS {
        let [one, two, device, file] = &mut figures;
        one.add(NullSink, 1);
        two.add(NullSink, 2);
        if cfg!(unix) {
            device.add(FileSink::new("/dev/null").format(Json::new()), 1);
        }
        file.add(FileSink::new(&path).format(Json::new()), 2);
        assert_eq!(lines(&path), EVENTS, "every event is one line");
        std::fs::remove_dir_all(&folder).expect("the folder was made");
        ends.push(shutdown());
    }
    for (case, Figures { seconds, allocations }) in cases.iter().zip(figures).filter(|(_, of)| !of.seconds.is_empty()) {
        let rate = EVENTS as f64 / 1e6 / median(seconds);
        println!("{case:<32} {rate:.2} M events/s   {:.4} allocations per event", median(allocations));
    }
    println!("shutdown with {QUEUED} queued to a null sink: {:.1} ms", median(ends) * 1e3);
}

impl Figures {
    /// One round: from the first event to the end of the shutdown.
    fn add(&mut self, sink: impl Sink, threads: u64) {
        let logger = Logger::builder()
            .overflow(Overflow::Block(PATIENCE))
            .sink("sink", Pipeline::new(sink).when_full(WhenFull::Block))
            .start()
            .expect("starts");
        let (started, before) = (Instant::now(), ALLOCATIONS.load(Ordering::Relaxed));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..EVENTS / threads).for_each(|number| emit(&logger, number)));
            }
        });
        let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
        self.seconds.push(started.elapsed().as_secs_f64());
        self.allocations.push((ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / EVENTS as f64);
        report.check().expect("the books balance");
        assert_eq!(report.sinks[0].delivered, EVENTS, "{report}");
    }
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
