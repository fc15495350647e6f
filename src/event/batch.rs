//! Anywhere (pure): a run of events on its way into a sink.

use std::ops::Range;
use std::sync::Arc;

use super::shared_fields::SharedFields;
use super::{Event, Record};

/// Events for one [`Sink::write`](crate::Sink::write), oldest first.
///
/// A batch is a view: the events are shared with the other sinks, cloning copies no event.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    events: Arc<[Event]>,
    /// The events that this sink wants, by index; all of them if absent.
    picked: Option<Arc<[u32]>>,
    range: Range<usize>,
    enrichment: Option<Arc<SharedFields>>,
}

impl Batch {
    pub(crate) fn new(events: Arc<[Event]>, enrichment: Option<Arc<SharedFields>>) -> Self {
        let range = 0..events.len();
        Batch { events, picked: None, range, enrichment }
    }

    /// Returns the batch with only the events at these indices, which ascend.
    pub(crate) fn pick(&self, picked: Arc<[u32]>) -> Self {
        let range = 0..picked.len();
        Batch { picked: Some(picked), range, ..self.clone() }
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Returns whether there is no event; no sink gets such a batch.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Returns the record at `index`, the oldest at 0.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let index = (index < self.len()).then(|| self.range.start + index)?;
        let index = match &self.picked {
            None => index,
            Some(picked) => *picked.get(index)? as usize,
        };
        Some(Record { event: self.events.get(index)?, enrichment: self.enrichment.as_deref() })
    }

    /// Returns the records, oldest first.
    #[expect(clippy::missing_panics_doc, reason = "every index below the length has its record")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the batch's length"))
    }

    /// Returns the same batch without its first `count` events (at most all of them).
    pub fn skip(&self, count: usize) -> Self {
        let start = self.range.start + count.min(self.len());
        Batch { range: start..self.range.end, ..self.clone() }
    }

    /// Returns the first `count` events, and the rest.
    pub(crate) fn split_at(&self, count: usize) -> (Self, Self) {
        let middle = self.range.start + count.min(self.len());
        (Batch { range: self.range.start..middle, ..self.clone() }, self.skip(count))
    }

    pub(crate) fn enrichment(&self) -> Option<&Arc<SharedFields>> {
        self.enrichment.as_ref()
    }
}

/// Makes a batch of your own, to try a [`Sink`](crate::Sink) or a [`Format`](crate::Format) with.
impl FromIterator<Event> for Batch {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        Batch::new(events.into_iter().collect(), None)
    }
}
