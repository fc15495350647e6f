//! A sink task: its next action, taken from the state that the flush task and callers change.

use tokio::time::{Instant, sleep_until};

use super::backlog::Entry;
use super::notice::{Audience, Notice};
use super::station::{Barrier, State, Station};
use crate::event::Batch;

const EVERYBODY: [Audience; 2] = [Audience::Sink, Audience::Fallback];
const THE_FALLBACK: [Audience; 1] = [Audience::Fallback];

/// The next action of the sink task.
pub(super) enum Step {
    Write(Taken),
    Tell(Box<Notice>),
    Flush(Barrier),
    Reopen(u64),
    Close,
}

/// The next action of the fallback while a call of the sink is still running.
pub(super) enum Around {
    Write(Taken),
    Tell(Box<Notice>),
}

/// A batch taken from the backlog; its memory is charged until it is released.
pub(super) struct Taken {
    pub(super) batch: Batch,
    charge: usize,
}

impl Station {
    /// Waits for the next action. Cancel-safe.
    pub(super) async fn next(&self) -> Step {
        loop {
            if let Some(step) = self.take_step() {
                return step;
            }
            self.something_to_do(&EVERYBODY).await;
        }
    }

    /// Waits for the next batch or notice for the fallback, whatever else there is to do. Cancel-safe.
    pub(super) async fn next_around(&self) -> Around {
        loop {
            if let Some(around) = self.take_around() {
                return around;
            }
            self.something_to_do(&THE_FALLBACK).await;
        }
    }

    /// Waits for a wake-up, or until a notice to one of these audiences is due.
    async fn something_to_do(&self, audiences: &[Audience]) {
        let notice_due = self.notice_due(audiences);
        tokio::select! {
            () = self.work.notified() => {}
            () = until(notice_due) => {}
        }
    }

    fn take_around(&self) -> Option<Around> {
        let mut state = self.state();
        if state.sealed {
            return None;
        }
        match self.take_notice(&mut state, &THE_FALLBACK, false) {
            Some(notice) => Some(Around::Tell(notice)),
            None => state.take_batch().map(Around::Write),
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
            && front.is_none_or(|front| front > barrier.position())
        {
            state.barriers.pop_front();
            return Some(Step::Flush(barrier));
        }
        // While the sink closes, one last notice covers all losses: a notice that hangs must not cost two timeouts.
        if !state.closing
            && let Some(notice) = self.take_notice(&mut state, &EVERYBODY, false)
        {
            return Some(Step::Tell(notice));
        }
        if let Some(taken) = state.take_batch() {
            return Some(Step::Write(taken));
        }
        if !state.closing || state.closed {
            return None;
        }
        // Losses not reported yet go into one last notice before the close, however recent the last notice is.
        let last = self.take_notice(&mut state, &[Audience::Sink], true);
        Some(last.map_or(Step::Close, Step::Tell))
    }

    /// The last notice for the fallback's readers, once the sink itself has closed.
    pub(super) fn last_notice(&self) -> Option<Box<Notice>> {
        let mut state = self.state();
        if state.sealed { None } else { self.take_notice(&mut state, &THE_FALLBACK, true) }
    }

    /// Releases the batch's memory.
    pub(super) fn release(&self, taken: &Taken) {
        self.state().backlog.release(taken.charge);
        self.config.house.bells.room.notify_one();
    }
}

impl State {
    fn take_batch(&mut self) -> Option<Taken> {
        if self.sealed {
            return None;
        }
        let Entry { batch, charge, .. } = self.backlog.pop()?;
        self.ledger.begin(batch.len() as u64);
        Some(Taken { batch, charge })
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
