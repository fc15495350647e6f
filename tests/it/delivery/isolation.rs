//! No sink keeps the others from their events: whatever it does without awaiting, however it ends, whatever it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logweir::{Batch, DropReason, Level, LevelFilter, Overflow, Pipeline, Sink, SinkError, WhenFull, async_trait};
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::sync::Notify;

use crate::support::{Answer, NEVER, PATIENCE, ScriptedSink, balance, builder, emit_numbers, number, settle, start};

use super::{SECOND, one_by_one};

/// A recorder whose histogram for one sink panics: the task of that sink ends.
struct EndsTheTask;

struct Panics;

impl HistogramFn for Panics {
    fn record(&self, _: f64) {
        panic!("scripted");
    }
}

impl Recorder for EndsTheTask {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let is_it = key.name() == "logweir_sink_write_seconds" && key.labels().any(|label| label.value() == "ends");
        if is_it { Histogram::from_arc(Arc::new(Panics)) } else { Histogram::noop() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_task_ended_takes_no_room_from_the_others_under_any_policy() {
    for policy in [WhenFull::Block, WhenFull::DropOldest, WhenFull::DropNewest] {
        let (ends, healthy) = (ScriptedSink::new(), ScriptedSink::new());
        // Room for a few of the four thousand.
        let pipeline = Pipeline::new(ends.clone()).when_full(policy).backlog_bytes(16 << 10);
        let builder = builder().queue_capacity(5000).memory_limit(16 << 20).max_event_bytes(1 << 10).batch_size(8);
        let builder = builder.metrics_recorder(&EndsTheTask).sink("ends", pipeline).sink("healthy", healthy.clone());
        let logger = start(builder).await;
        emit_numbers(&logger, 0..4000);
        let report = logger.shutdown(PATIENCE).await;
        balance(&report, &[("ends", 0), ("healthy", 4000)]);
        assert!(!report.timed_out, "{policy:?}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_sink_whose_task_ends_is_dropped_at_once() {
    let (ends, hung) = (ScriptedSink::always(Answer::Gate), ScriptedSink::always(Answer::Gate));
    let builder = one_by_one().metrics_recorder(&EndsTheTask).flush_at(Level::Trace);
    let logger = start(builder.sink("ends", ends.clone()).sink("hung", hung.clone())).await;
    emit_numbers(&logger, 0..3);
    settle().await;
    assert_eq!(logger.stats().sinks[0].backlog, 2);
    ends.release(1);
    settle().await;
    let stats = logger.stats();
    stats.check().unwrap();
    let ended = &stats.sinks[0];
    assert_eq!((ended.backlog, ended.backlog_bytes, ended.dropped.get(DropReason::Panicked)), (0, 0, 2));
    hung.open_gate();
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_holds_up_no_batch_of_which_it_wants_nothing() {
    let (hung, other) = (ScriptedSink::always(Answer::Hang), ScriptedSink::new());
    let blocked = Pipeline::new(hung.clone()).when_full(WhenFull::Block).level(Level::Fatal).timeout(NEVER);
    let builder = one_by_one().flush_at(Level::Trace).overflow(Overflow::DropNewest).max_event_bytes(1 << 10);
    let logger = start(builder.sink("hung", blocked.backlog_bytes(8 << 10)).sink("other", other.clone())).await;
    // It is full, and one that it wants waits for room.
    let fatal = |n| logweir::Event::new(Level::Fatal, "t", &u64::to_string(&n));
    let mut fatals = 0;
    while logger.stats().sinks[0].backlog_bytes < (8 << 10) - 400 {
        logger.emit(fatal(fatals));
        fatals += 1;
        settle().await;
    }
    for n in 0..1000 {
        logger.emit(number(n));
        settle().await;
    }
    assert_eq!(other.seen(), fatals + 1000);
    // A filter that takes even that one out of its way.
    logger.emit(fatal(0));
    logger.emit(fatal(1));
    settle().await;
    let blocked = other.seen();
    logger.emit(number(0));
    settle().await;
    assert_eq!(other.seen(), blocked, "isolation is given up on purpose");
    logger.set_sink_filter("hung", LevelFilter::Off).unwrap();
    assert!(!logger.flush(SECOND).await.complete);
    assert_eq!(other.seen(), logger.stats().dispatched);
    assert_eq!(logger.stats().queued, 0);
    balance(&logger.shutdown(SECOND).await, &[("hung", 0), ("other", other.seen())]);
}

/// Waits for its gate once; from then on it delivers without ever awaiting.
struct NeverAwaits {
    gate: Arc<Notify>,
    has_begun: Arc<Notify>,
    events: Arc<AtomicU64>,
}

#[async_trait]
impl Sink for NeverAwaits {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if self.events.fetch_add(batch.len() as u64, Ordering::Relaxed) == 0 {
            self.gate.notified().await;
            self.has_begun.notify_one();
        }
        Ok(())
    }
}

/// Notes how many events the other sink had when this one got its last.
struct Last {
    others: Arc<AtomicU64>,
    at: Arc<AtomicU64>,
}

#[async_trait]
impl Sink for Last {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        self.at.store(self.others.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_awaits_leaves_the_others_their_turn_between_its_batches() {
    let (gate, has_begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (events, at) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let greedy = NeverAwaits { gate: gate.clone(), has_begun: has_begun.clone(), events: events.clone() };
    let last = Pipeline::new(Last { others: events.clone(), at: at.clone() }).level(Level::Error);
    let builder = builder().batch_size(10).queue_capacity(20_000).memory_limit(64 << 20).flush_at(Level::Error);
    let logger = start(builder.sink("greedy", greedy).sink("last", last)).await;
    emit_numbers(&logger, 0..10_000);
    // A batch waits at the gate, and behind it all the others.
    drop(logger.flush(Duration::ZERO).await);
    settle().await;
    assert_eq!(logger.stats().sinks[0].backlog, 9_990);
    gate.notify_one();
    has_begun.notified().await;
    logger.emit(logweir::Event::new(Level::Error, "t", "urgent"));
    assert!(logger.flush(PATIENCE).await.complete);
    let before = at.load(Ordering::Relaxed);
    assert!((10..500).contains(&before), "the other sink had its event after {before} of 10,001");
    balance(&logger.shutdown(PATIENCE).await, &[("greedy", 10_001), ("last", 1)]);
}
