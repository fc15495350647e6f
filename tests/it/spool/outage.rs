//! An outage costs a pipeline with a spool nothing.

use logweir::{DropReason, Pipeline};

use super::{Folder, builder, end, quick, spooled, start};
use crate::support::{Answer, PATIENCE, ScriptedSink, emit_numbers};

#[tokio::test]
async fn events_wait_in_the_spool_beyond_every_age_and_are_delivered_once_in_order() {
    let folder = Folder::new("outage");
    let sink = ScriptedSink::always(Answer::Temporary);
    let fallback = ScriptedSink::new();
    let pipeline = quick(Pipeline::new(sink.clone())).spool(folder.spool()).fallback(fallback.clone());
    let logger = start(builder().sink("sink", pipeline));
    emit_numbers(&logger, 0..300);
    // Several times `max_elapsed`, the sink's probes included.
    while sink.attempted().len() < 20 {
        tokio::task::yield_now().await;
    }
    let waiting = logger.stats().sinks[0].clone();
    assert_eq!((waiting.spooled + waiting.in_flight, waiting.dropped.total()), (300, 0), "{waiting}");
    sink.turn(Answer::Ok);
    assert!(logger.flush(PATIENCE).await.complete);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.unconfirmed, fallback.seen()), (300, 0, 0), "{ended}");
    assert_eq!(sink.numbers(), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unusable_sink_loses_nothing_either() {
    let folder = Folder::new("unusable");
    let sink = ScriptedSink::always(Answer::Permanent);
    let logger = start(spooled(sink.clone(), folder.spool()));
    emit_numbers(&logger, 0..20);
    while sink.attempted().len() < 5 {
        tokio::task::yield_now().await;
    }
    sink.turn(Answer::Ok);
    while logger.stats().sinks[0].delivered < 20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(end(&logger).await.delivered, 20);
}

#[tokio::test]
async fn an_event_in_a_request_is_in_flight_and_not_spooled() {
    let folder = Folder::new("flight");
    let sink = ScriptedSink::new().writes([Answer::Gate]);
    let logger = start(spooled(sink.clone(), folder.spool()));
    emit_numbers(&logger, 0..1);
    while sink.attempted().is_empty() {
        tokio::task::yield_now().await;
    }
    emit_numbers(&logger, 1..3);
    while logger.stats().sinks[0].spooled < 2 {
        tokio::task::yield_now().await;
    }
    let stats = logger.stats().sinks[0].clone();
    assert_eq!((stats.in_flight, stats.spooled, stats.backlog), (1, 2, 0), "{stats}");
    sink.open_gate();
    assert_eq!(end(&logger).await.delivered, 3);
}

#[tokio::test]
async fn the_fallback_gets_what_the_sink_rejects_and_nothing_else() {
    let folder = Folder::new("rejected");
    let sink = ScriptedSink::always(Answer::Poison(&[7]));
    let fallback = ScriptedSink::new();
    let pipeline = quick(Pipeline::new(sink.clone())).spool(folder.spool()).fallback(fallback.clone());
    let logger = start(builder().sink("sink", pipeline));
    emit_numbers(&logger, 0..10);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.delivered_by_fallback, ended.spooled), (9, 1, 0), "{ended}");
    assert_eq!(fallback.numbers(), [7]);
}

#[tokio::test]
async fn a_flush_in_an_outage_is_complete_once_the_disk_has_the_events() {
    let folder = Folder::new("flush");
    let logger = start(spooled(super::Unavailable, folder.spool()));
    emit_numbers(&logger, 0..100);
    let flushed = logger.flush(PATIENCE).await;
    assert!(flushed.complete && flushed.sinks[0].pending == 0, "{flushed:?}");
    assert_eq!(end(&logger).await.spooled, 100);
}

#[tokio::test]
async fn a_backlog_larger_than_the_memory_is_read_back_in_order() {
    let folder = Folder::new("memory");
    let sink = ScriptedSink::always(Answer::Temporary);
    let pipeline = quick(Pipeline::new(sink.clone())).spool(folder.spool()).backlog_bytes(64 << 10);
    let logger = start(builder().sink("sink", pipeline).memory_limit(4 << 20).max_event_bytes(8 << 10));
    for start in (0..20_000).step_by(100) {
        emit_numbers(&logger, start..start + 100);
        assert!(logger.flush(PATIENCE).await.complete);
        let stats = logger.stats().sinks[0].clone();
        assert!(stats.backlog_bytes <= 64 << 10, "{stats}");
    }
    assert_eq!(logger.stats().sinks[0].dropped.total(), 0);
    sink.turn(Answer::Ok);
    let ended = end(&logger).await;
    assert_eq!((ended.delivered, ended.dropped.get(DropReason::SpoolCorrupt)), (20_000, 0), "{ended}");
    assert_eq!(sink.numbers(), (0..20_000).collect::<Vec<_>>());
}

#[cfg(feature = "prometheus")]
#[tokio::test]
async fn the_metrics_of_a_spool_are_those_of_its_statistics() {
    let folder = Folder::new("metrics");
    let logger = start(spooled(super::Unavailable, folder.spool()).prometheus(logweir::Prometheus::without_listener()));
    emit_numbers(&logger, 0..10);
    assert!(logger.flush(PATIENCE).await.complete);
    let value = |page: &str, name: &str| {
        let line = page.lines().find(|line| line.starts_with(&format!("logweir_sink_spool_{name}{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let page = logger.render_metrics().unwrap();
    assert_eq!((value(&page, "events"), value(&page, "recovered_events_total")), (10.0, 0.0));
    let stats = logger.stats().sinks[0].clone();
    assert!(stats.spool_bytes > 0 && stats.spool_age.is_some(), "{stats:?}");
    assert_eq!(value(&page, "bytes"), stats.spool_bytes as f64);
    assert!(value(&page, "oldest_seconds") > 0.0);
    assert_eq!(end(&logger).await.spooled, 10);
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink, folder.spool()).prometheus(logweir::Prometheus::without_listener()));
    assert_eq!(end(&logger).await.delivered, 10);
    let page = logger.render_metrics().unwrap();
    let counted = ["recovered_events_total", "corrupt_events_total", "bypassed_events_total", "events"];
    assert_eq!(counted.map(|name| value(&page, name)), [10.0, 0.0, 0.0, 0.0]);
    let without = crate::support::builder().sink("sink", logweir::sink::NullSink);
    let logger = start(without.prometheus(logweir::Prometheus::without_listener()));
    assert!(!logger.render_metrics().unwrap().contains("logweir_sink_spool"));
    logger.shutdown(PATIENCE).await.check().unwrap();
}
