//! A guard that is dropped shuts the logger down and waits for it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use logweir::error::Diagnostic;
use logweir::{DropReason, State};
use tokio::runtime::{self, Handle};

use crate::support::Probe;

use super::{
    DEADLINE, IN_TIME, LONG, Trouble, at_the_deadline, balanced, dropped, emit, hangs_in_its_second_write, numbers,
    quiet,
};

#[test]
fn a_guard_waits_for_the_delivery_when_it_is_dropped() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    emit(&logger, 10);
    drop(guard);
    assert_eq!(probe.messages(), numbers(10));
    assert!(matches!(logger.state(), State::Stopped { .. }));
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 10);
}

#[test]
fn a_guard_waits_inside_any_runtime_and_while_unwinding() {
    let runtimes = [
        runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    ];
    for runtime in runtimes {
        for panics in [false, true] {
            let probe = Probe::new();
            let logger = quiet().sink("probe", probe.clone()).start().unwrap();
            let handle = logger.clone();
            let task = runtime.spawn(async move {
                let _guard = handle.shutdown_guard(LONG);
                emit(&handle, 10);
                if panics {
                    std::panic::resume_unwind(Box::new("unwinds"));
                }
            });
            assert_eq!(runtime.block_on(task).is_err(), panics);
            let report = logger.shutdown_blocking(LONG).unwrap();
            assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
        }
    }
}

#[test]
fn a_guard_dropped_on_a_worker_of_the_loggers_own_runtime_waits_and_the_logger_goes_on() {
    for workers in [1, 2] {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        for _ in 0..10 {
            let probe = Probe::new();
            let logger = quiet().sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
            let handle = logger.clone();
            let began = Instant::now();
            let task = runtime.spawn(async move {
                let _guard = handle.shutdown_guard(LONG);
                emit(&handle, 10);
            });
            runtime.block_on(task).unwrap();
            assert!(began.elapsed() < LONG / 2);
            let report = logger.shutdown_blocking(LONG).unwrap();
            assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
        }
    }
}

#[test]
fn a_guard_dropped_in_a_local_task_waits_too() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
    let local = tokio::task::LocalSet::new();
    let handle = logger.clone();
    let task = local.spawn_local(async move {
        let _guard = handle.shutdown_guard(LONG);
        emit(&handle, 10);
    });
    runtime.block_on(local.run_until(task)).unwrap();
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[test]
fn a_guard_on_the_one_thread_the_logger_runs_on_ends_it_at_once_and_says_so() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let report = runtime.block_on(async {
        let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
        let logger = builder.start_on(&Handle::current()).unwrap();
        let guard = logger.shutdown_guard(LONG);
        emit(&logger, 10);
        drop(guard);
        assert!(matches!(logger.state(), State::Stopped { .. }));
        logger.shutdown(LONG).await
    });
    assert!(began.elapsed() < LONG / 2);
    drop(runtime);
    assert_eq!((balanced(&report, &probe).delivered, dropped(&report, DropReason::Deadline)), (0, 10));
    assert_eq!(trouble.count("cannot wait"), 1, "{:?}", trouble.lines());
    assert_eq!(trouble.count("dropped 10"), 1, "{:?}", trouble.lines());
}

#[test]
fn a_guard_dropped_by_a_hook_on_the_loggers_own_thread_does_not_wait_and_the_logger_delivers() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    emit(&logger, 10);
    logger.on_shutdown(move || {
        drop(guard);
        Box::pin(async { Ok(()) })
    });
    let began = Instant::now();
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert!(began.elapsed() < LONG / 2);
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out, report.failed_hooks), (10, false, 0));
}

#[test]
fn a_guard_whose_time_is_over_says_what_was_lost() {
    let is_heard_when_the_guard_is_gone = || {
        let (probe, builder) = hangs_in_its_second_write();
        let (said, says) = mpsc::channel();
        let on_error = move |trouble: &Diagnostic| {
            if let Diagnostic::ShutdownIncomplete { report } = trouble {
                said.send(report.clone()).unwrap_or_default();
            }
        };
        let logger = builder.on_error(on_error).start().unwrap();
        emit(&logger, 35);
        assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
        block_on(probe.until(|calls| calls.writes == 2));
        let began = Instant::now();
        drop(logger.shutdown_guard(DEADLINE));
        assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
        says.try_recv().map(|report| at_the_deadline(&report, &probe)).is_ok()
    };
    // Said before the drop returns, since the process may end then; but the guard waits for the handler's thread only a
    // moment, and this machine may be busy with something else.
    assert!((0..10).any(|_| is_heard_when_the_guard_is_gone()));
}

#[test]
fn a_guard_after_a_shutdown_does_nothing() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    let report = logger.shutdown_blocking(LONG).unwrap();
    drop(guard);
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report);
    assert_eq!(balanced(&report, &probe).delivered, 0);
}
