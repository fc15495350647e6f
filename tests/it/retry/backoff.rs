//! Temporary errors: waits, attempts and the age at which a batch is given up.

use std::time::Duration;

use logweir::{Breaker, DropReason, Pipeline, Retry};
use tokio::time::Instant;

use crate::support::{Answer, PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, start};

use super::{DAY, MS, SECOND, ends, is_about, one_by_one, quick, stubborn};

#[tokio::test(start_paused = true)]
async fn temporary_errors_are_tried_again_after_jittered_waits_and_delivered_once_in_order() {
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary, Answer::Temporary, Answer::Temporary]);
    let retry = Retry::default().initial_delay(100 * MS).max_delay(400 * MS).seed(7);
    let pipeline = Pipeline::new(sink.clone()).retry(retry).breaker(Breaker::never());
    let logger = start(builder().batch_size(10).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..20);
    assert!(logger.flush(PATIENCE).await.complete);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..20).collect::<Vec<_>>());
    assert_eq!(sink.batch_sizes(), [10; 6]);
    let mut random = fastrand::Rng::with_seed(7);
    for (pause, bound) in sink.pauses().into_iter().zip([100, 200, 400, 400]) {
        let wait = (bound * MS).mul_f64(random.f64());
        assert!(is_about(pause, wait), "{pause:?} is not {wait:?}");
    }
    let booked = &report.sinks[0];
    assert_eq!((booked.retries, booked.maybe_duplicated, booked.errors), (4, 0, 4));
    assert_eq!(ends(booked), [20, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_its_attempts_and_the_next_begins_anew() {
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary, Answer::Temporary]);
    let logger = start(one_by_one().sink("sink", stubborn(&sink).retry(quick().max_attempts(3)))).await;
    let sink = sink.writes([Answer::Temporary, Answer::Temporary]);
    emit_numbers(&logger, 0..2);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.attempted(), [[0], [0], [0], [1], [1], [1]]);
    let booked = &report.sinks[0];
    assert_eq!((booked.dropped.get(DropReason::RetriesExhausted), booked.retries), (1, 4));
    assert_eq!(ends(booked), [1, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_at_its_maximum_age() {
    let sink = ScriptedSink::always(Answer::Temporary);
    let retry = Retry::default().initial_delay(SECOND).max_delay(SECOND).max_elapsed(10 * SECOND).seed(1);
    let logger = start(one_by_one().sink("sink", stubborn(&sink).retry(retry))).await;
    emit_numbers(&logger, [0]);
    assert!(logger.flush(PATIENCE).await.complete);
    let age: Duration = sink.pauses().iter().sum();
    assert!((9 * SECOND..=10 * SECOND + MS).contains(&age), "{age:?}");
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.sinks[0].dropped.get(DropReason::RetriesExhausted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_asks_for_patience_gets_it() {
    let sink = ScriptedSink::new().writes([Answer::RetryAfter(3 * SECOND)]);
    let logger = start(one_by_one().sink("sink", stubborn(&sink))).await;
    emit_numbers(&logger, 0..2);
    assert!(logger.flush(PATIENCE).await.complete);
    assert!(is_about(sink.pauses()[0], 3 * SECOND), "{:?}", sink.pauses());
    // More patience than there is: it delays, by five minutes at most, and exhausts no retry.
    let sink = sink.writes([Answer::RetryAfter(2 * DAY)]);
    emit_numbers(&logger, 2..4);
    assert!(logger.flush(2 * PATIENCE.max(300 * SECOND)).await.complete);
    assert!(is_about(sink.pauses()[3], 300 * SECOND), "{:?}", sink.pauses());
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), ends(&report.sinks[0])), (vec![0, 1, 2, 3], [4, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn what_a_partial_error_delivered_is_never_sent_again() {
    let sink = ScriptedSink::new().writes([Answer::Delivered(3), Answer::Delivered(0), Answer::Delivered(2)]);
    let logger = start(builder().batch_size(8).sink("sink", stubborn(&sink))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    let attempts: [Vec<u64>; 4] = [0, 3, 3, 5].map(|first| (first..8).collect());
    assert_eq!(sink.attempted(), attempts);
    assert_eq!(sink.numbers(), (0..8).collect::<Vec<_>>());
    assert_eq!((report.sinks[0].retries, report.sinks[0].maybe_duplicated), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn progress_begins_the_count_of_attempts_anew() {
    let sink = ScriptedSink::always(Answer::Delivered(1));
    let logger = start(builder().batch_size(9).sink("sink", stubborn(&sink).retry(quick().max_attempts(2)))).await;
    emit_numbers(&logger, 0..9);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), sink.numbers()), ([9, 0, 0, 0], (0..9).collect()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_cut_short_by_the_deadline_and_what_was_not_being_written_is_dropped() {
    let sink = ScriptedSink::always(Answer::RetryAfter(100 * SECOND));
    let logger = start(builder().batch_size(4).sink("sink", stubborn(&sink))).await;
    emit_numbers(&logger, 0..10);
    let before = Instant::now();
    let report = logger.shutdown(2 * SECOND).await;
    let waited = before.elapsed();
    // The deadline is one of the real clock, of which the test itself spends a little.
    assert!(SECOND < waited && waited <= 2 * SECOND + MS, "{waited:?}");
    balance(&report, &[("sink", 0)]);
    assert_eq!((report.timed_out, report.sinks[0].dropped.get(DropReason::Deadline)), (true, 10));
    // After 0, 1/2, 3/4, 7/8 and 15/16 of the time.
    assert_eq!((ends(&report.sinks[0]), sink.batch_sizes()), ([0, 0, 10, 0], vec![4; 5]));
}
