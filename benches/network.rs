//! What does a sink that compresses for the network cost the others?
//!
//! cargo bench --bench network --features gzip
//!
//! A sink of requests compresses bodies of 1 MiB, one after another, on its own thread, while a thread logs at a fixed rate to it
//! and to a file. Every 20 ms an Error is logged; measured is the time until the file has it, in flush intervals, and the same
//! without that sink. Beside it: what was evicted or dropped.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use logweir::format::{Format, Json};
use logweir::sink::{Answer, Batching, Encoded, FileSink, Request, RequestSink};
use logweir::{Batch, Logger, Pipeline, async_trait, error, info};

const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
const RUN: Duration = Duration::from_secs(4);
/// Of a body, before it is compressed.
const BODY: usize = 1 << 20;
const EVENTS_PER_MS: u64 = 50;
const ERRORS_EVERY_MS: u64 = 20;

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let path = std::env::temp_dir().join(format!("logweir-bench-network-{}.json", std::process::id()));
    for compresses in [false, true, false, true] {
        run(&path, compresses);
    }
    std::fs::remove_file(&path).expect("the file was written");
}

fn run(path: &PathBuf, compresses: bool) {
    let (told, seen) = channel();
    let bodies = Arc::new(AtomicU64::new(0));
    let mut builder = Logger::builder()
        .flush_interval(FLUSH_INTERVAL)
        .sink("file", FileSink::new(path).format(Watched { json: Json::new(), told }));
    if compresses {
        let sink = Pipeline::new(Compressing { bodies: bodies.clone() });
        builder = builder.sink("http", sink.batching(65_536, BODY, Duration::from_millis(200)));
    }
    let logger = builder.start().expect("starts");
    let begun = *BEGUN.get_or_init(Instant::now);
    let end = Instant::now() + RUN;
    let mut milliseconds = 0_u64;
    while Instant::now() < end {
        for n in 0..EVENTS_PER_MS {
            info!(logger: logger, "order {n} of customer {milliseconds} was paid", n, milliseconds);
        }
        if milliseconds.is_multiple_of(ERRORS_EVERY_MS) {
            let at = begun.elapsed().as_micros() as u64;
            error!(logger: logger, "payment failed", at);
        }
        milliseconds += 1;
        thread::sleep(Duration::from_millis(1));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let report = runtime.block_on(logger.shutdown(Duration::from_secs(20)));
    report.check().expect("the counters add up");
    drop(logger);
    let mut times: Vec<f64> =
        seen.try_iter().map(|time: Duration| time.as_secs_f64() / FLUSH_INTERVAL.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let lost = report.evicted.total() + report.refused.total();
    let dropped: u64 = report.sinks.iter().map(|sink| sink.dropped.total()).sum();
    println!(
        "{:<26} {} events, {} bodies of 1 MiB; {} Errors reached the file after p50 {:.3}, p99 {:.3}, most {:.3} flush \
         intervals; {lost} lost in the queue, {dropped} by sinks",
        if compresses { "beside a compressing sink" } else { "alone" },
        report.emitted,
        bodies.load(Ordering::Relaxed),
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

static BEGUN: OnceLock<Instant> = OnceLock::new();

/// Reports how old an Error is when it is written.
struct Watched {
    json: Json,
    told: Sender<Duration>,
}

impl Format for Watched {
    fn format(&mut self, record: &logweir::event::Record<'_>, out: &mut Vec<u8>) {
        if let (Some(logweir::Value::U64(at)), Some(begun)) = (record.field("at"), BEGUN.get()) {
            self.told.send(begun.elapsed().saturating_sub(Duration::from_micros(at))).unwrap_or_default();
        }
        self.json.format(record, out);
    }
}

struct Compressing {
    bodies: Arc<AtomicU64>,
}

#[async_trait]
impl RequestSink for Compressing {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let mut json = Json::new();
        let mut plain = Vec::with_capacity(BODY);
        let mut events = 0;
        // As much as there is: again and again, to a full body.
        while plain.len() < BODY {
            for record in batch.iter() {
                json.format(&record, &mut plain);
            }
            events = batch.len();
        }
        plain.truncate(BODY);
        let mut gzip = GzEncoder::new(body, Compression::best());
        gzip.write_all(&plain).and_then(|()| gzip.finish()).expect("memory takes everything");
        Encoded::first(events)
    }

    async fn send(&self, _: &Request) -> Answer {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        Answer::delivered()
    }

    fn default_batching(&self) -> Batching {
        Batching::new(65_536, BODY, Duration::from_millis(200))
    }
}
