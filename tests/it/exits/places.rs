//! Exits where a wait for the logger would stop it, reports at the exit, and events after a guard.

use std::fs;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use logweir::error::Diagnostic;
use logweir::sink::BlockingSink;
use logweir::{Batch, Blocking, Event, Level, Pipeline, Sink, SinkError, State, async_trait};
use tokio::runtime;

use super::end_of;
use crate::children::{LONG, emit, folder, numbers, to_file};
use crate::support::{Answer, ScriptedSink};

/// Exits in its write.
struct Exits;

#[async_trait]
impl Sink for Exits {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        process::exit(4)
    }
}

impl BlockingSink for Exits {
    fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        process::exit(4)
    }
}

/// The logger has a file, and a time for its shutdown that no child lives through.
pub(super) fn exits_in(place: &str) -> i32 {
    let builder = to_file().shutdown_timeout(10 * LONG).name("place");
    match place {
        "a sink's poll" => {
            let logger = builder.sink("exits", Pipeline::new(Exits).timeout(10 * LONG)).start().unwrap();
            emit(&logger, 10);
            drop(logger.flush_blocking(10 * LONG));
        }
        "a sink's thread" => {
            let exits = Blocking::new(Exits);
            let logger = builder.sink("exits", Pipeline::new(exits).timeout(10 * LONG)).start().unwrap();
            emit(&logger, 10);
            drop(logger.flush_blocking(10 * LONG));
        }
        "a hook" => {
            let logger = builder.start().unwrap();
            emit(&logger, 10);
            logger.on_shutdown(|| Box::pin(async { logweir::exit(4) }));
            drop(logger.shutdown_blocking(10 * LONG));
        }
        "its runtime" | "its runtime, by exit()" => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let logger = builder.start_on(runtime.handle()).unwrap();
            runtime.block_on(async {
                emit(&logger, 10);
                if place == "its runtime" { process::exit(4) } else { logweir::exit(4) }
            });
        }
        place => panic!("no such place: {place}"),
    }
    // The exit of the other thread ends the process.
    loop {
        thread::park();
    }
}

#[test]
fn an_exit_on_a_thread_that_the_logger_needs_ends_it_at_once_and_reports_the_loss() {
    for place in ["a sink's poll", "a hook", "its runtime", "its runtime, by exit()"] {
        let file = folder("exit_places").join("app.log");
        let began = Instant::now();
        let (status, stderr) = end_of(&format!("place {place}"), &file);
        assert_eq!(status.code(), Some(4), "{place}: {stderr}");
        assert!(began.elapsed() < LONG, "{place}");
        let line = stderr.lines().find(|line| line.contains("the process exits before")).unwrap_or_default();
        assert!(line.starts_with("logweir: place: ") && line.contains("sink `"), "{place}: {stderr}");
    }
}

#[test]
fn an_exit_on_a_sinks_own_thread_costs_half_a_second_and_what_that_sink_has() {
    let file = folder("exit_sink_thread").join("app.log");
    let began = Instant::now();
    let (status, stderr) = end_of("place a sink's thread", &file);
    assert_eq!(status.code(), Some(4), "{stderr}");
    assert!(began.elapsed() < LONG);
    assert!(numbers(&file).into_iter().eq(0..10));
    assert!(stderr.contains("sink `exits`: 0 events lost, 10 unconfirmed") && !stderr.contains("`file`"), "{stderr}");
}

pub(super) fn with_a_handler() -> i32 {
    let hangs = Pipeline::new(ScriptedSink::always(Answer::Hang)).timeout(LONG);
    let builder = to_file().sink("hangs", hangs).shutdown_timeout(Duration::from_millis(200));
    let handler = |error: &Diagnostic| {
        if let Diagnostic::UndeliveredAtExit { report } = error {
            eprintln!("handled: {} {}", report.sinks[0].delivered, report.sinks[1].unconfirmed);
        }
    };
    emit(&builder.on_error(handler).start().unwrap(), 10);
    0
}

#[test]
fn the_handler_gets_the_report_of_the_exit() {
    let (status, stderr) = end_of("handler", &folder("exit_handler").join("app.log"));
    assert!(status.success(), "{status}: {stderr}");
    // A handler that is not called in time leaves its report to standard error.
    assert!(
        stderr.contains("handled: 10 10") || stderr.contains("sink `hangs`: 0 events lost, 10 unconfirmed"),
        "{stderr}"
    );
}

/// A service's async main returns while a task on another thread still works, and logs when the guard is dropped.
pub(super) fn logs_late(guard: &str) -> i32 {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let logger = to_file().name("late").start().unwrap();
    logger.set_global().unwrap();
    let has_guard = guard == "guard";
    runtime.block_on(async move {
        let _guard = has_guard.then(|| logger.shutdown_guard(LONG));
        let (began, begins) = mpsc::channel();
        tokio::spawn(async move {
            began.send(()).unwrap();
            let logger = logweir::global().unwrap();
            // In one poll, which the drop of the runtime waits for. Without a guard it ends before the logger does.
            while has_guard && !matches!(logger.state(), State::Stopped { .. }) {
                thread::yield_now();
            }
            logger.emit(Event::new(Level::Info, "t", "request 0 answered"));
        });
        begins.recv().unwrap();
    });
    0
}

#[test]
fn what_tasks_log_after_a_guard_in_an_async_main_is_reported_and_without_the_guard_delivered() {
    let file = folder("late").join("app.log");
    let (status, stderr) = end_of("late guard", &file);
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(
        stderr.matches("logweir: late: events logged after the shutdown, which are lost: 1;").count(),
        1,
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    let (status, stderr) = end_of("late", &file);
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!(stderr, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), "request 0 answered\n");
}
