//! The flush task hands batches out over it; whoever ends the books clears it.
//!
//! Invariants:
//! * An event that left its lane is at the desk (staged, or in the batch that waits for room) or dispatched.
//! * A batch goes to every sink at once, under the desk's lock, so that a snapshot sees it at all of them or at none.

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
    /// A batch that waits until every sink that is never to lose one has room.
    blocked: Option<BlockedBatch>,
    dispatched: u64,
    enrichment: Option<Arc<event::SharedFields>>,
    /// The end of the books, and the reason that what comes later is dropped for.
    pub(crate) end: Option<(Arc<ShutdownReport>, DropReason)>,
}

struct BlockedBatch {
    batch: Batch,
    charge: usize,
    spilled: usize,
}

/// What one step of a drain came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Dispatched {
    /// A batch of this many events was handed out; there may be more.
    Batch(usize),
    /// Nothing is left to hand out.
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

    /// What events handed out from here on carry besides their own.
    pub(crate) fn set_enrichment(&mut self, enrichment: Option<Arc<event::SharedFields>>) {
        self.enrichment = enrichment;
    }

    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched
    }

    /// Events that left their lane and are not dispatched.
    pub(crate) fn queued(&self) -> u64 {
        (self.batcher.buffered() + self.blocked.as_ref().map_or(0, |blocked| blocked.batch.len())) as u64
    }

    pub(crate) fn begin(&mut self) {
        self.batcher.begin();
    }

    /// Hands one batch out, if there is one and there is room.
    pub(crate) fn dispatch(
        &mut self,
        queue: &Queue,
        sinks: &[Arc<Station>],
        watermark: u64,
        refill: impl FnMut(usize, &mut Vec<Event>) -> usize,
    ) -> Dispatched {
        if self.end.is_some() {
            // The sinks' books are closed: what comes now is for whoever reads the statistics to settle.
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

    /// Ends the intake book, whose lanes are closed: what is here or in the lanes counts as dispatched, and dropped at
    /// every sink. Returns whether the lanes are empty for good: a caller may stand between its permit and its event.
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
