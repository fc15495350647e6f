//! A sink task: performs one action after another.

use std::sync::Arc;

use tokio::time::timeout;

use super::action::Action;
use super::delivery::Slot;
use super::destination::{Attempt, Destination, Failure, SinkCall};
use super::fallback::PendingConfirmation;
use super::handle::SinkHandle;
use super::notice::{Audience, Notice};
use super::remainder::{Remainder, Run};
use super::retry::Retry;
use super::ruling::Ruling;
use super::spool;
use super::state::{Barrier, Reopen};
use crate::context::contain::contain_future;
use crate::event::Batch;
use crate::spool::SpoolStore;
use crate::stats::DropReason;

/// What a sink task owns.
pub(crate) struct SinkTaskParts {
    pub(crate) retry: Retry,
    /// The sink, then its fallbacks, tried in this order.
    pub(crate) destinations: Vec<Destination>,
    /// One of them encodes for the network: the task runs where that delays no other.
    pub(crate) encodes_for_network: bool,
    pub(crate) spool: Option<Arc<dyn SpoolStore>>,
}

/// Delivers until the sink is closed. Returns whether it was: if it panics, the sink's events are dropped, and none
/// waits for it.
pub(crate) async fn run_sink_task(handle: Arc<SinkHandle>, parts: SinkTaskParts) -> bool {
    let SinkTaskParts { retry, destinations, spool, .. } = parts;
    let mut task = SinkTask {
        handle: handle.clone(),
        destinations,
        confirmations: Vec::new(),
        held: None,
        slot: Slot::new(retry),
        spool,
        is_unusable: false,
    };
    let is_closed = contain_future(task.run()).await.is_ok();
    if !is_closed {
        handle.fail(DropReason::Panicked);
    }
    is_closed
}

/// The spool's task of this pipeline, if it has one.
pub(crate) fn run_spool_task(
    handle: &Arc<SinkHandle>,
    parts: &SinkTaskParts,
) -> Option<impl Future<Output = bool> + Send + 'static + use<>> {
    let (store, limit) = (parts.spool.clone()?, parts.destinations.first()?.timeout());
    Some(spool::run_task(handle.clone(), store, limit))
}

pub(super) struct SinkTask {
    pub(super) handle: Arc<SinkHandle>,
    pub(super) destinations: Vec<Destination>,
    /// Events that late results of the fallbacks may still settle.
    pub(super) confirmations: Vec<PendingConfirmation>,
    /// Events that no fallback has tried, as all became busy: they are next.
    pub(super) held: Option<Remainder>,
    pub(super) slot: Slot,
    spool: Option<Arc<dyn SpoolStore>>,
    /// The sink reported that it is unusable, so no batch waits for it.
    pub(super) is_unusable: bool,
}

impl SinkTask {
    async fn run(&mut self) {
        let handle = self.handle.clone();
        loop {
            if let Some(held) = self.held.take() {
                self.deliver_rest(held).await;
                continue;
            }
            let action = tokio::select! {
                biased;
                () = self.late_fallback_result() => continue,
                action = handle.next_action() => action,
            };
            match action {
                Action::Write(taken) => self.deliver(taken).await,
                Action::Overflow(taken) => self.divert_overflow(taken).await,
                Action::Notify(notice) => self.write_notice(&notice).await,
                Action::Flush(barrier) => self.flush(&barrier, None).await,
                Action::Reopen(request) => self.reopen(&request, None).await,
                Action::Close => return self.close().await,
                Action::Stop => return,
            }
        }
    }

    /// Flushes the spool and every destination.
    pub(super) async fn flush(&mut self, barrier: &Arc<Barrier>, in_delivery: Option<&mut Remainder>) {
        let spool = self.sync_spool().await;
        if self.spool.is_some() && self.handle.config.is_confirming[0] {
            // What it has delivered needs no flush, and the disk has the rest.
            let others = self.call_fallbacks(SinkCall::Flush).await;
            self.handle.record_flush(barrier, spool.and(others));
            let own = self.call_sink(SinkCall::Flush, in_delivery).await;
            return self.handle.record_error_of(&own);
        }
        let own = self.call_sink(SinkCall::Flush, in_delivery).await;
        let others = self.call_fallbacks(SinkCall::Flush).await;
        self.handle.record_flush(barrier, spool.and(own).and(others));
    }

    /// Makes durable what is in the spool, and what is settled of it.
    async fn sync_spool(&mut self) -> Result<(), Failure> {
        match self.spool.clone() {
            Some(store) => spool::sync(&self.handle, store, self.destinations[0].timeout()).await,
            None => Ok(()),
        }
    }

    /// Reopens every destination. If the sink itself could, the next write is the probe, at once. If that hangs, the fallbacks
    /// get the batch in delivery.
    pub(super) async fn reopen(&mut self, request: &Reopen, in_delivery: Option<&mut Remainder>) {
        let own = self.call_sink(SinkCall::Reopen, in_delivery).await;
        let others = self.call_fallbacks(SinkCall::Reopen).await;
        if own.is_ok() {
            self.is_unusable = false;
            self.handle.with_breaker(|breaker, _| breaker.probe_now());
        }
        self.handle.record_reopen(request, own.and(others));
    }

    /// Closes the sink, then the fallbacks; the last notice to the fallbacks' readers is written in between.
    async fn close(&mut self) {
        let own = self.call_sink(SinkCall::Close, None).await;
        if let Some(notice) = self.handle.last_notice() {
            self.write_notice(&notice).await;
        }
        let others = self.call_fallbacks(SinkCall::Close).await;
        let spool = match self.spool.clone() {
            Some(store) => spool::close(&self.handle, store, self.destinations[0].timeout()).await,
            None => Ok(()),
        };
        self.handle.record_close(own.and(others).and(spool));
    }
}

/// Notices.
impl SinkTask {
    /// Has a notice written, once: if it cannot be written, its counts move to the next one.
    pub(super) async fn write_notice(&mut self, notice: &Notice) {
        let by = match notice.audience {
            Audience::Sink => self.write_notice_to_sink(notice.batch.clone()).await.then_some(0),
            Audience::Fallback => self.write_notice_to_fallback(&notice.batch).await,
        };
        self.handle.record_notice(notice, by);
    }

    async fn write_notice_to_sink(&mut self, lines: Batch) -> bool {
        let is_written = self.write_notice_to(0, lines).await;
        // The result of a notice says little about the next batch. But if the notice's own timeout opened the breaker,
        // its late result is the probe.
        if is_written && self.handle.with_breaker(|breaker, _| breaker.is_open()) {
            self.on_success();
        }
        is_written
    }

    /// Has one destination write a notice, in as many requests as it takes.
    pub(super) async fn write_notice_to(&mut self, index: usize, lines: Batch) -> bool {
        let mut run = Run::notice(lines);
        loop {
            let Some(cut) = self.encode(index, &mut run) else { return false };
            if !cut.refused.batch.is_empty() {
                return false;
            }
            let reply = match index {
                0 => self.attempt_write(&mut run, 0).await,
                _ => match self.attempt(index, &mut run, 0).await {
                    Attempt::Returned(reply) => Some(reply),
                    Attempt::TimedOut { .. } => None,
                },
            };
            let Some(reply) = reply else { return false };
            let ruling = Ruling::of(&reply.answer, &run.batch);
            self.record_answer(index, &run, &reply, &ruling);
            if ruling.delivered < run.batch.len() {
                return false;
            }
            self.recycle(index, &mut run);
            if cut.behind.batch.is_empty() {
                return true;
            }
            run = cut.behind;
        }
    }
}

/// Calls that are no requests.
impl SinkTask {
    /// Calls the fallbacks; returns the first error.
    async fn call_fallbacks(&mut self, call: SinkCall) -> Result<(), Failure> {
        let mut result = Ok(());
        for index in 1..self.destinations.len() {
            let limit = self.destinations[index].timeout();
            let is_free = timeout(limit, self.late_result_of(index)).await.is_ok();
            let called = if is_free { self.call(index, call).await } else { None };
            let called = called.unwrap_or_else(|| Err(self.destinations[index].timed_out_in(call)));
            self.collect_aside(index);
            result = result.and(called);
        }
        result
    }

    /// Calls the sink itself, between two attempts to deliver a batch if there is one.
    async fn call_sink(&mut self, call: SinkCall, in_delivery: Option<&mut Remainder>) -> Result<(), Failure> {
        let result = match self.call(0, call).await {
            Some(result) => result,
            None if self.destinations[0].is_late() => {
                // Like a write: the next call would have to wait for this one's result anyway.
                self.handle.record_error(0, &self.destinations[0].timed_out_in(call));
                self.handle.with_breaker(|breaker, now| breaker.trip(now));
                let mut waiting = 0;
                if let Some(rest) = in_delivery {
                    if self.has_available_fallback() && !rest.is_spooled() {
                        self.fall_back(rest, DropReason::BreakerOpen).await;
                    }
                    waiting = rest.unconfirmed();
                }
                let call = Run::notice(Batch::default());
                self.handle.begin_late(&call, waiting);
                let (_, late) = self.divert_until_late_result().await;
                self.handle.end_late(&call, waiting);
                let late = late.into_result();
                if late.is_ok() {
                    self.handle.with_breaker(|breaker, _| breaker.succeed());
                }
                late
            }
            None => Err(self.destinations[0].timed_out_in(call)),
        };
        self.collect_aside(0);
        result
    }

    /// Calls a destination that is not busy. `None`: it timed out.
    async fn call(&mut self, index: usize, call: SinkCall) -> Option<Result<(), Failure>> {
        match self.destinations[index].call(call).await {
            Attempt::Returned(reply) => Some(reply.into_result()),
            Attempt::TimedOut { .. } => None,
        }
    }

    pub(super) fn collect_aside(&self, index: usize) {
        self.handle.record_aside(index, &self.destinations[index].aside());
    }
}
