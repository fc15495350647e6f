//! Anywhere (pure): the events of one sink whose callers wait for their end.
//!
//! Invariants:
//! * Each ends once, together with the counter that it moves to, or when the disk has it.
//! * Those that no rule ends stay until the counters are sealed: their callers' time runs out, which fails closed.

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
}

struct AwaitedEvent {
    id: EventId,
    ticket: Arc<Ticket>,
    /// The append that it is a part of; the store has it once that has ended.
    append: Option<u64>,
    is_appended: bool,
    /// A destination has it that confirms nothing, while the store may get it.
    is_delivered: bool,
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
        AwaitedEvents { sink, is_confirming, events, changed, appends: 0, ended_appends: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether what the sink itself has delivered is confirmed.
    pub(super) fn is_confirming(&self) -> bool {
        self.is_confirming.first() == Some(&true)
    }

    /// Adds events that are enqueued.
    pub(super) fn add(&mut self, tickets: Vec<(EventId, Arc<Ticket>)>) {
        let events = tickets.into_iter().map(|(id, ticket)| AwaitedEvent {
            id,
            ticket,
            append: None,
            is_appended: false,
            is_delivered: false,
        });
        self.events.extend(events);
    }

    /// Takes the tickets whose callers are to be woken, with nothing locked.
    pub(super) fn take_changed(&mut self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut self.changed)
    }

    /// Returns which of a batch's events are awaited.
    pub(super) fn indices_in(&self, batch: &Batch) -> impl Iterator<Item = usize> {
        self.events.iter().filter_map(|event| batch.index_of(event.id))
    }

    fn decide(&mut self, mut fate: impl FnMut(&mut AwaitedEvent) -> Fate) {
        let (sink, changed) = (self.sink, &mut self.changed);
        self.events.retain_mut(|event| {
            match fate(event) {
                Fate::Waits => return true,
                Fate::Confirmed(how) => event.ticket.confirm(sink, how),
                Fate::Failed(end) => event.ticket.fail(end),
            }
            changed.push(event.ticket.clone());
            false
        });
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
        self.decide(|event| match outcome {
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
    pub(super) fn end<'a>(&mut self, waiting: impl Iterator<Item = &'a Batch> + Clone, reason: DropReason) {
        let sink = self.sink;
        self.decide(|event| {
            let is_dropped = event.append.is_none() && waiting.clone().any(|batch| batch.index_of(event.id).is_some());
            Fate::Failed(if is_dropped { TicketEnd::Dropped(sink, reason) } else { TicketEnd::Unconfirmed(sink) })
        });
    }
}

/// The way to the disk.
impl AwaitedEvents {
    /// Records that an append of these batches begins.
    pub(super) fn begin_append(&mut self, batches: &[Batch]) {
        self.appends += 1;
        for event in &mut self.events {
            if batches.iter().any(|batch| batch.index_of(event.id).is_some()) {
                event.append = Some(self.appends);
            }
        }
    }

    /// Records that the append has ended, and whether the store has its events.
    pub(super) fn end_append(&mut self, is_appended: bool) {
        let (sink, append) = (self.sink, self.appends);
        self.ended_appends = append;
        self.decide(|event| match event.append == Some(append) {
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

    /// Whether callers wait for the disk.
    pub(super) fn needs_sync(&self) -> bool {
        self.events.iter().any(|event| event.append.is_some())
    }

    /// The appends that a synchronization covers which begins now: those that have ended.
    pub(super) fn ended_appends(&self) -> u64 {
        self.ended_appends
    }

    /// The appends that a synchronization covers which the store gets after all of them.
    pub(super) fn begun_appends(&self) -> u64 {
        self.appends
    }

    /// Confirms what these appends have appended: the disk has it.
    pub(super) fn end_sync(&mut self, appends: u64) {
        self.decide(|event| match event.is_appended && event.append <= Some(appends) {
            true => Fate::Confirmed(Confirmation::Synced),
            false => Fate::Waits,
        });
    }
}
