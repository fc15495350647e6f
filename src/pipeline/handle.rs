//! Any thread: the shared half of one sink, between the flush task that dispatches to it and the sink task that
//! delivers.
//!
//! Callers request flushes and reopens here; the logger's end reads and seals the counters.
//!
//! Invariants:
//! * Counters move under one lock, once per batch, together with the events they count.
//! * Under the lock runs no foreign code, and no batch is dropped.
//! * Sealed counters never change: the final report has them.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::awaited::AwaitedEvents;
use super::backlog::{BacklogQueue, WaitingBatch, WhenFull};
use super::breaker::{Breaker, BreakerCallback, CircuitBreaker};
use super::filter::SinkFilter;
use super::ledger::{Ledger, Losses, Outcome};
use super::notice::{NoticeIds, NoticeScheduler};
use super::spool::{OpenSpool, SpoolAccount};
use super::state::{Barrier, Drain, Flushed, Reopen, SinkState};
use super::wanted::Wanted;
use crate::context::contain::contain;
use crate::event::{Batch, Event, LevelFilter, Redactor, SharedFields};
use crate::filter::Filter;
use crate::observe::diagnostics::Diagnostics;
use crate::observe::metrics::SinkHistograms;
use crate::sink::Batching;
use crate::stats::labels::BreakerState;
use crate::stats::{DropCounts, DropReason, SinkFlushReport, SinkStats};
use crate::time::clock;

/// Wakes the flush task when a sink has room, and callers that wait for a flush, a reopen or the end.
#[derive(Default)]
pub(crate) struct Notifiers {
    pub(crate) sink_ready: Notify,
    pub(crate) progress: Notify,
}

impl Notifiers {
    /// Wakes the callers. Called with nothing locked: their wakers are foreign code, which may panic.
    pub(crate) fn notify_progress(&self) {
        contain(|| self.progress.notify_waiters()).unwrap_or_default();
    }
}

pub(crate) struct SinkHandleConfig {
    pub(crate) name: String,
    pub(crate) filter: Filter,
    pub(crate) breaker: Breaker,
    pub(crate) on_breaker: Option<BreakerCallback>,
    /// Its number among the logger's sinks.
    pub(crate) number: usize,
    /// Callers that wait for a confirmation wait for this sink's.
    pub(crate) is_essential: bool,
    /// What earlier processes left in its spool may be confirmed, and is not dropped to make room.
    pub(crate) holds_recovered: bool,
    /// Of its own sink and of each fallback: whether what that has delivered is confirmed.
    pub(crate) is_confirming: Box<[bool]>,
    pub(crate) when_full: WhenFull,
    pub(crate) limit: usize,
    /// `None`: a request is a dispatched batch.
    pub(crate) batching: Option<Batching>,
    pub(crate) spool: Option<OpenSpool>,
    pub(crate) histograms: SinkHistograms,
    pub(crate) env: PipelineEnv,
}

/// What the sink handles of one logger share.
#[derive(Clone)]
pub(crate) struct PipelineEnv {
    pub(crate) notifiers: Arc<Notifiers>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    pub(crate) notice_interval: Duration,
    /// Fields that notices carry, like every event.
    pub(crate) enrichment: Option<Arc<SharedFields>>,
    /// What is recovered is masked by it.
    pub(crate) redactor: Option<Arc<Redactor>>,
    pub(crate) notice_ids: Arc<NoticeIds>,
    /// An event of this level and above does not wait for a request to fill.
    pub(crate) flush_at: LevelFilter,
}

/// One sink's backlog, counters and requests.
pub(crate) struct SinkHandle {
    pub(super) config: SinkHandleConfig,
    pub(super) filter: SinkFilter,
    // A std lock: held to move counts and one batch, never across an await.
    state: Mutex<SinkState>,
    /// For the sink task alone, like `interrupt`; there is one such task, so a stored permit never belongs to another.
    pub(super) wake: Notify,
    /// Interrupts a pause of the sink task.
    pub(super) interrupt: Notify,
    /// For the spool task alone.
    pub(super) spool_wake: Notify,
    /// Whether the last part of a shutdown's time, the fallback's, has begun.
    pub(super) fallback_phase: watch::Sender<bool>,
}

impl SinkHandleConfig {
    /// The number of sinks: its own, and the fallbacks.
    pub(super) fn destinations(&self) -> usize {
        self.is_confirming.len()
    }
}

impl SinkHandle {
    pub(crate) fn new(config: SinkHandleConfig) -> Self {
        let backlog = BacklogQueue::new(config.limit, config.when_full, config.batching);
        let holds = config.holds_recovered;
        let spool = config.spool.as_ref().map(|spool| Box::new(SpoolAccount::new(&spool.recovered, holds)));
        let mut ledger = Ledger::new(config.destinations());
        spool.iter().for_each(|spool| ledger.recover(spool.outstanding()));
        let state = SinkState {
            backlog: if spool.is_some() { backlog.spooled() } else { backlog },
            spool,
            ledger,
            awaited: AwaitedEvents::new(config.number, config.is_confirming.clone()),
            breaker: CircuitBreaker::new(config.breaker.clone()),
            last_reported_state: BreakerState::Closed,
            failing_since: None,
            notices: NoticeScheduler::new(config.env.notice_interval, config.destinations() > 1),
            barriers: VecDeque::new(),
            reported: Losses::default(),
            reopen: None,
            drain: None,
            is_closing: false,
            closed: None,
            is_sealed: false,
            failed: None,
            has_news: false,
            flush_ends_pause: None,
        };
        SinkHandle {
            filter: SinkFilter::new(config.filter.clone()),
            config,
            state: Mutex::new(state),
            wake: Notify::new(),
            interrupt: Notify::new(),
            spool_wake: Notify::new(),
            fallback_phase: watch::Sender::new(false),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }
}

/// The flush task's side.
impl SinkHandle {
    /// Whether the flush task may dispatch this now.
    pub(crate) fn has_room(&self, wanted: &Wanted) -> bool {
        let Wanted { batch, charge, .. } = wanted;
        let enrichment = batch.enrichment().map_or(0, |enrichment| enrichment.bytes());
        // A sink whose task has failed keeps nothing, so it has room for what it will drop.
        let mut spooled = Vec::new();
        let mut state = self.state();
        state.make_room(charge + enrichment, &mut spooled);
        batch.is_empty() || state.backlog.accepts(charge + enrichment)
    }

    /// Enqueues what the sink wants; [`SinkHandle::announce`] is to follow. The sink task receives it in `action.rs`.
    pub(crate) fn enqueue(&self, wanted: Wanted) {
        let Wanted { batch, charge, filtered, tickets } = wanted;
        let events = batch.len() as u64;
        let mut dropped = Vec::new();
        let is_urgent = |batch: &Batch| {
            !tickets.is_empty() || batch.iter().any(|record| self.config.env.flush_at.allows(record.level()))
        };
        let arrived = self.config.batching.filter(|_| !is_urgent(&batch)).map(|_| Instant::now());
        let mut state = self.state();
        state.ledger.route(events, filtered);
        state.awaited.add(tickets);
        if events > 0 {
            let new = WaitingBatch { batch, charge, upto: state.ledger.routed(), arrived };
            if let Some(reason) = state.failed {
                state.awaited.settle(&new.batch, Outcome::Dropped(reason));
                dropped.push(new.batch);
                state.ledger.drop_waiting(reason, events);
            } else {
                state.push(new, self.config.when_full, &mut dropped);
                state.has_news = true;
            }
        }
        drop(state);
    }

    /// Whether callers that wait for a confirmation wait for this sink's.
    pub(crate) fn is_essential(&self) -> bool {
        self.config.is_essential
    }

    /// Wakes the sink task for what was enqueued, and callers whose events were dropped for it. Called with nothing locked: its waker may be observed by foreign code.
    pub(crate) fn announce(&self) {
        let mut state = self.state();
        let (has_news, ended) = (mem::take(&mut state.has_news), state.awaited.take_changed());
        drop(state);
        ended.iter().for_each(|ticket| ticket.wake());
        match (has_news, &self.config.spool) {
            (true, None) => self.wake.notify_one(),
            (true, Some(_)) => self.spool_wake.notify_one(),
            (false, _) => {}
        }
    }

    /// Updates the queue's losses so far, which the sink's notices report.
    pub(crate) fn update_queue_losses(&self, queue: DropCounts) {
        let is_news = self.state().notices.update_queue_losses(queue);
        if is_news {
            self.wake.notify_one();
        }
    }

    /// Counts events that reach no pipeline anymore, as dropped for this reason.
    pub(crate) fn drop_undispatched<'a>(&self, events: impl Iterator<Item = &'a Event>, reason: DropReason) {
        let (mut wanted, mut all) = (0, 0);
        for event in events {
            all += 1;
            wanted += u64::from(self.filter.wants(event));
        }
        let mut state = self.state();
        state.ledger.route(wanted, all - wanted);
        state.ledger.drop_waiting(reason, wanted);
    }

    /// Adds a barrier after all enqueued batches; `is_awaited`: a caller waits for it.
    pub(crate) fn push_barrier(&self, is_awaited: bool) -> Arc<Barrier> {
        let ends_pause = self.state().flush_ends_pause.take_if(|from| *from <= Instant::now()).is_some();
        if ends_pause {
            self.interrupt.notify_waiters();
        }
        let mut state = self.state();
        let (offset, reported) = (state.ledger.routed(), state.reported);
        if let Some(last) = state.barriers.back()
            && last.offset == offset
        {
            last.is_awaited.fetch_or(is_awaited, Ordering::Relaxed);
            return last.clone();
        }
        let is_awaited = AtomicBool::new(is_awaited);
        let barrier = Arc::new(Barrier { offset, reported, is_awaited, done: OnceLock::new() });
        if let Some(closed) = state.closed.clone() {
            barrier.done.get_or_init(|| Flushed { losses: state.ledger.losses(), error: closed.err() });
            return barrier;
        }
        // Flushes that no caller waits for any more: this one covers them. Not the first: a slow sink would never reach one.
        while state.barriers.len() > 1 && state.barriers.back().is_some_and(|last| Arc::strong_count(last) == 1) {
            state.barriers.pop_back();
        }
        state.barriers.push_back(barrier.clone());
        drop(state);
        self.wake.notify_one();
        self.spool_wake.notify_one();
        barrier
    }

    /// Requests a reopen. It joins one that has not begun; one that has may have opened the destination before the caller
    /// changed it.
    pub(crate) fn request_reopen(&self) -> Arc<Reopen> {
        let mut state = self.state();
        if let (Some(_), Some(closed)) = (state.failed, state.closed.clone()) {
            return Arc::new(Reopen { done: OnceLock::from(closed) });
        }
        let request = state.reopen.get_or_insert_default().clone();
        drop(state);
        self.wake.notify_one();
        self.interrupt.notify_waiters();
        request
    }

    /// Begins the end, or changes its deadline: a pause for the breaker or a retry ends.
    pub(crate) fn begin_drain(&self, deadline: Option<Instant>) {
        let mut state = self.state();
        let begun = state.drain.map_or_else(Instant::now, |drain| drain.begun);
        if state.drain.replace(Drain { begun, deadline }).is_none() {
            state.breaker.probe_now();
        }
        drop(state);
        self.interrupt.notify_waiters();
        // Waiting events linger no longer.
        self.wake.notify_one();
        self.spool_wake.notify_one();
    }

    /// Whether the logger ends.
    pub(super) fn is_draining(&self) -> bool {
        self.state().drain.is_some()
    }

    /// Whether no batch follows.
    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Whether a task of the pipeline has ended by itself.
    pub(super) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Requests the close: no batch follows, so the sink task delivers the backlog and closes the sink.
    pub(crate) fn request_close(&self) {
        self.state().is_closing = true;
        self.wake.notify_one();
        self.spool_wake.notify_one();
    }
}

/// The side of callers and the metrics.
impl SinkHandle {
    pub(crate) fn stats(&self) -> SinkStats {
        let bytes = self.config.spool.as_ref().map_or(0, |spool| contain(|| spool.store.bytes()).unwrap_or(0));
        let state = self.state();
        let spool_age =
            state.spool.as_ref().filter(|_| !state.is_sealed).and_then(|spool| spool.age(clock::now_nanos()));
        SinkStats { spool_bytes: bytes, spool_age, ..state.ledger.stats(&self.config.name, &state) }
    }

    /// Whether events wait or are being written.
    pub(crate) fn has_pending_events(&self) -> bool {
        let state = self.state();
        state.waiting_before(u64::MAX) + state.ledger.in_flight() > 0
    }

    /// Replaces the filter, for events that are not dispatched yet.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.filter.set(filter);
    }

    pub(crate) fn reset_latency(&self) {
        self.state().ledger.reset_latency();
    }

    /// Reports how far a flush got. Without a barrier it did not reach this sink, unless the sink was closed in order
    /// before.
    pub(crate) fn flush_report(&self, barrier: Option<&Barrier>) -> SinkFlushReport {
        let state = self.state();
        let now = state.ledger.losses();
        let before = barrier.map_or(state.reported, |barrier| barrier.reported);
        let result = match barrier.and_then(|barrier| barrier.done.get()) {
            Some(Flushed { losses, error }) => Some((*losses, error.clone())),
            None => state.closed.clone().map(|closed| (now, closed.err())),
        };
        let waiting = state.waiting_before(barrier.map_or(u64::MAX, |barrier| barrier.offset));
        let losses = result.as_ref().map_or(now, |(losses, _)| *losses);
        SinkFlushReport {
            name: self.config.name.clone(),
            flushed: matches!(result, Some((_, None))),
            pending: if result.is_some() { 0 } else { waiting + state.ledger.in_flight() },
            lost: losses.lost - before.lost,
            // A late result may have settled some of those reported before.
            unconfirmed: losses.unconfirmed.saturating_sub(before.unconfirmed),
            error: result.and_then(|(_, error)| error),
        }
    }
}
