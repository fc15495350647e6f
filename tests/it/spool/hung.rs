//! A sink that hangs delays neither a flush nor the end of what the disk has.

use std::time::Duration;

use logweir::sink::{Acknowledges, Answer, Batching, Encoded, Request, RequestSink};
use logweir::{Batch, Pipeline, SinkError, async_trait};

use super::{Folder, builder, quick, start};
use crate::support::{PATIENCE, ScriptedSink, emit_numbers, until};

/// Never answers.
struct Silent {
    acknowledges: Acknowledges,
    flush_fails: bool,
}

#[async_trait]
impl RequestSink for Silent {
    fn encode(&self, batch: &Batch, _: &mut Vec<u8>) -> Encoded {
        Encoded::all(batch)
    }

    async fn send(&self, _: &Request) -> Answer {
        match self.flush_fails {
            true => Answer::delivered(),
            false => std::future::pending().await,
        }
    }

    async fn flush(&self) -> Result<(), SinkError> {
        if self.flush_fails { Err(SinkError::temporary("scripted")) } else { Ok(()) }
    }

    fn acknowledges(&self) -> Acknowledges {
        self.acknowledges
    }

    fn default_batching(&self) -> Batching {
        Batching::DISPATCHED
    }

    fn encodes_for_network(&self) -> bool {
        false
    }
}

fn silent(folder: &Folder, acknowledges: Acknowledges, flush_fails: bool) -> logweir::Builder<'static> {
    let pipeline = quick(Pipeline::new(Silent { acknowledges, flush_fails }).spool(folder.spool()));
    builder().sink("sink", pipeline.timeout(Duration::from_secs(3600)))
}

#[tokio::test]
async fn a_flush_is_complete_once_the_disk_has_the_events_though_a_request_hangs() {
    let folder = Folder::new("hung-flush");
    let logger = start(silent(&folder, Acknowledges::Accepted, false));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.in_flight > 0).await;
    emit_numbers(&logger, 10..20);
    let flushed = logger.flush(PATIENCE).await;
    assert!(flushed.complete, "{flushed:?}");
    logger.shutdown(Duration::ZERO).await.check().unwrap();
}

#[tokio::test]
async fn a_flush_waits_for_a_sink_that_has_to_make_safe_what_it_has() {
    let folder = Folder::new("hung-written");
    let logger = start(silent(&folder, Acknowledges::Written, false));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.in_flight > 0).await;
    assert!(!logger.flush(Duration::from_millis(30)).await.complete);
    logger.shutdown(Duration::ZERO).await.check().unwrap();
}

#[tokio::test]
async fn a_flush_waits_for_a_fallback_that_has_to_make_safe_what_it_has() {
    let folder = Folder::new("hung-fallback");
    let silent = Silent { acknowledges: Acknowledges::Accepted, flush_fails: false };
    let pipeline = quick(Pipeline::new(silent)).spool(folder.spool()).fallback(ScriptedSink::new());
    let logger = start(builder().sink("sink", pipeline.timeout(Duration::from_secs(3600))));
    emit_numbers(&logger, 0..10);
    until(&logger, |sink| sink.in_flight > 0).await;
    assert!(!logger.flush(Duration::from_millis(30)).await.complete);
    let report = logger.shutdown(Duration::from_millis(100)).await;
    report.check().unwrap();
    assert!(report.timed_out && report.sinks[0].spooled == 10, "{report}");
}

#[tokio::test]
async fn a_flush_of_the_sink_that_fails_fails_the_flush_only_if_it_is_needed() {
    for (acknowledges, is_complete) in [(Acknowledges::Accepted, true), (Acknowledges::Written, false)] {
        let folder = Folder::new("failing-flush");
        let logger = start(silent(&folder, acknowledges, true));
        emit_numbers(&logger, 0..10);
        let flushed = logger.flush(PATIENCE).await;
        assert_eq!(flushed.sinks[0].flushed, is_complete, "{acknowledges:?}: {flushed:?}");
        assert!(logger.stats().sinks[0].errors > 0);
        logger.shutdown(PATIENCE).await.check().unwrap();
    }
}

#[tokio::test]
async fn an_end_with_a_hung_request_has_not_timed_out_if_the_spool_has_everything() {
    let folder = Folder::new("hung-end");
    let logger = start(silent(&folder, Acknowledges::Accepted, false));
    emit_numbers(&logger, 0..30);
    until(&logger, |sink| sink.in_flight > 0).await;
    let report = logger.shutdown(Duration::from_millis(300)).await;
    report.check().unwrap();
    assert!(!report.timed_out && report.sinks[0].spooled == 30, "{report}");
    drop(logger);
    let sink = ScriptedSink::new();
    // The thread of the first one ends by itself.
    let next = || start(builder().sink("sink", quick(Pipeline::new(sink.clone())).spool(folder.spool())));
    let mut logger = next();
    while logger.stats().sinks[0].recovered == 0 {
        logger.shutdown(PATIENCE).await.check().unwrap();
        logger = next();
    }
    assert_eq!(super::end(&logger).await.delivered, 30);
    assert_eq!(sink.numbers(), (0..30).collect::<Vec<_>>());
}
