//! The memory budget, as the operating system sees it: a process of its own, with a sink that hangs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![expect(clippy::print_stdout, reason = "a child tells its parent")]

use std::process::Command;
use std::time::Duration;

use logweir::sink::NullSink;
use logweir::{Batch, DropReason, Logger, Overflow, Pipeline, Sink, SinkError, WhenFull, async_trait, info};

const ROLE: &str = "LOGWEIR_TEST_RESIDENT";
const BUDGET: usize = 64 << 20;
/// What a process has beside its logger: its program, its threads' stacks, what the allocator keeps.
const SLACK: usize = 32 << 20;
const EVENTS: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Its first write never answers.
struct Hangs;

#[async_trait]
impl Sink for Hangs {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

#[test]
fn with_a_sink_hung_for_a_million_events_the_process_stays_within_its_budget() {
    if std::env::var_os(ROLE).is_some() {
        return child();
    }
    let test = "with_a_sink_hung_for_a_million_events_the_process_stays_within_its_budget";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "child")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    let peak =
        said.lines().find_map(|line| line.strip_prefix("peak ")?.parse::<usize>().ok()).expect("it says its peak");
    assert!(peak <= BUDGET + SLACK, "{peak} bytes with a budget of {BUDGET}");
}

fn child() {
    let logger = Logger::builder()
        .memory_limit(BUDGET)
        .overflow(Overflow::Block(PATIENCE))
        .sink("hangs", Pipeline::new(Hangs).timeout(2 * PATIENCE))
        .sink("healthy", Pipeline::new(NullSink).when_full(WhenFull::Block))
        .start()
        .unwrap();
    let padding = "x".repeat(1024);
    (0..EVENTS).for_each(|number| info!(logger: logger, "event", number, padding = padding.as_str()));
    let report = logger.shutdown_blocking(Duration::from_secs(1)).unwrap();
    report.check().unwrap();
    let (hangs, healthy) = (report.sink("hangs").unwrap(), report.sink("healthy").unwrap());
    assert_eq!((healthy.routed, healthy.delivered), (EVENTS, EVENTS), "{report}");
    assert_eq!(hangs.dropped.total() + hangs.unconfirmed, EVENTS, "{report}");
    assert!(hangs.dropped.get(DropReason::BacklogFull) > EVENTS / 2, "{report}");
    println!("\npeak {}", peak());
}

/// The most memory this process has had resident, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}
