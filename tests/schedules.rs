//! Every schedule of a small model of a lane, and a failing one for each repair taken out of it.
//!
//! The model is tokio's bounded channel as `src/queue/lane.rs` uses it, step by step and with its memory orderings: a
//! permit, a claimed slot, its publication, the waker; and around it the receiver's lock, the evictor, the signal and
//! the flush task. What guards no memory of its own here is simpler: a slot holds its event and its ready flag in one
//! number, and the waker's cell is a lock.
//!
//! A flush task that sleeps is not a thread that waits but one that looks at its bell now and then: whatever a schedule
//! leaves in the lane under a silent bell is lost until the next event. Assertions stand at the end of a schedule,
//! where no other thread is left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use loom::sync::{Mutex, MutexGuard, Notify};
use loom::thread;

/// What the lane and the signal do to be right; each can be taken out.
#[derive(Clone, Copy)]
struct Repairs {
    /// A caller raises the flag with a read-modify-write, not with a load where it is up.
    raise_writes: bool,
    /// The flush task lowers it with a read-modify-write, not with a store.
    lower_reads: bool,
    /// It lowers it before it drains, not after.
    lower_first: bool,
    sleep: Sleep,
    /// An evictor tries once more to send, under the lock, before it evicts.
    look_again: bool,
    /// An evictor leaves a closed lane alone.
    mind_the_close: bool,
    /// The last drain goes on until the channel says that no event can come, not until it looks empty.
    until_ready_zero: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sleep {
    OnTheSignal,
    InTheChannel,
    /// An evictor that finds nothing wakes the flush task, whose waker it replaced.
    InTheChannelAndEvictorsWakeIt,
}

const REPAIRED: Repairs = Repairs {
    raise_writes: true,
    lower_reads: true,
    lower_first: true,
    sleep: Sleep::OnTheSignal,
    look_again: true,
    mind_the_close: true,
    until_ready_zero: true,
};

/// More than any schedule sends: slots are not used twice.
const SLOTS: usize = 6;
const CHUNK: usize = 2;
const TRIES: usize = 2;
const CLOSED: usize = 1;
const PERMIT: usize = 2;

/// Not 0, which is a slot without one.
type Event = usize;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Refused {
    Full,
    Closed,
}

#[derive(Clone, Copy)]
enum Waker {
    Noop,
    FlushTask,
}

struct Lane {
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
struct Exit {
    /// The oldest slot; as many events were taken out.
    index: usize,
    is_closed: bool,
    drained: Vec<Event>,
    evicted: Vec<Event>,
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
    fn new(repairs: Repairs, capacity: usize) -> Arc<Self> {
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

    fn acquire(&self) -> Result<(), Refused> {
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
    fn publish(&self, event: Event) {
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
    fn push(&self, event: Event) -> Option<Event> {
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
    fn evict_for_bytes(&self) {
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

    fn exit(&self) -> MutexGuard<'_, Exit> {
        self.exit.lock().unwrap()
    }
}

/// The flush task's side.
impl Lane {
    /// What it does when it wakes up.
    fn turn(&self) {
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

    fn close(&self) {
        let mut exit = self.exit();
        exit.is_closed = true;
        self.permits.fetch_or(CLOSED, Release);
    }

    /// Drains the closed lane. Waits in the channel.
    fn drain_closed(&self) {
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
    fn turn_while_rung(&self) {
        while self.bell.take() {
            self.turn();
        }
    }

    /// Every accepted event is out, once, in order if the caller gives them in order.
    fn assert_settled(&self, accepted: impl IntoIterator<Item = Event>) {
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

/// Runs `schedule` in every order of steps with at most so many preemptions.
fn explore(preemptions: usize, schedule: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    // `LOOM_MAX_PREEMPTIONS` asks for more.
    model.preemption_bound = model.preemption_bound.max(Some(preemptions));
    model.check(schedule);
}

/// Some schedule ends in a panic that says `symptom`.
fn assert_fails(symptom: &str, explore: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(explore)).expect_err("every schedule went well");
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap();
    assert!(text.contains(symptom), "another failure: {text}");
}

const STRANDED: &str = "nobody is woken for it";
const DEADLOCK: &str = "deadlock";

/// Two callers, and a flush task that looks twice meanwhile.
fn signal(repairs: Repairs) {
    explore(3, move || {
        let lane = Lane::new(repairs, 2);
        let callers = [1, 2].map(|event| {
            let lane = lane.clone();
            thread::spawn(move || lane.push(event))
        });
        lane.turn_while_rung();
        let accepted: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        lane.turn_while_rung();
        assert_eq!(accepted.len(), 2);
        lane.assert_settled(accepted);
    });
}

#[test]
fn after_an_urgent_event_the_flush_task_is_woken_or_has_it() {
    signal(REPAIRED);
}

#[test]
fn a_flag_raised_by_a_load_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { raise_writes: false, ..REPAIRED }));
}

#[test]
fn a_flag_lowered_without_reading_it_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { lower_reads: false, ..REPAIRED }));
}

#[test]
fn a_flag_lowered_after_the_drain_loses_a_wake_up() {
    assert_fails(STRANDED, || signal(Repairs { lower_first: false, ..REPAIRED }));
}

/// Callers of a lane that is full already, with the flush task between them.
fn overflow(repairs: Repairs, capacity: usize, callers: &'static [&'static [Event]], preemptions: usize) {
    explore(preemptions, move || {
        let lane = Lane::new(repairs, capacity);
        // The flush task has looked at the empty lane and sleeps; what fills it has woken it, but it has not looked again.
        lane.turn();
        let mut accepted: Vec<_> = (1..=capacity).filter_map(|event| lane.push(event)).collect();
        let callers: Vec<_> = callers
            .iter()
            .map(|events| {
                let lane = lane.clone();
                thread::spawn(move || events.iter().filter_map(|event| lane.push(*event)).collect::<Vec<_>>())
            })
            .collect();
        lane.turn_while_rung();
        callers.into_iter().for_each(|caller| accepted.extend(caller.join().unwrap()));
        lane.turn_while_rung();
        lane.assert_settled(accepted);
    });
}

#[test]
fn every_accepted_event_is_taken_out_once_and_evicted_only_from_a_full_lane() {
    overflow(REPAIRED, 1, &[&[11], &[21]], 2);
    overflow(REPAIRED, 2, &[&[11, 12]], 3);
}

#[test]
fn an_evictor_that_does_not_look_again_evicts_beside_free_places() {
    let repairs = Repairs { look_again: false, ..REPAIRED };
    assert_fails("although there was room", || overflow(repairs, 3, &[&[11]], 3));
}

/// Callers for one place whose first event may be half sent. The flush task sleeps until they are gone.
fn asleep(repairs: Repairs) {
    explore(3, move || {
        let lane = Lane::new(repairs, 1);
        lane.turn();
        let callers = [1, 2].map(|event| {
            let lane = lane.clone();
            thread::spawn(move || lane.push(event))
        });
        let accepted: Vec<_> = callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect();
        let evicted = lane.exit().evicted.len();
        assert_eq!(accepted.len() - evicted, 1, "each eviction admits one event, so one stays");
        lane.turn_while_rung();
        lane.assert_settled(accepted);
    });
}

#[test]
fn one_eviction_admits_one_event_and_the_sleeping_flush_task_is_woken_for_it() {
    asleep(REPAIRED);
}

#[test]
fn a_flush_task_parked_in_the_channel_is_lost_to_an_evictors_waker() {
    assert_fails(STRANDED, || asleep(Repairs { sleep: Sleep::InTheChannel, ..REPAIRED }));
}

#[test]
fn waking_the_parked_flush_task_where_nothing_was_evicted_is_not_enough() {
    assert_fails(STRANDED, || asleep(Repairs { sleep: Sleep::InTheChannelAndEvictorsWakeIt, ..REPAIRED }));
}

/// The end: a caller that has its permit but has sent nothing yet, another caller, and one that looks for bytes.
fn close(repairs: Repairs, others: &'static [fn(&Lane) -> Option<Event>], preemptions: usize) {
    explore(preemptions, move || {
        let lane = Lane::new(repairs, 2);
        lane.acquire().unwrap();
        let half_sent = {
            let lane = lane.clone();
            thread::spawn(move || lane.publish(1))
        };
        let others: Vec<_> = others
            .iter()
            .map(|other| {
                let lane = lane.clone();
                thread::spawn(move || other(&lane))
            })
            .collect();
        lane.close();
        lane.drain_closed();
        let out = lane.exit().index;
        half_sent.join().unwrap();
        let accepted: Vec<_> = others.into_iter().filter_map(|other| other.join().unwrap()).chain([1]).collect();
        lane.assert_settled(accepted);
        assert_eq!(lane.exit().index, out, "nothing comes after the end");
    });
}

fn pushes(lane: &Lane) -> Option<Event> {
    lane.push(2)
}

fn evicts(lane: &Lane) -> Option<Event> {
    lane.evict_for_bytes();
    None
}

#[test]
fn the_last_drain_ends_and_has_everything_that_was_accepted() {
    close(REPAIRED, &[pushes], 3);
    close(REPAIRED, &[evicts], 3);
    close(REPAIRED, &[pushes, evicts], 2);
}

#[test]
fn a_closed_lane_that_looks_empty_is_not() {
    assert_fails(STRANDED, || close(Repairs { until_ready_zero: false, ..REPAIRED }, &[], 3));
}

#[test]
fn an_evictor_in_a_closed_lane_takes_the_place_of_the_last_drain() {
    assert_fails(DEADLOCK, || close(Repairs { mind_the_close: false, ..REPAIRED }, &[evicts], 3));
}
