//! The part of a lane that is kept for important events.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use logweir::error::TryEmitError;
use logweir::{Builder, DropReason, Event, Level, Logger, Overflow, Pipeline, WhenFull};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::{
    Answer, NEVER, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, heavy, number, settle,
    start,
};

/// One poll.
fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

const POLICIES: [Overflow; 3] = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(PATIENCE)];

fn important(number: u64) -> Event {
    Event::new(Level::Warn, "t", &number.to_string())
}

/// Ten places, of which three are for `Warn` and above.
fn reserved() -> Builder<'static> {
    builder().queue_capacity(10).reserve(Level::Warn, 30)
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_refused_to_lesser_events_under_every_policy() {
    for policy in POLICIES {
        let sink = ScriptedSink::new();
        let logger = start(reserved().overflow(policy).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..9);
        let stats = logger.stats();
        assert_eq!((stats.queued, stats.refused.get(DropReason::Shed), stats.refused.total()), (7, 2, 2), "{policy:?}");
        (10..13).for_each(|n| logger.emit(important(n)));
        assert_eq!((logger.stats().queued, logger.stats().refused.total()), (10, 2), "{policy:?}");
        // Full: no lesser event evicts, nor does it wait.
        logger.emit(number(9));
        assert_eq!(logger.stats().evicted.total(), 0, "{policy:?}");
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((report.refused.get(DropReason::Shed), report.refused.total()), (3, 3), "{policy:?}");
        assert_eq!(sink.numbers(), [0, 1, 2, 3, 4, 5, 6, 10, 11, 12], "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_important_event_uses_all_of_the_lane_and_then_the_policy() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().overflow(Overflow::DropOldest).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    (10..15).for_each(|n| logger.emit(important(n)));
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.evicted.get(DropReason::OverflowOldest), report.refused.total()), (2, 0));
    assert_eq!(sink.numbers(), [2, 3, 4, 5, 6, 10, 11, 12, 13, 14]);
}

#[tokio::test(start_paused = true)]
async fn a_shed_event_has_taken_no_bytes() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let before = logger.stats().queued_bytes;
    logger.emit(heavy(7, 4096));
    assert!(matches!(logger.try_emit(heavy(7, 4096)), Err(TryEmitError::Full(_))));
    let stats = logger.stats();
    assert_eq!((stats.queued_bytes, stats.refused.get(DropReason::Shed)), (before, 1));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn try_emit_hands_an_event_back_at_the_reserve_and_counts_nothing() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let refused = logger.try_emit(number(7)).unwrap_err();
    assert!(matches!(&refused, TryEmitError::Full(_)), "{refused:?}");
    assert_eq!(refused.into_event().message().to_string(), "7");
    logger.try_emit(important(8)).unwrap();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, report.refused.total()), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn emit_wait_waits_for_room_in_its_part_and_keeps_the_reserve_free() {
    for policy in POLICIES {
        let sink = ScriptedSink::always(Answer::Gate);
        let builder = reserved().overflow(policy).batch_size(7).sink("sink", sink.clone());
        let logger = start(builder).await;
        emit_numbers(&logger, 0..7);
        let mut waits: Vec<_> = (7..30).map(|n| Box::pin(logger.emit_wait(number(n)))).collect();
        for wait in &mut waits {
            assert!(polled(wait).is_pending(), "{policy:?}");
        }
        // Nobody who waits stands on the reserve.
        (100..103).for_each(|n| logger.emit(important(n)));
        assert_eq!((logger.stats().queued, logger.stats().refused.total()), (10, 0), "{policy:?}");
        sink.open_gate();
        for wait in waits {
            assert_eq!(wait.await, Ok(()), "{policy:?}");
        }
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((report.accepted, report.refused.total(), report.evicted.total()), (33, 0, 0), "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_emit_wait_at_the_reserve_that_is_dropped_is_counted_nowhere_and_leaves_nothing_taken() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let before = logger.stats().queued_bytes;
    let mut wait = Box::pin(logger.emit_wait(heavy(7, 4096)));
    assert!(polled(&mut wait).is_pending());
    drop(wait);
    assert_eq!(logger.stats().queued_bytes, before);
    assert_eq!((logger.stats().emitted, logger.stats().queued), (7, 7));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_the_reserve_is_refused_when_the_logger_closes() {
    let sink = ScriptedSink::always(Answer::Hang);
    let waits = Pipeline::new(sink.clone()).when_full(WhenFull::Block).backlog_bytes(1024);
    let logger = start(reserved().max_event_bytes(256).batch_size(1).sink("sink", waits)).await;
    // What the sink's account does not hold stays behind, at last in the lane.
    for n in 0.. {
        logger.emit(number(n));
        settle().await;
        if logger.stats().refused.get(DropReason::Shed) > 0 {
            break;
        }
    }
    let mut wait = Box::pin(logger.emit_wait(number(99)));
    assert!(polled(&mut wait).is_pending());
    let (refused, report) = tokio::join!(wait, logger.shutdown(Duration::from_secs(1)));
    assert_eq!(refused.unwrap_err().reason(), DropReason::Closed);
    report.check().unwrap();
    balance_stats(&logger.stats(), &[("sink", 0)]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_has_no_place_that_an_event_at_the_reserve_would_miss() {
    let sink = ScriptedSink::new();
    let builder = builder().queue_capacity(2).reserve(Level::Warn, 50).overflow(Overflow::DropNewest);
    let logger = start(builder.sink("sink", sink.clone())).await;
    logger.emit(number(0));
    logger.emit(important(1));
    let mut waits = [Box::pin(logger.emit_wait(important(2))), Box::pin(logger.emit_wait(important(3)))];
    for wait in &mut waits {
        assert!(polled(wait).is_pending());
    }
    // The drain frees both places; nobody takes them yet.
    sink.has(2).await;
    assert!(polled(&mut Box::pin(logger.emit_wait(number(4)))).is_ready());
    drop(waits);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.accepted, 3);
}

#[test]
fn producers_on_many_threads_that_wait_at_the_reserve_lose_nothing_and_never_sleep_for_ever() {
    let sink = ScriptedSink::new();
    let builder = Logger::builder().level(Level::Trace).lanes(1).queue_capacity(16).overflow(Overflow::DropNewest);
    let logger = builder.reserve(Level::Warn, 50).sink("sink", sink.clone()).start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let logger = logger.clone();
                tokio::spawn(async move {
                    for n in 0..500 {
                        let event = if n % 5 == 0 { important(n) } else { number(n) };
                        logger.emit_wait(event).await.unwrap();
                        if n % 7 == task {
                            yield_now().await;
                        }
                    }
                })
            })
            .collect();
        let all = futures::future::join_all(tasks);
        timeout(PATIENCE, all).await.unwrap().into_iter().for_each(|task| task.unwrap());
        end(&logger, &[("sink", &sink)]).await
    });
    assert_eq!((report.accepted, report.refused.total()), (8 * 500, 0));
}

#[test]
fn block_sheds_lesser_events_at_once_also_on_a_thread_that_may_wait() {
    let sink = ScriptedSink::new();
    let builder = reserved().flush_interval(NEVER).overflow(Overflow::Block(10 * PATIENCE));
    let gate = ScriptedSink::always(Answer::Gate);
    let waits = Pipeline::new(gate.clone()).when_full(WhenFull::Block).backlog_bytes(1024);
    let builder = builder.max_event_bytes(256).batch_size(1).sink("sink", sink.clone()).sink("gate", waits);
    let logger = builder.start().unwrap();
    let began = Instant::now();
    // The gate holds everything up; from some event on, its part of the lane is full.
    thread::scope(|scope| {
        scope.spawn(|| {
            while logger.stats().refused.get(DropReason::Shed) == 0 {
                logger.emit(number(0));
            }
        });
    });
    assert!(began.elapsed() < PATIENCE);
    gate.open_gate();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("sink", sink.seen()), ("gate", gate.seen())]);
    assert_eq!(report.refused.total(), report.refused.get(DropReason::Shed));
}

#[test]
fn a_reserve_beyond_ninety_percent_is_refused_by_name() {
    let error = Logger::builder().sink("sink", ScriptedSink::new()).reserve(Level::Warn, 91).start().unwrap_err();
    assert_eq!(
        (error.option(), error.to_string()),
        (Some("reserve"), "cannot start logger: `reserve` is 91; allowed is 0 to 90".to_owned())
    );
    for percent in [0, 90] {
        let logger = Logger::builder().sink("sink", ScriptedSink::new()).reserve(Level::Warn, percent).start().unwrap();
        Arc::new(logger.shutdown_blocking(PATIENCE).unwrap()).check().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_with_one_place_has_no_reserve_and_no_reserve_sheds_nothing() {
    for (capacity, percent) in [(1, 90), (4, 0)] {
        let sink = ScriptedSink::new();
        let builder = builder().queue_capacity(capacity).reserve(Level::Fatal, percent);
        let logger = start(builder.overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..capacity as u64);
        assert_eq!(logger.stats().refused.total(), 0);
        end(&logger, &[("sink", &sink)]).await;
    }
}
