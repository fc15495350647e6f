//! Rejections and panics: the batch is halved until the events at fault are found.

use logweir::sink::SinkErrorKind;
use logweir::{Breaker, BreakerState, DropReason, Pipeline};

use crate::support::{Answer, ScriptedSink, builder, emit_numbers, end, once, start};

use super::{Told, ends};

#[tokio::test(start_paused = true)]
async fn a_rejected_batch_is_halved_down_to_the_poison_and_the_rest_is_delivered_in_order() {
    let sink = ScriptedSink::always(Answer::Poison(&[3, 7, 8]));
    let told = Told::default();
    let pipeline =
        Pipeline::new(sink.clone()).breaker(Breaker::default().failure_threshold(1)).on_breaker(told.callback());
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
    let pipeline = Pipeline::new(sink.clone()).fallback(fallback.clone());
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
    assert_eq!((booked.errors_of(SinkErrorKind::Panic), booked.breaker), (8, BreakerState::Closed));

    let sink = ScriptedSink::always(Answer::PanicAt(&[2]));
    let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).fallback(fallback.clone()))).await;
    emit_numbers(&logger, 0..8);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((ends(&report.sinks[0]), fallback.numbers()), ([7, 1, 0, 0], vec![2]));
}
