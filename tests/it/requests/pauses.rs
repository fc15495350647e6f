//! Pauses that a destination asks for.

use std::time::Duration;

use logweir::sink::Answer;
use logweir::{Breaker, Pipeline, Retry};
use tokio::time::Instant;

use super::{MS, SECOND, ends, quick};
use crate::support::{PATIENCE, ScriptedRequests, ScriptedSink, builder, emit_numbers, settle, start};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn busy(wait: Duration) -> Answer {
    Answer::again("429").retry_after(wait)
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_failure_for_the_breaker_and_no_attempt_for_the_retry() {
    let sink = ScriptedRequests::new().says((0..5).map(|_| busy(3 * SECOND)));
    let pipeline = Pipeline::new(sink.clone()).breaker(Breaker::default().failure_threshold(1)).retry(Retry::never());
    let logger = start(builder().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..2);
    assert!(logger.flush(PATIENCE).await.complete);
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert_eq!((sink.pauses(), report.sinks[0].breaker_opened), (vec![3 * SECOND; 5], 0));
    assert_eq!(ends(&report.sinks[0]), [2, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_age_of_the_batch_delays_and_another_one_ends_it() {
    for (pauses, delivered) in [(1, 2), (2, 0)] {
        let sink = ScriptedRequests::new().says((0..pauses).map(|_| busy(10 * SECOND)));
        let pipeline = Pipeline::new(sink.clone()).retry(quick().max_elapsed(SECOND));
        let logger = start(builder().sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..2);
        assert!(logger.flush(PATIENCE).await.complete);
        let report = logger.shutdown(PATIENCE).await;
        report.check().unwrap();
        assert_eq!((ends(&report.sinks[0]), sink.sizes().len()), ([delivered, 0, 2 - delivered, 0], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_during_a_pause_has_one_attempt_and_then_the_pause_is_kept() {
    let sink = ScriptedRequests::new().says((0..2).map(|_| busy(60 * SECOND)));
    let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).retry(quick()))).await;
    emit_numbers(&logger, 0..2);
    drop(logger.flush(SECOND).await);
    assert_eq!(sink.sizes().len(), 1, "the flush that came with the events ends no pause");
    drop(logger.flush(SECOND).await);
    assert_eq!(sink.sizes().len(), 2);
    for _ in 0..5 {
        drop(logger.flush(SECOND).await);
    }
    assert_eq!(sink.sizes().len(), 2, "once");
    let before = Instant::now();
    assert!(logger.flush(DAY).await.complete);
    assert!(before.elapsed() > 50 * SECOND, "{:?}", before.elapsed());
    // After another answer, once more.
    let sink = sink.says([busy(60 * SECOND)]);
    emit_numbers(&logger, 2..4);
    drop(logger.flush(SECOND).await);
    assert!(logger.flush(SECOND).await.complete);
    assert_eq!(sink.sizes().len(), 5);
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_and_a_reopen_end_a_pause() {
    for is_shutdown in [true, false] {
        let sink = ScriptedRequests::new().says([busy(300 * SECOND)]);
        let logger = start(builder().sink("sink", Pipeline::new(sink.clone()).retry(quick()))).await;
        emit_numbers(&logger, 0..2);
        drop(logger.flush(10 * MS).await);
        let before = Instant::now();
        if !is_shutdown {
            logger.reopen(PATIENCE).await.unwrap();
            settle().await;
            assert_eq!(sink.reopened(), 1);
        }
        let report = logger.shutdown(PATIENCE).await;
        report.check().unwrap();
        assert!(!report.timed_out && before.elapsed() < SECOND, "{:?}", before.elapsed());
        assert_eq!((ends(&report.sinks[0]), sink.sizes().len()), ([2, 0, 0, 0], 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_does_not_take_what_waits_for_a_pause_until_the_end() {
    let (sink, fallback) = (ScriptedRequests::new().says([busy(30 * SECOND)]), ScriptedSink::new());
    let logger = start(builder().sink("sink", Pipeline::new(sink).retry(quick()).fallback(fallback.clone()))).await;
    emit_numbers(&logger, 0..2);
    drop(logger.flush(20 * SECOND).await);
    assert_eq!(fallback.seen(), 0);
    assert!(logger.flush(DAY).await.complete);
    let report = logger.shutdown(PATIENCE).await;
    assert_eq!(ends(&report.sinks[0]), [2, 0, 0, 0]);
}
