//! The flush task: what one sink wants of a batch.

use std::sync::Arc;

use super::backlog::{BATCH_BYTES, pinned_bytes};
use super::handle::SinkHandle;
use crate::event::{Batch, EventId};
use crate::queue::Ticket;

/// If a sink wants less than this fraction of a batch, it gets copies: a view would pin all the rest.
const MIN_VIEW_FRACTION: usize = 4;

/// What a sink wants of a batch.
pub(crate) struct Wanted {
    pub(super) batch: Batch,
    /// What it pins, beside the enrichment.
    pub(super) charge: usize,
    pub(super) filtered: u64,
    /// Of those whose callers wait for this sink.
    pub(super) tickets: Vec<(EventId, Arc<Ticket>)>,
}

impl Wanted {
    fn new(batch: Batch, charge: usize, filtered: u64) -> Self {
        Wanted { batch, charge, filtered, tickets: Vec::new() }
    }

    /// Adds the ticket of an event, if it is wanted; returns whether it is.
    pub(crate) fn add_ticket(&mut self, id: EventId, ticket: &Arc<Ticket>) -> bool {
        let is_wanted = self.batch.index_of(id).is_some();
        if is_wanted {
            self.tickets.push((id, ticket.clone()));
        }
        is_wanted
    }
}

impl SinkHandle {
    /// Selects what this sink wants of a batch; `charge` is what the whole batch pins.
    pub(crate) fn select(&self, batch: &Batch, charge: usize) -> Wanted {
        let Some(picked) = self.filter.pick(batch) else {
            return Wanted::new(batch.clone(), charge + BATCH_BYTES, 0);
        };
        let filtered = (batch.len() - picked.len()) as u64;
        let index_bytes = size_of_val(&*picked);
        let view = batch.pick(&picked);
        if view.len() * MIN_VIEW_FRACTION >= batch.len() {
            return Wanted::new(view, charge + index_bytes + BATCH_BYTES, filtered);
        }
        let copies = view.copied();
        let charge = pinned_bytes(copies.events()) + index_bytes + BATCH_BYTES;
        Wanted::new(copies, charge, filtered)
    }
}
