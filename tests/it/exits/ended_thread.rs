//! Calls on a thread whose thread-locals are dropped: in `atexit`, and in the destructor of a thread-local.

use std::cell::RefCell;
use std::fs;
use std::sync::OnceLock;
use std::thread;

use logweir::{Logger, ShutdownGuard};
use tokio::runtime::{Builder, Handle};

use super::end_of;
use crate::children::{LONG, emit, folder, numbers, to_file};

/// Tokio's thread-locals exist on this thread, and are dropped before those made before the call.
fn use_tokio() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::task::yield_now().await });
}

fn are_tokios_thread_locals_dropped() -> bool {
    Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// Flushes, shuts down and drops a guard.
fn end(logger: &Logger, guard: ShutdownGuard) {
    assert!(are_tokios_thread_locals_dropped());
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    emit(logger, 1);
    drop(guard);
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    assert_eq!((report.accepted, report.sinks[0].delivered, report.timed_out), (11, 11, false));
    eprintln!("ended");
}

pub(super) fn in_a_thread_local() -> i32 {
    struct Ends(Logger, Option<ShutdownGuard>);
    impl Drop for Ends {
        fn drop(&mut self) {
            end(&self.0, self.1.take().unwrap());
        }
    }
    thread_local! {
        static ENDS: RefCell<Option<Ends>> = const { RefCell::new(None) };
    }
    let ended = thread::spawn(|| {
        ENDS.with_borrow_mut(|ends| *ends = None);
        use_tokio();
        let logger = to_file().start().unwrap();
        let guard = logger.shutdown_guard(LONG);
        emit(&logger, 10);
        ENDS.with_borrow_mut(|ends| *ends = Some(Ends(logger, Some(guard))));
    });
    ended.join().unwrap();
    0
}

pub(super) fn in_atexit() -> i32 {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    extern "C" fn at_exit() {
        let logger = LOGGER.get().unwrap();
        end(logger, logger.shutdown_guard(LONG));
    }
    use_tokio();
    let logger = LOGGER.get_or_init(|| to_file().start().unwrap());
    emit(logger, 10);
    #[allow(unsafe_code, reason = "`atexit` itself; the function is never unloaded")]
    // SAFETY: the function belongs to the program, and does not unwind out of it: a panic aborts.
    unsafe {
        dtor::at_binary_exit(at_exit);
    }
    0
}

#[test]
fn guards_and_blocking_calls_work_where_the_thread_locals_of_tokio_are_dropped() {
    // On systems without glibc, an exit does not drop the thread-locals of the thread that exits.
    let roles: &[&str] = if cfg!(all(target_os = "linux", target_env = "gnu")) {
        &["thread-local", "atexit"]
    } else {
        &["thread-local"]
    };
    for role in roles {
        let file = folder(&format!("ended_{role}")).join("app.log");
        let (status, stderr) = end_of(role, &file);
        assert!(status.success(), "{role}: {status}: {stderr}");
        assert!(stderr.lines().any(|line| line == "ended"), "{role}: {stderr}");
        assert_eq!(numbers(&file), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0], "{role}: {}", fs::read_to_string(&file).unwrap());
    }
}

#[cfg(feature = "opentelemetry")]
pub(super) fn with_opentelemetry(first: &str) -> i32 {
    use tracing_subscriber::prelude::*;

    struct Logs;
    impl Drop for Logs {
        fn drop(&mut self) {
            tracing::info!("line 2");
        }
    }
    thread_local! {
        static LOGS: RefCell<Option<Logs>> = const { RefCell::new(None) };
    }
    let logger = to_file().start().unwrap();
    logger.install_panic_hook();
    tracing_subscriber::registry().with(logger.tracing_layer()).init();
    let first = first.to_owned();
    let ended = thread::spawn(move || {
        LOGS.with_borrow_mut(|logs| *logs = Some(Logs));
        // From here on, OpenTelemetry's record of this thread exists, and is dropped before `LOGS`.
        match &*first {
            "event" => tracing::info!("line 1"),
            "span" => tracing::info_span!("work").in_scope(|| {
                drop(opentelemetry::Context::current().attach());
            }),
            first => panic!("no such first use: {first}"),
        }
    });
    ended.join().unwrap();
    0
}

#[cfg(feature = "opentelemetry")]
#[test]
fn an_event_after_the_end_of_opentelemetrys_thread_local_is_logged_without_a_panic() {
    for (first, expected) in [("event", &["line 1", "line 2"][..]), ("span", &["line 2"])] {
        let file = folder(&format!("ended_otel_{first}")).join("app.log");
        let (status, stderr) = end_of(&format!("otel {first}"), &file);
        assert!(status.success(), "{first}: {status}: {stderr}");
        assert_eq!(stderr, "", "{first}");
        assert_eq!(fs::read_to_string(&file).unwrap().lines().collect::<Vec<_>>(), expected, "{first}");
    }
}
