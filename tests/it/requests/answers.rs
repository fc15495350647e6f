//! The result of each event of a request.

use logweir::sink::{Answer, Duplicates, SinkErrorKind, Verdict};
use logweir::{Breaker, BreakerState, DropReason, Logger, Pipeline, Retry, ShutdownReport};

use super::{MS, SECOND, ends, quick, stubborn};
use crate::support::{PATIENCE, Reply, ScriptedRequests, ScriptedSink, builder, emit_numbers, settle, start};

fn rejected(why: &'static str) -> Verdict {
    Verdict::Rejected(why.into())
}

async fn end(logger: &Logger) -> ShutdownReport {
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert!(!report.timed_out, "{report}");
    report
}

/// Delivers the numbers from 0 in one batch.
async fn deliver(pipeline: Pipeline, events: u64) -> ShutdownReport {
    let logger = start(builder().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..events);
    end(&logger).await
}

#[tokio::test(start_paused = true)]
async fn each_event_has_its_own_result_and_what_is_left_is_sent_again() {
    let answer =
        Answer::delivered().except(5, Verdict::Again).except(1, rejected("field too long")).except(2, Verdict::Again);
    let (sink, fallback) = (ScriptedRequests::new().says([answer]), ScriptedSink::new());
    let report = deliver(stubborn(sink.clone()).fallback(fallback.clone()), 6).await;
    assert_eq!(sink.attempted(), [vec![0, 1, 2, 3, 4, 5], vec![2, 5]]);
    assert_eq!(fallback.numbers(), [1]);
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].retries), ([5, 1, 0, 0], 1));
    assert_eq!(report.sinks[0].errors_of(SinkErrorKind::Rejected), 1);
    let said = &report.sinks[0].last_error.as_ref().unwrap().message;
    assert!(said.contains("1 of 6 events rejected, the first: field too long"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_without_a_fallback_is_dropped_by_name_and_the_breaker_stays_closed() {
    let answer = Answer::delivered().except(0, rejected("bad")).except(3, rejected("worse"));
    let sink = ScriptedRequests::new().says([answer]);
    let report = deliver(Pipeline::new(sink.clone()).breaker(Breaker::default().failure_threshold(1)), 4).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::Rejected)), ([2, 0, 2, 0], 2));
    assert_eq!((sink.sizes(), report.sinks[0].breaker_opened), (vec![4], 0));
}

#[tokio::test(start_paused = true)]
async fn a_partial_answer_is_a_success_and_one_without_a_delivery_is_a_failure() {
    for (delivered, opened) in [(1, 0), (0, 1)] {
        let mut answer = Answer::again("busy");
        if delivered > 0 {
            answer = answer.except(2, Verdict::Delivered);
        }
        let sink = ScriptedRequests::new().says([answer]);
        let breaker = Breaker::default().failure_threshold(1).probe_delay(MS);
        let report = deliver(Pipeline::new(sink.clone()).breaker(breaker).retry(quick()), 3).await;
        assert_eq!((ends(&report.sinks[0]), report.sinks[0].breaker_opened), ([3, 0, 0, 0], opened));
        assert_eq!(sink.sizes(), [3, 3 - delivered]);
    }
}

#[tokio::test(start_paused = true)]
async fn rejections_without_names_are_counted_and_never_sent_again() {
    let sink = ScriptedRequests::new().says([Answer::delivered().rejected_unnamed(3)]);
    let fallback = ScriptedSink::new();
    let report = deliver(Pipeline::new(sink.clone()).fallback(fallback.clone()), 10).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::Rejected)), ([7, 0, 3, 0], 3));
    assert_eq!((sink.sizes(), fallback.seen()), (vec![10], 0));
    assert_eq!(report.sinks[0].errors_of(SinkErrorKind::Rejected), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_encoded_once_for_all_attempts_and_the_rest_of_a_partial_answer_anew() {
    let answers = [Answer::again("busy"), Answer::again("busy"), Answer::again("some").except(0, Verdict::Delivered)];
    let sink = ScriptedRequests::new().says(answers);
    let report = deliver(stubborn(sink.clone()), 3).await;
    assert_eq!(sink.encoded(), [(3, 3), (2, 2)]);
    let requests = sink.requests();
    let bodies: Vec<_> = requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    assert_eq!(bodies, ["0\n1\n2\n", "0\n1\n2\n", "0\n1\n2\n", "1\n2\n"]);
    assert_eq!(requests.iter().map(|request| request.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([3, 0, 0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_kept_over_a_timeout() {
    let sink = ScriptedRequests::new().replies([Reply::Hang]);
    let report = deliver(stubborn(sink.clone()).timeout(SECOND), 3).await;
    assert_eq!((sink.encoded().len(), sink.sizes()), (1, vec![3, 3]));
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([3, 0, 0, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_no_request_can_have_is_rejected_and_never_sent() {
    for fallback in [None, Some(ScriptedSink::new())] {
        let sink = ScriptedRequests::new().refuses(2);
        let mut pipeline = Pipeline::new(sink.clone());
        if let Some(fallback) = &fallback {
            pipeline = pipeline.fallback(fallback.clone());
        }
        let report = deliver(pipeline, 4).await;
        assert_eq!(sink.attempted(), [[0, 1, 3]]);
        let lost = u64::from(fallback.is_none());
        assert_eq!(ends(&report.sinks[0]), [3, 1 - lost, lost, 0]);
        assert_eq!(report.sinks[0].dropped.get(DropReason::Rejected), lost);
        assert_eq!(report.sinks[0].errors_of(SinkErrorKind::Rejected), 1);
    }
    // The only one: no request is spent.
    let sink = ScriptedRequests::new().refuses(0);
    let report = deliver(Pipeline::new(sink.clone()), 1).await;
    assert_eq!((sink.sizes().len(), ends(&report.sinks[0])), (0, [0, 0, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_without_a_cause_is_bisected_unless_it_is_whole() {
    // The event 2 is the bad one.
    let bisected = [Answer::rejected("400"), Answer::delivered(), Answer::rejected("400"), Answer::rejected("400")];
    let sink = ScriptedRequests::new().says(bisected);
    let report = deliver(Pipeline::new(sink.clone()), 4).await;
    assert_eq!(sink.attempted(), [vec![0, 1, 2, 3], vec![0, 1], vec![2, 3], vec![2], vec![3]]);
    assert_eq!(ends(&report.sinks[0]), [3, 0, 1, 0]);

    let (sink, fallback) = (ScriptedRequests::new().says([Answer::rejected("400").whole()]), ScriptedSink::new());
    let report = deliver(Pipeline::new(sink.clone()).fallback(fallback.clone()), 4).await;
    assert_eq!((sink.sizes(), fallback.numbers()), (vec![4], vec![0, 1, 2, 3]));
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].breaker_opened), ([0, 4, 0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_arrived_is_repeated_as_maybe_duplicated_and_given_up_as_unconfirmed() {
    let lost = || Answer::again("the connection ended").maybe_arrived();
    let sink = ScriptedRequests::new().says([lost(), Answer::again("busy")]);
    let report = deliver(stubborn(sink.clone()), 3).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([3, 0, 0, 0], 6));

    let sink = ScriptedRequests::new().says([lost(), Answer::again("busy")]);
    let report = deliver(Pipeline::new(sink).retry(quick().max_attempts(2)), 3).await;
    assert_eq!(ends(&report.sinks[0]), [0, 0, 0, 3]);
    // Not sent at all: certain.
    let sink = ScriptedRequests::new().says([Answer::again("refused"), Answer::again("refused")]);
    let report = deliver(Pipeline::new(sink).retry(quick().max_attempts(2)), 3).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::RetriesExhausted)), ([0, 0, 3, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn only_the_events_that_may_have_arrived_are_in_doubt() {
    let answer = Answer::again("502").maybe_arrived().except(0, Verdict::Delivered).except(1, rejected("bad"));
    let sink = ScriptedRequests::new().says([answer]);
    let report = deliver(Pipeline::new(sink).retry(Retry::never()), 4).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::Rejected)), ([1, 0, 1, 2], 1));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_removes_duplicates_has_none_within_its_window() {
    let cases = [
        (Duplicates::Possible, 3),
        (Duplicates::Removed, 0),
        (Duplicates::RemovedWithin(60 * SECOND), 0),
        (Duplicates::RemovedWithin(SECOND), 3),
    ];
    for (duplicates, maybe) in cases {
        let sink = ScriptedRequests::new().replies([Reply::Hang]).with_duplicates(duplicates);
        let report = deliver(stubborn(sink).timeout(2 * SECOND), 3).await;
        let sink = &report.sinks[0];
        assert_eq!((ends(sink), sink.maybe_duplicated), ([3, 0, 0, 0], maybe), "{duplicates:?}");
    }
    // It is not the fallback that removes them.
    let sink = ScriptedRequests::new().replies([Reply::Hang]).with_duplicates(Duplicates::Removed);
    let pipeline = Pipeline::new(sink).timeout(SECOND).retry(Retry::never()).fallback(ScriptedSink::new());
    let report = deliver(pipeline, 3).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([0, 3, 0, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_halved_and_the_size_is_remembered() {
    let sink = ScriptedRequests::new();
    sink.accept_at_most(20);
    let logger = start(builder().sink("sink", stubborn(sink.clone()))).await;
    // Of 2 bytes each.
    emit_numbers(&logger, (0..32).map(|n| n % 10));
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(sink.sizes(), [32, 16, 8, 8, 9, 7], "64 bytes, 32, twice 16, and a little more");
    emit_numbers(&logger, (0..20).map(|n| n % 10));
    let report = end(&logger).await;
    let again = sink.sizes().split_off(6);
    assert!(again.iter().all(|size| *size <= 10) && again.iter().sum::<usize>() == 20, "{again:?}");
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].retries), ([52, 0, 0, 0], 0));
    assert_eq!(report.sinks[0].breaker_opened, 0);
}

#[tokio::test(start_paused = true)]
async fn one_event_that_is_too_large_is_rejected() {
    let (sink, fallback) = (ScriptedRequests::new(), ScriptedSink::new());
    sink.accept_at_most(3);
    let logger = start(builder().sink("sink", stubborn(sink.clone()).fallback(fallback.clone()))).await;
    emit_numbers(&logger, [1, 12345, 2]);
    let report = end(&logger).await;
    assert_eq!((fallback.numbers(), ends(&report.sinks[0])), (vec![12345], [2, 1, 0, 0]));
    assert_eq!(sink.attempted().last(), Some(&vec![2]));
}

#[tokio::test(start_paused = true)]
async fn an_unusable_sink_keeps_its_events_until_it_is_usable_or_they_are_too_old() {
    let breaker = Breaker::default().failure_threshold(5).probe_delay(SECOND);
    let sink = ScriptedRequests::new().says([Answer::unusable("401"), Answer::unusable("401")]);
    let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).breaker(breaker.clone()))).await;
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(sink.pauses(), [SECOND, 2 * SECOND]);
    let stats = &logger.stats().sinks[0];
    assert_eq!((ends(stats), stats.breaker_opened, stats.breaker), ([3, 0, 0, 0], 1, BreakerState::Closed));
    assert_eq!(stats.errors_of(SinkErrorKind::Permanent), 2);
    drop(end(&logger).await);

    let sink = ScriptedRequests::new().says((0..9).map(|_| Answer::unusable("401")));
    let pipeline = Pipeline::new(sink.clone()).breaker(breaker.clone()).retry(quick().max_elapsed(4 * SECOND));
    let logger = start(builder().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!((ends(&logger.stats().sinks[0]), sink.sizes().len()), ([0, 0, 3, 0], 3));
    drop(end(&logger).await);

    // With a fallback they do not wait.
    let (sink, fallback) = (ScriptedRequests::new().says([Answer::unusable("401")]), ScriptedSink::new());
    let report = deliver(Pipeline::new(sink).breaker(breaker).fallback(fallback.clone()), 3).await;
    assert_eq!(ends(&report.sinks[0]), [0, 3, 0, 0]);
    // Without a breaker they are paced by the retry.
    let sink = ScriptedRequests::new().says((0..3).map(|_| Answer::unusable("401")));
    let report = deliver(stubborn(sink.clone()), 3).await;
    assert_eq!((ends(&report.sinks[0]), sink.sizes().len()), ([3, 0, 0, 0], 4));
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_cannot_mean_is_clamped_and_reported_and_costs_no_event() {
    let faults = [
        (
            Answer::delivered().except(0, Verdict::Delivered).except(0, rejected("late")),
            [2, 0],
            "two verdicts for event 0",
        ),
        (Answer::delivered().except(7, rejected("no such event")), [2, 0], "a verdict for event 7 of 2"),
        (Answer::delivered().rejected_unnamed(9), [0, 2], "rejected 9 events of 2"),
    ];
    for (answer, settled, fault) in faults {
        let sink = ScriptedRequests::new().says([answer]);
        let report = deliver(Pipeline::new(sink.clone()), 2).await;
        let stats = &report.sinks[0];
        assert_eq!(([stats.delivered, stats.dropped.get(DropReason::Rejected)], sink.sizes().len()), (settled, 1));
        let errors = 1 + u64::from(settled[1] > 0);
        assert_eq!((stats.errors, stats.breaker_opened), (errors, 0), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_of_before_a_reset_does_not_move_the_breaker() {
    for is_reset in [false, true] {
        let sink = ScriptedRequests::new().replies([Reply::Gate(Answer::again("busy"))]);
        let breaker = Breaker::default().failure_threshold(1).probe_delay(SECOND);
        let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).breaker(breaker).retry(quick()))).await;
        emit_numbers(&logger, 0..2);
        let (flushed, ()) = tokio::join!(logger.flush(PATIENCE), async {
            sink.begun(1).await;
            if is_reset {
                logger.reset_breaker("sink");
            }
            sink.release(1);
            settle().await;
            assert_eq!(logger.stats().sinks[0].breaker_opened, u64::from(!is_reset));
        });
        assert!(flushed.complete);
        let report = end(&logger).await;
        assert_eq!(ends(&report.sinks[0]), [2, 0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_bisected_and_what_was_sent_may_have_arrived() {
    let sink = ScriptedRequests::new().replies([Reply::Panic, Reply::Panic]);
    let report = deliver(stubborn(sink.clone()), 2).await;
    assert_eq!(sink.attempted(), [vec![0, 1], vec![0], vec![1]]);
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].maybe_duplicated), ([1, 0, 0, 1], 2));
    // What was not even encoded has not.
    let sink = ScriptedRequests::new().panics_at(1);
    let report = deliver(stubborn(sink.clone()), 4).await;
    assert_eq!(sink.attempted(), [vec![0], vec![2, 3]]);
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(DropReason::Panicked)), ([3, 0, 1, 0], 1));
    assert_eq!(report.sinks[0].maybe_duplicated, 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_were_in_no_request_are_not_dropped_for_the_age_of_others() {
    // One batch after another, and the requests of one batch.
    for (batch_size, body) in [(1, usize::MAX), (10, 2)] {
        let sink = ScriptedRequests::new().body_limit(body).says((0..3).map(|_| Answer::again("down")));
        let breaker = Breaker::default().failure_threshold(1).probe_delay(60 * SECOND).max_probe_delay(60 * SECOND);
        let pipeline = Pipeline::new(sink.clone()).breaker(breaker).retry(quick().max_elapsed(2 * SECOND));
        let logger = start(builder().batch_size(batch_size).sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..10);
        assert!(!logger.flush(30 * SECOND).await.complete);
        assert_eq!(ends(&logger.stats().sinks[0]), [0, 0, 1, 0], "the others wait for the probe");
        assert!(logger.flush(900 * SECOND).await.complete);
        // Each probe that fails is the first request of an event, which is too old at the next one.
        let report = end(&logger).await;
        assert_eq!((ends(&report.sinks[0]), sink.sizes().len()), ([7, 0, 3, 0], 10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_gets_what_is_too_large_in_smaller_requests() {
    let fallback = ScriptedRequests::new();
    fallback.accept_at_most(9);
    let down = ScriptedRequests::new().says([Answer::again("down")]);
    let report = deliver(Pipeline::new(down).retry(Retry::never()).fallback(fallback.clone()), 10).await;
    assert_eq!((fallback.sizes(), ends(&report.sinks[0])), (vec![10, 5, 2, 3, 3, 2], [0, 10, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn what_a_fallback_has_not_tried_waits_when_it_becomes_busy() {
    // Cut for the fallback, and for the sink itself.
    for (own, others) in [(usize::MAX, 4), (4, usize::MAX)] {
        let fallback =
            ScriptedRequests::new().body_limit(others).replies([Reply::Gate(Answer::delivered())]).outliving();
        let sink = ScriptedRequests::new().body_limit(own).says([Answer::unusable("401")]);
        let breaker = Breaker::default().failure_threshold(1).probe_delay(60 * SECOND).max_probe_delay(60 * SECOND);
        let chain = Pipeline::new(fallback.clone()).timeout(SECOND);
        let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).breaker(breaker).fallback(chain))).await;
        emit_numbers(&logger, 0..10);
        drop(logger.flush(5 * SECOND).await);
        let stats = &logger.stats().sinks[0];
        assert_eq!((ends(stats), stats.in_flight, fallback.sizes()), ([0, 0, 0, 2], 8, vec![2]), "{stats}");
        fallback.release(1);
        assert!(logger.flush(5 * SECOND).await.complete);
        let report = end(&logger).await;
        assert_eq!((ends(&report.sinks[0]), fallback.attempted().concat().len()), ([0, 10, 0, 0], 10));
    }
}

/// Also while a late result of the sink itself is waited for.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_busy_fallback_goes_to_the_sink_when_that_is_well_again() {
    let sink = ScriptedRequests::new().replies([Reply::Gate(Answer::delivered())]).outliving();
    let fallback = ScriptedRequests::new().body_limit(4).replies([Reply::Gate(Answer::delivered())]).outliving();
    let chain = Pipeline::new(fallback.clone()).timeout(SECOND);
    let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).timeout(SECOND).fallback(chain))).await;
    emit_numbers(&logger, 0..2);
    drop(logger.flush(2 * SECOND).await);
    emit_numbers(&logger, [2, 3, 4, 5, 6, 7, 8, 9]);
    drop(logger.flush(5 * SECOND).await);
    let stats = &logger.stats().sinks[0];
    assert_eq!((ends(stats), stats.in_flight, fallback.sizes()), ([0, 0, 0, 4], 6, vec![2]), "{stats}");
    sink.release(1);
    assert!(logger.flush(5 * SECOND).await.sinks[0].pending == 0);
    assert_eq!(sink.attempted(), [vec![0, 1], vec![4, 5, 6, 7, 8, 9]]);
    fallback.release(1);
    let report = end(&logger).await;
    assert_eq!(ends(&report.sinks[0]), [8, 2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_survives_a_reopen_that_hangs() {
    let answer = Answer::again("cut off").maybe_arrived();
    let sink = ScriptedRequests::new().says([answer]).outliving().with_hanging_reopen();
    let busy = ScriptedRequests::new().replies([Reply::Hang]).outliving();
    let retry = Retry::default().initial_delay(60 * SECOND).max_delay(60 * SECOND).seed(1);
    let chain = Pipeline::new(busy).timeout(100 * MS);
    let pipeline = Pipeline::new(sink).timeout(SECOND).retry(retry).breaker(Breaker::never()).fallback(chain);
    let logger = start(builder().batch_size(2).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..2);
    drop(logger.flush(100 * MS).await);
    // The fallback takes the batch, and hangs too; the next one waits.
    drop(logger.reopen(5 * SECOND).await);
    emit_numbers(&logger, 2..4);
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!(ends(&report.sinks[0]), [0, 0, 2, 2], "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_nothing_delivers_nothing() {
    let sink = ScriptedRequests::new().encodes_nothing();
    let report = deliver(Pipeline::new(sink.clone()), 3).await;
    let stats = &report.sinks[0];
    assert_eq!((ends(stats), stats.dropped.get(DropReason::Rejected), sink.sizes().len()), ([0, 0, 3, 0], 3, 0));
    assert!(stats.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_had_no_result_keeps_no_notice_back() {
    // The probe's batch has nothing that can be sent.
    let sink = ScriptedRequests::new().refuses(1).says([Answer::again("down")]);
    let breaker = Breaker::default().failure_threshold(1).probe_delay(SECOND);
    let pipeline = Pipeline::new(sink.clone()).breaker(breaker).retry(Retry::never());
    let logger = start(builder().batch_size(1).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..2);
    let report = end(&logger).await;
    assert_eq!(ends(&report.sinks[0]), [0, 0, 2, 0]);
    assert_eq!(sink.notices(), ["2 events lost on the way to sink sink"]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_answers_for_each_event_passes_the_others_on() {
    let first =
        ScriptedRequests::new().says([Answer::again("busy").except(1, Verdict::Delivered).except(2, rejected("bad"))]);
    let second = ScriptedSink::new();
    let down = ScriptedRequests::new().says([Answer::again("down")]);
    let chain = Pipeline::new(first.clone()).fallback(second.clone());
    let report = deliver(Pipeline::new(down).retry(Retry::never()).fallback(chain), 4).await;
    let stats = &report.sinks[0];
    assert_eq!((first.attempted(), second.numbers().len()), (vec![vec![0, 1, 2, 3]], 3));
    assert_eq!((ends(stats), stats.fallbacks[0].delivered, stats.fallbacks[1].delivered), ([0, 4, 0, 0], 1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_gets_as_many_requests_as_its_bodies_need() {
    let fallback = ScriptedRequests::new().body_limit(6);
    let down = ScriptedRequests::new().says([Answer::again("down")]);
    let report = deliver(Pipeline::new(down).retry(Retry::never()).fallback(fallback.clone()), 8).await;
    assert_eq!((fallback.sizes(), ends(&report.sinks[0])), (vec![3, 3, 2], [0, 8, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_late_result_settles_each_event_by_its_id() {
    // The first fallback returns late, and took some; the second took one of them meanwhile.
    let late = Answer::delivered().except(2, rejected("bad"));
    let first = ScriptedRequests::new().replies([Reply::Gate(late)]).outliving();
    let second = ScriptedRequests::new().says([Answer::again("busy").except(1, Verdict::Delivered)]);
    let down = ScriptedRequests::new().says([Answer::again("down")]);
    let chain = Pipeline::new(first.clone()).timeout(SECOND).fallback(second.clone());
    let logger = start(builder().sink("sink", Pipeline::new(down).retry(Retry::never()).fallback(chain))).await;
    emit_numbers(&logger, 0..4);
    drop(logger.flush(SECOND + 100 * MS).await);
    let stats = &logger.stats().sinks[0];
    assert_eq!((ends(stats), stats.maybe_duplicated), ([0, 1, 0, 3], 4), "{stats}");
    first.release(1);
    let report = end(&logger).await;
    let stats = &report.sinks[0];
    assert_eq!((ends(stats), stats.fallbacks[0].delivered, stats.fallbacks[1].delivered), ([0, 3, 1, 0], 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_notice_has_no_counted_event_however_many_requests_it_takes() {
    let sink = ScriptedRequests::new().body_limit(10);
    let logger = start(builder().batch_size(1).sink("sink", Pipeline::new(sink.clone()).retry(Retry::never()))).await;
    let sink = sink.says([Answer::rejected("bad").whole()]);
    emit_numbers(&logger, 0..3);
    let report = end(&logger).await;
    assert_eq!((ends(&report.sinks[0]), report.sinks[0].notices), ([2, 0, 1, 0], 1));
    assert_eq!(sink.notices(), ["1 events lost on the way to sink sink"]);
}
