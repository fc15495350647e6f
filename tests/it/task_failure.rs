//! Tasks of a logger that end before it does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use logweir::error::{Diagnostic, TryEmitError};
use logweir::{Builder, DropReason, Logger, Pipeline, State, WhenFull};
use metrics::{Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::time::timeout;

use crate::support::{Answer, NEVER, PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, number, start};

/// A recorder with a bug: one histogram, of one sink if it says so, or one gauge panics.
struct Buggy {
    histogram: &'static str,
    sink: Option<&'static str>,
}

struct Panics;

impl HistogramFn for Panics {
    fn record(&self, _: f64) {
        panic!("scripted");
    }
}

/// The logger whose statistics a recorder reads as it is told the last thing.
static READ: OnceLock<Logger> = OnceLock::new();

/// All is well but the last thing it is told.
impl GaugeFn for Panics {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, seconds: f64) {
        let stats = READ.get().filter(|_| seconds > 0.0).map(Logger::stats);
        assert!(stats.is_none(), "scripted");
    }
}

impl Recorder for Buggy {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == self.histogram { Gauge::from_arc(Arc::new(Panics)) } else { Gauge::noop() }
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let sink = key.labels().find(|label| label.key() == "sink").map(|label| label.value());
        let is_it = key.name() == self.histogram && (self.sink.is_none() || self.sink == sink);
        if is_it { Histogram::from_arc(Arc::new(Panics)) } else { Histogram::noop() }
    }
}

const BUGGY_SINK: Buggy = Buggy { histogram: "logweir_sink_write_seconds", sink: Some("b") };
const BUGGY_END: Buggy = Buggy { histogram: "logweir_shutdown_seconds", sink: None };
const BUGGY_WORKER: Buggy = Buggy { histogram: "logweir_batch_events", sink: None };

/// How often it was said that a task is gone.
fn saying(builder: Builder<'_>) -> (Builder<'_>, Arc<Mutex<Vec<u64>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let says = said.clone();
    let builder = builder.on_error(move |trouble| {
        if let Diagnostic::TaskFailed { lost } = trouble {
            says.lock().unwrap().push(*lost);
        }
    });
    (builder, said)
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_reads_the_books_and_panics_as_they_are_closed_takes_nobodys_report() {
    let sink = ScriptedSink::new();
    let logger = start(builder().metrics_recorder(&BUGGY_END).sink("sink", sink.clone())).await;
    drop(READ.set(logger.clone()));
    emit_numbers(&logger, 0..3);
    // The time the shutdown took is told to the recorder only if it took any.
    logger.on_shutdown(|| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        })
    });
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("sink", 3)]);
    assert_eq!(report, logger.shutdown(PATIENCE).await);
    assert!(matches!(logger.state(), State::Stopped { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_sink_task_that_ends_by_itself_ends_the_logger_and_the_other_sinks_get_what_there_is() {
    let (a, b) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    let (builder, said) = saying(builder().metrics_recorder(&BUGGY_SINK));
    let logger = start(builder.batch_size(1).sink("a", a.clone()).sink("b", b.clone())).await;
    emit_numbers(&logger, 0..3);
    let flushed = timeout(Duration::from_millis(10), logger.flush(PATIENCE)).await;
    assert!(flushed.is_err(), "neither sink answers");
    assert_eq!((b.seen(), a.seen()), (1, 0));
    assert_eq!(logger.state(), State::ShuttingDown);
    logger.emit(number(3));
    assert_eq!(logger.stats().refused.get(DropReason::TaskFailed), 1);
    a.open_gate();
    let report = logger.shutdown(PATIENCE).await;
    assert!(matches!(logger.state(), State::Stopped { .. }));
    // What the dead task was writing is nobody's to know.
    balance(&report, &[("a", a.seen()), ("b", 0)]);
    assert_eq!(a.numbers(), [0, 1, 2]);
    let of_b = report.sink("b").unwrap();
    assert_eq!((of_b.unconfirmed, of_b.dropped.get(DropReason::Panicked), of_b.dropped.total()), (1, 2, 2));
    assert_eq!(said.lock().unwrap()[..], [3], "once");
    assert!(matches!(logger.try_emit(number(4)), Err(TryEmitError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_sink_task_that_ends_by_itself_is_said_also_if_another_sink_holds_everything_up_until_the_deadline() {
    let (a, b) = (ScriptedSink::always(Answer::Hang), ScriptedSink::new());
    let (builder, said) = saying(builder().metrics_recorder(&BUGGY_SINK).shutdown_timeout(Duration::from_secs(2)));
    let hangs = Pipeline::new(a.clone()).timeout(NEVER).when_full(WhenFull::Block);
    let logger = start(builder.batch_size(1).sink("a", hangs).sink("b", b.clone())).await;
    emit_numbers(&logger, 0..3);
    drop(timeout(Duration::from_millis(10), logger.flush(PATIENCE)).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(logger.state(), State::Stopped { .. }));
    logger.emit(number(3));
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("a", 0), ("b", 0)]);
    assert!(report.timed_out);
    assert_eq!(logger.stats().refused.get(DropReason::TaskFailed), 1);
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_task_that_panics_ends_the_logger_and_is_said_once() {
    let sink = ScriptedSink::new();
    let (builder, said) = saying(builder().metrics_recorder(&BUGGY_WORKER));
    let logger = start(builder.batch_size(1).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..3);
    assert!(!logger.flush(PATIENCE).await.complete);
    assert!(matches!(logger.state(), State::Stopped { .. }));
    logger.emit(number(3));
    let refused = logger.emit_wait(number(4)).await.unwrap_err();
    assert_eq!(refused.reason(), DropReason::TaskFailed);
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("sink", sink.seen())]);
    assert_eq!(logger.stats().refused.get(DropReason::TaskFailed), 2);
    assert_eq!(report.sinks[0].dropped.get(DropReason::Panicked) + report.sinks[0].unconfirmed, 3);
    assert_eq!(said.lock().unwrap()[..], [3]);
}

#[test]
fn a_task_that_ends_by_itself_on_the_loggers_own_thread_is_said_once_and_ends_the_logger() {
    for buggy in [&BUGGY_SINK, &BUGGY_WORKER] {
        let (a, b) = (ScriptedSink::new(), ScriptedSink::new());
        let (builder, said) = saying(builder().metrics_recorder(buggy));
        let logger = builder.sink("a", a.clone()).sink("b", b.clone()).start().unwrap();
        emit_numbers(&logger, 0..3);
        assert!(!logger.flush_blocking(Duration::from_secs(1)).unwrap().complete);
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("a", a.seen()), ("b", 0)]);
        assert!(matches!(logger.state(), State::Stopped { .. }));
        logger.emit(number(3));
        assert_eq!(logger.stats().refused.get(DropReason::TaskFailed), 1);
        assert_eq!(said.lock().unwrap().len(), 1);
    }
}

/// All of its events are settled: nothing is gone but itself.
#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_when_it_is_dropped_costs_nothing() {
    struct Fragile(ScriptedSink);
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("scripted");
        }
    }
    #[logweir::async_trait]
    impl logweir::Sink for Fragile {
        async fn write(&mut self, batch: &logweir::Batch) -> Result<(), logweir::SinkError> {
            self.0.write(batch).await
        }
    }
    let sink = ScriptedSink::new();
    let (builder, said) = saying(builder());
    let logger = start(builder.sink("sink", Fragile(sink.clone()))).await;
    emit_numbers(&logger, 0..3);
    end(&logger, &[("sink", &sink)]).await;
    logger.emit(number(3));
    assert_eq!(logger.stats().refused.get(DropReason::Closed), 1);
    assert!(said.lock().unwrap().is_empty());
}
