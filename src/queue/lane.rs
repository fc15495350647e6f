//! Any thread: one lane. Callers fill its open chunk; full chunks go through a bounded tokio channel; the flush task takes
//! the oldest chunk, at last the open one, and gives back an empty one.
//!
//! Invariants:
//! * Everything happens under the lane's lock, each send and each receive of the channel included. So no event is ever half
//!   written, the counts are numbers, and neither a waiter nor a waker is in the channel.
//! * Under the lock runs no code but this file's and the channel's: no waker, no event is dropped, nothing is observed.
//! * Events leave in the order in which they came: those of `oldest`, of the channel, of `open`.

use std::collections::VecDeque;
use std::mem;

use super::IntakeBook;
use super::sync::{Mutex, MutexGuard, PoisonError, TryLockError, mpsc, unobserved};
use crate::event::{Event, Level};
use crate::stats::{DropCounts, DropReason};

/// The most events in a chunk: what a caller pays for a send, and the flush task for a receive, is divided by it.
pub(super) const CHUNK: usize = 64;

/// Events of one lane, oldest first.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) events: VecDeque<Event>,
    /// How many events the lane accepted before the first of these.
    pub(crate) start: u64,
    /// The heap bytes of those events.
    heap_bytes: usize,
}

/// One lane, on cache lines of its own: callers of neighboring lanes must not slow each other down.
#[repr(align(128))]
pub(super) struct Lane {
    // A std lock: held for one event or one chunk, never across an await.
    state: Mutex<LaneState>,
}

/// What a lane holds and has counted.
pub(super) struct LaneState {
    /// How many events the lane may hold, by whether they may use the reserve: 0 once it is closed.
    limits: [usize; 2],
    /// The number of events from which on a caller wakes the flush task.
    wake_at: usize,
    len: usize,
    /// The heap bytes of all its events.
    heap_bytes: usize,
    accepted: [u64; Level::ALL.len()],
    /// A vector: to push into it copies an event once.
    open: Vec<Event>,
    open_bytes: usize,
    chunk: usize,
    sender: mpsc::Sender<Chunk>,
    receiver: mpsc::Receiver<Chunk>,
    /// The chunk of which events were evicted.
    oldest: Chunk,
    /// Empty chunks: what was allocated once is used again.
    spare: Vec<Chunk>,
    evicted: DropCounts,
    refused: DropCounts,
    is_closed: bool,
}

impl Lane {
    /// A lane for so many events, of which those below the reserve's level may take `open_places`.
    pub(super) fn new(capacity: usize, open_places: usize) -> Self {
        let chunk = capacity.min(CHUNK);
        // Used once, so that subscribers decide about tokio's reports here, where nothing is locked.
        let (sender, receiver) = unobserved(|| {
            let (sender, mut receiver) = mpsc::channel(capacity / chunk);
            if sender.try_send(Chunk::default()).is_ok() {
                drop(receiver.try_recv());
            }
            (sender, receiver)
        });
        Lane {
            state: Mutex::new(LaneState {
                limits: [open_places, capacity],
                wake_at: half(open_places),
                len: 0,
                heap_bytes: 0,
                accepted: [0; Level::ALL.len()],
                open: Vec::with_capacity(chunk),
                open_bytes: 0,
                chunk,
                sender,
                receiver,
                oldest: Chunk::default(),
                // As many as there can be: under the lock nothing is allocated.
                spare: Vec::with_capacity(capacity / chunk + 3),
                evicted: DropCounts::default(),
                refused: DropCounts::default(),
                is_closed: false,
            }),
        }
    }

    /// Locks the lane. A panic under the lock leaves the counts whole: none of its code calls what may panic.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the lane, unless another thread has it.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, LaneState>> {
        self.state.try_lock().ok()
    }

    /// Locks the lane, unless another thread has it that may be gone, as `is_gone` tells: a forked child has none of its
    /// parent's other threads.
    pub(super) fn lock_unless(&self, is_gone: impl FnOnce() -> bool) -> Option<MutexGuard<'_, LaneState>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if is_gone() => None,
            Err(TryLockError::WouldBlock) => Some(self.lock()),
        }
    }

    /// Takes the oldest chunk into `chunk`, which is empty; leaves it empty if the lane has none, or has reached `goal`, one
    /// of its positions.
    pub(super) fn take(&self, goal: u64, chunk: &mut Chunk) {
        let mut state = self.lock();
        let (emptied, start) = (mem::take(chunk), state.position() - state.len as u64);
        if state.len == 0 || start >= goal {
            return state.recycle(emptied);
        }
        *chunk = if !state.oldest.events.is_empty() {
            mem::replace(&mut state.oldest, emptied)
        } else if let Some(full) = state.receive() {
            state.recycle(emptied);
            full
        } else {
            let next = state.spare.pop().unwrap_or(emptied);
            state.replace_open(next)
        };
        chunk.start = start;
        state.len -= chunk.events.len();
        state.heap_bytes -= mem::take(&mut chunk.heap_bytes);
    }

    /// Closes the lane: no event enters from here on; accepted ones can still be taken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.limits = [0; 2];
        state.is_closed = true;
    }

    /// Has a caller wake the flush task for the first event, or for half of the places; returns how many events there are.
    pub(super) fn arm(&self, for_the_first: bool) -> usize {
        let mut state = self.lock();
        state.wake_at = if for_the_first { 1 } else { half(state.limits[0]) };
        state.len
    }

    /// Returns how many events were accepted so far, and how many of them are no longer in the lane.
    pub(super) fn positions(&self) -> (u64, u64) {
        let state = self.lock();
        (state.position(), state.position() - state.len as u64)
    }

    /// Adds this lane's counters.
    pub(super) fn add_to(&self, book: &mut IntakeBook) {
        let state = self.lock();
        book.refused.merge(&state.refused);
        book.evicted.merge(&state.evicted);
        book.in_lanes += state.len as u64;
        book.accepted_by_level.iter_mut().zip(state.accepted).for_each(|(sum, count)| *sum += count);
    }
}

/// Half of the places that every event may take. To wake the flush task earlier moves cache lines while callers emit.
fn half(open_places: usize) -> usize {
    (open_places / 2).max(1)
}

impl Chunk {
    pub(super) fn with_capacity(events: usize) -> Self {
        Chunk { events: VecDeque::with_capacity(events), ..Chunk::default() }
    }
}

impl LaneState {
    /// Returns whether there is a place for an event; `is_reserved`: it may use the reserve.
    #[inline]
    pub(super) fn has_place(&self, is_reserved: bool) -> bool {
        self.len < self.limits[usize::from(is_reserved)]
    }

    /// Returns whether the open chunk has room. If not, no chunk was empty when it became full, and the next caller allocates
    /// one, with the lane unlocked.
    #[inline]
    pub(super) fn has_chunk(&self) -> bool {
        self.open.len() < self.open.capacity()
    }

    /// Adds an empty chunk; see [`LaneState::has_chunk`].
    pub(super) fn supply(&mut self, chunk: Chunk) {
        if self.open.is_empty() {
            let before = self.replace_open(chunk);
            return self.recycle(before);
        }
        self.recycle(chunk);
        if !self.has_chunk() {
            self.send();
        }
    }

    /// Returns the number of events in a full chunk.
    pub(super) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Adds an event, for which there is a place. Returns whether the caller has to wake the flush task.
    #[inline(always)]
    pub(super) fn put(&mut self, event: Event, level: Level, heap_bytes: usize) -> bool {
        // Two ways, so that on the usual one the event is copied once: where a vector may grow, it is copied before.
        if self.has_chunk() {
            self.open.push(event);
        } else {
            self.grow(event);
        }
        self.open_bytes += heap_bytes;
        self.heap_bytes += heap_bytes;
        self.accepted[level as usize] += 1;
        self.len += 1;
        if !self.has_chunk() {
            self.send();
        }
        self.len >= self.wake_at
    }

    /// Takes the oldest event out, for this reason, to be dropped once the lane is unlocked.
    pub(super) fn evict(&mut self, reason: DropReason) -> Option<Event> {
        if self.oldest.events.is_empty()
            && let Some(next) = self.receive()
        {
            let emptied = mem::replace(&mut self.oldest, next);
            self.recycle(emptied);
        }
        let (event, bytes_there) = match self.oldest.events.pop_front() {
            Some(event) => (event, &mut self.oldest.heap_bytes),
            None if self.open.is_empty() => return None,
            None => (self.open.remove(0), &mut self.open_bytes),
        };
        let bytes = event.spilled_bytes();
        *bytes_there -= bytes;
        self.heap_bytes -= bytes;
        self.len -= 1;
        self.evicted.add(reason, 1);
        Some(event)
    }

    /// Returns how many events were accepted so far: the position of the last one in this lane.
    pub(super) fn position(&self) -> u64 {
        self.accepted.iter().sum()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Counts a refused event.
    pub(super) fn refuse(&mut self, reason: DropReason) {
        self.refused.add(reason, 1);
    }

    /// Sends the open chunk, which is full, if there is an empty one for its place.
    #[cold]
    fn send(&mut self) {
        let Some(next) = self.spare.pop() else { return };
        let full = self.replace_open(next);
        // There is room for as many full chunks as the lane may hold. If not, the chunk stays the open one, and grows.
        if let Err(refused) = unobserved(|| self.sender.try_send(full)) {
            self.open = refused.into_inner().events.into();
            self.open.reserve(self.chunk);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, event: Event) {
        self.open.push(event);
    }

    /// Returns the number of empty chunks, and how many there can be.
    #[cfg(test)]
    pub(super) fn spare(&self) -> (usize, usize) {
        (self.spare.len(), self.spare.capacity())
    }

    fn receive(&mut self) -> Option<Chunk> {
        unobserved(|| self.receiver.try_recv()).ok()
    }

    fn replace_open(&mut self, next: Chunk) -> Chunk {
        let open = mem::replace(&mut self.open, next.events.into());
        Chunk { events: open.into(), start: 0, heap_bytes: mem::take(&mut self.open_bytes) }
    }

    fn recycle(&mut self, emptied: Chunk) {
        if emptied.events.capacity() > 0 {
            self.spare.push(emptied);
        }
    }
}
