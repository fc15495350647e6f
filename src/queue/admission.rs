//! The caller's thread: puts an event into its lane, or does what the overflow policy says.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::account::ContextCharge;
use super::lane::{Chunk, Lane, LaneState};
use super::sync::{AtomicUsize, MutexGuard, Ordering};
use super::ticket::{Ticket, TicketEnd};
use super::{Overflow, Queue};
use crate::context::contain::contain_waker;
use crate::context::process_end;
use crate::context::thread_flags::is_logger_thread;
use crate::event::{Event, Level};
use crate::stats::DropReason;
use crate::time::{clock, timer};

/// What an event needs and cannot have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// An open lane.
    Closed,
    /// A context that the account had room for.
    Context,
    /// Bytes of the account.
    Memory,
    /// A place in the lane.
    Place,
    /// A place outside the reserve.
    OpenPlace,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Refuse,
    /// Older events of the lane are evicted.
    Evict,
    Wait(Duration),
}

impl Overflow {
    fn remedy(self, lack: Lack) -> Remedy {
        match (self, lack) {
            (Overflow::DropOldest | Overflow::DropNewest | Overflow::Block(_), Lack::Closed | Lack::Context) => {
                Remedy::Refuse
            }
            // No other event makes room for one that is not important.
            (Overflow::DropOldest | Overflow::DropNewest | Overflow::Block(_), Lack::OpenPlace) => Remedy::Refuse,
            (Overflow::DropOldest, Lack::Memory | Lack::Place) => Remedy::Evict,
            (Overflow::DropNewest, Lack::Memory | Lack::Place) => Remedy::Refuse,
            (Overflow::Block(time), Lack::Memory | Lack::Place) => Remedy::Wait(time),
        }
    }
}

/// Events that made room for another one, to be dropped once the lane is unlocked. The first takes no memory.
#[derive(Default)]
struct Evicted {
    last: Option<(Event, DropReason)>,
    others: Vec<(Event, DropReason)>,
}

impl Evicted {
    fn add(&mut self, event: Event, reason: DropReason) {
        self.others.extend(self.last.replace((event, reason)));
    }

    /// Ends their tickets, once nothing is locked. The callers wake as the events are dropped.
    fn end_tickets(&self) {
        for (event, reason) in self.last.iter().chain(&self.others) {
            if let Some(ticket) = event.context().and_then(|context| Ticket::of(context)) {
                ticket.fail(TicketEnd::Evicted(*reason));
            }
        }
    }
}

/// A place in a lane, which is locked for it.
pub(crate) struct Place<'a> {
    queue: &'a Queue,
    state: MutexGuard<'a, LaneState>,
    level: Level,
}

impl Place<'_> {
    /// Accepts an event that needs nothing else.
    #[inline(always)]
    pub(crate) fn fill(mut self, event: Event) {
        let is_wanted = self.state.put(event, self.level, 0);
        drop(self.state);
        self.queue.after_put(is_wanted, self.level);
    }
}

impl Queue {
    /// Finds the event a place in its lane, if it needs nothing else and the lane is free. The event stays where it is until
    /// then: it is two cache lines, and to copy what was written a moment ago stalls the processor.
    #[inline(always)]
    pub(crate) fn find_place(&self, event: &mut Event) -> Option<Place<'_>> {
        let level = event.level();
        event.stamp(clock::now_nanos());
        if event.spilled_bytes() > 0 || !has_charged_context(event) {
            return None;
        }
        let state = self.lane().try_lock()?;
        (state.has_place(self.may_use_reserve(level)) && state.has_chunk()).then_some(Place {
            queue: self,
            state,
            level,
        })
    }

    /// Accepts a prepared event, or counts its refusal. Waits only under [`Overflow::Block`], and no longer than `most`.
    #[cold]
    pub(crate) fn push(&self, mut event: Event, most: Duration) {
        self.limit(&mut event);
        let lane = self.lane();
        if let Err((event, lack)) = self.admit(lane, event, Some(self.config.overflow)) {
            self.remedy(lane, event, lack, most);
        }
    }

    /// Accepts the event if there is room; evicts nothing, and counts no refusal.
    pub(crate) fn try_push(&self, mut event: Event) -> Result<(), (Event, Lack)> {
        // A returned event is whole.
        let whole = event.exceeds(self.config.max_event_bytes).then(|| event.clone());
        self.limit(&mut event);
        self.admit(self.lane(), event, None).map_err(|(event, lack)| {
            self.signal.raise();
            (whole.unwrap_or(event), lack)
        })
    }

    /// Waits for room and accepts the event.
    ///
    /// Cancel-safe: until the poll that returns, nothing is accepted and nothing is counted.
    pub(crate) async fn push_wait(&self, mut event: Event) -> Result<(), DropReason> {
        self.limit(&mut event);
        let lane = self.lane();
        let lack = contain_waker(self.wait(lane, event, None, &mut Lack::Place)).await;
        lack.map_err(|lack| self.refuse(lane, lack))
    }

    /// Charges a context, once there is room for it; `None`: the queue is closed.
    ///
    /// Cancel-safe: until the poll that returns, nothing is charged.
    pub(crate) async fn charge_context_wait(&self, bytes: usize) -> Option<ContextCharge> {
        let attempt = || {
            let charge = self.account.charge_context(bytes);
            if charge.is_none() && !self.lane().lock().is_closed() {
                self.signal.raise();
                return None;
            }
            Some(charge)
        };
        contain_waker(self.account.waiters().wait_for(attempt)).await
    }

    /// The one admission: puts the event into the lane, if that has a place and the account has the bytes, or if the
    /// policy lets older events make room. Otherwise returns it with what it lacks.
    fn admit(&self, lane: &Lane, mut event: Event, policy: Option<Overflow>) -> Result<(), (Event, Lack)> {
        event.stamp(clock::now_nanos());
        let (level, bytes, is_cut) = (event.level(), event.spilled_bytes(), event.is_truncated());
        let Some(mut state) = self.lock(lane) else { return Err((event, Lack::Closed)) };
        let mut evicted = Evicted::default();
        let put = match self.make_room(&mut state, &event, policy, &mut evicted) {
            Ok(()) => Ok(state.put(event, level, bytes)),
            Err(lack) => Err((event, lack)),
        };
        drop(state);
        if evicted.last.is_some() {
            evicted.end_tickets();
            self.account.waiters().notify();
        }
        let is_wanted = put?;
        self.truncated.fetch_add(u64::from(is_cut), Ordering::Relaxed);
        // At half of the bytes, as at half of the places.
        self.after_put(is_wanted || bytes > 0 && self.account.used() >= self.account.limit() / 2, level);
        Ok(())
    }

    /// Locks a lane whose open chunk has room; not in a forked child, if a thread that is not there has it.
    fn lock<'a>(&self, lane: &'a Lane) -> Option<MutexGuard<'a, LaneState>> {
        let mut supply = None;
        loop {
            let mut state = lane.lock_unless(|| self.is_forked())?;
            if !state.has_chunk()
                && let Some(chunk) = supply.take()
            {
                state.supply(chunk);
            }
            if state.has_chunk() {
                return Some(state);
            }
            let events = state.chunk();
            drop(state);
            supply = Some(Chunk::with_capacity(events));
        }
    }

    /// Charges the bytes of the event and sees that there is a place for it. If it fails, no event was evicted in vain.
    fn make_room(
        &self,
        state: &mut LaneState,
        event: &Event,
        policy: Option<Overflow>,
        evicted: &mut Evicted,
    ) -> Result<(), Lack> {
        let evicts = |lack| policy.is_some_and(|policy| policy.remedy(lack) == Remedy::Evict);
        let (bytes, may_use_reserve) = (event.spilled_bytes(), self.may_use_reserve(event.level()));
        if state.is_closed() {
            return Err(Lack::Closed);
        }
        if !has_charged_context(event) {
            return Err(Lack::Context);
        }
        if !state.has_place(may_use_reserve) {
            let lack = if may_use_reserve { Lack::Place } else { Lack::OpenPlace };
            if !evicts(lack) {
                return Err(lack);
            }
        }
        while !self.account.try_charge(bytes) {
            let free = self.account.limit().saturating_sub(self.account.used());
            if !evicts(Lack::Memory) || free + state.heap_bytes() < bytes {
                return Err(Lack::Memory);
            }
            let Some(oldest) = state.evict(DropReason::Memory) else { return Err(Lack::Memory) };
            self.account.give_back(oldest.spilled_bytes());
            evicted.add(oldest, DropReason::Memory);
        }
        if !state.has_place(may_use_reserve)
            && let Some(oldest) = state.evict(DropReason::OverflowOldest)
        {
            self.account.give_back(oldest.spilled_bytes());
            evicted.add(oldest, DropReason::OverflowOldest);
        }
        Ok(())
    }

    /// Waits until the event is admitted, or lacks what the policy does not wait for; without a policy, for all that may
    /// come. `lack`: what it lacked last.
    async fn wait(&self, lane: &Lane, event: Event, policy: Option<Overflow>, lack: &mut Lack) -> Result<(), Lack> {
        let mut waiting = Some(event);
        let attempt = || {
            let (event, why) = match self.admit(lane, waiting.take()?, None) {
                Ok(()) => return Some(Ok(())),
                Err(refused) => refused,
            };
            let is_awaited = match policy {
                None => !matches!(why, Lack::Closed | Lack::Context),
                Some(policy) => matches!(policy.remedy(why), Remedy::Wait(_)),
            };
            if !is_awaited {
                return Some(Err(why));
            }
            (*lack, waiting) = (why, Some(event));
            // Only for a caller without room: woken for every event, the flush task would make batches of one.
            self.signal.raise();
            None
        };
        self.account.waiters().wait_for(attempt).await
    }

    /// Applies the overflow policy to an event that was not admitted.
    #[cold]
    fn remedy(&self, lane: &Lane, event: Event, mut lack: Lack, most: Duration) {
        self.signal.raise();
        if let Remedy::Wait(time) = self.config.overflow.remedy(lack)
            && self.may_block()
        {
            let until = Instant::now().checked_add(time.min(most));
            // In real time: this thread may have no runtime.
            match timer::block_until(self.wait(lane, event, Some(self.config.overflow), &mut lack), until) {
                Some(Ok(())) => return,
                Some(Err(last)) => lack = last,
                None => {}
            }
        }
        self.refuse(lane, lack);
        if lack == Lack::Closed && !is_logger_thread() {
            process_end::hold_if_ending();
        }
    }

    fn may_block(&self) -> bool {
        if self.config.is_on_users_runtime {
            tokio::runtime::Handle::try_current().is_err()
        } else {
            !is_logger_thread()
        }
    }

    /// Counts a refused event; returns the reason.
    fn refuse(&self, lane: &Lane, lack: Lack) -> DropReason {
        let state = lane.lock_unless(|| self.is_forked());
        let reason = match lack {
            // A closed lane comes before every other reason.
            _ if state.as_ref().is_none_or(|state| state.is_closed()) => self.closed_reason(),
            Lack::Closed => self.closed_reason(),
            Lack::Context | Lack::Memory => DropReason::Memory,
            Lack::Place => DropReason::OverflowNewest,
            Lack::OpenPlace => DropReason::Shed,
        };
        if let Some(mut state) = state {
            state.refuse(reason);
        }
        reason
    }

    fn closed_reason(&self) -> DropReason {
        if self.is_task_failed() { DropReason::TaskFailed } else { DropReason::Closed }
    }

    /// Truncates an event with heap bytes to the size limit.
    fn limit(&self, event: &mut Event) {
        if event.spilled_bytes() > 0 {
            event.limit(self.config.max_event_bytes);
        }
    }

    /// Wakes the flush task for an event that is in its lane.
    #[inline(always)]
    fn after_put(&self, is_wanted: bool, level: Level) {
        if is_wanted || self.config.flush_at.allows(level) {
            self.signal.raise();
        }
    }

    #[inline]
    fn may_use_reserve(&self, level: Level) -> bool {
        self.config.reserve_level.allows(level)
    }

    /// Returns this thread's lane. It keeps it: within a lane, the thread's events stay in order by themselves.
    #[inline]
    fn lane(&self) -> &Lane {
        thread_local! {
            static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let mut number = NUMBER.get();
        if number == usize::MAX {
            number = NEXT.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(number);
        }
        // The branch saves the division for the first threads.
        let index = if number < self.lanes.len() { number } else { number % self.lanes.len() };
        &self.lanes[index]
    }
}

#[inline]
fn has_charged_context(event: &Event) -> bool {
    event.context().is_none_or(|context| context.is_charged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_says_what_is_done_about_each_lack() {
        use Lack::{Closed, Context, Memory, OpenPlace, Place};
        let wait = Duration::from_secs(1);
        for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(wait)] {
            for lack in [Closed, Context, OpenPlace] {
                assert_eq!(policy.remedy(lack), Remedy::Refuse, "{policy:?} {lack:?}");
            }
        }
        for lack in [Memory, Place] {
            assert_eq!(Overflow::DropOldest.remedy(lack), Remedy::Evict);
            assert_eq!(Overflow::DropNewest.remedy(lack), Remedy::Refuse);
            assert_eq!(Overflow::Block(wait).remedy(lack), Remedy::Wait(wait));
        }
    }
}
