//! The breaker: when it opens, when it probes and when it closes.

use std::sync::{Arc, Mutex};

use logweir::error::Diagnostic;
use logweir::{Breaker, BreakerState, DropReason, Level, Logger, Pipeline};
use tokio::time::Instant;

use crate::support::{Answer, PATIENCE, ScriptedSink, balance_stats, builder, emit_numbers, end, number, start};

use super::{MS, SECOND, Told, is_about, one_by_one, quick};

#[tokio::test(start_paused = true)]
async fn a_permanent_error_opens_the_breaker_until_a_probe_succeeds() {
    let sink = ScriptedSink::new().writes([Answer::Ok, Answer::Permanent]);
    let logger = start(builder().batch_size(10).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..40);
    assert!(logger.flush(PATIENCE).await.complete, "nothing waits for a sink that is unusable");
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 10)]);
    let dropped = stats.sinks[0].dropped;
    assert_eq!((dropped.get(DropReason::SinkFailed), dropped.get(DropReason::BreakerOpen)), (10, 20));
    assert_eq!((stats.sinks[0].breaker, sink.batch_sizes().len()), (BreakerState::Open, 2));
    tokio::time::sleep(SECOND).await;
    emit_numbers(&logger, 40..60);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.sinks[0].breaker, report.sinks[0].breaker_opened), (BreakerState::Closed, 1));
    assert_eq!(sink.numbers(), (0..10).chain(40..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_unusable_and_then_fails_for_now_is_waited_for_again() {
    let sink = ScriptedSink::always(Answer::Temporary).writes([Answer::Permanent]);
    let breaker = Breaker::default().failure_threshold(1).probe_delay(SECOND).max_probe_delay(SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(quick()).breaker(breaker);
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..1);
    assert!(logger.flush(PATIENCE).await.complete, "nothing waits for a sink that is unusable");
    assert!(logger.reset_breaker("sink"));
    emit_numbers(&logger, 1..4);
    let mut flush = std::pin::pin!(logger.flush(1000 * SECOND));
    assert!(tokio::time::timeout(3 * SECOND, flush.as_mut()).await.is_err());
    sink.turn(Answer::Ok);
    assert!(flush.await.complete);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sinks[0].dropped.get(DropReason::SinkFailed)), (vec![1, 2, 3], 1));
    assert_eq!(report.sinks[0].dropped.total(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_opens_after_five_failures_and_each_probe_that_fails_doubles_the_delay() {
    use BreakerState::{Closed, HalfOpen, Open};
    let (sink, told) = (ScriptedSink::always(Answer::Temporary), Told::default());
    let breaker = Breaker::default().probe_delay(SECOND).max_probe_delay(4 * SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(quick()).breaker(breaker).on_breaker(told.callback());
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..3);
    let mut flush = std::pin::pin!(logger.flush(1000 * SECOND));
    assert!(tokio::time::timeout(10 * SECOND, flush.as_mut()).await.is_err());
    sink.turn(Answer::Ok);
    assert!(flush.await.complete);
    let pauses = sink.pauses();
    assert!(pauses[..4].iter().all(|pause| *pause <= 2 * MS), "{pauses:?}");
    for (pause, seconds) in pauses[4..8].iter().zip([1, 2, 4, 4]) {
        assert!(is_about(*pause, seconds * SECOND), "{pauses:?}");
    }
    assert_eq!(told.states(), [Open, HalfOpen, Open, HalfOpen, Open, HalfOpen, Open, HalfOpen, Closed]);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sinks[0].breaker_opened, report.sinks[0].retries), (vec![0, 1, 2], 1, 8));
}

#[tokio::test(start_paused = true)]
async fn recovery_costs_at_most_one_probe_interval() {
    for offset in [0, 100, 399, 1000, 1234] {
        let sink = ScriptedSink::always(Answer::Temporary);
        let breaker = Breaker::default().probe_delay(400 * MS).max_probe_delay(400 * MS);
        let pipeline = Pipeline::new(sink.clone()).retry(quick()).breaker(breaker);
        let logger = start(one_by_one().sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..100);
        assert!(!logger.flush(10 * SECOND + offset * MS).await.complete);
        sink.turn(Answer::Ok);
        let back = Instant::now();
        sink.has(100).await;
        assert!(back.elapsed() < 500 * MS, "{:?}", back.elapsed());
        end(&logger, &[("sink", &sink)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_closes_the_breaker_and_what_waits_is_written_at_once() {
    let (sink, told) = (ScriptedSink::always(Answer::Temporary), Told::default());
    let breaker = Breaker::default().probe_delay(1000 * SECOND).max_probe_delay(1000 * SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(quick()).breaker(breaker).on_breaker(told.callback());
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..3);
    assert!(!logger.flush(SECOND).await.complete);
    assert_eq!((logger.stats().sinks[0].breaker, sink.batch_sizes().len()), (BreakerState::Open, 5));
    sink.turn(Answer::Ok);
    assert!(logger.reset_breaker("sink") && !logger.reset_breaker("other"));
    let before = Instant::now();
    sink.has(3).await;
    assert!(before.elapsed() <= MS);
    assert_eq!(told.states(), [BreakerState::Open, BreakerState::Closed]);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_or_logs_disturbs_nothing() {
    let slot: Arc<Mutex<Option<Logger>>> = Arc::default();
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let callback = {
        let slot = slot.clone();
        move |_| {
            slot.lock().unwrap().iter().for_each(|logger| logger.emit(number(100)));
            panic!("scripted")
        }
    };
    let handler = {
        let said = said.clone();
        move |diagnostic: &Diagnostic| said.lock().unwrap().push(diagnostic.to_string())
    };
    let sink = ScriptedSink::new().writes([Answer::Permanent]);
    let pipeline = Pipeline::new(sink.clone()).on_breaker(callback);
    let logger = start(one_by_one().flush_at(Level::Trace).on_error(handler).sink("sink", pipeline)).await;
    // The lock is poisoned by the first panic unless the guard is gone before it; it is.
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, [0]);
    tokio::time::sleep(2 * SECOND).await;
    emit_numbers(&logger, [1]);
    let report = end(&logger, &[("sink", &sink)]).await;
    slot.lock().unwrap().take();
    // Open, half-open, closed.
    assert_eq!((report.suppressed, report.emitted, sink.numbers()), (3, 2, vec![1]));
    assert!(said.lock().unwrap().iter().any(|line| line.contains("on_breaker")), "{said:?}");
}
