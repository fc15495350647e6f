//! A sink task: delivers one batch. What follows an answer is decided here, and only here.
//!
//! The order is fixed: the breaker is queried, the request is encoded and sent within its timeout, what the destination does
//! not accept for now is retried, rejected requests are bisected to find the bad event. What the sink does not take goes to
//! the fallbacks, the other destinations in their order (`fallback`), or is dropped for the reason it was not taken.

use std::mem;
use std::pin::pin;
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use super::action::{InFlightBatch, PauseAction};
use super::breaker::CircuitBreaker;
use super::destination::Reply;
use super::remainder::{BisectStep, Remainder, Run};
use super::retry::{Backoff, Retry};
use super::ruling::Ruling;
use super::task::SinkTask;
use crate::sink::RestVerdict;
use crate::stats::DropReason;

/// The state of a request on its way to the sink, beside its events. A pipeline has one: it sends one request at a time.
pub(super) struct Slot {
    backoff: Backoff,
    /// That of the breaker when the request was allowed. The answer of an older generation does not move the breaker.
    pub(super) generation: u64,
    /// A flush may end the next pause that the destination asks for: once, until a request gets another answer.
    may_try_early: bool,
}

impl Slot {
    pub(super) fn new(retry: Retry) -> Self {
        Slot { backoff: Backoff::new(retry), generation: 0, may_try_early: true }
    }
}

/// Where the next request goes.
enum RunRoute {
    /// To the sink, if an event is left.
    Sink,
    /// To the fallbacks; dropped for this reason if none takes it.
    Fallback(DropReason),
    /// The events that were in a request are too old.
    Expired,
}

impl SinkTask {
    /// Delivers a batch, or counts its loss.
    pub(super) async fn deliver(&mut self, taken: InFlightBatch) {
        // Also where nothing is written: a backlog that is dropped takes its time.
        consume_budget().await;
        self.deliver_rest(Remainder::new(taken)).await;
    }

    /// Delivers the remaining events of a batch, or counts their loss.
    pub(super) async fn deliver_rest(&mut self, mut rest: Remainder) {
        while rest.front().is_some() {
            match self.route(&mut rest).await {
                RunRoute::Sink => self.write(&mut rest).await,
                RunRoute::Fallback(reason) => self.fall_back(&mut rest, reason).await,
                RunRoute::Expired => self.fall_back_sent(&mut rest, DropReason::BreakerOpen).await,
            }
        }
    }

    fn is_fallbacks_turn(&self) -> bool {
        self.handle.in_fallback_phase() && self.has_available_fallback()
    }

    /// Serves a requested reopen and queries the breaker; waits while it is open and no fallback is available.
    async fn route(&mut self, rest: &mut Remainder) -> RunRoute {
        let handle = self.handle.clone();
        loop {
            let interrupted = handle.interrupted();
            while let Some(request) = self.handle.take_reopen() {
                self.reopen(&request, Some(&mut *rest)).await;
            }
            if rest.front().is_none() {
                return RunRoute::Sink;
            }
            let is_spooled = rest.is_spooled();
            if self.is_fallbacks_turn() && !is_spooled {
                return RunRoute::Fallback(DropReason::Deadline);
            }
            let probe_at = match handle.with_breaker(|breaker, now| breaker.try_acquire(now)) {
                Ok(generation) => {
                    self.slot.generation = generation;
                    return RunRoute::Sink;
                }
                Err(probe_at) => probe_at,
            };
            if is_spooled && self.handle.is_draining() {
                self.put_back(rest);
                return RunRoute::Sink;
            }
            if !is_spooled && (self.is_unusable || self.has_available_fallback()) {
                return RunRoute::Fallback(DropReason::BreakerOpen);
            }
            // Events that were in no request have no age: they wait like those in the backlog.
            let has_age = |first: &&mut Run| first.was_sent() && !is_spooled;
            let expiry = rest.front().filter(has_age).and_then(|_| self.slot.backoff.expiry());
            if expiry.is_some_and(|expiry| expiry <= Instant::now()) {
                return RunRoute::Expired;
            }
            let until = expiry.map_or(probe_at, |expiry| expiry.min(probe_at));
            // A fallback that is available again may take the waiting batch.
            self.pause(rest, handle.pause_until(until, interrupted), |_| true).await;
        }
    }

    /// Leaves a batch to the spool, and all that is behind it: the logger ends, and the sink does not take it now.
    fn put_back(&self, rest: &mut Remainder) {
        rest.put_back();
        self.handle.stop_spool();
    }

    /// Waits; a late result of a fallback may end that. A pipeline with a spool does meanwhile what does not need the sink to
    /// take this batch.
    async fn pause(&mut self, rest: &mut Remainder, pause: impl Future<Output = ()>, ends: impl Fn(&Self) -> bool) {
        let handle = self.handle.clone();
        let mut pause = pin!(pause);
        loop {
            let action = tokio::select! {
                biased;
                () = &mut pause => return,
                () = self.late_fallback_result() => {
                    if ends(self) {
                        return;
                    }
                    continue;
                }
                action = handle.next_pause_action(), if rest.is_spooled() => action,
            };
            match action {
                PauseAction::Overflow(taken) => self.divert_overflow(taken).await,
                PauseAction::Notify(notice) => self.write_notice(&notice).await,
                PauseAction::Flush(barrier) => self.flush(&barrier, Some(&mut *rest)).await,
            }
        }
    }

    /// Has the sink write the first request, and handles the answer.
    async fn write(&mut self, rest: &mut Remainder) {
        let Some(mut run) = rest.take_front() else { return };
        if run.body.is_none() {
            if !run.was_sent() {
                self.slot.backoff.begin(run.is_spooled());
                rest.begin_request();
            }
            let Some(cut) = self.encode(0, &mut run) else {
                rest.put_front(run);
                self.on_panic(rest);
                return self.bisect(rest, DropReason::Panicked).await;
            };
            rest.put_front(cut.behind);
            if !cut.refused.batch.is_empty() {
                let behind = rest.unconfirmed() + run.unconfirmed();
                self.deliver_by_fallback(cut.refused, behind, DropReason::Rejected).await;
            }
        }
        if run.batch.is_empty() {
            return;
        }
        match self.attempt_write(&mut run, rest.unconfirmed()).await {
            Some(reply) => self.settle(run, rest, &reply).await,
            None => {
                self.is_unusable = false;
                self.tell_breaker(|breaker, now| breaker.fail(now));
                rest.put_front(run);
                self.retry_or_fall_back(rest, None).await;
            }
        }
    }

    /// Settles the events that an answer settles, and handles the others.
    async fn settle(&mut self, mut run: Run, rest: &mut Remainder, reply: &Reply) {
        let answer = &reply.answer;
        let ruling = Ruling::of(answer, &run.batch);
        self.record_answer(0, &run, reply, &ruling);
        let body_bytes = run.body.as_ref().map_or(0, Vec::len);
        let sent = run.with_batch(run.batch.clone());
        let mut again = run.with_batch(ruling.again.clone());
        let rejected = run.with_batch(ruling.rejected.clone());
        // The body is kept while it has what is to be sent.
        if ruling.others.len() < run.batch.len() {
            self.recycle(0, &mut run);
            run.batch = ruling.others.clone();
        }
        again.is_retry = true;
        if ruling.doubts_others {
            run.set_uncertain();
        }
        if ruling.doubts_again {
            again.set_uncertain();
        }
        let first = if run.batch.is_empty() { RestVerdict::Again } else { answer.rest };
        rest.record_delivered(ruling.delivered);
        rest.put_front(again);
        rest.put_front(run);
        self.handle.settle_by(0, &sent, &ruling, rest.unconfirmed() + rejected.unconfirmed());
        self.slot.may_try_early |= answer.retry_after.is_none();
        if ruling.delivered > 0 {
            self.slot.backoff.reset();
            self.destinations[0].size.accepted(body_bytes);
        }
        self.update_breaker(reply, &ruling, rest);
        if !rejected.batch.is_empty() {
            self.deliver_by_fallback(rejected, rest.unconfirmed(), DropReason::Rejected).await;
        }
        // If no event of the request is left, nothing follows: the next one has not been sent.
        if !ruling.open.is_empty() {
            self.follow_up(rest, first, reply, body_bytes).await;
        }
    }

    /// What an answer says of the sink.
    fn update_breaker(&mut self, reply: &Reply, ruling: &Ruling, rest: &mut Remainder) {
        let is_success = ruling.delivered > 0 || ruling.open.is_empty();
        match reply.answer.rest {
            RestVerdict::Failed => {
                self.is_unusable = true;
                return self.tell_breaker(|breaker, now| breaker.trip(now));
            }
            RestVerdict::Panicked => return self.on_panic(rest),
            // The sink works: others may be accepted.
            RestVerdict::Rejected | RestVerdict::TooLarge => return self.on_success(),
            RestVerdict::Delivered | RestVerdict::Again if is_success => return self.on_success(),
            RestVerdict::Unusable => self.tell_breaker(|breaker, now| breaker.trip(now)),
            // A pause that the destination asks for is no failure.
            RestVerdict::Delivered | RestVerdict::Again if reply.answer.retry_after.is_some() => {}
            RestVerdict::Delivered | RestVerdict::Again => self.tell_breaker(|breaker, now| breaker.fail(now)),
        }
        // Later batches wait for it again.
        self.is_unusable = false;
    }

    /// The sink works.
    pub(super) fn on_success(&mut self) {
        self.is_unusable = false;
        self.tell_breaker(|breaker, _| {
            breaker.succeed();
            false
        });
    }

    fn on_panic(&mut self, rest: &mut Remainder) {
        self.is_unusable = false;
        if !mem::replace(&mut rest.has_panicked, true) {
            self.tell_breaker(|breaker, now| breaker.fail(now));
        }
    }

    /// Reports the result of a request to the breaker, unless a caller has changed that since the request was allowed.
    fn tell_breaker(&mut self, change: impl FnOnce(&mut CircuitBreaker, Instant) -> bool) {
        let generation = self.slot.generation;
        self.slot.generation = self.handle.with_breaker(|breaker, now| {
            if breaker.generation() != generation {
                return generation;
            }
            change(breaker, now);
            breaker.generation()
        });
    }

    /// The follow-up for the first run, whose events have this verdict.
    async fn follow_up(&mut self, rest: &mut Remainder, verdict: RestVerdict, reply: &Reply, body_bytes: usize) {
        match verdict {
            RestVerdict::Delivered | RestVerdict::Again => {
                self.retry_or_fall_back(rest, reply.answer.retry_after).await;
            }
            RestVerdict::Rejected if reply.answer.is_whole => self.reject_front(rest).await,
            RestVerdict::Rejected => self.bisect(rest, DropReason::Rejected).await,
            RestVerdict::Panicked => self.bisect(rest, DropReason::Panicked).await,
            RestVerdict::Failed if !rest.is_spooled() => self.fall_back_sent(rest, DropReason::SinkFailed).await,
            RestVerdict::Unusable if !self.slot.backoff.keep(Instant::now()) => {
                self.fall_back_sent(rest, DropReason::RetriesExhausted).await;
            }
            RestVerdict::Unusable | RestVerdict::Failed => {
                // It waits for the probe, unless the breaker never opens.
                if !self.handle.with_breaker(|breaker, _| breaker.is_open()) {
                    self.retry_or_fall_back(rest, None).await;
                }
            }
            RestVerdict::TooLarge => self.send_smaller(rest, body_bytes).await,
        }
    }

    /// Has the first run sent in smaller requests; one event is rejected.
    async fn send_smaller(&mut self, rest: &mut Remainder, body_bytes: usize) {
        let Some(first) = rest.front() else { return };
        if first.batch.len() > 1 && body_bytes > 0 {
            self.destinations[0].size.refused(body_bytes);
            first.body = None;
        } else if !rest.halve_front() {
            self.reject_front(rest).await;
        }
    }

    async fn reject_front(&mut self, rest: &mut Remainder) {
        if let Some(run) = rest.take_front() {
            self.deliver_by_fallback(run, rest.unconfirmed(), DropReason::Rejected).await;
        }
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
            BisectStep::All => self.fall_back_sent(rest, reason).await,
        }
    }

    /// Waits for the next attempt, if there is one; `retry_after` is the pause that the destination asks for.
    async fn retry_or_fall_back(&mut self, rest: &mut Remainder, retry_after: Option<Duration>) {
        let handle = self.handle.clone();
        let interrupted = handle.interrupted();
        let Some(first) = rest.front() else { return };
        first.is_retry = true;
        if rest.is_spooled() && handle.is_draining() {
            return self.put_back(rest);
        }
        let next = match retry_after {
            None => self.slot.backoff.after_failure(Instant::now()),
            Some(wait) => self.slot.backoff.pause(Instant::now(), wait),
        };
        match next {
            None => self.fall_back_sent(rest, DropReason::RetriesExhausted).await,
            // The rest of the shutdown's time is the fallback's.
            Some(_) if self.is_fallbacks_turn() => {}
            // An open breaker has its own time for the next attempt: the probe, which the retry must not delay.
            Some(_) if retry_after.is_none() && handle.with_breaker(|breaker, _| breaker.is_open()) => {}
            // It is served between two attempts.
            Some(_) if handle.has_reopen() => {}
            Some(next) => {
                let from = self.slot.backoff.earliest(Instant::now());
                handle.set_flush_ends_pause(from.filter(|_| retry_after.is_some() && self.slot.may_try_early));
                self.pause(rest, handle.pause_until(next, interrupted), SinkTask::is_fallbacks_turn).await;
                let is_unused = handle.set_flush_ends_pause(None).is_some();
                self.slot.may_try_early &= is_unused || retry_after.is_none();
            }
        }
    }
}
