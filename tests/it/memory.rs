//! Memory is divided at start and never lent: who is short of it loses something of its own, counted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logweir::{Builder, DropReason, Event, Level, Overflow, Pipeline, WhenFull, info};
use tokio::time::timeout;

use crate::support::{
    Answer, NEVER, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, heavy, number, once,
    settle, start,
};

const KIB: usize = 1 << 10;
/// What a batch takes beside its events.
const BATCH: usize = 288;

/// 64 KiB for the queue, of which the lane takes 4, and 64 KiB for the sinks.
fn small() -> Builder<'static> {
    builder().queue_capacity(32).memory_limit(128 * KIB).max_event_bytes(16 * KIB)
}

/// The same, and what is emitted is handed out as soon as the flush task runs.
fn eager() -> Builder<'static> {
    small().flush_at(Level::Trace)
}

/// What a heavy event with a number of two digits is charged.
async fn cost(bytes: usize) -> u64 {
    let sink = ScriptedSink::new();
    let logger = start(small().sink("sink", sink.clone())).await;
    logger.emit(heavy(10, bytes));
    let cost = logger.stats().queued_bytes;
    end(&logger, &[("sink", &sink)]).await;
    assert!(cost >= bytes as u64, "{cost}");
    cost
}

// One event

#[tokio::test(start_paused = true)]
async fn an_oversize_event_is_cut_flagged_and_counted() {
    let sink = ScriptedSink::new();
    let logger = start(small().max_event_bytes(1000).sink("sink", sink.clone())).await;
    logger.emit(heavy(0, 500).with("after", 7));
    logger.emit(heavy(1, 5000).with("after", 7));
    logger.emit_wait(heavy(2, 5000)).await.unwrap();
    logger.try_emit(heavy(3, 5000)).unwrap();
    assert!(logger.stats().queued_bytes < 4 * 1100, "{}", logger.stats().queued_bytes);
    let report = end(&logger, &[("sink", &sink)]).await;
    let seen = sink.taken();
    assert_eq!(seen.iter().map(|seen| seen.truncated).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!((report.truncated, report.accepted, report.sinks[0].dropped.total()), (3, 4, 0));
    let text = |n: usize| seen[n].fields.iter().find(|(name, _)| name == "text").unwrap().1.clone();
    assert_eq!(text(0).len(), 500);
    assert!(text(1).len() > 800 && text(1).starts_with("xxx"), "{}", text(1));
    assert!(seen[1].fields.contains(&("after".into(), "7".into())), "only the longest text is cut");
}

// The queue's bytes

#[tokio::test(start_paused = true)]
async fn an_event_that_needs_bytes_evicts_the_oldest_of_its_lane() {
    let each = cost(9 * KIB).await;
    // What the lane leaves of the queue's half.
    let fit = (60 * KIB as u64) / each;
    let sink = ScriptedSink::new();
    let logger = start(small().sink("sink", sink.clone())).await;
    (10..30).for_each(|n| logger.emit(heavy(n, 9 * KIB)));
    let stats = logger.stats();
    assert_eq!((stats.queued, stats.queued_bytes), (fit, fit * each));
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), (30 - fit..30).collect::<Vec<_>>());
    assert_eq!((report.accepted, report.refused.total()), (20, 0));
    assert_eq!((report.evicted.get(DropReason::Memory), report.evicted.total()), (20 - fit, 20 - fit));
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_eviction_cannot_help_is_refused_and_evicts_nothing() {
    let sink = ScriptedSink::always(Answer::Gate);
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block).timeout(NEVER).backlog_bytes(40 * KIB);
    let logger = start(eager().batch_size(1).max_event_bytes(20 * KIB - 200).sink("sink", pipeline)).await;
    let child = logger.with("large", "x".repeat(28 * KIB));
    // Two at the sink; the third waits for room: it is not the lane's any more, but its bytes are the queue's.
    for n in 0..3 {
        logger.emit(heavy(n, 19 * KIB));
        settle().await;
    }
    emit_numbers(&logger, 3..5);
    logger.emit(heavy(5, 2 * KIB));
    // 60 KiB, less 28 of context and 19 of the batch that waits, are 13 even without what is in the lane.
    let before = logger.stats();
    assert_eq!((before.queued, before.evicted.total(), before.refused.total()), (4, 0, 0));
    logger.emit(heavy(6, 19 * KIB));
    let after = logger.stats();
    assert_eq!((after.queued, after.evicted.total(), after.queued_bytes), (4, 0, before.queued_bytes));
    assert_eq!((after.refused.get(DropReason::Memory), after.refused.total()), (1, 1));
    // This one the lane's oldest can help: two light ones go for nothing, then one with bytes.
    logger.emit(heavy(7, 12 * KIB));
    assert_eq!(logger.stats().evicted.get(DropReason::Memory), 3);

    drop(child);
    sink.open_gate();
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 1, 2, 7]);
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn under_drop_newest_an_event_without_bytes_is_refused() {
    let each = cost(9 * KIB).await;
    let fit = (60 * KIB as u64) / each;
    for policy in [Overflow::DropNewest, Overflow::Block(Duration::MAX)] {
        let sink = ScriptedSink::new();
        let logger = start(small().overflow(policy).sink("sink", sink.clone())).await;
        (10..30).for_each(|n| logger.emit(heavy(n, 9 * KIB)));
        emit_numbers(&logger, 30..32);
        let report = end(&logger, &[("sink", &sink)]).await;
        assert_eq!(sink.numbers(), (10..10 + fit).chain(30..32).collect::<Vec<_>>());
        assert_eq!((report.refused.get(DropReason::Memory), report.refused.total()), (20 - fit, 20 - fit));
        assert_eq!(report.evicted.total(), 0);
        assert_eq!(logger.stats().queued_bytes, 0);
    }
}

#[test]
fn block_waits_for_bytes_and_an_expired_wait_is_refused_for_them() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let sink = ScriptedSink::new();
    let policy = Overflow::Block(Duration::from_millis(20));
    let logger = small().overflow(policy).sink("sink", sink.clone()).start_on(runtime.handle()).unwrap();
    // Nobody drives the runtime: the wait expires.
    (0..5).for_each(|n| logger.emit(heavy(n, 14 * KIB)));
    assert_eq!(logger.stats().refused.get(DropReason::Memory), 1);
    runtime.block_on(end(&logger, &[("sink", &sink)]));
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);

    // On its own thread it is drained: every wait ends.
    let sink = ScriptedSink::new();
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block);
    let logger = small().overflow(Overflow::Block(Duration::MAX)).sink("sink", pipeline).start().unwrap();
    (0..200).for_each(|n| logger.emit(heavy(n, 14 * KIB)));
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("sink", sink.seen())]);
    assert_eq!(sink.numbers(), (0..200).collect::<Vec<_>>());
    assert_eq!(report.refused.total() + report.evicted.total(), 0);
}

// Contexts

#[tokio::test(start_paused = true)]
async fn contexts_take_at_most_half_of_the_bytes_and_dropping_them_frees_it() {
    let sink = ScriptedSink::new();
    let logger = start(small().sink("sink", sink.clone())).await;
    // Half of 60 KiB holds four of these.
    let contexts: Vec<_> = (0..6_u64).map(|n| logger.with("text", "x".repeat(7 * KIB)).with("n", n)).collect();
    contexts.iter().enumerate().for_each(|(n, child)| child.emit(number(n as u64)));
    let stats = logger.stats();
    let accepted = stats.accepted;
    assert!((3..=4).contains(&accepted), "{accepted}");
    assert_eq!((stats.refused.get(DropReason::Memory), stats.refused.total()), (6 - accepted, 6 - accepted));
    assert!(stats.queued_bytes <= 30 * KIB as u64);
    // Others go on, in every way, and those that have their context too.
    logger.emit(heavy(10, 14 * KIB));
    contexts[0].emit(number(11));
    let error = contexts[5].emit_wait(number(12)).await.unwrap_err();
    assert_eq!(error.reason(), DropReason::Memory);
    assert!(contexts[5].try_emit(number(13)).is_err());

    assert!(logger.flush(PATIENCE).await.complete);
    drop(contexts);
    assert_eq!(logger.stats().queued_bytes, 0);
    logger.with("text", "x".repeat(28 * KIB)).emit(number(14));
    let report = end(&logger, &[("sink", &sink)]).await;
    let expected: Vec<u64> = (0..accepted).chain([10, 11, 14]).collect();
    assert_eq!(sink.numbers(), expected);
    assert_eq!(report.refused.get(DropReason::Memory), 6 - accepted + 1);
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_refused_for_want_of_bytes_has_the_flush_task_free_some() {
    let sink = ScriptedSink::new();
    let logger = start(small().sink("sink", sink.clone())).await;
    // Half of 60 KiB holds four contexts of these, which queued events keep; the events themselves take none.
    let emit = |n| logger.with("text", "x".repeat(7 * KIB)).emit(number(n));
    (0..4).for_each(emit);
    settle().await;
    assert_eq!(sink.seen(), 0, "nothing has woken the flush task");
    emit(4);
    settle().await;
    assert_eq!(sink.numbers(), [0, 1, 2, 3]);
    emit(5);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.refused.get(DropReason::Memory)), (vec![0, 1, 2, 3, 5], 1));
}

#[tokio::test(start_paused = true)]
async fn a_context_is_charged_once_however_many_events_carry_it() {
    let sink = ScriptedSink::new();
    let logger = start(small().sink("sink", sink.clone())).await;
    let child = logger.with("text", "x".repeat(20 * KIB));
    let alone = logger.stats().queued_bytes;
    (0..30).for_each(|n| child.emit(number(n)));
    assert_eq!(logger.stats().queued_bytes, alone);
    drop(child);
    assert_eq!(logger.stats().queued_bytes, alone, "queued events keep it");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.seen(), logger.stats().queued_bytes), (30, 0));
}

// The sinks' bytes

#[tokio::test(start_paused = true)]
async fn a_hung_sink_exhausts_its_own_account_only() {
    let (hung, healthy) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    // 64 events: eight batches of eight, one of them being written.
    let pipeline = Pipeline::new(hung.clone()).timeout(NEVER).backlog_bytes(8 * KIB + 8 * BATCH);
    let builder = eager().batch_size(8).max_event_bytes(KIB);
    let logger = start(builder.sink("hung", pipeline).sink("healthy", healthy.clone())).await;
    for round in 0..100 {
        emit_numbers(&logger, round * 8..round * 8 + 8);
        settle().await;
        assert_eq!(healthy.seen(), round * 8 + 8, "the healthy sink gets everything at once");
    }
    let stats = logger.stats();
    balance_stats(&stats, &[("hung", 0), ("healthy", 800)]);
    let at_hung = &stats.sinks[0];
    assert_eq!((at_hung.in_flight, at_hung.backlog, at_hung.backlog_bytes), (8, 56, (8 * KIB + 8 * BATCH) as u64));
    assert_eq!((at_hung.dropped.get(DropReason::BacklogFull), at_hung.dropped.total()), (736, 736));
    assert_eq!((stats.refused.total(), stats.evicted.total(), stats.queued_bytes), (0, 0, 0));

    hung.open_gate();
    end(&logger, &[("hung", &hung), ("healthy", &healthy)]).await;
    // What was being written, then the newest.
    assert_eq!(hung.numbers(), (0..8).chain(744..800).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn events_with_contexts_of_their_own_at_a_hung_sink_cost_the_others_nothing() {
    let (hung, healthy) = (ScriptedSink::always(Answer::Gate), ScriptedSink::new());
    let logger = start(
        eager()
            .max_event_bytes(KIB)
            .batch_size(8)
            .sink("hung", Pipeline::new(hung.clone()).timeout(NEVER).backlog_bytes(60 * KIB))
            .sink("healthy", healthy.clone()),
    )
    .await;
    // A service that makes a child for each request.
    for n in 0..1000 {
        logger.with("request", "x".repeat(200)).emit(number(n));
        if n % 8 == 7 {
            settle().await;
        }
    }
    let stats = logger.stats();
    assert_eq!((stats.refused.total(), healthy.seen()), (0, 1000), "{stats:?}");
    hung.open_gate();
    end(&logger, &[("hung", &hung), ("healthy", &healthy)]).await;
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_a_late_write_of_a_fallback_keeps_stays_charged_until_it_returns() {
    let (sink, fallback) = (ScriptedSink::always(Answer::Permanent), ScriptedSink::new().writes([Answer::Gate]));
    let fallback = fallback.outliving();
    let late = Pipeline::new(fallback.clone()).timeout(Duration::from_secs(1));
    let logger = start(eager().sink("sink", once(sink.clone()).fallback(late))).await;
    emit_numbers(&logger, 0..8);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stats = logger.stats();
    assert_eq!((stats.sinks[0].unconfirmed, stats.sinks[0].backlog_bytes), (8, (8 * 128 + BATCH) as u64));
    fallback.release(1);
    settle().await;
    let stats = logger.stats();
    assert_eq!((stats.sinks[0].delivered_by_fallback, stats.sinks[0].backlog_bytes), (8, 0));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_wants_under_a_quarter_of_a_batch_gets_copies() {
    for (wanted, charged) in [(1, 1), (3, 3), (4, 16), (15, 16), (16, 16)] {
        let (all, some) = (ScriptedSink::always(Answer::Gate), ScriptedSink::always(Answer::Gate));
        let pipeline = Pipeline::new(some.clone()).level(Level::Warn).timeout(NEVER);
        let logger = start(eager().sink("all", Pipeline::new(all.clone()).timeout(NEVER)).sink("some", pipeline)).await;
        for n in 0..16 {
            let level = if n < wanted { Level::Warn } else { Level::Info };
            logger.emit(Event::new(level, "t", &n.to_string()));
        }
        settle().await;
        let stats = logger.stats();
        assert_eq!(stats.sinks[0].backlog_bytes, 16 * 128 + BATCH as u64);
        // A view has an index of the events that it shows, copies have their places in the order of dispatch.
        let index = if wanted < 16 { 4 * wanted } else { 0 };
        assert_eq!(stats.sinks[1].backlog_bytes, charged * 128 + index + BATCH as u64, "{wanted} wanted");
        assert_eq!((stats.sinks[1].routed, stats.sinks[1].filtered), (wanted, 16 - wanted));
        all.open_gate();
        some.open_gate();
        end(&logger, &[("all", &all), ("some", &some)]).await;
        assert_eq!(some.numbers(), (0..wanted).collect::<Vec<_>>());
        assert_eq!(logger.stats().sinks[1].backlog_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_with_wait_and_a_slow_sink_is_lossless() {
    let (slow, fast) = (ScriptedSink::always(Answer::Slow(Duration::from_millis(10))), ScriptedSink::new());
    let pipeline = Pipeline::new(slow.clone()).when_full(WhenFull::Block).backlog_bytes(4 * KIB);
    let logger = start(
        small()
            .max_event_bytes(KIB)
            .batch_size(8)
            .overflow(Overflow::DropNewest)
            .sink("slow", pipeline)
            .sink("fast", fast.clone()),
    )
    .await;
    for n in 0..2000 {
        let event = if n % 10 == 0 { heavy(n, 900) } else { number(n) };
        logger.emit_wait(event).await.unwrap();
        assert!(logger.stats().sinks[0].backlog_bytes <= 4 * KIB as u64);
    }
    let report = end(&logger, &[("slow", &slow), ("fast", &fast)]).await;
    assert_eq!(slow.numbers(), (0..2000).collect::<Vec<_>>());
    assert_eq!(fast.numbers(), (0..2000).collect::<Vec<_>>());
    assert_eq!((report.accepted, report.refused.total(), report.evicted.total()), (2000, 0, 0));
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_as_queued_until_every_waiting_sink_has_room() {
    let (first, second) = (ScriptedSink::always(Answer::Gate), ScriptedSink::always(Answer::Gate));
    let other = ScriptedSink::new();
    // Room for four batches of one at each.
    let wait = |sink: &ScriptedSink| {
        Pipeline::new(sink.clone()).when_full(WhenFull::Block).timeout(NEVER).backlog_bytes(4 * (128 + BATCH))
    };
    let logger = start(
        eager()
            .max_event_bytes(256)
            .batch_size(1)
            .sink("first", wait(&first))
            .sink("second", wait(&second))
            .sink("other", other.clone()),
    )
    .await;
    emit_numbers(&logger, 0..10);
    settle().await;
    let stats = logger.stats();
    assert_eq!((stats.queued, stats.dispatched, other.seen()), (6, 4, 4), "isolation is given up on purpose");
    balance_stats(&stats, &[("first", 0), ("second", 0), ("other", 4)]);

    first.release(3);
    settle().await;
    assert_eq!((logger.stats().queued, first.seen(), other.seen()), (6, 3, 4), "the other one has no room yet");
    second.release(1);
    settle().await;
    assert_eq!((logger.stats().queued, second.seen(), other.seen()), (5, 1, 5));
    // Flush and shutdown are served meanwhile.
    assert!(timeout(PATIENCE, logger.flush(Duration::from_secs(1))).await.is_ok_and(|report| !report.complete));
    first.open_gate();
    second.open_gate();
    let report = end(&logger, &[("first", &first), ("second", &second), ("other", &other)]).await;
    assert_eq!(report.dispatched, 10);
}

#[tokio::test(start_paused = true)]
async fn a_large_context_does_not_stop_a_chain_with_wait() {
    let sink = ScriptedSink::new();
    let pipeline = Pipeline::new(sink.clone()).when_full(WhenFull::Block).backlog_bytes(4 * KIB);
    let logger = start(small().max_event_bytes(KIB).sink("sink", pipeline)).await;
    // Larger than the sink's whole account.
    let child = logger.with("large", "x".repeat(8 * KIB));
    emit_numbers(&child, 0..3);
    emit_numbers(&logger, 3..5);
    let report = logger.flush(Duration::from_secs(5)).await;
    assert!(report.complete, "{report:?}");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_large_context_is_not_dropped_by_an_idle_sink_with_a_small_account() {
    let sink = ScriptedSink::new();
    let logger =
        start(small().max_event_bytes(KIB).sink("sink", Pipeline::new(sink.clone()).backlog_bytes(4 * KIB))).await;
    let child = logger.with("large", "x".repeat(8 * KIB));
    emit_numbers(&child, 0..3);
    assert!(logger.flush(PATIENCE).await.complete);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.seen(), report.sinks[0].dropped.total()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_for_what_is_left_drops_itself_and_not_the_ones_that_wait() {
    let sink = ScriptedSink::always(Answer::Gate);
    let pipeline = Pipeline::new(sink.clone()).timeout(NEVER).backlog_bytes(4 * KIB);
    let logger = start(eager().max_event_bytes(2 * KIB).batch_size(1).sink("sink", pipeline)).await;
    // Half of the account, and what an event costs by itself: two do not fit.
    for event in [heavy(0, 2000), number(1), heavy(2, 2000), number(3)] {
        logger.emit(event);
        settle().await;
    }
    sink.open_gate();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.sinks[0].dropped.get(DropReason::BacklogFull), 1);
    assert_eq!(sink.numbers(), [0, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_longest_event_has_room_in_an_empty_queue_whatever_contexts_hold() {
    let sink = ScriptedSink::new();
    let error = small().max_event_bytes(32 * KIB).sink("sink", ScriptedSink::new()).start().unwrap_err().to_string();
    let most: usize = error.split(" to ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let logger = start(small().max_event_bytes(most).sink("sink", sink.clone())).await;
    // Contexts take all that they may.
    let contexts: Vec<_> = (0..100).map(|n| logger.with("context", "x".repeat(1000) + &n.to_string())).collect();
    for _ in 0..3 {
        timeout(PATIENCE, logger.emit_wait(heavy(1, 2 * most))).await.unwrap().unwrap();
        assert!(logger.flush(PATIENCE).await.complete);
    }
    drop(contexts);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.accepted, report.truncated), (3, 3));
}

/// A `Display` that never ends by itself, and counts what it got rid of.
struct Endless<'a>(&'a AtomicUsize);

impl fmt::Display for Endless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = "x".repeat(KIB);
        loop {
            f.write_str(&block)?;
            self.0.fetch_add(KIB, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_never_ends_is_written_no_further_than_the_limit_on_an_event() {
    let sink = ScriptedSink::new();
    let logger = start(small().max_event_bytes(16 * KIB).sink("sink", sink.clone())).await;
    let written = AtomicUsize::new(0);
    info!(logger: logger, "endless", value = %Endless(&written));
    assert_eq!(written.load(Ordering::Relaxed), 16 * KIB);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.accepted, report.truncated), (1, 1));
}
