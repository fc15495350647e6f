//! Any thread, once: the end of one sink's counters.

use std::mem;
use std::time::SystemTime;

use futures::FutureExt;

use super::handle::SinkHandle;
use super::ledger::SinkLosses;
use super::state::Leftovers;
use crate::context::contain::contain;
use crate::stats::labels::SinkErrorKind;
use crate::stats::{DropReason, LastError};

impl SinkHandle {
    /// Records that the sink task has ended before the sink was closed: nothing waits for it any more.
    pub(crate) fn fail(&self, reason: DropReason) {
        let mut leftovers = Leftovers::default();
        let message = "the task of the sink has stopped".to_owned();
        let error = LastError { kind: SinkErrorKind::Panic, message, at: SystemTime::now() };
        let mut state = self.state();
        if state.closed.is_none() && !state.is_sealed {
            state.failed = Some(reason);
            state.end_events(reason, &mut leftovers);
            state.close(Err(error.clone()));
            if let Some(request) = state.reopen.take() {
                request.done.get_or_init(|| Err(error));
            }
        }
        drop(state);
        leftovers.wake();
        // The other task of the pipeline ends too.
        self.wake.notify_one();
        self.spool_wake.notify_one();
        self.config.env.notifiers.sink_ready.notify_one();
        self.config.env.notifiers.notify_progress();
    }

    /// Seals the counters. Waiting events are dropped for this reason. So are events in flight, unless they may have
    /// arrived: those are unconfirmed.
    pub(crate) fn seal(&self, why: DropReason, leftovers: &mut Leftovers) {
        let mut state = self.state();
        if mem::replace(&mut state.is_sealed, true) {
            return;
        }
        if !state.ledger.has_only_spooled_in_flight() || !state.awaited.is_all_confirming() {
            state.spool.iter_mut().for_each(|spool| spool.clear_safe());
        }
        state.end_events(why, leftovers);
        let is_closed = state.closed.is_some();
        let progress = state.spool.as_ref().map(|spool| spool.progress());
        drop(state);
        // What is settled is not to be delivered again by the next process.
        if let (Some(spool), Some(progress)) = (&self.config.spool, progress) {
            contain(|| spool.store.advance(progress)).unwrap_or_default();
            if !is_closed {
                // Its task may still be in a call of the sink. This begins the end of the spool, whose result no caller awaits.
                contain(|| drop(spool.store.close().now_or_never())).unwrap_or_default();
            }
        }
    }

    /// Whether the end costs it no event: it is closed, or was busy with a request while its spool had everything. Its losses are
    /// those since `before`.
    pub(crate) fn has_ended_safely(&self, before: &SinkLosses) -> bool {
        let state = self.state();
        let is_safe = state.spool.as_ref().is_some_and(|spool| spool.is_safe());
        (state.closed.is_some() || is_safe) && state.ledger.losses() == before.0
    }

    pub(crate) fn losses(&self) -> SinkLosses {
        SinkLosses(self.state().ledger.losses())
    }
}
