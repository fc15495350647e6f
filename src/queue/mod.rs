//! The caller's side pushes, the flush task drains: lanes with a bounded number of events and one account of bytes.

mod account;
mod freed;
mod lane;
mod overflow;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::Permit;
use tokio::sync::mpsc::error::TrySendError;

pub(crate) use account::Account;
use lane::{Lane, LaneBook};
pub use overflow::Overflow;

use crate::clock;
use crate::event::{Event, Level, LevelFilter};
use crate::stats::{DropReason, Drops};

/// What one event costs while it waits.
pub(crate) const EVENT_BYTES: usize = size_of::<Event>();

/// How the builder wants the queue; checked there.
pub(crate) struct QueueConfig {
    pub(crate) lanes: usize,
    pub(crate) capacity: usize,
    /// For spilled events and contexts, over and above the lanes themselves.
    pub(crate) heap_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) flush_at: LevelFilter,
    pub(crate) overflow: Overflow,
    pub(crate) reserve: Reserve,
    pub(crate) may_block: MayBlock,
}

/// The part of each lane that is kept for important events.
#[derive(Clone, Copy)]
pub(crate) struct Reserve {
    /// Events that this allows may use all of a lane; `Trace`: there is no reserve.
    pub(crate) level: LevelFilter,
    pub(crate) percent: usize,
}

impl Reserve {
    pub(crate) const NONE: Reserve = Reserve { level: LevelFilter::Trace, percent: 0 };

    /// How many of a lane's places every event may take. One at the least: otherwise who waits would wait for ever.
    fn open_places(self, capacity: usize) -> usize {
        (capacity - (capacity * self.percent).div_ceil(100)).max(1)
    }
}

/// Where [`Overflow::Block`] waits.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum MayBlock {
    /// The logger has its own thread: any other thread may wait.
    Anywhere,
    /// The logger runs on a runtime of the user's: only threads outside any runtime.
    OutsideRuntimes,
}

/// The bounded queue between the callers and the flush task.
pub(crate) struct Queue {
    lanes: Box<[Lane]>,
    config: QueueConfig,
    /// Depth from which on events below the reserve's level are shed.
    open_places: usize,
    /// Depth at which a caller wakes the flush task. Half of what every event may use: waking earlier moves cache lines
    /// while the caller emits.
    mark: usize,
    account: Arc<Account>,
    signal: Signal,
    truncated: AtomicU64,
    suppressed: AtomicU64,
    /// Refusals say `worker_gone` instead of `closed`.
    worker_gone: AtomicBool,
}

/// The intake book at one moment.
pub(crate) struct IntakeBook {
    pub(crate) accepted: u64,
    pub(crate) refused: Drops,
    pub(crate) evicted: Drops,
    /// Events in the lanes; those the flush task holds are its to add.
    pub(crate) in_lanes: u64,
    /// Events that left the lanes, by level.
    pub(crate) passed_by_level: [u64; Level::ALL.len()],
}

/// Why [`Logger::try_emit`](crate::Logger::try_emit) did not take the event; it is handed back.
#[derive(Debug)]
pub enum TryEmitError {
    /// There is no room now, for the event or for its bytes.
    Full(Event),
    /// The logger was shut down, or one of its tasks is gone.
    Closed(Event),
}

impl TryEmitError {
    /// The event that was not taken.
    pub fn into_event(self) -> Event {
        match self {
            TryEmitError::Full(event) | TryEmitError::Closed(event) => event,
        }
    }
}

impl std::fmt::Display for TryEmitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TryEmitError::Full(_) => "the queue has no room for the event",
            TryEmitError::Closed(_) => "the logger takes no more events",
        })
    }
}

impl std::error::Error for TryEmitError {}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        let open_places = config.reserve.open_places(config.capacity);
        Queue {
            lanes: (0..config.lanes).map(|_| Lane::new(config.capacity)).collect(),
            open_places,
            mark: (open_places / 2).max(1),
            account: Arc::new(Account::new(config.heap_bytes)),
            config,
            signal: Signal::default(),
            truncated: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            worker_gone: AtomicBool::new(false),
        }
    }

    /// Takes the event in, or counts why not. Waits only under [`Overflow::Block`].
    #[inline]
    pub(crate) fn push(&self, mut event: Event) {
        let lane = self.lane();
        let level = event.level();
        if self.is_restricted(level) && self.has_no_open_place(lane) {
            return self.shed(lane);
        }
        if self.is_heavy(&event) {
            return self.push_heavy(lane, event);
        }
        event.stamp(clock::now_nanos());
        match lane.tx.try_send(event) {
            Ok(()) => self.after_send(lane, level),
            Err(error) => self.overflowed(lane, error),
        }
    }

    /// As [`Queue::push`]; no policy waits longer than this.
    pub(crate) fn push_within(&self, event: Event, most: Duration) {
        match self.config.overflow {
            Overflow::Block(wait) if wait > most && self.may_block() => self.push_blocking(self.lane(), event, most),
            _ => self.push(event),
        }
    }

    /// Takes the event in if there is room; evicts nothing, counts nothing.
    pub(crate) fn try_push(&self, mut event: Event) -> Result<(), TryEmitError> {
        // What is handed back is whole.
        let whole = event.exceeds(self.config.max_event_bytes).then(|| event.clone());
        let is_cut = self.limit(&mut event);
        match (self.try_push_cut(event), whole) {
            (Ok(()), _) => {
                self.count_cut(is_cut);
                Ok(())
            }
            (Err(TryEmitError::Full(_)), Some(whole)) => Err(TryEmitError::Full(whole)),
            (Err(TryEmitError::Closed(_)), Some(whole)) => Err(TryEmitError::Closed(whole)),
            (refused, None) => refused,
        }
    }

    fn try_push_cut(&self, mut event: Event) -> Result<(), TryEmitError> {
        let lane = self.lane();
        let level = event.level();
        let bytes = event.spilled_bytes();
        if lane.tx.is_closed() {
            return Err(TryEmitError::Closed(event));
        }
        let is_shed = self.is_restricted(level) && self.has_no_open_place(lane);
        if is_shed || !has_charged_context(&event) || !self.account.try_charge(bytes) {
            self.signal.raise();
            return Err(TryEmitError::Full(event));
        }
        self.after_charge(bytes);
        event.stamp(clock::now_nanos());
        lane.add_bytes(bytes);
        lane.tx.try_send(event).map_err(|error| {
            lane.sub_bytes(bytes);
            self.account.release(bytes);
            match error {
                TrySendError::Full(event) => {
                    self.signal.raise();
                    TryEmitError::Full(event)
                }
                TrySendError::Closed(event) => TryEmitError::Closed(event),
            }
        })?;
        self.after_send(lane, level);
        Ok(())
    }

    /// Waits for room and takes the event in.
    ///
    /// Cancel-safe: until the poll that returns, nothing is accepted and nothing is counted.
    pub(crate) async fn push_wait(&self, event: Event) -> Result<(), DropReason> {
        let lane = self.lane();
        let mut stage = DropReason::OverflowNewest;
        let admitted = self.admit(lane, event, Restricted::Waits, &mut stage).await;
        admitted.inspect_err(|reason| lane.refuse(*reason))
    }

    /// Counts an event that one of our own tasks logged.
    #[cold]
    pub(crate) fn suppress(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn lane(&self) -> &Lane {
        thread_local! {
            /// A thread keeps its lane: within it, what the thread emits stays in order by itself.
            static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let mut number = NUMBER.get();
        if number == usize::MAX {
            number = NEXT.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(number);
        }
        // The branch spares the division for the first threads.
        let index = if number < self.lanes.len() { number } else { number % self.lanes.len() };
        &self.lanes[index]
    }

    /// Whether events of this level may not use the reserve.
    #[inline]
    fn is_restricted(&self, level: Level) -> bool {
        !self.config.reserve.level.allows(level)
    }

    /// Looked at before the event is sent: callers that look at the same moment may all find the last open place.
    fn has_no_open_place(&self, lane: &Lane) -> bool {
        lane.depth() >= self.open_places
    }

    #[cold]
    fn shed(&self, lane: &Lane) {
        self.signal.raise();
        lane.refuse(self.closed_or(lane, DropReason::Shed));
    }

    #[inline]
    fn after_send(&self, lane: &Lane, level: Level) {
        if lane.depth() >= self.mark {
            self.signal.raise_if_down();
        }
        if self.config.flush_at.allows(level) {
            self.signal.raise();
        }
    }

    /// Whether the event touches the byte account, or carries a context that it had no room for.
    #[inline]
    fn is_heavy(&self, event: &Event) -> bool {
        event.spilled_bytes() > 0 || !has_charged_context(event)
    }

    /// Half of the bytes in use wake the flush task, as half of the places do.
    fn after_charge(&self, bytes: usize) {
        if bytes > 0 && self.account.used() >= self.account.limit() / 2 {
            self.signal.raise_if_down();
        }
    }

    #[cold]
    fn push_heavy(&self, lane: &Lane, mut event: Event) {
        let level = event.level();
        let is_cut = self.limit(&mut event);
        self.count_cut(is_cut);
        let bytes = event.spilled_bytes();
        if !has_charged_context(&event) {
            return lane.refuse(self.closed_or(lane, DropReason::Bytes));
        }
        if !self.account.try_charge(bytes) && !self.make_room(lane, bytes) {
            self.signal.raise();
            return match self.config.overflow {
                Overflow::Block(wait) if self.may_block() => self.push_blocking(lane, event, wait),
                _ => lane.refuse(self.closed_or(lane, DropReason::Bytes)),
            };
        }
        self.after_charge(bytes);
        lane.add_bytes(bytes);
        event.stamp(clock::now_nanos());
        match lane.tx.try_send(event) {
            Ok(()) => self.after_send(lane, level),
            Err(error) => self.overflowed(lane, error),
        }
    }

    /// Evicts the lane's oldest events for `bytes`, if the policy allows it and that can free enough.
    fn make_room(&self, lane: &Lane, bytes: usize) -> bool {
        let free = self.account.limit().saturating_sub(self.account.used());
        self.config.overflow == Overflow::DropOldest
            && !lane.tx.is_closed()
            && free + lane.bytes() >= bytes
            && lane.evict_for_bytes(|| self.account.try_charge(bytes), |freed| self.account.release(freed))
    }

    /// Brings a spilled event down to the size limit; returns whether a value was cut.
    fn limit(&self, event: &mut Event) -> bool {
        event.spilled_bytes() > 0 && event.limit(self.config.max_event_bytes)
    }

    fn count_cut(&self, is_cut: bool) {
        if is_cut {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The lane had no room for an event whose bytes are charged.
    #[cold]
    fn overflowed(&self, lane: &Lane, error: TrySendError<Event>) {
        let event = match error {
            TrySendError::Closed(event) => return self.refuse_charged(lane, event, DropReason::Closed),
            TrySendError::Full(event) => event,
        };
        let level = event.level();
        self.signal.raise();
        match self.config.overflow {
            // The reserve was used up since it was looked at: nothing makes room for this event.
            _ if self.is_restricted(level) => self.refuse_charged(lane, event, DropReason::Shed),
            Overflow::DropOldest => {
                let (trash, sent) = lane.replace_oldest(event);
                self.account.release(trash.spilled_bytes());
                match sent {
                    Ok(()) => self.after_send(lane, level),
                    Err((event, reason)) => self.refuse_charged(lane, event, reason),
                }
            }
            Overflow::Block(wait) if self.may_block() => {
                self.uncharge(lane, &event);
                self.push_blocking(lane, event, wait);
            }
            Overflow::DropNewest | Overflow::Block(_) => self.refuse_charged(lane, event, DropReason::OverflowNewest),
        }
    }

    fn refuse_charged(&self, lane: &Lane, event: Event, reason: DropReason) {
        self.uncharge(lane, &event);
        lane.refuse(self.closed_or(lane, reason));
    }

    fn uncharge(&self, lane: &Lane, event: &Event) {
        let bytes = event.spilled_bytes();
        lane.sub_bytes(bytes);
        self.account.release(bytes);
    }

    /// The reason to count: a closed lane goes before every other.
    fn closed_or(&self, lane: &Lane, reason: DropReason) -> DropReason {
        if !lane.tx.is_closed() {
            reason
        } else if self.worker_gone.load(Ordering::Relaxed) {
            DropReason::WorkerGone
        } else {
            DropReason::Closed
        }
    }

    fn may_block(&self) -> bool {
        match self.config.may_block {
            MayBlock::Anywhere => !is_logger_thread(),
            MayBlock::OutsideRuntimes => tokio::runtime::Handle::try_current().is_err(),
        }
    }

    /// Waits on this thread, in real time: no runtime may exist here.
    fn push_blocking(&self, lane: &Lane, event: Event, wait: Duration) {
        let mut stage = DropReason::OverflowNewest;
        let until = Instant::now().checked_add(wait);
        let admitted = self.admit(lane, event, Restricted::IsShed, &mut stage);
        let admitted = crate::deadline::block_until(admitted, until);
        if let Err(reason) = admitted.unwrap_or(Err(stage)) {
            lane.refuse(self.closed_or(lane, reason));
        }
    }

    /// Waits for bytes, then for a place. `stage` says what it is waiting for, as the reason if it is given up.
    async fn admit(
        &self,
        lane: &Lane,
        mut event: Event,
        restricted: Restricted,
        stage: &mut DropReason,
    ) -> Result<(), DropReason> {
        let is_cut = self.limit(&mut event);
        if !has_charged_context(&event) {
            return Err(self.closed_or(lane, DropReason::Bytes));
        }
        let bytes = event.spilled_bytes();
        *stage = DropReason::Bytes;
        if !self.account.try_charge(bytes) {
            // Before the wait: what is in the lanes has the bytes.
            self.signal.raise();
            if !self.account.charge(bytes, || lane.tx.is_closed()).await {
                return Err(self.closed_or(lane, DropReason::Closed));
            }
        }
        // Bytes before the place: a permit held while waiting would keep the end of a drain waiting too.
        let charge = Charge { account: &self.account, bytes };
        *stage = DropReason::OverflowNewest;
        let level = event.level();
        let permit = match (self.is_restricted(level), restricted) {
            (false, _) => self.place(lane).await,
            (true, Restricted::Waits) => self.open_place(lane).await,
            (true, Restricted::IsShed) if self.has_no_open_place(lane) => {
                return Err(self.closed_or(lane, DropReason::Shed));
            }
            (true, Restricted::IsShed) => lane.tx.try_reserve().map_err(|error| match error {
                TrySendError::Full(()) => DropReason::Shed,
                TrySendError::Closed(()) => DropReason::Closed,
            }),
        };
        let permit = permit.map_err(|reason| self.closed_or(lane, reason))?;
        event.stamp(clock::now_nanos());
        lane.add_bytes(bytes);
        permit.send(event);
        charge.keep();
        self.count_cut(is_cut);
        self.after_charge(bytes);
        self.after_send(lane, level);
        Ok(())
    }

    /// Waits for a place in all of the lane.
    async fn place<'a>(&self, lane: &'a Lane) -> Result<Permit<'a, Event>, DropReason> {
        // Given up with a place that it was just granted, that is free for others: those who are not in the channel's
        // own line do not hear of it. Declared first, so dropped after it.
        let _freed = WakeWaiters(lane);
        let mut place = pin!(lane.tx.reserve());
        let reserved = poll_fn(|cx| {
            let polled = place.as_mut().poll(cx);
            if polled.is_pending() {
                // Only who finds no room: woken for every event, the flush task would make batches of one.
                self.signal.raise_if_down();
            }
            polled
        });
        reserved.await.map_err(|_| DropReason::Closed)
    }

    /// Waits for a place beside the reserve. Not in the channel's line of waiters, which knows no reserve: a place that
    /// it granted here would be the reserve's.
    async fn open_place<'a>(&self, lane: &'a Lane) -> Result<Permit<'a, Event>, DropReason> {
        let try_place = || match self.has_no_open_place(lane) {
            true if lane.tx.is_closed() => Some(Err(DropReason::Closed)),
            true => None,
            false => match lane.tx.try_reserve() {
                Ok(permit) => Some(Ok(permit)),
                Err(TrySendError::Closed(())) => Some(Err(DropReason::Closed)),
                Err(TrySendError::Full(())) => None,
            },
        };
        match try_place() {
            Some(place) => place,
            None => {
                self.signal.raise_if_down();
                lane.freed.wait_for(try_place).await
            }
        }
    }
}

/// What an event below the reserve's level does when only the reserve is left.
#[derive(Clone, Copy)]
enum Restricted {
    Waits,
    IsShed,
}

/// Wakes those who wait for a place beside the reserve.
struct WakeWaiters<'a>(&'a Lane);

impl Drop for WakeWaiters<'_> {
    fn drop(&mut self) {
        self.0.freed.ring();
    }
}

/// The flush task's end.
impl Queue {
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes up to a chunk of a lane's oldest events; none if the lane has come to `goal`, a position it had.
    pub(crate) fn drain(&self, lane: usize, goal: u64, into: &mut Vec<Event>) -> usize {
        self.lanes[lane].drain(goal, into)
    }

    /// As [`Queue::drain`] after [`Queue::close`]; `Ready(0)`: the lane is empty for good.
    pub(crate) fn poll_drain_closed(&self, lane: usize, cx: &mut Context<'_>, into: &mut Vec<Event>) -> Poll<usize> {
        self.lanes[lane].poll_drain_closed(cx, into)
    }

    /// No event enters from here on.
    pub(crate) fn close(&self) {
        self.lanes.iter().for_each(Lane::close);
        self.account.wake_waiters();
    }

    /// Closes, and says why in every later refusal.
    pub(crate) fn close_worker_gone(&self) {
        self.worker_gone.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Whether it was closed because something of ours is gone.
    pub(crate) fn is_worker_gone(&self) -> bool {
        self.worker_gone.load(Ordering::Relaxed)
    }

    /// What each lane has accepted so far: where a flush must come to.
    pub(crate) fn accepted_positions(&self) -> Box<[u64]> {
        self.lanes.iter().map(|lane| lane.position().0).collect()
    }

    /// Events accepted before `positions` that are still in the lanes.
    pub(crate) fn before(&self, positions: &[u64]) -> u64 {
        self.lanes.iter().zip(positions).map(|(lane, &position)| position.saturating_sub(lane.position().1)).sum()
    }

    /// How full the fullest lane is, or the account of bytes if that is fuller.
    pub(crate) fn percent_full(&self) -> u8 {
        let depth = self.lanes.iter().map(Lane::depth).max().unwrap_or(0);
        let percent = |used: usize, of: usize| (used.min(of) as u128 * 100 / of.max(1) as u128) as u8;
        percent(depth, self.config.capacity).max(percent(self.account.used(), self.account.limit()))
    }

    pub(crate) fn book(&self) -> IntakeBook {
        let mut sum = IntakeBook {
            accepted: 0,
            refused: Drops::default(),
            evicted: Drops::default(),
            in_lanes: 0,
            passed_by_level: [0; Level::ALL.len()],
        };
        for LaneBook { accepted, accepted_by_level, evicted, queued, refused } in self.lanes.iter().map(Lane::book) {
            sum.accepted += accepted;
            sum.refused.merge(&refused);
            sum.evicted.merge(&evicted);
            sum.in_lanes += queued;
            for (sum, count) in sum.passed_by_level.iter_mut().zip(accepted_by_level) {
                *sum += count;
            }
        }
        sum
    }

    pub(crate) fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }

    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

/// For tests of what happens between a caller's permit and its event.
#[cfg(test)]
impl Queue {
    pub(crate) fn permit(&self, lane: usize) -> tokio::sync::mpsc::Permit<'_, Event> {
        self.lanes[lane].tx.try_reserve().expect("the lane has room")
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.iter().all(|lane| lane.tx.is_closed())
    }
}

#[inline]
fn has_charged_context(event: &Event) -> bool {
    event.context().is_none_or(|context| context.is_charged())
}

/// Bytes charged for an event that is not in its lane yet.
struct Charge<'a> {
    account: &'a Account,
    bytes: usize,
}

impl Charge<'_> {
    /// The event is in: the flush task releases its bytes.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

thread_local! {
    static LOGGER_THREAD: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn is_logger_thread() -> bool {
    LOGGER_THREAD.get()
}

/// Says that this thread is a logger's own: it never waits for room that only it can make.
pub(crate) fn mark_logger_thread() {
    LOGGER_THREAD.set(true);
}

/// What wakes the flush task. It sleeps here, not in a lane.
#[derive(Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    notify: Notify,
}

impl Signal {
    /// Wakes the flush task, unless a wake-up is on its way.
    ///
    /// A read-modify-write on both sides: if ours finds the flag raised, the flush task's [`Signal::lower`] comes later
    /// and sees what we sent before.
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// As [`Signal::raise`] for wake-ups that may be missed (the interval makes good for them): a load where it is up.
    #[inline]
    fn raise_if_down(&self) {
        if !self.raised.load(Ordering::Relaxed) {
            self.raise();
        }
    }

    /// Lowers the flag; to be called before the drain that answers it.
    pub(crate) fn lower(&self) {
        self.raised.swap(false, Ordering::AcqRel);
    }

    /// Wakes the flush task for something that is not in a lane.
    pub(crate) fn nudge(&self) {
        self.notify.notify_one();
    }

    /// Sleeps until raised or nudged. Cancel-safe.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }
}
