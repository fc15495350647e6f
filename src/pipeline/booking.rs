//! A sink task: what it takes from its station, and how it books what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::backlog::Entry;
use super::breaker::Circuit;
use super::ledger::{Fate, Outlet, last_error};
use super::load::Piece;
use super::notice::{Audience, Notice, Writer};
use super::station::{Barrier, State, Station};
use crate::event::Batch;
use crate::observe::diagnostics::Diagnostic;
use crate::sink::SinkError;
use crate::stats::labels::BreakerState;
use crate::time::clock;

const EVERYBODY: [Audience; 2] = [Audience::Sink, Audience::Fallback];
const THE_FALLBACK: [Audience; 1] = [Audience::Fallback];

/// What the sink task does next.
pub(super) enum Step {
    Write(Taken),
    Tell(Box<Notice>),
    Flush(Barrier),
    Reopen(u64),
    Close,
}

/// What the fallback has to do while the sink keeps a call to itself.
pub(super) enum Around {
    Write(Taken),
    Tell(Box<Notice>),
}

/// A batch that was taken out of the backlog; its memory is charged until it is released.
pub(super) struct Taken {
    pub(super) batch: Batch,
    charge: usize,
}

impl Station {
    /// What to do next. Cancel-safe.
    pub(super) async fn next(&self) -> Step {
        loop {
            if let Some(step) = self.take_step() {
                return step;
            }
            self.something_to_do(&EVERYBODY).await;
        }
    }

    /// The next batch or notice for the fallback, whatever else there is to do. Cancel-safe.
    pub(super) async fn next_around(&self) -> Around {
        loop {
            if let Some(around) = self.take_around() {
                return around;
            }
            self.something_to_do(&THE_FALLBACK).await;
        }
    }

    /// Waits for work, or for the time of a notice to one of these.
    async fn something_to_do(&self, audiences: &[Audience]) {
        let notice_due = self.notice_due(audiences);
        tokio::select! {
            () = self.work.notified() => {}
            () = until(notice_due) => {}
        }
    }

    fn take_around(&self) -> Option<Around> {
        let mut state = self.state();
        if state.sealed {
            return None;
        }
        match self.take_notice(&mut state, &THE_FALLBACK, false) {
            Some(notice) => Some(Around::Tell(notice)),
            None => state.take_batch().map(Around::Write),
        }
    }

    fn take_step(&self) -> Option<Step> {
        let mut state = self.state();
        if state.sealed {
            return None;
        }
        if let Some(ticket) = state.reopen.take() {
            return Some(Step::Reopen(ticket));
        }
        let front = state.backlog.front();
        if let Some(&barrier) = state.barriers.front()
            && front.is_none_or(|front| front > barrier.position())
        {
            state.barriers.pop_front();
            return Some(Step::Flush(barrier));
        }
        // Once the sink is to close, its one last notice says it all: one that hangs must not cost two timeouts.
        if !state.closing
            && let Some(notice) = self.take_notice(&mut state, &EVERYBODY, false)
        {
            return Some(Step::Tell(notice));
        }
        if let Some(taken) = state.take_batch() {
            return Some(Step::Write(taken));
        }
        if !state.closing || state.closed {
            return None;
        }
        // What the sink's readers were not told of yet is said before the close, however soon after the last notice.
        let last = self.take_notice(&mut state, &[Audience::Sink], true);
        Some(last.map_or(Step::Close, Step::Tell))
    }

    /// What the fallback's readers were not told of yet, when the sink itself has closed.
    pub(super) fn last_notice(&self) -> Option<Box<Notice>> {
        let mut state = self.state();
        if state.sealed { None } else { self.take_notice(&mut state, &THE_FALLBACK, true) }
    }

    /// The batch is no longer pinned.
    pub(super) fn release(&self, taken: &Taken) {
        self.state().backlog.release(taken.charge);
        self.config.house.bells.room.notify_one();
    }

    /// A write begins: how many events in hand are uncertain while it has not answered, and what it repeats.
    ///
    /// Never ends once the book is sealed, where these events are dropped: none of them may be written after that. The
    /// task is about to be aborted.
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

    /// A write of the sink itself answered, in time or late.
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

    /// A call of the sink itself did not answer in time.
    pub(super) fn timed_out(&self, call: &str) {
        self.book_error(Some(&Arc::new(SinkError::timed_out(call, self.config.timeout))));
    }

    /// The sink had trouble that cost no event.
    pub(super) fn troubled(&self, error: &Arc<SinkError>) {
        // A failure that follows is news all the same.
        self.book(|state| state.ledger.grumble(error, SystemTime::now()));
        self.diagnose(self.config.name.clone(), error.clone());
    }

    /// Events in hand end here. `uncertain` of those that stay in hand may have been delivered although nobody said so.
    ///
    /// Both under one lock: a seal in between would book as dropped what arrived.
    pub(super) fn settle(&self, events: usize, fate: Fate, uncertain: u64) {
        self.book(|state| {
            state.ledger.settle(events as u64, fate);
            state.ledger.set_uncertain(uncertain);
        });
    }

    /// Events that were settled as unconfirmed are in hand again, and so many are uncertain.
    pub(super) fn reclaim(&self, events: usize, uncertain: u64) {
        self.book(|state| {
            state.ledger.reclaim(events as u64);
            state.ledger.set_uncertain(uncertain);
        });
    }

    /// Events that were settled as unconfirmed end here after all.
    pub(super) fn settle_late(&self, events: usize, fate: Fate) {
        self.book(|state| {
            state.ledger.reclaim(events as u64);
            state.ledger.settle(events as u64, fate);
        });
    }

    /// A fallback link answered.
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

    /// A fallback link may have had trouble that cost no event.
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
            // A close flushes: flushes that it answers, and later ones, have its error.
            state.flush_error = result.as_ref().err().map(|error| last_error(error, SystemTime::now()));
        });
        self.book_error(result.as_ref().err());
        self.config.house.bells.progress.notify_waiters();
    }

    /// Changes the book, unless it is sealed.
    fn book(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if !state.sealed {
            change(&mut state);
        }
    }

    /// Passes an error of the sink on: to the book, and if it is news to diagnostics.
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
    /// Whether anything said to it now would be written. A sink is not asked while its breaker is open, nor in the time
    /// that is the fallback's.
    fn hears(&self, audience: Audience, circuit: &Circuit) -> bool {
        match audience {
            Audience::Fallback => true,
            Audience::Sink => circuit.state() == BreakerState::Closed && !(self.config.links > 0 && self.is_endgame()),
        }
    }

    fn take_notice(&self, state: &mut State, audiences: &[Audience], is_closing: bool) -> Option<Box<Notice>> {
        let State { notices, ledger, circuit, .. } = state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let writer = Writer { sink: &self.config.name, enrichment: self.config.house.enrichment.as_ref() };
        let mut hearing = audiences.iter().filter(|audience| self.hears(**audience, circuit));
        hearing.find_map(|audience| notices.take(*audience, lost, now, is_closing, &writer)).map(Box::new)
    }

    /// When the next notice to one of these is due.
    fn notice_due(&self, audiences: &[Audience]) -> Option<Instant> {
        let state = self.state();
        let State { notices, ledger, circuit, .. } = &*state;
        let (now, lost) = (Instant::now(), ledger.dropped());
        let hearing = audiences.iter().filter(|audience| !state.sealed && self.hears(**audience, circuit));
        hearing.filter_map(|audience| notices.due(*audience, lost, now)).min()
    }

    /// A notice was written by the sink or a link, or by nobody.
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
    /// Asks or tells the breaker something, and says a change of its state.
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

    /// Closes the breaker, from any thread; the sink task says so. Whether the sink is back nobody knows.
    pub(crate) fn reset_breaker(&self) {
        let mut state = self.state();
        state.circuit.succeed();
        state.failing_since = None;
        drop(state);
        self.stirred.notify_one();
        // A notice may have waited for it.
        self.work.notify_one();
    }

    /// The last part of a shutdown's time begins, which is the fallback's.
    pub(crate) fn begin_endgame(&self) {
        self.endgame.send_replace(true);
    }

    pub(super) fn is_endgame(&self) -> bool {
        *self.endgame.borrow()
    }

    /// Ends when the last part of a shutdown's time begins. Cancel-safe.
    pub(super) async fn endgame(&self) {
        // The sender is this station's own: it is not gone before us.
        self.endgame.subscribe().wait_for(|is_endgame| *is_endgame).await.map(drop).unwrap_or_default();
    }

    /// Waits until `when`, or until the breaker is reset, or the fallback's time begins, if there is one.
    pub(super) async fn pause_until(&self, when: Instant) {
        tokio::select! {
            () = sleep_until(when) => {}
            () = self.stirred.notified() => {}
            () = self.endgame(), if self.config.links > 0 && !self.is_endgame() => {}
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

impl State {
    /// Notes since when writes fail, and what came of it once they do not and the breaker had opened.
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

    fn take_batch(&mut self) -> Option<Taken> {
        if self.sealed {
            return None;
        }
        let Entry { batch, charge, .. } = self.backlog.pop()?;
        self.ledger.begin(batch.len() as u64);
        Some(Taken { batch, charge })
    }
}
