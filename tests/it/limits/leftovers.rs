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
    // What the process has once: the timer thread, the handlers of signals.
    one();
    wait_for("the first hook", &|| sink.seen() == 1);
    let settled = || (entries("/proc/self/task"), entries("/proc/self/fd"));
    let mut before = settled();
    wait_for("the first logger", &|| settled() == settled());
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        before = before.min(settled());
    }
    (0..50).for_each(|_| one());
    wait_for("every hook", &|| sink.seen() == 51);
    wait_for("threads and descriptors", &|| {
        let (threads, descriptors) = settled();
        threads <= before.0 && descriptors <= before.1
    });
    std::process::exit(0);
}
