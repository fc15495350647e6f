//! Anywhere (pure): what is read back, and what the sink gets next.

use std::ops::Range;

use tokio::time::Instant;

use super::{Extent, Ready, SpoolAccount, SpoolPlace, TakenSpooled, sum};
use crate::event::Batch;
use crate::pipeline::action::{BatchSource, Wants};
use crate::pipeline::backlog::{BacklogQueue, WaitingBatch, pinned_by};
use crate::spool::Stored;

/// Reads.
impl SpoolAccount {
    /// Begins to read back what comes next, if the next request needs it or has room beside it.
    pub(in crate::pipeline) fn begin_read(&mut self, backlog: &BacklogQueue, now: Instant) -> Option<Range<u64>> {
        self.no_read_before.take_if(|from| *from <= now);
        let wants = self.needs_read(backlog) || self.ready.len() < 2 && !backlog.is_half_full();
        let reads =
            wants && self.has_gap() && !self.is_read_running && !self.is_stopped && self.no_read_before.is_none();
        self.is_read_running = reads;
        reads.then(|| self.read_to..self.positions.next())
    }

    /// Whether something is to be read that no memory has.
    fn has_gap(&self) -> bool {
        self.read_to < self.positions.next()
    }

    /// Whether a request waits for what is to be read.
    fn needs_read(&self, backlog: &BacklogQueue) -> bool {
        let (events, bytes) = sum(self.ready.iter().take_while(|ready| ready.place.is_spooled()));
        self.grows_by_reads() && !backlog.is_full_request(events, bytes)
    }

    /// Whether what is read next belongs to the next request: something is to be read, and no batch that bypassed the spool
    /// comes before it.
    fn grows_by_reads(&self) -> bool {
        let comes_before = |ready: &Ready| !ready.place.is_spooled() && ready.place.key().0 <= self.read_to;
        self.has_gap() && !self.ready.iter().any(comes_before)
    }

    /// When a read that failed is repeated.
    pub(in crate::pipeline) fn next_read(&self) -> Option<Instant> {
        self.no_read_before.filter(|_| self.has_gap() && !self.is_stopped && !self.is_read_running)
    }

    /// Whether what comes next cannot be read now; `is_late`: a read takes too long.
    pub(in crate::pipeline) fn waits_for_read(&self, is_late: bool) -> bool {
        self.has_gap() && !self.is_stopped && (is_late || self.no_read_before.is_some())
    }

    pub(in crate::pipeline) fn end_failed_read(&mut self, again_at: Instant) {
        (self.is_read_running, self.no_read_before) = (false, Some(again_at));
    }

    /// Records what was read of this range; returns how many events are lost before it.
    pub(in crate::pipeline) fn end_read(
        &mut self,
        range: Range<u64>,
        stored: Option<Stored>,
        backlog: &mut BacklogQueue,
        gone: &mut Vec<Batch>,
    ) -> u64 {
        (self.is_read_running, self.no_read_before) = (false, None);
        // Something has left the memory meanwhile, and is before it; or all stays where it is.
        if self.read_to != range.start || self.is_stopped {
            gone.extend(stored.map(|stored| stored.batch));
            return 0;
        }
        let stored = stored.filter(|stored| stored.end() > range.start && stored.end() <= range.end);
        let first = stored.as_ref().map_or(range.end, |stored| stored.first);
        let lost = self.positions.settle(range.start..first);
        if lost > 0 {
            self.note_progress();
        }
        let end = stored.as_ref().map_or(range.end, Stored::end);
        self.read_to = end;
        let Some(Stored { batch, .. }) = stored else { return lost };
        if self.positions.unsettled(first..end).is_empty() {
            gone.push(batch);
            return lost;
        }
        let charge = pinned_by(&batch);
        backlog.charge(charge);
        let place = SpoolPlace::Spooled(first);
        let index = self.ready.partition_point(|ready| ready.place.key() < place.key());
        self.ready.insert(index, Ready { place, waiting: WaitingBatch { batch, charge, upto: 0, arrived: None } });
        lost
    }
}

/// Deliveries.
impl SpoolAccount {
    /// The batch that is next for the sink.
    fn next_ready(&self, wants: Wants) -> Option<&Ready> {
        let front = self.ready.front()?;
        let is_next = match front.place {
            SpoolPlace::Spooled(_) => !self.is_stopped && wants == Wants::All,
            SpoolPlace::Bypassed(at) => at <= self.read_to || self.is_stopped,
        };
        is_next.then_some(front)
    }

    /// When the next request is due; `None`: nothing is there for one.
    pub(in crate::pipeline) fn due(&self, backlog: &BacklogQueue, wants: Wants, now: Instant) -> Option<Instant> {
        let front = self.next_ready(wants)?;
        let alike = || self.ready.iter().take_while(|ready| ready.place.is_spooled() == front.place.is_spooled());
        let (events, bytes) = sum(alike());
        if backlog.is_full_request(events, bytes) {
            return Some(now);
        }
        if front.place.is_spooled() && self.grows_by_reads() && self.no_read_before.is_none() {
            // The reader brings more.
            return None;
        }
        let is_urgent = alike().any(|ready| ready.waiting.arrived.is_none());
        Some(if is_urgent { now } else { backlog.lingers_until(front.waiting.arrived, now) })
    }

    /// Takes the next batches for one request.
    pub(in crate::pipeline) fn take(&mut self, backlog: &BacklogQueue, wants: Wants) -> Option<TakenSpooled> {
        let is_spooled = self.next_ready(wants)?.place.is_spooled();
        let recovered_until = self.recovered_until;
        let is_recovered = |ready: &Ready| ready.place.is_spooled() && ready.place.key().0 < recovered_until;
        let is_first_recovered = self.ready.front().is_some_and(is_recovered);
        let (mut events, mut bytes, mut batches) = (0, 0, Vec::new());
        while let Some(next) = self.ready.front()
            && next.place.is_spooled() == is_spooled
            && (is_spooled || self.next_ready(wants).is_some())
            && is_recovered(next) == is_first_recovered
            && (batches.is_empty() || backlog.fits_request(events, bytes, &next.waiting))
        {
            let Some(Ready { place, waiting }) = self.ready.pop_front() else { break };
            events += waiting.batch.len();
            bytes += waiting.charge;
            batches.push(match place {
                SpoolPlace::Spooled(first) => self.take_unsettled(first, waiting.batch),
                SpoolPlace::Bypassed(_) => waiting.batch,
            });
        }
        let source = match (is_spooled, is_first_recovered) {
            (false, _) => BatchSource::Memory,
            (true, false) => BatchSource::Spool,
            (true, true) => BatchSource::Recovered,
        };
        Some(TakenSpooled { batch: Batch::concat(batches), charge: bytes, source })
    }

    /// The unsettled events of a batch; the others were settled before it was read back.
    fn take_unsettled(&mut self, first: u64, batch: Batch) -> Batch {
        let end = first + batch.len() as u64;
        let unsettled = self.positions.unsettled(first..end);
        let left: Vec<u32> = unsettled.into_iter().flatten().map(|position| (position - first) as u32).collect();
        let open = if left.len() < batch.len() { batch.pick(&left) } else { batch.clone() };
        self.taken.push(Extent { first, batch, is_in_memory: false });
        open
    }
}
