//! A caller is stopped in the middle of its call, while the logger continues without it, or closes.

use logweir::{DropReason, Overflow};

use super::{Driven, Home, at_once, every_home_and_policy};
use crate::stopped::{CHUNK, StoppedCaller};
use crate::support::{PATIENCE, Told, balance, balance_stats, builder, emit_numbers, number};

/// After the one that is stopped, in the same lane.
const LATER: u64 = 7;
const ALL: u64 = CHUNK + 1 + LATER;

/// A logger with 64 events in its lane, a caller that is stopped with the next one, and seven events of others.
fn stopped(home: Home, policy: Overflow) -> (Driven, StoppedCaller, Told) {
    let told = Told::default();
    // Nothing wakes the flush task: the mark is above what there is.
    let driven = home.start(builder().batch_size(10).queue_capacity(256).overflow(policy).sink("sink", told.sink()));
    emit_numbers(&driven, 0..CHUNK);
    let caller = StoppedCaller::emit(&driven, number(CHUNK));
    emit_numbers(&driven, CHUNK + 1..ALL);
    let stats = driven.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.emitted, stats.accepted, stats.queued), (ALL - 1, ALL - 1, ALL - 1), "no caller waits for it");
    (driven, caller, told)
}

/// All numbers but that of the stopped caller.
fn others() -> Vec<u64> {
    (0..CHUNK).chain(CHUNK + 1..ALL).collect()
}

#[test]
fn a_stopped_caller_holds_up_no_close_and_is_refused_when_it_goes_on() {
    at_once(every_home_and_policy(), |(home, policy)| {
        let (logger, caller, told) = stopped(home, policy);
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("sink", ALL - 1)]);
        assert_eq!(told.numbers(), others());
        assert_eq!((report.emitted, report.queued, report.timed_out), (ALL - 1, 0, false));
        caller.go_on();
        let stats = logger.stats();
        balance_stats(&stats, &[("sink", ALL - 1)]);
        assert_eq!((stats.emitted, stats.accepted, stats.refused.get(DropReason::Closed)), (ALL, ALL - 1, 1));
    });
}

#[test]
fn a_stopped_caller_holds_up_no_flush_and_its_event_comes_after_it() {
    at_once(every_home_and_policy(), |(home, policy)| {
        let (logger, caller, told) = stopped(home, policy);
        assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
        assert_eq!(told.numbers(), others());
        caller.go_on();
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("sink", ALL)]);
        assert_eq!(told.numbers(), others().into_iter().chain([CHUNK]).collect::<Vec<_>>());
    });
}
