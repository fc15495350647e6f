//! Any thread: the bounded queue between callers and flush task: lanes of events, and one account of their heap bytes.
//!
//! In: `logger` pushes the events that passed `filter`, on the caller's thread. Each gets the fields of its scope from
//! `context`, and hidden values are masked, before it enters its lane (`push`), or waits for room (`admit`).
//!
//! Out: `runtime` drains the lanes for `dispatch`. A caller that fills half of a lane, or logs an urgent event, wakes
//! the flush task (`signal`). The counters go to `stats` and the metrics.
//!
//! Invariants:
//! * A lane holds at most `capacity` events. Spilled events and contexts hold at most `heap_bytes`, contexts at most
//!   half.
//! * A thread keeps its lane, and a lane keeps its order.
//! * A pushed event is accepted, or refused under one counted reason; `try_push` returns it uncounted instead.
//! * The flush task never sleeps in an open lane. Commands (flush, reopen) never travel in one.
//!
//! Next: `dispatch` merges the lanes into batches.
//!
//! An overflow policy is a variant of [`Overflow`], applied in `push` (waiting in `admit`). A limit on what enters
//! belongs in `push`, a limit on memory in `account`, a counter in `lane` or here.

mod account;
mod admit;
mod freed;
mod lane;
mod overflow;
mod push;
mod signal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

pub(crate) use account::Account;
use lane::{Lane, LaneBook};
pub use overflow::Overflow;
pub use push::TryEmitError;
pub(crate) use signal::{Signal, is_logger_thread, mark_logger_thread};

use crate::context::scope::QueueId;
use crate::event::{Event, Level, LevelFilter, Redactor};
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
    pub(crate) reserve: Reserve,
    pub(crate) may_block: MayBlock,
    /// Boxed, so that its absence is a null pointer.
    pub(crate) redactor: Option<Box<Redactor>>,
}

/// The part of each lane that is kept for important events.
#[derive(Clone, Copy)]
pub(crate) struct Reserve {
    /// Events that this allows may use all of a lane; `Trace`: there is no reserve.
    pub(crate) level: LevelFilter,
    pub(crate) percent: usize,
}

impl Reserve {
    pub(crate) const NONE: Reserve = Reserve { level: LevelFilter::Trace, percent: 0 };

    /// Returns how many of a lane's places every event may take. At least one: otherwise a caller would wait forever.
    fn open_places(self, capacity: usize) -> usize {
        (capacity - (capacity * self.percent).div_ceil(100)).max(1)
    }
}

/// Where [`Overflow::Block`] may wait.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum MayBlock {
    /// The logger has its own thread: any other thread may wait.
    Anywhere,
    /// The logger runs on a runtime of the user's: only threads outside any runtime.
    OutsideRuntimes,
}

/// The bounded queue between the callers and the flush task.
pub(crate) struct Queue {
    id: QueueId,
    lanes: Box<[Lane]>,
    config: QueueConfig,
    /// Depth from which on events below the reserve's level are refused (`shed`).
    open_places: usize,
    /// Depth at which a caller wakes the flush task. Half of the places that every event may use: waking earlier moves
    /// cache lines while the caller emits.
    mark: usize,
    account: Arc<Account>,
    signal: Signal,
    truncated: AtomicU64,
    suppressed: AtomicU64,
    sampled: AtomicU64,
    /// Refusals are counted as `task_failed` instead of `closed`.
    task_failed: AtomicBool,
}

/// The queue's counters at one moment.
pub(crate) struct IntakeBook {
    pub(crate) accepted: u64,
    pub(crate) refused: DropCounts,
    pub(crate) evicted: DropCounts,
    /// Events in the lanes, without those that the dispatcher holds.
    pub(crate) in_lanes: u64,
    /// Events that left the lanes, by level.
    pub(crate) passed_by_level: [u64; Level::ALL.len()],
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        let open_places = config.reserve.open_places(config.capacity);
        Queue {
            id: QueueId::next(),
            lanes: (0..config.lanes).map(|_| Lane::new(config.capacity)).collect(),
            open_places,
            mark: (open_places / 2).max(1),
            account: Arc::new(Account::new(config.heap_bytes)),
            config,
            signal: Signal::default(),
            truncated: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            task_failed: AtomicBool::new(false),
        }
    }
}

/// The flush task's end.
impl Queue {
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes up to a chunk of a lane's oldest events; none if the lane has reached `goal`, one of its end offsets.
    pub(crate) fn drain(&self, lane: usize, goal: u64, into: &mut Vec<Event>) -> usize {
        self.lanes[lane].drain(goal, into)
    }

    /// Like [`Queue::drain`], but after [`Queue::close`]; `Ready(0)` means that the lane is empty for good.
    pub(crate) fn poll_drain_closed(&self, lane: usize, cx: &mut Context<'_>, into: &mut Vec<Event>) -> Poll<usize> {
        self.lanes[lane].poll_drain_closed(cx, into)
    }

    /// Closes the queue: no event enters from here on.
    pub(crate) fn close(&self) {
        self.lanes.iter().for_each(Lane::close);
        self.account.wake_waiters();
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
        self.lanes.iter().map(|lane| lane.position().0).collect()
    }

    /// Returns how many events accepted before `positions` are still in the lanes.
    pub(crate) fn before(&self, positions: &[u64]) -> u64 {
        self.lanes.iter().zip(positions).map(|(lane, &position)| position.saturating_sub(lane.position().1)).sum()
    }

    /// Returns how full the fullest lane is, in percent, or the account of bytes if that is fuller.
    pub(crate) fn percent_full(&self) -> u8 {
        let depth = self.lanes.iter().map(Lane::depth).max().unwrap_or(0);
        let percent = |used: usize, of: usize| (used.min(of) as u128 * 100 / of.max(1) as u128) as u8;
        percent(depth, self.config.capacity).max(percent(self.account.used(), self.account.limit()))
    }

    pub(crate) fn book(&self) -> IntakeBook {
        let mut sum = IntakeBook {
            accepted: 0,
            refused: DropCounts::default(),
            evicted: DropCounts::default(),
            in_lanes: 0,
            passed_by_level: [0; Level::ALL.len()],
        };
        for LaneBook { accepted, accepted_by_level, evicted, queued, refused } in self.lanes.iter().map(Lane::book) {
            sum.accepted += accepted;
            sum.refused.merge(&refused);
            sum.evicted.merge(&evicted);
            sum.in_lanes += queued;
            for (sum, count) in sum.passed_by_level.iter_mut().zip(accepted_by_level) {
                *sum += count;
            }
        }
        sum
    }

    pub(crate) fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }

    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    pub(crate) fn sampled(&self) -> u64 {
        self.sampled.load(Ordering::Relaxed)
    }

    pub(crate) fn redactor(&self) -> Option<&Redactor> {
        self.config.redactor.as_deref()
    }
}

/// For tests of the moment between a caller's permit and its event.
#[cfg(test)]
impl Queue {
    pub(crate) fn permit(&self, lane: usize) -> tokio::sync::mpsc::Permit<'_, Event> {
        self.lanes[lane].tx.try_reserve().expect("the lane has room")
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.iter().all(|lane| lane.tx.is_closed())
    }
}
