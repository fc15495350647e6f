//! A panic is in the log before the process ends.
//!
//! A child is this test binary again; the roles of the signal tests are here too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use logweir::format::Json;
use logweir::sink::{FileSink, MemorySink};
use logweir::{DropReason, Logger, PanicHook, Pipeline};
use tokio::runtime::{self, Handle};

use crate::children::{FILE, LINES, LONG, ROLE, Running, child_of, emit, folder, numbers, quiet, to_file};
use crate::support::{Answer, ScriptedSink, balance};

pub(crate) fn child(role: &str) -> std::process::Command {
    child_of("panic_hook::the_child", role)
}

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let code = match role.split_once(' ').unwrap_or((&role, "")) {
        ("panics", home) => panics(home),
        ("unwaited", home) => unwaited(home),
        ("feedback", _) => feedback(),
        ("dropped", _) => dropped(),
        ("main", _) => in_main(),
        ("thread", what) => in_a_thread(what),
        #[cfg(all(unix, feature = "signal"))]
        ("serving", _) => crate::signals::serving(),
        #[cfg(all(unix, feature = "signal"))]
        ("signalled", _) => crate::signals::signalled(),
        #[cfg(all(unix, feature = "signal"))]
        ("ended", _) => crate::signals::ended(),
        #[cfg(all(unix, feature = "signal"))]
        ("chosen", _) => crate::signals::chosen(),
        #[cfg(all(unix, feature = "signal"))]
        ("reopening", _) => crate::signals::reopening(),
        #[cfg(all(unix, feature = "signal"))]
        ("waited", how) => crate::signals::waited(how),
        #[cfg(all(unix, feature = "signal"))]
        ("contained", _) => crate::process_end::contained(),
        #[cfg(all(unix, feature = "signal"))]
        ("talkative", _) => crate::process_end::talkative(),
        #[cfg(all(unix, feature = "signal"))]
        ("hung", _) => crate::signals::hung(),
        #[cfg(all(unix, feature = "signal"))]
        ("rotated", _) => crate::signals::rotated(),
        (role, _) => panic!("no such role: {role}"),
    };
    std::process::exit(code);
}

/// What a service does in which every panic is fatal: nobody comes after the hooks.
fn exit_at_panic(code: i32) {
    std::panic::set_hook(Box::new(move |_| std::process::exit(code)));
}

fn multi_thread() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn panics(home: &str) -> i32 {
    exit_at_panic(7);
    let path = std::env::var_os(FILE).unwrap();
    let builder = quiet().sink("file", Pipeline::new(FileSink::new(path).format(Json::new())).timeout(LONG));
    let service = move |logger: Logger| {
        PanicHook::new(&logger.with("request", 7)).wait(LONG).install();
        emit(&logger, 10);
        panic!("a bug in {}", "the service");
    };
    match home {
        "a thread" => {
            let logger = builder.start().unwrap();
            let thread = thread::Builder::new().name("orders".into()).spawn(move || service(logger));
            drop(thread.unwrap().join());
        }
        "beside a runtime" => {
            let logger = builder.start().unwrap();
            current_thread().block_on(async { service(logger) });
        }
        "a worker of its runtime" => {
            let runtime = multi_thread();
            let logger = builder.start_on(runtime.handle()).unwrap();
            drop(runtime.block_on(runtime.spawn(async move { service(logger) })));
        }
        home => panic!("no such home: {home}"),
    }
    0
}

#[test]
fn a_panic_is_in_the_file_before_the_process_ends_with_its_place_its_thread_and_a_backtrace() {
    for (home, name) in [
        ("a thread", "orders"),
        ("beside a runtime", "panic_hook::the_child"),
        ("a worker of its runtime", "tokio-rt-worker"),
    ] {
        let path = folder("panics").join("app.json");
        let mut command = child(&format!("panics {home}"));
        let (status, stderr) = Running::start(command.env(FILE, &path).env_remove("RUST_BACKTRACE")).ends();
        assert_eq!(status.code(), Some(7), "{home}: {stderr}");
        let text = std::fs::read_to_string(&path).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(text.lines().count(), 11, "{home}");
        let has = |needle: &str| assert!(last.to_string().contains(needle), "{home}: no {needle} in {last}");
        has("panicked: a bug in the service");
        has("panic_hook.rs:");
        has(name);
        has("\"request\":7");
        assert!(last.to_string().to_lowercase().contains("\"fatal\""), "{last}");
        let backtrace = last.to_string();
        assert!(backtrace.contains("backtrace") && backtrace.contains("panic_hook::panics"), "{home}: {backtrace}");
    }
}

/// Waits where it is the logger's own progress that it stops; ended by the parent's patience if it does.
fn unwaited(home: &str) -> i32 {
    let sink = ScriptedSink::new();
    let (builder, began) = (quiet().sink("sink", sink.clone()), Instant::now());
    let install = |logger: &Logger| PanicHook::new(logger).wait(10 * LONG).install();
    let report = match home {
        "its runtime" => current_thread().block_on(async {
            let logger = builder.start_on(&Handle::current()).unwrap();
            install(&logger);
            assert!(tokio::spawn(async { panic!("a bug") }).await.is_err());
            logger.shutdown(LONG).await
        }),
        "its thread" => {
            let logger = builder.start().unwrap();
            install(&logger);
            logger.on_shutdown(|| Box::pin(async { panic!("a bug") }));
            logger.shutdown_blocking(LONG).unwrap()
        }
        home => panic!("no such home: {home}"),
    };
    balance(&report, &[("sink", 1)]);
    assert_eq!(sink.messages(), ["panicked: a bug"]);
    assert!(!report.timed_out && began.elapsed() < LONG);
    0
}

#[test]
fn a_panic_where_waiting_would_stop_the_logger_is_logged_and_not_waited_for() {
    for home in ["its runtime", "its thread"] {
        let (status, stderr) = Running::start(&mut child(&format!("unwaited {home}"))).ends();
        assert!(status.success(), "{home}: {status}: {stderr}");
    }
}

fn feedback() -> i32 {
    let sink = ScriptedSink::always(Answer::Panic);
    let logger = quiet().sink("sink", sink.clone()).start().unwrap();
    PanicHook::new(&logger).wait(LONG).install();
    // The sink panics with this event, and with the panic's, which this thread waits for.
    emit(&logger, 1);
    assert!(thread::spawn(|| panic!("a bug")).join().is_err());
    assert!(thread::spawn(|| panic!("another")).join().is_err());
    let report = logger.shutdown_blocking(LONG).unwrap();
    balance(&report, &[("sink", 0)]);
    let [only] = &report.sinks[..] else { panic!("{report}") };
    assert_eq!((report.emitted, only.dropped.get(DropReason::Panicked)), (3, 3));
    // The logger has ended.
    assert!(thread::spawn(|| panic!("a third")).join().is_err());
    assert_eq!(logger.stats().refused.get(DropReason::Closed), 1);
    0
}

#[test]
fn a_sink_that_panics_is_not_logged_by_the_hook_also_not_while_it_writes_a_panic() {
    let (status, stderr) = Running::start(&mut child("feedback")).ends();
    assert!(status.success(), "{status}: {stderr}");
}

fn dropped() -> i32 {
    let memory = MemorySink::new();
    let closes = Arc::new(AtomicBool::new(false));
    let logger = quiet().sink("memory", memory.clone()).start().unwrap();
    let closed = closes.clone();
    logger.on_shutdown(move || {
        closed.store(true, Ordering::Release);
        Box::pin(async { Ok(()) })
    });
    logger.install_panic_hook();
    emit(&logger, 3);
    drop(logger);
    while !closes.load(Ordering::Acquire) {
        thread::yield_now();
    }
    futures::executor::block_on(memory.wait_for(3, LONG)).unwrap();
    // Nobody is there to log it to, sooner or later; nothing comes of it.
    assert!(thread::spawn(|| panic!("a bug")).join().is_err());
    0
}

#[test]
fn the_panic_hook_does_not_keep_a_logger_running_whose_last_handle_is_dropped() {
    let (status, stderr) = Running::start(&mut child("dropped")).ends();
    assert!(status.success(), "{status}: {stderr}");
}

fn in_main() -> i32 {
    let logger = to_file().start().unwrap();
    let _guard = logger.shutdown_guard(LONG);
    emit(&logger, LINES);
    panic!("a bug in main");
}

fn in_a_thread(what: &str) -> i32 {
    let is_guarded = what == "with a guard";
    let service = thread::spawn(move || {
        let logger = to_file().start().unwrap();
        let _guard = is_guarded.then(|| logger.shutdown_guard(LONG));
        emit(&logger, LINES);
        panic!("a bug in a thread");
    });
    assert!(service.join().is_err());
    let path = std::env::var_os(FILE).unwrap();
    // Without a guard nobody has waited: the process lives on, and so does the delivery.
    while !is_guarded && std::fs::read_to_string(&path).unwrap().lines().count() < LINES {
        thread::yield_now();
    }
    0
}

#[test]
fn a_panic_in_main_or_in_a_thread_leaves_all_lines_in_the_file() {
    for (role, code) in [("main", 101), ("thread with a guard", 0), ("thread without a guard", 0)] {
        let path = folder("ends of threads").join("app.log");
        let (status, stderr) = Running::start(child(role).env(FILE, &path)).ends();
        assert_eq!(status.code(), Some(code), "{role}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..LINES), "{role}");
    }
}
