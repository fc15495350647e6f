//! A sink task: how the result of an action is recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::action::BatchSource;
use super::breaker::CircuitBreaker;
use super::destination::{Aside, Attempt, Failure, Reply};
use super::handle::SinkHandle;
use super::ledger::Outcome;
use super::notice::{Audience, Notice, NoticeText};
use super::remainder::Run;
use super::ruling::Ruling;
use super::state::{Barrier, Drain, Reopen, SinkState};
use crate::context::contain::contain;
use crate::observe::diagnostics::Diagnostic;
use crate::sink::SinkError;
use crate::stats::DropReason;
use crate::stats::labels::BreakerState;
use crate::time::clock;

/// The last attempts of a drain come after a half of its time, after three quarters, and so on; once less than this fraction
/// of it is left, no other is planned.
const LAST_FRACTION: u32 = 10;

impl SinkHandle {
    /// Records that a write begins, and what it repeats: until it returns, its events are unconfirmed, beside those `behind`
    /// them. Those of a spool are not: they stay there.
    /// Never returns once sealed counters have dropped these events: no write may follow. The task will be aborted.
    pub(super) async fn begin_write(&self, run: &Run, behind: u64, is_retry: bool, maybe_duplicated: u64) {
        let mut has_begun = false;
        let events = run.events() as u64;
        let (requested, uncertain) = if run.is_spooled() { (events, behind) } else { (0, behind + events) };
        self.update(|state| {
            has_begun = true;
            state.ledger.set_requested(requested);
            state.ledger.set_uncertain(uncertain);
            state.ledger.add_maybe_duplicated(maybe_duplicated);
            if is_retry {
                state.ledger.add_retry();
            }
        });
        if !has_begun {
            std::future::pending().await
        }
    }

    /// Records a write that took so long, or timed out after that. Its late result, if one comes, adds no other time.
    pub(super) fn record_attempt(&self, destination: usize, run: &Run, attempt: &Attempt, took: Duration) {
        if destination == 0 && !run.is_notice && run.source != BatchSource::Recovered {
            self.config.histograms.write_seconds.record(took.as_secs_f64());
            self.update(|state| state.ledger.add_latency(took));
        }
        if let Attempt::TimedOut { failure, is_late } = attempt {
            self.record_error(destination, failure);
            if destination > 0 || !is_late {
                // Back to the spool, if that is where they are.
                self.update(|state| state.ledger.set_requested(0));
            }
        }
    }

    /// Records the answer to a request, in time or late, apart from what it settles.
    pub(super) fn record_answer(&self, destination: usize, is_notice: bool, reply: &Reply, ruling: &Ruling) {
        if let Some(fault) = &ruling.fault {
            self.record_fault(destination, fault);
        }
        if let Some(failure) = &reply.failure {
            return self.record_error(destination, failure);
        }
        match ruling.failure() {
            Some(failure) => self.record_error(destination, &failure),
            // The success of a notice says little about the events.
            None if is_notice && destination == 0 => {}
            None => self.update(|state| state.ledger.record_success(destination)),
        }
    }

    /// Records how long the oldest event of a request took from its call to its delivery.
    pub(super) fn record_lag(&self, run: &Run) {
        let is_counted = !run.is_notice && run.source != BatchSource::Recovered;
        if let Some(oldest) = run.batch.get(0).filter(|_| is_counted) {
            let lag = clock::now_nanos().saturating_sub(oldest.timestamp_nanos());
            self.config.histograms.delivery_lag.record(Duration::from_nanos(lag).as_secs_f64());
        }
    }

    /// Records what a sink cannot have meant. It costs no event.
    pub(super) fn record_fault(&self, destination: usize, fault: &str) {
        let failure = Failure::new(SinkError::background(format!("the sink's answer is invalid: {fault}")));
        self.update(|state| state.ledger.record_background_error(destination, &failure));
        self.diagnose(destination, &failure);
    }

    /// Records what a destination tells beside its results.
    pub(super) fn record_aside(&self, destination: usize, aside: &Aside) {
        if let (0, Some(bytes)) = (destination, aside.written_bytes) {
            self.update(|state| state.ledger.set_bytes(bytes));
        }
        for failure in &aside.errors {
            // A failed call that follows still counts as a new failure.
            self.update(|state| state.ledger.record_background_error(destination, failure));
            self.diagnose(destination, failure);
        }
    }

    /// Settles events in flight; `uncertain` of those that stay may have been delivered without confirmation.
    /// Both change under one lock: a seal in between would count delivered events as dropped.
    pub(super) fn settle(&self, run: &Run, outcome: Outcome, uncertain: u64) {
        self.update(|state| {
            state.settle(&run.batch, run.source, &[(run.batch.len(), outcome)]);
            state.ledger.set_uncertain(uncertain);
        });
        self.announce_progress();
    }

    /// Settles what a destination's answer to a run settles at once; `uncertain` of the events that stay in flight may have
    /// been delivered.
    pub(super) fn settle_by(&self, destination: usize, run: &Run, ruling: &Ruling, uncertain: u64) {
        let outcomes = [
            (ruling.delivered, Outcome::Delivered(destination)),
            (ruling.rejected_unnamed, Outcome::Dropped(DropReason::Rejected)),
        ];
        let settled = ruling.settled_of(&run.batch);
        self.update(|state| {
            state.settle(&settled, run.source, &outcomes);
            state.ledger.set_requested(0);
            state.ledger.set_uncertain(uncertain);
        });
        self.announce_progress();
    }

    /// The spool need not keep what is settled; what was offered from the memory may be in it too.
    fn announce_progress(&self) {
        if self.config.spool.is_some() {
            self.spool_wake.notify_one();
        }
    }

    /// Counts the events of a late call as unconfirmed, unless a spool has them; `behind` others of its batch may have been delivered too.
    pub(super) fn begin_late(&self, run: &Run, behind: u64) {
        let events = if run.is_spooled() { 0 } else { run.events() };
        self.update(|state| {
            state.ledger.settle(events as u64, Outcome::Unconfirmed);
            state.ledger.set_uncertain(0);
            state.ledger.set_waiting_uncertain(behind);
        });
    }

    /// Moves them back in flight: their late result came.
    pub(super) fn end_late(&self, run: &Run, behind: u64) {
        let events = if run.is_spooled() { 0 } else { run.events() };
        self.update(|state| {
            state.ledger.unsettle(events as u64);
            state.ledger.set_uncertain(behind + events as u64);
            state.ledger.set_waiting_uncertain(0);
        });
    }

    /// Settles events that were unconfirmed, by a late result.
    pub(super) fn settle_late(&self, events: usize, outcome: Outcome) {
        self.update(|state| {
            state.ledger.unsettle(events as u64);
            state.ledger.settle(events as u64, outcome);
        });
    }

    pub(super) fn record_flush(&self, barrier: &Arc<Barrier>, result: Result<(), Failure>) {
        self.record_error_of(&result);
        self.complete_flush(barrier, result.as_ref().err());
    }

    /// Completes a flush with this error, which is recorded.
    pub(super) fn complete_flush(&self, barrier: &Arc<Barrier>, failure: Option<&Failure>) {
        let error = failure.map(|failure| failure.text.clone());
        self.update(|state| state.complete(barrier, error));
        self.config.env.notifiers.notify_progress();
    }

    pub(super) fn record_reopen(&self, request: &Reopen, result: Result<(), Failure>) {
        self.record_error_of(&result);
        request.done.get_or_init(|| result.map_err(|failure| failure.text));
        self.config.env.notifiers.notify_progress();
    }

    /// Records the close, which is also the flush that callers wait for.
    pub(super) fn record_close(&self, result: Result<(), Failure>) {
        self.record_error_of(&result);
        let result = result.map_err(|failure| failure.text);
        self.update(|state| state.close(result));
        self.spool_wake.notify_one();
        self.config.env.notifiers.notify_progress();
    }

    /// Changes the counters, unless they are sealed.
    fn update(&self, change: impl FnOnce(&mut SinkState)) {
        let mut state = self.state();
        if !state.is_sealed {
            change(&mut state);
            state.check_spool();
        }
        let ended = state.awaited.take_changed();
        drop(state);
        ended.iter().for_each(|ticket| ticket.wake());
    }

    pub(super) fn record_error_of(&self, result: &Result<(), Failure>) {
        if let Err(failure) = result {
            self.record_error(0, failure);
        }
    }

    /// Records an error, and reports it to diagnostics if it is a new failure.
    pub(super) fn record_error(&self, destination: usize, failure: &Failure) {
        let mut is_new_failure = false;
        self.update(|state| is_new_failure = state.ledger.record_error(destination, failure));
        if is_new_failure {
            self.diagnose(destination, failure);
        }
    }

    fn diagnose(&self, destination: usize, failure: &Failure) {
        let name = &self.config.name;
        let sink = if destination == 0 { name.clone() } else { format!("{name}/{destination}") };
        self.config.env.diagnostics.report(Diagnostic::SinkFailed { sink, error: failure.error.clone() });
    }
}

/// Notices.
impl SinkHandle {
    /// Whether this audience can get a notice now: the sink only while the breaker is not open, outside the fallback's time.
    fn can_receive_notice(&self, audience: Audience, breaker: &CircuitBreaker) -> bool {
        match audience {
            Audience::Fallback => true,
            // Half-open here, with no request under way, is a probe without a result.
            Audience::Sink => !breaker.is_open() && !self.in_fallback_phase(),
        }
    }

    pub(super) fn take_notice(
        &self,
        state: &mut SinkState,
        audiences: &[Audience],
        is_closing: bool,
    ) -> Option<Box<Notice>> {
        let SinkState { notices, ledger, breaker, .. } = state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let text = NoticeText {
            sink: &self.config.name,
            enrichment: self.config.env.enrichment.as_ref(),
            ids: &self.config.env.notice_ids,
        };
        let mut hearing = audiences.iter().filter(|audience| self.can_receive_notice(**audience, breaker));
        hearing.find_map(|audience| notices.take(*audience, lost, now, is_closing, &text)).map(Box::new)
    }

    /// When the next notice to one of these audiences is due.
    pub(super) fn notice_due(&self, audiences: &[Audience]) -> Option<Instant> {
        let state = self.state();
        let SinkState { notices, ledger, breaker, .. } = &*state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let hearing =
            audiences.iter().filter(|audience| !state.is_sealed && self.can_receive_notice(**audience, breaker));
        hearing.filter_map(|audience| notices.due(*audience, lost, now)).min()
    }

    /// Records that a notice was written by a destination, or by none.
    pub(super) fn record_notice(&self, notice: &Notice, by: Option<usize>) {
        self.update(|state| {
            state.notices.acknowledge(notice, by.is_some(), Instant::now());
            if let Some(destination) = by {
                state.ledger.add_notices(destination, notice.batch.len() as u64);
            }
        });
    }
}

/// The circuit breaker and the end of the time.
impl SinkHandle {
    /// Queries or updates the breaker, and calls the callback if its state changed.
    pub(super) fn with_breaker<T>(&self, ask: impl FnOnce(&mut CircuitBreaker, Instant) -> T) -> T {
        let mut state = self.state();
        let at = Instant::now();
        if state.is_sealed {
            // The report has its state.
            return ask(&mut state.breaker.clone(), at);
        }
        let answer = ask(&mut state.breaker, at);
        let now = state.breaker.state();
        let before = std::mem::replace(&mut state.last_reported_state, now);
        let is_change = before != now;
        state.track_outage(before, at);
        drop(state);
        if is_change
            && let Some(callback) = &self.config.on_breaker
            && contain(|| callback(now)).is_err()
        {
            self.config.env.diagnostics.report(Diagnostic::CallbackPanicked { callback: "on_breaker" });
        }
        answer
    }

    /// Closes the breaker, from any thread; the sink task reports it. Whether the sink has recovered is unknown.
    pub(crate) fn reset_breaker(&self) {
        self.update(|state| {
            state.breaker.reset();
            state.failing_since = None;
        });
        self.interrupt.notify_waiters();
        // A notice may wait for a closed breaker.
        self.wake.notify_one();
    }

    pub(super) fn has_fallback(&self) -> bool {
        self.config.destinations() > 1
    }

    /// Begins the last part of a shutdown's time, the fallback's.
    pub(crate) fn begin_fallback_phase(&self) {
        self.fallback_phase.send_replace(true);
    }

    /// Whether the time is the fallback's, if there is one.
    pub(super) fn in_fallback_phase(&self) -> bool {
        self.has_fallback() && *self.fallback_phase.borrow()
    }

    /// Waits until the time is the fallback's; never returns if there is none. Cancel-safe.
    pub(super) async fn fallback_phase(&self) {
        if !self.has_fallback() {
            std::future::pending::<()>().await;
        }
        // This handle owns the sender, so it outlives the wait.
        self.fallback_phase.subscribe().wait_for(|has_begun| *has_begun).await.map(drop).unwrap_or_default();
    }

    /// Waits until `when`, until interrupted, or until the fallback's time begins. While the logger ends, it waits at most
    /// half of the time that is left, and the next write is the probe: so the last attempts come near the deadline,
    /// whatever the breaker, the retry or the destination would wait for. Cancel-safe.
    ///
    /// `interrupted` comes from [`SinkHandle::interrupted`], called before the state was read that `when` is from.
    pub(super) async fn pause_until(&self, when: Instant, interrupted: impl Future<Output = ()>) {
        let now = Instant::now();
        let last = self.state().drain.and_then(|drain| drain.next_attempt(now));
        tokio::select! {
            () = sleep_until(last.map_or(when, |last| last.min(when))) => {}
            () = interrupted => {}
            () = self.fallback_phase(), if !self.in_fallback_phase() => {}
        }
        if last.is_some_and(|last| last <= Instant::now()) {
            self.state().breaker.probe_now();
        }
    }

    /// Sets from when on a flush ends the pause that is about to begin; returns what was set before, unless a flush did.
    pub(super) fn set_flush_ends_pause(&self, from: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut self.state().flush_ends_pause, from)
    }

    /// Waits until the breaker is reset, a reopen is requested or the logger begins to end, after this call.
    /// Cancel-safe.
    pub(super) fn interrupted(&self) -> impl Future<Output = ()> + '_ {
        self.interrupt.notified()
    }
}

impl Drain {
    /// When the last attempt but those before it begins; `None`: no time is left for one, or there is no deadline.
    fn next_attempt(self, now: Instant) -> Option<Instant> {
        let deadline = self.deadline?;
        let left = deadline.saturating_duration_since(now);
        (left > deadline.saturating_duration_since(self.begun) / LAST_FRACTION).then(|| now + left / 2)
    }
}

impl SinkState {
    /// Tracks since when writes fail, and reports the recovery once they succeed, if the breaker had opened.
    fn track_outage(&mut self, before: BreakerState, now: Instant) {
        if self.breaker.is_failing() {
            self.failing_since.get_or_insert_with(|| self.ledger.outage_start(now));
        } else if let Some(since) = self.failing_since.take()
            && before != BreakerState::Closed
        {
            let outage = self.ledger.outage(since, now);
            self.notices.recovered(outage);
        }
    }
}
