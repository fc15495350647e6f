//! A sink task: its next action, taken from the state that the flush task and callers change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, sleep_until};

use super::backlog::{BacklogQueue, TakenBatch, WaitingBatch};
use super::handle::SinkHandle;
use super::notice::{Audience, Notice};
use super::state::{Barrier, Reopen, SinkState};
use crate::event::Batch;

const ALL_AUDIENCES: [Audience; 2] = [Audience::Sink, Audience::Fallback];
const FALLBACK_ONLY: [Audience; 1] = [Audience::Fallback];

/// The next action of the sink task.
pub(super) enum Action {
    Write(InFlightBatch),
    /// For the fallbacks: the spool has no room for it.
    Overflow(InFlightBatch),
    Notify(Box<Notice>),
    Flush(Arc<Barrier>),
    Reopen(Arc<Reopen>),
    Close,
    /// The other task of the pipeline has failed.
    Stop,
}

/// The next action of the fallbacks while a call of the sink is still running.
pub(super) enum FallbackAction {
    Write(InFlightBatch),
    Overflow(InFlightBatch),
    Notify(Box<Notice>),
}

/// What the sink task of a spooled pipeline does while it waits to send a batch again.
pub(super) enum PauseAction {
    Overflow(InFlightBatch),
    Notify(Box<Notice>),
    Flush(Arc<Barrier>),
}

/// A batch taken from the backlog, or a part of it.
#[derive(Clone)]
pub(super) struct InFlightBatch {
    pub(super) batch: Batch,
    /// None for what no account has.
    pub(super) charge: Option<Arc<Charge>>,
    pub(super) source: BatchSource,
}

/// Where the events of a batch are beside the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum BatchSource {
    /// Nowhere.
    #[default]
    Memory,
    /// In the spool.
    Spool,
    /// In the spool, from an earlier process.
    Recovered,
}

/// Which batches are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wants {
    All,
    /// None that the spool has.
    Unspooled,
}

impl BatchSource {
    pub(super) fn is_spooled(self) -> bool {
        self != BatchSource::Memory
    }
}

/// The memory of a batch that was taken from the backlog. Everything that keeps the batch keeps this too, a late call
/// included; the last one gives the memory back.
pub(super) struct Charge {
    handle: Arc<SinkHandle>,
    bytes: usize,
    /// A late call keeps it.
    is_late: AtomicBool,
}

impl Charge {
    /// Records that a late call keeps the batch: for how long, the pipeline cannot tell.
    pub(super) fn set_late(&self) {
        if !self.is_late.swap(true, Ordering::Relaxed) {
            self.handle.state().backlog.add_late(self.bytes);
            self.handle.config.env.notifiers.sink_ready.notify_one();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.handle.state().backlog.release(self.bytes, *self.is_late.get_mut());
        self.handle.config.env.notifiers.sink_ready.notify_one();
    }
}

impl SinkHandle {
    /// Waits for the next action. Cancel-safe.
    pub(super) async fn next_action(self: &Arc<Self>) -> Action {
        loop {
            if self.has_failed() {
                return Action::Stop;
            }
            if let Some(action) = self.poll_action() {
                return action;
            }
            let audiences = self.audiences(&ALL_AUDIENCES);
            self.wait_for_work(audiences, self.request_due(Wants::All)).await;
        }
    }

    /// Waits for the next batch or notice for the fallbacks, whatever else there is to do. Cancel-safe.
    pub(super) async fn next_fallback_action(self: &Arc<Self>) -> FallbackAction {
        loop {
            if let Some(action) = self.poll_fallback_action() {
                return action;
            }
            self.wait_for_work(&FALLBACK_ONLY, self.request_due(Wants::Unspooled)).await;
        }
    }

    /// Who of these can get a notice: while the sink closes, one last notice covers all losses.
    fn audiences<'a>(&self, audiences: &'a [Audience]) -> &'a [Audience] {
        if self.state().is_closing { &[] } else { audiences }
    }

    /// Waits for a wake-up, or until a request or a notice to one of these audiences is due.
    async fn wait_for_work(&self, audiences: &[Audience], request_due: Option<Instant>) {
        let due = [self.notice_due(audiences), request_due].into_iter().flatten().min();
        tokio::select! {
            () = self.wake.notified() => {}
            () = until(due) => {}
        }
    }

    fn poll_fallback_action(self: &Arc<Self>) -> Option<FallbackAction> {
        let mut state = self.state();
        if state.is_sealed {
            return None;
        }
        if let Some(notice) = self.take_notice(&mut state, &FALLBACK_ONLY, false) {
            return Some(FallbackAction::Notify(notice));
        }
        let overflow = self.take_overflow(&mut state).map(FallbackAction::Overflow);
        overflow.or_else(|| self.take_batch(&mut state, Wants::Unspooled).map(FallbackAction::Write))
    }

    /// Waits for the next action of a pipeline with a spool that can be performed between two attempts to deliver a batch;
    /// never returns without a spool. Cancel-safe.
    pub(super) async fn next_pause_action(self: &Arc<Self>) -> PauseAction {
        if self.config.spool.is_none() {
            return std::future::pending().await;
        }
        loop {
            if let Some(action) = self.poll_pause_action() {
                return action;
            }
            let audiences = self.audiences(&FALLBACK_ONLY);
            self.wait_for_work(audiences, None).await;
        }
    }

    fn poll_pause_action(self: &Arc<Self>) -> Option<PauseAction> {
        let mut state = self.state();
        if state.is_sealed {
            return None;
        }
        if let Some(barrier) = state.take_reached_barrier() {
            return Some(PauseAction::Flush(barrier));
        }
        if !state.is_closing
            && let Some(notice) = self.take_notice(&mut state, &FALLBACK_ONLY, false)
        {
            return Some(PauseAction::Notify(notice));
        }
        self.take_overflow(&mut state).map(PauseAction::Overflow)
    }

    fn poll_action(self: &Arc<Self>) -> Option<Action> {
        let mut state = self.state();
        if state.is_sealed {
            return None;
        }
        if let Some(request) = state.reopen.take() {
            return Some(Action::Reopen(request));
        }
        if let Some(barrier) = state.take_reached_barrier() {
            return Some(Action::Flush(barrier));
        }
        // While the sink closes, one last notice covers all losses: a notice that hangs must not cost two timeouts.
        if !state.is_closing
            && let Some(notice) = self.take_notice(&mut state, &ALL_AUDIENCES, false)
        {
            return Some(Action::Notify(notice));
        }
        if let Some(taken) = self.take_overflow(&mut state) {
            return Some(Action::Overflow(taken));
        }
        if let Some(taken) = self.take_batch(&mut state, Wants::All) {
            return Some(Action::Write(taken));
        }
        let is_spool_done = state.spool.as_ref().is_none_or(|spool| spool.is_done() && state.backlog.events() == 0);
        if !state.is_closing || state.closed.is_some() || !is_spool_done {
            return None;
        }
        // Losses not reported yet go into one last notice before the close, however recent the last notice is.
        let last = self.take_notice(&mut state, &[Audience::Sink], true);
        Some(last.map_or(Action::Close, Action::Notify))
    }

    /// When the next request is due, if it waits for more events.
    fn request_due(&self, wants: Wants) -> Option<Instant> {
        let state = self.state();
        let due = |backlog: &BacklogQueue, now| match &state.spool {
            Some(spool) => spool.due(backlog, wants, now),
            None => backlog.due(now),
        };
        if state.is_sealed { None } else { due(&state.backlog, Instant::now()) }
    }

    /// Whether a reopen is requested and has not begun.
    pub(super) fn has_reopen(&self) -> bool {
        self.state().reopen.is_some()
    }

    /// Takes the reopen that is requested, if one is.
    pub(super) fn take_reopen(&self) -> Option<Arc<Reopen>> {
        let mut state = self.state();
        if state.is_sealed { None } else { state.reopen.take() }
    }

    /// The last notice for the fallback's readers, once the sink itself has closed.
    pub(super) fn last_notice(&self) -> Option<Box<Notice>> {
        let mut state = self.state();
        if state.is_sealed { None } else { self.take_notice(&mut state, &FALLBACK_ONLY, true) }
    }

    /// Takes what is due for one request.
    fn take_batch(self: &Arc<Self>, state: &mut SinkState, wants: Wants) -> Option<InFlightBatch> {
        let (now, at_once) = (Instant::now(), state.must_not_linger());
        if let Some(spool) = &mut state.spool {
            if spool.due(&state.backlog, wants, now).is_none_or(|due| due > now && !at_once) {
                return None;
            }
            let taken = spool.take(&state.backlog, wants)?;
            if !taken.source.is_spooled() {
                state.ledger.start(taken.batch.len() as u64);
            }
            // What comes next may have to be read.
            self.spool_wake.notify_one();
            return Some(self.in_flight(taken.batch, taken.charge, taken.source));
        }
        if !at_once && state.backlog.due(now)? > now {
            return None;
        }
        let upto = state.barriers.front().map_or(u64::MAX, |barrier| barrier.offset());
        let TakenBatch { batch, charge } = state.backlog.take(upto)?;
        state.ledger.start(batch.len() as u64);
        Some(self.in_flight(batch, charge, BatchSource::Memory))
    }

    /// Takes what the spool has no room for, for the fallbacks.
    fn take_overflow(self: &Arc<Self>, state: &mut SinkState) -> Option<InFlightBatch> {
        let spool = state.spool.as_mut().filter(|_| self.has_fallback())?;
        let WaitingBatch { batch, charge, .. } = spool.take_overflow(&mut state.backlog)?;
        state.ledger.start(batch.len() as u64);
        Some(self.in_flight(batch, charge, BatchSource::Memory))
    }

    fn in_flight(self: &Arc<Self>, batch: Batch, charge: usize, source: BatchSource) -> InFlightBatch {
        let charge = Charge { handle: self.clone(), bytes: charge, is_late: AtomicBool::new(false) };
        InFlightBatch { batch, charge: Some(Arc::new(charge)), source }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
