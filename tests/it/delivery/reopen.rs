//! A reopen reaches every sink.

use std::time::Duration;

use logweir::sink::SinkErrorKind;
use logweir::{Breaker, BreakerState, DropReason, Level, Retry};
use tokio::time::timeout;

use crate::support::{Answer, PATIENCE, ScriptedSink, builder, emit_numbers, end, settle, start};

use super::{SECOND, brief};

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
    assert_eq!(failed, [("bad", Some(SinkErrorKind::Permanent)), ("hung", Some(SinkErrorKind::Timeout))]);
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

#[tokio::test(start_paused = true)]
async fn a_reopen_is_served_between_two_attempts_and_ends_the_wait() {
    // Fails until it is reopened, as a file whose folder was deleted.
    for wait in [Answer::Temporary, Answer::RetryAfter(200 * SECOND)] {
        let sink = ScriptedSink::always(wait);
        let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..3);
        // The breaker is open, or the destination asked for more time.
        tokio::time::sleep(100 * SECOND).await;
        sink.turn(Answer::Ok);
        let before = tokio::time::Instant::now();
        logger.reopen(PATIENCE).await.unwrap();
        sink.has(3).await;
        assert_eq!((before.elapsed(), sink.reopened()), (Duration::ZERO, 1));
        end(&logger, &[("sink", &sink)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reopen_that_fails_costs_one_attempt_and_the_wait_goes_on() {
    let sink = ScriptedSink::always(Answer::RetryAfter(100 * SECOND)).reopens([Answer::Temporary]);
    let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..3);
    sink.begun(1).await;
    assert!(logger.reopen(PATIENCE).await.is_err());
    tokio::time::sleep(50 * SECOND).await;
    assert_eq!(sink.batch_sizes(), [3, 3]);
    sink.turn(Answer::Ok);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_permanent_error_a_reopen_that_succeeds_makes_the_next_write_the_probe() {
    let sink = ScriptedSink::new().writes([Answer::Permanent]);
    let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
    emit_numbers(&logger, [0]);
    settle().await;
    assert_eq!(logger.stats().sinks[0].breaker, BreakerState::Open);
    logger.reopen(PATIENCE).await.unwrap();
    emit_numbers(&logger, 1..6);
    settle().await;
    assert_eq!((sink.numbers(), logger.stats().sinks[0].breaker), (vec![1, 2, 3, 4, 5], BreakerState::Closed));
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.sinks[0].dropped.total(), report.sinks[0].dropped.get(DropReason::SinkFailed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn each_reopen_has_a_result_of_its_own() {
    let sink = ScriptedSink::new().reopens([Answer::Gate, Answer::Permanent]);
    let logger = start(builder().sink("sink", sink.clone())).await;
    let (first, second, third) = (logger.reopen(PATIENCE), logger.reopen(PATIENCE), logger.reopen(PATIENCE));
    let begins = async {
        settle().await;
        let later = async { tokio::join!(second, third) };
        let release = async {
            settle().await;
            sink.release(1);
        };
        tokio::join!(later, release).0
    };
    let (first, (second, third)) = tokio::join!(first, begins);
    first.unwrap();
    assert!(second.is_err() && third.is_err(), "both asked while the first was under way, and share the next");
    assert_eq!(sink.reopened(), 2);
    logger.reopen(PATIENCE).await.unwrap();
    end(&logger, &[("sink", &sink)]).await;
}

/// It holds up a sink whose calls outlive their timeouts, as a file on a dead network share does.
#[tokio::test(start_paused = true)]
async fn a_reopen_that_hangs_keeps_no_batch_from_the_fallback() {
    let sink = ScriptedSink::always(Answer::Temporary).reopens([Answer::Gate]).outliving();
    let fallback = ScriptedSink::new();
    let retry = Retry::default().initial_delay(60 * SECOND).max_delay(60 * SECOND).seed(1);
    let pipeline = brief(&sink).retry(retry).breaker(Breaker::never()).fallback(fallback.clone());
    let logger = start(builder().batch_size(2).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..2);
    assert!(!logger.flush(SECOND / 10).await.complete);
    assert_eq!((sink.batch_sizes(), fallback.seen()), (vec![2], 0), "the batch waits for its next attempt");
    assert!(logger.reopen(5 * SECOND).await.is_err());
    assert_eq!(fallback.numbers(), [0, 1]);
    sink.turn(Answer::Ok);
    sink.release(1);
    emit_numbers(&logger, 2..4);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sinks[0].delivered_by_fallback), (vec![2, 3], 2));
}
