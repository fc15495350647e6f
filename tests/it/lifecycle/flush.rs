//! What `flush` waits for, what it reports, and how it ends beside sinks that hang or fail.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::executor::block_on;
use logweir::sink::SinkErrorKind;
use logweir::{Batch, Logger, Pipeline, Sink, SinkError, State, async_trait};
use tokio::runtime::{Handle, Runtime};

use crate::support::{Answer, Probe, ScriptedSink, Slow, once, settle};

use super::{DEADLINE, IN_TIME, LONG, SECOND, Trouble, balanced, emit, numbers, poll_once, quiet};

#[tokio::test(start_paused = true)]
async fn flush_returns_when_all_that_was_accepted_before_it_is_at_the_sink_and_the_sink_has_flushed() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1000);
    let flushed = logger.flush(SECOND).await;
    assert!(flushed.complete, "{flushed:?}");
    assert_eq!((flushed.queued, flushed.sinks[0].pending), (0, 0));
    assert_eq!(probe.messages(), numbers(1000));
    assert_eq!(probe.calls().flushes, 1);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 1000);
}

#[test]
fn flush_is_a_barrier_on_a_logger_with_its_own_thread_too() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    for round in 1..=50 {
        emit(&logger, 100);
        let flushed = logger.flush_blocking(LONG).unwrap();
        assert!(flushed.complete, "{flushed:?}");
        assert_eq!(probe.memory.total(), round * 100);
        assert_eq!(probe.calls().flushes as u64, round);
    }
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 5000);
}

#[test]
fn a_flush_waits_for_what_other_threads_had_emitted_before_it() {
    let probe = Probe::new();
    let logger = quiet().lanes(4).sink("probe", probe.clone()).start().unwrap();
    for round in 1..=20 {
        thread::scope(|scope| {
            (0..4).for_each(|_| {
                scope.spawn(|| emit(&logger, 200));
            })
        });
        assert!(logger.flush_blocking(LONG).unwrap().complete);
        assert_eq!(probe.memory.total(), round * 800);
    }
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 16_000);
}

#[test]
fn the_blocking_twins_refuse_to_block_a_runtime_and_have_begun_nothing() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        assert!(logger.flush_blocking(SECOND).is_err());
        let error = logger.shutdown_blocking(SECOND).unwrap_err();
        assert!(error.to_string().contains("runtime"), "{error}");
    });
    assert_eq!(logger.state(), State::Running);
    emit(&logger, 1);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_past_a_hung_sink_says_how_much_is_pending_and_where() {
    let (stuck, fine) = (Probe::open_for(0), Probe::new());
    let logger = quiet()
        .batch_size(10)
        .sink("stuck", Pipeline::new(stuck.clone()).timeout(LONG))
        .sink("fine", fine.clone())
        .start_on(&Handle::current())
        .unwrap();
    emit(&logger, 25);
    let began = tokio::time::Instant::now();
    let flushed = logger.flush(SECOND).await;
    let took = began.elapsed();
    assert!(!flushed.complete);
    assert_eq!(flushed.queued, 0);
    let [at_stuck, at_fine] = &flushed.sinks[..] else { panic!("{flushed:?}") };
    assert_eq!((&at_stuck.name[..], at_stuck.flushed, at_stuck.pending), ("stuck", false, 25));
    assert_eq!((&at_fine.name[..], at_fine.flushed, at_fine.pending), ("fine", true, 0));
    assert_eq!(fine.messages(), numbers(25), "the other sink is not held up");
    assert!(SECOND <= took && took < 2 * SECOND, "{took:?}");
    // What comes after the flush is not pending for it.
    emit(&logger, 5);
    assert_eq!((stuck.calls().flushes, fine.calls().flushes), (0, 1));

    stuck.writes.add_permits(100);
    assert!(logger.flush(SECOND).await.complete);
    assert_eq!((stuck.memory.total(), stuck.calls().flushes), (30, 2), "one for each place");
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.sinks[1].delivered), (30, fine.memory.total()));
}

#[test]
fn a_flush_past_a_hung_sink_on_the_loggers_own_thread_returns_in_real_time() {
    let probe = Probe::open_for(0);
    let logger = quiet().sink("stuck", Pipeline::new(probe.clone()).timeout(LONG)).start().unwrap();
    emit(&logger, 7);
    let began = Instant::now();
    let flushed = logger.flush_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert!(!flushed.complete);
    assert_eq!(flushed.queued + flushed.sinks[0].pending, 7, "{flushed:?}");
    probe.writes.add_permits(100);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 7);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_a_sink_cannot_do_says_why() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    probe.fails_to_flush.store(true, Ordering::Relaxed);
    let flushed = logger.flush(SECOND).await;
    assert!(!flushed.complete && !flushed.sinks[0].flushed);
    assert_eq!(flushed.sinks[0].pending, 0, "the events are delivered all the same");
    let error = flushed.sinks[0].error.as_ref().unwrap();
    assert_eq!(error.kind, SinkErrorKind::Temporary);
    assert!(error.message.contains("the disk is full"), "{}", error.message);

    probe.fails_to_flush.store(false, Ordering::Relaxed);
    let flushed = logger.flush(SECOND).await;
    assert!(flushed.complete && flushed.sinks[0].error.is_none(), "{flushed:?}");
    let report = logger.shutdown(SECOND).await;
    let sink = balanced(&report, &probe);
    assert_eq!((sink.delivered, sink.errors_of(SinkErrorKind::Temporary)), (3, 1));
    assert_eq!(trouble.count("the disk is full"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_in_its_flush_is_given_up_after_its_timeout() {
    let probe = Probe { hangs_in_flush: true, ..Probe::new() };
    let logger =
        quiet().sink("probe", Pipeline::new(probe.clone()).timeout(SECOND)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let began = tokio::time::Instant::now();
    let flushed = logger.flush(LONG).await;
    assert_eq!(flushed.sinks[0].error.as_ref().map(|error| error.kind), Some(SinkErrorKind::Timeout));
    assert!((SECOND..2 * SECOND).contains(&began.elapsed()));
    let report = logger.shutdown(LONG).await;
    assert_eq!(balanced(&report, &probe).delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn concurrent_flushes_all_return_and_share_the_work() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    let flushes = futures::future::join_all((0..200).map(|_| logger.flush(SECOND))).await;
    assert!(flushes.iter().all(|flushed| flushed.complete));
    let flushes = probe.calls().flushes;
    assert!((1..=200).contains(&flushes), "{flushes}");
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 10);
}

#[test]
fn a_flush_ends_while_events_keep_coming() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let logger = Logger::builder().queue_capacity(4096).sink("probe", probe.clone()).start().unwrap();
    let is_over = AtomicBool::new(false);
    let calls: u64 = thread::scope(|scope| {
        let emitters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        emit(&logger, 100);
                        calls += 100;
                    }
                    calls
                })
            })
            .collect();
        let flushes: Vec<_> = (0..20).map(|_| logger.flush_blocking(LONG)).collect();
        is_over.store(true, Ordering::Relaxed);
        let calls = emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum();
        for flushed in flushes {
            let flushed = flushed.unwrap();
            assert!(flushed.complete, "{flushed:?}");
        }
        calls
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(report.emitted, calls);
    balanced(&report, &probe);
}

#[test]
fn a_flush_ends_while_events_come_faster_than_the_sink_takes_them() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let builder = Logger::builder().lanes(2).queue_capacity(4096).batch_size(64);
    let logger = builder.sink("slow", Slow(probe.clone())).start().unwrap();
    let is_over = AtomicBool::new(false);
    let flushed = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    emit(&logger, 100);
                }
            });
        }
        block_on(probe.until(|calls| calls.writes > 10));
        let flushed = logger.flush_blocking(LONG);
        is_over.store(true, Ordering::Relaxed);
        flushed.unwrap()
    });
    assert!(flushed.complete && flushed.elapsed < LONG / 2, "{flushed:?}");
    let report = logger.shutdown_blocking(LONG).unwrap();
    balanced(&report, &probe);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_flush_harms_nothing() {
    let probe = Probe::open_for(0);
    let logger =
        quiet().sink("stuck", Pipeline::new(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    for _ in 0..300 {
        assert!(logger.flush(LONG).now_or_never().is_none());
    }
    probe.until(|calls| calls.writes == 1).await;
    probe.writes.add_permits(100);
    assert!(logger.flush(SECOND).await.complete);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_the_shutdown_returns_at_once_and_has_nothing_pending() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 5);
    let flushed = logger.flush(Duration::MAX).await;
    assert!(flushed.complete, "everything is delivered, and the sinks are closed: {flushed:?}");
    assert_eq!((flushed.queued, flushed.sinks[0].pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_begun_before_the_shutdown_is_answered_by_it() {
    let probe = Probe::open_for(0);
    let logger =
        quiet().sink("probe", Pipeline::new(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    let mut flush = pin!(logger.flush(LONG));
    assert!(poll_once(flush.as_mut()).is_pending());
    let mut shutdown = pin!(logger.shutdown(LONG));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.until(|calls| calls.writes == 1).await;
    probe.writes.add_permits(10);
    let (flushed, report) = tokio::join!(flush, shutdown);
    assert!(flushed.complete, "{flushed:?}");
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert!(!report.timed_out);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_sinks_that_cannot_close_is_not_complete() {
    struct CannotClose;
    #[async_trait]
    impl Sink for CannotClose {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Ok(())
        }
        async fn close(&mut self) -> Result<(), SinkError> {
            Err(SinkError::temporary(io::Error::other("the last block does not fit")))
        }
    }
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("sink", CannotClose);
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!(report.sinks[0].last_error.as_ref().map(|error| error.kind), Some(SinkErrorKind::Temporary));
    let flushed = logger.flush(SECOND).await;
    assert!(!flushed.complete && flushed.sinks[0].error.is_some(), "{flushed:?}");
    assert_eq!(trouble.count("the last block does not fit"), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_flushes_that_overlap_each_has_the_result_of_its_own() {
    let sink = ScriptedSink::new().flushes([Answer::GateThenTemporary]);
    let logger = quiet().sink("sink", sink.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    let mut first = pin!(logger.flush(LONG));
    assert!(poll_once(first.as_mut()).is_pending());
    settle().await;
    // The first flush of the sink is under way; what comes now has a place of its own.
    emit(&logger, 1);
    let mut second = pin!(logger.flush(LONG));
    assert!(poll_once(second.as_mut()).is_pending());
    settle().await;
    sink.release(1);
    let (first, second) = (first.await, second.await);
    assert_eq!((first.complete, second.complete), (false, true), "{first:?} {second:?}");
    let error = first.sinks[0].error.as_ref().unwrap();
    assert_eq!(error.kind, SinkErrorKind::Temporary);
    assert_eq!((second.sinks[0].error.as_ref(), sink.flushed()), (None, 2));
    // Nor does a reopen in between take it away.
    let sink_fails = sink.flushes([Answer::GateThenTemporary]);
    let mut third = pin!(logger.flush(LONG));
    assert!(poll_once(third.as_mut()).is_pending());
    settle().await;
    let mut reopen = pin!(logger.reopen(LONG));
    assert!(poll_once(reopen.as_mut()).is_pending());
    sink_fails.release(1);
    reopen.await.unwrap();
    assert!(third.await.sinks[0].error.is_some());
    logger.shutdown(LONG).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_how_many_events_were_lost_since_the_one_before_it() {
    let sink = ScriptedSink::new().writes([Answer::Permanent, Answer::Rejected]);
    let logger = quiet().batch_size(2).sink("sink", once(sink.clone())).start_on(&Handle::current()).unwrap();
    let lost = |flushed: &logweir::FlushReport| (flushed.complete, flushed.sinks[0].lost, flushed.sinks[0].unconfirmed);
    emit(&logger, 2);
    // Lost before anyone asks.
    drop(logger.flush(Duration::ZERO).await);
    settle().await;
    assert_eq!(logger.stats().sinks[0].dropped.total(), 2);
    assert_eq!(lost(&logger.flush(LONG).await), (true, 2, 0));
    assert_eq!(lost(&logger.flush(LONG).await), (true, 0, 0), "it was said");
    emit(&logger, 1);
    assert_eq!(lost(&logger.flush(LONG).await), (true, 1, 0));
    let sink_hangs = sink.writes([Answer::Hang]);
    emit(&logger, 2);
    assert_eq!(lost(&logger.flush(LONG).await), (true, 0, 2));
    emit(&logger, 2);
    assert_eq!(lost(&logger.flush(LONG).await), (true, 0, 0));
    let report = logger.shutdown(LONG).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.sinks[0].dropped.total(), report.sinks[0].unconfirmed), (2, 3, 2));
    assert_eq!(sink_hangs.seen(), 2);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_abandoned_flushes_cost_one_flush_of_the_sink() {
    let sink = ScriptedSink::new().writes([Answer::Gate]);
    let logger = quiet().sink("sink", sink.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    for _ in 0..10_000 {
        let mut given_up = pin!(logger.flush(LONG));
        assert!(poll_once(given_up.as_mut()).is_pending());
    }
    settle().await;
    for _ in 0..100 {
        emit(&logger, 1);
        let mut given_up = pin!(logger.flush(LONG));
        assert!(poll_once(given_up.as_mut()).is_pending());
        settle().await;
    }
    sink.open_gate();
    assert!(logger.flush(LONG).await.complete);
    // The first one, and that of the caller.
    assert_eq!((sink.seen(), sink.flushed()), (101, 2));
    logger.shutdown(LONG).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_waker_panics_takes_the_result_of_no_other() {
    struct Panics;

    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("scripted");
        }
    }

    let sink = ScriptedSink::new().flushes([Answer::Gate]);
    let logger = quiet().sink("sink", sink.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let waker = std::task::Waker::from(std::sync::Arc::new(Panics));
    let (mut flush, mut shutdown) = (pin!(logger.flush(LONG)), pin!(logger.shutdown(LONG)));
    assert!(flush.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    settle().await;
    // It waits for the same flush, behind the one whose waker panics.
    let there = logger.clone();
    let other = tokio::spawn(async move { there.flush(Duration::MAX).await });
    settle().await;
    sink.release(1);
    let other = tokio::time::timeout(LONG, other).await.expect("its wake-up is not lost").unwrap();
    assert!(other.complete && flush.await.complete);
    assert!(shutdown.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let report = logger.shutdown(LONG).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.timed_out), (3, false));
}
