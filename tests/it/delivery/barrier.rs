//! A flush is a barrier at every sink.

use std::time::Duration;

use logweir::{Overflow, Pipeline};
use tokio::time::timeout;

use crate::support::{Answer, PATIENCE, ScriptedSink, emit_numbers, end, number, settle, start};

use super::{SECOND, one_by_one};

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_what_was_accepted_before_it_and_says_what_is_pending() {
    let (sink, other) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    let pipeline = Pipeline::new(sink.clone()).timeout(PATIENCE * 10);
    let logger = start(one_by_one().sink("sink", pipeline).sink("other", other.clone())).await;
    emit_numbers(&logger, 0..3);
    let report = logger.flush(SECOND).await;
    assert_eq!((report.complete, report.queued), (false, 0));
    assert_eq!((report.sinks[0].flushed, report.sinks[0].pending), (false, 3));
    assert_eq!((report.sinks[1].flushed, report.sinks[1].pending), (true, 0));

    let mut flush = std::pin::pin!(logger.flush(PATIENCE));
    assert!(timeout(SECOND, flush.as_mut()).await.is_err());
    // Logged after the flush was asked for: it does not wait for these.
    emit_numbers(&logger, 3..5);
    sink.release(3);
    assert!(flush.await.complete);
    assert_eq!(sink.seen(), 3);
    sink.open_gate();
    end(&logger, &[("sink", &sink), ("other", &other)]).await;
}

#[tokio::test(start_paused = true)]
async fn many_flushes_at_once_are_all_answered() {
    let sink = ScriptedSink::always(Answer::Slow(Duration::from_millis(1)));
    let logger = start(one_by_one().overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    let flushes: Vec<_> = (0..200)
        .map(|n| {
            let logger = logger.clone();
            tokio::spawn(async move {
                logger.emit(number(n));
                if n % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                logger.flush(PATIENCE).await.complete
            })
        })
        .collect();
    for flush in flushes {
        assert!(flush.await.unwrap());
    }
    assert_eq!(sink.seen(), 200);
    // A flush that nobody waits for any more disturbs none.
    let abandoned = tokio::spawn({
        let logger = logger.clone();
        async move { logger.flush(PATIENCE).await }
    });
    settle().await;
    abandoned.abort();
    assert!(logger.flush(PATIENCE).await.complete);
    end(&logger, &[("sink", &sink)]).await;
}
