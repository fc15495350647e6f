//! Any thread: the bounded queue between callers and flush task: lanes of events, and one account of their heap bytes.
//!
//! In: `logger` pushes the events that passed `filter`, on the caller's thread, prepared: with the fields of their scope,
//! hidden values masked. Each is admitted to its lane (`admission`), or waits for room (`waiters`).
//!
//! Out: the flush task takes chunks of events out of the lanes (`lane`), for `dispatch`. A caller that fills half of a lane,
//! logs an urgent event, or the first one after a rest, wakes it (`signal`). The counters go to `stats` and the metrics.
//!
//! Invariants:
//! * A lane holds at most `capacity` events. Spilled events and contexts hold at most `heap_bytes`, contexts at most
//!   half.
//! * A thread keeps its lane, and a lane keeps its order.
//! * A pushed event is accepted, or refused under one counted reason; `try_push` returns it uncounted instead.
//! * The flush task never sleeps in a lane. Commands (flush, reopen) never travel in one.
//! * No foreign code runs under a lock of this room.
//!
//! An event whose caller waits for its end has a ticket (`ticket`).
//!
//! Next: `dispatch` merges the lanes into batches.
//!
//! An overflow policy is a variant of [`Overflow`], applied in `admission`. A limit on what enters belongs in `admission`, a
//! limit on memory in `account`, a counter in `lane` or here.

mod account;
mod admission;
mod lane;
mod overflow;
mod signal;
mod sync;
#[cfg(test)]
mod tests;
mod ticket;
mod waiters;

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use account::Account;
pub(crate) use admission::Lack;
pub(crate) use lane::Chunk;
use lane::Lane;
pub use overflow::Overflow;
pub(crate) use signal::WakeSignal;
pub use ticket::Confirmation;
pub(crate) use ticket::{Ticket, TicketCharge, TicketEnd};

use crate::event::{self, Event, Level, LevelFilter};
use crate::stats::DropCounts;

/// The bytes that one event takes while it waits.
pub(crate) const EVENT_BYTES: usize = size_of::<Event>();

/// The options of the queue, checked by the builder.
pub(crate) struct QueueConfig {
    pub(crate) lanes: usize,
    pub(crate) capacity: usize,
    /// For spilled events and contexts, in addition to the lanes themselves.
    pub(crate) heap_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) flush_at: LevelFilter,
    pub(crate) overflow: Overflow,
    /// How many of a lane's places every event may take; at least one.
    pub(crate) open_places: usize,
    /// Events that this allows may take the others too. `Trace`: there is no reserve.
    pub(crate) reserve_level: LevelFilter,
    /// The logger runs on a runtime of the user's: [`Overflow::Block`] waits only on threads outside any runtime. On a thread
    /// of its own, any other thread may wait.
    pub(crate) is_on_users_runtime: bool,
}

/// The bounded queue between the callers and the flush task.
pub(crate) struct Queue {
    lanes: Box<[Lane]>,
    config: QueueConfig,
    /// The process that it runs in.
    process: u32,
    account: Arc<Account>,
    signal: WakeSignal,
    truncated: AtomicU64,
    /// Refusals are counted as `task_failed` instead of `closed`.
    task_failed: AtomicBool,
}

/// The queue's counters at one moment.
#[derive(Default)]
pub(crate) struct IntakeBook {
    pub(crate) accepted: u64,
    pub(crate) refused: DropCounts,
    pub(crate) evicted: DropCounts,
    /// Events in the lanes, without those that the dispatcher holds.
    pub(crate) in_lanes: u64,
    pub(crate) accepted_by_level: [u64; Level::ALL.len()],
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        event::allow_event_bytes(config.max_event_bytes);
        let lane = |_| Lane::new(config.capacity, config.open_places);
        Queue {
            lanes: (0..config.lanes).map(lane).collect(),
            process: process::id(),
            account: Arc::new(Account::new(config.heap_bytes)),
            config,
            signal: WakeSignal::default(),
            truncated: AtomicU64::new(0),
            task_failed: AtomicBool::new(false),
        }
    }
}

/// The flush task's end.
impl Queue {
    pub(crate) fn signal(&self) -> &WakeSignal {
        &self.signal
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes a lane's oldest chunk into `chunk`, which is empty; leaves it empty if the lane has none, or has reached `goal`,
    /// one of its positions. [`Queue::tell_waiters`] is to follow, with nothing locked.
    pub(crate) fn take(&self, lane: usize, goal: u64, chunk: &mut Chunk) {
        self.lanes[lane].take(goal, chunk);
    }

    /// Takes bytes of events that left the queue out of the account. [`Queue::tell_waiters`] is to follow.
    pub(crate) fn release(&self, bytes: usize) {
        self.account.give_back(bytes);
    }

    /// Wakes the callers that wait for what was taken and released. Their wakers are foreign code: called with nothing
    /// locked.
    pub(crate) fn tell_waiters(&self) {
        self.account.waiters().notify();
    }

    /// Has the next event wake the flush task, which is about to sleep without an interval. Returns `false`, and changes
    /// nothing, if there is an event already.
    pub(crate) fn rest(&self) -> bool {
        self.signal.begin_rest();
        let is_empty = self.lanes.iter().all(|lane| lane.arm(true) == 0);
        if !is_empty {
            self.resume();
        }
        is_empty
    }

    /// Ends the rest: callers wake the flush task for half of a lane.
    pub(crate) fn resume(&self) {
        for lane in &self.lanes {
            lane.arm(false);
        }
        self.signal.end_rest();
    }

    /// Closes the queue: no event enters from here on.
    pub(crate) fn close(&self) {
        self.lanes.iter().for_each(Lane::close);
        self.tell_waiters();
    }

    /// Closes the queue; later refusals are counted as `task_failed`.
    pub(crate) fn close_task_failed(&self) {
        self.task_failed.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Returns whether it was closed because a task of the logger stopped.
    pub(crate) fn is_task_failed(&self) -> bool {
        self.task_failed.load(Ordering::Relaxed)
    }

    /// Returns the end offset of each lane: how many events it has accepted so far. A flush must reach them.
    pub(crate) fn accepted_positions(&self) -> Box<[u64]> {
        self.lanes.iter().map(|lane| lane.positions().0).collect()
    }

    /// Returns how many events accepted before `positions` are still in the lanes.
    pub(crate) fn before(&self, positions: &[u64]) -> u64 {
        self.lanes.iter().zip(positions).map(|(lane, &position)| position.saturating_sub(lane.positions().1)).sum()
    }

    /// Returns how full the fullest lane is, in percent, or the account of bytes if that is fuller.
    pub(crate) fn percent_full(&self) -> u8 {
        let depth = self.lanes.iter().map(|lane| lane.lock().len()).max().unwrap_or(0);
        let percent = |used: usize, of: usize| (used.min(of) as u128 * 100 / of.max(1) as u128) as u8;
        percent(depth, self.config.capacity).max(percent(self.account.used(), self.account.limit()))
    }

    pub(crate) fn book(&self) -> IntakeBook {
        let mut sum = IntakeBook::default();
        self.lanes.iter().for_each(|lane| lane.add_to(&mut sum));
        sum.accepted = sum.accepted_by_level.iter().sum();
        sum
    }

    fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    pub(crate) fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }
}
