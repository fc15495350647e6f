//! The flush task: merges the lanes by time into batches (pure).
//!
//! A task that moves between threads emits into several lanes. A drain therefore takes only events up to its watermark,
//! the time noted before it read the first lane: a newer event may have a predecessor in a lane that was already seen
//! empty. Such an event is held for this drain and passes in the next, whatever the clock says then. Order within a
//! lane never changes.

use std::collections::VecDeque;
use std::slice;

use crate::event::Event;
use crate::pipeline::weigh;
use crate::time::clock;

/// No watermark: a flush and the shutdown take every event.
pub(crate) const NO_WATERMARK: u64 = u64::MAX;

pub(super) struct Batcher {
    buffers: Box<[LaneBuffer]>,
    scratch: Vec<Event>,
    /// Where a batch is assembled: the batch made from it is then allocated once, in its size.
    batch: Vec<Event>,
    max_events: usize,
    max_bytes: usize,
}

/// Events taken out of one lane that are in no batch yet.
#[derive(Default)]
struct LaneBuffer {
    events: VecDeque<Event>,
    /// How many of them, from the front, were held by an earlier drain.
    carried_over: usize,
    /// The lane was seen empty, or past the watermark, in this drain.
    is_exhausted: bool,
}

impl Batcher {
    pub(super) fn new(lanes: usize, max_events: usize, max_bytes: usize) -> Self {
        let buffers = (0..lanes).map(|_| LaneBuffer::default()).collect();
        Batcher { buffers, scratch: Vec::new(), batch: Vec::new(), max_events, max_bytes }
    }

    /// Returns how many events are taken out of the lanes and in no batch yet.
    pub(super) fn buffered(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.events.len()).sum()
    }

    /// Starts a drain.
    pub(super) fn begin(&mut self) {
        for buffer in &mut self.buffers {
            buffer.carried_over = buffer.events.len();
            buffer.is_exhausted = false;
        }
    }

    /// Returns the drain's next batch, for the caller to take out: full, or the rest up to the watermark; empty when
    /// the drain is over. `refill` takes more events out of a lane and returns how many.
    pub(super) fn next_batch(
        &mut self,
        watermark: u64,
        mut refill: impl FnMut(usize, &mut Vec<Event>) -> usize,
    ) -> &mut Vec<Event> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let mut bytes = 0;
        while batch.len() < self.max_events
            && let Some(lane) = self.oldest(watermark, &mut refill)
        {
            let buffer = &mut self.buffers[lane];
            // Each event's context counts in full here, more than the batch will be charged: close enough to end a
            // batch by.
            let weight = buffer.events.front().map_or(0, |next| weigh(slice::from_ref(next)));
            if bytes + weight > self.max_bytes && !batch.is_empty() {
                break;
            }
            bytes += weight;
            buffer.carried_over = buffer.carried_over.saturating_sub(1);
            batch.extend(buffer.events.pop_front());
        }
        self.batch = batch;
        &mut self.batch
    }

    /// Returns the lane whose next event is the oldest that may pass.
    fn oldest(&mut self, watermark: u64, refill: &mut impl FnMut(usize, &mut Vec<Event>) -> usize) -> Option<usize> {
        let mut oldest: Option<(u64, usize)> = None;
        for lane in 0..self.buffers.len() {
            let Some(nanos) = self.head(lane, watermark, refill) else { continue };
            if oldest.is_none_or(|(least, _)| nanos < least) {
                oldest = Some((nanos, lane));
            }
        }
        oldest.map(|(_, lane)| lane)
    }

    /// Returns the time of a lane's next event that may pass.
    fn head(
        &mut self,
        lane: usize,
        watermark: u64,
        refill: &mut impl FnMut(usize, &mut Vec<Event>) -> usize,
    ) -> Option<u64> {
        let buffer = &mut self.buffers[lane];
        if buffer.is_exhausted {
            return None;
        }
        if buffer.events.is_empty() {
            refill(lane, &mut self.scratch);
            buffer.events.extend(self.scratch.drain(..));
        }
        let next =
            buffer.events.front().map(Event::nanos).filter(|&nanos| buffer.carried_over > 0 || nanos <= watermark);
        buffer.is_exhausted = next.is_none();
        next
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
    use std::time::{Duration, UNIX_EPOCH};

    const ANY: usize = usize::MAX;

    fn event(nanos: u64) -> Event {
        Event::new(Level::Info, "t", "m").with_timestamp(UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// Lanes as lists of times; taken from the front.
    struct Lanes(Vec<VecDeque<u64>>);

    impl Lanes {
        fn drain(&mut self, batcher: &mut Batcher, watermark: u64) -> Vec<u64> {
            batcher.begin();
            let mut times = Vec::new();
            loop {
                let batch = batcher.next_batch(watermark, |lane, into| {
                    let taken = self.0[lane].drain(..).map(event).collect::<Vec<_>>();
                    into.extend(taken);
                    into.len()
                });
                if batch.is_empty() {
                    return times;
                }
                times.extend(batch.iter().map(Event::nanos));
            }
        }
    }

    #[test]
    fn lanes_are_merged_by_time() {
        let mut lanes = Lanes(vec![[1, 4, 9].into(), [2, 3, 10].into(), [].into()]);
        assert_eq!(lanes.drain(&mut Batcher::new(3, 2, ANY), 100), [1, 2, 3, 4, 9, 10]);
    }

    #[test]
    fn an_event_beyond_the_cut_is_held_for_one_drain_whatever_the_clock_says_then() {
        let mut lanes = Lanes(vec![[1, 50].into(), [2].into()]);
        let mut batcher = Batcher::new(2, 10, ANY);
        assert_eq!(lanes.drain(&mut batcher, 10), [1, 2]);
        assert_eq!(batcher.buffered(), 1);
        lanes.0[1].extend([3, 60]);
        // The clock stepped back: the watermark is still below the held event, which passes anyway; its successor
        // waits.
        assert_eq!(lanes.drain(&mut batcher, 10), [3, 50]);
        assert_eq!(lanes.drain(&mut batcher, 10), [60]);
    }

    #[test]
    fn order_within_a_lane_never_changes() {
        let mut lanes = Lanes(vec![[5, 1, 2].into(), [3].into()]);
        assert_eq!(lanes.drain(&mut Batcher::new(2, 10, ANY), NO_WATERMARK), [3, 5, 1, 2]);
    }

    #[test]
    fn a_batch_ends_at_its_size_in_events_or_bytes_and_holds_one_event_at_least() {
        let mut batcher = Batcher::new(1, 10, 2 * size_of::<Event>());
        let mut lane = vec![event(1), event(2), event(3)];
        batcher.begin();
        let sizes: Vec<_> = (0..3)
            .map(|_| {
                batcher
                    .next_batch(NO_WATERMARK, |_, into| {
                        into.append(&mut lane);
                        into.len()
                    })
                    .len()
            })
            .collect();
        assert_eq!(sizes, [2, 1, 0]);
        let mut small = Batcher::new(1, 10, 1);
        small.begin();
        assert_eq!(
            small
                .next_batch(NO_WATERMARK, |_, into| {
                    into.push(event(1));
                    1
                })
                .len(),
            1
        );
    }
}
