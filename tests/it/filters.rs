//! Filters while the logger runs: replaced, for a time, from the environment, and each sink's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent")]

use std::error::Error as _;
use std::process::ExitStatus;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use logweir::filter::Filter;
use logweir::sink::{MemorySink, NullSink};
use logweir::{Event, Level, Logger, Pipeline, WhenFull, info, warn};
use tokio::time::sleep;

use crate::children::{ROLE, Running, child_of};
use crate::support::{Answer, PATIENCE, ScriptedSink, builder, end, number, settle, start};

mod directives;

const SECOND: Duration = Duration::from_secs(1);

fn on_its_own_thread() -> Logger {
    builder().sink("null", NullSink).start().unwrap()
}

/// Raises its flag when dropped.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_replaced_filter_decides_from_the_next_call_on_and_no_call_is_decided_by_a_mixture() {
    let logger = on_its_own_thread();
    // They agree on `app` at `Warn` and at `Debug`, and on nothing else that is asked below.
    let [one, other] = ["warn,app=info,db=off", "debug,app=warn,db=trace"];
    logger.set_filter(one).unwrap();
    let (over, together) = (AtomicBool::new(false), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                together.wait();
                while !over.load(Ordering::Relaxed) {
                    assert!(logger.enabled(Level::Warn, "app::http") && !logger.enabled(Level::Debug, "app::http"));
                    let (mut passed, mut evaluated) = (false, false);
                    warn!(logger: logger, target: "app", "x", a = { passed = true; 1 });
                    logweir::debug!(logger: logger, target: "app", "x", a = { evaluated = true; 1 });
                    assert!(passed && !evaluated);
                }
            });
        }
        // Also when this thread fails: the others would go on for ever.
        let _over = Raised(&over);
        together.wait();
        for round in 0..20_000 {
            let (filter, db) = if round % 2 == 0 { (one, false) } else { (other, true) };
            logger.set_filter(filter).unwrap();
            let mut called = false;
            info!(logger: logger, target: "db", "x", a = { called = true; 1 });
            let asked = logger.enabled(Level::Info, "db");
            assert_eq!((called, asked, logger.filter()), (db, db, filter.parse().unwrap()), "round {round}");
        }
    });
}

#[test]
fn another_thread_that_hears_of_the_new_filter_is_decided_by_it() {
    let logger = on_its_own_thread();
    let (heard, hear) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for expected in hear {
                let asked = (logger.enabled(Level::Info, "db"), logger.enabled(Level::Info, "app"));
                let mut called = false;
                info!(logger: logger, target: "db", "x", a = { called = true; 1 });
                assert_eq!((asked, called), ((expected, true), expected));
                done.send(()).unwrap();
            }
        });
        for round in 0..2000 {
            let on = round % 2 == 0;
            logger.set_filter(if on { "info,db=trace" } else { "info,db=off" }).unwrap();
            heard.send(on).unwrap();
            wait.recv_timeout(PATIENCE).unwrap();
        }
        drop(heard);
    });
}

/// What is in force, on a test's runtime with its clock paused.
async fn timed() -> Logger {
    let logger = start(builder().filter("warn").sink("null", NullSink)).await;
    assert_eq!(logger.filter().to_string(), "warn");
    logger
}

#[tokio::test(start_paused = true)]
async fn a_filter_set_for_a_time_is_in_force_for_that_time_and_the_one_before_comes_back_by_itself() {
    let logger = timed().await;
    logger.set_temporary_filter("debug,app=trace", 10 * SECOND).unwrap();
    assert!(logger.enabled(Level::Debug, "x") && logger.enabled(Level::Trace, "app"));
    sleep(10 * SECOND - Duration::from_millis(1)).await;
    assert_eq!(logger.filter().to_string(), "debug,app=trace");
    sleep(Duration::from_millis(2)).await;
    assert_eq!(logger.filter().to_string(), "warn");
    assert!(!logger.enabled(Level::Info, "app"));
}

#[tokio::test(start_paused = true)]
async fn of_several_filters_for_a_time_the_latest_counts_and_the_permanent_one_comes_back() {
    let logger = timed().await;
    logger.set_temporary_filter("info", 20 * SECOND).unwrap();
    sleep(SECOND).await;
    logger.set_temporary_filter("debug", 5 * SECOND).unwrap();
    sleep(6 * SECOND).await;
    // Not `info`, whose time would not be over: it was replaced.
    assert_eq!(logger.filter().to_string(), "warn");
    sleep(30 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "warn");
    // The same one again takes its new time, not the rest of the old one.
    logger.set_temporary_filter("debug", 5 * SECOND).unwrap();
    sleep(4 * SECOND).await;
    logger.set_temporary_filter("debug", 5 * SECOND).unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "debug");
    sleep(2 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "warn");
}

#[tokio::test(start_paused = true)]
async fn a_filter_set_for_good_ends_the_one_for_a_time_and_is_what_comes_back_later() {
    let logger = timed().await;
    logger.set_temporary_filter("debug", 5 * SECOND).unwrap();
    sleep(SECOND).await;
    logger.set_filter("error").unwrap();
    assert_eq!(logger.filter().to_string(), "error");
    sleep(10 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "error", "the time that was over has ended nothing");
    logger.set_temporary_filter("trace", SECOND).unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "error");
}

#[tokio::test(start_paused = true)]
async fn a_time_without_end_has_none_and_a_wrong_directive_changes_nothing() {
    let logger = timed().await;
    logger.set_temporary_filter("debug", Duration::MAX).unwrap();
    sleep(Duration::from_secs(86_400 * 365)).await;
    assert_eq!(logger.filter().to_string(), "debug");
    let error = logger.set_temporary_filter("info,app=loud", SECOND).unwrap_err();
    assert_eq!((error.directive(), error.column()), ("app=loud", 6));
    logger.set_filter("info,app=loud").unwrap_err();
    sleep(2 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "debug");
}

#[tokio::test(start_paused = true)]
async fn a_filter_for_a_time_ends_also_while_the_queue_waits_for_a_sink_that_hangs() {
    let sink = ScriptedSink::always(Answer::Hang);
    let pipeline =
        Pipeline::new(sink.clone()).timeout(Duration::from_secs(3600)).when_full(WhenFull::Block).backlog_bytes(1024);
    let builder = builder().memory_limit(1 << 20).queue_capacity(64).max_event_bytes(256);
    let logger = start(builder.filter("info").sink("hung", pipeline)).await;
    (0..64).for_each(|n| logger.emit(number(n)));
    let flushed = logger.flush(SECOND).await;
    assert!(flushed.queued > 0, "{flushed:?}");
    logger.set_temporary_filter("debug", 10 * SECOND).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "debug");
    sleep(2 * SECOND).await;
    assert_eq!(logger.filter().to_string(), "info");
}

#[tokio::test(start_paused = true)]
async fn a_filter_for_a_time_ends_also_while_the_logger_closes() {
    let sink = ScriptedSink::always(Answer::Hang);
    let logger = start(builder().sink("hung", Pipeline::new(sink.clone()).timeout(60 * SECOND))).await;
    logger.emit(number(0));
    let ending = tokio::spawn({
        let logger = logger.clone();
        async move { logger.shutdown(30 * SECOND).await }
    });
    sink.begun(1).await;
    logger.set_temporary_filter("off", 5 * SECOND).unwrap();
    sleep(6 * SECOND).await;
    assert_eq!((logger.filter().to_string().as_str(), ending.is_finished()), ("trace", false));
    assert!(ending.await.unwrap().timed_out);
}

#[test]
fn a_logger_on_its_own_thread_keeps_the_time_of_a_filter_by_itself() {
    let logger = on_its_own_thread();
    let since = Instant::now();
    logger.set_temporary_filter("off", Duration::from_millis(200)).unwrap();
    while logger.filter().to_string() == "off" {
        assert!(since.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(since.elapsed() >= Duration::from_millis(200));
    assert_eq!(logger.filter().to_string(), "trace");
}

/// One of each level from each of many call sites, more than a sink keeps answers for.
fn from_many_call_sites(logger: &Logger) {
    macro_rules! ten_times {
        ($($call:tt)*) => { $($call)* $($call)* $($call)* $($call)* $($call)* $($call)* $($call)* $($call)* $($call)* $($call)* };
    }
    ten_times! { ten_times! {
        info!(logger: logger, target: "app", "1");
        info!(logger: logger, target: "app::db", "2");
        warn!(logger: logger, target: "app::db", "3");
    } }
}

#[tokio::test(start_paused = true)]
async fn a_sink_gets_what_its_filter_passes_whatever_the_call_site_and_the_rest_counts_as_filtered() {
    let (all, some) = (ScriptedSink::new(), ScriptedSink::new());
    let filtered = Pipeline::new(some.clone()).filter("off,app=info,app::db=warn");
    let logger = start(builder().sink("all", all.clone()).sink("some", filtered)).await;
    from_many_call_sites(&logger);
    // No call site of its own: its target is its own.
    logger.emit(Event::new(Level::Info, "app::db::pool", "4"));
    logger.emit(Event::new(Level::Info, "other", "5"));
    let report = end(&logger, &[("all", &all), ("some", &some)]).await;
    assert_eq!(all.seen(), 302);
    let expected: Vec<_> =
        all.messages().into_iter().filter(|message| ["1", "3"].contains(&message.as_str())).collect();
    assert_eq!(some.messages(), expected);
    assert_eq!((report.sinks[0].filtered, report.sinks[1].filtered), (0, 102));
}

#[tokio::test(start_paused = true)]
async fn a_sinks_filter_is_replaced_while_it_runs_for_all_that_is_not_handed_out() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("file", Pipeline::new(sink.clone()).level(Level::Error))).await;
    let emit = |message: &str| logger.emit(Event::new(Level::Info, "app", message));
    emit("0");
    assert!(logger.flush(PATIENCE).await.complete);
    emit("1");
    logger.set_sink_filter("file", "error,app=info").unwrap();
    emit("2");
    assert!(logger.flush(PATIENCE).await.complete);
    logger.set_sink_filter("file", "off").unwrap();
    emit("3");
    let report = end(&logger, &[("file", &sink)]).await;
    assert_eq!((sink.messages(), report.sinks[0].filtered), (vec!["1".into(), "2".into()], 2));
}

#[test]
fn what_is_wrong_with_a_sinks_filter_is_said_with_the_sink_the_directive_and_its_column() {
    let start = |pipeline: Pipeline| builder().sink("audit", pipeline).start();
    for error in [
        start(Pipeline::new(NullSink).filter("info,app=loud")).unwrap_err(),
        start(Pipeline::new(NullSink).level(Level::Warn).filter("info,app=loud")).unwrap_err(),
    ] {
        assert_eq!(error.option(), Some("filter"));
        let said = "cannot start logger: `filter` of sink `audit` is invalid: filter directive `app=loud` at column 6: \
                    `loud` is not a level; expected trace, debug, info, warn, error, fatal or off";
        assert_eq!(format!("{error:?}"), said);
        assert!(error.source().is_some_and(|source| source.is::<logweir::filter::ParseFilterError>()));
    }
    let chain = Pipeline::new(NullSink).fallback(Pipeline::new(NullSink).filter("a=1"));
    let error = format!("{:?}", start(chain).unwrap_err());
    assert!(error.contains("sink `audit: fallback` is invalid: filter directive `a=1`"), "{error}");
    // The last call counts.
    let logger = start(Pipeline::new(NullSink).filter("info,app=loud").level(Level::Warn)).unwrap();

    let unknown = logger.set_sink_filter("adit", "info").unwrap_err();
    assert_eq!((unknown.sink(), unknown.parse_error()), ("adit", None));
    assert_eq!(unknown.to_string(), "there is no sink `adit`; the logger has `audit`");
    let wrong = logger.set_sink_filter("audit", "info,app=loud").unwrap_err();
    assert_eq!(wrong.parse_error().map(|error| (error.directive(), error.column())), Some(("app=loud", 6)));
    let said = format!("{wrong:?}");
    assert!(
        said.starts_with("the filter of sink `audit` is invalid: filter directive `app=loud` at column 6"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_at_the_end_is_filtered_by_the_sinks_filter_first() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("file", Pipeline::new(sink.clone()).filter("off,app=info"))).await;
    logger.emit(Event::new(Level::Info, "app", "0"));
    logger.emit(Event::new(Level::Info, "other", "1"));
    // Ended at once: nothing was handed out, and the books are closed by this call.
    let report = logger.shutdown(Duration::ZERO).await;
    report.check().unwrap();
    let file = &report.sinks[0];
    assert_eq!((file.filtered, file.routed, file.dropped.total()), (1, 1, 1));
    settle().await;
}

/// The filter a process has whose environment has these variables; or what `start` says.
fn in_a_process_with(variables: &[(&str, &str)]) -> (ExitStatus, String, Vec<String>) {
    let mut child = child_of("filters::the_child", "filter");
    child.env_remove("LOGWEIR_LOG").env_remove("RUST_LOG").envs(variables.iter().copied());
    let (status, text) = Running::start(&mut child).ends();
    let said = text.lines().find_map(|line| line.strip_prefix("FILTER ")).unwrap_or_default();
    let reports = text.lines().filter(|line| line.starts_with("logweir")).map(str::to_owned).collect();
    (status, said.to_owned(), reports)
}

#[test]
fn the_child() {
    if std::env::var(ROLE).as_deref() != Ok("filter") {
        return;
    }
    let logger = Logger::builder().filter("error").filter_from_env().sink("memory", MemorySink::new()).start().unwrap();
    eprintln!("FILTER {}", logger.filter());
    drop(logger.shutdown_blocking(PATIENCE).unwrap());
    // The last call counts: a filter given later is what it is, and nothing is reported of the other.
    let later =
        Logger::builder().filter_from_env().level(Level::Warn).sink("memory", MemorySink::new()).start().unwrap();
    assert_eq!(later.filter(), Filter::from(Level::Warn));
}

#[test]
fn a_process_takes_its_filter_from_its_environment() {
    for (variables, filter) in [
        (&[][..], "error"),
        (&[("RUST_LOG", "warn,app=debug")], "warn,app=debug"),
        (&[("LOGWEIR_LOG", "trace"), ("RUST_LOG", "warn")], "trace"),
        (&[("LOGWEIR_LOG", ""), ("RUST_LOG", " ")], "error"),
    ] {
        let (status, said, reports) = in_a_process_with(variables);
        assert!(status.success());
        assert_eq!((said.as_str(), reports.len()), (filter, 0), "{variables:?}: {reports:?}");
    }
}

#[test]
fn a_variable_that_others_share_neither_stops_nor_silences_the_service_and_is_reported_once() {
    let rest = "environment variable `RUST_LOG`: skipped, the rest applies: filter directive `app[span]=debug` at column 6: \
                span and field directives are not supported; expected `[target][=level]`";
    let nothing = "environment variable `RUST_LOG`: skipped, the filter stays as it was: filter directive `\"info\"` at \
                   column 1: quotes are not part of a filter; did you mean `info`?";
    for (text, filter, report) in [("warn,app[span]=debug", "warn", rest), ("\"info\"", "error", nothing)] {
        let (status, said, reports) = in_a_process_with(&[("RUST_LOG", text)]);
        assert!(status.success());
        assert_eq!((said.as_str(), reports), (filter, vec![format!("logweir: {report}")]));
    }
}

#[test]
fn a_filter_says_what_it_allows() {
    let filter: Filter = "info,app=off".parse().unwrap();
    assert!(
        filter.allows(Level::Info, "x") && !filter.allows(Level::Debug, "x") && !filter.allows(Level::Fatal, "app")
    );
}
