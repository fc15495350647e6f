//! A confirmed event is at its essential sinks, and an event that they do not have is not confirmed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod store;

use std::time::Duration;

use futures::FutureExt;
use logweir::error::ConfirmError;
use logweir::sink::{Answer, MemorySink, NullSink, RequestSink};
use logweir::{
    Builder, Confirmation, DropReason, IntoPipeline, Level, LevelFilter, Logger, Overflow, Pipeline, Receipt,
};

use crate::support::{
    PATIENCE, Reply, ScriptedRequests, ScriptedSink, builder, emit_numbers, heavy, number, once, start, until,
};

/// Long enough for what never comes.
const SOON: Duration = Duration::from_millis(20);

fn essential<Kind>(sink: impl IntoPipeline<Kind>) -> Pipeline {
    once(Pipeline::new(sink)).essential()
}

fn one(sink: impl RequestSink) -> Builder<'static> {
    builder().sink("sink", essential(sink))
}

/// Ends a logger whose counters must balance.
async fn end(logger: &Logger) {
    logger.shutdown(PATIENCE).await.check().unwrap();
}

fn sinks(receipt: &Receipt) -> Vec<(&str, Confirmation)> {
    receipt.sinks.iter().map(|(name, how)| (name.as_str(), *how)).collect()
}

#[tokio::test]
async fn an_event_is_confirmed_once_its_destination_has_acknowledged_it_and_no_interval_is_waited_for() {
    let sink = ScriptedRequests::new().replies([Reply::Gate(Answer::delivered())]);
    let logger = start(one(sink.clone()).sink("other", NullSink)).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(7), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    sink.begun(1).await;
    assert!((&mut confirmed).now_or_never().is_none(), "the destination has not answered");
    sink.release(1);
    let receipt = confirmed.await.unwrap();
    assert_eq!(sinks(&receipt), [("sink", Confirmation::Delivered)]);
    assert_eq!(sink.requests()[0].ids, [receipt.id.to_string()]);
    end(&logger).await;
}

#[tokio::test]
async fn every_essential_sink_confirms() {
    let slow = ScriptedRequests::new().replies([Reply::Gate(Answer::delivered())]);
    let two = one(ScriptedRequests::new()).sink("slow", essential(slow.clone()));
    let logger = start(two).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    slow.begun(1).await;
    assert!((&mut confirmed).now_or_never().is_none());
    let error = logger.emit_confirmed(number(2), SOON).await.unwrap_err();
    assert_eq!(error, ConfirmError::TimedOut { pending: vec!["slow".into()] });
    slow.release(1);
    let mut names = confirmed.await.unwrap().sinks.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["sink", "slow"]);
    end(&logger).await;
}

#[tokio::test]
async fn an_event_that_no_essential_sink_gets_is_logged_and_not_confirmed() {
    let (other, sink) = (ScriptedSink::new(), ScriptedRequests::new());
    let logger = start(builder().sink("other", other.clone())).await;
    assert_eq!(logger.emit_confirmed(number(1), PATIENCE).await, Err(ConfirmError::NoEssentialSink));
    end(&logger).await;
    assert_eq!(other.numbers(), [1]);
    let other = ScriptedSink::new();
    let excluding = builder().sink("other", other.clone()).sink("sink", essential(sink.clone()).level(Level::Error));
    let logger = start(excluding).await;
    assert_eq!(logger.emit_confirmed(number(2), PATIENCE).await, Err(ConfirmError::NoEssentialSink));
    end(&logger).await;
    assert_eq!((other.numbers(), sink.requests().len()), (vec![2], 0));
}

#[tokio::test]
async fn each_way_to_fail_has_its_own_error() {
    let rejecting = ScriptedRequests::new().says([Answer::rejected("bad")]);
    let logger = start(one(rejecting).level(Level::Info)).await;
    let filtered = logweir::Event::new(Level::Debug, "t", "0");
    assert_eq!(logger.emit_confirmed(filtered, PATIENCE).await, Err(ConfirmError::Filtered));
    let rejected = ConfirmError::Dropped { sink: "sink".into(), reason: DropReason::Rejected };
    assert_eq!(logger.emit_confirmed(number(1), PATIENCE).await, Err(rejected));
    assert!(logger.emit_confirmed(number(2), PATIENCE).await.is_ok());
    end(&logger).await;
    assert_eq!(logger.emit_confirmed(number(3), PATIENCE).await, Err(ConfirmError::Closed));
}

#[tokio::test]
async fn an_answer_that_may_mean_the_event_confirms_nothing() {
    let unnamed = ScriptedRequests::new().says([Answer::delivered().rejected_unnamed(1)]);
    let logger = start(one(unnamed)).await;
    let (first, second) =
        tokio::join!(logger.emit_confirmed(number(1), PATIENCE), logger.emit_confirmed(number(2), PATIENCE));
    let unknown = Err(ConfirmError::Unconfirmed { sink: "sink".into() });
    assert_eq!((first, second), (unknown.clone(), unknown));
    end(&logger).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_times_out_confirms_nothing() {
    let logger = start(one(ScriptedRequests::new().replies([Reply::Hang]))).await;
    let unknown = ConfirmError::Unconfirmed { sink: "sink".into() };
    assert_eq!(logger.emit_confirmed(number(1), PATIENCE).await, Err(unknown));
    end(&logger).await;
}

#[tokio::test]
async fn a_fallback_that_acknowledges_confirms_and_another_does_not() {
    let failing = || ScriptedRequests::new().says([Answer::rejected("bad")]);
    let accepted = builder().sink("sink", essential(failing()).fallback(ScriptedRequests::new()));
    let logger = start(accepted).await;
    let receipt = logger.emit_confirmed(number(1), PATIENCE).await.unwrap();
    assert_eq!(sinks(&receipt), [("sink", Confirmation::Delivered)]);
    end(&logger).await;
    let written = builder().sink("sink", essential(failing()).fallback(ScriptedSink::new()));
    let logger = start(written).await;
    let unknown = ConfirmError::Unconfirmed { sink: "sink".into() };
    assert_eq!(logger.emit_confirmed(number(1), PATIENCE).await, Err(unknown));
    end(&logger).await;
}

#[tokio::test]
async fn an_event_that_is_evicted_from_the_queue_is_not_confirmed() {
    let sink = ScriptedRequests::new();
    let logger = start(one(sink.clone()).queue_capacity(4).overflow(Overflow::DropOldest)).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(0), PATIENCE));
    // The flush task does not run before the next await.
    assert!((&mut confirmed).now_or_never().is_none());
    emit_numbers(&logger, 1..6);
    assert_eq!(confirmed.now_or_never(), Some(Err(ConfirmError::Evicted(DropReason::OverflowOldest))));
    end(&logger).await;
    assert_eq!(sink.attempted(), [[2, 3, 4, 5]]);
}

#[tokio::test]
async fn before_there_is_room_the_event_is_not_accepted_and_not_counted() {
    let logger = start(one(ScriptedRequests::new()).queue_capacity(1).overflow(Overflow::DropNewest)).await;
    emit_numbers(&logger, 0..1);
    let waiting = logger.emit_confirmed(number(1), Duration::ZERO).now_or_never();
    assert_eq!(waiting, Some(Err(ConfirmError::TimedOut { pending: Vec::new() })));
    let stats = logger.stats();
    assert_eq!((stats.accepted, stats.refused.total()), (1, 0));
    assert!(logger.emit_confirmed(number(2), PATIENCE).await.is_ok());
    end(&logger).await;
    assert_eq!(logger.stats().accepted, 2);
}

#[tokio::test]
async fn without_memory_it_waits_for_some_like_any_event_that_waits() {
    let sink = ScriptedRequests::new();
    let logger = start(one(sink.clone()).memory_limit(4 << 20).overflow(Overflow::DropNewest)).await;
    let mut n = 0;
    while logger.stats().refused.get(DropReason::Memory) == 0 {
        logger.emit(heavy(n, 2000));
        n += 1;
    }
    // Nothing that is charged fits now.
    while logger.try_emit(heavy(n, 100)).is_ok() {
        n += 1;
    }
    let before = logger.stats();
    let mut confirmed = Box::pin(logger.emit_confirmed(number(n), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    let after = logger.stats();
    assert_eq!((after.accepted, after.refused), (before.accepted, before.refused));
    assert!(confirmed.await.is_ok());
    end(&logger).await;
}

#[tokio::test]
async fn a_caller_that_waits_no_more_leaves_its_event_to_the_logger() {
    let sink = ScriptedRequests::new();
    let logger = start(one(sink.clone())).await;
    assert!(logger.with("k", 1).emit_confirmed(number(1), PATIENCE).now_or_never().is_none());
    end(&logger).await;
    assert_eq!((sink.attempted(), logger.stats().queued_bytes), (vec![vec![1]], 0));
}

#[tokio::test]
async fn an_event_keeps_the_fields_of_its_logger_and_of_its_scope() {
    let sink = MemorySink::new();
    let pipeline = Pipeline::new(sink.clone()).spool_store(store::Kept::default());
    let logger = start(builder().sink("sink", pipeline)).await;
    let child = logger.with("user", "ada");
    let confirmed = child.emit_confirmed(number(1), PATIENCE);
    let receipt = logweir::scope(logweir::fields![request = 7_u64], confirmed).await.unwrap();
    assert_eq!(sinks(&receipt), [("sink", Confirmation::Synced)]);
    end(&logger).await;
    let event = sink.events().remove(0);
    let field = |name| event.field(name).unwrap().to_string();
    assert_eq!((field("user"), field("request")), ("ada".into(), "7".into()));
}

#[tokio::test]
async fn at_the_deadline_what_waits_is_dropped_and_what_is_written_is_unconfirmed() {
    let logger = start(one(ScriptedRequests::new().replies([Reply::Hang]))).await;
    let mut written = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut written).now_or_never().is_none());
    tokio::task::yield_now().await;
    until(&logger, |sink| sink.in_flight > 0).await;
    let mut waits = Box::pin(logger.emit_confirmed(number(2), PATIENCE));
    assert!((&mut waits).now_or_never().is_none());
    until(&logger, |sink| sink.backlog > 0).await;
    let mut queued = Box::pin(logger.emit_confirmed(number(3), PATIENCE));
    assert!((&mut queued).now_or_never().is_none());
    logger.shutdown(Duration::ZERO).await.check().unwrap();
    let dropped = ConfirmError::Dropped { sink: "sink".into(), reason: DropReason::Deadline };
    assert_eq!(written.await, Err(ConfirmError::Unconfirmed { sink: "sink".into() }));
    assert_eq!(waits.await, Err(dropped));
    assert_eq!(queued.await, Err(ConfirmError::Evicted(DropReason::Deadline)));
}

#[test]
fn if_the_runtime_is_dropped_callers_are_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logger = runtime.block_on(start(one(ScriptedRequests::new())));
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    drop(runtime);
    let lost = Err(ConfirmError::Evicted(DropReason::RuntimeDropped));
    assert_eq!(futures::executor::block_on(confirmed), lost);
}

#[test]
fn a_sink_that_confirms_nothing_is_not_essential_without_a_spool() {
    let error = builder().sink("sink", essential(ScriptedSink::new())).start().unwrap_err();
    assert_eq!(error.option(), Some("essential"));
    let text = error.to_string();
    assert!(text.contains("sink `sink`") && text.contains("spool") && text.contains("Accepted"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_synchronized_with_each_batch_confirms() {
    let path = std::env::temp_dir().join(format!("logweir-confirm-{}.log", std::process::id()));
    let file = |durability| logweir::sink::FileSink::new(&path).durability(durability);
    let logger = start(builder().sink("file", essential(file(logweir::sink::Durability::SyncEveryBatch)))).await;
    let receipt = logger.emit_confirmed(number(1), PATIENCE).await.unwrap();
    assert_eq!(sinks(&receipt), [("file", Confirmation::Delivered)]);
    assert!(std::fs::read_to_string(&path).unwrap().contains("1"));
    end(&logger).await;
    std::fs::remove_file(&path).unwrap();
    let buffered = builder().sink("file", essential(file(logweir::sink::Durability::Buffered))).start();
    assert_eq!(buffered.unwrap_err().option(), Some("essential"));
}

#[tokio::test]
async fn no_level_and_no_limit_of_the_linger_delays_it() {
    let pipeline = essential(ScriptedRequests::new()).batching(100, 1 << 16, Duration::from_secs(3600));
    let logger = start(builder().flush_at(LevelFilter::Off).sink("sink", pipeline)).await;
    assert!(logger.emit_confirmed(number(1), PATIENCE).await.is_ok());
    end(&logger).await;
}
