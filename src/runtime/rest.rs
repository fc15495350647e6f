//! The flush task: an idle logger sleeps without an interval, until the next event or request.

use std::mem;

use super::LoggerCore;

/// After so many ticks with nothing to do, one after the other, the interval is disarmed.
const EMPTY_TICKS: u32 = 10;

/// Whether the flush task rests, and what leads to it.
#[derive(Default)]
pub(super) struct Rest {
    empty_ticks: u32,
    /// The events dispatched at the last tick.
    dispatched: u64,
    is_active: bool,
}

impl Rest {
    /// Returns whether the interval is disarmed: the next event raises the signal.
    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Called at each tick. Begins a rest if nothing happened for a while; returns whether it did.
    pub(super) fn begin_if_idle(&mut self, core: &LoggerCore) -> bool {
        let (dispatched, queued) = {
            let dispatcher = core.dispatcher();
            (dispatcher.dispatched(), dispatcher.queued())
        };
        let is_idle = dispatched == mem::replace(&mut self.dispatched, dispatched) && queued == 0;
        self.empty_ticks = if is_idle && !core.has_pending_events() { self.empty_ticks + 1 } else { 0 };
        self.is_active = self.empty_ticks >= EMPTY_TICKS && core.queue.rest();
        self.is_active
    }

    /// Ends the rest; returns whether there was one.
    pub(super) fn end(&mut self, core: &LoggerCore) -> bool {
        self.empty_ticks = 0;
        if self.is_active {
            core.queue.resume();
        }
        mem::take(&mut self.is_active)
    }
}
