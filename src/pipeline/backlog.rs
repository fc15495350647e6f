//! Anywhere (pure): the batches that wait for one sink, bounded by the memory they pin.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Batch, Event, SharedFields};
use crate::sink::Batching;

/// A request pins at most this part of the limit.
const REQUESTS_PER_LIMIT: usize = 4;
/// What a batch takes beside its events: its place in a backlog, which grows by doubling, and the heads of its two blocks of
/// memory.
pub(super) const BATCH_BYTES: usize = 2 * size_of::<WaitingBatch>() + 64;
/// An append to a spool is begun with at most so much: it fits into the smallest of its files. A fourth of it costs 40 % of the
/// throughput, and more gains nothing.
const MAX_APPEND_BYTES: usize = 1 << 20;
/// For a linger beyond the clock's range.
const FAR_AWAY: Duration = Duration::from_secs(u32::MAX as u64);

/// What a pipeline does when its sink's backlog is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Drops the oldest waiting batches (`backlog_full`). A slow or hung sink affects only itself.
    #[default]
    DropOldest,
    /// Drops the new batch (`backlog_full`) and keeps the waiting ones. A slow or hung sink affects only itself.
    DropNewest,
    /// Stops the flush task until this sink has room. The queue then fills, and its overflow policy decides. With
    /// [`Overflow::Block`](crate::Overflow::Block) or [`emit_wait`](crate::Logger::emit_wait), no event is lost between
    /// the caller and the sink. In exchange for isolation: a stalled sink stalls the other sinks and the callers.
    Block,
}

/// A waiting batch.
pub(super) struct WaitingBatch {
    pub(super) batch: Batch,
    /// The memory it pins. Of batches with one enrichment, the last one has its bytes: it leaves last.
    pub(super) charge: usize,
    /// The sink's routed count after this batch; flush barriers compare with it.
    pub(super) upto: u64,
    /// When it came, if its request waits for more events; `None`: it does not wait.
    pub(super) arrived: Option<Instant>,
}

impl WaitingBatch {
    fn enrichment_bytes(&self) -> usize {
        self.batch.enrichment().map_or(0, |enrichment| enrichment.bytes())
    }
}

/// Waiting batches, oldest first, and the memory charged for them. The batch being written stays charged.
pub(super) struct BacklogQueue {
    batches: VecDeque<WaitingBatch>,
    events: u64,
    /// Waiting batches that do not wait for more events.
    urgent: usize,
    /// The memory of the waiting batches.
    waiting: usize,
    /// The same, including the batch being written and those that late calls keep.
    pinned: usize,
    /// The part that late calls keep: nothing that the pipeline does frees it.
    late: usize,
    limit: usize,
    policy: WhenFull,
    /// `None`: a request is a dispatched batch.
    batching: Option<Batching>,
    /// Batches with one enrichment are charged for it once: they leave in their order.
    is_in_order: bool,
}

/// What a request is made of: the oldest waiting batches.
pub(super) struct TakenBatch {
    pub(super) batch: Batch,
    pub(super) charge: usize,
}

impl BacklogQueue {
    pub(super) fn new(limit: usize, policy: WhenFull, batching: Option<Batching>) -> Self {
        let (batches, is_in_order) = (VecDeque::new(), true);
        BacklogQueue {
            batches,
            events: 0,
            urgent: 0,
            waiting: 0,
            pinned: 0,
            late: 0,
            limit,
            policy,
            batching,
            is_in_order,
        }
    }

    /// The same, of a pipeline with a spool.
    pub(super) fn spooled(self) -> Self {
        BacklogQueue { is_in_order: false, ..self }
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn pinned(&self) -> usize {
        self.pinned
    }

    /// Whether a batch fits in addition to this much.
    fn fits(&self, pinned: usize, charge: usize) -> bool {
        // Alone, any batch fits: a single event with a large context may exceed the whole limit, and would otherwise
        // never pass. Nor would any, if late calls alone had the memory.
        pinned <= self.late || pinned + charge <= self.limit
    }

    /// Whether a batch may be pushed now; if not, the flush task waits.
    pub(super) fn accepts(&self, charge: usize) -> bool {
        match self.policy {
            WhenFull::DropOldest | WhenFull::DropNewest => true,
            WhenFull::Block => self.fits(self.pinned, charge),
        }
    }

    /// Adds a batch, or drops according to the policy until it fits. The dropped ones are added to `dropped`: they may hold
    /// much, and foreign code, and the lock is held.
    pub(super) fn push(&mut self, mut new: WaitingBatch, dropped: &mut Vec<WaitingBatch>) {
        let enrichment = new.enrichment_bytes();
        new.charge += enrichment;
        match self.policy {
            // It would not fit next to the batch being written alone: dropping the waiting batches would not help.
            WhenFull::DropOldest if !self.fits(self.pinned - self.waiting, new.charge) => return dropped.push(new),
            WhenFull::DropOldest => {
                while !self.fits(self.pinned, new.charge)
                    && let Some(oldest) = self.pop()
                {
                    self.pinned -= oldest.charge;
                    dropped.push(oldest);
                }
            }
            WhenFull::DropNewest if !self.fits(self.pinned, new.charge) => return dropped.push(new),
            // The flush task called `accepts` before.
            WhenFull::DropNewest | WhenFull::Block => {}
        }
        if self.is_in_order
            && let Some(last) = self.batches.back_mut()
            && is_same(last.batch.enrichment(), new.batch.enrichment())
        {
            last.charge -= enrichment;
            self.waiting -= enrichment;
            self.pinned -= enrichment;
        }
        self.waiting += new.charge;
        self.pinned += new.charge;
        self.events += new.batch.len() as u64;
        self.urgent += usize::from(new.arrived.is_none());
        self.batches.push_back(new);
    }

    /// When the next request is due: now, if it is full or must not wait; `None`: nothing waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let front = self.batches.front()?;
        if self.urgent > 0 || self.is_full_request(self.events as usize, self.waiting) {
            return Some(now);
        }
        Some(self.lingers_until(front.arrived, now))
    }

    /// Takes the oldest batches for one request, up to a routed count: one, or as many as a request may have. They stay charged
    /// until [`BacklogQueue::release`].
    pub(super) fn take(&mut self, upto: u64) -> Option<TakenBatch> {
        let WaitingBatch { batch, mut charge, .. } = self.pop()?;
        let (mut events, mut batches) = (batch.len(), vec![batch]);
        while self.batches.front().is_some_and(|next| next.upto <= upto && self.fits_request(events, charge, next))
            && let Some(next) = self.pop()
        {
            events += next.batch.len();
            charge += next.charge;
            batches.push(next.batch);
        }
        Some(TakenBatch { batch: Batch::concat(batches), charge })
    }

    /// Takes the oldest batches to be appended to a spool, in the order they are. They stay charged.
    pub(super) fn take_to_append(&mut self) -> Vec<WaitingBatch> {
        let (mut bytes, mut batches) = (0, Vec::new());
        while bytes <= MAX_APPEND_BYTES.min(self.limit / REQUESTS_PER_LIMIT)
            && let Some(next) = self.pop()
        {
            bytes += next.charge;
            batches.push(next);
        }
        batches
    }

    /// Takes the oldest batch. It stays charged until [`BacklogQueue::release`].
    fn pop(&mut self) -> Option<WaitingBatch> {
        let entry = self.batches.pop_front()?;
        self.events -= entry.batch.len() as u64;
        self.urgent -= usize::from(entry.arrived.is_none());
        self.waiting -= entry.charge;
        Some(entry)
    }

    /// Charges for a batch that comes from elsewhere, like one that was taken.
    pub(super) fn charge(&mut self, charge: usize) {
        self.pinned += charge;
    }

    /// A late call keeps a batch that was taken.
    pub(super) fn add_late(&mut self, charge: usize) {
        self.late += charge;
    }

    /// Releases the memory of a batch that was taken; `is_late`: a late call kept it.
    pub(super) fn release(&mut self, charge: usize, is_late: bool) {
        self.pinned -= charge;
        if is_late {
            self.late -= charge;
        }
        // Returns the memory of a burst once it has passed.
        if self.batches.is_empty() && self.batches.capacity() > 64 {
            self.batches.shrink_to(16);
        }
    }

    /// The routed count after the oldest waiting batch.
    pub(super) fn front(&self) -> Option<u64> {
        self.batches.front().map(|entry| entry.upto)
    }

    /// Events waiting in batches that end at or before `position`.
    pub(super) fn before(&self, position: u64) -> u64 {
        let before = self.batches.iter().take_while(|entry| entry.upto <= position);
        before.map(|entry| entry.batch.len() as u64).sum()
    }

    /// Removes all waiting batches, to be dropped where nothing is locked.
    pub(super) fn clear(&mut self) -> Vec<WaitingBatch> {
        self.pinned -= mem::take(&mut self.waiting);
        (self.events, self.urgent) = (0, 0);
        mem::take(&mut self.batches).into()
    }
}

/// The shape of requests.
impl BacklogQueue {
    /// The memory that the events of a request may have: others must be able to wait beside it.
    fn request_bytes(&self, batching: Batching) -> usize {
        batching.bytes.min(self.limit / REQUESTS_PER_LIMIT)
    }

    /// Whether a request with this much is not to wait for more.
    pub(super) fn is_full_request(&self, events: usize, bytes: usize) -> bool {
        self.batching.map_or(events > 0, |batching| events >= batching.events || bytes >= self.request_bytes(batching))
    }

    /// Whether a request with this much may have this batch too.
    pub(super) fn fits_request(&self, events: usize, bytes: usize, next: &WaitingBatch) -> bool {
        self.batching.is_some_and(|batching| {
            events + next.batch.len() <= batching.events && bytes + next.charge <= self.request_bytes(batching)
        })
    }

    /// Until when a request waits whose first events came at this time; `None`: they do not wait.
    pub(super) fn lingers_until(&self, arrived: Option<Instant>, now: Instant) -> Instant {
        let (Some(batching), Some(arrived)) = (self.batching, arrived) else { return now };
        arrived.checked_add(batching.linger).unwrap_or_else(|| now + FAR_AWAY)
    }

    /// Whether a batch fits beside all that is charged.
    pub(super) fn has_room_for(&self, charge: usize) -> bool {
        self.fits(self.pinned, charge)
    }

    /// Whether so much is not appended that callers wait for it: moving out what is would only have it read back.
    pub(super) fn waits_for_appends(&self, appending: usize) -> bool {
        self.policy == WhenFull::Block && self.waiting + appending >= self.limit / 2
    }

    pub(super) fn is_half_full(&self) -> bool {
        self.pinned >= self.limit / 2
    }
}

/// The memory that events pin: their own, and each context once where consecutive events share it.
pub(crate) fn pinned_bytes(events: &[Event]) -> usize {
    let mut before: Option<&Arc<SharedFields>> = None;
    let mut sum = 0;
    for event in events {
        sum += size_of::<Event>() + event.spilled_bytes();
        if let Some(context) = event.context()
            && !before.is_some_and(|before| Arc::ptr_eq(before, context))
        {
            sum += context.bytes();
            before = Some(context);
        }
    }
    sum
}

/// What a batch that was read back takes.
pub(super) fn pinned_by(batch: &Batch) -> usize {
    let enrichment = batch.enrichment().map_or(0, |enrichment| enrichment.bytes());
    pinned_bytes(batch.events()) + enrichment + BATCH_BYTES
}

fn is_same(a: Option<&Arc<SharedFields>>, b: Option<&Arc<SharedFields>>) -> bool {
    a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Level};

    fn entry(events: usize, charge: usize) -> WaitingBatch {
        let batch = (0..events).map(|_| Event::new(Level::Info, "t", "m")).collect();
        WaitingBatch { batch, charge, upto: 0, arrived: None }
    }

    /// Pushes; returns how many events were dropped.
    fn push(backlog: &mut BacklogQueue, new: WaitingBatch) -> usize {
        let mut dropped = Vec::new();
        backlog.push(new, &mut dropped);
        dropped.iter().map(|dropped| dropped.batch.len()).sum()
    }

    #[test]
    fn a_full_backlog_drops_its_oldest_batches_and_counts_their_events() {
        let mut backlog = BacklogQueue::new(100, WhenFull::DropOldest, None);
        assert_eq!(push(&mut backlog, entry(1, 40)) + push(&mut backlog, entry(2, 40)), 0);
        assert_eq!(push(&mut backlog, entry(3, 70)), 3, "both older batches make room");
        assert_eq!((backlog.events(), backlog.pinned()), (3, 70));
    }

    #[test]
    fn a_batch_being_written_is_never_dropped_and_stays_charged() {
        let mut backlog = BacklogQueue::new(100, WhenFull::DropOldest, None);
        assert_eq!(push(&mut backlog, entry(1, 80)), 0);
        let writing = backlog.pop().expect("one waits");
        assert_eq!(push(&mut backlog, entry(2, 20)), 0);
        assert_eq!(
            push(&mut backlog, entry(5, 40)),
            5,
            "the new batch alone is dropped: the one that waits could not help"
        );
        backlog.release(writing.charge, false);
        assert_eq!(push(&mut backlog, entry(5, 40)), 0);
        assert_eq!((backlog.events(), backlog.pinned()), (7, 60));
        assert_eq!((backlog.clear().len(), backlog.events(), backlog.pinned()), (2, 0, 0));
    }

    #[test]
    fn a_batch_larger_than_the_account_passes_alone() {
        let mut backlog = BacklogQueue::new(100, WhenFull::DropOldest, None);
        assert_eq!(push(&mut backlog, entry(1, 1000)), 0);
        let writing = backlog.pop().expect("one waits");
        assert_eq!(push(&mut backlog, entry(2, 10)), 2);
        backlog.release(writing.charge, false);
        assert_eq!(push(&mut backlog, entry(2, 10)) + push(&mut backlog, entry(1, 1000)), 2, "nothing but it is left");
        assert_eq!((backlog.events(), backlog.pinned()), (1, 1000));
    }

    #[test]
    fn each_policy_decides_what_a_full_account_costs() {
        // The policy; whether a batch of 50 may be pushed next to one of 80; how many events its push drops; the
        // waiting rest.
        let table = [
            (WhenFull::DropOldest, true, 1, (5, 50)),
            (WhenFull::DropNewest, true, 5, (1, 80)),
            (WhenFull::Block, false, 0, (6, 130)),
        ];
        for (policy, accepts, dropped, left) in table {
            let mut backlog = BacklogQueue::new(100, policy, None);
            assert!(backlog.accepts(1000), "{policy:?}: alone, any batch fits");
            assert_eq!(push(&mut backlog, entry(1, 80)), 0);
            assert!(backlog.accepts(20));
            assert_eq!(backlog.accepts(50), accepts, "{policy:?}");
            assert_eq!(push(&mut backlog, entry(5, 50)), dropped, "{policy:?}");
            assert_eq!((backlog.events(), backlog.pinned()), left, "{policy:?}");
        }
    }

    #[test]
    fn an_enrichment_is_charged_once_for_the_batches_that_share_it_until_the_last_has_left() {
        let enrichment = |text: &str| Some(Arc::new(SharedFields::extend(None, "text", text.into())));
        let (first, second) = (enrichment(&"x".repeat(1000)), enrichment("y"));
        let (first_bytes, second_bytes) = (first.as_ref().unwrap().bytes(), second.as_ref().unwrap().bytes());
        let mut backlog = BacklogQueue::new(100_000, WhenFull::DropOldest, None);
        for enrichment in [&first, &first, &second] {
            let batch = Batch::new([Event::new(Level::Info, "t", "m")].into(), enrichment.clone(), EventId::ZERO);
            assert_eq!(push(&mut backlog, WaitingBatch { batch, ..entry(1, 10) }), 0);
        }
        assert_eq!(backlog.pinned(), 30 + first_bytes + second_bytes);
        let charges: Vec<usize> = std::iter::from_fn(|| backlog.pop()).map(|taken| taken.charge).collect();
        assert_eq!(charges, [10, 10 + first_bytes, 10 + second_bytes]);
        charges.into_iter().for_each(|charge| backlog.release(charge, false));
        assert_eq!(backlog.pinned(), 0);
    }

    #[test]
    fn what_late_calls_keep_stays_charged_and_stops_no_batch_that_is_alone_beside_it() {
        for policy in [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block] {
            let mut backlog = BacklogQueue::new(100, policy, None);
            assert_eq!(push(&mut backlog, entry(1, 80)), 0);
            let late = backlog.pop().expect("one waits");
            assert_eq!(backlog.accepts(50), policy != WhenFull::Block, "{policy:?}: it is being written");
            backlog.add_late(late.charge);
            assert!(backlog.accepts(50), "{policy:?}");
            assert_eq!(push(&mut backlog, entry(2, 50)), 0, "{policy:?}");
            assert_eq!((backlog.accepts(50), backlog.pinned()), (policy != WhenFull::Block, 130), "{policy:?}");
            backlog.release(late.charge, true);
            assert_eq!((backlog.accepts(50), backlog.pinned()), (true, 50), "{policy:?}");
        }
    }
}
