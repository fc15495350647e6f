//! The flush task: takes events out of the queue's lanes, merges them into batches, and hands each batch to every sink.
//!
//! In: `runtime` locks the [`Dispatcher`] and calls `begin`, then `dispatch` once per batch, with a callback that
//! takes a chunk out of a lane of `queue`. Before a drain it evaluates the [`Enrichers`]. `discard_all` runs on the thread
//! that ends the logger.
//!
//! Out: each batch, with the logger's enrichment, goes into the backlog of every sink of `pipeline`. The bytes of its
//! spilled events go back to the queue's account.
//!
//! Invariants:
//! * An event that left its lane is held by the dispatcher (buffered, or in the batch that waits for room) or
//!   dispatched.
//! * A batch goes to every sink at once, under the dispatcher's lock, so that a snapshot sees it at all of them or at
//!   none.
//! * The order of events within a lane never changes.
//! * After `end` is set, no batch is dispatched.
//!
//! Next: `pipeline` delivers the batch, one task per sink.
//!
//! The size of batches and the merge of the lanes are decided in `batcher`; fields whose values are computed at
//! dispatch are in `enrich`.

mod batcher;
mod enrich;

use std::sync::Arc;

use batcher::{Assembly, Batcher};
pub(crate) use batcher::{NO_WATERMARK, watermark_now};
pub(crate) use enrich::{Enricher, Enrichers};

use crate::event::{self, Batch, EventId};
use crate::pipeline::{Leftovers, SinkHandle, Wanted, pinned_bytes};
use crate::queue::{Chunk, Queue, Ticket, TicketEnd};
use crate::stats::{DropReason, ShutdownReport};

pub(crate) struct Dispatcher {
    batcher: Batcher,
    /// A batch that waits until every sink that must not lose one has room.
    blocked: Option<BlockedBatch>,
    /// What each sink wants of the batch that is dispatched; empty between two.
    wanted: Vec<Wanted>,
    dispatched: u64,
    /// Of the first event that is dispatched.
    first_id: EventId,
    enrichment: Option<Arc<event::SharedFields>>,
    /// Set when the counters are closed: the report.
    pub(crate) end: Option<Arc<ShutdownReport>>,
}

struct BlockedBatch {
    batch: Batch,
    charge: usize,
    spilled: usize,
    /// By the indices of their events.
    tickets: Vec<(usize, Arc<Ticket>)>,
}

/// What a dispatch leaves to [`announce`]: contexts that events had in the queue, to be dropped, and tickets of callers to be
/// woken.
#[derive(Default)]
pub(crate) struct Departed {
    contexts: Vec<Arc<event::SharedFields>>,
    tickets: Vec<Arc<Ticket>>,
}

/// The result of one step of a drain.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Dispatched {
    /// A batch of this many events was dispatched; there may be more.
    Batch(usize),
    /// No event is left to dispatch.
    Nothing,
    /// A batch waits for room at a sink.
    Blocked,
}

/// Wakes the sink tasks and the waiting callers after a dispatch, with nothing locked: wakers are foreign code.
pub(crate) fn announce(queue: &Queue, sinks: &[Arc<SinkHandle>], departed: &mut Departed) {
    sinks.iter().for_each(|sink| sink.announce());
    departed.contexts.clear();
    departed.tickets.drain(..).for_each(|ticket| ticket.wake());
    queue.tell_waiters();
}

/// Gives a ticket the essential sinks that get its event, and each of those sinks the ticket.
fn route_ticket(batch: &Batch, index: usize, ticket: &Arc<Ticket>, sinks: &[Arc<SinkHandle>], wanted: &mut [Wanted]) {
    let Some(id) = batch.get(index).map(|record| record.id()) else { return };
    let (mut pending, both) = (Vec::new(), sinks.iter().zip(wanted).enumerate());
    for (number, (_, wanted)) in both.filter(|(_, (sink, _))| sink.is_essential()) {
        if wanted.add_ticket(id, ticket) {
            pending.push(number);
        }
    }
    ticket.set_routed(id, pending);
}

impl Dispatcher {
    pub(crate) fn new(
        lanes: usize,
        batch_events: usize,
        batch_bytes: usize,
        enrichment: Option<Arc<event::SharedFields>>,
        first_id: EventId,
    ) -> Self {
        let batcher = Batcher::new(lanes, batch_events, batch_bytes);
        Dispatcher { batcher, blocked: None, wanted: Vec::new(), dispatched: 0, first_id, enrichment, end: None }
    }

    /// Sets the fields that events dispatched from here on carry besides their own.
    pub(crate) fn set_enrichment(&mut self, enrichment: Option<Arc<event::SharedFields>>) {
        self.enrichment = enrichment;
    }

    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched
    }

    /// Returns how many events left their lane and are not dispatched.
    pub(crate) fn queued(&self) -> u64 {
        (self.batcher.buffered() + self.blocked.as_ref().map_or(0, |blocked| blocked.batch.len())) as u64
    }

    /// Returns whether the clock held an event back that is ahead of it still: it waits for the next drain, whenever
    /// that is, and so does what is behind it.
    pub(crate) fn is_ahead_of_clock(&self) -> bool {
        self.batcher.is_ahead_of(watermark_now())
    }

    /// Starts a drain; `goals`: positions of the lanes before which every event is dispatched in it.
    pub(crate) fn begin(&mut self, goals: Option<&[u64]>) {
        self.batcher.begin(goals);
    }

    /// Dispatches one batch, if there is one and the sinks have room for it. The contexts that its events had in the queue
    /// are added to `departed`: dropping one may wake who waits for its bytes. Once the dispatcher is unlocked, `announce` is to
    /// follow.
    pub(crate) fn dispatch(
        &mut self,
        queue: &Queue,
        sinks: &[Arc<SinkHandle>],
        watermark: u64,
        refill: impl FnMut(usize, &mut Chunk),
        departed: &mut Departed,
    ) -> Dispatched {
        if self.end.is_some() {
            // The sinks' counters are closed.
            return Dispatched::Nothing;
        }
        if self.blocked.is_none() {
            let Assembly { events, spilled, .. } = self.batcher.next_batch(watermark, refill);
            if events.is_empty() {
                return Dispatched::Nothing;
            }
            let spilled = *spilled;
            let mut tickets = Vec::new();
            for (index, event) in events.iter_mut().enumerate() {
                let Some(context) = event.leave_queue() else { continue };
                if let Some(ticket) = Ticket::of(&context) {
                    ticket.set_dequeued();
                    tickets.push((index, ticket.clone()));
                }
                departed.contexts.push(context);
            }
            let charge = pinned_bytes(events);
            let batch =
                Batch::new(events.drain(..).collect(), self.enrichment.clone(), self.first_id.plus(self.dispatched));
            self.blocked = Some(BlockedBatch { batch, charge, spilled, tickets });
        }
        let Some(blocked) = self.blocked.take() else { return Dispatched::Nothing };
        let BlockedBatch { batch, charge, spilled, .. } = &blocked;
        let (charge, spilled) = (*charge, *spilled);
        // Each time anew: a filter may have been replaced while the batch was blocked.
        self.wanted.extend(sinks.iter().map(|sink| sink.select(batch, charge)));
        if !sinks.iter().zip(&self.wanted).all(|(sink, wanted)| sink.has_room(wanted)) {
            self.wanted.clear();
            self.blocked = Some(blocked);
            return Dispatched::Blocked;
        }
        let BlockedBatch { batch, tickets, .. } = blocked;
        for (index, ticket) in tickets {
            route_ticket(&batch, index, &ticket, sinks, &mut self.wanted);
            departed.tickets.push(ticket);
        }
        for (sink, wanted) in sinks.iter().zip(self.wanted.drain(..)) {
            sink.enqueue(wanted);
        }
        self.dispatched += batch.len() as u64;
        queue.release(spilled);
        Dispatched::Batch(batch.len())
    }

    /// Discards the events held here and those in the lanes, which are closed. Each counts as dispatched, and as
    /// dropped at every sink.
    pub(crate) fn discard_all(
        &mut self,
        queue: &Queue,
        sinks: &[Arc<SinkHandle>],
        reason: DropReason,
        leftovers: &mut Leftovers,
    ) {
        if let Some(BlockedBatch { batch, spilled, charge, tickets }) = self.blocked.take() {
            tickets.iter().for_each(|(_, ticket)| ticket.fail(TicketEnd::Evicted(reason)));
            tickets.into_iter().for_each(|(_, ticket)| leftovers.add_ticket(ticket));
            sinks.iter().for_each(|sink| sink.drop_undispatched(batch.iter().map(|record| record.event()), reason));
            self.dispatched += batch.len() as u64;
            queue.release(spilled);
            leftovers.add(batch, charge);
        }
        loop {
            self.batcher.begin(None);
            let Assembly { events, spilled, bytes } =
                self.batcher.next_batch(NO_WATERMARK, |lane, chunk| queue.take(lane, u64::MAX, chunk));
            if events.is_empty() {
                break;
            }
            sinks.iter().for_each(|sink| sink.drop_undispatched(events.iter(), reason));
            for ticket in events.iter().filter_map(|event| Ticket::of(event.context()?)) {
                ticket.fail(TicketEnd::Evicted(reason));
            }
            self.dispatched += events.len() as u64;
            queue.release(*spilled);
            leftovers.add(events.drain(..).collect(), *bytes);
        }
    }
}
