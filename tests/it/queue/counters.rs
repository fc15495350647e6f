//! The books of the queue balance at every moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use logweir::{DropReason, Level, Logger, Overflow, Pipeline, State, trace, warn};

use crate::support::{
    Answer, OrderSink, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, heavy, number, once,
    start,
};

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
async fn what_is_emitted_after_the_end_is_refused_and_counted() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..3);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert!(matches!(logger.state(), State::Stopped { .. }));
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
        .sink("important", Pipeline::new(logweir::sink::NullSink).level(Level::Warn))
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
                    while logger.state() == State::Running || n < 100 {
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
