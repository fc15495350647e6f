//! cargo run --release --example log_kv --features log [-- RECORDS [FILE]]
//!
//! A program that knows only the `log` crate, under load: four threads log records with key-values, a million in all by
//! default, through `install_log` into a JSON file, losslessly. Its lines are then counted and held against the report.
//! The filter is the environment's: `RUST_LOG=warn` leaves one record in a hundred.

#![expect(clippy::print_stdout, reason = "the report is for the terminal")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::FileSink;
use logweir::{Logger, Overflow, Pipeline, WhenFull};

const THREADS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records = arguments.next().map_or(Ok(1_000_000), |records| records.parse::<u64>())?;
    let path = arguments.next().map_or_else(|| std::env::temp_dir().join("logweir-log_kv.json"), PathBuf::from);
    // The sink appends; the lines are to be those of this run.
    File::create(&path)?;

    // These lines are all that a program changes.
    let file = Pipeline::new(FileSink::new(&path).format(Json::new())).when_full(WhenFull::Block);
    let logger = Logger::builder()
        .name("log_kv")
        .filter_from_env()
        .overflow(Overflow::Block(PATIENCE))
        .sink("file", file)
        .start()?;
    logger.install_log()?;

    let since = Instant::now();
    thread::scope(|scope| {
        (0..THREADS).for_each(|worker| {
            scope.spawn(move || shop::serve(worker, records / THREADS));
        });
    });
    log::logger().flush();
    let report = logger.shutdown_blocking(PATIENCE)?;
    let elapsed = since.elapsed();

    println!("{report}");
    report.check()?;
    let lines = BufReader::new(File::open(&path)?).lines().count() as u64;
    let per_second = report.emitted as f64 / elapsed.as_secs_f64() / 1e6;
    println!("{} records in {elapsed:.2?}: {per_second:.2} M/s; {lines} lines in {}", report.emitted, path.display());
    let delivered = report.sink("file").map_or(0, |sink| sink.delivered + sink.notices);
    if lines != delivered || report.sinks.iter().any(|sink| sink.delivered != report.emitted) {
        return Err(format!("{lines} lines for {delivered} that are delivered, of {} records", report.emitted).into());
    }
    Ok(())
}

/// What might be somebody else's crate.
mod shop {
    pub(crate) fn serve(worker: u64, requests: u64) {
        for request in 0..requests {
            let took_ms = request as f64 / 7.0;
            match request % 100 {
                99 => log::warn!(worker, request, took_ms, cached = false; "request {request} was slow"),
                _ => log::info!(worker, request, took_ms, path = "/api/v1/orders"; "served"),
            }
        }
    }
}
