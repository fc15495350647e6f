//! The links of a fallback chain take what the sink does not.

use logweir::{Breaker, BreakerState, DropReason, Level, Pipeline, Retry};
use tokio::time::Instant;

use crate::support::{
    Answer, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, once, settle, start,
};

use super::{DAY, MS, SECOND, Told, ends, one_by_one};

#[tokio::test(start_paused = true)]
async fn deliveries_are_counted_per_link_and_the_sink_has_its_events_again_when_it_recovers() {
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary]);
    let first = ScriptedSink::new().writes([Answer::Delivered(1), Answer::Ok]);
    let second = ScriptedSink::new();
    let chain = Pipeline::new(first.clone()).fallback(second.clone());
    let pipeline = Pipeline::new(sink.clone()).retry(Retry::never()).breaker(Breaker::default().failure_threshold(2));
    let logger = start(builder().batch_size(4).sink("sink", pipeline.fallback(chain))).await;
    emit_numbers(&logger, 0..12);
    assert!(logger.flush(PATIENCE).await.complete);
    tokio::time::sleep(SECOND).await;
    emit_numbers(&logger, 12..16);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    let links: Vec<_> = booked.fallbacks.iter().map(|link| (&*link.name, link.delivered, link.errors)).collect();
    assert_eq!(links, [("sink/1", 9, 1), ("sink/2", 3, 0)]);
    assert_eq!((first.seen(), second.numbers()), (9, vec![1, 2, 3]));
    assert_eq!((ends(booked), sink.numbers()), ([4, 12, 0, 0], (12..16).collect()));
}

#[tokio::test(start_paused = true)]
async fn when_every_link_fails_the_loss_is_counted_once() {
    for (answer, reason) in [
        (Answer::Temporary, DropReason::RetriesExhausted),
        (Answer::Permanent, DropReason::SinkFailed),
        (Answer::Rejected, DropReason::Rejected),
        (Answer::Panic, DropReason::Panicked),
    ] {
        let sink = ScriptedSink::always(answer);
        let chain = Pipeline::new(ScriptedSink::always(Answer::Panic)).fallback(ScriptedSink::always(Answer::Rejected));
        let logger = start(builder().sink("sink", once(sink.clone()).fallback(chain))).await;
        emit_numbers(&logger, 0..10);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(reason)), ([0, 0, 10, 0], 10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_fifth_of_a_shutdown_belongs_to_the_fallback() {
    for answer in [Answer::Hang, Answer::Temporary, Answer::RetryAfter(1000 * SECOND)] {
        let (sink, fallback) = (ScriptedSink::always(answer.clone()), ScriptedSink::new());
        // Waits longer than all the time there is.
        let retry = Retry::default().initial_delay(DAY).max_delay(DAY).max_elapsed(2 * DAY).seed(3);
        let pipeline = Pipeline::new(sink.clone()).timeout(1000 * SECOND).retry(retry).fallback(fallback.clone());
        let logger = start(builder().batch_size(4).sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..12);
        let before = Instant::now();
        let report = logger.shutdown(10 * SECOND).await;
        assert!(before.elapsed() >= 8 * SECOND - 10 * MS && before.elapsed() < 9 * SECOND, "{:?}", before.elapsed());
        balance(&report, &[("sink", 0)]);
        assert_eq!((ends(&report.sinks[0]), report.timed_out), ([0, 12, 0, 0], false));
        // The others after 0, 1/2 and 3/4 of the time.
        let attempts = if matches!(answer, Answer::Hang) { 1 } else { 3 };
        assert_eq!((fallback.numbers(), sink.batch_sizes()), ((0..12).collect(), vec![4; attempts]));
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_flush_that_outlives_its_timeout_the_backlog_goes_to_the_fallback_too() {
    let sink = ScriptedSink::new().flushes([Answer::Gate]).outliving();
    let (fallback, told) = (ScriptedSink::new(), Told::default());
    let pipeline = Pipeline::new(sink.clone()).timeout(SECOND).fallback(fallback.clone()).on_breaker(told.callback());
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", pipeline)).await;
    emit_numbers(&logger, [0]);
    assert!(!logger.flush(2 * SECOND).await.complete);
    let last = logger.stats().sinks[0].last_error.clone().map(|last| last.message).unwrap_or_default();
    assert!(last.contains("`flush`"), "it is said while the sink hangs, not when it has answered: {last}");
    emit_numbers(&logger, 1..4);
    settle().await;
    assert_eq!((sink.numbers(), fallback.numbers()), (vec![0], vec![1, 2, 3]));
    sink.release(1);
    settle().await;
    emit_numbers(&logger, [4]);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), sink.numbers()), ([2, 3, 0, 0], vec![0, 4]));
    assert_eq!(told.states(), [BreakerState::Open, BreakerState::Closed]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_outlives_its_timeout_takes_no_second_write_before_it_has_answered() {
    let sink = ScriptedSink::always(Answer::Temporary);
    let first = ScriptedSink::new().writes([Answer::Gate]).outliving();
    let second = ScriptedSink::new().writes([Answer::Rejected]);
    let chain = Pipeline::new(first.clone()).timeout(SECOND).fallback(second.clone());
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", once(sink.clone()).fallback(chain))).await;
    emit_numbers(&logger, 0..4);
    tokio::time::sleep(100 * SECOND).await;
    // Nobody knows of the first event; the others go past the link that is busy.
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!(ends(&stats.sinks[0]), [0, 3, 0, 1]);
    assert_eq!((first.attempted(), second.numbers()), (vec![vec![0]], vec![1, 2, 3]));

    // Its late answer settles the first event, and it takes the next.
    first.release(1);
    first.has(1).await;
    settle().await;
    emit_numbers(&logger, [4]);
    let report = end(&logger, &[("sink", &sink)]).await;
    let links: Vec<_> = report.sinks[0].fallbacks.iter().map(|link| (link.delivered, link.errors)).collect();
    assert_eq!((ends(&report.sinks[0]), links), ([0, 5, 0, 0], vec![(2, 1), (3, 1)]));
    assert_eq!(first.numbers(), [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_answers_late_that_it_failed_turns_the_unconfirmed_into_a_loss_with_its_reason() {
    let sink = ScriptedSink::always(Answer::Permanent);
    let link = || ScriptedSink::new().writes([Answer::GateThenTemporary]).outliving();
    let (first, second) = (link(), link());
    let chain = Pipeline::new(first.clone()).timeout(SECOND).fallback(Pipeline::new(second.clone()).timeout(SECOND));
    let logger = start(builder().flush_at(Level::Trace).sink("sink", once(sink.clone()).fallback(chain))).await;
    emit_numbers(&logger, 0..3);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(ends(&logger.stats().sinks[0]), [0, 0, 0, 3]);
    first.release(1);
    settle().await;
    assert_eq!(ends(&logger.stats().sinks[0]), [0, 0, 0, 3], "the second may have them yet");
    second.release(1);
    settle().await;
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::SinkFailed)), ([0, 0, 3, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn with_every_link_busy_the_backlog_waits_as_if_there_were_none() {
    let sink = ScriptedSink::always(Answer::Ok).writes([Answer::Gate]).outliving();
    let link = ScriptedSink::always(Answer::Ok).writes([Answer::Gate]).outliving();
    let pipeline = Pipeline::new(sink.clone()).timeout(SECOND).fallback(Pipeline::new(link.clone()).timeout(SECOND));
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..6);
    tokio::time::sleep(100 * SECOND).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((ends(&stats.sinks[0]), stats.sinks[0].backlog), ([0, 0, 0, 2], 4), "nothing is thrown away");
    // The link is free first: it has what waits, while the sink is still busy.
    link.release(1);
    settle().await;
    assert_eq!(ends(&logger.stats().sinks[0]), [0, 5, 0, 1]);
    sink.release(1);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), link.numbers()), ([1, 5, 0, 0], (1..6).collect()));
}
