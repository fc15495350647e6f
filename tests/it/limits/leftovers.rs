//! What an ended logger leaves in the process: nothing.

use std::process::Stdio;
use std::time::Instant;

use logweir::{Logger, info};

use crate::children::{ROLE, Running, child_of};
use crate::support::{PATIENCE, ScriptedSink};

#[test]
fn loggers_that_were_dropped_leave_no_thread_and_no_descriptor_and_their_hooks_ran() {
    let mut child = Running::start(child_of("limits::leftovers::the_child", "leave").stdout(Stdio::null()));
    let (status, text) = child.ends();
    assert!(status.success(), "{status}: {text}");
}

/// What the process keeps, once, for all its loggers: the timer thread, the handlers of signals.
const ONCE: usize = 5;

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

#[test]
fn the_child() {
    if std::env::var(ROLE).is_err() {
        return;
    }
    let sink = ScriptedSink::new();
    let one = || {
        let logger = Logger::builder().sink("sink", sink.clone()).start().unwrap();
        #[cfg(feature = "signal")]
        logger.reopen_on_sighup().unwrap();
        let weak = logger.downgrade();
        logger.on_shutdown(move || {
            Box::pin(async move {
                weak.upgrade().iter().for_each(|logger| info!(logger: logger, "the last"));
                Ok(())
            })
        });
    };
    let wait_for = |what: &str, is_there: &dyn Fn() -> bool| {
        let since = Instant::now();
        while !is_there() {
            assert!(since.elapsed() < PATIENCE, "{what}");
            std::thread::yield_now();
        }
    };
    let held = || (entries("/proc/self/task"), entries("/proc/self/fd"));
    let before = held();
    (0..50).for_each(|_| one());
    wait_for("every hook", &|| sink.seen() == 50);
    wait_for("threads and descriptors", &|| {
        let (threads, descriptors) = held();
        threads <= before.0 + ONCE && descriptors <= before.1 + 2 * ONCE
    });
    std::process::exit(0);
}
