//! Any thread: what is behind the lock of one sink's handle, and the requests that wait for its task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::action::BatchSource;
use super::awaited::AwaitedEvents;
use super::backlog::{BacklogQueue, WaitingBatch, WhenFull};
use super::breaker::CircuitBreaker;
use super::ledger::{Ledger, Losses, OutageStart, Outcome};
use super::notice::NoticeScheduler;
use super::spool::SpoolAccount;
use crate::event::Batch;
use crate::queue::Ticket;
use crate::stats::labels::BreakerState;
use crate::stats::{DropReason, LastError};

pub(super) struct SinkState {
    pub(super) backlog: BacklogQueue,
    /// Of a pipeline with a spool: its backlog is what is not appended.
    pub(super) spool: Option<Box<SpoolAccount>>,
    pub(super) ledger: Ledger,
    pub(super) awaited: AwaitedEvents,
    pub(super) breaker: CircuitBreaker,
    /// The state last passed to the callback.
    pub(super) last_reported_state: BreakerState,
    /// Since when the sink's writes fail.
    pub(super) failing_since: Option<OutageStart>,
    pub(super) notices: NoticeScheduler,
    /// Where the sink must flush, in the order of their offsets.
    pub(super) barriers: VecDeque<Arc<Barrier>>,
    /// The losses that the last completed flush has reported.
    pub(super) reported: Losses,
    /// The requested reopen that has not begun.
    pub(super) reopen: Option<Arc<Reopen>>,
    /// A shutdown was requested.
    pub(super) drain: Option<Drain>,
    pub(super) is_closing: bool,
    /// The sink was closed, with this result.
    pub(super) closed: Option<Result<(), LastError>>,
    pub(super) is_sealed: bool,
    /// Why the sink task ended before the sink was closed.
    pub(super) failed: Option<DropReason>,
    /// Batches were enqueued, and the sink task is not woken yet.
    pub(super) has_news: bool,
    /// The sink task pauses because the destination asks for it, and a flush from this time on ends the pause.
    pub(super) flush_ends_pause: Option<Instant>,
}

/// The end of a logger, as far as a sink is concerned.
#[derive(Clone, Copy)]
pub(super) struct Drain {
    pub(super) begun: Instant,
    pub(super) deadline: Option<Instant>,
}

/// A point in a sink's stream of events after which the sink must flush, and the result, for each caller that waits for it.
pub(crate) struct Barrier {
    /// The sink's routed count at this point.
    pub(super) offset: u64,
    /// The losses that earlier flushes have reported.
    pub(super) reported: Losses,
    /// A caller waits for it, or did.
    pub(super) is_awaited: AtomicBool,
    pub(super) done: OnceLock<Flushed>,
}

pub(super) struct Flushed {
    pub(super) losses: Losses,
    pub(super) error: Option<LastError>,
}

/// A requested reopen, and its result.
#[derive(Default)]
pub(crate) struct Reopen {
    pub(super) done: OnceLock<Result<(), LastError>>,
}

/// What a logger's end leaves behind: to be dropped where no caller waits and nothing is locked.
#[derive(Default)]
pub(crate) struct Leftovers {
    batches: Vec<Batch>,
    bytes: usize,
    /// Their callers are to be woken.
    tickets: Vec<Arc<Ticket>>,
}

impl Barrier {
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the sink's flush, or its close, after this point has returned.
    pub(crate) fn is_done(&self) -> bool {
        self.done.get().is_some()
    }
}

impl Reopen {
    /// Returns the result, or `None` while there is none.
    pub(crate) fn result(&self) -> Option<Result<(), LastError>> {
        self.done.get().cloned()
    }
}

impl Leftovers {
    pub(crate) fn add(&mut self, batch: Batch, bytes: usize) {
        self.batches.push(batch);
        self.bytes += bytes;
    }

    pub(crate) fn add_ticket(&mut self, ticket: Arc<Ticket>) {
        self.tickets.push(ticket);
    }

    /// Wakes the callers whose tickets have ended. Called with nothing locked.
    pub(crate) fn wake(&mut self) {
        self.tickets.drain(..).for_each(|ticket| ticket.wake());
    }

    /// The memory that they hold, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl SinkState {
    /// Whether waiting events go out at once: for a flush, or because the logger ends.
    pub(super) fn must_not_linger(&self) -> bool {
        !self.barriers.is_empty() || self.drain.is_some() || self.is_closing
    }

    /// The first flush, if nothing waits before its point.
    fn reached_barrier(&self) -> Option<&Arc<Barrier>> {
        self.barriers.front().filter(|first| self.front().is_none_or(|front| front > first.offset()))
    }

    pub(super) fn take_reached_barrier(&mut self) -> Option<Arc<Barrier>> {
        self.reached_barrier().is_some().then(|| self.barriers.pop_front())?
    }

    /// The first flush that the spool alone completes: before its point everything is appended or settled, the sink is
    /// busy with a request of spooled events, and what it has delivered needs no flush.
    pub(super) fn covered_barrier(&self) -> Option<Arc<Barrier>> {
        let is_busy = self.ledger.has_only_spooled_in_flight() && self.awaited.is_all_confirming();
        self.reached_barrier().filter(|_| is_busy).cloned()
    }

    /// Completes a flush. Its losses are reported if a caller is still there.
    pub(super) fn complete(&mut self, barrier: &Arc<Barrier>, error: Option<LastError>) {
        let losses = self.ledger.losses();
        self.barriers.retain(|other| !Arc::ptr_eq(other, barrier));
        if barrier.is_awaited.load(Ordering::Relaxed) && Arc::strong_count(barrier) > 1 {
            self.reported = losses;
        }
        barrier.done.get_or_init(|| Flushed { losses, error });
    }

    /// Closes the sink with this result, which is that of all flushes to come.
    pub(super) fn close(&mut self, result: Result<(), LastError>) {
        while let Some(barrier) = self.barriers.pop_front() {
            self.complete(&barrier, result.clone().err());
        }
        self.closed = Some(result);
    }

    pub(super) fn end_events(&mut self, why: DropReason, leftovers: &mut Leftovers) {
        let waiting = self.backlog.events();
        let mut gone = self.backlog.clear();
        self.ledger.drop_waiting(why, waiting);
        if let Some(spool) = &mut self.spool {
            let ended = spool.end(&mut self.backlog);
            gone.extend(ended.batches);
            self.ledger.drop_waiting(why, ended.unappended);
            self.ledger.lose_sight(ended.maybe_appended);
        }
        self.awaited.end(gone.iter().map(|waiting| &waiting.batch), why);
        self.awaited.take_changed().into_iter().for_each(|ticket| leftovers.add_ticket(ticket));
        gone.into_iter().for_each(|waiting| leftovers.add(waiting.batch, waiting.charge));
        self.ledger.end_in_flight(why);
    }

    /// Events that wait in memory and are in no spool: those up to a routed count.
    pub(super) fn waiting_before(&self, upto: u64) -> u64 {
        let backlog = if upto == u64::MAX { self.backlog.events() } else { self.backlog.before(upto) };
        backlog + self.spool.as_ref().map_or(0, |spool| spool.unappended(upto))
    }

    /// The routed count after the oldest batch that waits in memory and is in no spool.
    pub(super) fn front(&self) -> Option<u64> {
        let unappended = self.spool.as_ref().and_then(|spool| spool.front());
        unappended.into_iter().chain(self.backlog.front()).min()
    }

    /// Makes room for so much, if spooled batches can leave the memory; these are to be dropped where nothing is locked.
    pub(super) fn make_room(&mut self, charge: usize, gone: &mut Vec<Batch>) {
        if let Some(spool) = &mut self.spool {
            spool.make_room(charge, &mut self.backlog, gone);
        }
    }

    /// Adds a batch to the backlog, or drops according to the policy until it fits. What leaves the memory is added to `gone`.
    pub(super) fn push(&mut self, new: WaitingBatch, policy: WhenFull, gone: &mut Vec<Batch>) {
        let charge = new.charge + new.batch.enrichment().map_or(0, |enrichment| enrichment.bytes());
        self.make_room(charge, gone);
        let mut reason = DropReason::BacklogFull;
        if let Some(spool) = &mut self.spool {
            if spool.is_full() {
                reason = DropReason::SpoolFull;
            }
            while policy == WhenFull::DropOldest
                && !self.backlog.has_room_for(charge)
                && let Some(dropped) = spool.drop_bypassed(&mut self.backlog)
            {
                self.ledger.drop_waiting(reason, dropped.len() as u64);
                self.awaited.settle(&dropped, Outcome::Dropped(reason));
                gone.push(dropped);
            }
        }
        let mut dropped = Vec::new();
        self.backlog.push(new, &mut dropped);
        let lost = dropped.iter().map(|dropped| dropped.batch.len() as u64).sum();
        self.ledger.drop_waiting(reason, lost);
        dropped.iter().for_each(|dropped| self.awaited.settle(&dropped.batch, Outcome::Dropped(reason)));
        gone.extend(dropped.into_iter().map(|dropped| dropped.batch));
    }

    /// The counters of the spool are those of its positions.
    pub(super) fn check_spool(&self) {
        if let Some(spool) = &self.spool {
            debug_assert_eq!(spool.outstanding(), self.ledger.spooled(), "the spool's positions and its counters");
        }
    }

    /// Settles events that the sink task has: so many with each outcome.
    pub(super) fn settle(&mut self, events: &Batch, source: BatchSource, outcomes: &[(usize, Outcome)]) {
        // Of several outcomes it is unknown which one is whose.
        let mut possible = outcomes.iter().filter(|(len, _)| *len > 0).map(|(_, outcome)| *outcome);
        if let Some(first) = possible.next() {
            self.awaited.settle(events, possible.next().map_or(first, |_| Outcome::Unconfirmed));
        }
        if let Some(spool) = &mut self.spool {
            spool.settle(events, source.is_spooled());
        }
        for (len, outcome) in outcomes {
            match source.is_spooled() {
                true => self.ledger.settle_spooled(*len as u64, *outcome),
                false => self.ledger.settle(*len as u64, *outcome),
            }
        }
    }
}
