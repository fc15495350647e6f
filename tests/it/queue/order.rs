//! The order in which events arrive, across threads, tasks and lanes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use logweir::{Event, Level, LevelFilter, Logger, Overflow, Pipeline, WhenFull};
use tokio::time::Instant;

use crate::support::{
    OrderSink, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, number, start,
};

use super::stopped_runtime;

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

#[test]
fn concurrent_producers_lose_and_repeat_nothing_and_keep_their_order() {
    const PRODUCERS: usize = 8;
    const EVENTS: u64 = 100_000;
    let sink = OrderSink::default();
    let logger = Logger::builder()
        .lanes(4)
        .queue_capacity(1024)
        .memory_limit(4 << 20)
        .max_event_bytes(4096)
        .overflow(Overflow::Block(Duration::MAX))
        .sink("sink", Pipeline::new(sink.clone()).when_full(WhenFull::Block).backlog_bytes(128 << 10))
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

/// A runtime no two threads of which share a lane of a logger with 64: the merge has as many lanes as there are threads.
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
        .sink("sink", Pipeline::new(sink.clone()).when_full(WhenFull::Block))
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

#[tokio::test(start_paused = true)]
async fn an_event_ahead_of_the_clock_holds_up_no_urgent_one_behind_it() {
    let sink = ScriptedSink::new();
    let builder = builder().lanes(1).flush_interval(Duration::from_secs(5)).flush_at(LevelFilter::Error);
    let logger = start(builder.sink("sink", sink.clone())).await;
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    let before = Instant::now();
    logger.emit(number(0).with_timestamp(ahead));
    logger.emit(Event::new(Level::Error, "t", "1"));
    sink.has(2).await;
    assert_eq!((sink.numbers(), before.elapsed()), (vec![0, 1], Duration::ZERO), "no tick was needed");
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test]
async fn what_is_logged_while_a_flush_hands_out_keeps_its_order_across_lanes() {
    for (first, second) in (0..12).flat_map(|first| (0..16).map(move |second| (first, second))) {
        let sink = ScriptedSink::new();
        let logger = start(builder().lanes(2).queue_capacity(256).batch_size(10).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..30);
        let flushed = tokio::spawn({
            let logger = logger.clone();
            async move { logger.flush(PATIENCE).await }
        });
        yield_often(first).await;
        // More than a chunk: the last ones are in one that more can be added to.
        emit_numbers(&logger, 30..130);
        yield_often(second).await;
        // Two more threads, so that one of them has the other lane.
        for n in [130, 131] {
            thread::scope(|scope| scope.spawn(|| logger.emit(number(n))).join().unwrap());
        }
        emit_numbers(&logger, 132..140);
        assert!(flushed.await.unwrap().complete);
        end(&logger, &[("sink", &sink)]).await;
        assert!(sink.numbers().into_iter().eq(0..140), "{first} {second}: {:?}", sink.numbers());
    }
}

#[tokio::test]
async fn a_flush_takes_what_came_before_it_also_if_its_time_is_to_come() {
    for yields in 0..12 {
        let sink = ScriptedSink::new();
        let logger = start(builder().lanes(1).batch_size(10).sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..30);
        let first = tokio::spawn({
            let logger = logger.clone();
            async move { logger.flush(PATIENCE).await }
        });
        yield_often(yields).await;
        logger.emit(number(30).with_timestamp(SystemTime::now() + Duration::from_secs(3600)));
        assert!(logger.flush(PATIENCE).await.complete && first.await.unwrap().complete);
        assert!(sink.numbers().into_iter().eq(0..31), "{yields}: {:?}", sink.numbers());
        end(&logger, &[("sink", &sink)]).await;
    }
}

async fn yield_often(times: u32) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
