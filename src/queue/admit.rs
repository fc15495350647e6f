//! The caller's thread: waits for a place for an event, as a future or by blocking.

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Permit;
use tokio::sync::mpsc::error::TrySendError;

use super::lane::Lane;
use super::push::has_charged_context;
use super::{Account, MayBlock, Queue, is_logger_thread};
use crate::event::Event;
use crate::stats::DropReason;
use crate::time::clock;

impl Queue {
    /// Waits for room and accepts the event.
    ///
    /// Cancel-safe: until the poll that returns, nothing is accepted and nothing is counted.
    pub(crate) async fn push_wait(&self, event: Event) -> Result<(), DropReason> {
        let lane = self.lane();
        let mut stage = DropReason::OverflowNewest;
        let admitted = self.admit(lane, event, Restricted::Waits, &mut stage).await;
        admitted.inspect_err(|reason| lane.refuse(*reason))
    }

    pub(super) fn may_block(&self) -> bool {
        match self.config.may_block {
            MayBlock::Anywhere => !is_logger_thread(),
            MayBlock::OutsideRuntimes => tokio::runtime::Handle::try_current().is_err(),
        }
    }

    /// Waits on this thread, in real time: it may have no runtime.
    pub(super) fn push_blocking(&self, lane: &Lane, event: Event, wait: Duration) {
        let mut stage = DropReason::OverflowNewest;
        let until = Instant::now().checked_add(wait);
        let admitted = self.admit(lane, event, Restricted::IsShed, &mut stage);
        let admitted = crate::time::timer::block_until(admitted, until);
        if let Err(reason) = admitted.unwrap_or(Err(stage)) {
            lane.refuse(self.closed_or(lane, reason));
        }
    }

    /// Waits for bytes, then for a place. `stage` is the reason to count if the wait ends early: what it waits for.
    async fn admit(
        &self,
        lane: &Lane,
        mut event: Event,
        restricted: Restricted,
        stage: &mut DropReason,
    ) -> Result<(), DropReason> {
        let is_cut = self.limit(&mut event);
        if !has_charged_context(&event) {
            return Err(self.closed_or(lane, DropReason::Memory));
        }
        let bytes = event.spilled_bytes();
        *stage = DropReason::Memory;
        if !self.account.try_charge(bytes) {
            // Before the wait: the events in the lanes hold the bytes.
            self.signal.raise();
            if !self.account.charge(bytes, || lane.tx.is_closed()).await {
                return Err(self.closed_or(lane, DropReason::Closed));
            }
        }
        // Bytes before the place: a permit held while waiting would make the end of a drain wait too.
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

    /// Waits for a place anywhere in the lane.
    async fn place<'a>(&self, lane: &'a Lane) -> Result<Permit<'a, Event>, DropReason> {
        // If this is dropped with a place that it was just granted, the place is free for others, and the channel does
        // not notify those outside its own line of waiters. Declared first, so dropped after it.
        let _freed = WakeWaiters(lane);
        let mut place = pin!(lane.tx.reserve());
        let reserved = poll_fn(|cx| {
            let polled = place.as_mut().poll(cx);
            if polled.is_pending() {
                // Only for a caller without room: woken for every event, the flush task would make batches of one.
                self.signal.raise_if_down();
            }
            polled
        });
        reserved.await.map_err(|_| DropReason::Closed)
    }

    /// Waits for a place outside the reserve. Not in the channel's line of waiters, which knows no reserve: a place
    /// that it granted here would be the reserve's.
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

/// Wakes the callers that wait for a place outside the reserve.
struct WakeWaiters<'a>(&'a Lane);

impl Drop for WakeWaiters<'_> {
    fn drop(&mut self) {
        self.0.freed.ring();
    }
}

/// Bytes charged for an event that is not in its lane yet.
struct Charge<'a> {
    account: &'a Account,
    bytes: usize,
}

impl Charge<'_> {
    /// Keeps the charge: the event is in its lane, and the flush task releases its bytes.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}
