//! Anywhere (pure): the events of one sink whose callers wait for their end.
//!
//! Invariants:
//! * Each ends once, together with the counter that it moves to, or when the disk has it.
//! * Those that no rule ends stay until the counters are sealed: their callers' time runs out, which fails closed.

use std::ops::Range;
use std::sync::Arc;

use super::ledger::Outcome;
use crate::event::{Batch, EventId};
use crate::queue::{Confirmation, Ticket, TicketEnd};
use crate::stats::DropReason;

pub(super) struct AwaitedEvents {
    /// The number of the sink.
    sink: usize,
    /// By destination: what it has delivered is confirmed.
    is_confirming: Box<[bool]>,
    /// The ids ascend.
    events: Vec<AwaitedEvent>,
    /// Tickets to be woken where nothing is locked.
    changed: Vec<Arc<Ticket>>,
    /// How many appends to the spool have begun, and the last one that is not running any more.
    appends: u64,
    ended_appends: u64,
    /// The last append that a synchronization was begun after.
    synced_appends: u64,
}

struct AwaitedEvent {
    id: EventId,
    ticket: Arc<Ticket>,
    /// The append that it is a part of; the store has it once that has ended.
    append: Option<u64>,
    is_appended: bool,
    /// A destination has it that confirms nothing, while the store may get it.
    is_delivered: bool,
    /// It waited in memory as the counters were sealed.
    is_lost: bool,
}

/// The next state of an awaited event.
enum Fate {
    Waits,
    Confirmed(Confirmation),
    Failed(TicketEnd),
}

impl AwaitedEvents {
    pub(super) fn new(sink: usize, is_confirming: Box<[bool]>) -> Self {
        let (events, changed) = (Vec::new(), Vec::new());
        AwaitedEvents { sink, is_confirming, events, changed, appends: 0, ended_appends: 0, synced_appends: 0 }
    }

    /// Whether what the sink and its fallbacks have delivered is confirmed.
    pub(super) fn is_all_confirming(&self) -> bool {
        self.is_confirming.iter().all(|is_confirming| *is_confirming)
    }

    /// Adds events that are enqueued.
    pub(super) fn add(&mut self, tickets: Vec<(EventId, Arc<Ticket>)>) {
        let events = tickets.into_iter().map(|(id, ticket)| AwaitedEvent {
            id,
            ticket,
            append: None,
            is_appended: false,
            is_delivered: false,
            is_lost: false,
        });
        self.events.extend(events);
    }

    /// Takes the tickets whose callers are to be woken, with nothing locked.
    pub(super) fn take_changed(&mut self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut self.changed)
    }

    /// Those that a batch may have: its ids ascend too.
    fn range_of(&self, batch: &Batch) -> Range<usize> {
        let id = |index: usize| batch.get(index).map(|record| record.id());
        let (Some(first), Some(last)) = (id(0), batch.len().checked_sub(1).and_then(id)) else { return 0..0 };
        let start = self.events.partition_point(|event| event.id < first);
        start..start + self.events[start..].partition_point(|event| event.id <= last)
    }

    /// Returns which of a batch's events are awaited.
    pub(super) fn indices_in(&self, batch: &Batch) -> impl Iterator<Item = usize> {
        self.events[self.range_of(batch)].iter().filter_map(|event| batch.index_of(event.id))
    }

    fn decide(&mut self, range: Range<usize>, mut fate: impl FnMut(&mut AwaitedEvent) -> Fate) {
        let sink = self.sink;
        let ended = self.events.extract_if(range, |event| {
            match fate(event) {
                Fate::Waits => return false,
                Fate::Confirmed(how) => event.ticket.confirm(sink, how),
                Fate::Failed(end) => event.ticket.fail(end),
            }
            true
        });
        self.changed.extend(ended.map(|event| event.ticket));
    }

    /// Ends those among events that a counter is moved for.
    pub(super) fn settle(&mut self, batch: &Batch, outcome: Outcome) {
        if self.events.is_empty() {
            return;
        }
        let sink = self.sink;
        let is_confirming = match outcome {
            Outcome::Delivered(destination) => self.is_confirming[destination],
            Outcome::Dropped(_) | Outcome::Unconfirmed => false,
        };
        self.decide(self.range_of(batch), |event| match outcome {
            _ if batch.index_of(event.id).is_none() => Fate::Waits,
            Outcome::Delivered(_) if is_confirming => Fate::Confirmed(Confirmation::Delivered),
            Outcome::Delivered(_) if event.append.is_some() => {
                event.is_delivered = true;
                Fate::Waits
            }
            Outcome::Delivered(_) | Outcome::Unconfirmed => Fate::Failed(TicketEnd::Unconfirmed(sink)),
            Outcome::Dropped(reason) => Fate::Failed(TicketEnd::Dropped(sink, reason)),
        });
    }

    /// Ends all: the counters are sealed, with these batches in memory. What may be on the disk is not known to be dropped.
    pub(super) fn end<'a>(&mut self, waiting: impl Iterator<Item = &'a Batch>, reason: DropReason) {
        for batch in waiting {
            let range = self.range_of(batch);
            for event in &mut self.events[range] {
                event.is_lost |= event.append.is_none() && batch.index_of(event.id).is_some();
            }
        }
        let sink = self.sink;
        self.decide(0..self.events.len(), |event| {
            Fate::Failed(if event.is_lost { TicketEnd::Dropped(sink, reason) } else { TicketEnd::Unconfirmed(sink) })
        });
    }
}

/// The way to the disk.
impl AwaitedEvents {
    /// Records that an append of these batches begins.
    pub(super) fn begin_append(&mut self, batches: &[Batch]) {
        self.appends += 1;
        for batch in batches {
            let range = self.range_of(batch);
            for event in &mut self.events[range] {
                if batch.index_of(event.id).is_some() {
                    event.append = Some(self.appends);
                }
            }
        }
    }

    /// Records that a late append has this batch too, which the sink task has already: it ends as what only the memory has.
    pub(super) fn leave_append(&mut self, batch: &Batch) {
        let range = self.range_of(batch);
        for event in &mut self.events[range] {
            if batch.index_of(event.id).is_some() {
                event.append = None;
            }
        }
    }

    /// Records that the append has ended, and whether the store has its events.
    pub(super) fn end_append(&mut self, is_appended: bool) {
        let (sink, append) = (self.sink, self.appends);
        self.ended_appends = append;
        self.decide(0..self.events.len(), |event| match event.append == Some(append) {
            true if is_appended => {
                event.is_appended = true;
                Fate::Waits
            }
            true if event.is_delivered => Fate::Failed(TicketEnd::Unconfirmed(sink)),
            true => {
                event.append = None;
                Fate::Waits
            }
            false => Fate::Waits,
        });
    }

    /// Whether callers wait for the disk, and a synchronization that begins now can help: what is appended is not synchronized,
    /// or an append is running that no synchronization comes after.
    pub(super) fn needs_sync(&self) -> bool {
        self.events.iter().any(|event| event.is_appended || event.append > Some(self.synced_appends))
    }

    /// The appends that a synchronization covers which begins now: those that have ended.
    pub(super) fn ended_appends(&self) -> u64 {
        self.ended_appends
    }

    /// Begins a synchronization that the store gets after all appends so far; returns those that it covers.
    pub(super) fn begin_sync(&mut self) -> u64 {
        self.synced_appends = self.appends;
        self.appends
    }

    /// Confirms what these appends have appended: the disk has it.
    pub(super) fn end_sync(&mut self, appends: u64) {
        self.decide(0..self.events.len(), |event| match event.is_appended && event.append <= Some(appends) {
            true => Fate::Confirmed(Confirmation::Synced),
            false => Fate::Waits,
        });
    }
}
