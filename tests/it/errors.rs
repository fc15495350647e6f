//! Every public error: `Display` has its own words, `source` the cause, `Debug` the whole chain with each cause once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

use logweir::error::Diagnostic;
use logweir::filter::Filter;
use logweir::sink::{FileSink, MaintenanceTask, MemorySink, NullSink, Rolling};
use logweir::{Event, Level, LevelFilter, Logger, Pipeline, Sink, SinkError};

use crate::children::folder;
use crate::support::{PATIENCE, ScriptedSink, builder, number, start};

/// The messages of an error and its sources, as a printer of chains prints them.
fn messages(error: &dyn Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        messages.push(cause.to_string());
        source = cause.source();
    }
    messages
}

/// Checks the rule, and what the whole error is.
fn check<E: Error + Debug>(error: &E, expected: &str) {
    let messages = messages(error);
    for (index, message) in messages.iter().enumerate() {
        let others = messages[index + 1..].iter();
        assert!(others.clone().all(|other| !message.contains(other.as_str())), "a cause twice: {messages:?}");
        assert!(!message.is_empty() && !message.contains('\n'), "{messages:?}");
    }
    assert_eq!(messages.join(": "), expected);
    assert_eq!(format!("{error:?}"), expected, "`Debug` is the chain");
    // What `?` out of `main` prints, and what a boxed error is.
    assert_eq!(format!("{error:#?}"), expected);
}

#[test]
fn a_logger_that_does_not_start_says_why_with_each_cause_once() {
    let folder = folder("errors");
    let path = folder.display();
    let directory = io::Error::from_raw_os_error(21);
    let start = |builder: logweir::Builder<'static>| builder.start().map(drop).unwrap_err();
    let to = |pipeline: Pipeline| start(Logger::builder().sink("file", pipeline));
    let reason = "filter directive `app=loud` at column 1: `loud` is not a level; expected trace, debug, info, warn, error, \
                  fatal or off";
    let null = || Logger::builder().sink("null", NullSink);
    check(&start(null().lanes(0)), "cannot start logger: `lanes` is 0; allowed is 1 to 64");
    check(&start(null().filter("app=loud")), &format!("cannot start logger: `filter` is invalid: {reason}"));
    check(
        &to(Pipeline::new(NullSink).filter("app=loud")),
        &format!("cannot start logger: `filter` of sink `file` is invalid: {reason}"),
    );
    #[cfg(target_os = "linux")]
    check(
        &to(FileSink::new(&folder).into()),
        &format!("cannot start logger: sink `file`: cannot open log file `{path}`: {directory}"),
    );
    check(
        &to(FileSink::new(folder.join("a.log")).rolling(Rolling::by_size(0)).into()),
        "cannot start logger: sink `file`: `max_bytes` is 0; allowed is 1 or more",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    check(
        &null().start_on(runtime.handle()).unwrap_err(),
        "cannot start logger: the runtime of `start_on` has no timers (`enable_time`)",
    );
    #[cfg(feature = "prometheus")]
    {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let in_use = io::Error::from_raw_os_error(98);
        #[cfg(target_os = "linux")]
        check(
            &start(null().prometheus(addr)),
            &format!("cannot start logger: `prometheus` cannot listen on {addr}: {in_use}"),
        );
    }
}

#[test]
fn errors_of_files_and_of_filters_have_each_cause_once() {
    let folder = folder("errors_of_files");
    let error = FileSink::new(&folder).open().unwrap_err();
    let source = error.source().unwrap().downcast_ref::<logweir::sink::OpenError>().unwrap();
    let whole = format!("cannot open log file `{}`: {}", folder.display(), source.source);
    check(source, &whole);
    check(&error, &format!("the sink is unusable: {whole}"));
    let error = FileSink::new("x").rolling(Rolling::by_size(0)).open().unwrap_err();
    let source = error.source().unwrap().downcast_ref::<logweir::sink::RollingError>().unwrap();
    check(source, "`max_bytes` is 0; allowed is 1 or more");
    assert_eq!(format!("{:?}", MaintenanceTask::Delete), "Delete");

    let error = "a b".parse::<Filter>().unwrap_err();
    let said = "filter directive `a b` at column 1: a target has no blanks; separate directives by commas; did you mean \
                `a,b`?";
    check(&error, said);
    check(
        &"loud".parse::<LevelFilter>().unwrap_err(),
        "not a level: expected trace, debug, info, warn, error, fatal (or off, for a filter)",
    );
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_running_logger_have_each_cause_once() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(1).sink("a", sink.clone()).sink("b", NullSink)).await;
    check(&logger.set_sink_filter("c", "info").unwrap_err(), "there is no sink `c`; the logger has `a`, `b`");
    check(
        &logger.set_sink_filter("a", "1").unwrap_err(),
        "the filter of sink `a` is invalid: filter directive `1` at column 1: it is not a level; if it is a target, write \
         `1=trace`",
    );
    check(
        &logger.flush_blocking(PATIENCE).unwrap_err(),
        "this call blocks, and the thread belongs to a tokio runtime; await the async twin instead",
    );
    logger.emit(number(0));
    let secret = Event::new(Level::Info, "t", "x").with("password", "hunter2");
    check(&logger.try_emit(secret).unwrap_err(), "the queue has no room for the event");
    drop(logger.shutdown(PATIENCE).await);
    check(&logger.try_emit(number(0)).unwrap_err(), "the logger takes no more events");
    check(&logger.emit_wait(number(0)).await.unwrap_err(), "the event was refused: closed");
    let memory = MemorySink::new();
    check(&memory.wait_for(2, Duration::ZERO).await.unwrap_err(), "waited for 2 events, 0 were written in time");
    // A report is no error of an operation: all of its words are its own.
    let diagnostic = Diagnostic::HookFailed { error: Box::new(SinkError::temporary("busy")) };
    check(&diagnostic, "a shutdown hook failed: the sink failed for now: busy");
}

#[tokio::test]
async fn a_reopen_that_fails_names_each_sink_with_its_error() {
    struct Stuck {
        hangs: bool,
    }
    #[logweir::async_trait]
    impl Sink for Stuck {
        async fn write(&mut self, _: &logweir::Batch) -> Result<(), SinkError> {
            Ok(())
        }
        async fn reopen(&mut self) -> Result<(), SinkError> {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            Err(SinkError::temporary(io::Error::other("no\nplace")))
        }
    }
    let hung = Pipeline::new(Stuck { hangs: true }).timeout(Duration::from_secs(3600));
    let logger = start(builder().sink("stuck", Stuck { hangs: false }).sink("hung", hung)).await;
    let error = logger.reopen(Duration::from_millis(100)).await.unwrap_err();
    check(
        &error,
        "not reopened: sink `stuck`: the sink failed for now: no\\nplace; sink `hung`: did not finish in time",
    );
}

#[cfg(feature = "log")]
#[test]
fn a_log_crate_that_has_a_logger_keeps_the_rule() {
    let logger = builder().sink("null", NullSink).start().unwrap();
    // One of the two is refused, whatever other tests did.
    let error = logger.install_log().and_then(|()| logger.install_log()).unwrap_err();
    let whole = messages(&error).join(": ");
    check(&error, &whole);
    assert_eq!(messages(&error).len(), 2);
}

#[cfg(feature = "config")]
#[test]
fn errors_of_a_configuration_have_each_cause_once() {
    use logweir::config::{Config, SinkRegistry};
    let folder = folder("errors_of_a_configuration");
    let missing = folder.join("missing.toml");
    let not_found = std::fs::File::open(&missing).unwrap_err();
    check(&Config::from_file(&missing).unwrap_err(), &format!("{}: cannot be read: {not_found}", missing.display()));
    check(&Config::from_json("{").unwrap_err(), "text:1:1: not JSON: EOF while parsing an object");
    check(
        &Config::from_toml("filter = '3'").unwrap_err(),
        "text:1: `filter` is '3': filter directive `3` at column 1: it is not a level; if it is a target, write `3=trace`",
    );
    let config = Config::from_toml("lanes = 0\nsinks.q.type = 'queue'").unwrap();
    let sinks = |why: &'static str| {
        SinkRegistry::new().register("queue", move |(): ()| match why {
            "" => Ok(NullSink),
            why => Err(SinkError::permanent(why)),
        })
    };
    let error = config.builder(&sinks("no broker")).err().unwrap();
    check(&error, "text:2: `sinks.q` cannot be created: the sink is unusable: no broker");
    check(&config.builder(&sinks("")).err().unwrap(), "text:1: `lanes` is 0; allowed is 1 to 64");
}
