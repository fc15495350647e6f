//! What a full queue does under each policy.

use std::thread;
use std::time::Duration;

use logweir::{DropReason, Overflow};

use crate::support::{ScriptedSink, balance, balance_stats, builder, emit_numbers, end, number, start};

use super::stopped_runtime;

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_and_keeps_exactly_the_newest() {
    for (capacity, emitted) in [(1, 5), (8, 8), (8, 9), (8, 500), (100, 1000)] {
        let sink = ScriptedSink::new();
        let logger = start(builder().queue_capacity(capacity).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..emitted);
        let kept = emitted.min(capacity as u64);
        assert_eq!(logger.stats().queued, kept);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(sink.numbers(), (emitted - kept..emitted).collect::<Vec<_>>());
        assert_eq!((report.emitted, report.accepted), (emitted, emitted));
        assert_eq!(report.evicted.get(DropReason::OverflowOldest), emitted - kept);
        assert_eq!((report.evicted.total(), report.refused.total()), (emitted - kept, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_is_evicted_for_one_also_if_others_wait_for_room() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(8).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..8);
    let mut waits: Vec<_> = (10..16).map(|n| Box::pin(logger.emit_wait(number(n)))).collect();
    for wait in &mut waits {
        assert!(futures::FutureExt::now_or_never(wait.as_mut()).is_none());
    }
    logger.emit(number(8));
    let stats = logger.stats();
    assert_eq!((stats.accepted, stats.evicted.total(), stats.refused.total(), stats.queued), (9, 1, 0, 8));
    drop(waits);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (1..9).collect::<Vec<_>>(), "the newest stays");
    assert_eq!((report.accepted, report.evicted.get(DropReason::OverflowOldest)), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn drop_newest_keeps_exactly_the_oldest() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(10).overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..25);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..10).collect::<Vec<_>>());
    assert_eq!((report.emitted, report.accepted, report.evicted.total()), (25, 10, 0));
    assert_eq!((report.refused.get(DropReason::OverflowNewest), report.refused.total()), (15, 15));
}

#[test]
fn an_expired_wait_for_room_is_refused() {
    let (runtime, sink) = (stopped_runtime(), ScriptedSink::new());
    let policy = Overflow::Block(Duration::from_millis(30));
    let logger = builder().queue_capacity(2).overflow(policy).sink("sink", sink.clone()).start_on(runtime.handle());
    let logger = logger.unwrap();
    let before = std::time::Instant::now();
    emit_numbers(&logger, 0..3);
    assert!(before.elapsed() >= Duration::from_millis(30), "it waited");
    assert_eq!(logger.stats().refused.get(DropReason::OverflowNewest), 1);
    runtime.block_on(end(&logger, &[("sink", &sink)]));
    assert_eq!(sink.numbers(), [0, 1]);
}

#[test]
fn block_waits_for_room_outside_a_runtime() {
    let (runtime, sink) = (stopped_runtime(), ScriptedSink::new());
    let policy = Overflow::Block(Duration::MAX);
    let logger = builder().queue_capacity(2).overflow(policy).sink("sink", sink.clone()).start_on(runtime.handle());
    let logger = logger.unwrap();
    let producer = {
        let logger = logger.clone();
        thread::spawn(move || emit_numbers(&logger, 0..100))
    };
    runtime.block_on(async {
        sink.has(99).await;
        // The last one or two may wait for the mark; everything that did not fit has been taken out.
        tokio::task::spawn_blocking(move || producer.join().unwrap()).await.unwrap();
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(report.refused.total() + report.evicted.total(), 0);
    });
    assert_eq!(sink.numbers(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn block_inside_a_runtime_that_may_be_the_loggers_is_drop_newest() {
    let sink = ScriptedSink::new();
    let policy = Overflow::Block(Duration::MAX);
    let logger = start(builder().queue_capacity(4).overflow(policy).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..6);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);
    assert_eq!((report.refused.get(DropReason::OverflowNewest), report.refused.total()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_closed_logger_ends_a_wait_for_room() {
    let sink = ScriptedSink::new();
    let policy = Overflow::Block(Duration::MAX);
    let logger = start(builder().queue_capacity(1).overflow(policy).sink("sink", sink.clone())).await;
    emit_numbers(&logger, [0]);
    let waiting = {
        let logger = logger.clone();
        thread::spawn(move || logger.emit(number(1)))
    };
    // Closes the queue without draining it first, whatever the other thread has come to.
    let report = logger.shutdown(Duration::ZERO).await;
    waiting.join().unwrap();
    balance(&report, &[("sink", 0)]);
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.emitted, stats.accepted, stats.refused.get(DropReason::Closed)), (2, 1, 1));
}
