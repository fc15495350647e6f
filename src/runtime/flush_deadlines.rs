//! The flush task: when the pending flushes expire, on the clock of the logger's runtime.

use std::sync::Arc;

use tokio::time::Instant;

use super::FlushRequest;

/// The deadlines of the pending flushes. A flush without one is not here: it waits as long as its caller does.
#[derive(Default)]
pub(super) struct FlushDeadlines(Vec<(Arc<FlushRequest>, Instant)>);

impl FlushDeadlines {
    pub(super) fn add(&mut self, request: Arc<FlushRequest>, deadline: Instant) {
        self.0.push((request, deadline));
    }

    /// Takes in the flushes that are new and expires those whose time is over; returns whether there were any.
    pub(super) fn expire(&mut self, pending: &[Arc<FlushRequest>], now: Instant) -> bool {
        for request in pending {
            if !self.0.iter().any(|(known, _)| Arc::ptr_eq(request, known))
                && let Some(deadline) = now.checked_add(request.timeout)
            {
                self.add(request.clone(), deadline);
            }
        }
        let before = self.0.len();
        self.0.retain(|(request, deadline)| {
            let is_over = *deadline <= now;
            if is_over {
                request.expire();
            }
            !is_over
        });
        self.0.len() < before
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(_, deadline)| *deadline).min()
    }

    /// Whether a flush waits for events before it that are still in the lanes.
    pub(super) fn has_one_before_its_barriers(&self) -> bool {
        self.0.iter().any(|(request, _)| !request.has_barriers())
    }
}
