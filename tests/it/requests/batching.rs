//! How many events a request has, and how long it waits for them.

#![allow(clippy::single_range_in_vec_init, reason = "one dispatched batch among others")]

use std::time::Duration;

use logweir::sink::{Answer, Batching};
use logweir::{Breaker, Event, Level, LevelFilter, Logger, Pipeline, WhenFull};
use tokio::time::{Instant, sleep};

use super::{MS, SECOND, ends, quick, stubborn};
use crate::support::{NEVER, PATIENCE, ScriptedRequests, ScriptedSink, builder, emit_numbers, heavy, settle, start};

const HUGE: usize = 1 << 20;

/// Dispatches each of these batches by itself.
async fn dispatch(logger: &Logger, batches: impl IntoIterator<Item = std::ops::Range<u64>>) {
    for batch in batches {
        emit_numbers(logger, batch);
        sleep(10 * MS).await;
    }
}

fn often() -> logweir::Builder<'static> {
    builder().flush_interval(5 * MS)
}

#[tokio::test(start_paused = true)]
async fn a_request_spans_dispatched_batches_up_to_its_events() {
    let sink = ScriptedRequests::new();
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(10, HUGE, NEVER))).await;
    dispatch(&logger, [0..4, 4..8]).await;
    assert_eq!(sink.sizes(), [0; 0], "8 of 10 wait");
    dispatch(&logger, [8..10]).await;
    assert_eq!(sink.attempted(), [(0..10).collect::<Vec<_>>()]);
    // A dispatched batch is not divided between two requests.
    dispatch(&logger, [10..17, 17..24]).await;
    assert_eq!(sink.sizes(), [10, 7]);
    // Except one that is larger.
    dispatch(&logger, [24..49]).await;
    assert_eq!(sink.sizes(), [10, 7, 7, 10, 10, 5]);
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert_eq!(ends(&report.sinks[0]), [49, 0, 0, 0]);
    assert_eq!(sink.attempted().concat(), (0..49).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_request_has_no_more_bytes_than_it_may_in_memory_and_in_its_body() {
    let sink = ScriptedRequests::new();
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, 4096, NEVER))).await;
    for n in 0..6 {
        logger.emit(heavy(n, 1000));
        sleep(10 * MS).await;
    }
    assert_eq!(sink.sizes(), [2, 2], "two of them fit");
    logger.shutdown(PATIENCE).await.check().unwrap();
    assert_eq!(sink.sizes(), [2, 2, 2]);

    // Bodies of 9 bytes an event; the sink itself takes no more than 5,000.
    let sink = ScriptedRequests::new().body_limit(5000);
    let logger =
        start(builder().batch_size(2000).sink("sink", stubborn(sink.clone()).batching(2000, 2048, NEVER))).await;
    emit_numbers(&logger, 10_000_000..10_001_000);
    logger.shutdown(PATIENCE).await.check().unwrap();
    let bodies: Vec<usize> = sink.requests().iter().map(|request| request.body.len()).collect();
    assert!(bodies.iter().all(|bytes| *bytes <= 2048) && bodies.len() < 7, "{bodies:?}");
    assert_eq!(sink.attempted().concat(), (10_000_000..10_001_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_linger_begins_with_the_first_event_and_ends_whatever_comes() {
    let sink = ScriptedRequests::new();
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, HUGE, SECOND))).await;
    let begun = Instant::now();
    let come = async {
        for n in 0..25 {
            emit_numbers(&logger, [n]);
            sleep(100 * MS).await;
        }
    };
    tokio::join!(come, async {
        sink.begun(2).await;
        let at: Vec<Duration> = sink.requests().iter().map(|request| request.at - begun).collect();
        assert!(SECOND <= at[0] && at[0] <= SECOND + 10 * MS, "{at:?}");
        assert!(2 * SECOND <= at[1] && at[1] <= 2 * SECOND + 120 * MS, "{at:?}");
    });
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_linger_ends_by_itself() {
    let sink = ScriptedRequests::new();
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, HUGE, SECOND))).await;
    dispatch(&logger, [0..3]).await;
    sleep(SECOND - 20 * MS).await;
    assert_eq!(sink.sizes(), [0; 0]);
    sleep(20 * MS).await;
    assert_eq!(sink.sizes(), [3], "nothing else has come");
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_linger_a_request_takes_what_is_there() {
    let sink = ScriptedRequests::new().replies([crate::support::Reply::Gate(Answer::delivered())]);
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, HUGE, Duration::ZERO))).await;
    dispatch(&logger, [0..3, 3..5, 5..9]).await;
    assert_eq!(sink.sizes(), [3]);
    sink.release(1);
    settle().await;
    assert_eq!(sink.sizes(), [3, 6]);
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_a_flush_and_the_shutdown_end_the_linger() {
    let sink = ScriptedRequests::new();
    let logger =
        start(often().flush_at(LevelFilter::Error).sink("sink", stubborn(sink.clone()).batching(1000, HUGE, NEVER)))
            .await;
    dispatch(&logger, [0..3]).await;
    logger.emit(Event::new(Level::Error, "t", "3"));
    settle().await;
    assert_eq!(sink.sizes(), [4], "with what came before");
    dispatch(&logger, [4..6]).await;
    assert!(logger.flush(SECOND).await.complete);
    assert_eq!(sink.sizes(), [4, 2]);
    dispatch(&logger, [6..9]).await;
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!((sink.sizes(), report.timed_out), (vec![4, 2, 3], false));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_linger_before_its_hooks_have_run() {
    let sink = ScriptedRequests::new();
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, HUGE, NEVER))).await;
    dispatch(&logger, [0..3]).await;
    let seen = sink.clone();
    logger.on_shutdown(move || {
        Box::pin(async move {
            seen.begun(1).await;
            Ok(())
        })
    });
    let report = logger.shutdown(PATIENCE / 2).await;
    report.check().unwrap();
    assert_eq!((report.timed_out, report.failed_hooks, sink.sizes()), (false, 0, vec![3]));
}

#[tokio::test(start_paused = true)]
async fn a_flush_takes_no_later_events_along() {
    let sink = ScriptedRequests::new().replies([crate::support::Reply::Gate(Answer::delivered())]);
    let logger = start(often().sink("sink", stubborn(sink.clone()).batching(1000, HUGE, NEVER))).await;
    dispatch(&logger, [0..2]).await;
    let flush = || {
        let logger = logger.clone();
        tokio::spawn(async move { logger.flush(PATIENCE).await })
    };
    let first = flush();
    sink.begun(1).await;
    dispatch(&logger, [2..4]).await;
    let second = flush();
    settle().await;
    dispatch(&logger, [4..6]).await;
    sink.release(1);
    assert!(first.await.unwrap().complete && second.await.unwrap().complete);
    assert_eq!(sink.attempted(), [[0, 1], [2, 3]], "the events behind it linger");
    logger.shutdown(PATIENCE).await.check().unwrap();
    assert_eq!(sink.sizes(), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_and_a_retry_do_not_restart_the_linger() {
    let sink = ScriptedRequests::new().says([Answer::again("busy")]);
    let breaker = Breaker::default().failure_threshold(1).probe_delay(3 * SECOND);
    let pipeline = Pipeline::new(sink.clone()).breaker(breaker).retry(quick()).batching(2, HUGE, SECOND);
    let logger = start(often().sink("sink", pipeline)).await;
    dispatch(&logger, [0..2, 2..3]).await;
    sleep(3 * SECOND).await;
    assert_eq!(sink.attempted(), [vec![0, 1], vec![0, 1], vec![2]], "the third waited long enough meanwhile");
    assert_eq!(sink.pauses()[1], Duration::ZERO);
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_simple_sink_can_have_a_size_and_a_linger_too() {
    let sink = ScriptedSink::new();
    let logger = start(often().sink("sink", Pipeline::new(sink.clone()).batching(6, HUGE, NEVER))).await;
    dispatch(&logger, [0..3, 3..6, 6..20]).await;
    assert_eq!(sink.batch_sizes(), [6, 6, 6, 2]);
    let report = logger.shutdown(PATIENCE).await;
    assert_eq!(ends(&report.sinks[0]), [20, 0, 0, 0]);
    assert_eq!(sink.numbers(), (0..20).collect::<Vec<_>>());
}

/// Whatever the linger, and however much of the memory the body takes.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_more_never_costs_an_event_or_stops_the_others() {
    for policy in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block] {
        let (sink, requests, other) = (ScriptedSink::new(), ScriptedRequests::new(), ScriptedSink::new());
        let sized =
            |pipeline: Pipeline| pipeline.batching(1000, 8 << 10, NEVER).backlog_bytes(16 << 10).when_full(policy);
        let logger = start(
            often()
                .max_event_bytes(2048)
                .sink("sink", sized(Pipeline::new(sink.clone())))
                .sink("requests", sized(Pipeline::new(requests.clone())))
                .sink("other", other.clone()),
        )
        .await;
        for n in 0..60 {
            logger.emit(heavy(n, if n % 7 == 0 { 1500 } else { 300 }));
            sleep(10 * MS).await;
            assert_eq!(other.seen(), n + 1, "{policy:?}");
        }
        let report = logger.shutdown(PATIENCE).await;
        assert_eq!((ends(&report.sinks[0]), sink.seen()), ([60, 0, 0, 0], 60), "{policy:?}");
        assert_eq!((ends(&report.sinks[1]), requests.attempted().concat().len()), ([60, 0, 0, 0], 60), "{policy:?}");
    }
}

/// Also of a sink that asks for no size.
#[tokio::test(start_paused = true)]
async fn a_body_is_limited_and_paid_for_whoever_chose_the_size() {
    let sink = ScriptedRequests::new();
    let pipeline = Pipeline::new(sink.clone()).backlog_bytes(64 << 10);
    let logger = start(builder().max_event_bytes(1024).batch_size(4000).sink("sink", pipeline)).await;
    emit_numbers(&logger, 10_000_000_000_000..10_000_000_000_100);
    drop(logger.flush(PATIENCE).await);
    assert_eq!(sink.attempted().concat().len(), 100);
    let limit = (64 << 10) / 4;
    let sink = ScriptedRequests::new();
    let most = |bytes| {
        let pipeline = Pipeline::new(sink.clone()).backlog_bytes(64 << 10);
        builder().max_event_bytes(bytes).sink("sink", pipeline).start_on(&tokio::runtime::Handle::current())
    };
    assert!(most((64 << 10) / 2 - limit / 2).is_ok() && most((64 << 10) / 2 - limit / 2 + 1).is_err());
    logger.shutdown(PATIENCE).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn sizes_of_requests_are_checked_and_their_bodies_are_paid_for() {
    let start = |events, bytes| {
        let pipeline = Pipeline::new(ScriptedRequests::new()).batching(events, bytes, SECOND).backlog_bytes(1 << 20);
        builder().sink("http", pipeline).start_on(&tokio::runtime::Handle::current())
    };
    let wrong = |events, bytes| start(events, bytes).map(drop).unwrap_err();
    assert_eq!(wrong(0, 4096).option(), Some("batching"));
    assert_eq!(
        wrong(70_000, 4096).to_string(),
        "cannot start logger: `batching` is 70000 events (sink `http`); allowed is 1 to 65536 events"
    );
    assert_eq!(
        wrong(10, 600_000).to_string(),
        "cannot start logger: `batching` is 600000 bytes (sink `http`); allowed is 1024 to 524288 bytes: the bodies may take half \
         of the sink's 1048576 bytes"
    );
    assert!(wrong(10, 1000).to_string().contains("1000 bytes"));
    // Of 1 MiB the body takes half, so an event may have a quarter.
    let pipeline = || Pipeline::new(ScriptedRequests::new()).batching(10, 512 << 10, SECOND).backlog_bytes(1 << 20);
    let runtime = tokio::runtime::Handle::current();
    let most = builder().max_event_bytes(256 << 10).sink("http", pipeline()).start_on(&runtime).unwrap();
    most.shutdown(SECOND).await.check().unwrap();
    let more = builder().max_event_bytes((256 << 10) + 1).sink("http", pipeline()).start_on(&runtime).map(drop);
    assert_eq!(more.unwrap_err().option(), Some("max_event_bytes"));
    assert_eq!(Batching::new(1, 2, SECOND), Batching::new(1, 2, SECOND));
}
