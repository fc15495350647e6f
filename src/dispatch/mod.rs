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
pub(crate) use batcher::{NO_CUT, cut_now};
pub(crate) use enrich::{Enricher, Enrichers};

use crate::event::{self, Batch, Event};
use crate::pipeline::{Station, weigh};
use crate::queue::Queue;
use crate::stats::{DropReason, ShutdownReport};

pub(crate) struct Desk {
    batcher: Batcher,
    /// A batch that waits until every sink that is never to lose one has room.
    ready: Option<Ready>,
    dispatched: u64,
    enrichment: Option<Arc<event::Context>>,
    /// The end of the books, and the reason that what comes later is dropped for.
    pub(crate) end: Option<(Arc<ShutdownReport>, DropReason)>,
}

struct Ready {
    batch: Batch,
    charge: usize,
    spilled: usize,
}

/// What one step of a drain came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Progress {
    /// A batch of this many events was handed out; there may be more.
    HandedOut(usize),
    /// Nothing is left to hand out.
    Idle,
    /// A batch waits for room at a sink.
    Blocked,
}

impl Desk {
    pub(crate) fn new(
        lanes: usize,
        batch_events: usize,
        batch_bytes: usize,
        enrichment: Option<Arc<event::Context>>,
    ) -> Self {
        let batcher = Batcher::new(lanes, batch_events, batch_bytes);
        Desk { batcher, ready: None, dispatched: 0, enrichment, end: None }
    }

    /// What events handed out from here on carry besides their own.
    pub(crate) fn enrich(&mut self, enrichment: Option<Arc<event::Context>>) {
        self.enrichment = enrichment;
    }

    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched
    }

    /// Events that left their lane and are not dispatched.
    pub(crate) fn queued(&self) -> u64 {
        (self.batcher.staged() + self.ready.as_ref().map_or(0, |ready| ready.batch.len())) as u64
    }

    pub(crate) fn begin(&mut self) {
        self.batcher.begin();
    }

    /// Hands one batch out, if there is one and there is room.
    pub(crate) fn hand_out(
        &mut self,
        queue: &Queue,
        stations: &[Arc<Station>],
        cut: u64,
        refill: impl FnMut(usize, &mut Vec<Event>) -> usize,
    ) -> Progress {
        if self.end.is_some() {
            // The sinks' books are closed: what comes now is for whoever reads the statistics to settle.
            return Progress::Idle;
        }
        if self.ready.is_none() {
            let events = self.batcher.next_batch(cut, refill);
            if events.is_empty() {
                return Progress::Idle;
            }
            events.iter_mut().for_each(Event::leave_queue);
            let spilled = events.iter().map(Event::spilled_bytes).sum();
            let charge = weigh(events);
            let batch = Batch::new(events.drain(..).collect(), self.enrichment.clone());
            self.ready = Some(Ready { batch, charge, spilled });
        }
        let has_room = |ready: &mut Ready| stations.iter().all(|station| station.has_room(ready.charge));
        let Some(Ready { batch, charge, spilled }) = self.ready.take_if(has_room) else { return Progress::Blocked };
        for station in stations {
            station.hand_over(&batch, charge);
        }
        self.dispatched += batch.len() as u64;
        queue.account().release(spilled);
        Progress::HandedOut(batch.len())
    }

    /// Ends the intake book, whose lanes are closed: what is here or in the lanes counts as dispatched, and dropped at
    /// every sink. Returns whether the lanes are empty for good: a caller may stand between its permit and its event.
    pub(crate) fn abandon(&mut self, queue: &Queue, stations: &[Arc<Station>], why: DropReason) -> bool {
        let ready = self.ready.take();
        let waiting = ready.iter().flat_map(|ready| ready.batch.iter());
        let mut spilled = 0;
        let mut drop_one = |event: &Event, spilled: &mut usize| {
            stations.iter().for_each(|station| station.drop_undispatched(event, why));
            *spilled += event.spilled_bytes();
            self.dispatched += 1;
        };
        waiting.for_each(|record| drop_one(record.event(), &mut spilled));
        let mut is_empty = true;
        loop {
            self.batcher.begin();
            let events = self.batcher.next_batch(NO_CUT, |lane, into| {
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
