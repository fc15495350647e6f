//! A call that is thinned out says how much it left out, in the log and in the books.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::cell::Cell;
use std::time::{Duration, Instant};

use logweir::{Logger, debug, info, log, warn};

use crate::support::{ScriptedSink, builder, end, start};

const LONG: Duration = Duration::from_secs(3600);

async fn logger() -> (Logger, ScriptedSink) {
    let sink = ScriptedSink::new();
    (start(builder().sink("sink", sink.clone())).await, sink)
}

fn left_out(sink: &ScriptedSink) -> Vec<Option<u64>> {
    let field = |seen: &crate::support::Seen| {
        let field = seen.fields.iter().find(|(name, _)| name == "sampled_out");
        field.map(|(_, value)| value.parse().unwrap())
    };
    sink.taken().iter().map(field).collect()
}

#[tokio::test(start_paused = true)]
async fn every_lets_the_first_and_each_nth_pass_and_each_says_what_was_left_out_before_it() {
    const NTH: u64 = 10;
    let (logger, sink) = logger().await;
    let evaluated = Cell::new(0_u64);
    let count = || {
        evaluated.set(evaluated.get() + 1);
        evaluated.get()
    };
    for number in 0..35_u64 {
        info!(every: NTH, logger: logger, "{number}", number, count = count());
    }
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 10, 20, 30]);
    assert_eq!(left_out(&sink), [None, Some(9), Some(9), Some(9)]);
    assert_eq!((report.emitted, report.sampled, evaluated.get()), (4, 31, 4), "fields are evaluated only to be logged");
    assert!(report.to_string().contains("sampled 31"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn at_most_lets_so_many_pass_in_its_time() {
    let (logger, sink) = logger().await;
    for number in 0..10_u64 {
        warn!(logger: logger, target: "t", at_most: 3, per: LONG, "{number}", number);
        log!(logweir::Level::Warn, logger: logger, at_most: 1, per: LONG, "{number}", number = number + 100);
    }
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sampled), (vec![0, 100, 1, 2], 16));
    assert_eq!(left_out(&sink), [None; 4]);
}

#[test]
fn at_most_begins_anew_after_its_time_and_says_what_it_left_out() {
    // Real time: a window of a millisecond ends while the loop goes round, whatever the machine does.
    let sink = ScriptedSink::new();
    let logger = builder().sink("sink", sink.clone()).start().unwrap();
    let (mut calls, begun) = (0_u64, Instant::now());
    while logger.stats().accepted < 3 && begun.elapsed() < crate::support::PATIENCE {
        calls += 1;
        info!(logger: logger, at_most: 1, per: Duration::from_millis(1), "{calls}", calls);
    }
    let report = logger.shutdown_blocking(crate::support::PATIENCE).unwrap();
    let said: u64 = left_out(&sink).into_iter().flatten().sum();
    assert_eq!((report.sampled, said, report.accepted), (calls - 3, calls - 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_filter_keeps_out_takes_no_turn() {
    let sink = ScriptedSink::new();
    let logger = start(builder().level(logweir::Level::Info).sink("sink", sink.clone())).await;
    for number in 0..6_u64 {
        if number == 3 {
            logger.set_filter("debug").unwrap();
        }
        debug!(logger: logger, every: 2, "{number}", number);
    }
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((sink.numbers(), report.sampled), (vec![3, 5], 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_site_has_one_count_for_all_loggers_and_each_logger_has_its_book() {
    let ((one, sink_one), (two, sink_two)) = (logger().await, logger().await);
    for number in 0..6_u64 {
        for logger in [&one, &two] {
            info!(logger: logger, every: 3, "{number}", number);
        }
    }
    let (one, two) = (end(&one, &[("sink", &sink_one)]).await, end(&two, &[("sink", &sink_two)]).await);
    assert_eq!((sink_one.numbers(), sink_two.numbers()), (vec![0, 3], vec![1, 4]));
    assert_eq!((one.sampled, two.sampled), (4, 4));
}

#[test]
fn of_threads_that_log_at_once_exactly_every_nth_passes() {
    let sink = ScriptedSink::new();
    let logger = builder().sink("sink", sink.clone()).start().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..2500).for_each(|n: u64| info!(logger: logger, every: 100, "{n}", n)));
        }
    });
    let report = logger.shutdown_blocking(crate::support::PATIENCE).unwrap();
    assert_eq!((report.accepted, report.sampled, sink.seen()), (100, 9900, 100));
}

#[tokio::test(start_paused = true)]
async fn a_constant_of_the_callers_is_taken_and_none_of_the_macros_own_is_seen() {
    const N: u64 = 2;
    const PER: Duration = LONG;
    let (logger, sink) = logger().await;
    for number in 0..3_u64 {
        info!(logger: logger, every: N, "{number}", number, n = N, sampled_out = "mine");
        info!(logger: logger, at_most: N, per: PER, "{number}", number);
    }
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.numbers(), [0, 0, 1, 2]);
    let mine = &sink.taken()[3].fields;
    assert_eq!(mine.iter().filter(|(name, value)| name == "sampled_out" && value == "mine").count(), 1, "{mine:?}");
}
