//! Anywhere (pure): what is appended, and the room for it.

use std::collections::VecDeque;
use std::ops::Range;

use tokio::time::Instant;

use super::{Extent, LateExtent, Ready, SpoolAccount, SpoolPlace, events, sum};
use crate::event::Batch;
use crate::pipeline::awaited::AwaitedEvents;
use crate::pipeline::backlog::{BacklogQueue, WaitingBatch};
use crate::spool::Positions;

/// Appends.
impl SpoolAccount {
    /// Begins an append of the waiting batches. `None`: nothing waits, or an append is running.
    pub(in crate::pipeline) fn begin_append(&mut self, backlog: &mut BacklogQueue, now: Instant) -> Option<Vec<Batch>> {
        self.append_again_at.take_if(|at| *at <= now);
        let waits = self.is_full && !self.may_have_room && self.append_again_at.is_some();
        if self.is_append_running || !self.late.is_empty() || waits {
            return None;
        }
        if self.appending.is_empty() {
            self.appending = backlog.take_to_append().into();
        }
        self.is_append_running = !self.appending.is_empty();
        self.is_append_running.then(|| self.appending.iter().map(|waiting| waiting.batch.clone()).collect())
    }

    /// Records that the batches are appended; returns those that leave the memory.
    pub(in crate::pipeline) fn end_append(
        &mut self,
        backlog: &mut BacklogQueue,
        awaited: &AwaitedEvents,
    ) -> (u64, Vec<Batch>) {
        (self.is_append_running, self.is_full) = (false, false);
        let (mut appended, mut gone) = (0, Vec::new());
        for waiting in std::mem::take(&mut self.appending) {
            let events = waiting.batch.len() as u64;
            let first = self.positions.append(events);
            awaited.indices_in(&waiting.batch).for_each(|index| self.hold(first + index as u64));
            appended += events;
            if self.read_to == first && !self.is_stopped {
                self.read_to += events;
                self.ready.push_back(Ready { place: SpoolPlace::Spooled(first), waiting });
            } else {
                backlog.release(waiting.charge, false);
                gone.push(waiting.batch);
            }
        }
        (appended, gone)
    }

    /// Records that there is no room, and that the batches are to be appended again: once something is settled, or at this
    /// time; `has_dropped`: something was dropped for it. If nothing will be settled, as nothing is there or the sink gets
    /// nothing more of it, they bypass the spool.
    pub(in crate::pipeline) fn defer_append(&mut self, again_at: Instant, has_dropped: bool) {
        let is_hopeless = self.is_stopped || !has_dropped && self.positions.outstanding() == 0;
        if is_hopeless {
            self.bypass(false);
        }
        (self.is_append_running, self.is_full, self.may_have_room) = (false, !is_hopeless, false);
        self.append_again_at = Some(again_at);
    }

    /// When an append that found no room is repeated.
    pub(in crate::pipeline) fn next_append(&self) -> Option<Instant> {
        self.append_again_at.filter(|_| self.is_full && !self.is_append_running)
    }

    /// Has the sink get the batches from the memory: their append failed, or `is_late`.
    pub(in crate::pipeline) fn bypass(&mut self, is_late: bool) -> u64 {
        let batches = std::mem::take(&mut self.appending);
        if is_late {
            let late = |waiting: &WaitingBatch| {
                let mut settled = Positions::default();
                settled.append(waiting.batch.len() as u64);
                LateExtent { batch: waiting.batch.clone(), settled }
            };
            self.late.extend(batches.iter().map(late));
        } else {
            self.is_append_running = false;
        }
        self.make_ready(batches)
    }

    /// While an append is late, no other batch waits for it.
    pub(in crate::pipeline) fn bypass_late(&mut self, backlog: &mut BacklogQueue) -> u64 {
        if self.late.is_empty() {
            return 0;
        }
        let mut batches = VecDeque::new();
        while backlog.events() > 0 {
            batches.extend(backlog.take_to_append());
        }
        self.make_ready(batches)
    }

    fn make_ready(&mut self, batches: VecDeque<WaitingBatch>) -> u64 {
        let (place, bypassed) = (SpoolPlace::Bypassed(self.positions.next()), events(&batches));
        self.ready.extend(batches.into_iter().map(|waiting| Ready { place, waiting }));
        self.bypassed += bypassed;
        bypassed
    }

    /// Records that a late append has failed.
    pub(in crate::pipeline) fn end_late_append(&mut self) -> Vec<Batch> {
        self.is_append_running = false;
        std::mem::take(&mut self.late).into_iter().map(|late| late.batch).collect()
    }

    /// Records that a late append has succeeded. What is settled is settled there too; the waiting batches are spooled. Returns how
    /// many events those are, and the batches that leave the memory.
    pub(in crate::pipeline) fn accept_late_append(
        &mut self,
        backlog: &mut BacklogQueue,
        awaited: &mut AwaitedEvents,
    ) -> (u64, Vec<Batch>) {
        self.is_append_running = false;
        let (mut spooled, mut gone, mut behind) = (0, Vec::new(), 0);
        let has_met = self.read_to == self.positions.next() && !self.is_stopped;
        for LateExtent { batch, settled } in std::mem::take(&mut self.late) {
            let (len, unsettled) = (batch.len() as u64, settled.outstanding());
            let first = self.positions.append(len);
            awaited.indices_in(&batch).for_each(|index| self.hold(first + index as u64));
            for range in settled.settled() {
                self.positions.settle(first + range.start..first + range.end);
            }
            let id = batch.get(0).map(|record| record.id());
            let is_it = |ready: &Ready| !ready.place.is_spooled() && ready.waiting.batch.get(0).map(|it| it.id()) == id;
            match self.ready.iter().position(is_it) {
                Some(index) if has_met => {
                    (spooled, behind) = (spooled + unsettled, index + 1);
                    self.ready[index].place = SpoolPlace::Spooled(first);
                }
                Some(index) => {
                    (spooled, behind) = (spooled + unsettled, index);
                    self.forget(index, backlog, &mut gone);
                }
                None if unsettled > 0 => {
                    // The sink task has it.
                    awaited.leave_append(&batch);
                    self.counted_in_memory += unsettled;
                    self.taken.push(Extent { first, batch, is_in_memory: true });
                }
                None => gone.push(batch),
            }
        }
        let next = self.positions.next();
        if has_met {
            self.read_to = next;
        }
        let came_behind = self.ready.iter_mut().skip(behind).filter(|ready| !ready.place.is_spooled());
        came_behind.for_each(|ready| ready.place = SpoolPlace::Bypassed(next));
        self.note_progress();
        (spooled, gone)
    }
}

/// Room.
impl SpoolAccount {
    /// Makes room in memory for so many bytes, if it can: the newest spooled batches leave it, and are read back later.
    pub(in crate::pipeline) fn make_room(&mut self, charge: usize, backlog: &mut BacklogQueue, gone: &mut Vec<Batch>) {
        let appending = self.appending.iter().map(|waiting| waiting.charge).sum();
        while !backlog.has_room_for(charge) && !backlog.waits_for_appends(appending) {
            let spooled = |ready: &Ready| ready.place.is_spooled();
            let Some(newest) = self.ready.iter().rposition(spooled) else { return };
            // The next request's stay: they would be read back at once.
            let (events, bytes) = sum(self.ready.iter().take(newest).take_while(|ready| spooled(ready)));
            if !backlog.is_full_request(events, bytes) {
                return;
            }
            if let SpoolPlace::Spooled(first) = self.ready[newest].place {
                self.read_to = first;
            }
            self.forget(newest, backlog, gone);
        }
    }

    /// Takes the oldest batch that is in memory alone, to be dropped; what is being appended is not.
    pub(in crate::pipeline) fn drop_bypassed(&mut self, backlog: &mut BacklogQueue) -> Option<Batch> {
        let index = self.ready.iter().position(|ready| !ready.place.is_spooled())?;
        let Ready { waiting, .. } = self.ready.remove(index)?;
        backlog.release(waiting.charge, false);
        self.settle_late(&waiting.batch);
        Some(waiting.batch)
    }

    /// Takes the oldest batch for which the spool has no room, if it takes the memory of others.
    pub(in crate::pipeline) fn take_overflow(&mut self, backlog: &mut BacklogQueue) -> Option<WaitingBatch> {
        let is_due = self.is_full && !self.is_append_running && backlog.is_half_full();
        if is_due && self.appending.is_empty() {
            self.appending = backlog.take_to_append().into();
        }
        is_due.then(|| self.appending.pop_front())?
    }

    /// Drops the oldest of these parts of the spool of which the sink task has nothing and no caller a confirmation. Returns
    /// how many events that costs; `None`: there is no such part.
    pub(in crate::pipeline) fn drop_oldest(
        &mut self,
        removable: &[Range<u64>],
        backlog: &mut BacklogQueue,
        gone: &mut Vec<Batch>,
    ) -> Option<u64> {
        let overlaps = |a: &Range<u64>, b: &Range<u64>| a.start < b.end && b.start < a.end;
        let is_taken = |part: &Range<u64>| self.taken.iter().any(|extent| overlaps(part, &extent.positions()));
        let is_possible = |part: &Range<u64>| {
            !is_taken(part)
                && !self.is_held(part)
                && part.end <= self.positions.next()
                && !self.positions.unsettled(part.clone()).is_empty()
        };
        // The store has not removed what it could: another part would be lost for nothing.
        if removable.iter().any(|part| self.positions.unsettled(part.clone()).is_empty()) {
            return None;
        }
        let part = removable.iter().find(|part| is_possible(part))?;
        while let Some(index) =
            self.ready.iter().position(|ready| ready.positions().is_some_and(|positions| overlaps(part, &positions)))
        {
            self.forget(index, backlog, gone);
        }
        self.note_progress();
        Some(self.positions.settle(part.clone()))
    }
}
