//! The model: tokio's bounded channel, the receiver's lock, the evictor, the signal and the flush task.

use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use loom::sync::{Mutex, MutexGuard, Notify};

use super::{Repairs, Sleep};

/// More than any schedule sends: slots are not used twice.
const SLOTS: usize = 6;
const CHUNK: usize = 2;
const TRIES: usize = 2;
const CLOSED: usize = 1;
const PERMIT: usize = 2;

/// Not 0, which is a slot without one.
pub(super) type Event = usize;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Refused {
    Full,
    Closed,
}

#[derive(Clone, Copy)]
enum Waker {
    Noop,
    FlushTask,
}

pub(super) struct Lane {
    repairs: Repairs,
    capacity: usize,
    /// Free places, and whether it is closed.
    permits: AtomicUsize,
    tail: AtomicUsize,
    slots: [AtomicUsize; SLOTS],
    waker: Mutex<Option<Waker>>,
    exit: Mutex<Exit>,
    raised: AtomicBool,
    bell: Bell,
}

#[derive(Default)]
pub(super) struct Exit {
    /// The oldest slot; as many events were taken out.
    pub(super) index: usize,
    is_closed: bool,
    drained: Vec<Event>,
    pub(super) evicted: Vec<Event>,
    /// Evictions for a place although there was one.
    needless: usize,
}

/// A task's wake-up that is on its way.
struct Bell {
    rung: AtomicBool,
    notify: Notify,
}

impl Bell {
    fn ring(&self) {
        self.rung.swap(true, AcqRel);
        self.notify.notify();
    }

    fn take(&self) -> bool {
        self.rung.swap(false, AcqRel)
    }

    fn wait(&self) {
        while !self.take() {
            self.notify.wait();
        }
    }
}

/// The channel.
impl Lane {
    pub(super) fn new(repairs: Repairs, capacity: usize) -> Arc<Self> {
        Arc::new(Lane {
            repairs,
            capacity,
            permits: AtomicUsize::new(capacity * PERMIT),
            tail: AtomicUsize::new(0),
            slots: Default::default(),
            waker: Mutex::new(None),
            exit: Mutex::new(Exit::default()),
            raised: AtomicBool::new(false),
            bell: Bell { rung: AtomicBool::new(false), notify: Notify::new() },
        })
    }

    pub(super) fn acquire(&self) -> Result<(), Refused> {
        let mut permits = self.permits.load(Acquire);
        loop {
            if permits & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            if permits < PERMIT {
                return Err(Refused::Full);
            }
            match self.permits.compare_exchange(permits, permits - PERMIT, AcqRel, Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => permits = now,
            }
        }
    }

    /// The second half of a send, for whoever has a permit.
    pub(super) fn publish(&self, event: Event) {
        let slot = self.tail.fetch_add(1, Acquire);
        self.slots[slot].store(event, Release);
        self.wake();
    }

    fn try_send(&self, event: Event) -> Result<(), Refused> {
        self.acquire()?;
        self.publish(event);
        Ok(())
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap().take();
        if let Some(Waker::FlushTask) = waker {
            self.bell.ring();
        }
    }

    fn is_ready(&self, slot: usize) -> bool {
        self.slots[slot].load(Acquire) != 0
    }

    fn is_closed(&self) -> bool {
        self.permits.load(Acquire) & CLOSED != 0
    }

    fn has_room(&self) -> bool {
        self.permits.load(Acquire) >= PERMIT
    }

    fn len(&self, exit: &Exit) -> usize {
        let tail = self.tail.load(Acquire);
        match tail - exit.index {
            0 => 0,
            // The last slot may be a closed channel's mark, so it counts only once it is written.
            len if self.is_ready(tail - 1) => len,
            len => len - 1,
        }
    }

    fn pop(&self, exit: &mut Exit, limit: usize) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < limit {
            match self.slots[exit.index].load(Acquire) {
                0 => break,
                event => events.push(event),
            }
            exit.index += 1;
        }
        if events.is_empty() {
            return None;
        }
        self.permits.fetch_add(events.len() * PERMIT, Release);
        Some(events)
    }

    fn poll(&self, exit: &mut Exit, limit: usize, waker: Waker) -> Poll<Vec<Event>> {
        if let Some(events) = self.pop(exit, limit) {
            return Poll::Ready(events);
        }
        let replaced = self.waker.lock().unwrap().replace(waker);
        if let Some(events) = self.pop(exit, limit) {
            return Poll::Ready(events);
        }
        let is_idle = || self.permits.load(Acquire) / PERMIT == self.capacity;
        if exit.is_closed && is_idle() {
            return Poll::Ready(Vec::new());
        }
        let is_replaced = matches!((replaced, waker), (Some(Waker::FlushTask), Waker::Noop));
        if is_replaced && self.repairs.sleep == Sleep::InTheChannelAndEvictorsWakeIt {
            self.bell.ring();
        }
        Poll::Pending
    }
}

/// The callers' side.
impl Lane {
    /// An event that is to be handed out at once. Returns it if it was accepted.
    pub(super) fn push(&self, event: Event) -> Option<Event> {
        let sent = match self.try_send(event) {
            Err(Refused::Full) => {
                self.raise();
                self.replace_oldest(event)
            }
            sent => sent,
        };
        sent.is_ok().then(|| {
            self.raise();
            event
        })
    }

    fn replace_oldest(&self, event: Event) -> Result<(), Refused> {
        let mut exit = self.exit();
        for attempt in 0..=TRIES {
            if attempt > 0 || self.repairs.look_again {
                match self.try_send(event) {
                    Err(Refused::Full) => {}
                    sent => return sent,
                }
            }
            if attempt < TRIES {
                let has_room = self.has_room();
                exit.needless += usize::from(self.evict(&mut exit) && has_room);
            }
        }
        Err(Refused::Full)
    }

    /// Evicts the oldest without looking whether there is room: what is missing are bytes.
    pub(super) fn evict_for_bytes(&self) {
        self.evict(&mut self.exit());
    }

    fn evict(&self, exit: &mut Exit) -> bool {
        if self.repairs.mind_the_close && self.is_closed() {
            return false;
        }
        match self.poll(exit, 1, Waker::Noop) {
            Poll::Ready(oldest) => {
                exit.evicted.extend(&oldest);
                !oldest.is_empty()
            }
            Poll::Pending => false,
        }
    }

    fn raise(&self) {
        let is_up = if self.repairs.raise_writes {
            self.raised.swap(true, AcqRel)
        } else {
            self.raised.load(Acquire) || self.raised.swap(true, AcqRel)
        };
        if !is_up && self.repairs.sleep == Sleep::OnTheSignal {
            self.bell.ring();
        }
    }

    pub(super) fn exit(&self) -> MutexGuard<'_, Exit> {
        self.exit.lock().unwrap()
    }
}

/// The flush task's side.
impl Lane {
    /// What it does when it wakes up.
    pub(super) fn turn(&self) {
        if self.repairs.sleep != Sleep::OnTheSignal {
            return self.turn_in_the_channel();
        }
        if self.repairs.lower_first {
            self.lower();
        }
        let goal = {
            let exit = self.exit();
            exit.index + self.len(&exit)
        };
        while self.drain(goal) {}
        if !self.repairs.lower_first {
            self.lower();
        }
    }

    fn lower(&self) {
        if self.repairs.lower_reads {
            self.raised.swap(false, AcqRel);
        } else {
            self.raised.store(false, Release);
        }
    }

    fn drain(&self, goal: usize) -> bool {
        let mut exit = self.exit();
        if exit.index >= goal {
            return false;
        }
        match self.poll(&mut exit, CHUNK, Waker::Noop) {
            Poll::Ready(events) => {
                exit.drained.extend(&events);
                !events.is_empty()
            }
            Poll::Pending => false,
        }
    }

    fn turn_in_the_channel(&self) {
        let mut exit = self.exit();
        while let Poll::Ready(events) = self.poll(&mut exit, CHUNK, Waker::FlushTask) {
            exit.drained.extend(events);
        }
    }

    pub(super) fn close(&self) {
        let mut exit = self.exit();
        exit.is_closed = true;
        self.permits.fetch_or(CLOSED, Release);
    }

    /// Drains the closed lane. Waits in the channel.
    pub(super) fn drain_closed(&self) {
        loop {
            let mut exit = self.exit();
            if !self.repairs.until_ready_zero && self.looks_empty(&exit) {
                return;
            }
            let polled = self.poll(&mut exit, CHUNK, Waker::FlushTask);
            if let Poll::Ready(events) = &polled {
                exit.drained.extend(events);
            }
            drop(exit);
            match polled {
                Poll::Ready(events) if events.is_empty() => return,
                Poll::Ready(_) => {}
                Poll::Pending => self.bell.wait(),
            }
        }
    }

    fn looks_empty(&self, exit: &Exit) -> bool {
        !self.is_ready(exit.index) && self.len(exit) == 0
    }

    /// The turns of a flush task that was woken, until it sleeps for good.
    pub(super) fn turn_while_rung(&self) {
        while self.bell.take() {
            self.turn();
        }
    }

    /// Every accepted event is out, once, in order if the caller gives them in order.
    pub(super) fn assert_settled(&self, accepted: impl IntoIterator<Item = Event>) {
        let exit = self.exit();
        assert_eq!(self.tail.load(Acquire), exit.index, "an event is left in the lane and nobody is woken for it");
        let mut out: Vec<_> = exit.drained.iter().chain(&exit.evicted).copied().collect();
        let mut accepted: Vec<_> = accepted.into_iter().collect();
        out.sort_unstable();
        accepted.sort_unstable();
        assert_eq!(out, accepted, "taken out, and accepted");
        assert!(exit.drained.is_sorted_by_key(|event| self.slot_of(*event)), "drained out of order");
        assert_eq!(exit.needless, 0, "an event was evicted although there was room");
    }

    fn slot_of(&self, event: Event) -> usize {
        self.slots.iter().position(|slot| slot.load(Acquire) == event).unwrap()
    }
}
