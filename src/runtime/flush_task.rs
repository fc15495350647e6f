//! The flush task: sleeps, drains the lanes by time, dispatches batches to the pipelines, ends the logger. While the
//! logger is open, it sleeps on its interval and on the signal, never in a lane. [`Wake`] lists its wake reasons.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::LoggerCore;
use super::cancellation::{Cancellation, cancelled};
use super::closing::{drain_after_close, share_deadline, start_fallback_phase, stop_after_task_failure};
use super::filter_override::FilterOverride;
use super::finalize::FinalizeOnDrop;
use super::flush_deadlines::FlushDeadlines;
use super::hooks::run_hooks;
use super::pressure::PressureMonitor;
use super::rest::Rest;
use super::service_thread::ServiceThread;
use super::shutdown::StopReason;
use super::tasks::{spawn, spawn_on};
use crate::context::suppress::suppress;
use crate::dispatch::{Departed, Dispatched, Enrichers, announce, watermark_now};
use crate::pipeline::{SinkTaskParts, run_sink_task, run_spool_task};
use crate::queue::Chunk;

/// How often the metrics are refreshed, for a recorder that never requests it.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// What the flush task is started with.
pub(crate) struct FlushTaskParts {
    /// One for each sink, in their order.
    pub(crate) sink_tasks: Vec<SinkTaskParts>,
    /// Where those run that encode for the network.
    pub(crate) network: Option<Handle>,
    pub(crate) flush_interval: Duration,
    pub(crate) cancel: Option<Cancellation>,
    pub(crate) pressure_monitors: Vec<PressureMonitor>,
    pub(crate) enrichers: Enrichers,
    /// Threads that run as long as the logger and end after its sinks.
    pub(crate) services: Vec<ServiceThread>,
}

/// The reasons that wake the flush task while the lanes are open.
enum Wake {
    /// Time to dispatch the queued events.
    Interval,
    /// A lane is half full, an urgent event was queued, or a flush or a temporary filter was requested.
    Signal,
    /// The sink that blocks the dispatch may have room.
    SinkReady,
    /// The service's token was cancelled.
    Cancelled,
    /// The grace period after the cancellation is over.
    GraceExpired,
    /// A flush or a temporary filter may have expired.
    Timer,
    /// The watchdog checks whether this task is polled.
    Heartbeat,
    /// The future that bounds this run of the loop is ready.
    Done,
}

/// Runs a logger to its end. Its counters are closed even if the future is dropped before its first poll.
pub(crate) fn run(core: Arc<LoggerCore>, mut parts: FlushTaskParts) -> impl Future<Output = ()> + Send {
    let services = std::mem::take(&mut parts.services);
    let finalizer = FinalizeOnDrop { core: core.clone(), reason: StopReason::RuntimeDropped, services };
    // Code of the user's, such as a recorder, may log in here. And a panic in here is reported by the counters and the
    // diagnostics: it must not become an event in the queue that it may have broken.
    let task = suppress(run_guarded(finalizer, parts));
    async move {
        let mut task = pin!(task);
        poll_fn(|cx| {
            core.mark_polled();
            task.as_mut().poll(cx)
        })
        .await;
    }
}

async fn run_guarded(mut finalizer: FinalizeOnDrop, parts: FlushTaskParts) {
    let core = finalizer.core.clone();
    let mut background = JoinSet::new();
    {
        let core = core.clone();
        spawn(&mut background, async move { core.diagnostics.run().await });
    }
    let mut pipelines = JoinSet::new();
    for (sink, task) in core.sinks.iter().zip(parts.sink_tasks) {
        let network = parts.network.as_ref().filter(|_| task.encodes_for_network);
        if let Some(appends) = run_spool_task(sink, &task) {
            spawn(&mut pipelines, appends);
        }
        spawn_on(&mut pipelines, network, run_sink_task(sink.clone(), task));
    }
    let task = FlushTask {
        core: &core,
        ticks: ticks(parts.flush_interval),
        cancel: parts.cancel,
        pressure_monitors: parts.pressure_monitors,
        enrichers: parts.enrichers,
        grace_deadline: None,
        is_in_grace: false,
        is_blocked: false,
        deadlines: FlushDeadlines::default(),
        filter_override: FilterOverride::default(),
        metrics_due: Instant::now() + METRICS_INTERVAL,
        rest: Rest::default(),
        departed: Departed::default(),
    };
    let life = async {
        let reason = AssertUnwindSafe(task.run_to_end(pipelines)).catch_unwind().await;
        background.shutdown().await;
        // Before the end is published: a caller that starts the next logger then finds the port free.
        for service in &finalizer.services {
            service.stop().await;
        }
        core.diagnostics.finish().await;
        reason
    };
    finalizer.reason = tokio::select! {
        biased;
        reason = life => reason.unwrap_or(StopReason::TaskFailed),
        () = core.shutdown.wait_fraction(1, 1) => StopReason::DeadlineExceeded,
        // Another clock came first, and the counters are closed.
        () = core.shutdown.wait_done() => StopReason::DeadlineExceeded,
        reason = start_fallback_phase(&core) => reason,
        reason = share_deadline(&core) => reason,
    };
    drop(finalizer);
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    // After a stall one drain catches up, not one for each missed tick.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

struct FlushTask<'a> {
    core: &'a Arc<LoggerCore>,
    ticks: Interval,
    cancel: Option<Cancellation>,
    pressure_monitors: Vec<PressureMonitor>,
    enrichers: Enrichers,
    grace_deadline: Option<Instant>,
    /// The service's token was canceled: the sinks flush at each interval.
    is_in_grace: bool,
    /// A batch waits for room at a sink.
    is_blocked: bool,
    /// The deadlines of the pending flushes on this runtime's clock.
    deadlines: FlushDeadlines,
    filter_override: FilterOverride,
    metrics_due: Instant,
    rest: Rest,
    /// What a dispatch leaves to its announcement; empty between two.
    departed: Departed,
}

impl FlushTask<'_> {
    /// Runs from the first event to the last sink's close.
    async fn run_to_end(mut self, mut pipelines: JoinSet<bool>) -> StopReason {
        let core = self.core;
        let supervised = async {
            tokio::select! {
                biased;
                () = core.shutdown.wait_requested() => {}
                // Before the shutdown they end only by a bug of the logger or of the user's recorder.
                _ = pipelines.join_next() => stop_after_task_failure(core),
            }
        };
        self.run_until(supervised).await;
        // Hooks may log, so the queue stays open and is drained while they run.
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
            core.sinks.iter().for_each(|sink| sink.request_close());
            while let Some(ended) = pipelines.join_next().await {
                if !ended.is_ok_and(|is_closed| is_closed) {
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
        if core.queue.is_task_failed() { StopReason::TaskFailed } else { StopReason::Completed }
    }

    async fn run_until(&mut self, done: impl Future<Output = ()>) {
        let mut done = pin!(done);
        loop {
            let timer = self.next_timer();
            let wake = tokio::select! {
                biased;
                () = &mut done => Wake::Done,
                () = cancelled(&self.cancel) => Wake::Cancelled,
                () = until(self.grace_deadline) => Wake::GraceExpired,
                // Before the signal, which is always raised under load: a tick comes once per interval.
                _ = self.ticks.tick(), if !self.rest.is_active() => Wake::Interval,
                () = self.core.queue.signal().wait() => Wake::Signal,
                () = self.core.notifiers.sink_ready.notified(), if self.is_blocked => Wake::SinkReady,
                () = until(timer) => Wake::Timer,
                () = self.core.heartbeat_request.notified() => Wake::Heartbeat,
            };
            self.core.heartbeat.fetch_add(1, Ordering::Relaxed);
            if !matches!(wake, Wake::Interval | Wake::Heartbeat) && self.rest.end(self.core) {
                self.ticks.reset();
            }
            match wake {
                Wake::Done => return,
                Wake::Interval => {
                    self.drain().await;
                    if self.is_in_grace {
                        self.core.begin_flush();
                    }
                    self.refresh_metrics();
                    if !self.is_in_grace && self.rest.begin_if_idle(self.core) {
                        // The last values stay for as long as nothing happens.
                        self.core.refresh_metrics();
                    }
                }
                Wake::Signal | Wake::SinkReady => {
                    self.drain().await;
                }
                Wake::Cancelled => {
                    let grace = self.cancel.take().map_or(Duration::ZERO, |cancel| cancel.grace);
                    // Beyond the clock: only a shutdown ends it.
                    self.grace_deadline = Instant::now().checked_add(grace);
                    self.is_in_grace = true;
                    self.core.begin_flush();
                }
                Wake::GraceExpired => {
                    self.grace_deadline = None;
                    self.core.shutdown.request_if_none(self.core.shutdown_timeout);
                }
                Wake::Timer | Wake::Heartbeat => {}
            }
            self.advance_flushes().await;
            self.filter_override.expire_if_due(&self.core.filter, Instant::now());
        }
    }

    /// Dispatches the events emitted up to now.
    async fn drain(&mut self) -> Dispatched {
        // While blocked, the flag stays raised: callers would wake this task for nothing.
        if !self.is_blocked {
            self.core.queue.signal().lower();
        }
        let watermark = watermark_now();
        let end_offsets = self.core.queue.accepted_positions();
        let progress = self.dispatch(watermark, None, &end_offsets).await;
        if progress == Dispatched::Nothing && self.core.dispatcher().is_ahead_of_clock() {
            self.core.queue.signal().nudge();
        }
        publish_queue_losses(self.core);
        progress
    }

    /// Dispatches batches up to `watermark`, and what is before `goals`, until no event is left or a sink has no room. Takes
    /// events out of each lane up to its end offset, which bounds it: callers may log as fast as it dispatches, with
    /// timestamps before any watermark.
    async fn dispatch(&mut self, watermark: u64, goals: Option<&[u64]>, end_offsets: &[u64]) -> Dispatched {
        let LoggerCore { queue, sinks, metrics, .. } = &**self.core;
        let was_blocked = self.is_blocked;
        if queue.before(end_offsets) > 0 {
            self.enrich();
        }
        self.core.dispatcher().begin(goals);
        loop {
            // Before and after each batch: a level reached during one dispatch may be over after the next.
            self.check_pressure();
            let take = |lane, chunk: &mut Chunk| queue.take(lane, end_offsets[lane], chunk);
            let progress = self.core.dispatcher().dispatch(queue, sinks, watermark, take, &mut self.departed);
            announce(queue, sinks, &mut self.departed);
            self.is_blocked = progress == Dispatched::Blocked;
            match progress {
                Dispatched::Batch(events) => metrics.batch_events.record(events as f64),
                Dispatched::Nothing if was_blocked => {
                    // While the dispatch was blocked the signal stayed raised, so callers did not wake this task. Newer events
                    // may wait: wake it once more.
                    queue.signal().lower();
                    queue.signal().nudge();
                    return progress;
                }
                Dispatched::Nothing | Dispatched::Blocked => return progress,
            }
            // The sink tasks get their turn, also on a runtime with one thread.
            yield_now().await;
            self.core.heartbeat.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Evaluates the enrichers for the events that are dispatched next.
    fn enrich(&mut self) {
        if self.enrichers.is_empty() {
            return;
        }
        let enrichment = self.enrichers.evaluate(self.core.redactor.as_deref(), &self.core.diagnostics);
        self.core.dispatcher().set_enrichment(enrichment);
    }

    /// Performs the requested flushes: dispatches everything before them, then pushes the sinks' barriers.
    async fn advance_flushes(&mut self) {
        self.expire_flushes();
        while let Some(flush) = self.core.next_flush() {
            // Noted in this order: what came before an event that must pass has an older time, and is taken.
            let goals = self.core.queue.accepted_positions();
            let watermark = watermark_now();
            let end_offsets = self.core.queue.accepted_positions();
            if self.dispatch(watermark, Some(&goals), &end_offsets).await == Dispatched::Blocked {
                return;
            }
            self.core.push_barriers(&flush);
            drop(flush);
            // Callers may ask as fast as this goes round.
            yield_now().await;
            self.core.heartbeat.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the flushes whose time is over on this runtime's clock.
    fn expire_flushes(&mut self) {
        let now = Instant::now();
        self.deadlines.add(self.core.take_flush_timeouts(), now);
        if self.deadlines.expire(now) {
            self.core.notifiers.notify_progress();
        }
    }

    fn check_pressure(&mut self) {
        if !self.pressure_monitors.is_empty() {
            let percent = self.core.queue.percent_full();
            self.pressure_monitors.iter_mut().for_each(|monitor| monitor.check(percent, &self.core.diagnostics));
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.deadlines.next().into_iter().chain(self.filter_override.deadline()).min()
    }

    fn refresh_metrics(&mut self) {
        if self.metrics_due <= Instant::now() {
            self.metrics_due = Instant::now() + METRICS_INTERVAL;
            self.core.refresh_metrics();
        }
    }

    /// Expires flushes and the temporary filter, and checks the pressure, while the logger closes; never ends.
    async fn run_timers(&mut self) {
        loop {
            self.check_pressure();
            self.expire_flushes();
            self.filter_override.expire_if_due(&self.core.filter, Instant::now());
            let timer = self.deadlines.next().into_iter().chain(self.filter_override.deadline()).min();
            tokio::select! {
                () = until(timer) => {}
                // Another flush was requested.
                () = self.core.queue.signal().wait() => {}
            }
        }
    }
}

/// Passes the queue's losses so far to the sinks, whose notices report them.
fn publish_queue_losses(core: &LoggerCore) {
    let book = core.queue.book();
    let mut losses = book.refused;
    losses.merge(&book.evicted);
    core.sinks.iter().for_each(|sink| sink.update_queue_losses(losses));
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
