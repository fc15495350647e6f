//! Any thread: the shared half of one sink, between the flush task that dispatches to it and the sink task that
//! delivers.
//!
//! Callers request flushes and reopens here; the logger's end reads and seals the counters.
//!
//! Invariants:
//! * Counters move under one lock, once per batch, together with the events they count.
//! * Sealed counters never change: the final report has them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::backlog::{BacklogQueue, Entry, WhenFull};
use super::breaker::{Breaker, BreakerCallback, Circuit};
use super::ledger::{Ledger, Moment};
use super::notice::Notices;
use super::selection::Selection;
use crate::event::{Batch, Event, SharedFields};
use crate::filter::Filter;
use crate::observe::diagnostics::Diagnostics;
use crate::observe::metrics::SinkHistograms;
use crate::stats::labels::BreakerState;
use crate::stats::{DropCounts, DropReason, LastError, SinkFlushReport, SinkStats};

/// If a sink wants less than this fraction of a batch, it gets copies: a view would pin all the rest.
const COPY_BELOW: usize = 4;
/// Flush barriers kept separately; more concurrent flushes than this share the last one.
const BARRIERS: usize = 64;

/// Wakes the flush task when a sink has room, and callers that wait for a flush or the end.
#[derive(Default)]
pub(crate) struct Bells {
    pub(crate) room: Notify,
    pub(crate) progress: Notify,
}

pub(crate) struct StationConfig {
    pub(crate) name: String,
    pub(crate) filter: Filter,
    pub(crate) timeout: Duration,
    pub(crate) breaker: Breaker,
    pub(crate) on_breaker: Option<BreakerCallback>,
    /// The number of links in the fallback chain.
    pub(crate) links: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) limit: usize,
    pub(crate) meters: SinkHistograms,
    pub(crate) house: House,
}

/// What the sink handles of one logger share.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) bells: Arc<Bells>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    pub(crate) notice_interval: Duration,
    /// Fields that notices carry, like every event.
    pub(crate) enrichment: Option<Arc<SharedFields>>,
}

/// One sink's backlog, counters and requests.
pub(crate) struct Station {
    pub(super) config: StationConfig,
    selection: Selection,
    // A std lock: held to move counts and one entry, never across an await.
    state: Mutex<State>,
    /// For the sink task alone, like `stirred`; there is one such task, so a stored permit never belongs to another.
    pub(super) work: Notify,
    /// Interrupts a pause of the sink task.
    pub(super) stirred: Notify,
    /// Whether the last part of a shutdown's time, the fallback's, has begun.
    pub(super) endgame: watch::Sender<bool>,
}

pub(super) struct State {
    pub(super) backlog: BacklogQueue,
    pub(super) ledger: Ledger,
    pub(super) circuit: Circuit,
    /// The state last passed to the callback.
    pub(super) breaker_said: BreakerState,
    /// Since when the sink's writes fail.
    pub(super) failing_since: Option<Moment>,
    pub(super) notices: Notices,
    /// Where the sink must flush, in the order of tickets and positions.
    pub(super) barriers: VecDeque<Barrier>,
    /// The last ticket issued, and the last one whose flush returned.
    pub(super) barrier_ticket: u64,
    pub(super) flushed: u64,
    pub(super) flush_error: Option<LastError>,
    /// The last ticket issued for a reopen, and the ticket of the requested reopen that has not begun.
    pub(super) reopen_ticket: u64,
    pub(super) reopen: Option<u64>,
    pub(super) reopened: u64,
    pub(super) reopen_error: Option<LastError>,
    pub(super) closing: bool,
    pub(super) closed: bool,
    pub(super) sealed: bool,
    /// Batches were enqueued, and the sink task is not woken yet.
    has_news: bool,
}

/// A point in a sink's stream of events after which the sink must flush.
#[derive(Clone, Copy)]
pub(crate) struct Barrier {
    ticket: u64,
    /// The sink's routed count at this point.
    position: u64,
}

impl Barrier {
    pub(super) fn ticket(self) -> u64 {
        self.ticket
    }

    pub(super) fn position(self) -> u64 {
        self.position
    }
}

impl Station {
    pub(crate) fn new(config: StationConfig) -> Self {
        let state = State {
            backlog: BacklogQueue::new(config.limit, config.when_full),
            ledger: Ledger::new(config.links),
            circuit: Circuit::new(config.breaker.clone()),
            breaker_said: BreakerState::Closed,
            failing_since: None,
            notices: Notices::new(config.house.notice_interval, config.links > 0),
            barriers: VecDeque::new(),
            barrier_ticket: 0,
            flushed: 0,
            flush_error: None,
            reopen_ticket: 0,
            reopen: None,
            reopened: 0,
            reopen_error: None,
            closing: false,
            closed: false,
            sealed: false,
            has_news: false,
        };
        Station {
            selection: Selection::new(config.filter.clone()),
            config,
            state: Mutex::new(state),
            work: Notify::new(),
            stirred: Notify::new(),
            endgame: watch::Sender::new(false),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }
}

/// The flush task's side.
impl Station {
    /// Whether the flush task may dispatch a batch that pins this much.
    pub(crate) fn has_room(&self, charge: usize) -> bool {
        self.state().backlog.accepts(charge)
    }

    /// Enqueues the events of a batch that this sink wants; [`Station::announce`] is to follow. `charge` is what the whole batch pins.
    ///
    /// The sink task receives them in `action.rs`.
    pub(crate) fn hand_over(&self, batch: &Batch, charge: usize) {
        let all = batch.len();
        let (batch, charge) = self.select(batch, charge);
        let wanted = batch.len() as u64;
        let mut state = self.state();
        state.ledger.route(wanted, all as u64 - wanted);
        if wanted > 0 {
            let upto = state.ledger.routed();
            let dropped = state.backlog.push(Entry { batch, charge, upto });
            state.ledger.drop_waiting(DropReason::BacklogFull, dropped);
            state.has_news = true;
        }
    }

    /// Wakes the sink task for what was enqueued. Called with nothing locked: its waker may be observed by foreign code.
    pub(crate) fn announce(&self) {
        let has_news = std::mem::take(&mut self.state().has_news);
        if has_news {
            self.work.notify_one();
        }
    }

    /// Updates the queue's losses so far, which the sink's notices report.
    pub(crate) fn hear_of_losses(&self, queue: DropCounts) {
        if self.state().notices.hear(queue) {
            self.work.notify_one();
        }
    }

    fn select(&self, batch: &Batch, charge: usize) -> (Batch, usize) {
        let Some(picked) = self.selection.pick(batch) else { return (batch.clone(), charge) };
        let view = batch.pick(picked);
        if view.len() * COPY_BELOW >= batch.len() {
            return (view, charge);
        }
        let copies: Arc<[Event]> = view.iter().map(|record| record.event().clone()).collect();
        let charge = weigh(&copies);
        (Batch::new(copies, batch.enrichment().cloned()), charge)
    }

    /// Counts an event that reaches no pipeline anymore, as dropped for this reason.
    pub(crate) fn drop_undispatched(&self, event: &Event, reason: DropReason) {
        let wanted = self.selection.wants(event);
        let mut state = self.state();
        if wanted {
            state.ledger.route(1, 0);
            state.ledger.drop_waiting(reason, 1);
        } else {
            state.ledger.route(0, 1);
        }
    }

    /// Adds a barrier after all enqueued batches.
    pub(crate) fn set_barrier(&self) -> Barrier {
        let mut state = self.state();
        let position = state.ledger.routed();
        if let Some(last) = state.barriers.back()
            && last.position == position
        {
            return *last;
        }
        state.barrier_ticket += 1;
        let barrier = Barrier { ticket: state.barrier_ticket, position };
        if state.barriers.len() == BARRIERS {
            // The flush for the new barrier also completes the barrier it replaces.
            state.barriers.pop_back();
        }
        state.barriers.push_back(barrier);
        drop(state);
        self.work.notify_one();
        barrier
    }

    /// Requests a reopen; returns its ticket.
    pub(crate) fn ask_reopen(&self) -> u64 {
        let mut state = self.state();
        // Not the ticket of a reopen in progress: it may have opened the destination before the caller changed it.
        state.reopen_ticket += 1;
        let ticket = state.reopen_ticket;
        state.reopen = Some(ticket);
        state.reopen_error = None;
        drop(state);
        self.work.notify_one();
        ticket
    }

    /// Requests the close: no batch follows, so the sink task delivers the backlog and closes the sink.
    pub(crate) fn begin_close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }
}

/// The side of callers, the metrics and the logger's end.
impl Station {
    pub(crate) fn report(&self) -> SinkStats {
        let state = self.state();
        state.ledger.report(&self.config.name, &state.backlog, &state.circuit)
    }

    /// Replaces the filter, for events that are not dispatched yet.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.selection.set(filter);
    }

    pub(crate) fn reset_latency(&self) {
        self.state().ledger.reset_latency();
    }

    /// Whether the barrier was reached and the sink's flush (or close) after it returned.
    pub(crate) fn is_flushed(&self, barrier: Barrier) -> bool {
        let state = self.state();
        state.flushed >= barrier.ticket || state.closed
    }

    /// Reports how far a flush got. Without a barrier it did not reach this sink, unless the sink was closed in order
    /// before.
    pub(crate) fn flush_report(&self, barrier: Option<Barrier>) -> SinkFlushReport {
        let state = self.state();
        let is_answered = state.closed || barrier.is_some_and(|barrier| state.flushed >= barrier.ticket);
        let waiting = state.backlog.before(barrier.map_or(u64::MAX, |barrier| barrier.position));
        SinkFlushReport {
            name: self.config.name.clone(),
            flushed: is_answered && state.flush_error.is_none(),
            pending: if is_answered { 0 } else { waiting + state.ledger.in_flight() },
            error: state.flush_error.clone(),
        }
    }

    /// Returns the result of a reopen, or `None` while there is none.
    pub(crate) fn reopen_answer(&self, ticket: u64) -> Option<Result<(), LastError>> {
        let state = self.state();
        (state.reopened >= ticket).then(|| state.reopen_error.clone().map_or(Ok(()), Err))
    }

    /// Seals the counters. Waiting events are dropped for this reason. So are events in flight, unless they may have
    /// arrived: those are unconfirmed.
    pub(crate) fn seal(&self, why: DropReason) {
        let mut state = self.state();
        if !state.sealed {
            state.sealed = true;
            let waiting = state.backlog.clear();
            state.ledger.drop_waiting(why, waiting);
            state.ledger.end_in_flight(why);
        }
    }
}

/// The memory that events pin: their own, and each context once where consecutive events share it.
pub(crate) fn weigh(events: &[Event]) -> usize {
    let mut before: Option<&Arc<SharedFields>> = None;
    let mut sum = 0;
    for event in events {
        sum += size_of::<Event>() + event.spilled_bytes();
        if let Some(context) = event.context()
            && !before.is_some_and(|before| Arc::ptr_eq(before, context))
        {
            sum += context.bytes();
            before = Some(context);
        }
    }
    sum
}
