//! A forked child has none of its parent's threads: no wait for a logger ends there by itself.

use std::time::Instant;

use futures::executor::block_on;
use logweir::{Event, Level, Logger};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::end_of;
use crate::children::{FILE, LONG, emit, folder, numbers, quiet, to_file};
use crate::support::{Answer, ScriptedSink};

/// Runs `child` in a forked child and returns its exit code.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    #[allow(unsafe_code, reason = "the fork itself is what is tested")]
    // SAFETY: the child uses memory and locks that no other thread of this test holds: the logger is idle.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => logweir::exit(child()),
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        },
    }
}

pub(super) fn forks() -> i32 {
    let logger = to_file().start().unwrap();
    let full = quiet().queue_capacity(1).sink("hangs", ScriptedSink::always(Answer::Hang)).start().unwrap();
    let ended = quiet().sink("sink", ScriptedSink::new()).start().unwrap();
    let mut ended_guard = Some(ended.shutdown_guard(LONG));
    ended.shutdown_blocking(LONG).unwrap().check().unwrap();
    let mut guard = Some(logger.shutdown_guard(10 * LONG));
    logger.set_global().unwrap();
    emit(&logger, 10);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let code = forked(|| {
        let began = Instant::now();
        // Not of a running logger: silent.
        drop(ended_guard.take());
        assert!(!logger.flush_blocking(10 * LONG).unwrap().complete);
        let report = logger.shutdown_blocking(10 * LONG).unwrap();
        assert_eq!((report.check(), report.timed_out, report.accepted), (Ok(()), true, 0));
        assert_eq!(block_on(logger.reopen(10 * LONG)).unwrap_err().failed().count(), 1);
        let event = || Event::new(Level::Info, "t", "no room");
        assert!((0..10).any(|_| block_on(full.emit_wait(event())).is_err()));
        drop(guard.take());
        assert!(began.elapsed() < LONG);
        9
    });
    assert_eq!(code, 9);
    // The parent's logger is as it was.
    emit(&logger, 1);
    drop(guard);
    0
}

pub(super) fn starts_its_own() -> i32 {
    let logger = quiet().sink("sink", ScriptedSink::new()).start().unwrap();
    emit(&logger, 1);
    // The timer thread and the thread of standard error exist.
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let code = forked(|| {
        let hangs = ScriptedSink::always(Answer::Hang);
        let own = to_file().sink("hangs", hangs).name("own").shutdown_timeout(LONG / 100).start().unwrap();
        emit(&own, 10);
        assert!(!own.flush_blocking(LONG / 100).unwrap().complete, "a deadline needs a timer");
        own.set_global().unwrap_or_else(|_: Logger| panic!("the first"));
        9
    });
    assert_eq!(code, 9);
    0
}

#[test]
fn in_a_forked_child_no_call_waits_for_the_parents_logger_and_that_is_reported_once() {
    let file = folder("forked").join("app.log");
    let (status, stderr) = end_of("fork", &file);
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(stderr.matches("this process was forked").count(), 1, "{stderr}");
    assert_eq!(numbers(&file), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
}

#[test]
fn a_logger_that_a_forked_child_starts_delivers_at_its_exit_within_its_time() {
    let file = folder("forked_own").join("app.log");
    let (status, stderr) = end_of("fork-own", &file);
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(numbers(&file).len(), 10, "{FILE}");
    assert!(stderr.contains("logweir: own: the process exits before everything is delivered"), "{stderr}");
    assert!(!stderr.contains("forked"), "{stderr}");
}
