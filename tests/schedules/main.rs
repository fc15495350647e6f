//! Every order of the steps of callers and flush task, on the lanes' own code: `src/queue/lane.rs`, `signal.rs` and
//! `waiters.rs` are compiled here with loom's lock, atomics and fence, and with models of tokio's channel and `Notify`.
//!
//! The tests whose names tell of a loss take two steps in the wrong order, and must find the schedule that loses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(dead_code, reason = "the files of the library have more than the models need")]
#![allow(unreachable_pub, reason = "as above")]

mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::Arc;
use loom::thread;

use queue::{Pushed, Queue};

/// What the lanes need of an event.
mod event {
    pub(crate) struct Event(pub(crate) usize);

    impl Event {
        pub(crate) fn spilled_bytes(&self) -> usize {
            0
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) enum Level {
        Info,
    }

    impl Level {
        pub(crate) const ALL: [Level; 1] = [Level::Info];
    }
}

/// What the lanes count with.
mod stats {
    #[derive(Clone, Copy)]
    pub(crate) enum DropReason {
        OverflowOldest,
    }

    #[derive(Clone, Copy, Default)]
    pub(crate) struct DropCounts(pub(crate) u64);

    impl DropCounts {
        pub(crate) fn add(&mut self, _: DropReason, events: u64) {
            self.0 += events;
        }

        pub(crate) fn merge(&mut self, other: &DropCounts) {
            self.0 += other.0;
        }
    }
}

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

const DEADLOCK: &str = "deadlock";

fn callers(queue: &Arc<Queue>, calls: &[fn(&Queue, usize) -> Pushed]) -> Vec<thread::JoinHandle<Pushed>> {
    let spawn = |(number, call): (usize, &fn(&Queue, usize) -> Pushed)| {
        let (queue, call) = (queue.clone(), *call);
        thread::spawn(move || call(&queue, number))
    };
    calls.iter().enumerate().map(spawn).collect()
}

fn join(callers: Vec<thread::JoinHandle<Pushed>>) -> Vec<Pushed> {
    callers.into_iter().map(|caller| caller.join().unwrap()).collect()
}

/// The flush task of a lane into which so many urgent events come.
fn urgent(drain: fn(&Queue) -> Vec<usize>) {
    explore(3, move || {
        let queue = Arc::new(Queue::new(4));
        let callers = callers(&queue, &[|queue, n| queue.push(n, false, true), |queue, n| queue.push(n, false, true)]);
        let mut taken = Vec::new();
        while taken.len() < 2 {
            queue.sleep();
            taken.extend(drain(&queue));
        }
        assert_eq!(join(callers), [Pushed::Accepted; 2]);
        taken.sort_unstable();
        assert_eq!((taken, queue.counts()), (vec![0, 1], (2, 0, 0)));
    });
}

#[test]
fn the_flush_task_is_woken_for_every_urgent_event_that_it_does_not_have_yet() {
    urgent(Queue::drain);
}

#[test]
fn a_flag_lowered_after_the_drain_loses_a_wake_up() {
    assert_fails(DEADLOCK, || {
        urgent(|queue| {
            let taken = queue.take_all();
            queue.signal().lower();
            taken
        });
    });
}

#[test]
fn each_eviction_admits_one_event_and_every_accepted_event_is_evicted_or_taken_once() {
    for capacity in [1, 2] {
        explore(3, move || {
            let queue = Arc::new(Queue::new(capacity));
            let callers =
                callers(&queue, &[|queue, n| queue.push(n, true, false), |queue, n| queue.push(n, true, false)]);
            assert_eq!(queue.push(2, true, false), Pushed::Accepted);
            let mut taken = queue.take_all();
            assert_eq!(join(callers), [Pushed::Accepted; 2]);
            taken.extend(queue.take_all());
            let (accepted, evicted, queued) = queue.counts();
            assert_eq!((accepted, evicted + taken.len() as u64, queued), (3, 3, 0));
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(evicted + taken.len() as u64, 3, "none twice");
        });
    }
}

/// Callers wait for the one place of a full lane.
fn waiting(waits: usize, preemptions: usize) {
    explore(preemptions, move || {
        let queue = Arc::new(Queue::new(1));
        assert_eq!(queue.push(9, false, false), Pushed::Accepted);
        let callers = callers(&queue, &vec![Queue::push_wait as fn(&Queue, usize) -> Pushed; waits]);
        let mut taken = Vec::new();
        while taken.len() <= waits {
            queue.sleep();
            taken.extend(queue.drain());
        }
        assert_eq!(join(callers), vec![Pushed::Accepted; waits]);
        assert_eq!((taken[0], queue.counts()), (9, (1 + waits as u64, 0, 0)));
    });
}

#[test]
fn who_waits_for_room_gets_it_and_sleeps_through_nothing() {
    waiting(1, 3);
    waiting(2, 1);
}

#[test]
fn at_the_close_everything_accepted_is_taken_and_who_waits_is_told() {
    explore(3, || {
        let queue = Arc::new(Queue::new(1));
        let callers = callers(&queue, &[|queue, n| queue.push(n, false, false), Queue::push_wait]);
        queue.close();
        let taken = queue.take_all();
        let pushed = join(callers);
        let accepted = pushed.iter().filter(|pushed| **pushed == Pushed::Accepted).count();
        assert!(pushed.iter().all(|pushed| *pushed != Pushed::Full || accepted == 1));
        assert_eq!((taken.len(), queue.counts()), (accepted, (accepted as u64, 0, 0)), "nothing comes after the end");
    });
}

/// A flush task that rests, and the next event.
fn resting(rest: fn(&Queue) -> bool) {
    explore(3, move || {
        let queue = Arc::new(Queue::new(8));
        let resumed = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let count = resumed.clone();
        queue.signal().on_resumed(move |_| {
            count.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        });
        let callers =
            callers(&queue, &[|queue, n| queue.push(n, false, false), |queue, n| queue.push(n, false, false)]);
        let mut taken = Vec::new();
        while taken.len() < 2 {
            // What does not rest comes back at its interval.
            if rest(&queue) {
                queue.sleep();
                queue.resume();
            }
            taken.extend(queue.drain());
        }
        assert_eq!(join(callers), [Pushed::Accepted; 2]);
        let rests = queue.signal().rests();
        assert_eq!(
            (rests % 2, resumed.load(loom::sync::atomic::Ordering::Relaxed)),
            (0, rests / 2),
            "each rest ends once"
        );
    });
}

#[test]
fn the_first_event_after_a_rest_wakes_the_flush_task() {
    resting(Queue::rest);
}

#[test]
fn a_rest_that_is_begun_without_arming_the_lane_misses_the_event() {
    assert_fails(DEADLOCK, || resting(Queue::rest_without_arming));
}
