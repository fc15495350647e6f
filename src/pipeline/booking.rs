//! A sink task: how the result of an action is recorded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::breaker::Circuit;
use super::ledger::{Fate, Outlet, last_error};
use super::load::Piece;
use super::notice::{Audience, Notice, Writer};
use super::station::{Barrier, State, Station};
use crate::observe::diagnostics::Diagnostic;
use crate::sink::SinkError;
use crate::stats::labels::BreakerState;
use crate::time::clock;

impl Station {
    /// Records that a write begins: how many events in flight are unconfirmed until it returns, and what it repeats.
    /// Never returns once sealed counters have dropped these events: no write may follow. The task will be aborted.
    pub(super) async fn begin_write(&self, uncertain: u64, is_retry: bool, maybe_duplicated: u64) {
        let mut has_begun = false;
        self.book(|state| {
            has_begun = true;
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

    /// Records the result of a write of the sink itself, in time or late.
    pub(super) fn answered(&self, piece: &Piece, answer: &Result<(), Arc<SinkError>>, took: Duration, bytes: u64) {
        if !piece.is_notice {
            self.config.meters.write_seconds.record(took.as_secs_f64());
            if let (Ok(()), Some(oldest)) = (answer, piece.batch.get(0)) {
                let lag = clock::now_nanos().saturating_sub(oldest.timestamp_nanos());
                self.config.meters.delivery_lag.record(Duration::from_nanos(lag).as_secs_f64());
            }
        }
        self.book(|state| {
            state.ledger.set_bytes(bytes);
            if !piece.is_notice {
                state.ledger.add_latency(took);
                if answer.is_ok() {
                    state.ledger.succeed();
                }
            }
        });
        self.book_error(answer.as_ref().err());
    }

    /// Records that a call of the sink itself timed out.
    pub(super) fn timed_out(&self, call: &str) {
        self.book_error(Some(&Arc::new(SinkError::timed_out(call, self.config.timeout))));
    }

    /// Records a background error of the sink.
    pub(super) fn troubled(&self, error: &Arc<SinkError>) {
        // A failed call that follows still counts as a new failure.
        self.book(|state| state.ledger.grumble(error, SystemTime::now()));
        self.diagnose(self.config.name.clone(), error.clone());
    }

    /// Settles events in flight; `uncertain` of those that stay may have been delivered without confirmation.
    /// Both change under one lock: a seal in between would count delivered events as dropped.
    pub(super) fn settle(&self, events: usize, fate: Fate, uncertain: u64) {
        self.book(|state| {
            state.ledger.settle(events as u64, fate);
            state.ledger.set_uncertain(uncertain);
        });
    }

    /// Moves unconfirmed events back in flight; `uncertain` of all events in flight are now unconfirmed.
    pub(super) fn reclaim(&self, events: usize, uncertain: u64) {
        self.book(|state| {
            state.ledger.reclaim(events as u64);
            state.ledger.set_uncertain(uncertain);
        });
    }

    /// Settles events that were unconfirmed, by a late result.
    pub(super) fn settle_late(&self, events: usize, fate: Fate) {
        self.book(|state| {
            state.ledger.reclaim(events as u64);
            state.ledger.settle(events as u64, fate);
        });
    }

    /// Records the result of a write of a fallback link.
    pub(super) fn link_answered(&self, link: usize, answer: &Result<(), Arc<SinkError>>) {
        let mut is_news = false;
        self.book(|state| match answer {
            Ok(()) => state.ledger.link_succeeded(link),
            Err(error) => is_news = state.ledger.link_failed(link, error.kind()),
        });
        if let (Err(error), true) = (answer, is_news) {
            self.diagnose(format!("{}/{}", self.config.name, link + 1), error.clone());
        }
    }

    /// Records a background error of a fallback link, if there is one.
    pub(super) fn link_troubled(&self, link: usize, trouble: Option<Arc<SinkError>>) {
        if let Some(error) = trouble {
            self.book(|state| state.ledger.link_grumbled(link));
            self.diagnose(format!("{}/{}", self.config.name, link + 1), error);
        }
    }

    pub(super) fn flushed(&self, barrier: Barrier, result: Result<(), Arc<SinkError>>) {
        self.book(|state| {
            state.flushed = barrier.ticket();
            state.flush_error = result.as_ref().err().map(|error| last_error(error, SystemTime::now()));
        });
        self.book_error(result.as_ref().err());
        self.config.house.bells.progress.notify_waiters();
    }

    pub(super) fn reopened(&self, ticket: u64, result: Result<(), Arc<SinkError>>) {
        self.book(|state| {
            state.reopened = ticket;
            state.reopen_error = result.as_ref().err().map(|error| last_error(error, SystemTime::now()));
        });
        self.book_error(result.as_ref().err());
        self.config.house.bells.progress.notify_waiters();
    }

    pub(super) fn closed(&self, result: Result<(), Arc<SinkError>>, bytes: u64) {
        self.book(|state| {
            state.closed = true;
            state.ledger.set_bytes(bytes);
            // A close flushes: the flushes that it completes, and later ones, have its error.
            state.flush_error = result.as_ref().err().map(|error| last_error(error, SystemTime::now()));
        });
        self.book_error(result.as_ref().err());
        self.config.house.bells.progress.notify_waiters();
    }

    /// Changes the counters, unless they are sealed.
    fn book(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if !state.sealed {
            change(&mut state);
        }
    }

    /// Records an error of the sink, and reports it to diagnostics if it is a new failure.
    fn book_error(&self, error: Option<&Arc<SinkError>>) {
        let Some(error) = error else { return };
        let mut is_news = false;
        self.book(|state| is_news = state.ledger.fail(error, SystemTime::now()));
        if is_news {
            self.diagnose(self.config.name.clone(), error.clone());
        }
    }

    fn diagnose(&self, sink: String, error: Arc<SinkError>) {
        self.config.house.diagnostics.report(Diagnostic::SinkFailed { sink, error });
    }
}

/// Notices.
impl Station {
    /// Whether this audience can get a notice now: the sink only with a closed breaker, outside the fallback's time.
    fn hears(&self, audience: Audience, circuit: &Circuit) -> bool {
        match audience {
            Audience::Fallback => true,
            Audience::Sink => circuit.state() == BreakerState::Closed && !(self.config.links > 0 && self.is_endgame()),
        }
    }

    pub(super) fn take_notice(
        &self,
        state: &mut State,
        audiences: &[Audience],
        is_closing: bool,
    ) -> Option<Box<Notice>> {
        let State { notices, ledger, circuit, .. } = state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let writer = Writer { sink: &self.config.name, enrichment: self.config.house.enrichment.as_ref() };
        let mut hearing = audiences.iter().filter(|audience| self.hears(**audience, circuit));
        hearing.find_map(|audience| notices.take(*audience, lost, now, is_closing, &writer)).map(Box::new)
    }

    /// When the next notice to one of these audiences is due.
    pub(super) fn notice_due(&self, audiences: &[Audience]) -> Option<Instant> {
        let state = self.state();
        let State { notices, ledger, circuit, .. } = &*state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let hearing = audiences.iter().filter(|audience| !state.sealed && self.hears(**audience, circuit));
        hearing.filter_map(|audience| notices.due(*audience, lost, now)).min()
    }

    /// Records that a notice was written by the sink or a link, or by none.
    pub(super) fn told(&self, notice: &Notice, by: Option<Outlet>) {
        self.book(|state| {
            state.notices.told(notice, by.is_some(), Instant::now());
            if let Some(by) = by {
                state.ledger.add_notices(by, notice.batch.len() as u64);
            }
        });
    }
}

/// The circuit breaker and the end of the time.
impl Station {
    /// Queries or updates the breaker, and calls the callback if its state changed.
    pub(super) fn circuit<T>(&self, ask: impl FnOnce(&mut Circuit, Instant) -> T) -> T {
        let mut state = self.state();
        let at = Instant::now();
        let answer = ask(&mut state.circuit, at);
        let now = state.circuit.state();
        let before = std::mem::replace(&mut state.breaker_said, now);
        let is_change = before != now;
        state.note_trouble(before, at);
        drop(state);
        if is_change
            && let Some(callback) = &self.config.on_breaker
            && catch_unwind(AssertUnwindSafe(|| callback(now))).is_err()
        {
            self.config.house.diagnostics.report(Diagnostic::CallbackPanicked { callback: "on_breaker" });
        }
        answer
    }

    /// Closes the breaker, from any thread; the sink task reports it. Whether the sink has recovered is unknown.
    pub(crate) fn reset_breaker(&self) {
        let mut state = self.state();
        state.circuit.succeed();
        state.failing_since = None;
        drop(state);
        self.stirred.notify_one();
        // A notice may wait for a closed breaker.
        self.work.notify_one();
    }

    /// Begins the last part of a shutdown's time, the fallback's.
    pub(crate) fn begin_endgame(&self) {
        self.endgame.send_replace(true);
    }

    pub(super) fn is_endgame(&self) -> bool {
        *self.endgame.borrow()
    }

    /// Waits until the last part of a shutdown's time begins. Cancel-safe.
    pub(super) async fn endgame(&self) {
        // This sink handle owns the sender, so it outlives the wait.
        self.endgame.subscribe().wait_for(|is_endgame| *is_endgame).await.map(drop).unwrap_or_default();
    }

    /// Waits until `when`, until the breaker is reset, or until the fallback's time begins, if there is a fallback.
    pub(super) async fn pause_until(&self, when: Instant) {
        tokio::select! {
            () = sleep_until(when) => {}
            () = self.stirred.notified() => {}
            () = self.endgame(), if self.config.links > 0 && !self.is_endgame() => {}
        }
    }
}

impl State {
    /// Tracks since when writes fail, and reports the recovery once they succeed, if the breaker had opened.
    fn note_trouble(&mut self, before: BreakerState, now: Instant) {
        if self.circuit.is_failing() {
            self.failing_since.get_or_insert_with(|| self.ledger.moment(now));
        } else if let Some(since) = self.failing_since.take()
            && before != BreakerState::Closed
        {
            let recovery = self.ledger.recovery(since, now);
            self.notices.recovered(recovery);
        }
    }
}
