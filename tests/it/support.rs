//! What the tests of the journey share: sinks that keep what they are given, and checks of the books against them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod answer;
mod counters;
pub(crate) mod counts;
mod probe;
mod scripted_requests;
mod scripted_sink;

pub(crate) use answer::Answer;
pub(crate) use counters::{OrderSink, Told};
pub(crate) use counts::{cases, count};
pub(crate) use probe::{Probe, Slow};
pub(crate) use scripted_requests::{Reply, ScriptedRequests};
pub(crate) use scripted_sink::{ScriptedSink, Seen};

use std::sync::Arc;
use std::time::Duration;

use logweir::stats::SinkStats;
use logweir::{Batch, Breaker, Builder, Event, Level, Logger, Pipeline, Retry, ShutdownReport, Stats};

/// For what should be there at once: long enough for a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A flush interval that no test lives to see.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// A logger's first knobs for a test: one lane, everything passes, no interval and no urgent level flush it.
pub(crate) fn builder() -> Builder<'static> {
    let quiet = Logger::builder().lanes(1).level(Level::Trace).flush_interval(NEVER);
    quiet.flush_at(logweir::LevelFilter::Off).on_error(|_| {})
}

/// A pipeline that tries once and asks every time, so that each write is one event's whole story.
pub(crate) fn once(sink: impl Into<Pipeline>) -> Pipeline {
    sink.into().retry(Retry::never()).breaker(Breaker::never())
}

/// An event whose message is a number.
pub(crate) fn number(number: u64) -> Event {
    Event::new(Level::Info, "t", &number.to_string())
}

/// An event with so many bytes of text, which leave the event for the heap.
pub(crate) fn heavy(message: u64, bytes: usize) -> Event {
    number(message).with("text", "x".repeat(bytes))
}

pub(crate) fn emit_numbers(logger: &Logger, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|n| logger.emit(number(n)));
}

/// Whether this is a notice of the pipeline's own, which is in no book.
pub(crate) fn is_notice(batch: &Batch) -> bool {
    batch.iter().all(|record| record.target() == "logweir")
}

/// Lets the tasks of this runtime run until all of them wait. For a current-thread runtime with a paused clock, which
/// goes on only when nothing else can.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The books add up, and `delivered` is what each sink itself saw: never a remainder.
pub(crate) fn balance(report: &ShutdownReport, seen: &[(&str, u64)]) {
    report.check().unwrap();
    compare(&report.sinks, seen);
}

/// As [`balance`], at any moment.
pub(crate) fn balance_stats(stats: &Stats, seen: &[(&str, u64)]) {
    stats.check().unwrap();
    compare(&stats.sinks, seen);
}

fn compare(sinks: &[SinkStats], seen: &[(&str, u64)]) {
    let booked: Vec<_> = sinks.iter().map(|sink| (sink.name.as_str(), sink.delivered)).collect();
    assert_eq!(booked, seen, "delivered by the books, and as the sinks saw it");
}

/// Waits until the first sink's counters are so.
#[track_caller]
pub(crate) fn until<'a>(logger: &'a Logger, is_so: impl Fn(&SinkStats) -> bool + 'a) -> impl Future<Output = ()> + 'a {
    let (caller, began) = (std::panic::Location::caller(), std::time::Instant::now());
    async move {
        while !is_so(&logger.stats().sinks[0]) {
            assert!(began.elapsed() < PATIENCE, "{caller}: {}", logger.stats().sinks[0]);
            tokio::task::yield_now().await;
        }
    }
}

/// Shuts down with all the time in the world and balances both books. In an `Arc`, because few look at it again.
pub(crate) async fn end(logger: &Logger, sinks: &[(&str, &ScriptedSink)]) -> Arc<ShutdownReport> {
    let report = logger.shutdown(PATIENCE).await;
    let seen: Vec<_> = sinks.iter().map(|(name, sink)| (*name, sink.seen())).collect();
    balance(&report, &seen);
    assert!(!report.timed_out, "{report}");
    let stats = logger.stats();
    balance_stats(&stats, &seen);
    assert_eq!(stats.queued, 0, "{stats:?}");
    Arc::new(report)
}

/// Starts on this test's runtime and lets the first tick pass: from here on nothing is handed out unasked.
pub(crate) async fn start(builder: Builder<'_>) -> Logger {
    let logger = builder.start_on(&tokio::runtime::Handle::current()).unwrap();
    settle().await;
    logger
}
