//! Anywhere (pure): the batches that wait for one sink, bounded by the memory they pin.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{Batch, Context, Event};

/// What a pipeline does when its sink's account is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backlog {
    /// The oldest waiting batches are dropped (`backlog_full`): a slow or dead sink costs only itself.
    #[default]
    DropOldest,
    /// The flush task stops draining until this sink has room. The queue then fills, and its overflow policy decides:
    /// with [`Overflow::Block`](crate::Overflow::Block) or [`emit_wait`](crate::Logger::emit_wait) the chain is lossless
    /// from end to end, and a stalled sink stalls the others and the callers. Isolation is given up on purpose.
    Wait,
}

/// Memory that events pin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weight {
    /// Everything: the events, what they have on the heap, their contexts.
    pub(crate) bytes: usize,
    /// The contexts alone. They stay charged to the queue's account while a sink pins them, so each sink has a limit of
    /// its own for them: a hung one must not use up what the callers need for new contexts.
    pub(crate) contexts: usize,
}

impl Weight {
    /// A context counts once where events in a row share it.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut sum = Weight::default();
        let mut before: Option<&Arc<Context>> = None;
        for event in events {
            sum.bytes += size_of::<Event>() + event.spilled_bytes();
            if let Some(context) = event.context()
                && !before.is_some_and(|before| Arc::ptr_eq(before, context))
            {
                sum.bytes += context.bytes();
                sum.contexts += context.bytes();
                before = Some(context);
            }
        }
        sum
    }

    pub(crate) fn plus(self, other: Weight) -> Self {
        Weight { bytes: self.bytes + other.bytes, contexts: self.contexts + other.contexts }
    }

    fn minus(self, other: Weight) -> Self {
        Weight { bytes: self.bytes - other.bytes, contexts: self.contexts - other.contexts }
    }

    pub(crate) fn fits(self, limit: Weight) -> bool {
        self.bytes <= limit.bytes && self.contexts <= limit.contexts
    }
}

/// A batch that waits.
pub(super) struct Entry {
    pub(super) batch: Batch,
    /// The memory it pins.
    pub(super) charge: Weight,
    /// The sink's routed count after this batch: the position a flush goes by.
    pub(super) upto: u64,
}

/// Waiting batches, oldest first, and the account they are charged to. The batch being written stays charged.
pub(super) struct BacklogQueue {
    entries: VecDeque<Entry>,
    events: u64,
    pinned: Weight,
    limit: Weight,
}

impl BacklogQueue {
    pub(super) fn new(limit: Weight) -> Self {
        BacklogQueue { entries: VecDeque::new(), events: 0, pinned: Weight::default(), limit }
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn pinned_bytes(&self) -> usize {
        self.pinned.bytes
    }

    pub(super) fn has_room(&self, charge: Weight) -> bool {
        self.pinned.plus(charge).fits(self.limit)
    }

    /// Adds a batch and drops the oldest until it fits; the new one itself if the batch being written leaves no room.
    /// Returns how many events were dropped.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        let mut dropped = 0;
        while !self.has_room(entry.charge) {
            match self.entries.pop_front() {
                Some(oldest) => {
                    dropped += oldest.batch.len() as u64;
                    self.events -= oldest.batch.len() as u64;
                    self.pinned = self.pinned.minus(oldest.charge);
                }
                None => return dropped + entry.batch.len() as u64,
            }
        }
        self.pinned = self.pinned.plus(entry.charge);
        self.events += entry.batch.len() as u64;
        self.entries.push_back(entry);
        dropped
    }

    /// Takes the oldest batch to be written. It stays charged until [`BacklogQueue::release`].
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.events -= entry.batch.len() as u64;
        Some(entry)
    }

    /// The batch taken last is no longer pinned.
    pub(super) fn release(&mut self, charge: Weight) {
        self.pinned = self.pinned.minus(charge);
        // What a burst grew is given back once it has passed.
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries.shrink_to(16);
        }
    }

    /// Where the oldest waiting batch ends.
    pub(super) fn front(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.upto)
    }

    /// Events waiting in batches that end at or before `position`.
    pub(super) fn before(&self, position: u64) -> u64 {
        let before = self.entries.iter().take_while(|entry| entry.upto <= position);
        before.map(|entry| entry.batch.len() as u64).sum()
    }

    /// Drops everything that waits; returns how many events.
    pub(super) fn clear(&mut self) -> u64 {
        self.pinned = self.entries.drain(..).fold(self.pinned, |pinned, entry| pinned.minus(entry.charge));
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};

    fn entry(events: usize, charge: usize) -> Entry {
        let batch = (0..events).map(|_| Event::dynamic(Level::Info, "t", "m")).collect();
        Entry { batch, charge: weight(charge), upto: 0 }
    }

    fn weight(bytes: usize) -> Weight {
        Weight { bytes, contexts: bytes / 2 }
    }

    #[test]
    fn a_full_backlog_drops_its_oldest_batches_and_counts_their_events() {
        let mut backlog = BacklogQueue::new(weight(100));
        assert_eq!(backlog.push(entry(1, 40)) + backlog.push(entry(2, 40)), 0);
        assert_eq!(backlog.push(entry(3, 70)), 3, "both older batches make room");
        assert_eq!((backlog.events(), backlog.pinned_bytes()), (3, 70));
    }

    #[test]
    fn a_batch_being_written_is_never_dropped_and_stays_charged() {
        let mut backlog = BacklogQueue::new(weight(100));
        assert_eq!(backlog.push(entry(1, 80)), 0);
        let writing = backlog.pop().expect("one waits");
        assert_eq!(backlog.push(entry(5, 40)), 5, "the new batch itself is dropped");
        backlog.release(writing.charge);
        assert_eq!(backlog.push(entry(5, 40)), 0);
        assert_eq!((backlog.events(), backlog.pinned_bytes()), (5, 40));
    }
}
