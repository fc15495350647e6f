//! Writes that are given up after their timeout, and answers that come late.

use logweir::sink::SinkErrorKind;
use logweir::{BreakerState, DropReason, Level, Pipeline};

use crate::support::{Answer, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, settle, start};

use super::{DAY, SECOND, Told, ends, one_by_one, quick, stubborn};

#[tokio::test(start_paused = true)]
async fn a_write_given_up_is_made_again_and_counted_as_maybe_duplicated() {
    let sink = ScriptedSink::new().writes([Answer::Hang, Answer::Hang]);
    let logger = start(builder().batch_size(4).sink("sink", stubborn(&sink).timeout(SECOND))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.maybe_duplicated, booked.retries, booked.errors_of(SinkErrorKind::Timeout)), (8, 2, 2));
    assert_eq!((ends(booked), sink.numbers()), ([8, 0, 0, 0], (0..8).collect()));
}

#[tokio::test(start_paused = true)]
async fn a_write_given_up_ends_unconfirmed_unless_the_fallback_delivers_it() {
    // After the timeouts the sink refuses: what was in doubt stays so.
    for answers in [[Answer::Hang, Answer::Hang, Answer::Hang], [Answer::Hang, Answer::Temporary, Answer::Rejected]] {
        let sink = ScriptedSink::new().writes(answers.clone());
        let retry = quick().max_attempts(3);
        let logger = start(one_by_one().sink("sink", stubborn(&sink).retry(retry.clone()).timeout(SECOND))).await;
        emit_numbers(&logger, 0..2);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([1, 0, 0, 1], 2));

        let (sink, fallback) = (ScriptedSink::new().writes(answers), ScriptedSink::new());
        let pipeline = stubborn(&sink).retry(retry).timeout(SECOND).fallback(fallback.clone());
        let logger = start(one_by_one().sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..2);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([1, 1, 0, 0], 3));
        assert_eq!(fallback.numbers(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_only_what_may_have_arrived_is_unconfirmed() {
    // The first half was given up and is in doubt; the batch behind it was never written.
    let sink = ScriptedSink::always(Answer::RetryAfter(DAY / 2)).writes([Answer::Hang]);
    let logger = start(builder().batch_size(4).sink("sink", stubborn(&sink).timeout(SECOND))).await;
    emit_numbers(&logger, 0..8);
    let report = logger.shutdown(10 * SECOND).await;
    balance(&report, &[("sink", 0)]);
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::Deadline)), ([0, 0, 4, 4], 4));
}

#[tokio::test(start_paused = true)]
async fn behind_a_write_that_outlives_its_timeout_the_backlog_goes_to_the_fallback() {
    let sink = ScriptedSink::new().writes([Answer::Gate]).outliving();
    let (fallback, told) = (ScriptedSink::new(), Told::default());
    let pipeline = Pipeline::new(sink.clone()).timeout(SECOND).fallback(fallback.clone()).on_breaker(told.callback());
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..4);
    tokio::time::sleep(100 * SECOND).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((ends(&stats.sinks[0]), stats.sinks[0].breaker), ([0, 3, 0, 1], BreakerState::Open));
    assert_eq!((fallback.numbers(), sink.batch_sizes()), (vec![1, 2, 3], vec![1]), "no second write, no probe");

    // The late answer is the probe.
    sink.release(1);
    sink.has(1).await;
    settle().await;
    let stats = logger.stats();
    assert_eq!((ends(&stats.sinks[0]), stats.sinks[0].breaker), ([1, 3, 0, 0], BreakerState::Closed));
    assert_eq!(told.states(), [BreakerState::Open, BreakerState::Closed]);
    emit_numbers(&logger, 4..6);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sinks[0].maybe_duplicated), (vec![0, 4, 5], 0));
}
