//! Anywhere (pure): a run of events on its way into a sink.
//!
//! Invariants:
//! * The range is within the parts, and so is every index that a part picked.
//! * An event has the same id in every view and every copy.

use std::ops::Range;
use std::sync::Arc;

use super::id::EventId;
use super::shared_fields::SharedFields;
use super::{Event, Record, Redactor};

/// Events for one [`Sink::write`](crate::Sink::write) or one [`Request`](crate::sink::Request), oldest first.
///
/// A batch is a view: the events are shared with the other sinks, cloning copies no event.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    parts: Parts,
    /// Of the parts' events, in their order. Small, because every waiting batch has them.
    start: u32,
    len: u32,
}

/// The dispatched batches that a batch is a view of.
#[derive(Clone, Debug)]
enum Parts {
    One(Part),
    Many(Arc<[Section]>),
}

/// A part of a batch of several.
#[derive(Debug)]
struct Section {
    part: Part,
    /// Of the part's events.
    range: Range<usize>,
    /// Where it ends among the events of all sections.
    ends_at: usize,
}

/// Events of one dispatched batch.
#[derive(Clone, Debug, Default)]
struct Part {
    events: Arc<[Event]>,
    /// The events of the view, by index; all of them if absent.
    picked: Option<Arc<[u32]>>,
    /// Which events of the dispatched batch these are; all of them if absent.
    copied: Option<Arc<[u32]>>,
    enrichment: Option<Arc<SharedFields>>,
    /// Of the first event of the dispatched batch.
    first_id: EventId,
}

impl Default for Parts {
    fn default() -> Self {
        Parts::One(Part::default())
    }
}

impl Part {
    fn get(&self, position: usize) -> Option<Record<'_>> {
        let index = match &self.picked {
            None => position,
            Some(picked) => *picked.get(position)? as usize,
        };
        let event = self.events.get(index)?;
        let number = match &self.copied {
            None => index,
            Some(copied) => *copied.get(index)? as usize,
        };
        Some(Record { event, enrichment: self.enrichment.as_ref(), id: self.first_id.plus(number as u64) })
    }

    fn pick(&self, positions: impl Iterator<Item = usize>) -> Self {
        let index = |position: usize| self.picked.as_ref().map_or(position as u32, |picked| picked[position]);
        Part { picked: Some(positions.map(index).collect()), ..self.clone() }
    }
}

impl Batch {
    pub(crate) fn new(events: Arc<[Event]>, enrichment: Option<Arc<SharedFields>>, first_id: EventId) -> Self {
        let len = events.len();
        Batch::all(Parts::One(Part { events, enrichment, first_id, ..Part::default() }), len)
    }

    /// Returns a batch that was kept outside the process; `numbers` are the distances of its ids from the first one.
    #[cfg(feature = "spool")]
    pub(crate) fn restored(
        events: Arc<[Event]>,
        numbers: Option<Arc<[u32]>>,
        enrichment: Option<Arc<SharedFields>>,
        first_id: EventId,
    ) -> Self {
        let len = events.len();
        Batch::all(Parts::One(Part { events, picked: None, copied: numbers, enrichment, first_id }), len)
    }

    /// Returns the first `len` events of these parts, which are all.
    fn all(parts: Parts, len: usize) -> Self {
        Batch { parts, start: 0, len: u32::try_from(len).expect("a batch has at most 2^16 events") }
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }

    /// Returns the events of these batches as one, in this order.
    pub(crate) fn concat(batches: Vec<Batch>) -> Self {
        let mut end = 0;
        let mut sections = Vec::with_capacity(batches.len());
        for batch in &batches {
            batch.for_each_part(|part, range| {
                end += range.len();
                sections.push(Section { part: part.clone(), range, ends_at: end });
            });
        }
        match <[Batch; 1]>::try_from(batches) {
            Ok([batch]) => batch,
            Err(_) => Batch::all(Parts::Many(sections.into()), end),
        }
    }

    /// Returns the number of events.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns whether there is no event; no sink gets such a batch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the record at `index`, the oldest at 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let position = (index < self.len()).then(|| self.start as usize + index)?;
        // What almost every batch is, for the loops over it.
        if let Parts::One(Part { events, picked: None, copied: None, enrichment, first_id }) = &self.parts {
            let (event, id) = (events.get(position)?, first_id.plus(position as u64));
            return Some(Record { event, enrichment: enrichment.as_ref(), id });
        }
        self.get_picked(position)
    }

    #[inline(never)]
    fn get_picked(&self, position: usize) -> Option<Record<'_>> {
        match &self.parts {
            Parts::One(part) => part.get(position),
            Parts::Many(sections) => {
                let section = sections.get(sections.partition_point(|section| section.ends_at <= position))?;
                section.part.get(section.range.end - (section.ends_at - position))
            }
        }
    }

    /// Returns the records, oldest first.
    #[expect(clippy::missing_panics_doc, reason = "every index below the length has its record")]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.get(index).expect("the index is below the batch's length"))
    }

    /// Returns the index of an event. The ids must ascend, as they do in what one logger has dispatched.
    pub(crate) fn index_of(&self, id: EventId) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let there = self.get(middle)?.id();
            if there == id {
                return Some(middle);
            }
            if there < id { low = middle + 1 } else { high = middle }
        }
        None
    }

    /// Returns the same batch without its first `count` events (at most all of them).
    pub fn skip(&self, count: usize) -> Self {
        self.split_at(count).1
    }

    /// Returns the first `count` events (at most all of them), and the rest.
    pub(crate) fn split_at(&self, count: usize) -> (Self, Self) {
        let first = count.min(self.len()) as u32;
        let of = |start, len| Batch { parts: self.parts.clone(), start, len };
        (of(self.start, first), of(self.start + first, self.len - first))
    }

    /// Returns the events at these indices, which ascend.
    pub(crate) fn pick(&self, indices: &[u32]) -> Self {
        let (mut parts, mut rest, mut start) = (Vec::new(), indices, 0);
        self.for_each_part(|part, range| {
            let end = start + range.len();
            let (own, later) = rest.split_at(rest.partition_point(|index| (*index as usize) < end));
            if !own.is_empty() {
                let picked = part.pick(own.iter().map(|index| range.start + *index as usize - start));
                parts.push(Batch::all(Parts::One(picked), own.len()));
            }
            (rest, start) = (later, end);
        });
        Batch::concat(parts)
    }

    /// Returns copies of the events, so that the batch keeps no others in memory.
    pub(crate) fn copied(&self) -> Self {
        let mut parts = Vec::new();
        self.for_each_part(|part, range| {
            let index = |position: usize| part.picked.as_ref().map_or(position as u32, |picked| picked[position]);
            let indices: Arc<[u32]> = range.clone().map(index).collect();
            let number = |index: &u32| part.copied.as_ref().map_or(*index, |copied| copied[*index as usize]);
            let copy = Part {
                events: indices.iter().map(|index| part.events[*index as usize].clone()).collect(),
                picked: None,
                copied: Some(indices.iter().map(number).collect()),
                ..part.clone()
            };
            parts.push(Batch::all(Parts::One(copy), range.len()));
        });
        Batch::concat(parts)
    }

    /// Returns the batch with the values masked that the redactor hides. If there are any, its events are copies.
    pub(crate) fn redacted(&self, redactor: &Redactor) -> Self {
        let mut parts = Vec::new();
        let mut is_changed = false;
        let mut last: Option<(Arc<SharedFields>, Option<Arc<SharedFields>>)> = None;
        let mut masked = |context: &Arc<SharedFields>| match &last {
            // Many events share one.
            Some((known, masked)) if Arc::ptr_eq(known, context) => masked.clone(),
            _ => last.insert((context.clone(), context.masked(redactor))).1.clone(),
        };
        self.copied().for_each_part(|part, range| {
            let mut events: Vec<Event> = part.events.to_vec();
            for event in &mut events {
                is_changed |= event.redact(redactor);
                if let Some(context) = event.context().and_then(&mut masked) {
                    event.set_context(Some(context));
                    is_changed = true;
                }
            }
            let enrichment = part.enrichment.as_ref().and_then(&mut masked);
            is_changed |= enrichment.is_some();
            let enrichment = enrichment.or_else(|| part.enrichment.clone());
            let part = Part { events: events.into(), enrichment, ..part.clone() };
            parts.push(Batch::all(Parts::One(part), range.len()));
        });
        if is_changed { Batch::concat(parts) } else { self.clone() }
    }

    /// Calls `each` with every part that has events of this batch, and which ones.
    fn for_each_part<'a>(&'a self, mut each: impl FnMut(&'a Part, Range<usize>)) {
        match &self.parts {
            Parts::One(part) => each(part, self.range()),
            Parts::Many(sections) => {
                let mut start = 0;
                for Section { part, range, ends_at } in sections.iter() {
                    let (from, to) = (self.range().start.max(start), self.range().end.min(*ends_at));
                    if from < to {
                        each(part, range.start + from - start..range.start + to - start);
                    }
                    start = *ends_at;
                }
            }
        }
    }

    /// Returns the events of a batch that was dispatched whole.
    pub(crate) fn events(&self) -> &[Event] {
        match &self.parts {
            Parts::One(part) => &part.events,
            Parts::Many(_) => &[],
        }
    }

    /// Returns what its events carry from the logger; of several dispatched batches, the first one's.
    pub(crate) fn enrichment(&self) -> Option<&Arc<SharedFields>> {
        match &self.parts {
            Parts::One(part) => part.enrichment.as_ref(),
            Parts::Many(sections) => sections.first()?.part.enrichment.as_ref(),
        }
    }
}

/// Makes a batch of your own, to try a [`Sink`](crate::Sink) or a [`Format`](crate::Format) with. Its ids have no random
/// part, and count from 0.
impl FromIterator<Event> for Batch {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        Batch::new(events.into_iter().collect(), None, EventId::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Level;

    fn batch(numbers: Range<u64>) -> Batch {
        let events = numbers.clone().map(|n| Event::new(Level::Info, "t", &n.to_string())).collect();
        Batch::new(events, None, EventId::ZERO.plus(numbers.start))
    }

    /// Its events by their message; each must have its number as its id.
    fn content(batch: &Batch) -> Vec<u64> {
        let number = |record: Record<'_>| {
            let number: u64 = record.message().to_string().parse().unwrap();
            assert_eq!(record.id().to_u128(), u128::from(number));
            number
        };
        batch.iter().map(number).collect()
    }

    #[test]
    fn a_batch_of_several_is_like_one() {
        let several = Batch::concat(vec![batch(0..3).skip(1), batch(3..4), batch(9..9), batch(10..13)]);
        assert_eq!(content(&several), [1, 2, 3, 10, 11, 12]);
        assert_eq!(content(&several.skip(2)), [3, 10, 11, 12]);
        let (first, rest) = several.split_at(4);
        assert_eq!((content(&first), content(&rest)), (vec![1, 2, 3, 10], vec![11, 12]));
        assert_eq!(content(&Batch::concat(vec![first.skip(1), rest])), [2, 3, 10, 11, 12]);
        assert!(several.get(6).is_none() && several.skip(7).is_empty());
    }

    #[test]
    fn an_event_keeps_its_id_in_views_of_views_and_in_copies() {
        let several = Batch::concat(vec![batch(0..3).skip(1), batch(3..4), batch(10..13)]).skip(1);
        let picked = several.pick(&[0, 2, 3]);
        assert_eq!(content(&picked), [2, 10, 11]);
        assert_eq!(content(&picked.pick(&[1, 2]).pick(&[1])), [11]);
        assert_eq!(content(&picked.copied().pick(&[0, 2])), [2, 11]);
        assert_eq!(content(&picked.copied().pick(&[1, 2]).copied().skip(1)), [11]);
        assert_eq!(content(&batch(5..9).pick(&[])), [0_u64; 0]);
    }
}
