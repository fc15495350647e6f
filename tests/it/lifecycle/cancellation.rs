//! After its cancellation a logger works on for a grace, then ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use logweir::{Logger, Pipeline, State};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::support::{Answer, Probe, ScriptedSink, Slow};

use super::{LONG, SECOND, balanced, emit, quiet};

#[tokio::test(start_paused = true)]
async fn after_the_cancellation_the_logger_accepts_flushes_at_once_and_at_every_interval_and_ends_after_its_grace() {
    let probe = Probe::new();
    let token = CancellationToken::new();
    let builder = Logger::builder().flush_interval(SECOND).cancel_on(token.clone()).grace_period(10 * SECOND);
    let logger = builder.sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!((probe.memory.total(), probe.calls().flushes), (1, 0), "without a reason nothing is flushed");

    emit(&logger, 1);
    token.cancel();
    let began = tokio::time::Instant::now();
    probe.until(|calls| calls.flushes == 1).await;
    assert_eq!(probe.memory.total(), 2);
    assert!(began.elapsed() < SECOND / 10, "at once");
    assert_eq!(logger.state(), State::Running);
    for flushes in 2..=6 {
        emit(&logger, 1);
        let calls = probe.until(|calls| calls.flushes >= flushes).await;
        assert_eq!(calls.begun, flushes as u64 + 1, "what came in since is in this flush");
    }
    assert!((4 * SECOND..=6 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    emit(&logger, 1);
    probe.until(|calls| calls.closes == 1).await;
    assert!((10 * SECOND..=11 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (8, false));
}

#[tokio::test(start_paused = true)]
async fn after_its_grace_the_logger_has_the_shutdown_timeout() {
    let probe = Probe::open_for(0);
    let token = CancellationToken::new();
    let builder = quiet().cancel_on(token.clone()).grace_period(10 * SECOND).shutdown_timeout(4 * SECOND);
    let logger =
        builder.sink("stuck", Pipeline::new(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    token.cancel();
    probe.until(|calls| calls.writes == 1).await;
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(logger.state(), State::ShuttingDown);
    tokio::time::sleep(4 * SECOND).await;
    assert!(matches!(logger.state(), State::Stopped { .. }));
    let report = logger.shutdown(Duration::MAX).await;
    assert_eq!((balanced(&report, &probe).unconfirmed, report.timed_out), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_grace_to_be_over() {
    let probe = Probe::new();
    let token = CancellationToken::new();
    token.cancel();
    let builder = quiet().cancel_on(token);
    let logger = builder.sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(LONG).await;
    assert!(began.elapsed() < SECOND);
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (3, false));
}

#[test]
fn under_load_a_cancelled_logger_still_flushes_at_every_interval() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let token = CancellationToken::new();
    let builder = Logger::builder().lanes(2).queue_capacity(64).flush_interval(Duration::from_millis(5));
    let logger =
        builder.cancel_on(token.clone()).grace_period(10 * LONG).sink("slow", Slow(probe.clone())).start().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    emit(&logger, 100);
                }
            });
        }
        token.cancel();
        let flushed = block_on(async {
            tokio::select! {
                _ = probe.until(|calls| calls.flushes >= 20) => true,
                () = timer(LONG) => false,
            }
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(flushed, "{:?}", probe.calls());
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    balanced(&report, &probe);
}

/// Ends after this much real time, under any executor.
async fn timer(after: Duration) {
    let (over, is_over) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        thread::sleep(after);
        over.send(()).unwrap_or_default();
    });
    is_over.await.unwrap_or_default();
}

#[tokio::test(start_paused = true)]
async fn in_the_grace_period_a_slow_sink_flushes_too_while_events_keep_coming() {
    let sink = ScriptedSink::always(Answer::Slow(SECOND / 4));
    let token = tokio_util::sync::CancellationToken::new();
    let builder = logweir::Logger::builder().lanes(1).flush_interval(SECOND / 10).cancel_on(token.clone());
    let logger = builder.grace_period(LONG).sink("sink", sink.clone()).start_on(&Handle::current()).unwrap();
    token.cancel();
    for _ in 0..500 {
        emit(&logger, 1);
        tokio::time::sleep(SECOND / 100).await;
    }
    // Five seconds, in which the sink writes less than comes: it flushes where a flush waited longest, then at the newest.
    assert!(sink.flushed() >= 3, "{} flushes", sink.flushed());
    logger.shutdown(LONG).await.check().unwrap();
}
