//! The flush task: sleeps, drains the lanes by time, hands batches to the pipelines, ends the logger.
//!
//! While the logger is open it sleeps on its interval and on the signal, never in a lane. Everything that can happen to
//! it is a [`Wake`].

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::cancellation::{Cancellation, cancelled};
use super::closing::{drain_after_close, start_fallback_phase, stop_after_task_failure};
use super::filter_override::FilterOverride;
use super::hooks::run_hooks;
use super::pressure::PressureMonitor;
use super::shutdown::StopReason;
use super::tasks::spawn;
use super::{FlushRequest, LoggerCore};
use crate::context::suppress::suppress;
use crate::dispatch::{Dispatched, Enrichers, NO_WATERMARK, watermark_now};
use crate::pipeline::{Line, deliver};

/// How soon a flush looks again at a lane whose oldest event is claimed but not yet written.
const PENDING_SEND_RECHECK: Duration = Duration::from_millis(1);
/// How often the metrics are brought up to date for a recorder that does not ask.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// What the flush task is started with.
pub(crate) struct FlushTaskParts {
    /// One for each station, in their order.
    pub(crate) lines: Vec<Line>,
    pub(crate) flush_interval: Duration,
    pub(crate) cancel: Option<Cancellation>,
    pub(crate) pressure_monitors: Vec<PressureMonitor>,
    pub(crate) enrichers: Enrichers,
    /// Tasks that run as long as the logger and end after its sinks.
    pub(crate) background_tasks: Vec<BoxFuture<'static, ()>>,
}

/// Everything that wakes the flush task while it serves.
enum Wake {
    /// Time to hand out what came in.
    Interval,
    /// A lane is half full, an urgent event came in, a flush was asked for, a filter was set for a time.
    Signal,
    /// A sink that everybody waits for may have room.
    Room,
    /// The service's token was cancelled.
    Cancelled,
    /// The grace after the cancellation is over.
    GraceExpired,
    /// A flush may have run out of time, a filter too, or a half-written event may be complete.
    Timer,
    /// Somebody looks whether this task is polled.
    Heartbeat,
    /// What this stretch of serving was to last for has happened.
    Done,
}

/// Runs a logger to its end. Its books are closed also if the future is dropped before its first poll.
pub(crate) fn run(core: Arc<LoggerCore>, parts: FlushTaskParts) -> impl Future<Output = ()> + Send {
    let finalizer = FinalizeOnDrop { core, reason: StopReason::RuntimeGone };
    // A recorder of the user's, say, may log when it is brought up to date; and what panics in here is said by the books and
    // diagnostics: it is no event for the queue it may have broken.
    suppress(run_guarded(finalizer, parts))
}

async fn run_guarded(mut finalizer: FinalizeOnDrop, parts: FlushTaskParts) {
    let core = finalizer.core.clone();
    let mut background = JoinSet::new();
    parts.background_tasks.into_iter().for_each(|task| spawn(&mut background, task));
    {
        let core = core.clone();
        spawn(&mut background, async move { core.diagnostics.run().await });
    }
    let mut pipelines = JoinSet::new();
    for (sink, line) in core.sinks.iter().zip(parts.lines) {
        spawn(&mut pipelines, deliver(sink.clone(), line));
    }
    let task = FlushTask {
        core: &core,
        ticks: ticks(parts.flush_interval),
        cancel: parts.cancel,
        pressure_monitors: parts.pressure_monitors,
        enrichers: parts.enrichers,
        grace_deadline: None,
        is_blocked: false,
        recheck_pending_send: false,
        deadlines: Vec::new(),
        filter_override: FilterOverride::default(),
        metrics_due: Instant::now() + METRICS_INTERVAL,
    };
    let life = async {
        let reason = AssertUnwindSafe(task.run_to_end(pipelines)).catch_unwind().await;
        // Before the end is made known: whoever starts the next logger then finds the port free.
        background.shutdown().await;
        core.diagnostics.finish().await;
        reason
    };
    finalizer.reason = tokio::select! {
        biased;
        reason = life => reason.unwrap_or(StopReason::Panicked),
        () = core.shutdown.wait_fraction(1, 1) => StopReason::DeadlineExceeded,
        // Somebody else's clock came first and the books are closed.
        () = core.shutdown.wait_done() => StopReason::DeadlineExceeded,
        reason = start_fallback_phase(&core) => reason,
    };
    drop(finalizer);
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    // After a stall there is one drain to make up for, not one for each tick that was missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Closes the books on every way out, also when the runtime drops the flush task where it stands.
struct FinalizeOnDrop {
    core: Arc<LoggerCore>,
    reason: StopReason,
}

impl Drop for FinalizeOnDrop {
    fn drop(&mut self) {
        self.core.finalize(self.reason);
        // From here on nobody runs the user's handler.
        self.core.diagnostics.close();
    }
}

struct FlushTask<'a> {
    core: &'a Arc<LoggerCore>,
    ticks: Interval,
    cancel: Option<Cancellation>,
    pressure_monitors: Vec<PressureMonitor>,
    enrichers: Enrichers,
    grace_deadline: Option<Instant>,
    /// A batch waits for room at a sink.
    is_blocked: bool,
    /// A flush waits for an event that is half written.
    recheck_pending_send: bool,
    /// The open flushes' deadlines on this runtime's clock.
    deadlines: Vec<(Arc<FlushRequest>, Instant)>,
    filter_override: FilterOverride,
    metrics_due: Instant,
}

impl FlushTask<'_> {
    /// From the first event to the last sink's close.
    async fn run_to_end(mut self, mut pipelines: JoinSet<()>) -> StopReason {
        let core = self.core;
        let supervised = async {
            tokio::select! {
                biased;
                () = core.shutdown.wait_requested() => {}
                // Before they are told to, they end only by a fault of ours, or of a recorder of the user's.
                _ = pipelines.join_next() => stop_after_task_failure(core),
            }
        };
        self.run_until(supervised).await;
        // Hooks may log, so the intake stays open and is served while they run.
        let mut hooks = JoinSet::new();
        hooks.spawn(run_hooks(core.clone()));
        self.run_until(async { drop(hooks.join_next().await) }).await;
        core.queue.close();
        if core.queue.before(&core.queue.accepted_positions()) > 0 {
            self.enrich();
        }
        let closed = async {
            drain_after_close(core).await;
            publish_queue_losses(core);
            core.sinks.iter().for_each(|sink| sink.begin_close());
            while let Some(ended) = pipelines.join_next().await {
                // With all of its events settled it had only itself left to drop.
                if ended.is_err() && core.has_pending_events() {
                    core.queue.close_task_failed();
                }
            }
        };
        tokio::select! {
            biased;
            () = closed => {}
            () = self.run_timers() => {}
        }
        self.check_pressure();
        if core.queue.is_task_failed() { StopReason::Panicked } else { StopReason::Completed }
    }

    async fn run_until(&mut self, done: impl Future<Output = ()>) {
        let mut done = std::pin::pin!(done);
        loop {
            let timer = self.next_timer();
            let wake = tokio::select! {
                biased;
                () = &mut done => Wake::Done,
                () = cancelled(&self.cancel) => Wake::Cancelled,
                () = until(self.grace_deadline) => Wake::GraceExpired,
                // Before the signal, which under load is always up: a tick comes once in an interval.
                _ = self.ticks.tick() => Wake::Interval,
                () = self.core.queue.signal().wait() => Wake::Signal,
                () = self.core.notifiers.room.notified(), if self.is_blocked => Wake::Room,
                () = until(timer) => Wake::Timer,
                () = self.core.heartbeat_request.notified() => Wake::Heartbeat,
            };
            self.core.heartbeat.fetch_add(1, Ordering::Relaxed);
            match wake {
                Wake::Done => return,
                Wake::Interval => {
                    self.drain().await;
                    if self.grace_deadline.is_some() {
                        self.flush_in_background();
                    }
                    self.refresh_metrics();
                }
                Wake::Signal | Wake::Room => {
                    self.drain().await;
                }
                Wake::Cancelled => {
                    let grace = self.cancel.take().map_or(Duration::ZERO, |cancel| cancel.grace);
                    self.grace_deadline = Some(Instant::now() + grace);
                    self.flush_in_background();
                }
                Wake::GraceExpired => {
                    self.grace_deadline = None;
                    self.core.shutdown.request(self.core.shutdown_timeout);
                }
                Wake::Timer | Wake::Heartbeat => {}
            }
            self.advance_flushes().await;
            self.filter_override.expire_if_due(&self.core.filter, Instant::now());
        }
    }

    /// Hands out what was emitted up to now.
    async fn drain(&mut self) -> Dispatched {
        // While blocked the flag stays up: callers would wake us for nothing.
        if !self.is_blocked {
            self.core.queue.signal().lower();
        }
        let watermark = watermark_now();
        let end_offsets = self.core.queue.accepted_positions();
        let progress = self.hand_out(watermark, Some(&end_offsets)).await;
        publish_queue_losses(self.core);
        progress
    }

    /// Hands out batches up to `cut` until nothing is left or a sink has no room, taking events out of each lane until
    /// it has come to `goal`; without one only what has left the lanes already.
    ///
    /// The goal ends it: callers may log as fast as it hands out, and with times of their own before any cut.
    async fn hand_out(&mut self, watermark: u64, end_offsets: Option<&[u64]>) -> Dispatched {
        let LoggerCore { queue, sinks, metrics, .. } = &**self.core;
        let was_blocked = self.is_blocked;
        if end_offsets.is_some_and(|end_offsets| queue.before(end_offsets) > 0) {
            self.enrich();
        }
        self.core.dispatcher().begin();
        loop {
            // Before and after each batch: what fills while it is handed out may be gone with the next.
            self.check_pressure();
            let take = |lane, into: &mut Vec<_>| {
                end_offsets.map_or(0, |end_offsets| queue.drain(lane, end_offsets[lane], into))
            };
            let progress = self.core.dispatcher().dispatch(queue, sinks, watermark, take);
            self.is_blocked = progress == Dispatched::Blocked;
            match progress {
                Dispatched::Batch(events) => metrics.batch_events.record(events as f64),
                Dispatched::Nothing if was_blocked => {
                    // Up since before: no caller has woken us for what came in after the cut.
                    queue.signal().lower();
                    queue.signal().nudge();
                    return progress;
                }
                Dispatched::Nothing | Dispatched::Blocked => return progress,
            }
            // The sinks' tasks get their turn, also on a runtime with one thread.
            yield_now().await;
            self.core.heartbeat.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives what is handed out next the values that its changing fields have now.
    fn enrich(&mut self) {
        if self.enrichers.is_empty() {
            return;
        }
        let enrichment = self.enrichers.evaluate(self.core.queue.redactor(), &self.core.diagnostics);
        self.core.dispatcher().set_enrichment(enrichment);
    }

    /// Brings the open flushes on: everything before them out of the lanes, off the desk, then the sinks' barriers.
    async fn advance_flushes(&mut self) {
        self.recheck_pending_send = false;
        let open = self.core.pending_flushes();
        self.expire(&open);
        let waiting: Vec<_> = open.into_iter().filter(|request| !request.has_barriers()).collect();
        if waiting.is_empty() {
            return;
        }
        let end_offsets = self.core.queue.accepted_positions();
        if self.hand_out(NO_WATERMARK, Some(&end_offsets)).await == Dispatched::Blocked {
            return;
        }
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.iter().partition(|request| self.core.queue.before(&request.positions) == 0);
        // Only a claimed slot without its event can be left in a lane now.
        self.recheck_pending_send = !rest.is_empty();
        if !ready.is_empty() && self.hand_out(NO_WATERMARK, None).await == Dispatched::Nothing {
            self.core.push_barriers(ready.into_iter());
        }
    }

    /// Flushes the sinks without anybody waiting for it.
    fn flush_in_background(&mut self) {
        let is_pending = self.deadlines.iter().any(|(request, _)| !request.has_barriers());
        if !is_pending {
            let request = self.core.request_flush(Duration::MAX);
            self.deadlines.push((request, Instant::now() + METRICS_INTERVAL));
        }
    }

    fn expire(&mut self, open: &[Arc<FlushRequest>]) {
        let now = Instant::now();
        self.deadlines.retain(|(known, _)| open.iter().any(|request| Arc::ptr_eq(request, known)));
        for request in open {
            if !self.deadlines.iter().any(|(known, _)| Arc::ptr_eq(request, known))
                && let Some(deadline) = now.checked_add(request.timeout)
            {
                self.deadlines.push((request.clone(), deadline));
            }
        }
        let mut any = false;
        self.deadlines.retain(|(request, deadline)| {
            let is_over = *deadline <= now;
            if is_over {
                request.expire();
                any = true;
            }
            !is_over
        });
        if any {
            self.core.notifiers.progress.notify_waiters();
        }
    }

    fn check_pressure(&mut self) {
        if !self.pressure_monitors.is_empty() {
            let percent = self.core.queue.percent_full();
            self.pressure_monitors.iter_mut().for_each(|gauge| gauge.check(percent, &self.core.diagnostics));
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let look_again = self.recheck_pending_send.then(|| Instant::now() + PENDING_SEND_RECHECK);
        self.deadlines
            .iter()
            .map(|(_, deadline)| *deadline)
            .chain(look_again)
            .chain(self.filter_override.deadline())
            .min()
    }

    fn refresh_metrics(&mut self) {
        if self.metrics_due <= Instant::now() {
            self.metrics_due = Instant::now() + METRICS_INTERVAL;
            self.core.refresh_metrics();
        }
    }

    /// Ends the flushes and the filter whose time passes while the logger closes, and looks at the gauges; never ends.
    async fn run_timers(&mut self) {
        loop {
            self.check_pressure();
            let open = self.core.pending_flushes();
            self.expire(&open);
            self.filter_override.expire_if_due(&self.core.filter, Instant::now());
            let timer =
                self.deadlines.iter().map(|(_, deadline)| *deadline).chain(self.filter_override.deadline()).min();
            tokio::select! {
                () = until(timer) => {}
                // One more was asked for.
                () = self.core.queue.signal().wait() => {}
            }
        }
    }
}

/// Has the sinks' readers told what the queue has lost so far.
fn publish_queue_losses(core: &LoggerCore) {
    let book = core.queue.book();
    let mut losses = book.refused;
    losses.merge(&book.evicted);
    core.sinks.iter().for_each(|sink| sink.hear_of_losses(losses));
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
