//! When the flush task hands events out, and to whom.

use std::sync::Arc;
use std::time::Duration;

use logweir::{Event, Level, LevelFilter, Logger, Pipeline, WhenFull, info, warn};
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, timeout};

use crate::support::{
    Answer, NEVER, PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, number, once, settle, start,
};

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
        logger.emit(Event::new(Level::Warn, "t", "3"));
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
async fn shutdown_delivers_what_is_pending() {
    let sink = ScriptedSink::always(Answer::Slow(Duration::from_millis(10)));
    let logger = start(builder().batch_size(10).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..200);
    assert_eq!(sink.seen(), 0);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (0..200).collect::<Vec<_>>());
    assert_eq!((report.dispatched, sink.closed()), (200, 1));
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
                (0..2).for_each(|n| {
                    logger.emit(number(n).with_timestamp(std::time::UNIX_EPOCH + Duration::from_secs(1)))
                });
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
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block).timeout(NEVER);
    let builder = builder().queue_capacity(8).batch_size(1).max_event_bytes(256).flush_at(Level::Error);
    let logger = start(builder.sink("sink", pipeline.backlog_bytes(512))).await;
    for round in 0..3 {
        for n in 0..8 {
            logger.emit(Event::new(Level::Error, "t", &n.to_string()));
            settle().await;
        }
        sink.release(8);
        sink.has(round * 9 + 8).await;
        settle().await;
        assert_eq!(logger.stats().queued, 0);
        sink.release(1);
        logger.emit(Event::new(Level::Error, "t", "8"));
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
    let back = first.with("first", true).try_emit(Event::new(Level::Warn, "t", "back")).unwrap_err().into_event();
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
