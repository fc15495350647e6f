//! The memory of the process, with a sink that hangs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use logweir::format::{Format, Json};
use logweir::sink::{Answer, Encoded, Request, RequestSink};
use logweir::{Batch, DropReason, Level, Logger, Pipeline, Sink, SinkError, WhenFull, async_trait, info};

use crate::children::{ROLE, Running, child_of};
use crate::support::{NEVER, PATIENCE};

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 64 * MIB;
/// For the process itself, its threads and what the allocator keeps.
const BESIDE: u64 = 32 * MIB;

#[test]
fn with_a_hung_sink_the_process_stays_within_the_budget_whatever_the_batches_and_the_enrichment() {
    for batch in [1, 8, 1024] {
        for enrichment in [0, 8, 8192] {
            let role = format!("{batch} {enrichment} sink");
            let mut child = Running::start(child_of("limits::resident::the_child", &role).stdout(Stdio::null()));
            let (status, text) = child.ends();
            assert!(status.success(), "batches of {batch}, enrichment of {enrichment}: {status}: {text}");
            let grown = text.lines().find_map(|line| line.strip_prefix("grown ")).unwrap().parse::<u64>().unwrap();
            assert!(grown < BUDGET + BESIDE, "batches of {batch}, enrichment of {enrichment}: {} MiB", grown / MIB);
        }
    }
}

/// A body has the enrichment once for each event.
#[test]
fn with_a_hung_sink_of_requests_the_process_stays_within_the_budget_at_its_peak_too() {
    for (batch, enrichment) in [(1, 8), (1024, 0), (1024, 8192), (1024, 256 << 10)] {
        let role = format!("{batch} {enrichment} requests");
        let mut child = Running::start(child_of("limits::resident::the_child", &role).stdout(Stdio::null()));
        let (status, text) = child.ends();
        assert!(status.success(), "batches of {batch}, enrichment of {enrichment}: {status}: {text}");
        let peak = text.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse::<u64>().unwrap();
        assert!(peak < BUDGET + BESIDE, "batches of {batch}, enrichment of {enrichment}: {} MiB", peak / MIB);
    }
}

struct Hangs;

#[async_trait]
impl RequestSink for Hangs {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let mut json = Json::new();
        batch.iter().for_each(|record| json.format(&record, body));
        Encoded::all(batch)
    }

    async fn send(&self, _: &Request) -> Answer {
        std::future::pending().await
    }
}

struct HangingSink;

#[async_trait]
impl Sink for HangingSink {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

fn resident(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|status| status.strip_prefix(line)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
#[allow(clippy::print_stderr, reason = "a child tells its parent")]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let [batch, enrichment, kind] = role.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (batch, enrichment): (usize, usize) = (batch.parse().unwrap(), enrichment.parse().unwrap());
    let before = resident("VmRSS:");
    let pipeline = if kind == "sink" { Pipeline::new(HangingSink) } else { Pipeline::new(Hangs) };
    let mut builder = Logger::builder()
        .memory_limit(BUDGET as usize)
        .batch_size(batch)
        .flush_at(Level::Trace)
        .sink("hangs", pipeline.timeout(NEVER).when_full(WhenFull::DropOldest));
    if enrichment > 0 {
        let mut number = 0_u64;
        builder = builder.enrich_with("load", move || {
            number += 1;
            format!("{number}{}", "x".repeat(enrichment))
        });
    }
    let logger = builder.start().unwrap();
    let since = Instant::now();
    // Until the backlog is full, and for a while after that.
    let mut rounds_full = 0;
    while rounds_full < 20 {
        // One dispatch for each, where a batch is one event.
        for number in 0..if batch == 1 { 1 } else { 2000_u64 } {
            info!(logger: logger, "request served", number);
        }
        if batch == 1 && enrichment > 0 {
            while logger.stats().queued > 0 {
                std::thread::yield_now();
            }
        }
        let stats = logger.stats();
        rounds_full += u32::from(stats.sinks[0].dropped.get(DropReason::BacklogFull) > 0);
        assert!(since.elapsed() < PATIENCE, "not full: {stats:?}");
    }
    eprintln!("grown {}", resident("VmRSS:").saturating_sub(before));
    eprintln!("peak {}", resident("VmHWM:").saturating_sub(before));
    drop(logger.shutdown_blocking(Duration::ZERO));
    std::process::exit(0);
}
