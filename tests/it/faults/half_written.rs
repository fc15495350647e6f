//! A caller is stopped half-way, by the scheduler say, while the logger goes on without it, fills up or closes.

use std::time::Duration;

use logweir::{DropReason, Overflow};

use super::{Driven, Home, MS, at_once};
use crate::stopped::{BLOCK, StoppedCaller};
use crate::support::{PATIENCE, Told, balance, balance_stats, builder, emit_numbers, number};

/// Behind the half-written event, in the same lane.
const BEHIND: u64 = 7;
const ALL: u64 = BLOCK + 1 + BEHIND;

fn every_home_and_policy() -> Vec<(Home, Overflow)> {
    let policies = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(MS)];
    [Home::Own, Home::Single, Home::Workers]
        .into_iter()
        .flat_map(|home| policies.map(|policy| (home, policy)))
        .collect()
}

fn one_by_one(row: impl Fn(Home, Overflow)) {
    for (home, policy) in every_home_and_policy() {
        println!("{home:?}: {policy:?}");
        row(home, policy);
    }
}

/// A logger with 32 whole events in its lane, a half-written one, and seven whole ones behind it.
fn half_written(home: Home, policy: Overflow) -> (Driven, StoppedCaller, Told) {
    let told = Told::default();
    // Nothing wakes the flush task: the mark is above what there is.
    let driven = home.start(builder().batch_size(10).queue_capacity(128).overflow(policy).sink("sink", told.sink()));
    emit_numbers(&driven, 0..BLOCK);
    let caller = StoppedCaller::emit(&driven, number(BLOCK));
    emit_numbers(&driven, BLOCK + 1..ALL);
    let stats = driven.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.emitted, stats.accepted, stats.queued), (ALL, ALL, ALL), "it has its place");
    (driven, caller, told)
}

#[test]
fn a_half_written_event_is_waited_for_at_the_close_and_nothing_behind_it_is_lost() {
    one_by_one(|home, policy| {
        let (logger, caller, told) = half_written(home, policy);
        let report = std::thread::scope(|scope| {
            let shutdown = scope.spawn(|| logger.shutdown_blocking(PATIENCE).unwrap());
            // Closed, the lanes are emptied up to the half-written event.
            assert_eq!(told.wait_for(BLOCK as usize), (0..BLOCK).collect::<Vec<_>>());
            assert_eq!((logger.stats().queued, logger.stats().accepted), (1 + BEHIND, ALL));
            caller.go_on();
            shutdown.join().unwrap()
        });
        assert_eq!(told.numbers(), (0..ALL).collect::<Vec<_>>(), "in order");
        balance(&report, &[("sink", ALL)]);
        assert_eq!((report.emitted, report.accepted, report.queued, report.timed_out), (ALL, ALL, 0, false));
        assert_eq!((report.refused.total(), report.evicted.total(), report.sinks[0].dropped.total()), (0, 0, 0));
    });
}

#[test]
fn an_event_that_is_half_written_at_the_deadline_is_reported_as_queued_and_dropped_when_it_is_there() {
    const DEADLINE: Duration = Duration::from_millis(100);
    at_once(every_home_and_policy(), |(home, policy)| {
        let (logger, caller, told) = half_written(home, policy);
        let report = logger.shutdown_late(0, BLOCK, DEADLINE);
        // Everything before it was delivered; what is behind it nobody can get at.
        balance(&report, &[("sink", BLOCK)]);
        assert_eq!(told.numbers(), (0..BLOCK).collect::<Vec<_>>());
        assert_eq!((report.emitted, report.accepted, report.queued, report.timed_out), (ALL, ALL, 1 + BEHIND, true));
        assert_eq!((report.dispatched, report.sinks[0].dropped.total()), (BLOCK, 0));
        caller.go_on();
        let stats = logger.stats();
        balance_stats(&stats, &[("sink", BLOCK)]);
        assert_eq!((stats.emitted, stats.accepted, stats.queued, stats.dispatched), (ALL, ALL, 0, ALL));
        assert_eq!(stats.sinks[0].dropped.get(DropReason::Deadline), 1 + BEHIND, "counted, late");
        assert_eq!(stats.sinks[0].dropped.total(), 1 + BEHIND);
    });
}

#[test]
fn behind_a_half_written_event_a_full_lane_refuses_the_newcomer_under_every_policy() {
    const CAPACITY: u64 = 40;
    const TOO_MANY: u64 = 5;
    one_by_one(|home, policy| {
        let told = Told::default();
        let capacity = CAPACITY as usize;
        let logger = home.start(builder().queue_capacity(capacity).overflow(policy).sink("sink", told.sink()));
        emit_numbers(&logger, 0..BLOCK);
        assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
        let caller = StoppedCaller::emit(&logger, number(BLOCK));
        // The first of these fill the lane; the flush task, which they wake, finds nothing it could take.
        emit_numbers(&logger, BLOCK + 1..BLOCK + CAPACITY + TOO_MANY);
        let stats = logger.stats();
        balance_stats(&stats, &[("sink", BLOCK)]);
        assert_eq!((stats.accepted, stats.queued), (BLOCK + CAPACITY, CAPACITY));
        assert_eq!((stats.refused.get(DropReason::OverflowNewest), stats.refused.total()), (TOO_MANY, TOO_MANY));
        caller.go_on();
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        assert_eq!(told.numbers(), (0..BLOCK + CAPACITY).collect::<Vec<_>>());
        balance(&report, &[("sink", BLOCK + CAPACITY)]);
        assert_eq!((report.evicted.total(), report.refused.total(), report.timed_out), (0, TOO_MANY, false));
    });
}
