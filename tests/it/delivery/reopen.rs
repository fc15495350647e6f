//! A reopen reaches every sink.

use std::time::Duration;

use logweir::sink::SinkErrorKind;
use tokio::time::timeout;

use crate::support::{Answer, PATIENCE, ScriptedSink, builder, emit_numbers, end, start};

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
