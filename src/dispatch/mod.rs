//! The flush task: takes events out of the queue's lanes, merges them into batches, and hands each batch to every sink.
//!
//! In: `runtime` locks the [`Dispatcher`] and calls `begin`, then `dispatch` once per batch, with a callback that
//! drains a lane of `queue`. Before a drain it evaluates the [`Enrichers`]. `discard_all` runs on the thread that ends
//! the logger, or that takes a snapshot after the end.
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
//! * After `end` is set, no batch is dispatched: later events are discarded and counted.
//!
//! Next: `pipeline` delivers the batch, one task per sink.
//!
//! The size of batches and the merge of the lanes are decided in `batcher`; fields whose values are computed at
//! dispatch are in `enrich`.

mod batcher;
mod enrich;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use batcher::Batcher;
pub(crate) use batcher::{NO_WATERMARK, watermark_now};
pub(crate) use enrich::{Enricher, Enrichers};

use crate::event::{self, Batch, Event};
use crate::pipeline::{Station, weigh};
use crate::queue::Queue;
use crate::stats::{DropReason, ShutdownReport};

pub(crate) struct Dispatcher {
    batcher: Batcher,
    /// A batch that waits until every sink that must not lose one has room.
    blocked: Option<BlockedBatch>,
    dispatched: u64,
    enrichment: Option<Arc<event::SharedFields>>,
    /// Set when the counters are closed: the report, and the reason for dropping later events.
    pub(crate) end: Option<(Arc<ShutdownReport>, DropReason)>,
}

struct BlockedBatch {
    batch: Batch,
    charge: usize,
    spilled: usize,
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

impl Dispatcher {
    pub(crate) fn new(
        lanes: usize,
        batch_events: usize,
        batch_bytes: usize,
        enrichment: Option<Arc<event::SharedFields>>,
    ) -> Self {
        let batcher = Batcher::new(lanes, batch_events, batch_bytes);
        Dispatcher { batcher, blocked: None, dispatched: 0, enrichment, end: None }
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

    pub(crate) fn begin(&mut self) {
        self.batcher.begin();
    }

    /// Dispatches one batch, if there is one and the sinks have room for it.
    pub(crate) fn dispatch(
        &mut self,
        queue: &Queue,
        sinks: &[Arc<Station>],
        watermark: u64,
        refill: impl FnMut(usize, &mut Vec<Event>) -> usize,
    ) -> Dispatched {
        if self.end.is_some() {
            // The sinks' counters are closed: the next snapshot settles later events.
            return Dispatched::Nothing;
        }
        if self.blocked.is_none() {
            let events = self.batcher.next_batch(watermark, refill);
            if events.is_empty() {
                return Dispatched::Nothing;
            }
            events.iter_mut().for_each(Event::leave_queue);
            let spilled = events.iter().map(Event::spilled_bytes).sum();
            let charge = weigh(events);
            let batch = Batch::new(events.drain(..).collect(), self.enrichment.clone());
            self.blocked = Some(BlockedBatch { batch, charge, spilled });
        }
        let has_room = |blocked: &mut BlockedBatch| sinks.iter().all(|sink| sink.has_room(blocked.charge));
        let Some(BlockedBatch { batch, charge, spilled }) = self.blocked.take_if(has_room) else {
            return Dispatched::Blocked;
        };
        for sink in sinks {
            sink.hand_over(&batch, charge);
        }
        self.dispatched += batch.len() as u64;
        queue.account().release(spilled);
        Dispatched::Batch(batch.len())
    }

    /// Discards the events held here and those in the lanes, which are closed. Each counts as dispatched, and as
    /// dropped at every sink. Returns whether the lanes are empty for good: a caller may be between its permit and its
    /// event.
    pub(crate) fn discard_all(&mut self, queue: &Queue, sinks: &[Arc<Station>], reason: DropReason) -> bool {
        let blocked = self.blocked.take();
        let waiting = blocked.iter().flat_map(|blocked| blocked.batch.iter());
        let mut spilled = 0;
        let mut drop_one = |event: &Event, spilled: &mut usize| {
            sinks.iter().for_each(|sink| sink.drop_undispatched(event, reason));
            *spilled += event.spilled_bytes();
            self.dispatched += 1;
        };
        waiting.for_each(|record| drop_one(record.event(), &mut spilled));
        let mut is_empty = true;
        loop {
            self.batcher.begin();
            let events = self.batcher.next_batch(NO_WATERMARK, |lane, into| {
                match queue.poll_drain_closed(lane, &mut Context::from_waker(Waker::noop()), into) {
                    Poll::Ready(taken) => taken,
                    Poll::Pending => {
                        is_empty = false;
                        0
                    }
                }
            });
            if events.is_empty() {
                break;
            }
            events.drain(..).for_each(|event| drop_one(&event, &mut spilled));
        }
        queue.account().release(spilled);
        is_empty
    }
}
