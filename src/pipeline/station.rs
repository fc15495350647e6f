//! Between the flush task, which hands batches out, and one sink task, which delivers them; the closing caller reads.
//!
//! Invariants:
//! * Counts move between accounts under one lock, once per batch, together with the events they count.
//! * A sealed station books nothing more: its numbers are in a report.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::backlog::{Backlog, BacklogQueue, Entry};
use super::ledger::{From, Ledger, last_error};
use crate::clock;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::event::{Batch, Context, Event, LevelFilter};
use crate::metrics::SinkMeters;
use crate::sink::{ErrorKind, SinkError};
use crate::stats::{DropReason, LastError, SinkFlush, SinkReport};

/// A sink that wants less than this part of a batch gets copies: a view would pin all the rest.
const COPY_BELOW: usize = 4;
/// Flush barriers kept apart; more concurrent flushes than this share the last one.
const BARRIERS: usize = 64;

/// Wakes those who wait for a sink: the flush task for room, callers for a flush or the end.
#[derive(Default)]
pub(crate) struct Bells {
    pub(crate) room: Notify,
    pub(crate) progress: Notify,
}

pub(crate) struct StationConfig {
    pub(crate) name: String,
    pub(crate) level: LevelFilter,
    pub(crate) timeout: Duration,
    pub(crate) when_full: Backlog,
    pub(crate) limit: usize,
    pub(crate) meters: SinkMeters,
    pub(crate) bells: Arc<Bells>,
    pub(crate) diagnostics: Arc<Diagnostics>,
}

/// One sink's backlog and book.
pub(crate) struct Station {
    config: StationConfig,
    // A std lock: held to move counts and one entry, never across an await.
    state: Mutex<State>,
    /// The sink task's; there is one, so a permit kept is never another's.
    work: Notify,
}

struct State {
    backlog: BacklogQueue,
    ledger: Ledger,
    /// Where the sink is to be flushed, in the order of their tickets and positions.
    barriers: VecDeque<Barrier>,
    /// The last ticket given out, and the last one whose flush was answered.
    barrier_ticket: u64,
    flushed: u64,
    flush_error: Option<LastError>,
    /// The last ticket given out for a reopen, and that of the reopen that is asked for and has not begun.
    reopen_ticket: u64,
    reopen: Option<u64>,
    reopened: u64,
    reopen_error: Option<LastError>,
    closing: bool,
    closed: bool,
    sealed: bool,
}

/// A place in a sink's stream of events, behind which the sink is to be flushed.
#[derive(Clone, Copy)]
pub(crate) struct Barrier {
    ticket: u64,
    /// The sink's routed count here.
    position: u64,
}

/// What the sink task does next.
pub(super) enum Step {
    Write(Attempt),
    Flush(Barrier),
    Reopen(u64),
    Close,
}

/// A batch that is being written.
pub(super) struct Attempt {
    pub(super) batch: Batch,
    charge: usize,
}

/// How a write ended, for the events of its batch.
pub(super) enum Outcome {
    Delivered,
    Failed(SinkError),
}

impl Station {
    pub(crate) fn new(config: StationConfig) -> Self {
        let state = State {
            backlog: BacklogQueue::new(config.limit),
            ledger: Ledger::new(),
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
        };
        Station { config, state: Mutex::new(state), work: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
    /// Whether the flush task may hand out a batch that pins this much.
    pub(crate) fn has_room(&self, charge: usize) -> bool {
        self.config.when_full != Backlog::Wait || self.state().backlog.has_room(charge)
    }

    /// Takes in what this sink wants of a batch. `charge` is what the whole batch pins.
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
            drop(state);
            self.work.notify_one();
        }
    }

    fn select(&self, batch: &Batch, charge: usize) -> (Batch, usize) {
        let level = self.config.level;
        if level == LevelFilter::Trace {
            return (batch.clone(), charge);
        }
        let wanted = batch.iter().enumerate().filter(|(_, record)| level.allows(record.level()));
        let picked: Arc<[u32]> = wanted.map(|(index, _)| index as u32).collect();
        if picked.len() == batch.len() {
            return (batch.clone(), charge);
        }
        let view = batch.pick(picked);
        if view.len() * COPY_BELOW >= batch.len() {
            return (view, charge);
        }
        let copies: Arc<[Event]> = view.iter().map(|record| record.event().clone()).collect();
        let charge = weigh(&copies);
        (Batch::new(copies, batch.enrichment().cloned()), charge)
    }

    /// Books an event that reaches no pipeline any more, as dropped for this reason.
    pub(crate) fn drop_undispatched(&self, event: &Event, reason: DropReason) {
        let mut state = self.state();
        if self.config.level.allows(event.level()) {
            state.ledger.route(1, 0);
            state.ledger.drop_waiting(reason, 1);
        } else {
            state.ledger.route(0, 1);
        }
    }

    /// Sets a barrier behind all that was handed over.
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
            // The flush for the new barrier answers the one it takes the place of.
            state.barriers.pop_back();
        }
        state.barriers.push_back(barrier);
        drop(state);
        self.work.notify_one();
        barrier
    }

    /// Asks for a reopen; returns its ticket.
    pub(crate) fn ask_reopen(&self) -> u64 {
        let mut state = self.state();
        // Not that of a reopen under way: it may have looked at the destination before the caller changed it.
        state.reopen_ticket += 1;
        let ticket = state.reopen_ticket;
        state.reopen = Some(ticket);
        state.reopen_error = None;
        drop(state);
        self.work.notify_one();
        ticket
    }

    /// Nothing more will be handed over: deliver, then close.
    pub(crate) fn begin_close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }
}

/// The sink task's side.
impl Station {
    /// What to do next. Cancel-safe.
    pub(super) async fn next(&self) -> Step {
        loop {
            if let Some(step) = self.take_step() {
                return step;
            }
            self.work.notified().await;
        }
    }

    fn take_step(&self) -> Option<Step> {
        let mut state = self.state();
        if state.sealed {
            return None;
        }
        if let Some(ticket) = state.reopen.take() {
            return Some(Step::Reopen(ticket));
        }
        let front = state.backlog.front();
        if let Some(&barrier) = state.barriers.front()
            && front.is_none_or(|front| front > barrier.position)
        {
            state.barriers.pop_front();
            return Some(Step::Flush(barrier));
        }
        if let Some(Entry { batch, charge, .. }) = state.backlog.pop() {
            state.ledger.begin(batch.len() as u64);
            return Some(Step::Write(Attempt { batch, charge }));
        }
        (state.closing && !state.closed).then_some(Step::Close)
    }

    /// The write was given up: its events are unconfirmed until a late answer, if there can be one.
    pub(super) fn give_up(&self, attempt: &Attempt) {
        let error = self.timeout_error("write");
        self.book(|state| {
            state.ledger.give_up(attempt.batch.len() as u64);
            Some(error)
        });
    }

    /// The answer to a write, in time or late.
    pub(super) fn settle(&self, attempt: &Attempt, outcome: Outcome, from: From, took: Duration, bytes: u64) {
        let events = attempt.batch.len();
        self.config.meters.write_seconds.record(took.as_secs_f64());
        if let (Outcome::Delivered, Some(oldest)) = (&outcome, attempt.batch.get(0)) {
            let lag = clock::now_nanos().saturating_sub(oldest.timestamp_nanos());
            self.config.meters.delivery_lag.record(Duration::from_nanos(lag).as_secs_f64());
        }
        self.book(|state| {
            state.ledger.set_bytes(bytes);
            state.ledger.add_latency(took);
            match outcome {
                Outcome::Delivered => {
                    state.ledger.deliver(from, events as u64);
                    state.ledger.succeed();
                    None
                }
                Outcome::Failed(error) => {
                    let delivered = error.delivered_count().min(events);
                    state.ledger.deliver(from, delivered as u64);
                    state.ledger.drop_attempted(from, reason(error.kind()), (events - delivered) as u64);
                    Some(error)
                }
            }
        });
    }

    /// The batch of this attempt is no longer pinned.
    pub(super) fn release(&self, attempt: &Attempt) {
        let mut state = self.state();
        state.backlog.release(attempt.charge);
        drop(state);
        self.config.bells.room.notify_one();
    }

    pub(super) fn flushed(&self, barrier: Barrier, result: Result<(), SinkError>) {
        self.book(|state| {
            state.flushed = barrier.ticket;
            let error = result.err();
            state.flush_error = error.as_ref().map(|error| last_error(error, SystemTime::now()));
            error
        });
        self.config.bells.progress.notify_waiters();
    }

    pub(super) fn reopened(&self, ticket: u64, result: Result<(), SinkError>) {
        self.book(|state| {
            state.reopened = ticket;
            let error = result.err();
            state.reopen_error = error.as_ref().map(|error| last_error(error, SystemTime::now()));
            error
        });
        self.config.bells.progress.notify_waiters();
    }

    pub(super) fn closed(&self, result: Result<(), SinkError>, bytes: u64) {
        self.book(|state| {
            state.closed = true;
            state.ledger.set_bytes(bytes);
            let error = result.err();
            // A close flushes: flushes that it answers, and later ones, have its error.
            state.flush_error = error.as_ref().map(|error| last_error(error, SystemTime::now()));
            error
        });
        self.config.bells.progress.notify_waiters();
    }

    pub(super) fn timeout_error(&self, call: &str) -> SinkError {
        let waited = self.config.timeout;
        SinkError::new(ErrorKind::Timeout, format!("no answer to `{call}` within {waited:?}").into())
    }

    /// Changes the book, unless it is sealed, and passes an error on: to the book, and if it is news to diagnostics.
    fn book(&self, change: impl FnOnce(&mut State) -> Option<SinkError>) {
        let mut state = self.state();
        if state.sealed {
            return;
        }
        let Some(error) = change(&mut state) else { return };
        let is_news = state.ledger.fail(&error, SystemTime::now());
        drop(state);
        if is_news {
            let sink = self.config.name.clone();
            self.config.diagnostics.report(Diagnostic::SinkFailed { sink, error: Arc::new(error) });
        }
    }
}

/// Why the events of a failed write are dropped.
fn reason(kind: ErrorKind) -> DropReason {
    match kind {
        ErrorKind::Temporary | ErrorKind::Timeout => DropReason::RetriesExhausted,
        ErrorKind::Rejected => DropReason::Rejected,
        ErrorKind::Permanent => DropReason::SinkFailed,
        ErrorKind::Panic => DropReason::Panicked,
    }
}

/// The side of those who read or end the book.
impl Station {
    pub(crate) fn report(&self) -> SinkReport {
        let state = self.state();
        state.ledger.report(&self.config.name, &state.backlog)
    }

    pub(crate) fn reset_latency(&self) {
        self.state().ledger.reset_latency();
    }

    /// Whether the barrier was reached and the sink's flush (or close) behind it answered.
    pub(crate) fn is_flushed(&self, barrier: Barrier) -> bool {
        let state = self.state();
        state.flushed >= barrier.ticket || state.closed
    }

    /// How far a flush came. Without a barrier it never came to this sink, unless that was closed in good order before.
    pub(crate) fn flush_report(&self, barrier: Option<Barrier>) -> SinkFlush {
        let state = self.state();
        let is_answered = state.closed || barrier.is_some_and(|barrier| state.flushed >= barrier.ticket);
        let waiting = state.backlog.before(barrier.map_or(u64::MAX, |barrier| barrier.position));
        SinkFlush {
            name: self.config.name.clone(),
            flushed: is_answered && state.flush_error.is_none(),
            pending: if is_answered { 0 } else { waiting + state.ledger.in_flight() },
            error: state.flush_error.clone(),
        }
    }

    /// The answer to a reopen: `None` while there is none.
    pub(crate) fn reopen_answer(&self, ticket: u64) -> Option<Result<(), LastError>> {
        let state = self.state();
        (state.reopened >= ticket).then(|| state.reopen_error.clone().map_or(Ok(()), Err))
    }

    /// Ends the book: what waits is dropped for this reason, what is being written is unconfirmed.
    pub(crate) fn seal(&self, why: DropReason) {
        let mut state = self.state();
        if !state.sealed {
            state.sealed = true;
            let waiting = state.backlog.clear();
            state.ledger.drop_waiting(why, waiting);
            let writing = state.ledger.in_flight();
            state.ledger.give_up(writing);
        }
    }
}

/// The memory that events pin: their own, and each context once where events in a row share it.
pub(crate) fn weigh(events: &[Event]) -> usize {
    let mut before: Option<&Arc<Context>> = None;
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
