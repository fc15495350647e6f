//! On the flush task: when a temporary filter's time is over.

use tokio::time::Instant;

use crate::filter::FilterCell;

/// The time of the temporary filter that is in force, by the clock of the logger's runtime.
#[derive(Default)]
pub(super) struct FilterOverride {
    generation: u64,
    until: Option<Instant>,
}

impl FilterOverride {
    /// Begins the time of a filter that is new, and puts the permanent one back when it is over.
    pub(super) fn expire_if_due(&mut self, filter: &FilterCell, now: Instant) {
        let Some((generation, time)) = filter.lease() else {
            self.until = None;
            return;
        };
        if generation != self.generation {
            // A time beyond what the clock can say has no end.
            *self = FilterOverride { generation, until: now.checked_add(time) };
        }
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            filter.restore(generation);
        }
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}
