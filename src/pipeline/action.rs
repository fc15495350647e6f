//! A sink task: its next action, taken from the state that the flush task and callers change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, sleep_until};

use super::backlog::TakenBatch;
use super::handle::SinkHandle;
use super::notice::{Audience, Notice};
use super::state::{Barrier, Reopen, SinkState};
use crate::event::Batch;

const ALL_AUDIENCES: [Audience; 2] = [Audience::Sink, Audience::Fallback];
const FALLBACK_ONLY: [Audience; 1] = [Audience::Fallback];

/// The next action of the sink task.
pub(super) enum Action {
    Write(InFlightBatch),
    Notify(Box<Notice>),
    Flush(Arc<Barrier>),
    Reopen(Arc<Reopen>),
    Close,
}

/// The next action of the fallbacks while a call of the sink is still running.
pub(super) enum FallbackAction {
    Write(InFlightBatch),
    Notify(Box<Notice>),
}

/// A batch taken from the backlog, or a part of it.
#[derive(Clone)]
pub(super) struct InFlightBatch {
    pub(super) batch: Batch,
    /// None for what no account has.
    pub(super) charge: Option<Arc<Charge>>,
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
            if let Some(action) = self.poll_action() {
                return action;
            }
            self.wait_for_work(&ALL_AUDIENCES).await;
        }
    }

    /// Waits for the next batch or notice for the fallbacks, whatever else there is to do. Cancel-safe.
    pub(super) async fn next_fallback_action(self: &Arc<Self>) -> FallbackAction {
        loop {
            if let Some(action) = self.poll_fallback_action() {
                return action;
            }
            self.wait_for_work(&FALLBACK_ONLY).await;
        }
    }

    /// Waits for a wake-up, or until a notice to one of these audiences is due.
    async fn wait_for_work(&self, audiences: &[Audience]) {
        let due = [self.notice_due(audiences), self.request_due()].into_iter().flatten().min();
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
        match self.take_notice(&mut state, &FALLBACK_ONLY, false) {
            Some(notice) => Some(FallbackAction::Notify(notice)),
            None => self.take_batch(&mut state).map(FallbackAction::Write),
        }
    }

    fn poll_action(self: &Arc<Self>) -> Option<Action> {
        let mut state = self.state();
        if state.is_sealed {
            return None;
        }
        if let Some(request) = state.reopen.take() {
            return Some(Action::Reopen(request));
        }
        let front = state.backlog.front();
        let is_reached = |barrier: &Arc<Barrier>| front.is_none_or(|front| front > barrier.offset());
        if state.barriers.front().is_some_and(is_reached) {
            return state.barriers.pop_front().map(Action::Flush);
        }
        // While the sink closes, one last notice covers all losses: a notice that hangs must not cost two timeouts.
        if !state.is_closing
            && let Some(notice) = self.take_notice(&mut state, &ALL_AUDIENCES, false)
        {
            return Some(Action::Notify(notice));
        }
        if let Some(taken) = self.take_batch(&mut state) {
            return Some(Action::Write(taken));
        }
        if !state.is_closing || state.closed.is_some() {
            return None;
        }
        // Losses not reported yet go into one last notice before the close, however recent the last notice is.
        let last = self.take_notice(&mut state, &[Audience::Sink], true);
        Some(last.map_or(Action::Close, Action::Notify))
    }

    /// When the next request is due, if it waits for more events.
    fn request_due(&self) -> Option<Instant> {
        let state = self.state();
        if state.is_sealed { None } else { state.backlog.due(Instant::now()) }
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

    fn take_batch(self: &Arc<Self>, state: &mut SinkState) -> Option<InFlightBatch> {
        let now = Instant::now();
        if !state.must_not_linger() && state.backlog.due(now)? > now {
            return None;
        }
        let upto = state.barriers.front().map_or(u64::MAX, |barrier| barrier.offset());
        let TakenBatch { batch, charge } = state.backlog.take(upto)?;
        state.ledger.start(batch.len() as u64);
        let charge = Charge { handle: self.clone(), bytes: charge, is_late: AtomicBool::new(false) };
        Some(InFlightBatch { batch, charge: Some(Arc::new(charge)) })
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
