//! Anywhere (pure): how many events a request may have: by its options, and by what the destination has accepted.

use crate::event::{Batch, Record};
use crate::sink::Batching;

/// After a request that was accepted at the learned size, the size grows by this fraction.
const GROWTH: usize = 16;

/// The size of the requests to one destination.
pub(super) struct RequestSize {
    /// `None`: a request is a dispatched batch.
    limit: Option<Batching>,
    /// The largest body that the destination accepts, since it refused one as too large.
    learned: Option<usize>,
    /// The size of an encoded event, of the last body.
    event_bytes: usize,
}

impl RequestSize {
    pub(super) fn new(limit: Option<Batching>) -> Self {
        RequestSize { limit, learned: None, event_bytes: 0 }
    }

    fn body_limit(&self) -> usize {
        self.learned.unwrap_or(usize::MAX).min(self.limit.map_or(usize::MAX, |limit| limit.bytes))
    }

    /// Gives memory back that no body of this size needs.
    pub(super) fn trim(&self, body: &mut Vec<u8>) {
        let limit = self.body_limit();
        if body.capacity() / 2 > limit {
            body.shrink_to(limit);
        }
    }

    /// Returns how many events of the batch to encode first.
    pub(super) fn first_try(&self, batch: &Batch) -> usize {
        let events = self.limit.map_or(usize::MAX, |limit| limit.events);
        let estimated = self.body_limit().checked_div(self.event_bytes).unwrap_or(usize::MAX);
        let most = batch.len().min(events).min(estimated).max(1);
        if self.body_limit() == usize::MAX {
            return most;
        }
        // Contexts and enrichments are in memory once, and in a body for each event.
        let mut bytes = 0;
        let fits = |record: &Record<'_>| {
            bytes += record.shared_bytes();
            bytes <= self.body_limit()
        };
        batch.iter().take(most).take_while(fits).count().max(1)
    }

    /// Records a body of so many events. If it is too large, returns how many events to encode instead.
    pub(super) fn record(&mut self, events: usize, bytes: usize) -> Option<usize> {
        self.event_bytes = bytes.div_ceil(events.max(1));
        let limit = self.body_limit();
        let fitting = (events as u128 * limit as u128 / bytes.max(1) as u128) as usize;
        (bytes > limit && events > 1).then(|| fitting.clamp(1, events - 1))
    }

    /// Records that the destination refused a body as too large.
    pub(super) fn refused(&mut self, bytes: usize) {
        if bytes > 0 {
            self.learned = Some((bytes / 2).max(1));
        }
    }

    /// Records that the destination accepted a body: one of nearly the learned size makes that grow.
    pub(super) fn accepted(&mut self, bytes: usize) {
        let most = self.limit.map_or(usize::MAX, |limit| limit.bytes);
        if let Some(learned) = self.learned
            && bytes >= learned - learned / 4
        {
            self.learned = Some(learned + (learned / GROWTH).max(1)).filter(|learned| *learned < most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};
    use std::time::Duration;

    fn size(events: usize, bytes: usize) -> RequestSize {
        RequestSize::new(Some(Batching::new(events, bytes, Duration::ZERO)))
    }

    fn batch(events: usize) -> Batch {
        (0..events).map(|_| Event::new(Level::Info, "t", "m")).collect()
    }

    #[test]
    fn a_request_is_cut_by_events_and_by_the_bytes_of_its_body() {
        let mut size = size(100, 1000);
        assert_eq!((size.first_try(&batch(50)), size.first_try(&batch(500))), (50, 100));
        // Of 20 bytes each: half of them fit.
        assert_eq!(size.record(100, 2000), Some(50));
        assert_eq!(size.record(50, 1000), None);
        assert_eq!(size.first_try(&batch(500)), 50);
        assert_eq!((size.record(2, 100_000), size.record(1, 50_000)), (Some(1), None), "one event always fits");
        assert_eq!(size.first_try(&batch(500)), 1);
    }

    #[test]
    fn a_refused_size_is_halved_remembered_and_grows_slowly() {
        let mut size = size(100, 1000);
        size.refused(800);
        assert_eq!(size.record(100, 800), Some(50));
        assert_eq!(size.record(50, 400), None);
        size.accepted(100);
        assert_eq!(size.record(51, 401), Some(50), "a small body shows nothing");
        size.accepted(400);
        assert_eq!((size.record(51, 425), size.record(52, 426)), (None, Some(51)));
        for _ in 0..20 {
            size.accepted(1000);
        }
        assert_eq!((size.record(100, 1000), size.record(100, 1001)), (None, Some(99)), "up to the option's");
    }

    #[test]
    fn without_options_a_request_is_what_was_dispatched() {
        let mut size = RequestSize::new(None);
        assert_eq!((size.first_try(&batch(70_000)), size.record(70_000, 0)), (70_000, None));
        assert_eq!(size.first_try(&batch(3)), 3);
    }
}
