//! The way in: what is emitted arrives once and in order, or is counted under the reason it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use logweir::error::TryEmitError;
use logweir::{
    Backlog, DropReason, Event, Health, Level, LevelFilter, Logger, Overflow, Pipeline, debug, info, trace, warn,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, timeout};

use crate::support::{
    Answer, NEVER, OrderSink, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, heavy,
    number, once, settle, start,
};

// The nine behaviours

#[tokio::test(start_paused = true)]
async fn one_event_arrives_as_it_was_emitted() {
    let sink = ScriptedSink::new();
    let logger = start(builder().enrich("service", "shop").sink("sink", sink.clone())).await;
    let request = logger.with("request", 7);
    warn!(logger: request, target: "orders", "order {id} is late", id = 42, by = %1.5);
    assert_eq!(logger.stats().queued, 1);

    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, report.accepted, report.dispatched), (1, 1, 1));
    let [seen] = &sink.taken()[..] else { panic!("one event, not {:?}", sink.taken()) };
    assert_eq!((seen.level, &*seen.target, &*seen.message), (Level::Warn, "orders", "order 42 is late"));
    let fields: Vec<_> = seen.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(fields, [("id", "42"), ("by", "1.5"), ("request", "7"), ("service", "shop")]);
}

#[tokio::test(start_paused = true)]
async fn many_events_arrive_in_order_in_batches_of_the_size_asked_for() {
    let sink = ScriptedSink::new();
    let logger = start(builder().batch_size(100).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..1050);
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..1050).collect::<Vec<_>>());
    let sizes = sink.batch_sizes();
    assert_eq!((&sizes[..10], &sizes[10..]), (&[100; 10][..], &[50][..]));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_and_keeps_exactly_the_newest() {
    for (capacity, emitted) in [(1, 5), (8, 8), (8, 9), (8, 500), (100, 1000)] {
        let sink = ScriptedSink::new();
        let logger = start(builder().queue_capacity(capacity).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..emitted);
        let kept = emitted.min(capacity as u64);
        assert_eq!(logger.stats().queued, kept);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(sink.numbers(), (emitted - kept..emitted).collect::<Vec<_>>());
        assert_eq!((report.emitted, report.accepted), (emitted, emitted));
        assert_eq!(report.evicted.get(DropReason::OverflowOldest), emitted - kept);
        assert_eq!((report.evicted.total(), report.refused.total()), (emitted - kept, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_empties_the_queue_and_flushes_the_sinks() {
    let (sink, other) = (ScriptedSink::new(), ScriptedSink::new());
    let logger = start(builder().sink("sink", sink.clone()).sink("other", other.clone())).await;
    emit_numbers(&logger, 0..1000);
    assert_eq!((logger.stats().queued, sink.seen()), (1000, 0));

    let report = logger.flush(PATIENCE).await;
    assert!(report.complete, "{report:?}");
    assert_eq!((report.queued, logger.stats().queued), (0, 0));
    assert_eq!((sink.seen(), other.seen()), (1000, 1000));
    assert_eq!((sink.flushed(), other.flushed()), (1, 1));
    end(&logger, &[("sink", &sink), ("other", &other)]).await;
}

#[tokio::test(start_paused = true)]
async fn the_flush_task_hands_out_by_interval() {
    let sink = ScriptedSink::new();
    let logger = start(builder().flush_interval(Duration::from_millis(100)).sink("sink", sink.clone())).await;
    for round in 0..3 {
        logger.emit(number(round));
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(sink.seen(), round, "not before the interval is over");
        tokio::time::sleep(Duration::from_millis(61)).await;
        assert_eq!(sink.seen(), round + 1);
        // The next round begins just after a tick, as the first does.
        advance(Duration::from_millis(99)).await;
        settle().await;
    }
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn the_flush_task_hands_out_when_a_lane_is_half_full() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(16).sink("sink", sink.clone())).await;
    for round in 0..5 {
        emit_numbers(&logger, 0..7);
        settle().await;
        assert_eq!((sink.seen(), logger.stats().queued), (round * 8, 7));
        logger.emit(number(7));
        settle().await;
        assert_eq!((sink.seen(), logger.stats().queued), (round * 8 + 8, 0));
    }
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_is_handed_out_at_once_with_all_before_it() {
    let sink = ScriptedSink::new();
    let logger = start(builder().flush_at(Level::Warn).sink("sink", sink.clone())).await;
    for round in 0..3 {
        emit_numbers(&logger, [1, 2]);
        settle().await;
        assert_eq!(sink.seen(), round * 3);
        logger.emit(Event::dynamic(Level::Warn, "t", "3"));
        settle().await;
        assert_eq!(sink.numbers()[round as usize * 3..], [1, 2, 3]);
    }
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_sink_stops_neither_the_others_nor_the_flush_task() {
    for answer in [Answer::Temporary, Answer::Rejected, Answer::Permanent, Answer::Panic] {
        let (good, bad) = (ScriptedSink::new(), ScriptedSink::always(answer.clone()));
        let logger = start(builder().sink("bad", once(bad.clone())).sink("good", good.clone())).await;
        for round in 0..5 {
            emit_numbers(&logger, round * 10..(round + 1) * 10);
            assert!(logger.flush(PATIENCE).await.complete);
            assert_eq!(good.seen(), (round + 1) * 10);
        }
        let report = end(&logger, &[("bad", &bad), ("good", &good)]).await;
        assert_eq!(good.numbers(), (0..50).collect::<Vec<_>>());
        assert_eq!(report.sink("bad").unwrap().dropped.total(), 50, "{answer:?}");
        assert!(bad.batch_sizes().len() >= 5, "it was tried each time");
    }
}

#[tokio::test(start_paused = true)]
async fn statistics_are_exact_at_every_step() {
    let (all, important) = (ScriptedSink::new(), ScriptedSink::new().writes([Answer::Ok, Answer::Temporary]));
    let sinks = builder()
        .queue_capacity(10)
        .overflow(Overflow::DropNewest)
        .level(Level::Debug)
        .sink("all", all.clone())
        .sink("important", once(important.clone()).level(Level::Warn));
    let logger = start(sinks).await;
    trace!(logger: logger, "not emitted");
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        logweir::log!(level, logger: logger, "first");
    }
    let stats = logger.stats();
    assert_eq!((stats.emitted, stats.accepted, stats.queued, stats.dispatched), (4, 4, 4, 0));
    balance_stats(&stats, &[("all", 0), ("important", 0)]);

    logger.flush(PATIENCE).await.complete.then_some(()).unwrap();
    let stats = logger.stats();
    assert_eq!((stats.emitted, stats.accepted, stats.queued, stats.dispatched), (4, 4, 0, 4));
    assert_eq!((stats.sinks[1].filtered, stats.sinks[1].routed), (2, 2));
    balance_stats(&stats, &[("all", all.seen()), ("important", 2)]);

    (0..13).for_each(|_| warn!(logger: logger, "second"));
    let stats = logger.stats();
    assert_eq!((stats.emitted, stats.accepted, stats.queued), (17, 14, 10));
    assert_eq!((stats.refused.get(DropReason::OverflowNewest), stats.refused.total()), (3, 3));

    let report = end(&logger, &[("all", &all), ("important", &important)]).await;
    assert_eq!((report.emitted, report.accepted, report.dispatched), (17, 14, 14));
    let important = report.sink("important").unwrap();
    assert_eq!((important.filtered, important.routed, important.delivered), (2, 12, 2));
    assert_eq!(important.dropped.get(DropReason::RetriesExhausted), 10);
    assert_eq!(report.sink("all").unwrap().delivered, 14);
}

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_what_is_pending() {
    let sink = ScriptedSink::always(Answer::Slow(Duration::from_millis(10)));
    let logger = start(builder().batch_size(10).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..200);
    assert_eq!(sink.seen(), 0);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..200).collect::<Vec<_>>());
    assert_eq!((report.dispatched, sink.closed()), (200, 1));
}

#[test]
fn concurrent_producers_lose_and_repeat_nothing_and_keep_their_order() {
    const PRODUCERS: usize = 8;
    const EVENTS: u64 = 100_000;
    let sink = OrderSink::default();
    let logger = Logger::builder()
        .lanes(4)
        .queue_capacity(1024)
        .memory(4 << 20)
        .max_event_bytes(4096)
        .overflow(Overflow::Block(Duration::MAX))
        .sink("sink", Pipeline::to(sink.clone()).when_full(Backlog::Wait).backlog(128 << 10))
        .start()
        .unwrap();
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let logger = &logger;
            scope.spawn(move || (0..EVENTS).for_each(|n| logger.emit(OrderSink::event(producer, n))));
        }
    });
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    sink.assert_whole(PRODUCERS, EVENTS);
    assert_eq!((report.accepted, report.refused.total(), report.evicted.total()), (800_000, 0, 0));
    balance(&report, &[("sink", sink.seen())]);
    balance_stats(&logger.stats(), &[("sink", sink.seen())]);
}

// The other policies

#[tokio::test(start_paused = true)]
async fn drop_newest_keeps_exactly_the_oldest() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(10).overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..25);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..10).collect::<Vec<_>>());
    assert_eq!((report.emitted, report.accepted, report.evicted.total()), (25, 10, 0));
    assert_eq!((report.refused.get(DropReason::OverflowNewest), report.refused.total()), (15, 15));
}

/// A runtime that nobody drives until the test does: the flush task stands still.
fn stopped_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn an_expired_wait_for_room_is_refused() {
    let (runtime, sink) = (stopped_runtime(), ScriptedSink::new());
    let policy = Overflow::Block(Duration::from_millis(30));
    let logger = builder().queue_capacity(2).overflow(policy).sink("sink", sink.clone()).start_on(runtime.handle());
    let logger = logger.unwrap();
    let before = std::time::Instant::now();
    emit_numbers(&logger, 0..3);
    assert!(before.elapsed() >= Duration::from_millis(30), "it waited");
    assert_eq!(logger.stats().refused.get(DropReason::OverflowNewest), 1);
    runtime.block_on(end(&logger, &[("sink", &sink)]));
    assert_eq!(sink.numbers(), [0, 1]);
}

#[test]
fn block_waits_for_room_outside_a_runtime() {
    let (runtime, sink) = (stopped_runtime(), ScriptedSink::new());
    let policy = Overflow::Block(Duration::MAX);
    let logger = builder().queue_capacity(2).overflow(policy).sink("sink", sink.clone()).start_on(runtime.handle());
    let logger = logger.unwrap();
    let producer = {
        let logger = logger.clone();
        thread::spawn(move || emit_numbers(&logger, 0..100))
    };
    runtime.block_on(async {
        sink.has(99).await;
        // The last one or two may wait for the mark; everything that did not fit has been taken out.
        tokio::task::spawn_blocking(move || producer.join().unwrap()).await.unwrap();
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(report.refused.total() + report.evicted.total(), 0);
    });
    assert_eq!(sink.numbers(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn block_inside_a_runtime_that_may_be_the_loggers_is_drop_newest() {
    let sink = ScriptedSink::new();
    let policy = Overflow::Block(Duration::MAX);
    let logger = start(builder().queue_capacity(4).overflow(policy).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..6);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);
    assert_eq!((report.refused.get(DropReason::OverflowNewest), report.refused.total()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_closed_logger_ends_a_wait_for_room() {
    let sink = ScriptedSink::new();
    let policy = Overflow::Block(Duration::MAX);
    let logger = start(builder().queue_capacity(1).overflow(policy).sink("sink", sink.clone())).await;
    emit_numbers(&logger, [0]);
    let waiting = {
        let logger = logger.clone();
        thread::spawn(move || logger.emit(number(1)))
    };
    // Closes the queue without draining it first, whatever the other thread has come to.
    let report = logger.shutdown(Duration::ZERO).await;
    waiting.join().unwrap();
    balance(&report, &[("sink", 0)]);
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.emitted, stats.accepted, stats.refused.get(DropReason::Closed)), (2, 1, 1));
}

// try_emit, emit_wait

#[tokio::test(start_paused = true)]
async fn try_emit_hands_back_what_does_not_fit_and_counts_nothing() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(2).sink("sink", sink.clone())).await;
    logger.try_emit(number(0)).unwrap();
    logger.try_emit(number(1)).unwrap();
    let Err(TryEmitError::Full(back)) = logger.try_emit(number(2)) else { panic!("there is no room") };
    assert_eq!(back.message().to_string(), "2");
    assert_eq!((logger.stats().emitted, logger.stats().queued), (2, 2));
    // It also asked for room.
    settle().await;
    logger.try_emit(back).unwrap();

    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, report.refused.total(), report.evicted.total()), (3, 0, 0));
    let Err(TryEmitError::Closed(back)) = logger.try_emit(number(3)) else { panic!("the logger is closed") };
    assert_eq!(back.message().to_string(), "3");
    assert_eq!((logger.stats().emitted, logger.stats().refused.total()), (3, 0));
    assert_eq!(sink.numbers(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn try_emit_hands_back_an_oversize_event_whole() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(1).max_event_bytes(300).sink("sink", sink.clone())).await;
    logger.try_emit(number(0)).unwrap();
    let back = logger.try_emit(heavy(1, 1000)).unwrap_err().into_event();
    assert!(!back.is_truncated());
    assert_eq!(back.fields().find(|(name, _)| *name == "text").unwrap().1.to_string().len(), 1000);
    assert_eq!((logger.stats().truncated, logger.stats().queued_bytes), (0, 0));
    settle().await;
    logger.try_emit(back).unwrap();
    assert_eq!(logger.stats().truncated, 1);
    end(&logger, &[("sink", &sink)]).await;
    assert!(sink.taken()[1].truncated);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_waits_for_room_under_every_policy() {
    for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(Duration::ZERO)] {
        let sink = ScriptedSink::new();
        let logger = start(builder().queue_capacity(4).overflow(policy).sink("sink", sink.clone())).await;
        for n in 0..100 {
            logger.emit_wait(number(n)).await.unwrap();
        }
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(sink.numbers(), (0..100).collect::<Vec<_>>());
        assert_eq!((report.accepted, report.evicted.total()), (100, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn emit_wait_with_room_wakes_nobody() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("sink", sink.clone())).await;
    for n in 0..10 {
        logger.emit_wait(number(n)).await.unwrap();
        settle().await;
    }
    assert_eq!((logger.stats().queued, sink.seen()), (10, 0), "they wait for the interval, as emit's do");
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_emit_wait_is_counted_nowhere() {
    let sink = ScriptedSink::always(Answer::Gate);
    let pipeline = Pipeline::to(sink.clone()).when_full(Backlog::Wait).timeout(NEVER);
    // The account has room for one batch of one event at a time.
    let builder = builder().queue_capacity(2).batch_size(1).max_event_bytes(256);
    let logger = start(builder.sink("sink", pipeline.backlog(512))).await;
    let mut accepted = Vec::new();
    let waiting = loop {
        let n = accepted.len() as u64;
        let mut waiting = Box::pin(logger.emit_wait(heavy(n, 1000)));
        if timeout(Duration::from_millis(10), &mut waiting).await.is_err() {
            break waiting;
        }
        accepted.push(n);
    };
    let before = logger.stats();
    drop(waiting);
    let after = logger.stats();
    assert_eq!((after.emitted, after.accepted, after.truncated), (before.emitted, before.accepted, before.truncated));
    assert_eq!((after.emitted, after.truncated), (accepted.len() as u64, accepted.len() as u64));
    sink.open_gate();
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), accepted);
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_ends_when_the_logger_is_closed() {
    let sink = ScriptedSink::always(Answer::Hang);
    let pipeline = Pipeline::to(sink.clone()).when_full(Backlog::Wait).timeout(NEVER);
    let builder = builder().queue_capacity(1).batch_size(1).max_event_bytes(256);
    let logger = start(builder.sink("sink", pipeline.backlog(512))).await;
    let mut n = 0;
    while timeout(Duration::from_millis(10), logger.emit_wait(number(n))).await.is_ok() {
        n += 1;
    }
    let waiting = tokio::spawn({
        let logger = logger.clone();
        async move { logger.emit_wait(number(1000)).await }
    });
    settle().await;
    let report = logger.shutdown(Duration::from_secs(1)).await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.reason(), DropReason::Closed);
    assert!(report.timed_out);
    balance(&report, &[("sink", 0)]);
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.accepted, stats.refused.get(DropReason::Closed)), (n, 1));
    assert_eq!(logger.emit_wait(number(1)).await.unwrap_err().reason(), DropReason::Closed);
}

#[tokio::test(start_paused = true)]
async fn emit_wait_asks_for_bytes_as_it_asks_for_room() {
    let sink = ScriptedSink::new();
    // 64 KiB for the queue, of which the lane takes 16: heavy events fill the rest long before the lane is half full.
    let builder = builder().queue_capacity(128).memory(128 << 10).max_event_bytes(31 << 10);
    let logger = start(builder.sink("sink", sink.clone())).await;
    let before = Instant::now();
    for n in 0..20 {
        // Less than half of the bytes, which wakes nobody; then more than are left.
        logger.emit(heavy(2 * n, 20 << 10));
        logger.emit_wait(heavy(2 * n + 1, 30 << 10)).await.unwrap();
        assert!(logger.flush(PATIENCE).await.complete);
    }
    assert!(before.elapsed() < Duration::from_secs(1), "waited {:?} for a tick", before.elapsed());
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.accepted, report.evicted.total()), (40, 0));
    assert_eq!(sink.numbers(), (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn try_emit_asks_for_bytes_as_it_asks_for_room() {
    let sink = ScriptedSink::new();
    let builder = builder().queue_capacity(128).memory(128 << 10).max_event_bytes(31 << 10);
    let logger = start(builder.sink("sink", sink.clone())).await;
    logger.try_emit(heavy(0, 20 << 10)).unwrap();
    let back = logger.try_emit(heavy(1, 30 << 10)).unwrap_err();
    assert!(matches!(back, TryEmitError::Full(_)));
    settle().await;
    logger.try_emit(back.into_event()).unwrap();
    settle().await;
    assert_eq!(sink.numbers(), [0, 1], "bytes in use wake the flush task");
    end(&logger, &[("sink", &sink)]).await;
}

// Order

/// A runtime no two threads of which share a lane of a logger with 64: behind a neighbour's half-written event, whose
/// thread was stopped, order across lanes is not promised.
fn runtime_with_lanes_of_its_own(threads: usize) -> tokio::runtime::Runtime {
    loop {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).max_blocking_threads(threads).enable_all().build().unwrap();
        let stopped = stopped_runtime();
        let probe = crate::support::builder().lanes(64).queue_capacity(1).sink("probe", ScriptedSink::new());
        let probe = probe.start_on(stopped.handle()).unwrap();
        let meeting = Arc::new(std::sync::Barrier::new(2 * threads));
        let ask = || {
            let (probe, meeting) = (probe.clone(), meeting.clone());
            move || {
                // Every thread holds one of these, so they are all asked.
                meeting.wait();
                probe.try_emit(number(0)).is_ok()
            }
        };
        let mut asked: Vec<_> = (0..threads).map(|_| runtime.spawn_blocking(ask())).collect();
        asked.extend((0..threads).map(|_| {
            let ask = ask();
            runtime.spawn(async move { ask() })
        }));
        let mut alone = true;
        for asked in asked {
            alone &= stopped.block_on(asked).unwrap();
        }
        if alone {
            return runtime;
        }
    }
}

/// A logger on its own thread that drains often, so that drains cut through what a task emits.
fn often(sink: &OrderSink) -> Logger {
    Logger::builder()
        .lanes(64)
        .queue_capacity(64)
        .flush_interval(Duration::from_millis(1))
        .flush_at(Level::Info)
        .sink("sink", Pipeline::to(sink.clone()).when_full(Backlog::Wait))
        .start()
        .unwrap()
}

/// Runs so many tasks, waits for all, and checks that each one's events came in order.
fn assert_order<F>(threads: usize, tasks: usize, events: u64, task: impl Fn(Logger, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (runtime, sink) = (runtime_with_lanes_of_its_own(threads), OrderSink::default());
    let logger = often(&sink);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..tasks).map(|number| tokio::spawn(task(logger.clone(), number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    sink.assert_whole(tasks, events);
    balance(&report, &[("sink", sink.seen())]);
}

#[test]
fn a_task_that_moves_between_threads_keeps_its_order() {
    const EVENTS: u64 = 2_000;
    assert_order(4, 16, EVENTS, |logger, task| async move {
        for n in 0..EVENTS {
            // Not `emit_wait`: one that waits is sent into the lane of the thread it began on, perhaps by another.
            while logger.try_emit(OrderSink::event(task, n)).is_err() {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_task_that_hops_to_blocking_threads_keeps_its_order() {
    const EVENTS: u64 = 600;
    assert_order(4, 4, EVENTS, |logger, task| async move {
        for n in (0..EVENTS).step_by(2) {
            let blocking = logger.clone();
            let emit = move || while blocking.try_emit(OrderSink::event(task, n)).is_err() {};
            tokio::task::spawn_blocking(emit).await.unwrap();
            while logger.try_emit(OrderSink::event(task, n + 1)).is_err() {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[tokio::test(start_paused = true)]
async fn lanes_are_merged_by_time() {
    let sink = ScriptedSink::new();
    let logger = start(builder().lanes(4).sink("sink", sink.clone())).await;
    // Eight threads, so every lane has some; they take turns.
    let turns: Vec<_> = (0..8).map(|_| std::sync::mpsc::sync_channel::<u64>(0)).collect();
    let (mut doors, mut rooms) = (Vec::new(), Vec::new());
    turns.into_iter().for_each(|(door, room)| {
        doors.push(door);
        rooms.push(room);
    });
    let (done, wait) = std::sync::mpsc::sync_channel(0);
    thread::scope(|scope| {
        for room in rooms {
            let (logger, done) = (&logger, done.clone());
            scope.spawn(move || {
                room.iter().for_each(|n| {
                    logger.emit(number(n));
                    done.send(()).unwrap();
                });
            });
        }
        for n in 0..200 {
            doors[(n * 5 % 8) as usize].send(n).unwrap();
            wait.recv().unwrap();
        }
        drop(doors);
    });
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..200).collect::<Vec<_>>());
}

// The filter

#[tokio::test(start_paused = true)]
async fn the_filter_decides_by_level_and_longest_target_and_changes_at_run_time() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("info,noisy=error,noisy::part=trace").sink("sink", sink.clone())).await;
    let say = |round: &str| {
        debug!(logger: logger, "{round} debug", round);
        info!(logger: logger, "{round} info", round);
        warn!(logger: logger, target: "noisy", "{round} noisy", round);
        trace!(logger: logger, target: "noisy::part::x", "{round} part", round);
        // The same by `emit`.
        logger.emit(Event::dynamic(Level::Warn, "noisy::other", round));
        logger.emit(Event::dynamic(Level::Debug, "noisy::part", &format!("{round} dynamic")));
        logger.emit(logweir::event!(Level::Debug, "{round} event", round));
    };
    say("1");
    assert!(logger.enabled(Level::Trace, "noisy::part") && !logger.enabled(Level::Warn, "noisy"));
    logger.set_filter("debug,noisy=off").unwrap();
    say("2");
    assert!(!logger.enabled(Level::Fatal, "noisy::part") && logger.enabled(Level::Debug, "other"));
    let error = logger.set_filter("debug,noisy=loud").unwrap_err();
    assert_eq!((error.directive(), error.column()), ("noisy=loud", 7));
    say("3");
    logger.set_filter("off").unwrap();
    say("4");

    let report = end(&logger, &[("sink", &sink)]).await;
    let round = |n: &str| [format!("{n} debug"), format!("{n} info"), format!("{n} event")];
    let first = ["1 info", "1 part", "1 dynamic"].map(String::from);
    assert_eq!(sink.messages(), [first, round("2"), round("3")].concat());
    assert_eq!((report.emitted, report.refused.total()), (9, 0), "what the filter keeps out is not counted");
}

#[tokio::test(start_paused = true)]
async fn every_way_in_applies_the_filter() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("warn").sink("sink", sink.clone())).await;
    logger.emit(number(0));
    logger.try_emit(number(1)).unwrap();
    logger.emit_wait(number(2)).await.unwrap();
    assert_eq!(end(&logger, &[("sink", &sink)]).await.emitted, 0);
    // Also after the end: there is nothing to refuse.
    logger.try_emit(number(3)).unwrap();
    logger.emit_wait(number(4)).await.unwrap();
    assert_eq!(logger.stats().emitted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_event_costs_nothing_but_the_question() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("info,on=trace").sink("sink", sink.clone())).await;
    let evaluated = Cell::new(0);
    let touch = || evaluated.set(evaluated.get() + 1);
    let say = || {
        debug!(logger: logger, "off {n}", n = { touch(); 1 });
        debug!(logger: logger, target: "on", "on {n}", n = { touch(); 1 });
    };
    say();
    assert_eq!(evaluated.get(), 1);
    logger.set_filter("debug").unwrap();
    say();
    assert_eq!(evaluated.get(), 3);
    logger.set_filter("warn").unwrap();
    say();
    assert_eq!((evaluated.get(), logger.stats().emitted), (3, 3));
    end(&logger, &[("sink", &sink)]).await;
}

// The end, and the books all the while

#[tokio::test(start_paused = true)]
async fn what_is_emitted_after_the_end_is_refused_and_counted() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert!(matches!(logger.health(), Health::Gone { .. }));
    emit_numbers(&logger, 3..10);
    logger.emit(heavy(10, 1000));
    logger.with("a", 1).emit(number(11));
    assert_eq!(logger.emit_wait(number(12)).await.unwrap_err().reason(), DropReason::Closed);
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 3)]);
    assert_eq!((stats.emitted, stats.accepted), (13, 3));
    assert_eq!((stats.refused.get(DropReason::Closed), stats.refused.total()), (10, 10));
    assert_eq!(stats.queued_bytes, 0);
    // The report is that of the end, and stays it.
    assert_eq!(logger.shutdown(PATIENCE).await, *report);
}

#[test]
fn the_books_balance_at_every_moment_while_others_log() {
    let sink = OrderSink::default();
    let logger = Logger::builder()
        .lanes(2)
        .queue_capacity(64)
        .flush_interval(Duration::from_millis(1))
        .sink("sink", sink.clone())
        .sink("important", Pipeline::to(logweir::sink::NullSink).level(Level::Warn))
        .start()
        .unwrap();
    let stop = AtomicBool::new(false);
    let emitted = thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|producer| {
                let (logger, stop) = (&logger, &stop);
                scope.spawn(move || {
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        logger.emit(OrderSink::event(producer, n));
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let looked = (0..5_000).try_for_each(|_| logger.stats().check());
        stop.store(true, Ordering::Relaxed);
        looked.unwrap();
        producers.into_iter().map(|producer| producer.join().unwrap()).sum::<u64>()
    });
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.emitted, emitted);
    balance(&report, &[("sink", sink.seen()), ("important", 0)]);
}

#[test]
fn the_report_of_an_end_at_once_balances_while_others_log() {
    for round in 0..200 {
        let sink = OrderSink::default();
        let logger = Logger::builder().lanes(1).queue_capacity(64).sink("sink", sink.clone()).start().unwrap();
        let report = thread::scope(|scope| {
            for producer in 0..3 {
                let logger = &logger;
                scope.spawn(move || {
                    let mut n = 0;
                    while logger.health() == Health::Running || n < 100 {
                        logger.emit(OrderSink::event(producer, n));
                        n += 1;
                    }
                });
            }
            while logger.stats().emitted < 200 {
                thread::yield_now();
            }
            logger.shutdown_blocking(Duration::ZERO).unwrap()
        });
        report.check().unwrap_or_else(|error| panic!("round {round}: {error}: {report:?}"));
        logger.stats().check().unwrap();
        // What was being written when the books were closed is unconfirmed: the sink may have had it all the same.
        let booked = &report.sinks[0];
        assert!((booked.delivered..=booked.delivered + booked.unconfirmed).contains(&sink.seen()), "{booked:?}");
    }
}

/// A task that always has another event to log: the lane is never seen empty.
fn chatter(logger: &Logger) -> tokio::task::JoinHandle<()> {
    let logger = logger.clone();
    tokio::spawn(async move {
        let mut n = 0;
        loop {
            emit_numbers(&logger, [n, n + 1]);
            n += 2;
            tokio::task::yield_now().await;
        }
    })
}

#[tokio::test]
async fn a_flush_ends_while_others_keep_logging() {
    let sink = ScriptedSink::new();
    let logger = start(builder().batch_size(1).queue_capacity(128).sink("sink", sink.clone())).await;
    let chatter = chatter(&logger);
    let report = logger.flush(PATIENCE).await;
    assert!(report.complete && report.elapsed < PATIENCE / 2, "{report:?}");
    chatter.abort();
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test]
async fn a_shutdown_begins_while_others_keep_logging_events_with_times_of_their_own() {
    let sink = ScriptedSink::new();
    let logger =
        start(builder().batch_size(1).queue_capacity(128).flush_at(Level::Info).sink("sink", sink.clone())).await;
    let chatter = tokio::spawn({
        let logger = logger.clone();
        async move {
            loop {
                // Long past, so within every drain's cut.
                (0..2).for_each(|n| logger.emit(number(n).at(std::time::UNIX_EPOCH + Duration::from_secs(1))));
                tokio::task::yield_now().await;
            }
        }
    });
    sink.has(10).await;
    let report = end(&logger, &[("sink", &sink)]).await;
    assert!(report.elapsed < PATIENCE / 2, "{report:?}");
    chatter.abort();
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_is_handed_out_at_once_also_after_a_sink_had_no_room() {
    let sink = ScriptedSink::always(Answer::Gate);
    let pipeline = Pipeline::to(sink.clone()).when_full(Backlog::Wait).timeout(NEVER);
    let builder = builder().queue_capacity(8).batch_size(1).max_event_bytes(256).flush_at(Level::Error);
    let logger = start(builder.sink("sink", pipeline.backlog(512))).await;
    for round in 0..3 {
        for n in 0..8 {
            logger.emit(Event::dynamic(Level::Error, "t", &n.to_string()));
            settle().await;
        }
        sink.release(8);
        sink.has(round * 9 + 8).await;
        settle().await;
        assert_eq!(logger.stats().queued, 0);
        sink.release(1);
        logger.emit(Event::dynamic(Level::Error, "t", "8"));
        let before = Instant::now();
        timeout(NEVER * 2, async {
            while (sink.seen() as usize) < round * 9 + 9 {
                settle().await;
            }
        })
        .await
        .unwrap();
        assert!(before.elapsed() < Duration::from_secs(1), "round {round}: waited {:?}", before.elapsed());
    }
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test]
async fn the_interval_is_kept_while_urgent_events_keep_coming() {
    let (sink, token) = (ScriptedSink::new(), tokio_util::sync::CancellationToken::new());
    let builder = builder().flush_interval(Duration::from_millis(1)).flush_at(Level::Info).cancel_on(token.clone());
    let logger = start(builder.sink("sink", sink.clone())).await;
    let chatter = chatter(&logger);
    token.cancel();
    // After the cancellation the sinks are flushed at every interval.
    let flushed = timeout(PATIENCE, async {
        while sink.flushed() < 30 {
            tokio::task::yield_now().await;
        }
    });
    flushed.await.unwrap();
    chatter.abort();
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn loggers_of_one_process_do_not_mix() {
    let (one, two) = (ScriptedSink::new(), ScriptedSink::new());
    let first = start(builder().filter("info").sink("sink", one.clone())).await;
    let second = start(builder().filter("warn").sink("sink", two.clone())).await;
    for logger in [&first, &second] {
        info!(logger: logger, "info");
        warn!(logger: logger, "warn");
    }
    // An event handed back by one goes to the other as it was made.
    end(&first, &[("sink", &one)]).await;
    let back = first.with("first", true).try_emit(Event::dynamic(Level::Warn, "t", "back")).unwrap_err().into_event();
    second.emit(back);
    end(&second, &[("sink", &two)]).await;
    assert_eq!(
        (one.messages(), two.messages()),
        (vec!["info".into(), "warn".into()], vec!["warn".into(), "back".into()])
    );
    assert_eq!(two.taken()[1].fields, []);
}

#[test]
fn a_thread_without_a_runtime_logs_to_a_logger_on_its_own_thread() {
    let sink = ScriptedSink::new();
    let logger = Arc::new(builder().sink("sink", sink.clone()).start().unwrap());
    assert!(Handle::try_current().is_err());
    emit_numbers(&logger, 0..10);
    assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
    assert_eq!(sink.seen(), 10);
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("sink", 10)]);
    assert_eq!(LevelFilter::from(Level::Info), LevelFilter::Info);
}
