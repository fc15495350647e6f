//! Any thread: one bounded tokio channel. Callers push, the flush task drains, a caller that finds it full may evict.
//!
//! Invariants:
//! * While the lane is open, no task registers a waker in the channel: waking a parked receiver would cost each caller
//!   two microseconds. Every poll uses a no-op waker; the flush task sleeps elsewhere.
//! * Never `try_recv`: it parks the thread on a half-finished send.
//! * `popped` counts every event taken out, evicted ones too, so `accepted = popped + rx.len()` under the lock, and the
//!   callers need no counter.
//! * Polls run without tokio's cooperative budget: it is the calling task's, and a poll that finds it spent would
//!   report a full lane as empty.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::coop::unconstrained;

use super::freed::Freed;
use crate::event::{Event, Level};
use crate::stats::{DropCounts, DropReason};

/// How many events a drain takes under one lock: permits return to the callers only when the poll returns.
const CHUNK: usize = 64;
/// How often an evictor tries before it refuses the new event: another caller may take the room it made, and the oldest
/// slot may be reserved but not yet written.
const TRIES: usize = 4;

/// One lane, on cache lines of its own: callers of neighboring lanes must not slow each other down.
#[repr(align(128))]
pub(super) struct Lane {
    pub(super) tx: mpsc::Sender<Event>,
    // A std lock: held for a chunk at most, never across an await, and taken by callers outside any runtime.
    exit: Mutex<Exit>,
    /// Spilled bytes of the events in the channel.
    bytes: AtomicUsize,
    /// For callers that wait outside the channel's own line: notified when the channel has fewer events than before.
    pub(super) freed: Freed,
    refused: [AtomicU64; DropReason::ALL.len()],
}

/// The consumer's end.
pub(super) struct Exit {
    rx: mpsc::Receiver<Event>,
    popped: u64,
    popped_by_level: [u64; Level::ALL.len()],
    evicted: DropCounts,
}

/// A lane's part of the queue's counters.
pub(super) struct LaneBook {
    pub(super) accepted: u64,
    pub(super) accepted_by_level: [u64; Level::ALL.len()],
    pub(super) evicted: DropCounts,
    pub(super) queued: u64,
    pub(super) refused: DropCounts,
}

impl Lane {
    pub(super) fn new(capacity: usize) -> Self {
        let (tx, rx) = mpsc::channel(capacity);
        let exit = Exit { rx, popped: 0, popped_by_level: [0; Level::ALL.len()], evicted: DropCounts::default() };
        Lane {
            tx,
            exit: Mutex::new(exit),
            bytes: AtomicUsize::new(0),
            freed: Freed::default(),
            refused: Default::default(),
        }
    }

    /// Locks the consumer's end. A panic under the lock leaves the counts whole: each is changed in one statement.
    fn exit(&self) -> MutexGuard<'_, Exit> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of events in the channel, those being sent included.
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.tx.max_capacity() - self.tx.capacity()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub_bytes(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Counts a refused event.
    pub(super) fn refuse(&self, reason: DropReason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Sends `event` in place of the oldest. Returns the evicted events and, if it failed, the event with the reason.
    pub(super) fn replace_oldest(&self, mut event: Event) -> (Trash, Result<(), (Event, DropReason)>) {
        let mut trash = Trash::default();
        let mut exit = self.exit();
        for attempt in 0..=TRIES {
            // Checked again under the lock: another evictor or the drain may have made room.
            event = match self.tx.try_send(event) {
                Ok(()) => return (trash, Ok(())),
                Err(TrySendError::Closed(event)) => return (trash, Err((event, DropReason::Closed))),
                Err(TrySendError::Full(event)) => event,
            };
            if attempt < TRIES
                && let Some(oldest) = exit.evict(DropReason::OverflowOldest)
            {
                self.sub_bytes(oldest.spilled_bytes());
                trash.0[attempt] = Some(oldest);
            }
        }
        (trash, Err((event, DropReason::OverflowNewest)))
    }

    /// Evicts the oldest events until `enough` returns `true` or the lane is empty.
    pub(super) fn evict_for_bytes(&self, mut enough: impl FnMut() -> bool, release: impl Fn(usize)) -> bool {
        loop {
            if enough() {
                return true;
            }
            let Some(oldest) = self.exit().evict(DropReason::Memory) else { return false };
            let bytes = oldest.spilled_bytes();
            self.sub_bytes(bytes);
            drop(oldest);
            release(bytes);
            self.freed.ring();
        }
    }

    /// Takes up to a chunk of the oldest events that are completely written; none if the lane has reached `goal`.
    pub(super) fn drain(&self, goal: u64, into: &mut Vec<Event>) -> usize {
        let mut exit = self.exit();
        if exit.popped >= goal {
            return 0;
        }
        let polled = exit.poll_drain(&mut Context::from_waker(Waker::noop()), into);
        drop(exit);
        self.freed.ring();
        let taken = if let Poll::Ready(taken) = polled { taken } else { 0 };
        self.sub_bytes_of(into, taken);
        taken
    }

    /// Like [`Lane::drain`] with a real waker, on a closed lane: `Ready(0)` means that every accepted event is taken
    /// out, also those whose sender was between permit and publication when the lane closed.
    pub(super) fn poll_drain_closed(&self, cx: &mut Context<'_>, into: &mut Vec<Event>) -> Poll<usize> {
        let polled = self.exit().poll_drain(cx, into);
        if let Poll::Ready(taken) = polled {
            self.sub_bytes_of(into, taken);
        }
        polled
    }

    fn sub_bytes_of(&self, events: &[Event], taken: usize) {
        let bytes = events[events.len() - taken..].iter().map(Event::spilled_bytes).sum();
        self.sub_bytes(bytes);
    }

    /// Closes the lane: no event enters from here on; accepted events can still be drained.
    pub(super) fn close(&self) {
        self.exit().rx.close();
        self.freed.ring();
    }

    /// Returns how many events were accepted so far, and how many of them were taken out.
    pub(super) fn position(&self) -> (u64, u64) {
        let exit = self.exit();
        (exit.accepted(), exit.popped)
    }

    pub(super) fn book(&self) -> LaneBook {
        let exit = self.exit();
        let mut refused = DropCounts::default();
        for reason in DropReason::REFUSED {
            refused.add(reason, self.refused[reason as usize].load(Ordering::Relaxed));
        }
        // Read once: callers keep pushing meanwhile.
        let queued = exit.rx.len() as u64;
        LaneBook {
            accepted: exit.popped + queued,
            accepted_by_level: exit.popped_by_level,
            evicted: exit.evicted,
            queued,
            refused,
        }
    }
}

impl Exit {
    fn accepted(&self) -> u64 {
        self.popped + self.rx.len() as u64
    }

    fn evict(&mut self, reason: DropReason) -> Option<Event> {
        let rx = &mut self.rx;
        // The drain of a closed lane waits here with a real waker, which this one would replace.
        if rx.is_closed() {
            return None;
        }
        let oldest = match poll_unbudgeted(&mut Context::from_waker(Waker::noop()), |cx| rx.poll_recv(cx)) {
            Poll::Ready(Some(oldest)) => oldest,
            Poll::Ready(None) | Poll::Pending => return None,
        };
        self.popped += 1;
        self.popped_by_level[oldest.level() as usize] += 1;
        self.evicted.add(reason, 1);
        Some(oldest)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, into: &mut Vec<Event>) -> Poll<usize> {
        let rx = &mut self.rx;
        let polled = poll_unbudgeted(cx, |cx| rx.poll_recv_many(cx, into, CHUNK));
        if let Poll::Ready(taken) = polled {
            self.popped += taken as u64;
            for event in &into[into.len() - taken..] {
                self.popped_by_level[event.level() as usize] += 1;
            }
        }
        polled
    }
}

fn poll_unbudgeted<T>(cx: &mut Context<'_>, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(unconstrained(poll_fn(poll))).poll(cx)
}

/// Evicted events, to be dropped when no lock is held: dropping one may free memory.
#[derive(Default)]
pub(super) struct Trash([Option<Event>; TRIES]);

impl Trash {
    pub(super) fn spilled_bytes(&self) -> usize {
        self.0.iter().flatten().map(Event::spilled_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    fn event() -> Event {
        Event::new(Level::Info, "t", "m")
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_closed_lane_is_not_empty_while_a_permit_is_out() {
        let lane = Lane::new(4);
        let permit = lane.tx.try_reserve().expect("it is empty");
        lane.close();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let (mut cx, mut events) = (Context::from_waker(&waker), Vec::new());
        assert!(lane.poll_drain_closed(&mut cx, &mut events).is_pending());
        permit.send(event());
        assert!(woken.0.load(Ordering::Relaxed), "the drain is told");
        assert_eq!(lane.poll_drain_closed(&mut cx, &mut events), Poll::Ready(1));
        assert_eq!(lane.poll_drain_closed(&mut cx, &mut events), Poll::Ready(0));
        assert_eq!((lane.position(), lane.book().accepted), ((1, 1), 1));
    }

    #[test]
    fn a_late_evictor_does_not_take_the_place_of_the_last_drain() {
        let lane = Lane::new(4);
        let permit = lane.tx.try_reserve().expect("it is empty");
        lane.close();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        assert!(lane.poll_drain_closed(&mut Context::from_waker(&waker), &mut Vec::new()).is_pending());
        // The evictor found the lane open, and full of bytes, a moment ago.
        assert!(!lane.evict_for_bytes(|| false, |_| {}));
        permit.send(event());
        assert!(woken.0.load(Ordering::Relaxed), "nobody else tells the drain that the last event is there");
    }

    #[test]
    fn a_newcomer_whose_oldest_is_not_yet_written_is_refused() {
        let lane = Lane::new(1);
        let permit = lane.tx.try_reserve().expect("it is empty");
        let (trash, sent) = lane.replace_oldest(event());
        assert_eq!(trash.0.iter().flatten().count(), 0);
        assert_eq!(sent.err().map(|(_, reason)| reason), Some(DropReason::OverflowNewest));
        permit.send(event());
        let (trash, sent) = lane.replace_oldest(event());
        assert_eq!((trash.0.iter().flatten().count(), sent.is_ok()), (1, true));
        let book = lane.book();
        assert_eq!((book.accepted, book.evicted.get(DropReason::OverflowOldest), book.queued), (2, 1, 1));
    }
}
