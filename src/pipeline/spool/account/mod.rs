//! Anywhere (pure): the events of a spooled pipeline on their way from the backlog through the spool to the sink.
//!
//! ```text
//!  backlog ──▶ appending ─┬─ appended ──▶ ready, or only in the store ──▶ read back ──▶ ready ──▶ taken ──▶ settled
//!                         └─ bypassed ──▶ ready, as without a spool                     ──▶ taken ──▶ settled
//! ```
//!
//! Invariants:
//! * `ready` is in the order of the positions; what bypassed the spool comes where it would have been appended.
//! * Every unsettled event before `read_to` is in `ready` or taken; those behind it are in the store alone.
//! * An event whose late append succeeds while the sink task has it stays in the accounts of the memory until it is settled.

mod appends;
mod deliveries;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Batch;
use crate::pipeline::action::BatchSource;
use crate::pipeline::backlog::{BacklogQueue, WaitingBatch};
use crate::spool::{Positions, Recovered, SpoolProgress};

#[derive(Default)]
pub(in crate::pipeline) struct SpoolAccount {
    positions: Positions,
    /// Events before this position are those of earlier processes.
    recovered_until: u64,
    read_to: u64,
    /// Taken from the backlog to be appended, oldest first.
    appending: VecDeque<WaitingBatch>,
    is_append_running: bool,
    is_read_running: bool,
    /// Not before this time is anything read.
    no_read_before: Option<Instant>,
    /// The last append found no room.
    is_full: bool,
    /// Something is settled since then.
    may_have_room: bool,
    /// When it is repeated in any case.
    append_again_at: Option<Instant>,
    ready: VecDeque<Ready>,
    /// The spooled batches that the sink task has.
    taken: Vec<Extent>,
    /// The batches of an append that is running after its timeout.
    late: Vec<LateExtent>,
    /// Unsettled events with a position that the accounts of the memory count.
    counted_in_memory: u64,
    bypassed: u64,
    /// What callers wait for, or have a confirmation of: no part with an unsettled event of these is dropped to make room.
    /// Ascending; positions close to each other are one range.
    held: Vec<Range<u64>>,
    /// The sink gets nothing more of the spool: the logger ends.
    is_stopped: bool,
    /// Everything is appended, and the disk has it: the logger ends.
    is_safe: bool,
    has_progress: bool,
}

/// A batch that is next for the sink.
struct Ready {
    place: SpoolPlace,
    waiting: WaitingBatch,
}

#[derive(Clone, Copy, Debug)]
enum SpoolPlace {
    /// Its first event has this position.
    Spooled(u64),
    /// It comes before the event with this position.
    Bypassed(u64),
}

/// Where the events of a batch are in the spool.
struct Extent {
    first: u64,
    batch: Batch,
    /// The accounts of the memory count its events.
    is_in_memory: bool,
}

/// Events that have no position yet, and may get one.
struct LateExtent {
    batch: Batch,
    /// By their indices.
    settled: Positions,
}

/// What the sink task takes: a request's events.
pub(in crate::pipeline) struct TakenSpooled {
    pub(in crate::pipeline) batch: Batch,
    pub(in crate::pipeline) charge: usize,
    pub(in crate::pipeline) source: BatchSource,
}

/// What is in memory at the end.
#[derive(Default)]
pub(in crate::pipeline) struct Ended {
    pub(in crate::pipeline) batches: Vec<WaitingBatch>,
    /// Of their events: those that are not in the spool.
    pub(in crate::pipeline) unappended: u64,
    /// Those of an append that has not returned.
    pub(in crate::pipeline) maybe_appended: u64,
}

impl SpoolPlace {
    fn is_spooled(self) -> bool {
        matches!(self, SpoolPlace::Spooled(_))
    }

    fn key(self) -> (u64, bool) {
        let (SpoolPlace::Spooled(at) | SpoolPlace::Bypassed(at)) = self;
        (at, self.is_spooled())
    }
}

impl Ready {
    /// The positions of its events.
    fn positions(&self) -> Option<Range<u64>> {
        match self.place {
            SpoolPlace::Spooled(first) => Some(first..first + self.waiting.batch.len() as u64),
            SpoolPlace::Bypassed(_) => None,
        }
    }
}

impl Extent {
    fn positions(&self) -> Range<u64> {
        self.first..self.first + self.batch.len() as u64
    }
}

/// Calls `each` with the number of a batch and a range of its indices, for all of `events` that are in these batches. It is
/// quick if they come in the order of the batches.
fn find_in(batches: &[&Batch], events: &Batch, mut each: impl FnMut(usize, Range<u64>)) {
    let id = |batch: &Batch, index: usize| batch.get(index).map(|record| record.id());
    let mut next = 0;
    while next < events.len() {
        let before = next;
        for (number, batch) in batches.iter().enumerate() {
            while let Some(start) = id(events, next).and_then(|id| batch.index_of(id)) {
                let mut len = 1;
                while next + len < events.len() && id(events, next + len) == id(batch, start + len) {
                    len += 1;
                }
                each(number, start as u64..(start + len) as u64);
                next += len;
            }
        }
        if next == before {
            // It is in none of them.
            next += 1;
        }
    }
}

/// Positions of awaited events that are so close are one range.
const HOLD_GAP: u64 = 1024;

/// The events and the memory of these.
fn sum<'a>(ready: impl Iterator<Item = &'a Ready>) -> (usize, usize) {
    ready.fold((0, 0), |(events, bytes), Ready { waiting, .. }| (events + waiting.batch.len(), bytes + waiting.charge))
}

fn events(batches: &VecDeque<WaitingBatch>) -> u64 {
    batches.iter().map(|waiting| waiting.batch.len() as u64).sum()
}

impl SpoolAccount {
    /// `holds`: what earlier processes left may have been confirmed.
    pub(in crate::pipeline) fn new(recovered: &Recovered, holds: bool) -> Self {
        let positions = Positions::new(&recovered.progress, recovered.next);
        let read_to = positions.progress().frontier;
        let held = holds.then_some(read_to..recovered.next).into_iter().collect();
        SpoolAccount { positions, recovered_until: recovered.next, read_to, held, ..SpoolAccount::default() }
    }

    /// Events that have a position and are not settled, apart from those that the accounts of the memory count.
    pub(in crate::pipeline) fn outstanding(&self) -> u64 {
        self.positions.outstanding() - self.counted_in_memory
    }

    /// Whether the event with this position is of an earlier process.
    pub(in crate::pipeline) fn is_recovered(&self, position: u64) -> bool {
        position < self.recovered_until
    }

    /// The age of the oldest unsettled event, if it is in memory; `now` is in nanoseconds since the Unix epoch.
    pub(in crate::pipeline) fn age(&self, now: u64) -> Option<Duration> {
        let ready = self.ready.iter().find_map(|ready| Some((ready.positions()?.start, &ready.waiting.batch)));
        let taken = self.taken.iter().filter(|extent| !extent.is_in_memory).map(|extent| (extent.first, &extent.batch));
        let (_, batch) = taken.chain(ready).min_by_key(|(first, _)| *first)?;
        Some(Duration::from_nanos(now.saturating_sub(batch.get(0)?.timestamp_nanos())))
    }

    pub(in crate::pipeline) fn bypassed(&self) -> u64 {
        self.bypassed
    }

    pub(in crate::pipeline) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Ends the deliveries of what is spooled: it stays there.
    pub(in crate::pipeline) fn stop(&mut self, backlog: &mut BacklogQueue) -> Vec<Batch> {
        self.is_stopped = true;
        if self.is_full && !self.is_append_running {
            self.bypass(false);
            self.is_full = false;
        }
        let mut gone = Vec::new();
        while let Some(index) = self.ready.iter().position(|ready| ready.place.is_spooled()) {
            self.forget(index, backlog, &mut gone);
        }
        gone
    }

    /// Records that the disk has everything, after which nothing is appended.
    pub(in crate::pipeline) fn set_safe(&mut self) {
        self.is_safe = true;
    }

    pub(in crate::pipeline) fn clear_safe(&mut self) {
        self.is_safe = false;
    }

    pub(in crate::pipeline) fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// Events that wait in memory and are not appended, beside the backlog: those up to a routed count.
    pub(in crate::pipeline) fn unappended(&self, upto: u64) -> u64 {
        let bypassed = self.ready.iter().filter(|ready| !ready.place.is_spooled()).map(|ready| &ready.waiting);
        let before = self.appending.iter().chain(bypassed).filter(|waiting| waiting.upto <= upto);
        before.map(|waiting| waiting.batch.len() as u64).sum()
    }

    /// The routed count after the oldest of them.
    pub(in crate::pipeline) fn front(&self) -> Option<u64> {
        let bypassed = self.ready.iter().find(|ready| !ready.place.is_spooled()).map(|ready| &ready.waiting);
        bypassed.into_iter().chain(self.appending.front()).map(|waiting| waiting.upto).min()
    }

    /// Whether the sink has got everything, or is to get no more.
    pub(in crate::pipeline) fn is_done(&self) -> bool {
        let is_drained = self.is_stopped || self.read_to == self.positions.next() && !self.has_spooled_ready();
        is_drained && self.front().is_none()
    }

    /// Takes what is settled, if that has changed.
    pub(in crate::pipeline) fn take_progress(&mut self) -> Option<SpoolProgress> {
        std::mem::take(&mut self.has_progress).then(|| self.positions.progress())
    }

    pub(in crate::pipeline) fn progress(&self) -> SpoolProgress {
        self.positions.progress()
    }

    /// Removes a batch from the memory.
    fn forget(&mut self, index: usize, backlog: &mut BacklogQueue, gone: &mut Vec<Batch>) {
        if let Some(Ready { waiting, .. }) = self.ready.remove(index) {
            backlog.release(waiting.charge, false);
            gone.push(waiting.batch);
        }
    }

    fn note_progress(&mut self) {
        (self.has_progress, self.may_have_room) = (true, true);
    }

    /// Keeps the event with this position from being dropped to make room.
    fn hold(&mut self, position: u64) {
        match self.held.last_mut() {
            Some(last) if position < last.end + HOLD_GAP => last.end = last.end.max(position + 1),
            _ => {
                let frontier = self.positions.progress().frontier;
                self.held.retain(|range| range.end > frontier);
                self.held.push(position..position + 1);
            }
        }
    }

    /// Whether a part has an unsettled event that is held.
    fn is_held(&self, part: &Range<u64>) -> bool {
        let within = |range: &Range<u64>| range.start.max(part.start)..range.end.min(part.end);
        let has_unsettled = |range: Range<u64>| !range.is_empty() && !self.positions.unsettled(range).is_empty();
        self.held.iter().map(within).any(has_unsettled)
    }

    fn has_spooled_ready(&self) -> bool {
        self.ready.iter().any(|ready| ready.place.is_spooled())
    }
}

/// The ends of events.
impl SpoolAccount {
    /// Settles events that the sink task has; `is_spooled`: the accounts of the spool count them.
    pub(in crate::pipeline) fn settle(&mut self, events: &Batch, is_spooled: bool) {
        let SpoolAccount { taken, positions, .. } = self;
        let mut settled = 0;
        let batches: Vec<&Batch> = taken.iter().map(|extent| &extent.batch).collect();
        find_in(&batches, events, |number, range| {
            let first = taken[number].first;
            settled += positions.settle(first + range.start..first + range.end);
        });
        if settled > 0 {
            taken.retain(|extent| !positions.unsettled(extent.positions()).is_empty());
            self.note_progress();
        }
        if !is_spooled {
            self.counted_in_memory -= settled;
            self.settle_late(events);
        }
    }

    /// Settles events that may get a position by a late append.
    fn settle_late(&mut self, events: &Batch) {
        let (batches, mut settled): (Vec<&Batch>, Vec<&mut Positions>) =
            self.late.iter_mut().map(|late| (&late.batch, &mut late.settled)).unzip();
        find_in(&batches, events, |number, range| {
            settled[number].settle(range);
        });
    }

    /// Forgets what is in memory: the logger ends.
    pub(in crate::pipeline) fn end(&mut self, backlog: &mut BacklogQueue) -> Ended {
        let mut ended = Ended::default();
        // The accounts of the memory settle them.
        for extent in self.taken.extract_if(.., |extent| extent.is_in_memory) {
            self.counted_in_memory -= self.positions.settle(extent.positions());
        }
        for waiting in std::mem::take(&mut self.appending) {
            let part = if self.is_append_running { &mut ended.maybe_appended } else { &mut ended.unappended };
            *part += waiting.batch.len() as u64;
            ended.batches.push(waiting);
        }
        for Ready { place, waiting } in std::mem::take(&mut self.ready) {
            if !place.is_spooled() {
                let id = waiting.batch.get(0).map(|record| record.id());
                let is_late = self.late.iter().any(|late| late.batch.get(0).map(|record| record.id()) == id);
                let part = if is_late { &mut ended.maybe_appended } else { &mut ended.unappended };
                *part += waiting.batch.len() as u64;
            }
            ended.batches.push(waiting);
        }
        ended.batches.iter().for_each(|waiting| backlog.release(waiting.charge, false));
        ended
    }
}
