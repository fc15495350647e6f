//! The way out, second part: what is tried again, what is left alone, and who has what the sink does not take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::error::Diagnostic;
use logweir::sink::ErrorKind;
use logweir::stats::SinkReport;
use logweir::{Breaker, BreakerState, Builder, DropReason, Level, Logger, Pipeline, Retry};
use tokio::time::Instant;

use crate::support::{
    Answer, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, number, once, settle, start,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// More than any test's time.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Tried again without end after short waits, and never left alone.
fn stubborn(sink: &ScriptedSink) -> Pipeline {
    Pipeline::to(sink.clone()).retry(quick()).breaker(Breaker::never())
}

fn quick() -> Retry {
    Retry::default().initial(MS).cap(MS).max_age(DAY)
}

fn one_by_one() -> Builder<'static> {
    builder().batch_size(1)
}

/// Delivered, by the fallback, dropped, unconfirmed.
fn ends(sink: &SinkReport) -> [u64; 4] {
    [sink.delivered, sink.fallback, sink.dropped.total(), sink.unconfirmed]
}

/// What a callback was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<BreakerState>>>);

impl Told {
    fn callback(&self) -> impl Fn(BreakerState) + Send + Sync + 'static {
        let told = self.0.clone();
        move |state| told.lock().unwrap().push(state)
    }

    fn states(&self) -> Vec<BreakerState> {
        self.0.lock().unwrap().clone()
    }
}

/// It is this long, and the millisecond that tokio's timers are rounded up to.
fn is_about(got: Duration, expected: Duration) -> bool {
    (expected..=expected + 2 * MS).contains(&got)
}

// Retry

#[tokio::test(start_paused = true)]
async fn temporary_errors_are_tried_again_after_jittered_waits_and_delivered_once_in_order() {
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary, Answer::Temporary, Answer::Temporary]);
    let retry = Retry::default().initial(100 * MS).cap(400 * MS).seed(7);
    let pipeline = Pipeline::to(sink.clone()).retry(retry).breaker(Breaker::never());
    let logger = start(builder().batch_size(10).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..20);
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
    let retry = Retry::default().initial(SECOND).cap(SECOND).max_age(10 * SECOND).seed(1);
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
    // More patience than there is: given up at once.
    let sink = sink.writes([Answer::RetryAfter(2 * DAY)]);
    let before = Instant::now();
    emit_numbers(&logger, 2..4);
    assert!(logger.flush(PATIENCE).await.complete);
    assert!(before.elapsed() < SECOND);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sinks[0].dropped.get(DropReason::RetriesExhausted)), (vec![0, 1, 3], 1));
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
    assert!(
        is_about(before.elapsed(), 2 * SECOND - MS) || is_about(before.elapsed(), 2 * SECOND),
        "{:?}",
        before.elapsed()
    );
    balance(&report, &[("sink", 0)]);
    assert_eq!((report.timed_out, report.sinks[0].dropped.get(DropReason::Deadline)), (true, 10));
    assert_eq!((ends(&report.sinks[0]), sink.batch_sizes()), ([0, 0, 10, 0], vec![4]));
}

// Rejections

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_is_halved_down_to_the_poison_and_the_rest_is_delivered_in_order() {
    let sink = ScriptedSink::always(Answer::Poison(&[3, 7, 8]));
    let told = Told::default();
    let pipeline = Pipeline::to(sink.clone()).breaker(Breaker::default().failures(1)).on_breaker(told.callback());
    let logger = start(builder().batch_size(16).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..32);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..32).filter(|n| ![3, 7, 8].contains(n)).collect::<Vec<_>>());
    let booked = &report.sinks[0];
    assert_eq!((booked.dropped.get(DropReason::Rejected), ends(booked), booked.retries), (3, [29, 0, 3, 0], 0));
    assert_eq!((told.states(), booked.breaker_opened), (vec![], 0), "rejections do not trip the breaker");
}

#[tokio::test(start_paused = true)]
async fn the_poison_alone_is_offered_to_the_fallback() {
    let (sink, fallback) = (ScriptedSink::always(Answer::Poison(&[0, 5])), ScriptedSink::new());
    let pipeline = Pipeline::to(sink.clone()).fallback(fallback.clone());
    let logger = start(builder().batch_size(8).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), fallback.numbers()), (vec![1, 2, 3, 4, 6, 7], vec![0, 5]));
    assert_eq!(ends(&report.sinks[0]), [6, 2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn three_single_rejections_with_nothing_delivered_reject_the_rest_whole() {
    let sink = ScriptedSink::always(Answer::Rejected);
    let logger = start(builder().batch_size(64).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..64);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.batch_sizes(), [64, 32, 16, 8, 4, 2, 1, 1, 2, 1]);
    assert_eq!(report.sinks[0].dropped.get(DropReason::Rejected), 64);
}

#[tokio::test(start_paused = true)]
async fn an_error_about_events_that_were_all_delivered_costs_no_other_event() {
    // Halves of four: the first is delivered whole by a call that ends as a rejection.
    let sink = ScriptedSink::new().writes([Answer::Rejected, Answer::Rejected, Answer::RejectedAfter(1)]);
    let sink = sink.writes([Answer::RejectedAfter(1), Answer::Delivered(2)]);
    let logger = start(builder().batch_size(4).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.attempted(), [vec![0, 1, 2, 3], vec![0, 1], vec![0], vec![1], vec![2, 3], vec![4, 5, 6, 7]]);
    assert_eq!((sink.numbers(), ends(&report.sinks[0])), ((0..8).collect(), [8, 0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_searched_for_like_a_rejection_and_the_task_goes_on() {
    let (sink, fallback) = (ScriptedSink::always(Answer::PanicAt(&[2, 13])), ScriptedSink::new());
    let logger = start(builder().batch_size(8).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..24);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.dropped.get(DropReason::Panicked), ends(booked)), (2, [22, 0, 2, 0]));
    assert_eq!(sink.numbers(), (0..24).filter(|n| ![2, 13].contains(n)).collect::<Vec<_>>());
    assert_eq!((booked.errors_of(ErrorKind::Panic), booked.breaker), (8, BreakerState::Closed));

    let sink = ScriptedSink::always(Answer::PanicAt(&[2]));
    let logger = start(builder().sink("sink", Pipeline::to(sink.clone()).fallback(fallback.clone()))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), fallback.numbers()), ([7, 1, 0, 0], vec![2]));
}

// Breaker

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
    let breaker = Breaker::default().failures(1).probe_after(SECOND).cap(SECOND);
    let pipeline = Pipeline::to(sink.clone()).retry(quick()).breaker(breaker);
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
    let breaker = Breaker::default().probe_after(SECOND).cap(4 * SECOND);
    let pipeline = Pipeline::to(sink.clone()).retry(quick()).breaker(breaker).on_breaker(told.callback());
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
        let breaker = Breaker::default().probe_after(400 * MS).cap(400 * MS);
        let pipeline = Pipeline::to(sink.clone()).retry(quick()).breaker(breaker);
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
    let breaker = Breaker::default().probe_after(1000 * SECOND).cap(1000 * SECOND);
    let pipeline = Pipeline::to(sink.clone()).retry(quick()).breaker(breaker).on_breaker(told.callback());
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
    let pipeline = Pipeline::to(sink.clone()).on_breaker(callback);
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

// Timeouts

#[tokio::test(start_paused = true)]
async fn a_write_given_up_is_made_again_and_counted_as_maybe_duplicated() {
    let sink = ScriptedSink::new().writes([Answer::Hang, Answer::Hang]);
    let logger = start(builder().batch_size(4).sink("sink", stubborn(&sink).timeout(SECOND))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.maybe_duplicated, booked.retries, booked.errors_of(ErrorKind::Timeout)), (8, 2, 2));
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
    let sink = ScriptedSink::new().writes([Answer::Hang, Answer::RetryAfter(DAY / 2)]);
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
    let pipeline = Pipeline::to(sink.clone()).timeout(SECOND).fallback(fallback.clone()).on_breaker(told.callback());
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

// Fallback

#[tokio::test(start_paused = true)]
async fn deliveries_are_counted_per_link_and_the_sink_has_its_events_again_when_it_recovers() {
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary]);
    let first = ScriptedSink::new().writes([Answer::Delivered(1), Answer::Ok]);
    let second = ScriptedSink::new();
    let chain = Pipeline::to(first.clone()).fallback(second.clone());
    let pipeline = Pipeline::to(sink.clone()).retry(Retry::never()).breaker(Breaker::default().failures(2));
    let logger = start(builder().batch_size(4).sink("sink", pipeline.fallback(chain))).await;
    emit_numbers(&logger, 0..12);
    assert!(logger.flush(PATIENCE).await.complete);
    tokio::time::sleep(SECOND).await;
    emit_numbers(&logger, 12..16);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    let links: Vec<_> = booked.links.iter().map(|link| (&*link.name, link.delivered, link.errors)).collect();
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
        let chain = Pipeline::to(ScriptedSink::always(Answer::Panic)).fallback(ScriptedSink::always(Answer::Rejected));
        let logger = start(builder().sink("sink", once(sink.clone()).fallback(chain))).await;
        emit_numbers(&logger, 0..10);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!((ends(&report.sinks[0]), report.sinks[0].dropped.get(reason)), ([0, 0, 10, 0], 10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_fifth_of_a_shutdown_belongs_to_the_fallback() {
    for answer in [Answer::Hang, Answer::Temporary, Answer::RetryAfter(1000 * SECOND)] {
        let (sink, fallback) = (ScriptedSink::always(answer), ScriptedSink::new());
        // Waits longer than all the time there is.
        let retry = Retry::default().initial(DAY).cap(DAY).max_age(2 * DAY).seed(3);
        let pipeline = Pipeline::to(sink.clone()).timeout(1000 * SECOND).retry(retry).fallback(fallback.clone());
        let logger = start(builder().batch_size(4).sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..12);
        let before = Instant::now();
        let report = logger.shutdown(10 * SECOND).await;
        assert!(before.elapsed() >= 8 * SECOND - 10 * MS && before.elapsed() < 9 * SECOND, "{:?}", before.elapsed());
        balance(&report, &[("sink", 0)]);
        assert_eq!((ends(&report.sinks[0]), report.timed_out), ([0, 12, 0, 0], false));
        assert_eq!((fallback.numbers(), sink.batch_sizes()), ((0..12).collect(), vec![4]));
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_flush_that_outlives_its_timeout_the_backlog_goes_to_the_fallback_too() {
    let sink = ScriptedSink::new().flushes([Answer::Gate]).outliving();
    let (fallback, told) = (ScriptedSink::new(), Told::default());
    let pipeline = Pipeline::to(sink.clone()).timeout(SECOND).fallback(fallback.clone()).on_breaker(told.callback());
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
    let chain = Pipeline::to(first.clone()).timeout(SECOND).fallback(second.clone());
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
    let links: Vec<_> = report.sinks[0].links.iter().map(|link| (link.delivered, link.errors)).collect();
    assert_eq!((ends(&report.sinks[0]), links), ([0, 5, 0, 0], vec![(2, 1), (3, 1)]));
    assert_eq!(first.numbers(), [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_answers_late_that_it_failed_turns_the_unconfirmed_into_a_loss_with_its_reason() {
    let sink = ScriptedSink::always(Answer::Permanent);
    let link = || ScriptedSink::new().writes([Answer::GateThenTemporary]).outliving();
    let (first, second) = (link(), link());
    let chain = Pipeline::to(first.clone()).timeout(SECOND).fallback(Pipeline::to(second.clone()).timeout(SECOND));
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
    let pipeline = Pipeline::to(sink.clone()).timeout(SECOND).fallback(Pipeline::to(link.clone()).timeout(SECOND));
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
