//! Contexts of spans are paid for by the queue's account, and nothing the sinks log comes back.

use logweir::{Batch, Builder, DropReason, Overflow, Sink, SinkError, async_trait};
use tracing::field::Empty;
use tracing::{info, info_span};
use tracing_subscriber::prelude::*;

use super::Weir;
use crate::support::{self, PATIENCE, ScriptedSink, builder, end, start};

const KIB: usize = 1 << 10;

/// The queue's half of the memory is 64 KiB.
fn small() -> Builder<'static> {
    builder().memory_limit(128 * KIB).queue_capacity(64).max_event_bytes(16 * KIB)
}

#[tokio::test(start_paused = true)]
async fn a_spans_context_is_charged_once_however_many_events_carry_it() {
    let weir = Weir::with(small()).await;
    let guard = weir.listen();
    let span = info_span!("request", text = "x".repeat(10 * KIB), later = Empty);
    assert_eq!(weir.logger.stats().queued_bytes, 0, "no event, no context");
    span.in_scope(|| info!("first"));
    let one = weir.logger.stats().queued_bytes;
    assert!((10 * KIB as u64..11 * KIB as u64).contains(&one), "{one}");
    (0..50).for_each(|_| span.in_scope(|| info!("same")));
    assert_eq!(weir.logger.stats().queued_bytes, one);
    span.record("later", 1);
    span.in_scope(|| info!("recorded"));
    let two = weir.logger.stats().queued_bytes;
    assert!(two >= 2 * one && two < 2 * one + 100, "queued events keep the old one: {two}");
    assert!(weir.logger.flush(PATIENCE).await.complete);
    let left = weir.logger.stats().queued_bytes;
    assert_eq!(left, two - one, "the span keeps the new one");
    drop(span);
    assert_eq!(weir.logger.stats().queued_bytes, 0, "and gives it back when it is closed");
    drop(guard);
    assert_eq!(weir.end().await.len(), 52);
}

#[tokio::test(start_paused = true)]
async fn events_whose_context_finds_no_memory_are_refused_until_there_is_some() {
    let sink = ScriptedSink::new();
    let logger = start(small().overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    let guard = tracing_subscriber::registry().with(logger.tracing_layer()).set_default();
    // Contexts have half of the queue's half.
    let spans: Vec<_> = (0..4).map(|n| info_span!("request", n, text = "x".repeat(12 * KIB))).collect();
    spans.iter().for_each(|span| span.in_scope(|| info!("1")));
    info!("2");
    let stats = logger.stats();
    assert_eq!((stats.accepted, stats.refused.get(DropReason::Memory), stats.refused.total()), (3, 2, 2));
    assert!(logger.flush(PATIENCE).await.complete);
    let mut spans = spans.into_iter();
    drop(spans.next());
    // The same span that was refused.
    let last = spans.next_back().unwrap();
    last.in_scope(|| info!("3"));
    drop((guard, last, spans));
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.messages(), ["1", "1", "2", "3"]);
    assert_eq!((report.emitted, report.refused.total()), (6, 2));
    assert_eq!(logger.stats().queued_bytes, 0);
}

/// Logs through `tracing` whenever it is called, in a span and outside of it.
struct Talkative(ScriptedSink);

#[async_trait]
impl Sink for Talkative {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        info!("writing");
        let span = info_span!("write", events = batch.len());
        tracing::Instrument::instrument(async { info!("in a span") }, span).await;
        self.0.write(batch).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_logs_through_tracing_does_not_come_back() {
    let sink = ScriptedSink::new();
    let logger = start(builder().batch_size(1).sink("sink", Talkative(sink.clone()))).await;
    // The tasks of the logger run on this thread, so this is their subscriber too.
    let guard = tracing_subscriber::registry().with(logger.tracing_layer()).set_default();
    (0..3).for_each(|n| info!("{n}"));
    assert!(logger.flush(PATIENCE).await.complete);
    logweir::suppress(async { info!("wrapped") }).await;
    info!("3");
    let report = logger.shutdown(PATIENCE).await;
    drop(guard);
    support::balance(&report, &[("sink", 4)]);
    assert_eq!(sink.messages(), ["0", "1", "2", "3"]);
    assert_eq!((report.emitted, logger.stats().suppressed), (4, 2 * 4 + 1));
}
