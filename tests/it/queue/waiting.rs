//! `try_emit` and `emit_wait`: events that are handed back, and events that wait for room.

use std::time::Duration;

use logweir::error::TryEmitError;
use logweir::{DropReason, Overflow, Pipeline, WhenFull};
use tokio::time::{Instant, timeout};

use crate::support::{
    Answer, NEVER, PATIENCE, ScriptedSink, balance, balance_stats, builder, end, heavy, number, settle, start,
};

#[tokio::test(start_paused = true)]
async fn try_emit_hands_back_what_does_not_fit_and_counts_nothing() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(2).sink("sink", sink.clone())).await;
    logger.try_emit(number(0)).unwrap();
    logger.try_emit(number(1)).unwrap();
    let Err(TryEmitError::Full(back)) = logger.try_emit(number(2)) else { panic!("there is no room") };
    assert_eq!(back.message().to_string(), "2");
    assert_eq!((logger.stats().emitted, logger.stats().queued), (2, 2));
    // It also asked for room.
    settle().await;
    logger.try_emit(back).unwrap();

    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, report.refused.total(), report.evicted.total()), (3, 0, 0));
    let Err(TryEmitError::Closed(back)) = logger.try_emit(number(3)) else { panic!("the logger is closed") };
    assert_eq!(back.message().to_string(), "3");
    assert_eq!((logger.stats().emitted, logger.stats().refused.total()), (3, 0));
    assert_eq!(sink.numbers(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn try_emit_hands_back_an_oversize_event_whole() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(1).max_event_bytes(300).sink("sink", sink.clone())).await;
    logger.try_emit(number(0)).unwrap();
    let back = logger.try_emit(heavy(1, 1000)).unwrap_err().into_event();
    assert!(!back.is_truncated());
    assert_eq!(back.fields().find(|(name, _)| *name == "text").unwrap().1.to_string().len(), 1000);
    assert_eq!((logger.stats().truncated, logger.stats().queued_bytes), (0, 0));
    settle().await;
    logger.try_emit(back).unwrap();
    assert_eq!(logger.stats().truncated, 1);
    end(&logger, &[("sink", &sink)]).await;
    assert!(sink.taken()[1].truncated);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_waits_for_room_under_every_policy() {
    for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(Duration::ZERO)] {
        let sink = ScriptedSink::new();
        let logger = start(builder().queue_capacity(4).overflow(policy).sink("sink", sink.clone())).await;
        for n in 0..100 {
            logger.emit_wait(number(n)).await.unwrap();
        }
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(sink.numbers(), (0..100).collect::<Vec<_>>());
        assert_eq!((report.accepted, report.evicted.total()), (100, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn emit_wait_with_room_wakes_nobody() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("sink", sink.clone())).await;
    for n in 0..10 {
        logger.emit_wait(number(n)).await.unwrap();
        settle().await;
    }
    assert_eq!((logger.stats().queued, sink.seen()), (10, 0), "they wait for the interval, as emit's do");
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_emit_wait_is_counted_nowhere() {
    let sink = ScriptedSink::always(Answer::Gate);
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block).timeout(NEVER);
    // The account has room for one batch of one event at a time.
    let builder = builder().queue_capacity(2).batch_size(1).max_event_bytes(256);
    let logger = start(builder.sink("sink", pipeline.backlog_bytes(512))).await;
    let mut accepted = Vec::new();
    let waiting = loop {
        let n = accepted.len() as u64;
        let mut waiting = Box::pin(logger.emit_wait(heavy(n, 1000)));
        if timeout(Duration::from_millis(10), &mut waiting).await.is_err() {
            break waiting;
        }
        accepted.push(n);
    };
    let before = logger.stats();
    drop(waiting);
    let after = logger.stats();
    assert_eq!((after.emitted, after.accepted, after.truncated), (before.emitted, before.accepted, before.truncated));
    assert_eq!((after.emitted, after.truncated), (accepted.len() as u64, accepted.len() as u64));
    sink.open_gate();
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), accepted);
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_ends_when_the_logger_is_closed() {
    let sink = ScriptedSink::always(Answer::Hang);
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block).timeout(NEVER);
    let builder = builder().queue_capacity(1).batch_size(1).max_event_bytes(256);
    let logger = start(builder.sink("sink", pipeline.backlog_bytes(512))).await;
    let mut n = 0;
    while timeout(Duration::from_millis(10), logger.emit_wait(number(n))).await.is_ok() {
        n += 1;
    }
    let waiting = tokio::spawn({
        let logger = logger.clone();
        async move { logger.emit_wait(number(1000)).await }
    });
    settle().await;
    let report = logger.shutdown(Duration::from_secs(1)).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), DropReason::Closed);
    assert!(report.timed_out);
    balance(&report, &[("sink", 0)]);
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.accepted, stats.refused.get(DropReason::Closed)), (n, 1));
    assert_eq!(logger.emit_wait(number(1)).await.unwrap_err().reason(), DropReason::Closed);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_asks_for_bytes_as_it_asks_for_room() {
    let sink = ScriptedSink::new();
    // 64 KiB for the queue, of which the lane takes 16: heavy events fill the rest long before the lane is half full.
    let builder = builder().queue_capacity(128).memory_limit(128 << 10).max_event_bytes(23 << 10);
    let logger = start(builder.sink("sink", sink.clone())).await;
    let before = Instant::now();
    for n in 0..20 {
        for of_three in 0..2 {
            logger.emit(heavy(3 * n + of_three, 20 << 10));
        }
        // More bytes than are left.
        logger.emit_wait(heavy(3 * n + 2, 20 << 10)).await.unwrap();
        assert!(logger.flush(PATIENCE).await.complete);
    }
    assert!(before.elapsed() < Duration::from_secs(1), "waited {:?} for a tick", before.elapsed());
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.accepted, report.evicted.total()), (60, 0));
    assert_eq!(sink.numbers(), (0..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn try_emit_asks_for_bytes_as_it_asks_for_room() {
    let sink = ScriptedSink::new();
    let builder = builder().queue_capacity(128).memory_limit(128 << 10).max_event_bytes(23 << 10);
    let logger = start(builder.sink("sink", sink.clone())).await;
    logger.try_emit(heavy(0, 20 << 10)).unwrap();
    logger.try_emit(heavy(1, 20 << 10)).unwrap();
    let back = logger.try_emit(heavy(2, 20 << 10)).unwrap_err();
    assert!(matches!(back, TryEmitError::Full(_)));
    settle().await;
    assert_eq!(sink.numbers(), [0, 1], "bytes in use wake the flush task");
    logger.try_emit(back.into_event()).unwrap();
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(sink.numbers(), [0, 1, 2]);
    end(&logger, &[("sink", &sink)]).await;
}
