//! What sinks and callbacks log does not enter the queue.

use std::sync::{Arc, Mutex};

use logweir::error::Diagnostic;
use logweir::{Batch, Level, Logger, Sink, SinkError, async_trait};

use crate::support::{Answer, PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, number, start};

use super::one_by_one;

#[tokio::test(start_paused = true)]
async fn what_a_sink_logs_is_suppressed_and_counted() {
    let sink = ScriptedSink::new();
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", sink.clone())).await;
    sink.log_to(&logger);
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    // One in each write, one in the flush.
    assert_eq!((logger.stats().suppressed, logger.stats().emitted), (4, 3));
    sink.be_quiet();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.suppressed, report.emitted), (4, 3));
    assert_eq!(sink.numbers(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn every_way_in_is_suppressed_for_a_sink_also_in_tasks_it_wraps() {
    struct Spawns(Option<Logger>, Arc<Mutex<Option<Logger>>>);
    #[async_trait]
    impl Sink for Spawns {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            if self.0.is_none() {
                self.0 = self.1.lock().unwrap().take();
            }
            let Some(logger) = self.0.clone() else { return Ok(()) };
            logger.try_emit(number(100)).unwrap();
            logger.emit_wait(number(101)).await.unwrap();
            let inner = logger.clone();
            let wrapped = logweir::suppress(async move {
                inner.emit(number(102));
                tokio::task::yield_now().await;
                inner.emit(number(103));
            });
            tokio::spawn(wrapped).await.unwrap();
            // After an await it still is.
            logger.emit(number(104));
            Ok(())
        }

        async fn close(&mut self) -> Result<(), SinkError> {
            self.0 = None;
            Ok(())
        }
    }
    let (slot, sink) = (Arc::new(Mutex::new(None)), ScriptedSink::new());
    let logger = start(builder().sink("spawns", Spawns(None, slot.clone())).sink("sink", sink.clone())).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    // What others log meanwhile is not.
    logger.emit(number(3));
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("spawns", 4), ("sink", sink.seen())]);
    assert_eq!((report.suppressed, report.emitted), (10, 4));
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_on_error_logs_is_suppressed() {
    let slot: Arc<Mutex<Option<Logger>>> = Arc::default();
    let handler = {
        let slot = slot.clone();
        move |_: &Diagnostic| slot.lock().unwrap().iter().for_each(|logger| logger.emit(number(100)))
    };
    let sink = ScriptedSink::new().writes([Answer::Temporary]);
    let logger = start(one_by_one().on_error(handler).sink("sink", sink.clone())).await;
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.suppressed, report.emitted), (1, 3));
    slot.lock().unwrap().take();
}

#[test]
fn what_a_sink_spawns_on_the_loggers_own_runtime_is_suppressed_and_what_a_hook_logs_is_not() {
    /// Like an HTTP client: its connection is a task of its own, on whatever runtime there is.
    struct Client(Arc<Mutex<Option<Logger>>>);

    #[async_trait]
    impl Sink for Client {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            let Some(logger) = self.0.lock().unwrap().clone() else { return Ok(()) };
            let inner = logger.clone();
            let nested = async move {
                tokio::spawn(async move { inner.emit(number(101)) }).await.unwrap();
                let blocking = tokio::task::spawn_blocking(move || logger.emit(number(100)));
                blocking.await.unwrap();
            };
            tokio::spawn(nested).await.unwrap();
            Ok(())
        }
    }

    let (slot, sink): (Arc<Mutex<Option<Logger>>>, _) = (Arc::default(), ScriptedSink::new());
    let builder = builder().flush_at(Level::Trace).sink("client", Client(slot.clone())).sink("sink", sink.clone());
    let logger = builder.start().unwrap();
    *slot.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, [0]);
    // Each would be the cause of two more.
    for _ in 0..10 {
        assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
    }
    assert_eq!((logger.stats().accepted, logger.stats().suppressed), (1, 2));
    let weak = logger.downgrade();
    logger.on_shutdown(move || {
        Box::pin(async move {
            weak.upgrade().iter().for_each(|logger| logger.emit(number(1)));
            tokio::task::yield_now().await;
            weak.upgrade().iter().for_each(|logger| logger.emit(number(2)));
            Ok(())
        })
    });
    slot.lock().unwrap().take();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("client", 3), ("sink", sink.seen())]);
    assert_eq!((sink.numbers(), report.suppressed), (vec![0, 1, 2], 2));
}
