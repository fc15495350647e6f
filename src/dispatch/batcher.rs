//! The flush task: merges the lanes by time into batches (pure).
//!
//! A task that moves between threads emits into several lanes. A drain therefore takes only events up to its watermark,
//! the time noted before it read the first lane: a newer event may have a predecessor in a lane that was already seen
//! empty. Such an event is held for this drain and passes in the next, whatever the clock says then; so does, in the drain of
//! a flush, what its lane had accepted before the watermark was noted. Order within a lane never changes.

use std::mem;
use std::slice;

use crate::event::Event;
use crate::pipeline::pinned_bytes;
use crate::queue::Chunk;
use crate::time::clock;

/// No watermark: once the lanes are closed, a drain takes every event.
pub(crate) const NO_WATERMARK: u64 = u64::MAX;

pub(super) struct Batcher {
    buffers: Box<[LaneBuffer]>,
    /// Where a batch is assembled: the batch made from it is then allocated once, in its size.
    batch: Assembly,
    max_events: usize,
    max_bytes: usize,
}

/// The events of the next batch.
#[derive(Default)]
pub(super) struct Assembly {
    pub(super) events: Vec<Event>,
    /// Their heap bytes, which the queue's account still has.
    pub(super) spilled: usize,
    /// What they take, with each event's context in full: more than the batch will be charged, and close enough to end
    /// a batch by.
    pub(super) bytes: usize,
}

/// Events taken out of one lane that are in no batch yet.
#[derive(Default)]
struct LaneBuffer {
    chunk: Chunk,
    /// Those before this position of the lane pass whatever their time.
    pass_until: u64,
    /// The lane was seen empty, or past the watermark, in this drain.
    is_exhausted: bool,
}

/// The next event of a lane: its time, and the lane.
type LaneHead = (u64, usize);

impl Batcher {
    pub(super) fn new(lanes: usize, max_events: usize, max_bytes: usize) -> Self {
        let buffers = (0..lanes).map(|_| LaneBuffer::default()).collect();
        Batcher { buffers, batch: Assembly::default(), max_events, max_bytes }
    }

    /// Returns how many events are taken out of the lanes and in no batch yet.
    pub(super) fn buffered(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.chunk.events.len()).sum()
    }

    /// Returns whether an event is held whose time is after this one.
    pub(super) fn is_ahead_of(&self, nanos: u64) -> bool {
        self.buffers.iter().any(|buffer| buffer.chunk.events.front().is_some_and(|event| event.nanos() > nanos))
    }

    /// Starts a drain, in which what is held passes, and what is before these positions of the lanes.
    pub(super) fn begin(&mut self, goals: Option<&[u64]>) {
        for (lane, buffer) in self.buffers.iter_mut().enumerate() {
            let held = buffer.chunk.start + buffer.chunk.events.len() as u64;
            buffer.pass_until = held.max(goals.map_or(0, |goals| goals[lane]));
            buffer.is_exhausted = false;
        }
    }

    /// Returns the drain's next batch, for the caller to take out: full, or the rest up to the watermark; empty when
    /// the drain is over. `refill` puts a lane's oldest events into an empty chunk.
    pub(super) fn next_batch(&mut self, watermark: u64, mut refill: impl FnMut(usize, &mut Chunk)) -> &mut Assembly {
        self.batch.events.clear();
        (self.batch.spilled, self.batch.bytes) = (0, 0);
        while self.batch.events.len() < self.max_events
            && let Some((first, next)) = self.heads(watermark, &mut refill)
            && self.take_run(first, next, watermark)
        {}
        &mut self.batch
    }

    /// Returns the oldest of the lanes' next events that may pass, and the oldest of the others.
    fn heads(&mut self, watermark: u64, refill: &mut impl FnMut(usize, &mut Chunk)) -> Option<(usize, LaneHead)> {
        let (mut first, mut next) = ((u64::MAX, usize::MAX), (u64::MAX, usize::MAX));
        for lane in 0..self.buffers.len() {
            let buffer = &mut self.buffers[lane];
            if !buffer.is_exhausted && buffer.chunk.events.is_empty() {
                refill(lane, &mut buffer.chunk);
            }
            match buffer.head(watermark) {
                None => buffer.is_exhausted = true,
                Some(event) if (event.nanos(), lane) < first => (first, next) = ((event.nanos(), lane), first),
                Some(event) => next = next.min((event.nanos(), lane)),
            }
        }
        (first.1 != usize::MAX).then_some((first.1, next))
    }

    /// Moves events of this lane into the batch, as long as they are the oldest. Returns `false` if the batch is full.
    fn take_run(&mut self, lane: usize, next: LaneHead, watermark: u64) -> bool {
        let (buffer, batch) = (&mut self.buffers[lane], &mut self.batch);
        let (mut run, mut is_full) = (0, false);
        let most = self.max_events - batch.events.len();
        for event in &buffer.chunk.events {
            let must_pass = buffer.chunk.start + (run as u64) < buffer.pass_until;
            if !must_pass && event.nanos() > watermark || (event.nanos(), lane) >= next {
                break;
            }
            let weight = pinned_bytes(slice::from_ref(event));
            is_full = run == most || batch.bytes + weight > self.max_bytes && batch.bytes > 0;
            if is_full {
                break;
            }
            batch.bytes += weight;
            batch.spilled += event.spilled_bytes();
            run += 1;
        }
        buffer.chunk.start += run as u64;
        let events = &mut buffer.chunk.events;
        if run == events.len() {
            // As vectors, all of them are one copy.
            let mut whole = Vec::from(mem::take(events));
            batch.events.append(&mut whole);
            *events = whole.into();
        } else {
            batch.events.extend(events.drain(..run));
        }
        !is_full
    }
}

impl LaneBuffer {
    /// Returns the next event, if it may pass.
    fn head(&self, watermark: u64) -> Option<&Event> {
        let event = self.chunk.events.front()?;
        let must_pass = self.chunk.start < self.pass_until;
        (!self.is_exhausted && (must_pass || event.nanos() <= watermark)).then_some(event)
    }
}

/// Returns the watermark of a drain that starts now.
pub(crate) fn watermark_now() -> u64 {
    clock::now_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Level;
    use std::collections::VecDeque;
    use std::time::{Duration, UNIX_EPOCH};

    const ANY: usize = usize::MAX;

    fn event(nanos: u64) -> Event {
        Event::new(Level::Info, "t", "m").with_timestamp(UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// Lanes as lists of times; taken from the front.
    struct Lanes(Vec<VecDeque<u64>>);

    impl Lanes {
        fn drain(&mut self, batcher: &mut Batcher, watermark: u64) -> Vec<u64> {
            batcher.begin(None);
            let mut times = Vec::new();
            loop {
                let batch = batcher.next_batch(watermark, |lane, chunk| {
                    chunk.events.extend(self.0[lane].drain(..).map(event));
                });
                if batch.events.is_empty() {
                    return times;
                }
                times.extend(batch.events.iter().map(Event::nanos));
            }
        }
    }

    #[test]
    fn lanes_are_merged_by_time() {
        let mut lanes = Lanes(vec![[1, 4, 9].into(), [2, 3, 10].into(), [].into()]);
        assert_eq!(lanes.drain(&mut Batcher::new(3, 2, ANY), 100), [1, 2, 3, 4, 9, 10]);
    }

    #[test]
    fn events_of_one_time_come_in_the_order_of_their_lanes() {
        let mut lanes = Lanes(vec![[2, 2].into(), [1, 2].into(), [2, 3].into()]);
        let mut batcher = Batcher::new(3, 10, ANY);
        batcher.begin(None);
        let batch = batcher.next_batch(100, |lane, chunk| {
            let named = |time: u64| event(time).with("lane", lane);
            chunk.events.extend(lanes.0[lane].drain(..).map(named));
        });
        let lane = |event: &Event| event.fields().next().map(|(_, value)| value.to_string());
        let order: Vec<_> = batch.events.iter().filter_map(lane).collect();
        assert_eq!(order, ["1", "0", "0", "1", "2", "2"]);
    }

    #[test]
    fn an_event_beyond_the_cut_is_held_for_one_drain_whatever_the_clock_says_then() {
        let mut lanes = Lanes(vec![[1, 50].into(), [2].into()]);
        let mut batcher = Batcher::new(2, 10, ANY);
        assert_eq!(lanes.drain(&mut batcher, 10), [1, 2]);
        assert_eq!(batcher.buffered(), 1);
        assert!(batcher.is_ahead_of(49) && !batcher.is_ahead_of(50));
        lanes.0[1].extend([3, 60]);
        // The clock stepped back: the watermark is still below the held event, which passes anyway; its successor
        // waits.
        assert_eq!(lanes.drain(&mut batcher, 10), [3, 50]);
        assert_eq!(lanes.drain(&mut batcher, 10), [60]);
        assert!(!batcher.is_ahead_of(0), "nothing is held");
    }

    #[test]
    fn a_flush_takes_what_came_before_it_whatever_its_time_and_nothing_else_beyond_the_cut() {
        let mut lanes = Lanes(vec![[1, 50, 60].into(), [2, 70].into(), [55].into()]);
        let mut batcher = Batcher::new(3, 2, ANY);
        batcher.begin(Some(&[2, 1, 1]));
        let mut times = Vec::new();
        loop {
            let batch = batcher.next_batch(10, |lane, chunk| chunk.events.extend(lanes.0[lane].drain(..).map(event)));
            if batch.events.is_empty() {
                break;
            }
            times.extend(batch.events.iter().map(Event::nanos));
            // Between two batches: one of a lane that was seen empty, and its successor in another one.
            lanes.0[2].extend([56]);
            batcher.buffers[0].chunk.events.push_back(event(61));
        }
        assert_eq!(times, [1, 2, 50, 55]);
        assert_eq!(lanes.drain(&mut batcher, 100), [56, 56, 60, 61, 61, 70]);
    }

    #[test]
    fn order_within_a_lane_never_changes() {
        let mut lanes = Lanes(vec![[5, 1, 2].into(), [3].into()]);
        assert_eq!(lanes.drain(&mut Batcher::new(2, 10, ANY), NO_WATERMARK), [3, 5, 1, 2]);
    }

    #[test]
    fn a_batch_ends_at_its_size_in_events_or_bytes_and_holds_one_event_at_least() {
        let sizes = |most_events, most_bytes, batches: usize| {
            let mut batcher = Batcher::new(1, most_events, most_bytes);
            let mut lane = vec![event(1), event(2), event(3)];
            batcher.begin(None);
            let mut next =
                || batcher.next_batch(NO_WATERMARK, |_, chunk| chunk.events.extend(lane.drain(..))).events.len();
            (0..batches).map(|_| next()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(10, 2 * size_of::<Event>(), 3), [2, 1, 0]);
        assert_eq!(sizes(2, ANY, 3), [2, 1, 0]);
        assert_eq!(sizes(10, 1, 4), [1, 1, 1, 0]);
    }
}
