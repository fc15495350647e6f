//! The lanes' own files, with loom's primitives.

#[path = "../../src/queue/lane.rs"]
pub(crate) mod lane;
#[path = "../../src/queue/signal.rs"]
pub(crate) mod signal;
#[path = "sync.rs"]
mod sync;
#[path = "../../src/queue/waiters.rs"]
pub(crate) mod waiters;

use lane::{Chunk, Lane};
use signal::WakeSignal;
use waiters::Waiters;

use crate::event::{Event, Level};
use crate::stats::{DropCounts, DropReason};

/// The counters that a lane adds its own to.
#[derive(Default)]
struct IntakeBook {
    refused: DropCounts,
    evicted: DropCounts,
    in_lanes: u64,
    accepted_by_level: [u64; 1],
}

/// A queue of one lane, with the steps of callers and flush task as `admission.rs`, `mod.rs` and the flush task take them.
pub(crate) struct Queue {
    lane: Lane,
    signal: WakeSignal,
    waiters: Waiters,
}

/// The result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Accepted,
    Full,
    Closed,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { lane: Lane::new(capacity, capacity), signal: WakeSignal::default(), waiters: Waiters::default() }
    }

    pub(crate) fn signal(&self) -> &WakeSignal {
        &self.signal
    }

    /// A caller: `find_place` and `fill`, or `admit`. Evicts on request; raises the signal if it is to, or `urgent`.
    pub(crate) fn push(&self, event: usize, evicts: bool, urgent: bool) -> Pushed {
        let event = Event(event);
        let mut state = match self.lane.try_lock() {
            Some(state) => state,
            None => self.lane.lock_unless(|| false).unwrap(),
        };
        if !state.has_chunk() {
            let events = state.chunk();
            drop(state);
            let chunk = Chunk::with_capacity(events);
            state = self.lane.lock();
            state.supply(chunk);
        }
        if state.is_closed() {
            return Pushed::Closed;
        }
        if !state.has_place(true) {
            if !evicts {
                drop(state);
                self.signal.raise();
                return Pushed::Full;
            }
            assert!(state.evict(DropReason::OverflowOldest).is_some(), "a full lane has an event");
        }
        assert!(state.has_place(true), "one eviction admits one event");
        let is_wanted = state.put(event, Level::Info, 0);
        drop(state);
        if is_wanted || urgent {
            self.signal.raise();
        }
        Pushed::Accepted
    }

    /// A caller that waits for room.
    pub(crate) fn push_wait(&self, event: usize) -> Pushed {
        loom::future::block_on(self.waiters.wait_for(|| match self.push(event, false, false) {
            Pushed::Full => None,
            pushed => Some(pushed),
        }))
    }

    /// The flush task: takes everything out.
    pub(crate) fn drain(&self) -> Vec<usize> {
        self.signal.lower();
        self.take_all()
    }

    pub(crate) fn take_all(&self) -> Vec<usize> {
        let (mut taken, mut chunk) = (Vec::new(), Chunk::default());
        loop {
            self.lane.take(u64::MAX, &mut chunk);
            if chunk.events.is_empty() {
                return taken;
            }
            self.waiters.notify();
            taken.extend(chunk.events.drain(..).map(|event| event.0));
        }
    }

    /// The flush task: sleeps until the signal is raised.
    pub(crate) fn sleep(&self) {
        loom::future::block_on(self.signal.wait());
    }

    pub(crate) fn rest(&self) -> bool {
        self.signal.begin_rest();
        if self.lane.arm(true) == 0 {
            return true;
        }
        self.resume();
        false
    }

    /// A rest that forgets the lane.
    pub(crate) fn rest_without_arming(&self) -> bool {
        self.signal.begin_rest();
        true
    }

    pub(crate) fn resume(&self) {
        self.lane.arm(false);
        self.signal.end_rest();
    }

    pub(crate) fn close(&self) {
        self.lane.close();
        self.waiters.notify();
    }

    /// How many events were accepted, evicted, and are there.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let mut book = IntakeBook::default();
        self.lane.add_to(&mut book);
        (book.accepted_by_level.iter().sum(), book.evicted.0, book.in_lanes)
    }
}
