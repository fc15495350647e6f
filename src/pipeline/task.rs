//! A sink task: performs one action after another. The follow-up of a failed write is decided here, and only here.
//!
//! The order is fixed: the breaker is queried, the sink has its timeout, temporary errors are retried, rejected batches
//! are bisected to find the bad event. What the sink does not take goes to the fallbacks, the other destinations in
//! their order (`fallback`), or is dropped for the reason it was not taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::action::{Action, InFlightBatch};
use super::destination::{Attempt, Destination, Failure, SinkCall, delivered_of};
use super::fallback::PendingConfirmation;
use super::handle::SinkHandle;
use super::ledger::Outcome;
use super::notice::{Audience, Notice};
use super::remainder::{BisectStep, Remainder, Run};
use super::retry::{Backoff, Retry};
use super::state::Reopen;
use crate::context::contain::contain_future;
use crate::event::Batch;
use crate::sink::SinkErrorKind;
use crate::stats::DropReason;

/// What a sink task owns.
pub(crate) struct SinkTaskParts {
    pub(crate) retry: Retry,
    /// The sink, then its fallbacks, tried in this order.
    pub(crate) destinations: Vec<Destination>,
}

/// Delivers until the sink is closed. Returns whether it was: if it panics, the sink's events are dropped, and none
/// waits for it.
pub(crate) async fn run_sink_task(handle: Arc<SinkHandle>, parts: SinkTaskParts) -> bool {
    let SinkTaskParts { retry, destinations } = parts;
    let mut task = SinkTask {
        handle: handle.clone(),
        destinations,
        confirmations: Vec::new(),
        backoff: Backoff::new(retry),
        is_unusable: false,
    };
    let is_closed = contain_future(task.run()).await.is_ok();
    if !is_closed {
        handle.fail(DropReason::Panicked);
    }
    is_closed
}

pub(super) struct SinkTask {
    pub(super) handle: Arc<SinkHandle>,
    pub(super) destinations: Vec<Destination>,
    /// Events that late results of the fallbacks may still settle.
    pub(super) confirmations: Vec<PendingConfirmation>,
    backoff: Backoff,
    /// The sink reported that it is unusable, so no batch waits for it.
    is_unusable: bool,
}

/// Where the next run goes.
enum RunRoute {
    Sink,
    /// To the fallbacks; dropped for this reason if none takes it.
    Fallback(DropReason),
}

impl SinkTask {
    async fn run(&mut self) {
        let handle = self.handle.clone();
        loop {
            let action = tokio::select! {
                biased;
                () = self.late_fallback_result() => continue,
                action = handle.next_action() => action,
            };
            match action {
                Action::Write(taken) => self.deliver(taken).await,
                Action::Notify(notice) => self.write_notice(&notice).await,
                Action::Flush(barrier) => {
                    let (own, others) = self.call_all(SinkCall::Flush).await;
                    handle.record_flush(&barrier, own.and(others));
                }
                Action::Reopen(request) => self.reopen(&request).await,
                Action::Close => return self.close().await,
            }
        }
    }

    /// Delivers a batch, or counts its loss.
    async fn deliver(&mut self, taken: InFlightBatch) {
        // Also where nothing is written: a backlog that is dropped takes its time.
        consume_budget().await;
        self.backoff.reset();
        let mut rest = Remainder::new(taken);
        while rest.front().is_some() {
            match self.route().await {
                RunRoute::Sink => self.write(&mut rest).await,
                RunRoute::Fallback(reason) => self.fall_back(&mut rest, reason).await,
            }
        }
    }

    fn is_fallbacks_turn(&self) -> bool {
        self.handle.in_fallback_phase() && self.has_available_fallback()
    }

    /// Serves a requested reopen and queries the breaker; waits while it is open and no fallback is available.
    async fn route(&mut self) -> RunRoute {
        let handle = self.handle.clone();
        loop {
            let interrupted = handle.interrupted();
            while let Some(request) = self.handle.take_reopen() {
                self.reopen(&request).await;
            }
            if self.is_fallbacks_turn() {
                return RunRoute::Fallback(DropReason::Deadline);
            }
            let Err(probe_at) = self.handle.with_breaker(|breaker, now| breaker.try_acquire(now)) else {
                return RunRoute::Sink;
            };
            let expiry = self.backoff.expiry();
            let is_expired = expiry.is_some_and(|expiry| expiry <= Instant::now());
            if self.is_unusable || self.has_available_fallback() || is_expired {
                return RunRoute::Fallback(DropReason::BreakerOpen);
            }
            tokio::select! {
                () = handle.pause_until(expiry.map_or(probe_at, |expiry| expiry.min(probe_at)), interrupted) => {}
                // A fallback is available again and may take the waiting batch.
                () = self.late_fallback_result() => {}
            }
        }
    }

    /// Has the sink write the first run, and handles the result.
    async fn write(&mut self, rest: &mut Remainder) {
        let behind = rest.unconfirmed_behind_front();
        let Some(run) = rest.front() else { return };
        let Some(result) = self.attempt_write(run, behind).await else {
            self.is_unusable = false;
            self.handle.with_breaker(|breaker, now| breaker.fail(now));
            return self.retry_or_fall_back(rest, None).await;
        };
        let len = run.batch.len();
        let delivered = delivered_of(&result, len);
        rest.delivered(delivered);
        self.handle.settle(delivered, Outcome::Delivered(0), rest.unconfirmed());
        if delivered > 0 {
            self.backoff.reset();
        }
        match result {
            Ok(()) => self.on_success(),
            Err(failure) => {
                self.on_error(failure.kind(), &mut rest.has_panicked);
                // If no event of the run is left, nothing follows: the next run has not been written.
                if delivered < len {
                    self.after_error(rest, &failure).await;
                }
            }
        }
    }

    /// The sink works.
    fn on_success(&mut self) {
        self.is_unusable = false;
        self.handle.with_breaker(|breaker, _| breaker.succeed());
    }

    /// What an error says of the sink, whatever it delivered.
    fn on_error(&mut self, kind: SinkErrorKind, has_panicked: &mut bool) {
        // A temporary error does not make the sink unusable: later batches wait for it again.
        self.is_unusable = kind == SinkErrorKind::Permanent;
        match kind {
            // No failure of the sink.
            SinkErrorKind::Rejected => self.on_success(),
            SinkErrorKind::Permanent => drop(self.handle.with_breaker(|breaker, now| breaker.trip(now))),
            SinkErrorKind::Panic if std::mem::replace(has_panicked, true) => {}
            SinkErrorKind::Panic | SinkErrorKind::Temporary | SinkErrorKind::Timeout => {
                self.handle.with_breaker(|breaker, now| breaker.fail(now));
            }
        }
    }

    /// The follow-up for the events that a failed write did not deliver.
    async fn after_error(&mut self, rest: &mut Remainder, failure: &Failure) {
        match failure.kind() {
            SinkErrorKind::Rejected => self.bisect(rest, DropReason::Rejected).await,
            SinkErrorKind::Panic => self.bisect(rest, DropReason::Panicked).await,
            SinkErrorKind::Permanent => self.fall_back(rest, DropReason::SinkFailed).await,
            SinkErrorKind::Temporary | SinkErrorKind::Timeout => {
                self.retry_or_fall_back(rest, failure.error.retry_after()).await;
            }
        }
    }

    /// Has a notice written, once: if it cannot be written, its counts move to the next one.
    pub(super) async fn write_notice(&mut self, notice: &Notice) {
        let by = match notice.audience {
            Audience::Sink => self.write_notice_to_sink(notice.batch.clone()).await.then_some(0),
            Audience::Fallback => self.write_notice_to_fallback(&notice.batch).await,
        };
        self.handle.record_notice(notice, by);
    }

    async fn write_notice_to_sink(&mut self, lines: Batch) -> bool {
        let mut run = Run::notice(lines);
        let result = self.attempt_write(&mut run, 0).await;
        // The result of a notice says little about the next batch. But if the notice's own timeout opened the breaker,
        // its late result is the probe.
        if matches!(result, Some(Ok(()))) && self.handle.with_breaker(|breaker, _| breaker.is_open()) {
            self.on_success();
        }
        result.is_some_and(|result| delivered_of(&result, run.batch.len()) == run.batch.len())
    }

    /// Halves a run that the sink does not accept, down to the bad event.
    async fn bisect(&mut self, rest: &mut Remainder, reason: DropReason) {
        match rest.bisect_front() {
            BisectStep::Halved => {}
            BisectStep::Poison => {
                if let Some(poison) = rest.take_front() {
                    self.deliver_by_fallback(poison, rest.unconfirmed(), reason).await;
                }
            }
            BisectStep::All => self.fall_back(rest, reason).await,
        }
    }

    /// Waits for the next attempt, if there is one.
    async fn retry_or_fall_back(&mut self, rest: &mut Remainder, retry_after: Option<Duration>) {
        let handle = self.handle.clone();
        let interrupted = handle.interrupted();
        let Some(first) = rest.front() else { return };
        first.is_retry = true;
        match self.backoff.after_failure(Instant::now(), retry_after) {
            None => self.fall_back(rest, DropReason::RetriesExhausted).await,
            // The rest of the shutdown's time is the fallback's.
            Some(_) if self.is_fallbacks_turn() => {}
            // An open breaker has its own time for the next attempt: the probe, which the retry must not delay.
            Some(_) if retry_after.is_none() && self.handle.with_breaker(|breaker, _| breaker.is_open()) => {}
            // It is served between two attempts.
            Some(_) if handle.has_reopen() => {}
            Some(next) => {
                let mut pause = std::pin::pin!(handle.pause_until(next, interrupted));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut pause => return,
                        () = self.late_fallback_result() => if self.is_fallbacks_turn() { return },
                    }
                }
            }
        }
    }

    /// Has one destination write a run, of which no late call is running. `behind` are the unconfirmed events in flight
    /// besides the run.
    pub(super) async fn attempt(&mut self, index: usize, run: &mut Run, behind: u64) -> Attempt {
        // A sink that never awaits would keep the others from their turn; one that does has left it to them.
        if !self.destinations[index].has_awaited() {
            yield_now().await;
        }
        let len = run.events() as u64;
        self.handle.begin_write(behind + len, run.is_retry && index == 0, run.unconfirmed()).await;
        let started = Instant::now();
        let handle = self.handle.clone();
        let is_own = index == 0 && self.has_available_fallback();
        let destination = &mut self.destinations[index];
        let cut_short = async {
            match is_own {
                true => handle.fallback_phase().await,
                false => std::future::pending().await,
            }
        };
        let attempt = destination.call(SinkCall::Write, run.in_flight(), cut_short).await;
        if let Attempt::TimedOut { is_late, .. } = attempt {
            run.charge.iter().filter(|_| is_late).for_each(|charge| charge.set_late());
            // What a late result tells of the sink's own write, it tells before the next one.
            run.may_be_delivered |= index > 0 || !is_late;
        }
        self.handle.record_attempt(index, run, &attempt, started.elapsed());
        self.collect_aside(index);
        attempt
    }

    /// Has the sink itself write a run. `None`: the write timed out and its future was dropped, so no result will come.
    async fn attempt_write(&mut self, run: &mut Run, behind: u64) -> Option<Result<(), Failure>> {
        match self.attempt(0, run, behind).await {
            Attempt::Returned(result) => Some(result),
            Attempt::TimedOut { is_late: false, .. } => None,
            Attempt::TimedOut { is_late: true, .. } => {
                // The write continues on its own thread: its late result settles the events after all, and is the
                // probe. A second write before it would mix the two.
                let len = run.events();
                self.handle.settle(len, Outcome::Unconfirmed, behind);
                self.handle.with_breaker(|breaker, now| breaker.trip(now));
                let result = self.divert_until_late_result().await;
                self.handle.unsettle(len, behind + len as u64);
                self.handle.record_write(0, run, &result);
                self.collect_aside(0);
                Some(result)
            }
        }
    }

    pub(super) fn collect_aside(&self, index: usize) {
        self.handle.record_aside(index, &self.destinations[index].aside());
    }

    /// Calls every destination. Returns the result of the sink's own, and the first error of the fallbacks.
    async fn call_all(&mut self, call: SinkCall) -> (Result<(), Failure>, Result<(), Failure>) {
        let own = self.call_sink(call).await;
        (own, self.call_fallbacks(call).await)
    }

    async fn call_fallbacks(&mut self, call: SinkCall) -> Result<(), Failure> {
        let mut result = Ok(());
        for index in 1..self.destinations.len() {
            let limit = self.destinations[index].timeout();
            let is_free = timeout(limit, self.late_result_of(index)).await.is_ok();
            let called = if is_free { self.call(index, call).await } else { None };
            let called = called.unwrap_or_else(|| Err(self.destinations[index].timed_out(call)));
            self.collect_aside(index);
            result = result.and(called);
        }
        result
    }

    /// Calls the sink itself.
    async fn call_sink(&mut self, call: SinkCall) -> Result<(), Failure> {
        let result = match self.call(0, call).await {
            Some(result) => result,
            None if self.destinations[0].is_late() => {
                // Like a write: the next call would have to wait for this one's result anyway.
                self.handle.record_error(0, &self.destinations[0].timed_out(call));
                self.handle.with_breaker(|breaker, now| breaker.trip(now));
                let late = self.divert_until_late_result().await;
                if late.is_ok() {
                    self.handle.with_breaker(|breaker, _| breaker.succeed());
                }
                late
            }
            None => Err(self.destinations[0].timed_out(call)),
        };
        self.collect_aside(0);
        result
    }

    /// Calls a destination that is not busy. `None`: it timed out.
    async fn call(&mut self, index: usize, call: SinkCall) -> Option<Result<(), Failure>> {
        let nothing = InFlightBatch::uncharged(Batch::default());
        match self.destinations[index].call(call, nothing, std::future::pending()).await {
            Attempt::Returned(result) => Some(result),
            Attempt::TimedOut { .. } => None,
        }
    }

    /// Reopens every destination. If the sink itself could, the next write is the probe, at once.
    async fn reopen(&mut self, request: &Reopen) {
        let (own, others) = self.call_all(SinkCall::Reopen).await;
        if own.is_ok() {
            self.is_unusable = false;
            self.handle.with_breaker(|breaker, _| breaker.probe_now());
        }
        self.handle.record_reopen(request, own.and(others));
    }

    /// Closes the sink, then the fallbacks; the last notice to the fallbacks' readers is written in between.
    async fn close(&mut self) {
        let own = self.call_sink(SinkCall::Close).await;
        if let Some(notice) = self.handle.last_notice() {
            self.write_notice(&notice).await;
        }
        let others = self.call_fallbacks(SinkCall::Close).await;
        self.handle.record_close(own.and(others));
    }
}
