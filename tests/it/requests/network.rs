//! Where sinks run that encode for the network.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use logweir::sink::{Answer, Batching, Encoded, MemorySink, NullSink, Request, RequestSink};
use logweir::{Batch, Event, Level, Logger, Pipeline, async_trait};

use crate::support::{PATIENCE, ScriptedRequests, emit_numbers};

fn threads(sink: &ScriptedRequests) -> Vec<Option<String>> {
    sink.requests().into_iter().map(|request| request.thread).collect()
}

#[test]
fn a_sink_that_encodes_for_the_network_runs_on_a_thread_of_its_own_wherever_the_logger_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let start: [&dyn Fn(logweir::Builder<'static>) -> Logger; 2] =
        [&|builder| builder.start().unwrap(), &|builder| builder.start_on(runtime.handle()).unwrap()];
    for start in start {
        let sink = ScriptedRequests::new().on_the_network();
        let logger = start(Logger::builder().sink("http", sink.clone()).sink("null", NullSink));
        emit_numbers(&logger, 0..10);
        let report = runtime.block_on(logger.shutdown(PATIENCE));
        report.check().unwrap();
        assert_eq!(report.sinks[0].delivered, 10);
        assert_eq!(threads(&sink), [Some("logweir-net".to_owned())]);
    }
}

#[test]
fn a_simple_sink_with_a_fallback_for_the_network_runs_there_too() {
    let (down, sink) = (
        crate::support::ScriptedSink::always(crate::support::Answer::Permanent),
        ScriptedRequests::new().on_the_network(),
    );
    let logger = Logger::builder().sink("sink", Pipeline::new(down).fallback(sink.clone())).start().unwrap();
    emit_numbers(&logger, 0..10);
    let report = logger.shutdown_blocking(Duration::from_secs(20)).unwrap();
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered_by_fallback, threads(&sink)), (10, vec![Some("logweir-net".to_owned())]));
}

/// Encodes for as long as the gate is held.
#[derive(Clone)]
struct SlowEncoder {
    gate: Arc<RwLock<()>>,
    encoding: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl RequestSink for SlowEncoder {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        self.encoding.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.read().unwrap());
        body.resize(1 << 20, 0);
        Encoded::all(batch)
    }

    async fn send(&self, request: &Request) -> Answer {
        self.sent.fetch_add(request.batch.len(), Ordering::SeqCst);
        Answer::delivered()
    }

    fn default_batching(&self) -> Batching {
        Batching::new(100, 4 << 20, Duration::ZERO)
    }
}

/// However long a body takes: nothing else waits for it.
#[test]
fn while_a_body_is_encoded_events_are_accepted_and_an_error_reaches_the_other_sinks() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let start: [&dyn Fn(logweir::Builder<'static>) -> Logger; 2] =
        [&|builder| builder.start().unwrap(), &|builder| builder.start_on(runtime.handle()).unwrap()];
    for start in start {
        let gate = Arc::new(RwLock::new(()));
        let held = gate.write().unwrap();
        let http = SlowEncoder { gate: gate.clone(), encoding: Arc::default(), sent: Arc::default() };
        let (memory, encoding) = (MemorySink::new(), http.encoding.clone());
        let builder = Logger::builder().queue_capacity(64).lanes(1).overflow(logweir::Overflow::DropOldest);
        let logger = start(
            builder.flush_interval(Duration::from_millis(10)).sink("http", http.clone()).sink("file", memory.clone()),
        );
        logger.emit(Event::new(Level::Info, "t", "first"));
        runtime.block_on(async {
            while encoding.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Many times what the queue can hold.
            for n in 0..100 {
                for _ in 0..20 {
                    logger.emit(Event::new(Level::Info, "t", "more"));
                }
                let seen = memory.wait_for(1 + 20 * (n + 1), PATIENCE).await;
                assert!(seen.is_ok(), "{seen:?}");
            }
            logger.emit(Event::new(Level::Error, "t", "an error"));
            memory.wait_for(2002, PATIENCE).await.unwrap();
        });
        assert_eq!(encoding.load(Ordering::SeqCst), 1, "the first body is being encoded still");
        assert_eq!((logger.stats().evicted.total(), logger.stats().sinks[0].dropped.total()), (0, 0));
        drop(held);
        let report = runtime.block_on(logger.shutdown(PATIENCE));
        report.check().unwrap();
        assert_eq!((report.sinks[0].delivered, http.sent.load(Ordering::SeqCst)), (2002, 2002));
    }
}

#[test]
fn a_sink_that_hangs_while_it_encodes_holds_up_no_shutdown_and_sends_nothing_after_it() {
    let gate = Arc::new(RwLock::new(()));
    let held = gate.write().unwrap();
    let http = SlowEncoder { gate: gate.clone(), encoding: Arc::default(), sent: Arc::default() };
    let memory = MemorySink::new();
    let logger = Logger::builder().sink("http", http.clone()).sink("memory", memory.clone()).start().unwrap();
    emit_numbers(&logger, 0..10);
    let report = logger.shutdown_blocking(Duration::from_millis(300)).unwrap();
    report.check().unwrap();
    assert!(report.timed_out, "{report}");
    // It was never sent: certain.
    assert_eq!(report.sinks[0].dropped.get(logweir::DropReason::Deadline), 10);
    assert_eq!((report.sinks[1].delivered, memory.events().len()), (10, 10));
    drop(held);
    // Until the thread has dropped the last copy.
    let sent = http.sent.clone();
    drop(http);
    while Arc::strong_count(&sent) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(sent.load(Ordering::SeqCst), 0);
}
