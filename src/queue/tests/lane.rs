//! A test's thread: one lane, by itself.

use std::collections::VecDeque;

use super::super::lane::{CHUNK, Chunk, Lane};
use crate::event::{Event, Level};
use crate::stats::DropReason;

fn event(number: usize) -> Event {
    Event::new(Level::ALL[number % 5], "t", &number.to_string())
}

fn long(number: usize) -> Event {
    event(number).with("long", "x".repeat(200))
}

fn put(lane: &Lane, event: Event) -> bool {
    let (level, bytes) = (event.level(), event.spilled_bytes());
    let mut state = lane.lock();
    if !state.has_chunk() {
        let chunk = Chunk::with_capacity(state.chunk());
        state.supply(chunk);
    }
    state.has_place(true) && {
        state.put(event, level, bytes);
        true
    }
}

fn number(event: &Event) -> usize {
    event.message().to_string().parse().unwrap()
}

fn take(lane: &Lane, chunk: &mut Chunk) -> Vec<usize> {
    lane.take(u64::MAX, chunk);
    chunk.events.drain(..).map(|event| number(&event)).collect()
}

#[test]
fn events_leave_in_order_one_by_one_and_in_chunks_whatever_the_capacity() {
    for capacity in [1, 2, 63, 64, 65, 100, 128, 1000] {
        let lane = Lane::new(capacity, capacity);
        let (mut next, mut chunk, mut random) = (0, Chunk::default(), fastrand::Rng::with_seed(capacity as u64));
        let mut expected = VecDeque::new();
        for _ in 0..20 * capacity.max(100) {
            match random.u8(..10) {
                0 => {
                    let evicted = lane.lock().evict(DropReason::OverflowOldest).as_ref().map(number);
                    assert_eq!(evicted, expected.pop_front());
                }
                1 => {
                    let taken = take(&lane, &mut chunk);
                    assert_eq!(taken.is_empty(), expected.is_empty());
                    assert!(
                        taken.len() <= CHUNK.min(capacity)
                            && taken == expected.drain(..taken.len()).collect::<Vec<_>>()
                    );
                }
                _ => {
                    let is_full = expected.len() == capacity;
                    assert_eq!(put(&lane, event(next)), !is_full, "{capacity}");
                    expected.extend((!is_full).then_some(next));
                    next += usize::from(!is_full);
                }
            }
            let state = lane.lock();
            assert_eq!((state.len(), state.position()), (expected.len(), next as u64));
            let (spare, most) = state.spare();
            assert!(spare < most, "what is empty is used again");
            assert_eq!(most, capacity / CHUNK.min(capacity) + 3);
        }
    }
}

#[test]
fn a_half_filled_chunk_that_was_taken_holds_no_place() {
    let lane = Lane::new(10, 10);
    assert_eq!((0..20).filter(|number| put(&lane, event(*number))).count(), 10);
    let mut chunk = Chunk::default();
    lane.take(u64::MAX, &mut chunk);
    assert_eq!((10..30).filter(|number| put(&lane, event(*number))).count(), 10);
}

#[test]
fn heap_bytes_are_those_of_the_events_in_the_lane() {
    let lane = Lane::new(200, 200);
    (0..150).for_each(|number| assert!(put(&lane, if number % 3 == 0 { long(number) } else { event(number) })));
    let one = long(0).spilled_bytes();
    assert_eq!(lane.lock().heap_bytes(), 50 * one);
    assert!(lane.lock().evict(DropReason::Memory).is_some());
    assert_eq!(lane.lock().heap_bytes(), 49 * one);
    let mut chunk = Chunk::default();
    for left in [28 * one, 7 * one, 0] {
        lane.take(u64::MAX, &mut chunk);
        chunk.events.clear();
        assert_eq!(lane.lock().heap_bytes(), left);
    }
}

#[test]
fn the_flush_task_takes_no_chunk_beyond_the_position_it_was_told() {
    let lane = Lane::new(200, 200);
    (0..130).for_each(|number| assert!(put(&lane, event(number))));
    let mut chunk = Chunk::default();
    for (goal, taken) in [(1, 64), (64, 0), (65, 64), (128, 0), (129, 2), (u64::MAX, 0)] {
        lane.take(goal, &mut chunk);
        assert_eq!(chunk.events.drain(..).count(), taken, "{goal}");
    }
    assert_eq!(lane.positions(), (130, 130));
}

#[test]
fn a_closed_lane_takes_no_event_and_gives_what_it_has() {
    let lane = Lane::new(100, 100);
    (0..70).for_each(|number| assert!(put(&lane, event(number))));
    lane.close();
    assert!(!put(&lane, event(70)));
    let mut chunk = Chunk::default();
    let left: Vec<_> = [take(&lane, &mut chunk), take(&lane, &mut chunk), take(&lane, &mut chunk)].concat();
    assert_eq!(left, (0..70).collect::<Vec<_>>());
    assert_eq!(lane.positions().0, 70);
}

#[test]
fn the_event_that_wakes_the_flush_task_is_the_one_that_it_was_armed_for() {
    let lane = Lane::new(10, 10);
    let wakes = || lane.lock().put(event(0), Level::Info, 0);
    assert_eq!([wakes(), wakes(), wakes(), wakes(), wakes()], [false, false, false, false, true]);
    assert_eq!(lane.arm(true), 5);
    lane.take(u64::MAX, &mut Chunk::default());
    assert!(wakes());
}

#[test]
fn a_lane_that_another_thread_has_is_waited_for_unless_that_thread_is_gone() {
    let lane = Lane::new(10, 10);
    let held = lane.lock();
    assert!(lane.try_lock().is_none() && lane.lock_unless(|| true).is_none());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| lane.lock_unless(|| false).is_some());
        drop(held);
        assert!(waits.join().unwrap());
    });
}
