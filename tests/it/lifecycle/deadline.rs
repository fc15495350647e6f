//! The deadline of a shutdown holds whatever hangs, and the numbers are exact.

use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::executor::block_on;
use logweir::{Batch, DropReason, Pipeline, Sink, SinkError, State, async_trait};
use tokio::runtime::{self, Handle};

use crate::support::Probe;

use super::{
    DEADLINE, IN_TIME, LONG, SECOND, at_the_deadline, balanced, dropped, emit, hangs_in_its_second_write, hook,
    numbers, poll_once, quiet,
};

/// A sink that blocks its thread in `poll`, against the rules, until the test lets go of it.
struct BlocksInPoll {
    begun: mpsc::Sender<()>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl BlocksInPoll {
    /// The sink, what says that its write began, and what ends that when dropped.
    fn new() -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, began) = mpsc::channel();
        let (hold, release) = mpsc::channel();
        (BlocksInPoll { begun, release: Mutex::new(release) }, began, hold)
    }
}

#[async_trait]
impl Sink for BlocksInPoll {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        self.begun.send(()).unwrap_or_default();
        // An error says that the test let go.
        self.release.lock().unwrap().recv().unwrap_or_default();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_sink_does_not_hold_up_a_shutdown_on_its_runtime_and_the_numbers_are_exact() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 35);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(LONG).await;
    let took = began.elapsed();
    // The deadline is carried from the real clock over to the paused one, less what passed in between.
    assert!(LONG - 5 * SECOND < took && took < LONG + SECOND, "{took:?}");
    at_the_deadline(&report, &probe);
    assert!(report.elapsed < LONG, "in real time it was a moment");
}

#[test]
fn a_hung_sink_does_not_hold_up_a_shutdown_on_its_own_thread_and_the_numbers_are_exact() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
    assert!((DEADLINE..IN_TIME).contains(&report.elapsed));
}

#[tokio::test]
async fn a_hung_sink_does_not_hold_up_a_shutdown_awaited_in_real_time_on_its_runtime() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    let report = logger.shutdown(DEADLINE).await;
    assert!((DEADLINE - Duration::from_millis(5)..IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
}

#[test]
fn a_sink_that_blocks_the_loggers_thread_does_not_hold_up_a_shutdown() {
    let (sink, began, hold) = BlocksInPoll::new();
    let logger = quiet().lanes(1).batch_size(10).sink("blocks", sink).start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    began.recv().unwrap();
    let since = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&since.elapsed()));
    report.check().unwrap();
    assert_eq!((report.emitted, report.accepted, report.timed_out), (35, 35, true));
    assert_eq!((report.sinks[0].delivered, report.sinks[0].unconfirmed), (0, 10));
    assert_eq!(dropped(&report, DropReason::Deadline), 25);
    drop(hold);
}

#[test]
fn a_shutdown_that_was_dropped_bounds_the_others_even_if_the_loggers_thread_is_blocked() {
    let (sink, began, hold) = BlocksInPoll::new();
    let logger = quiet().lanes(1).sink("blocks", sink).start().unwrap();
    emit(&logger, 1);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    began.recv().unwrap();
    assert!(logger.shutdown(DEADLINE).now_or_never().is_none());
    let since = Instant::now();
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert!(since.elapsed() < IN_TIME, "{:?}", since.elapsed());
    report.check().unwrap();
    assert_eq!((report.sinks[0].unconfirmed, report.timed_out), (1, true));
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_in_its_close_does_not_hold_up_a_shutdown() {
    let probe = Probe { hangs_in_close: true, ..Probe::new() };
    let logger =
        quiet().sink("probe", Pipeline::new(probe.clone()).timeout(10 * LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (3, true));
}

#[test]
fn a_deadline_of_zero_is_now() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 100);
    let report = logger.shutdown(Duration::ZERO).now_or_never().expect("it does not wait for anybody");
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!(sink.delivered + sink.unconfirmed + dropped(&report, DropReason::Deadline), 100);
    // The logger's thread may have been faster.
    assert!(report.timed_out || sink.delivered == 100, "{report}");
    assert!(matches!(logger.state(), State::Stopped { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_drops_all_that_waits_on_a_runtime_of_the_users() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    hook(&logger, || async { Ok(()) });
    emit(&logger, 100);
    let report = logger.shutdown(Duration::ZERO).now_or_never().expect("it does not wait for anybody");
    assert_eq!(balanced(&report, &probe).delivered, 0);
    assert_eq!((dropped(&report, DropReason::Deadline), report.failed_hooks), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_shutdown_waits_for_everything() {
    let probe = Probe::open_for(0);
    let logger =
        quiet().sink("slow", Pipeline::new(probe.clone()).timeout(100 * LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    let mut shutdown = pin!(logger.shutdown(Duration::MAX));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    assert_eq!(logger.state(), State::ShuttingDown);
    tokio::time::sleep(50 * LONG).await;
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.writes.add_permits(10);
    let report = shutdown.await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_of_several_callers_counts_for_all_and_all_get_the_same_report() {
    for order in [[LONG, 5 * SECOND, Duration::MAX], [5 * SECOND, LONG, Duration::MAX]] {
        let (probe, builder) = hangs_in_its_second_write();
        let logger = builder.start_on(&Handle::current()).unwrap();
        emit(&logger, 35);
        let began = tokio::time::Instant::now();
        let reports = futures::future::join_all(order.map(|timeout| logger.shutdown(timeout))).await;
        assert!(began.elapsed() < 6 * SECOND, "{:?}", began.elapsed());
        at_the_deadline(&reports[0], &probe);
        assert!(reports.iter().all(|report| *report == reports[0]));
    }
}

#[test]
fn the_earliest_deadline_of_several_threads_counts_for_all() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let began = Instant::now();
    let reports: Vec<_> = thread::scope(|scope| {
        let callers = [Duration::MAX, LONG, DEADLINE].map(|timeout| {
            let logger = &logger;
            scope.spawn(move || logger.shutdown_blocking(timeout).unwrap())
        });
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(began.elapsed() < IN_TIME);
    at_the_deadline(&reports[0], &probe);
    assert!(reports.iter().all(|report| *report == reports[0]));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_goes_on() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    assert!(logger.shutdown(SECOND).now_or_never().is_none());
    probe.until(|calls| calls.closes == 1).await;
    assert_eq!(probe.messages(), numbers(10));
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[test]
fn a_shutdown_works_under_any_executor() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 10);
    assert!(block_on(logger.flush(LONG)).complete);
    emit(&logger, 10);
    let report = block_on(logger.shutdown(LONG));
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (20, false));
}

#[test]
fn a_deadline_holds_under_any_executor() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    assert!(!block_on(logger.flush(DEADLINE)).complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let report = block_on(logger.shutdown(DEADLINE));
    assert!((2 * DEADLINE..2 * IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
}

#[test]
fn a_deadline_holds_for_a_logger_on_a_runtime_that_nobody_drives() {
    let (probe, builder) = hangs_in_its_second_write();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logger = builder.start_on(runtime.handle()).unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert_eq!((balanced(&report, &probe).unconfirmed, dropped(&report, DropReason::Deadline)), (0, 35));
    drop(runtime);
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn an_explicit_shutdown_keeps_its_deadline_whatever_ends_meanwhile() {
    for ends in ["grace", "cancellation"] {
        let probe = Probe::new();
        let token = tokio_util::sync::CancellationToken::new();
        let builder = quiet().cancel_on(token.clone()).grace_period(SECOND).shutdown_timeout(SECOND / 2);
        let logger = builder.sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
        emit(&logger, 1);
        if ends == "grace" {
            token.cancel();
        }
        let (weak, slow) = (logger.downgrade(), 2 * SECOND);
        hook(&logger, move || async move {
            tokio::time::sleep(slow).await;
            weak.upgrade().iter().for_each(|logger| emit(logger, 3));
            Ok(())
        });
        let report = {
            let mut shutdown = pin!(logger.shutdown(60 * SECOND));
            assert!(poll_once(shutdown.as_mut()).is_pending());
            if ends == "cancellation" {
                token.cancel();
            }
            shutdown.await
        };
        assert_eq!(
            (balanced(&report, &probe).delivered, report.failed_hooks, report.timed_out),
            (4, 0, false),
            "{ends}"
        );
        assert_eq!(logger.stats().refused.total(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_dropped_during_a_shutdown_leaves_it_its_deadline() {
    let probe = Probe::new();
    let builder = quiet().shutdown_timeout(SECOND / 2).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    let weak = logger.downgrade();
    hook(&logger, move || async move {
        tokio::time::sleep(2 * SECOND).await;
        weak.upgrade().iter().for_each(|logger| emit(logger, 3));
        Ok(())
    });
    {
        let mut shutdown = pin!(logger.shutdown(60 * SECOND));
        assert!(poll_once(shutdown.as_mut()).is_pending());
    }
    drop(logger);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(probe.memory.total(), 4);
}
