//! The edges of a logger's life: lanes that fill, panics, signals, and tasks of its own that end before it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent how far it has come")]

#[cfg(all(unix, feature = "signal"))]
use std::fs;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use logweir::error::{Diagnostic, TryEmitError};
use logweir::format::Json;
use logweir::sink::{FileSink, MemorySink};
use logweir::{Backlog, Builder, DropReason, Event, Health, Level, Logger, Overflow, PanicHook, Pipeline, Pressure};
use metrics::{Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::runtime::{self, Handle};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::children::{FILE, LINES, LONG, ROLE, Running, child_of, emit, folder, numbers, quiet, to_file};
use crate::support::{
    Answer, NEVER, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, heavy, number, settle,
    start,
};

/// One poll.
fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

// Reserve

const POLICIES: [Overflow; 3] = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(PATIENCE)];

fn important(number: u64) -> Event {
    Event::dynamic(Level::Warn, "t", &number.to_string())
}

/// Ten places, of which three are for `Warn` and above.
fn reserved() -> Builder<'static> {
    builder().queue_capacity(10).reserve(Level::Warn, 30)
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_refused_to_lesser_events_under_every_policy() {
    for policy in POLICIES {
        let sink = ScriptedSink::new();
        let logger = start(reserved().overflow(policy).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..9);
        let stats = logger.stats();
        assert_eq!((stats.queued, stats.refused.get(DropReason::Shed), stats.refused.total()), (7, 2, 2), "{policy:?}");
        (10..13).for_each(|n| logger.emit(important(n)));
        assert_eq!((logger.stats().queued, logger.stats().refused.total()), (10, 2), "{policy:?}");
        // Full: no lesser event evicts, nor does it wait.
        logger.emit(number(9));
        assert_eq!(logger.stats().evicted.total(), 0, "{policy:?}");
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((report.refused.get(DropReason::Shed), report.refused.total()), (3, 3), "{policy:?}");
        assert_eq!(sink.numbers(), [0, 1, 2, 3, 4, 5, 6, 10, 11, 12], "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_important_event_uses_all_of_the_lane_and_then_the_policy() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().overflow(Overflow::DropOldest).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    (10..15).for_each(|n| logger.emit(important(n)));
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.evicted.get(DropReason::OverflowOldest), report.refused.total()), (2, 0));
    assert_eq!(sink.numbers(), [2, 3, 4, 5, 6, 10, 11, 12, 13, 14]);
}

#[tokio::test(start_paused = true)]
async fn a_shed_event_has_taken_no_bytes() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let before = logger.stats().queued_bytes;
    logger.emit(heavy(7, 4096));
    assert!(matches!(logger.try_emit(heavy(7, 4096)), Err(TryEmitError::Full(_))));
    let stats = logger.stats();
    assert_eq!((stats.queued_bytes, stats.refused.get(DropReason::Shed)), (before, 1));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn try_emit_hands_an_event_back_at_the_reserve_and_counts_nothing() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let refused = logger.try_emit(number(7)).unwrap_err();
    assert!(matches!(&refused, TryEmitError::Full(_)), "{refused:?}");
    assert_eq!(refused.into_event().message().to_string(), "7");
    logger.try_emit(important(8)).unwrap();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, report.refused.total()), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn emit_wait_waits_for_room_in_its_part_and_keeps_the_reserve_free() {
    for policy in POLICIES {
        let sink = ScriptedSink::always(Answer::Gate);
        let builder = reserved().overflow(policy).batch_size(7).sink("sink", sink.clone());
        let logger = start(builder).await;
        emit_numbers(&logger, 0..7);
        let mut waits: Vec<_> = (7..30).map(|n| Box::pin(logger.emit_wait(number(n)))).collect();
        for wait in &mut waits {
            assert!(polled(wait).is_pending(), "{policy:?}");
        }
        // Nobody who waits stands on the reserve.
        (100..103).for_each(|n| logger.emit(important(n)));
        assert_eq!((logger.stats().queued, logger.stats().refused.total()), (10, 0), "{policy:?}");
        sink.open_gate();
        for wait in waits {
            assert_eq!(wait.await, Ok(()), "{policy:?}");
        }
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((report.accepted, report.refused.total(), report.evicted.total()), (33, 0, 0), "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_emit_wait_at_the_reserve_that_is_dropped_is_counted_nowhere_and_leaves_nothing_taken() {
    let sink = ScriptedSink::new();
    let logger = start(reserved().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..7);
    let before = logger.stats().queued_bytes;
    let mut wait = Box::pin(logger.emit_wait(heavy(7, 4096)));
    assert!(polled(&mut wait).is_pending());
    drop(wait);
    assert_eq!(logger.stats().queued_bytes, before);
    assert_eq!((logger.stats().emitted, logger.stats().queued), (7, 7));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_at_the_reserve_is_refused_when_the_logger_closes() {
    let sink = ScriptedSink::always(Answer::Hang);
    let waits = Pipeline::to(sink.clone()).when_full(Backlog::Wait).backlog(1024);
    let logger = start(reserved().max_event_bytes(256).batch_size(1).sink("sink", waits)).await;
    // What the sink's account does not hold stays behind, at last in the lane.
    for n in 0.. {
        logger.emit(number(n));
        settle().await;
        if logger.stats().refused.get(DropReason::Shed) > 0 {
            break;
        }
    }
    let mut wait = Box::pin(logger.emit_wait(number(99)));
    assert!(polled(&mut wait).is_pending());
    let (refused, report) = tokio::join!(wait, logger.shutdown(Duration::from_secs(1)));
    assert_eq!(refused.unwrap_err().reason(), DropReason::Closed);
    report.check().unwrap();
    balance_stats(&logger.stats(), &[("sink", 0)]);
}

/// Waiters granted a place of the whole lane and dropped give it back: those who wait for their part hear of it.
#[tokio::test(start_paused = true)]
async fn a_place_given_back_by_a_cancelled_wait_wakes_who_waits_at_the_reserve() {
    let sink = ScriptedSink::new();
    let builder = builder().queue_capacity(2).reserve(Level::Warn, 50).overflow(Overflow::DropNewest);
    let logger = start(builder.sink("sink", sink.clone())).await;
    logger.emit(number(0));
    logger.emit(important(1));
    let mut granted = [Box::pin(logger.emit_wait(important(2))), Box::pin(logger.emit_wait(important(3)))];
    for wait in &mut granted {
        assert!(polled(wait).is_pending());
    }
    // The drain grants both places; nobody takes them yet.
    sink.has(2).await;
    let mut wait = Box::pin(logger.emit_wait(number(4)));
    assert!(polled(&mut wait).is_pending());
    settle().await;
    drop(granted);
    assert!(polled(&mut wait).is_ready());
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.accepted, 3);
}

#[test]
fn producers_on_many_threads_that_wait_at_the_reserve_lose_nothing_and_never_sleep_for_ever() {
    let sink = ScriptedSink::new();
    let builder = Logger::builder().level(Level::Trace).lanes(1).queue_capacity(16).overflow(Overflow::DropNewest);
    let logger = builder.reserve(Level::Warn, 50).sink("sink", sink.clone()).start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let logger = logger.clone();
                tokio::spawn(async move {
                    for n in 0..500 {
                        let event = if n % 5 == 0 { important(n) } else { number(n) };
                        logger.emit_wait(event).await.unwrap();
                        if n % 7 == task {
                            yield_now().await;
                        }
                    }
                })
            })
            .collect();
        let all = futures::future::join_all(tasks);
        timeout(PATIENCE, all).await.unwrap().into_iter().for_each(|task| task.unwrap());
        end(&logger, &[("sink", &sink)]).await
    });
    assert_eq!((report.accepted, report.refused.total()), (8 * 500, 0));
}

#[test]
fn block_sheds_lesser_events_at_once_also_on_a_thread_that_may_wait() {
    let sink = ScriptedSink::new();
    let builder = reserved().flush_interval(NEVER).overflow(Overflow::Block(10 * PATIENCE));
    let gate = ScriptedSink::always(Answer::Gate);
    let waits = Pipeline::to(gate.clone()).when_full(Backlog::Wait).backlog(1024);
    let builder = builder.max_event_bytes(256).batch_size(1).sink("sink", sink.clone()).sink("gate", waits);
    let logger = builder.start().unwrap();
    let began = Instant::now();
    // The gate holds everything up; from some event on, its part of the lane is full.
    thread::scope(|scope| {
        scope.spawn(|| {
            while logger.stats().refused.get(DropReason::Shed) == 0 {
                logger.emit(number(0));
            }
        });
    });
    assert!(began.elapsed() < PATIENCE);
    gate.open_gate();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("sink", sink.seen()), ("gate", gate.seen())]);
    assert_eq!(report.refused.total(), report.refused.get(DropReason::Shed));
}

#[test]
fn a_reserve_beyond_ninety_percent_is_refused_by_name() {
    let error = Logger::builder().sink("sink", ScriptedSink::new()).reserve(Level::Warn, 91).start().unwrap_err();
    assert_eq!((error.knob(), error.to_string()), (Some("reserve"), "`reserve` is 91; allowed is 0 to 90".to_owned()));
    for percent in [0, 90] {
        let logger = Logger::builder().sink("sink", ScriptedSink::new()).reserve(Level::Warn, percent).start().unwrap();
        Arc::new(logger.shutdown_blocking(PATIENCE).unwrap()).check().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_with_one_place_has_no_reserve_and_no_reserve_sheds_nothing() {
    for (capacity, percent) in [(1, 90), (4, 0)] {
        let sink = ScriptedSink::new();
        let builder = builder().queue_capacity(capacity).reserve(Level::Fatal, percent);
        let logger = start(builder.overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..capacity as u64);
        assert_eq!(logger.stats().refused.total(), 0);
        end(&logger, &[("sink", &sink)]).await;
    }
}

// Pressure

type Heard = Arc<Mutex<Vec<Pressure>>>;

fn listening(builder: Builder<'static>, percent: u8) -> (Builder<'static>, Heard) {
    let heard = Heard::default();
    let hears = heard.clone();
    (builder.on_pressure(percent, move |pressure| hears.lock().unwrap().push(pressure)), heard)
}

fn percents(heard: &Heard) -> Vec<(bool, u8)> {
    heard.lock().unwrap().iter().map(|heard| (matches!(heard, Pressure::Rising { .. }), heard.percent())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fills_is_said_once_and_once_more_when_it_has_emptied() {
    let sink = ScriptedSink::new();
    let (builder, half) = listening(builder().queue_capacity(10), 50);
    let (builder, most) = listening(builder, 90);
    let logger = start(builder.sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..4);
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(percents(&half), []);
    emit_numbers(&logger, 4..10);
    settle().await;
    assert_eq!(percents(&half), [(true, 60), (false, 0)]);
    emit_numbers(&logger, 10..19);
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(percents(&half), [(true, 60), (false, 0), (true, 90), (false, 0)]);
    assert_eq!(percents(&most), [(true, 90), (false, 0)]);
}

#[tokio::test(start_paused = true)]
async fn pressure_lasts_as_long_as_a_sink_holds_everything_up_and_is_noticed_within_an_interval() {
    let sink = ScriptedSink::always(Answer::Gate);
    let waits = Pipeline::to(sink.clone()).when_full(Backlog::Wait).backlog(1024);
    let interval = Duration::from_millis(100);
    let (builder, heard) = listening(builder().queue_capacity(10).overflow(Overflow::DropNewest), 100);
    let logger = start(builder.flush_interval(interval).max_event_bytes(256).batch_size(1).sink("sink", waits)).await;
    for n in 0.. {
        logger.emit(number(n));
        if logger.stats().refused.total() > 0 {
            break;
        }
        settle().await;
    }
    assert!(percents(&heard).len() <= 1);
    tokio::time::sleep(interval).await;
    assert_eq!(percents(&heard), [(true, 100)]);
    tokio::time::sleep(10 * interval).await;
    assert_eq!(percents(&heard), [(true, 100)]);
    sink.open_gate();
    tokio::time::sleep(interval).await;
    assert_eq!(percents(&heard)[1..], [(false, percents(&heard)[1].1)]);
    assert!(percents(&heard)[1].1 < 50);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn the_account_of_bytes_has_a_pressure_too() {
    let sink = ScriptedSink::new();
    let (builder, heard) = listening(builder().queue_capacity(64).memory(1 << 20).max_event_bytes(200_000), 60);
    let logger = start(builder.sink("sink", sink.clone())).await;
    (0..2).for_each(|n| logger.emit(heavy(n, 180_000)));
    end(&logger, &[("sink", &sink)]).await;
    let percents = percents(&heard);
    assert!(matches!(percents[..], [(true, 60..=100), (false, 0..30)]), "{percents:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_pressure_callback_is_reported_and_what_it_logs_is_suppressed() {
    let sink = ScriptedSink::new();
    let (said, logs) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None::<Logger>)));
    let (says, to) = (said.clone(), logs.clone());
    let builder = builder().queue_capacity(10).on_error(move |trouble| {
        // On a busy machine it may also be said that this one is slow.
        if let Diagnostic::CallbackPanicked { .. } = trouble {
            says.lock().unwrap().push(trouble.to_string());
        }
    });
    let builder = builder.on_pressure(50, move |pressure| {
        to.lock().unwrap().as_ref().unwrap().emit(number(99));
        assert!(matches!(pressure, Pressure::Falling { .. }), "scripted");
    });
    let logger = start(builder.sink("sink", sink.clone())).await;
    *logs.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..10);
    settle().await;
    assert_eq!(said.lock().unwrap()[..], ["the callback `on_pressure` panicked"]);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, logger.stats().suppressed), (10, 2));
    drop(logs.lock().unwrap().take());
}

#[test]
fn a_pressure_of_nothing_or_beyond_full_is_refused_by_name() {
    for percent in [0, 101] {
        let builder = Logger::builder().sink("sink", ScriptedSink::new()).on_pressure(50, |_| {});
        let error = builder.on_pressure(percent, |_| {}).start().unwrap_err();
        assert_eq!(error.to_string(), format!("`on_pressure` is {percent}; allowed is 1 to 100"));
    }
}

// Tasks of ours that end before their time

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
        if let Diagnostic::WorkerGone { lost } = trouble {
            says.lock().unwrap().push(*lost);
        }
    });
    (builder, said)
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_reads_the_books_and_panics_as_they_are_closed_takes_nobodys_report() {
    let sink = ScriptedSink::new();
    let logger = start(builder().metrics(&BUGGY_END).sink("sink", sink.clone())).await;
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
    assert!(matches!(logger.health(), Health::Gone { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_sink_task_that_ends_by_itself_ends_the_logger_and_the_other_sinks_get_what_there_is() {
    let (a, b) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    let (builder, said) = saying(builder().metrics(&BUGGY_SINK));
    let logger = start(builder.batch_size(1).sink("a", a.clone()).sink("b", b.clone())).await;
    emit_numbers(&logger, 0..3);
    let flushed = timeout(Duration::from_millis(10), logger.flush(PATIENCE)).await;
    assert!(flushed.is_err(), "neither sink answers");
    assert_eq!((b.seen(), a.seen()), (1, 0));
    assert_eq!(logger.health(), Health::Draining);
    logger.emit(number(3));
    assert_eq!(logger.stats().refused.get(DropReason::WorkerGone), 1);
    a.open_gate();
    let report = logger.shutdown(PATIENCE).await;
    assert!(matches!(logger.health(), Health::Gone { .. }));
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
    let (builder, said) = saying(builder().metrics(&BUGGY_SINK).shutdown_timeout(Duration::from_secs(2)));
    let hangs = Pipeline::to(a.clone()).timeout(NEVER).when_full(Backlog::Wait);
    let logger = start(builder.batch_size(1).sink("a", hangs).sink("b", b.clone())).await;
    emit_numbers(&logger, 0..3);
    drop(timeout(Duration::from_millis(10), logger.flush(PATIENCE)).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(logger.health(), Health::Gone { .. }));
    logger.emit(number(3));
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("a", 0), ("b", 0)]);
    assert!(report.timed_out);
    assert_eq!(logger.stats().refused.get(DropReason::WorkerGone), 1);
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_task_that_panics_ends_the_logger_and_is_said_once() {
    let sink = ScriptedSink::new();
    let (builder, said) = saying(builder().metrics(&BUGGY_WORKER));
    let logger = start(builder.batch_size(1).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..3);
    assert!(!logger.flush(PATIENCE).await.complete);
    assert!(matches!(logger.health(), Health::Gone { .. }));
    logger.emit(number(3));
    let refused = logger.emit_wait(number(4)).await.unwrap_err();
    assert_eq!(refused.reason(), DropReason::WorkerGone);
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("sink", sink.seen())]);
    assert_eq!(logger.stats().refused.get(DropReason::WorkerGone), 2);
    assert_eq!(report.sinks[0].dropped.get(DropReason::Panicked) + report.sinks[0].unconfirmed, 3);
    assert_eq!(said.lock().unwrap()[..], [3]);
}

#[test]
fn a_task_that_ends_by_itself_on_the_loggers_own_thread_is_said_once_and_ends_the_logger() {
    for buggy in [&BUGGY_SINK, &BUGGY_WORKER] {
        let (a, b) = (ScriptedSink::new(), ScriptedSink::new());
        let (builder, said) = saying(builder().metrics(buggy));
        let logger = builder.sink("a", a.clone()).sink("b", b.clone()).start().unwrap();
        emit_numbers(&logger, 0..3);
        assert!(!logger.flush_blocking(Duration::from_secs(1)).unwrap().complete);
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("a", a.seen()), ("b", 0)]);
        assert!(matches!(logger.health(), Health::Gone { .. }));
        logger.emit(number(3));
        assert_eq!(logger.stats().refused.get(DropReason::WorkerGone), 1);
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

// Panics and signals: processes of their own

fn child(role: &str) -> std::process::Command {
    child_of("ends::the_child", role)
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
        ("signalled", _) => signalled(),
        #[cfg(all(unix, feature = "signal"))]
        ("ended", _) => ended(),
        #[cfg(all(unix, feature = "signal"))]
        ("hung", _) => hung(),
        #[cfg(all(unix, feature = "signal"))]
        ("rotated", _) => rotated(),
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
    let builder = quiet().sink("file", Pipeline::to(FileSink::new(path).format(Json::new())).timeout(LONG));
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
        ("beside a runtime", "ends::the_child"),
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
        has("ends.rs:");
        has(name);
        has("\"request\":7");
        assert!(last.to_string().to_lowercase().contains("\"fatal\""), "{last}");
        let backtrace = last.to_string();
        assert!(backtrace.contains("backtrace") && backtrace.contains("ends::panics"), "{home}: {backtrace}");
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
    logweir::panic_hook(&logger);
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

#[cfg(all(unix, feature = "signal"))]
mod signals {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{ChildStderr, Command};
    use std::sync::mpsc;

    fn send(running: &Running, signal: &str) {
        let line = format!("kill -{signal} {}", running.0.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }

    /// Standard error up to a line, and the rest of it.
    fn until(running: &mut Running, line: &'static str) {
        let mut stderr = BufReader::new(running.0.stderr.take().unwrap());
        let (found, finds) = mpsc::channel::<Option<BufReader<ChildStderr>>>();
        thread::spawn(move || {
            let mut read = String::new();
            while stderr.read_line(&mut read).unwrap() > 0 {
                if read.lines().last() == Some(line) {
                    return found.send(Some(stderr)).unwrap_or_default();
                }
            }
            found.send(None).unwrap_or_default();
        });
        let stderr = finds.recv_timeout(LONG).expect("in time").expect("it is said");
        running.0.stderr = Some(stderr.into_inner());
    }

    #[test]
    fn a_signal_delivers_everything_and_ends_the_process_with_128_and_its_number() {
        for (signal, code) in [("TERM", 143), ("INT", 130)] {
            let path = folder("signalled").join("app.log");
            let mut running = Running::start(child("signalled").env(FILE, &path));
            until(&mut running, "ready");
            send(&running, signal);
            let (status, stderr) = running.ends();
            assert_eq!(status.code(), Some(code), "{signal}: {status}: {stderr}");
            assert!(numbers(&path).into_iter().eq(0..LINES), "{signal}");
        }
    }

    #[test]
    fn a_second_signal_ends_the_process_at_once_also_with_a_sink_that_hangs() {
        let mut running = Running::start(&mut child("hung"));
        until(&mut running, "ready");
        send(&running, "INT");
        until(&mut running, "draining");
        send(&running, "TERM");
        let (status, stderr) = running.ends();
        assert_eq!(status.code(), Some(143), "{status}: {stderr}");
    }

    #[test]
    fn a_signal_after_the_loggers_end_still_ends_the_process() {
        let mut running = Running::start(&mut child("ended"));
        until(&mut running, "ready");
        send(&running, "TERM");
        let (status, stderr) = running.ends();
        assert_eq!(status.code(), Some(143), "{status}: {stderr}");
    }

    #[test]
    fn sighup_after_a_rename_opens_the_file_again() {
        let folder = folder("rotated");
        let (path, moved) = (folder.join("app.log"), folder.join("app.log.1"));
        let mut running = Running::start(child("rotated").env(FILE, &path));
        until(&mut running, "ready");
        fs::rename(&path, &moved).unwrap();
        send(&running, "HUP");
        let (status, stderr) = running.ends();
        assert!(status.success(), "{status}: {stderr}");
        assert_eq!((numbers(&moved), numbers(&path)), (vec![0, 1], vec![0, 1, 2]));
    }
}

#[cfg(all(unix, feature = "signal"))]
fn park() -> ! {
    eprintln!("ready");
    loop {
        thread::park();
    }
}

#[cfg(all(unix, feature = "signal"))]
fn signalled() -> i32 {
    let logger = to_file().start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    emit(&logger, LINES);
    park();
}

#[cfg(all(unix, feature = "signal"))]
fn hung() -> i32 {
    let hangs = Pipeline::to(ScriptedSink::always(Answer::Hang)).timeout(10 * LONG);
    let logger = quiet().sink("hangs", hangs).start().unwrap();
    logger.shutdown_on_signal(10 * LONG).unwrap();
    logger.on_shutdown(|| {
        eprintln!("draining");
        Box::pin(async { Ok(()) })
    });
    emit(&logger, 1);
    park();
}

#[cfg(all(unix, feature = "signal"))]
fn ended() -> i32 {
    let logger = quiet().sink("sink", ScriptedSink::new()).start().unwrap();
    logger.shutdown_on_signal(10 * LONG).unwrap();
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
    drop(logger);
    park();
}

#[cfg(all(unix, feature = "signal"))]
fn rotated() -> i32 {
    use std::os::unix::fs::MetadataExt;
    let logger = to_file().start().unwrap();
    logger.reopen_on_sighup().unwrap();
    emit(&logger, 2);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let path = std::env::var_os(FILE).unwrap();
    let file = || fs::metadata(&path).ok().map(|file| file.ino());
    let before = file();
    eprintln!("ready");
    // Moved away it is another file, once it is there again.
    while file().is_none_or(|now| Some(now) == before) {
        thread::yield_now();
    }
    emit(&logger, 3);
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
    0
}
