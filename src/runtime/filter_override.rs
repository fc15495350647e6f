//! The flush task: ends a temporary filter when its time is over.

use tokio::time::Instant;

use crate::filter::FilterCell;

/// The deadline of the temporary filter in force, by the clock of the logger's runtime.
#[derive(Default)]
pub(super) struct FilterOverride {
    generation: u64,
    until: Option<Instant>,
}

impl FilterOverride {
    /// Starts the time of a new temporary filter, and restores the permanent one when that time is over.
    pub(super) fn expire_if_due(&mut self, filter: &FilterCell, now: Instant) {
        let Some((generation, time)) = filter.active_override() else {
            self.until = None;
            return;
        };
        if generation != self.generation {
            // A deadline beyond the clock's range never passes.
            *self = FilterOverride { generation, until: now.checked_add(time) };
        }
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            filter.restore(generation);
        }
    }

    /// Returns when to check again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}
