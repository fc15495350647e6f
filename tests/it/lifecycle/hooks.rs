//! The hooks of a shutdown: their order, their failures and their share of the time.

use std::pin::pin;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use logweir::{DropReason, Event, Level, info};
use tokio::runtime::Handle;

use crate::support::Probe;

use super::{DEADLINE, IN_TIME, LONG, SECOND, Trouble, balanced, dropped, emit, hook, numbers, poll_once, quiet};

#[tokio::test(start_paused = true)]
async fn hooks_run_last_in_first_out_and_what_they_log_is_delivered() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    for name in ["first", "second", "third"] {
        let handle = logger.clone();
        hook(&logger, move || async move {
            info!(logger: handle, "{name}", name);
            tokio::time::sleep(Duration::from_millis(10)).await;
            info!(logger: handle, "end of {name}", name);
            Ok(())
        });
    }
    let report = logger.shutdown(SECOND).await;
    assert_eq!(
        probe.messages(),
        ["third", "end of third", "second", "end of second", "first", "end of first"],
        "one after another"
    );
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks), (6, 0));
}

#[test]
fn what_hooks_log_is_delivered_on_the_loggers_own_thread_too() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let handle = logger.clone();
    hook(&logger, move || async move {
        info!(logger: handle, "0");
        assert!(handle.flush(LONG).await.complete, "a flush works in a hook");
        handle.emit_wait(Event::new(Level::Info, "t", "1")).await?;
        Ok(())
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(probe.messages(), numbers(2));
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks, report.suppressed), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_fail_or_panic_are_counted_and_said_and_stop_no_other() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    let handle = logger.clone();
    hook(&logger, move || async move {
        info!(logger: handle, "0");
        Ok(())
    });
    hook(&logger, || async { Err("no database".into()) });
    hook(&logger, || async { panic!("in its future") });
    logger.on_shutdown(|| panic!("before its future"));
    let report = logger.shutdown(SECOND).await;
    assert_eq!(probe.messages(), numbers(1));
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks), (1, 3));
    for part in ["no database", "in its future", "before its future"] {
        assert_eq!(trouble.count(part), 1, "{part}: {:?}", trouble.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_that_hang_leave_half_of_the_time_to_the_delivery() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    hook(&logger, || async { Ok(()) });
    hook(&logger, std::future::pending);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(10 * SECOND).await;
    assert!((4 * SECOND..=6 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert_eq!((report.timed_out, report.failed_hooks), (false, 2), "the one that hung, and the one behind it");
    assert_eq!(trouble.count("did not end"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_later_earlier_deadline_leaves_half_of_its_time_too() {
    let probe = Probe::new();
    let logger = quiet().on_error(|_| {}).sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    let (hangs, is_hanging) = tokio::sync::oneshot::channel();
    hook(&logger, || async {
        hangs.send(()).unwrap();
        std::future::pending().await
    });
    let mut patient = pin!(logger.shutdown(Duration::MAX));
    assert!(poll_once(patient.as_mut()).is_pending());
    is_hanging.await.unwrap();
    emit(&logger, 5);
    let report = logger.shutdown(10 * SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert_eq!((report.timed_out, report.failed_hooks), (false, 1));
    assert_eq!(patient.await, report);
}

#[test]
fn a_hook_that_blocks_the_loggers_thread_does_not_hold_the_deadline_up() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 5);
    let (hold, held) = mpsc::channel::<()>();
    hook(&logger, move || async move {
        held.recv().unwrap_or_default();
        Ok(())
    });
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert_eq!((report.timed_out, report.failed_hooks), (true, 1));
    let sink = balanced(&report, &probe);
    assert_eq!(sink.delivered + dropped(&report, DropReason::Deadline), 5);
    drop(hold);
}

#[test]
fn a_hook_with_a_weak_handle_keeps_no_logger_and_runs_when_the_last_one_is_dropped() {
    let probe = Probe::new();
    let (ran, runs) = mpsc::channel();
    for number in 0..5_u64 {
        let logger = quiet().sink("probe", probe.clone()).start().unwrap();
        let (weak, ran) = (logger.downgrade(), ran.clone());
        hook(&logger, move || async move {
            let logger = weak.upgrade().expect("its shutdown is in progress");
            emit(&logger, 1);
            let handle = logger.downgrade();
            drop(logger);
            ran.send((number, handle)).unwrap();
            Ok(())
        });
    }
    drop(ran);
    // Ends when every hook has run, or was dropped.
    let mut ended: Vec<_> = runs.iter().collect();
    ended.sort_by_key(|(number, _)| *number);
    assert_eq!(ended.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let since = Instant::now();
    while ended.iter().any(|(_, weak)| weak.upgrade().is_some()) || probe.memory.total() < 5 {
        assert!(since.elapsed() < LONG, "a logger is still there");
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_error_panics_when_it_is_printed_or_dropped_skips_no_other() {
    #[derive(Debug)]
    struct Evil;

    impl std::fmt::Display for Evil {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("scripted")
        }
    }

    impl Drop for Evil {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "scripted");
        }
    }

    impl std::error::Error for Evil {}

    for has_handler in [true, false] {
        let (probe, trouble) = (Probe::new(), Trouble::default());
        let mut builder = logweir::Logger::builder().lanes(1).sink("probe", probe.clone());
        if has_handler {
            builder = builder.on_error(trouble.handler());
        }
        let logger = builder.start_on(&Handle::current()).unwrap();
        let weak = logger.downgrade();
        hook(&logger, move || async move {
            emit(&weak.upgrade().unwrap(), 1);
            Ok(())
        });
        hook(&logger, || async { Err(Evil.into()) });
        let report = logger.shutdown(LONG).await;
        assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks), (1, 1));
    }
}
