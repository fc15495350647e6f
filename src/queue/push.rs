//! The caller's thread: puts an event into its lane at once, or applies the overflow policy.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::Permit;
use tokio::sync::mpsc::error::TrySendError;

use super::lane::Lane;
use super::{Overflow, Queue, is_logger_thread};
use crate::context::process_end;
use crate::context::scope;
use crate::context::suppress;
use crate::context::thread_flags;
use crate::event::{Event, Level, SharedFields};
use crate::stats::DropReason;
use crate::time::clock;

/// Why [`Logger::try_emit`](crate::Logger::try_emit) did not accept the event, which it returns.
pub enum TryEmitError {
    /// The queue has no room now, for the event or for its bytes.
    Full(Event),
    /// The logger was shut down, or one of its tasks stopped.
    Closed(Event),
}

impl TryEmitError {
    /// Returns the event that was not accepted.
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

/// Like `Display`, without the event: its values may be secrets.
impl std::fmt::Debug for TryEmitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TryEmitError {}

/// A place in a lane, for one event.
pub(crate) struct Place<'a> {
    lane: &'a Lane,
    level: Level,
    permit: Permit<'a, Event>,
}

/// The lane had no place at once.
pub(crate) struct Miss<'a> {
    lane: &'a Lane,
    why: Why,
}

enum Why {
    /// Only the reserve is left.
    Shed,
    /// The event has bytes to be charged, or a context that was not charged.
    Heavy,
    Full,
    Closed,
}

impl From<TrySendError<()>> for Why {
    fn from(error: TrySendError<()>) -> Self {
        match error {
            TrySendError::Full(()) => Why::Full,
            TrySendError::Closed(()) => Why::Closed,
        }
    }
}

impl Queue {
    /// Returns whether an event logged here needs more than the context of the handle that logs it.
    #[inline(always)]
    pub(crate) fn is_special_here(&self) -> bool {
        thread_flags::any() || self.config.redactor.is_some()
    }

    /// Gives an event its context, also that of its scope, and masks hidden values. Returns whether it may enter:
    /// events of the logger's own tasks are counted as suppressed instead.
    pub(crate) fn prepare(&self, event: &mut Event, context: Option<&Arc<SharedFields>>) -> bool {
        if suppress::is_active() {
            self.suppress();
            return false;
        }
        if let Some(redactor) = &self.config.redactor {
            event.redact(redactor);
        }
        if let Some(context) = context {
            event.set_context(Some(context.clone()));
        }
        if let Some(context) = scope::context_here(self.id, event.context(), |context| self.admit_context(context)) {
            event.set_context(Some(context));
        }
        true
    }

    /// Masks the hidden values of a context and charges it. If there is no room, events that carry it are refused.
    pub(crate) fn admit_context(&self, mut context: SharedFields) -> Arc<SharedFields> {
        if let Some(redactor) = &self.config.redactor {
            context = context.redacted(redactor);
        }
        if let Some(charge) = self.account.charge_context(context.bytes()) {
            context.set_charge(Box::new(charge));
        }
        Arc::new(context)
    }

    /// Returns whether a value of the event itself would be masked.
    pub(crate) fn hides_some_of(&self, event: &Event) -> bool {
        self.config.redactor.as_ref().is_some_and(|redactor| event.clone().redact(redactor))
    }

    /// Claims a place for a prepared event, and stamps it. The event stays where it is until then: it is two cache
    /// lines, and to copy what was written a moment ago stalls the processor.
    #[inline(always)]
    pub(crate) fn claim(&self, event: &mut Event) -> Result<Place<'_>, Miss<'_>> {
        let lane = self.lane();
        let level = event.level();
        let miss = |why| Miss { lane, why };
        if self.is_restricted(level) && self.has_no_open_place(lane) {
            return Err(miss(Why::Shed));
        }
        if self.is_heavy(event) {
            return Err(miss(Why::Heavy));
        }
        event.stamp(clock::now_nanos());
        match lane.tx.try_reserve() {
            Ok(permit) => Ok(Place { lane, level, permit }),
            Err(full) => Err(miss(full.into())),
        }
    }

    /// Puts an event in its place.
    #[inline(always)]
    pub(crate) fn fill(&self, place: Place<'_>, event: Event) {
        place.permit.send(event);
        self.after_send(place.lane, place.level);
    }

    /// Applies the overflow policy to an event without a place, or counts its refusal. Waits only under
    /// [`Overflow::Block`].
    #[cold]
    pub(crate) fn missed(&self, event: Event, miss: Miss<'_>) {
        let Miss { lane, why } = miss;
        match why {
            Why::Shed => self.shed(lane),
            Why::Heavy => self.push_heavy(lane, event),
            Why::Closed => self.refuse_charged(lane, event, DropReason::Closed),
            Why::Full => self.overflowed(lane, event),
        }
        if lane.tx.is_closed() && !is_logger_thread() {
            process_end::hold_if_ending();
        }
    }

    /// Accepts a prepared event, or counts its refusal.
    fn push(&self, mut event: Event) {
        match self.claim(&mut event) {
            Ok(place) => self.fill(place, event),
            Err(miss) => self.missed(event, miss),
        }
    }

    /// Like [`Queue::push`], but no policy waits longer than `most`.
    pub(crate) fn push_within(&self, event: Event, most: Duration) {
        match self.config.overflow {
            Overflow::Block(wait) if wait > most && self.may_block() => self.push_blocking(self.lane(), event, most),
            _ => self.push(event),
        }
    }

    /// Accepts the event if there is room; evicts nothing, and counts no refusal.
    pub(crate) fn try_push(&self, mut event: Event) -> Result<(), TryEmitError> {
        // A returned event is whole.
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

    /// Counts an event that one of the logger's own tasks logged.
    #[cold]
    pub(crate) fn suppress(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that its call site's sampling skipped.
    #[cold]
    pub(crate) fn count_sampled(&self) {
        self.sampled.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn lane(&self) -> &Lane {
        thread_local! {
            /// A thread keeps its lane: within it, the thread's events stay in order by themselves.
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

    /// Returns whether events of this level may not use the reserve.
    #[inline]
    pub(super) fn is_restricted(&self, level: Level) -> bool {
        !self.config.reserve.level.allows(level)
    }

    /// Checked before the event is sent: callers that check at the same moment may all find the last open place.
    pub(super) fn has_no_open_place(&self, lane: &Lane) -> bool {
        lane.depth() >= self.open_places
    }

    fn shed(&self, lane: &Lane) {
        self.signal.raise();
        lane.refuse(self.closed_or(lane, DropReason::Shed));
    }

    #[inline]
    pub(super) fn after_send(&self, lane: &Lane, level: Level) {
        if lane.depth() >= self.mark {
            self.signal.raise_if_down();
        }
        if self.config.flush_at.allows(level) {
            self.signal.raise();
        }
    }

    /// Returns whether the event needs bytes of the account, or carries a context that the account had no room for.
    #[inline]
    fn is_heavy(&self, event: &Event) -> bool {
        event.spilled_bytes() > 0 || !has_charged_context(event)
    }

    /// Wakes the flush task at half of the bytes, as at half of the places.
    pub(super) fn after_charge(&self, bytes: usize) {
        if bytes > 0 && self.account.used() >= self.account.limit() / 2 {
            self.signal.raise_if_down();
        }
    }

    fn push_heavy(&self, lane: &Lane, mut event: Event) {
        let level = event.level();
        let is_cut = self.limit(&mut event);
        self.count_cut(is_cut);
        let bytes = event.spilled_bytes();
        if !has_charged_context(&event) {
            return lane.refuse(self.closed_or(lane, DropReason::Memory));
        }
        if !self.account.try_charge(bytes) && !self.make_room(lane, bytes) {
            self.signal.raise();
            return match self.config.overflow {
                Overflow::Block(wait) if self.may_block() => self.push_blocking(lane, event, wait),
                _ => lane.refuse(self.closed_or(lane, DropReason::Memory)),
            };
        }
        self.after_charge(bytes);
        lane.add_bytes(bytes);
        event.stamp(clock::now_nanos());
        match lane.tx.try_reserve() {
            Ok(place) => {
                place.send(event);
                self.after_send(lane, level);
            }
            Err(full) => self.missed(event, Miss { lane, why: full.into() }),
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

    /// Truncates a spilled event to the size limit; returns whether a value was truncated.
    pub(super) fn limit(&self, event: &mut Event) -> bool {
        event.spilled_bytes() > 0 && event.limit(self.config.max_event_bytes)
    }

    pub(super) fn count_cut(&self, is_cut: bool) {
        if is_cut {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Applies the overflow policy to an event whose bytes are charged: the lane has no room for it.
    fn overflowed(&self, lane: &Lane, event: Event) {
        let level = event.level();
        self.signal.raise();
        match self.config.overflow {
            // The reserve was used up since the check: no other event makes room for this one.
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

    /// Returns the reason to count: a closed lane comes before every other.
    pub(super) fn closed_or(&self, lane: &Lane, reason: DropReason) -> DropReason {
        if !lane.tx.is_closed() {
            reason
        } else if self.task_failed.load(Ordering::Relaxed) {
            DropReason::TaskFailed
        } else {
            DropReason::Closed
        }
    }
}

#[inline]
pub(super) fn has_charged_context(event: &Event) -> bool {
    event.context().is_none_or(|context| context.is_charged())
}
