//! The way out: what becomes of a batch at a sink that fails, hangs, panics or answers late; and what is said of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::error::Diagnostic;
use logweir::sink::ErrorKind;
use logweir::stats::SinkReport;
use logweir::{Batch, Builder, DropReason, Event, Level, Logger, Overflow, Pipeline, Sink, SinkError, async_trait};
use tokio::time::timeout;

use crate::support::{
    Answer, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, number, once, settle, start,
};

const SECOND: Duration = Duration::from_secs(1);

fn one_by_one() -> Builder<'static> {
    builder().batch_size(1)
}

/// A pipeline whose time is short, whatever the shutdown's is.
fn brief(sink: &ScriptedSink) -> Pipeline {
    once(sink.clone()).timeout(SECOND)
}

fn errors(sink: &SinkReport) -> Vec<(ErrorKind, u64)> {
    ErrorKind::ALL.into_iter().map(|kind| (kind, sink.errors_of(kind))).filter(|(_, count)| *count > 0).collect()
}

// How a write ends

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_drops_under_its_own_reason() {
    for (answer, reason, kind) in [
        (Answer::Temporary, DropReason::RetriesExhausted, ErrorKind::Temporary),
        (Answer::Rejected, DropReason::Rejected, ErrorKind::Rejected),
        (Answer::Permanent, DropReason::SinkFailed, ErrorKind::Permanent),
        (Answer::Panic, DropReason::Panicked, ErrorKind::Panic),
    ] {
        let sink = ScriptedSink::new().writes([Answer::Ok, answer, Answer::Ok]);
        let logger = start(one_by_one().sink("sink", once(sink.clone()))).await;
        emit_numbers(&logger, 0..3);
        let report = end(&logger, &[("sink", &sink)]).await;
        let booked = &report.sinks[0];
        assert_eq!((booked.dropped.get(reason), booked.dropped.total()), (1, 1), "{booked}");
        assert_eq!((booked.errors, errors(booked)), (1, vec![(kind, 1)]));
        assert_eq!(booked.last_error.as_ref().unwrap().kind, kind);
        assert_eq!(sink.numbers(), [0, 2], "the task goes on");
        assert_eq!(sink.closed(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_write_delivered_counts_as_delivered() {
    let sink = ScriptedSink::new().writes([Answer::Delivered(7), Answer::Delivered(0), Answer::Delivered(10)]);
    let logger = start(builder().batch_size(10).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..40);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.sinks[0].delivered, report.sinks[0].dropped.get(DropReason::RetriesExhausted)), (27, 13));
    assert_eq!(sink.numbers(), (0..7).chain(20..40).collect::<Vec<_>>());
    // A sink that claims more than it was given is believed up to what it was given.
    struct Boaster;
    #[async_trait]
    impl Sink for Boaster {
        async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            Err(SinkError::temporary("all of it, and more").delivered(batch.len() + 5))
        }
    }
    let logger = start(builder().sink("boaster", Boaster)).await;
    emit_numbers(&logger, 0..3);
    balance(&logger.shutdown(PATIENCE).await, &[("boaster", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_too_long_ends_unconfirmed_and_the_next_begins() {
    let sink = ScriptedSink::new().writes([Answer::Ok, Answer::Hang, Answer::Slow(SECOND / 2)]);
    let logger = start(one_by_one().sink("sink", brief(&sink))).await;
    emit_numbers(&logger, 0..4);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.unconfirmed, booked.delivered, booked.dropped.total()), (1, 3, 0));
    assert_eq!(errors(booked), [(ErrorKind::Timeout, 1)]);
    assert!(booked.last_error.as_ref().unwrap().message.contains("`write` within 1s"), "{booked:?}");
    assert_eq!(sink.numbers(), [0, 2, 3]);
    assert_eq!(sink.batch_sizes(), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_outlives_timeouts_gets_no_second_write_before_its_late_answer_which_is_booked() {
    let sink = ScriptedSink::new().writes([Answer::Gate, Answer::GateThenTemporary]).outliving();
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", brief(&sink))).await;
    emit_numbers(&logger, 0..4);
    tokio::time::sleep(10 * SECOND).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.sinks[0].unconfirmed, stats.sinks[0].in_flight, stats.sinks[0].backlog), (1, 0, 3));
    assert_eq!(sink.batch_sizes(), [1], "no second write");
    assert!(!logger.flush(SECOND).await.sinks[0].flushed);
    assert_eq!(sink.flushed(), 0, "nor a flush");

    sink.release(1);
    sink.begun(2).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 1)]);
    assert_eq!((stats.sinks[0].unconfirmed, stats.sinks[0].in_flight), (0, 1));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((logger.stats().sinks[0].unconfirmed, sink.batch_sizes().len()), (1, 2));

    // The second late answer is a failure: now it is known what became of the event.
    sink.release(1);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.unconfirmed, booked.dropped.get(DropReason::RetriesExhausted)), (0, 1));
    assert_eq!(sink.numbers(), [0, 2, 3]);
    assert_eq!(errors(booked), [(ErrorKind::Temporary, 1), (ErrorKind::Timeout, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_write_is_a_future_is_caught_too() {
    /// Written without `async`: the panic is in the call itself.
    struct Eager(u64);
    impl Sink for Eager {
        fn write<'s, 'b, 'f>(
            &'s mut self,
            batch: &'b Batch,
        ) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'f>>
        where
            's: 'f,
            'b: 'f,
        {
            self.0 += 1;
            assert!(self.0 != 2, "scripted");
            let events = batch.len();
            Box::pin(async move { if events == 1 { Ok(()) } else { Err(SinkError::rejected("one at a time")) } })
        }
    }
    let logger = start(one_by_one().sink("eager", Eager(0))).await;
    emit_numbers(&logger, 0..5);
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("eager", 4)]);
    assert_eq!((report.sinks[0].dropped.get(DropReason::Panicked), report.timed_out), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_fails_panics_or_hangs_is_an_error_of_that_sink_alone() {
    for (answer, kind) in [
        (Answer::Temporary, ErrorKind::Temporary),
        (Answer::Panic, ErrorKind::Panic),
        (Answer::Hang, ErrorKind::Timeout),
    ] {
        let (bad, good) = (ScriptedSink::new().flushes([answer]), ScriptedSink::new());
        let logger = start(builder().sink("bad", brief(&bad)).sink("good", good.clone())).await;
        emit_numbers(&logger, 0..3);
        let report = logger.flush(PATIENCE).await;
        assert!(!report.complete && report.sinks[1].flushed && !report.sinks[0].flushed, "{report:?}");
        assert_eq!(report.sinks[0].error.as_ref().unwrap().kind, kind);
        assert_eq!((report.sinks[0].pending, bad.seen(), good.seen()), (0, 3, 3));
        assert!(logger.flush(PATIENCE).await.complete, "the next one is its own");
        let report = end(&logger, &[("bad", &bad), ("good", &good)]).await;
        assert_eq!(report.sinks[0].errors, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_gets_its_level_and_what_it_does_not_get_is_filtered() {
    let sinks: Vec<_> = Level::ALL.into_iter().map(|level| (level, ScriptedSink::new())).collect();
    let mut builder = builder();
    for (level, sink) in &sinks {
        builder = builder.sink(level.as_str(), Pipeline::to(sink.clone()).level(*level));
    }
    let logger = start(builder).await;
    for round in 0..10 {
        for level in Level::ALL {
            logger.emit(Event::dynamic(level, "t", &(round * 10 + level as u64).to_string()));
        }
    }
    let seen: Vec<_> = sinks.iter().map(|(level, sink)| (level.as_str(), sink)).collect();
    let report = end(&logger, &seen).await;
    for (booked, (level, sink)) in report.sinks.iter().zip(&sinks) {
        assert_eq!((booked.filtered, booked.routed), (*level as u64 * 10, 60 - *level as u64 * 10));
        assert!(sink.taken().iter().all(|seen| seen.level >= *level));
        assert!(sink.numbers().is_sorted());
    }
}

// What is said of it

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn handler(&self) -> impl Fn(&Diagnostic) + Send + Sync + 'static {
        let said = self.0.clone();
        move |diagnostic| said.lock().unwrap().push(diagnostic.to_string())
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_once_and_the_next_one_again() {
    use Answer::{Ok, Permanent, Temporary};
    let (said, sink) = (Said::default(), ScriptedSink::new());
    let sink = sink.writes([Ok, Temporary, Temporary, Temporary, Ok, Temporary, Temporary, Permanent, Permanent, Ok]);
    let logger = start(one_by_one().on_error(said.handler()).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..20);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.sinks[0].errors, 7);
    let (busy, broken) =
        ("sink `sink`: the sink failed for now: busy", "sink `sink`: the sink is unusable: broken pipe");
    assert_eq!(said.lines(), [busy, busy, broken]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_error_is_caught_and_it_goes_on_being_called() {
    let calls = Arc::new(Mutex::new(0));
    let handler = {
        let calls = calls.clone();
        move |_: &Diagnostic| {
            *calls.lock().unwrap() += 1;
            panic!("scripted")
        }
    };
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Permanent, Answer::Rejected]);
    let logger = start(one_by_one().on_error(handler).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..10);
    end(&logger, &[("sink", &sink)]).await;
    // Poisoned by the panic, like the count itself: three, and nothing stopped.
    let calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert_eq!((*calls, sink.seen()), (3, 7));
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_when_and_why_with_its_sources() {
    let sink = ScriptedSink::new().writes([Answer::Permanent]);
    let logger = start(one_by_one().sink("sink", sink.clone())).await;
    assert_eq!((logger.stats().sinks[0].errors, &logger.stats().sinks[0].last_error), (0, &None));
    let before = std::time::SystemTime::now();
    emit_numbers(&logger, 0..2);
    assert!(logger.flush(PATIENCE).await.complete);
    let stats = logger.stats();
    let error = stats.sinks[0].last_error.as_ref().unwrap();
    assert_eq!((error.kind, &*error.message), (ErrorKind::Permanent, "the sink is unusable: broken pipe"));
    assert!(before <= error.at && error.at <= std::time::SystemTime::now());
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn latency_percentiles_are_right_to_a_percent_and_can_be_reset() {
    let slow = |millis| Answer::Slow(Duration::from_millis(millis));
    let sink = ScriptedSink::always(slow(10));
    let logger = start(one_by_one().sink("sink", sink.clone())).await;
    assert_eq!(logger.stats().sinks[0].p50, None);
    emit_numbers(&logger, 0..95);
    assert!(logger.flush(PATIENCE).await.complete);
    let is = |got: Option<Duration>, millis: f64| {
        let got = got.unwrap().as_secs_f64() * 1000.0;
        // One percent, and the millisecond that tokio's timers are rounded up to.
        assert!((millis * 0.99..=(millis + 1.0) * 1.01).contains(&got), "{got} is not {millis}");
    };
    let stats = logger.stats();
    [stats.sinks[0].p50, stats.sinks[0].p95, stats.sinks[0].p99].into_iter().for_each(|got| is(got, 10.0));

    let sink = sink.writes([slow(500), slow(500), slow(500), slow(500), slow(500)]);
    emit_numbers(&logger, 95..100);
    assert!(logger.flush(PATIENCE).await.complete);
    let stats = logger.stats();
    is(stats.sinks[0].p50, 10.0);
    is(stats.sinks[0].p99, 500.0);

    logger.reset_latency();
    assert_eq!((logger.stats().sinks[0].p50, logger.stats().sinks[0].p99), (None, None));
    let sink = sink.writes([slow(200)]);
    emit_numbers(&logger, [100]);
    assert!(logger.flush(PATIENCE).await.complete);
    is(logger.stats().sinks[0].p50, 200.0);
    end(&logger, &[("sink", &sink)]).await;
}

// No feedback

#[tokio::test(start_paused = true)]
async fn what_a_sink_logs_is_suppressed_and_counted() {
    let sink = ScriptedSink::new();
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", sink.clone())).await;
    sink.log_to(&logger);
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    // One in each write, one in the flush.
    assert_eq!((logger.stats().suppressed, logger.stats().emitted), (4, 3));
    sink.be_quiet();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.suppressed, report.emitted), (4, 3));
    assert_eq!(sink.numbers(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn every_way_in_is_suppressed_for_a_sink_also_in_tasks_it_wraps() {
    struct Spawns(Option<Logger>, Arc<Mutex<Option<Logger>>>);
    #[async_trait]
    impl Sink for Spawns {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            if self.0.is_none() {
                self.0 = self.1.lock().unwrap().take();
            }
            let Some(logger) = self.0.clone() else { return Ok(()) };
            logger.try_emit(number(100)).unwrap();
            logger.emit_wait(number(101)).await.unwrap();
            let inner = logger.clone();
            let wrapped = logweir::suppress(async move {
                inner.emit(number(102));
                tokio::task::yield_now().await;
                inner.emit(number(103));
            });
            tokio::spawn(wrapped).await.unwrap();
            // After an await it still is.
            logger.emit(number(104));
            Ok(())
        }

        async fn close(&mut self) -> Result<(), SinkError> {
            self.0 = None;
            Ok(())
        }
    }
    let (slot, sink) = (Arc::new(Mutex::new(None)), ScriptedSink::new());
    let logger = start(builder().sink("spawns", Spawns(None, slot.clone())).sink("sink", sink.clone())).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    // What others log meanwhile is not.
    logger.emit(number(3));
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("spawns", 4), ("sink", sink.seen())]);
    assert_eq!((report.suppressed, report.emitted), (10, 4));
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_on_error_logs_is_suppressed() {
    let slot: Arc<Mutex<Option<Logger>>> = Arc::default();
    let handler = {
        let slot = slot.clone();
        move |_: &Diagnostic| slot.lock().unwrap().iter().for_each(|logger| logger.emit(number(100)))
    };
    let sink = ScriptedSink::new().writes([Answer::Temporary]);
    let logger = start(one_by_one().on_error(handler).sink("sink", sink.clone())).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.suppressed, report.emitted), (1, 3));
    slot.lock().unwrap().take();
}

// Reopen

#[tokio::test(start_paused = true)]
async fn a_reopen_reaches_every_sink_and_names_those_that_failed() {
    let (good, bad, hung) = (
        ScriptedSink::new(),
        ScriptedSink::new().reopens([Answer::Permanent]),
        ScriptedSink::new().reopens([Answer::Hang]),
    );
    let builder = builder().sink("good", good.clone()).sink("bad", bad.clone()).sink("hung", brief(&hung));
    let logger = start(builder).await;
    let error = logger.reopen(PATIENCE).await.unwrap_err();
    let failed: Vec<_> = error.failed().map(|(name, error)| (name, error.map(|error| error.kind))).collect();
    assert_eq!(failed, [("bad", Some(ErrorKind::Permanent)), ("hung", Some(ErrorKind::Timeout))]);
    assert!(error.to_string().contains("sink `bad`: the sink is unusable: broken pipe"), "{error}");
    // The next time all is well.
    logger.reopen(PATIENCE).await.unwrap();
    assert_eq!([&good, &bad, &hung].map(ScriptedSink::reopened), [2; 3]);
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("good", &good), ("bad", &bad), ("hung", &hung)]).await;
    assert_eq!(report.sinks.iter().map(|sink| sink.errors).collect::<Vec<_>>(), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_reopen_asked_for_during_another_is_answered_by_one_of_its_own() {
    let sink = ScriptedSink::new().reopens([Answer::Gate, Answer::Gate]);
    let logger = start(builder().sink("sink", sink.clone())).await;
    let mut first = std::pin::pin!(logger.reopen(PATIENCE));
    assert!(timeout(SECOND, first.as_mut()).await.is_err());
    // The file is moved again here; the reopen that is under way may have opened the one before.
    let mut second = std::pin::pin!(logger.reopen(PATIENCE));
    assert!(timeout(SECOND, second.as_mut()).await.is_err());
    assert_eq!(sink.reopened(), 1);
    sink.release(1);
    first.await.unwrap();
    assert!(timeout(SECOND, second.as_mut()).await.is_err(), "its own has not been answered");
    assert_eq!(sink.reopened(), 2);
    sink.release(1);
    second.await.unwrap();
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reopen_after_the_end_fails_at_once() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("sink", sink.clone())).await;
    end(&logger, &[("sink", &sink)]).await;
    let before = tokio::time::Instant::now();
    assert!(logger.reopen(PATIENCE).await.is_err());
    assert_eq!((before.elapsed(), sink.reopened()), (Duration::ZERO, 0));
}

// Flush as a barrier

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_accepted_before_it_and_says_what_is_pending() {
    let (sink, other) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    let pipeline = Pipeline::to(sink.clone()).timeout(PATIENCE * 10);
    let logger = start(one_by_one().sink("sink", pipeline).sink("other", other.clone())).await;
    emit_numbers(&logger, 0..3);
    let report = logger.flush(SECOND).await;
    assert_eq!((report.complete, report.queued), (false, 0));
    assert_eq!((report.sinks[0].flushed, report.sinks[0].pending), (false, 3));
    assert_eq!((report.sinks[1].flushed, report.sinks[1].pending), (true, 0));

    let mut flush = std::pin::pin!(logger.flush(PATIENCE));
    assert!(timeout(SECOND, flush.as_mut()).await.is_err());
    // Logged after the flush was asked for: it does not wait for these.
    emit_numbers(&logger, 3..5);
    sink.release(3);
    assert!(flush.await.complete);
    assert_eq!(sink.seen(), 3);
    sink.open_gate();
    end(&logger, &[("sink", &sink), ("other", &other)]).await;
}

#[tokio::test(start_paused = true)]
async fn many_flushes_at_once_are_all_answered() {
    let sink = ScriptedSink::always(Answer::Slow(Duration::from_millis(1)));
    let logger = start(one_by_one().overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    let flushes: Vec<_> = (0..200)
        .map(|n| {
            let logger = logger.clone();
            tokio::spawn(async move {
                logger.emit(number(n));
                if n % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                logger.flush(PATIENCE).await.complete
            })
        })
        .collect();
    for flush in flushes {
        assert!(flush.await.unwrap());
    }
    assert_eq!(sink.seen(), 200);
    // A flush that nobody waits for any more disturbs none.
    let abandoned = tokio::spawn({
        let logger = logger.clone();
        async move { logger.flush(PATIENCE).await }
    });
    settle().await;
    abandoned.abort();
    assert!(logger.flush(PATIENCE).await.complete);
    end(&logger, &[("sink", &sink)]).await;
}
