//! Every schedule of a small model of a lane, and a failing one for each repair taken out of it.
//!
//! The model is tokio's bounded channel as `src/queue/lane.rs` uses it, step by step and with its memory orderings: a
//! permit, a claimed slot, its publication, the waker; and around it the receiver's lock, the evictor, the signal and
//! the flush task. What guards no memory of its own here is simpler: a slot holds its event and its ready flag in one
//! number, and the waker's cell is a lock.
//!
//! A flush task that sleeps is not a thread that waits but one that looks at its bell now and then: whatever a schedule
//! leaves in the lane under a silent bell is lost until the next event. Assertions stand at the end of a schedule,
//! where no other thread is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod lane;

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::thread;

use lane::{Event, Lane};

/// What the lane and the signal do to be right; each can be taken out.
#[derive(Clone, Copy)]
struct Repairs {
    /// A caller raises the flag with a read-modify-write, not with a load where it is up.
    raise_writes: bool,
    /// The flush task lowers it with a read-modify-write, not with a store.
    lower_reads: bool,
    /// It lowers it before it drains, not after.
    lower_first: bool,
    sleep: Sleep,
    /// An evictor tries once more to send, under the lock, before it evicts.
    look_again: bool,
    /// An evictor leaves a closed lane alone.
    mind_the_close: bool,
    /// The last drain goes on until the channel says that no event can come, not until it looks empty.
    until_ready_zero: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sleep {
    OnTheSignal,
    InTheChannel,
    /// An evictor that finds nothing wakes the flush task, whose waker it replaced.
    InTheChannelAndEvictorsWakeIt,
}

const REPAIRED: Repairs = Repairs {
    raise_writes: true,
    lower_reads: true,
    lower_first: true,
    sleep: Sleep::OnTheSignal,
    look_again: true,
    mind_the_close: true,
    until_ready_zero: true,
};

/// Runs `schedule` in every order of steps with at most so many preemptions.
fn explore(preemptions: usize, schedule: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    // `LOOM_MAX_PREEMPTIONS` asks for more.
    model.preemption_bound = model.preemption_bound.max(Some(preemptions));
    model.check(schedule);
}

/// Some schedule ends in a panic that says `symptom`.
fn assert_fails(symptom: &str, explore: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(explore)).expect_err("every schedule went well");
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap();
    assert!(text.contains(symptom), "another failure: {text}");
}

const STRANDED: &str = "nobody is woken for it";
const DEADLOCK: &str = "deadlock";

/// Two callers, and a flush task that looks twice meanwhile.
fn signal(repairs: Repairs) {
    explore(3, move || {
        let lane = Lane::new(repairs, 2);
        let callers = [1, 2].map(|event| {
            let lane = lane.clone();
            thread::spawn(move || lane.push(event))
        });
        lane.turn_while_rung();
        let accepted: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        lane.turn_while_rung();
        assert_eq!(accepted.len(), 2);
        lane.assert_settled(accepted);
    });
}

#[test]
fn after_an_urgent_event_the_flush_task_is_woken_or_has_it() {
    signal(REPAIRED);
}

#[test]
fn a_flag_raised_by_a_load_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { raise_writes: false, ..REPAIRED }));
}

#[test]
fn a_flag_lowered_without_reading_it_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { lower_reads: false, ..REPAIRED }));
}

#[test]
fn a_flag_lowered_after_the_drain_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { lower_first: false, ..REPAIRED }));
}

/// Callers of a lane that is full already, with the flush task between them.
fn overflow(repairs: Repairs, capacity: usize, callers: &'static [&'static [Event]], preemptions: usize) {
    explore(preemptions, move || {
        let lane = Lane::new(repairs, capacity);
        // The flush task has looked at the empty lane and sleeps; what fills it has woken it, but it has not looked again.
        lane.turn();
        let mut accepted: Vec<_> = (1..=capacity).filter_map(|event| lane.push(event)).collect();
        let callers: Vec<_> = callers
            .iter()
            .map(|events| {
                let lane = lane.clone();
                thread::spawn(move || events.iter().filter_map(|event| lane.push(*event)).collect::<Vec<_>>())
            })
            .collect();
        lane.turn_while_rung();
        callers.into_iter().for_each(|caller| accepted.extend(caller.join().unwrap()));
        lane.turn_while_rung();
        lane.assert_settled(accepted);
    });
}

#[test]
fn every_accepted_event_is_taken_out_once_and_evicted_only_from_a_full_lane() {
    overflow(REPAIRED, 1, &[&[11], &[21]], 2);
    overflow(REPAIRED, 2, &[&[11, 12]], 3);
}

#[test]
fn an_evictor_that_does_not_look_again_evicts_beside_free_places() {
    let repairs = Repairs { look_again: false, ..REPAIRED };
    assert_fails("although there was room", || overflow(repairs, 3, &[&[11]], 3));
}

/// Callers for one place whose first event may be half sent. The flush task sleeps until they are gone.
fn asleep(repairs: Repairs) {
    explore(3, move || {
        let lane = Lane::new(repairs, 1);
        lane.turn();
        let callers = [1, 2].map(|event| {
            let lane = lane.clone();
            thread::spawn(move || lane.push(event))
        });
        let accepted: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        let evicted = lane.exit().evicted.len();
        assert_eq!(accepted.len() - evicted, 1, "each eviction admits one event, so one stays");
        lane.turn_while_rung();
        lane.assert_settled(accepted);
    });
}

#[test]
fn one_eviction_admits_one_event_and_the_sleeping_flush_task_is_woken_for_it() {
    asleep(REPAIRED);
}

#[test]
fn a_flush_task_parked_in_the_channel_is_lost_to_an_evictors_waker() {
    assert_fails(STRANDED, || asleep(Repairs { sleep: Sleep::InTheChannel, ..REPAIRED }));
}

#[test]
fn waking_the_parked_flush_task_where_nothing_was_evicted_is_not_enough() {
    assert_fails(STRANDED, || asleep(Repairs { sleep: Sleep::InTheChannelAndEvictorsWakeIt, ..REPAIRED }));
}

/// The end: a caller that has its permit but has sent nothing yet, another caller, and one that looks for bytes.
fn close(repairs: Repairs, others: &'static [fn(&Lane) -> Option<Event>], preemptions: usize) {
    explore(preemptions, move || {
        let lane = Lane::new(repairs, 2);
        lane.acquire().unwrap();
        let half_sent = {
            let lane = lane.clone();
            thread::spawn(move || lane.publish(1))
        };
        let others: Vec<_> = others
            .iter()
            .map(|other| {
                let lane = lane.clone();
                thread::spawn(move || other(&lane))
            })
            .collect();
        lane.close();
        lane.drain_closed();
        let out = lane.exit().index;
        half_sent.join().unwrap();
        let accepted: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).chain([1]).collect();
        lane.assert_settled(accepted);
        assert_eq!(lane.exit().index, out, "nothing comes after the end");
    });
}

fn pushes(lane: &Lane) -> Option<Event> {
    lane.push(2)
}

fn evicts(lane: &Lane) -> Option<Event> {
    lane.evict_for_bytes();
    None
}

#[test]
fn the_last_drain_ends_and_has_everything_that_was_accepted() {
    close(REPAIRED, &[pushes], 3);
    close(REPAIRED, &[evicts], 3);
    close(REPAIRED, &[pushes, evicts], 2);
}

#[test]
fn a_closed_lane_that_looks_empty_is_not() {
    assert_fails(STRANDED, || close(Repairs { until_ready_zero: false, ..REPAIRED }, &[], 3));
}

#[test]
fn an_evictor_in_a_closed_lane_takes_the_place_of_the_last_drain() {
    assert_fails(DEADLOCK, || close(Repairs { mind_the_close: false, ..REPAIRED }, &[evicts], 3));
}
