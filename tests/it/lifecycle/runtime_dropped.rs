//! A logger whose runtime is dropped, has no timers or stops polling it.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use logweir::error::Diagnostic;
use logweir::sink::NullSink;
use logweir::{Builder, DropReason, Logger, ShutdownReport, State};
use tokio::runtime::{self, Runtime};

use crate::support::Probe;

use super::{IN_TIME, LONG, SECOND, Trouble, balanced, dropped, emit, hangs_in_its_second_write, quiet};

fn on_a_runtime_of_its_own(builder: Builder<'_>) -> (Runtime, Logger) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logger = builder.start_on(runtime.handle()).unwrap();
    (runtime, logger)
}

/// The books of a logger whose runtime is gone.
fn of_a_dropped_runtime(logger: &Logger, probe: &Probe, trouble: &Trouble) -> ShutdownReport {
    assert!(matches!(logger.state(), State::Stopped { .. }), "{:?}", logger.state());
    let before = logger.stats();
    before.check().unwrap();
    emit(logger, 3);
    assert_eq!(logger.stats().refused.get(DropReason::TaskFailed), 3);
    let began = Instant::now();
    assert!(logger.flush_blocking(Duration::MAX).unwrap().queued == 0);
    let report = logger.shutdown_blocking(Duration::MAX).unwrap();
    assert!(began.elapsed() < IN_TIME, "at once");
    assert_eq!((report.refused.total(), report.timed_out), (0, false));
    balanced(&report, probe);
    assert_eq!(trouble.count("a task of the logger stopped unexpectedly"), 1, "{:?}", trouble.lines());
    report
}

#[test]
fn a_runtime_dropped_under_the_logger_is_counted_and_said_once() {
    let (probe, builder) = hangs_in_its_second_write();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(builder.on_error(trouble.handler()));
    runtime.block_on(async {
        emit(&logger, 25);
        assert!(!logger.flush(Duration::from_millis(1)).await.complete);
        probe.until(|calls| calls.writes == 2).await;
        // These stay in the queue.
        emit(&logger, 10);
    });
    drop(runtime);
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(&report, DropReason::RuntimeDropped)), (10, 10, 15));
    assert_eq!(trouble.count("25 deliveries"), 1, "{:?}", trouble.lines());
}

#[test]
fn a_runtime_dropped_before_it_ever_ran_the_logger_is_counted_and_said_too() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(quiet().on_error(trouble.handler()).sink("probe", probe.clone()));
    emit(&logger, 4);
    drop(runtime);
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    assert_eq!(dropped(&report, DropReason::RuntimeDropped), 4);
}

#[test]
fn a_runtime_that_was_gone_before_the_logger_started_is_said_too() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&handle).unwrap();
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    assert_eq!(report.accepted, 0);
}

#[test]
fn a_runtime_dropped_during_the_shutdown_ends_it() {
    let (probe, builder) = hangs_in_its_second_write();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(builder.on_error(trouble.handler()));
    runtime.block_on(async {
        emit(&logger, 35);
        assert!(logger.shutdown(Duration::MAX).now_or_never().is_none());
        probe.until(|calls| calls.writes == 2).await;
    });
    let report = thread::scope(|scope| {
        let caller = scope.spawn(|| logger.shutdown_blocking(Duration::MAX).unwrap());
        drop(runtime);
        caller.join().unwrap()
    });
    let sink = balanced(&report, &probe);
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(&report, DropReason::RuntimeDropped)), (10, 10, 15));
}

#[test]
fn a_logger_with_its_own_thread_survives_the_runtime_it_was_started_in() {
    let probe = Probe::new();
    let runtime = Runtime::new().unwrap();
    let logger = runtime.block_on(async { quiet().sink("probe", probe.clone()).start().unwrap() });
    emit(&logger, 5);
    drop(runtime);
    emit(&logger, 5);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[test]
fn a_runtime_without_timers_is_refused() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let error = Logger::builder().sink("null", NullSink).start_on(runtime.handle()).unwrap_err();
    assert_eq!(error.option(), Some("start_on"));
    assert!(error.to_string().contains("enable_time"), "{error}");
}

#[test]
fn a_logger_that_is_not_polled_for_a_second_says_so() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (probe, (said, says), (hold, release)) = (Probe::new(), mpsc::channel(), mpsc::channel::<()>());
    let release = Mutex::new(release);
    // The flush task calls it, and stands still in it; the handler is called on the other worker meanwhile.
    let builder = quiet().lanes(1).queue_capacity(10).on_pressure(50, move |_| {
        release.lock().unwrap().recv().unwrap_or_default();
    });
    let builder = builder.on_error(move |trouble| {
        if let Diagnostic::Stalled { elapsed } = trouble {
            said.send(*elapsed).unwrap_or_default();
        }
    });
    let logger = builder.sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
    emit(&logger, 10);
    let since = says.recv_timeout(LONG).unwrap();
    assert!(since >= SECOND);
    assert_eq!((logger.stats().queued, probe.memory.total()), (10, 0), "it still stands");
    drop(hold);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
    assert!(says.try_recv().is_err(), "once");
}
