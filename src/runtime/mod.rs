//! Any thread: the core that callers, the flush task and the sink tasks of one logger share, and the flush task itself.
//!
//! In: `builder` makes the [`LoggerCore`] and the [`FlushTaskParts`] and spawns [`run`]. From any thread, `logger`
//! requests flushes, filters and the shutdown through the core, and reads `stats` and `state`. Events come out of
//! `queue`.
//!
//! Out: the flush task dispatches the events with `dispatch` to the sinks of `pipeline`, whose tasks it spawns. It
//! calls the user's enrichers, pressure callbacks and hooks, and refreshes the metrics of `observe`. At the end it
//! makes the `ShutdownReport`.
//!
//! Invariants:
//! * Locks are taken in this order: publication of the metrics, dispatcher, lane, sink. The list of flushes comes before a
//!   sink too. None is held across an await. The flush task never waits for the publication.
//! * While the logger is open, the flush task sleeps on its interval and on the queue's signal, never in a lane.
//! * The counters are closed once (`finalize`), whatever ends the logger; every caller gets the same report.
//! * Each task of a logger is spawned by `tasks::spawn`: a set owns it, and its own log calls are suppressed. The one
//!   exception is the task of the shutdown hooks, whose events are accepted.
//! * Work that must not delay the flush task has a `ServiceThread`, which ends before the counters are closed.
//!
//! Next: `dispatch` takes the events out of the lanes.
//!
//! A new reason to wake the flush task is a variant of `Wake` (`flush_task`); shutdown hooks are in `hooks`; the phases of
//! the shutdown are in `closing` and `finalize`, their order is `run_to_end` of `flush_task`; the exit of the process is in
//! `exit`, pressure callbacks are in `pressure`, the watchdog is in `tasks`.

mod cancellation;
mod closing;
mod detached;
mod exit;
mod filter_override;
mod finalize;
mod flush;
mod flush_deadlines;
mod flush_task;
mod hooks;
mod pressure;
mod rest;
mod service_thread;
mod shutdown;
mod tasks;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use cancellation::Cancellation;
pub(crate) use detached::DetachedRuntime;
pub(crate) use exit::{Ending, is_forked_from_loggers};
use flush::FlushQueue;
pub(crate) use flush_task::{FlushTaskParts, run};
pub(crate) use hooks::ShutdownHooks;
pub use pressure::Pressure;
pub(crate) use pressure::PressureMonitor;
pub(crate) use service_thread::ServiceThread;
pub use shutdown::State;
pub(crate) use shutdown::{BoxError, ShutdownState, StopReason};
pub(crate) use tasks::start_timers;

use crate::context::contain::contain;
use crate::context::scope::ScopeId;
#[cfg(feature = "prometheus")]
use crate::context::suppress::SuppressGuard;
use crate::dispatch::Dispatcher;
use crate::event::Redactor;
use crate::filter::FilterCell;
use crate::observe::diagnostics::{Diagnostic, Diagnostics};
#[cfg(feature = "prometheus")]
use crate::observe::exporter::Exporter;
use crate::observe::metrics::{LoggerMetrics, Publication};
use crate::pipeline::{Notifiers, SinkHandle};
use crate::queue::{IntakeBook, Queue};
use crate::stats::Stats;

/// Where the flush task runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Host {
    OwnThread,
    /// On a runtime of the user's.
    Runtime {
        id: tokio::runtime::Id,
        is_current_thread: bool,
    },
}

/// What the handles, the flush task and the sink tasks of one logger share.
pub(crate) struct LoggerCore {
    pub(crate) name: String,
    pub(crate) queue: Queue,
    /// By which scopes know the logger's contexts.
    pub(crate) scope_id: ScopeId,
    pub(crate) redactor: Option<Arc<Redactor>>,
    /// Events that the logger's own tasks logged.
    pub(crate) suppressed: AtomicU64,
    /// Events that the sampling of their call site skipped.
    pub(crate) sampled: AtomicU64,
    pub(crate) filter: FilterCell,
    pub(crate) sinks: Box<[Arc<SinkHandle>]>,
    pub(crate) notifiers: Arc<Notifiers>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    pub(crate) metrics: LoggerMetrics,
    pub(crate) shutdown: ShutdownState,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) host: Host,
    /// The process that it runs in.
    pub(crate) process: u32,
    /// The thread that polled the flush task last, by a number of `exit`'s; 0 before the first poll.
    pub(crate) polled_on: AtomicUsize,
    // Both are std locks: the first is held to dispatch a batch, the second to move a pointer.
    pub(crate) dispatcher: Mutex<Dispatcher>,
    pub(crate) flushes: Mutex<FlushQueue>,
    pub(crate) hooks: ShutdownHooks,
    /// Live `Logger`s; dropping the last one starts a background shutdown.
    pub(crate) handles: AtomicUsize,
    /// A shutdown guard waits for the end: no caller reads the report, so losses are reported as a diagnostic.
    pub(crate) report_losses: AtomicBool,
    /// Turns of the flush task. The watchdog checks that they advance.
    pub(crate) heartbeat: AtomicU64,
    /// Requests a turn of the flush task.
    pub(crate) heartbeat_request: Notify,
    pub(crate) stopped_at: OnceLock<SystemTime>,
    /// The recorder of this logger's own.
    #[cfg(feature = "prometheus")]
    pub(crate) exporter: Option<Exporter>,
    #[cfg(feature = "prometheus")]
    pub(crate) prometheus_addr: Option<std::net::SocketAddr>,
    /// Stops the logger's service threads; canceled when the counters are closed.
    pub(crate) stop_services: CancellationToken,
}

impl LoggerCore {
    /// Locks the dispatcher. A panic under the lock leaves each count whole, so the counters stay readable.
    pub(crate) fn dispatcher(&self) -> MutexGuard<'_, Dispatcher> {
        self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.snapshot(&mut self.dispatcher()).0
    }

    /// Refreshes the metrics from a snapshot, unless another thread is refreshing them.
    pub(crate) fn refresh_metrics(&self) {
        if let Some(publication) = self.metrics.try_publication() {
            self.publish_metrics(&publication);
        }
    }

    /// Renders the page of the logger's own recorder from a new snapshot; `None` if it has no such recorder.
    #[cfg(feature = "prometheus")]
    pub(crate) fn render_metrics(&self) -> Option<String> {
        let exporter = self.exporter.as_ref()?;
        let _scope = SuppressGuard::enter();
        self.publish_metrics(&self.metrics.publication());
        Some(exporter.render())
    }

    fn publish_metrics(&self, publication: &Publication) {
        let (stats, intake) = self.snapshot(&mut self.dispatcher());
        self.call_recorder(|| self.metrics.refresh(publication, &stats, &intake.accepted_by_level));
    }

    /// Calls code of the recorder, which may be the user's: it may log or panic.
    fn call_recorder(&self, call: impl FnOnce()) {
        let is_panic = contain(call).is_err();
        if self.metrics.is_new_failure(is_panic) {
            self.diagnostics.report(Diagnostic::CallbackPanicked { callback: "metrics recorder" });
        }
    }

    /// Takes a consistent snapshot: while the dispatcher is locked no batch is dispatched, and each sink's counters are
    /// whole under its lock.
    fn snapshot(&self, dispatcher: &mut Dispatcher) -> (Stats, IntakeBook) {
        let intake = self.queue.book();
        let stats = Stats {
            logger: self.name.clone(),
            emitted: intake.accepted + intake.refused.total(),
            accepted: intake.accepted,
            refused: intake.refused,
            evicted: intake.evicted,
            dispatched: dispatcher.dispatched(),
            queued: intake.in_lanes + dispatcher.queued(),
            queued_bytes: self.queue.account().used() as u64,
            truncated: self.queue.truncated(),
            suppressed: self.suppressed.load(Ordering::Relaxed),
            sampled: self.sampled.load(Ordering::Relaxed),
            sinks: self.sinks.iter().map(|sink| sink.stats()).collect(),
        };
        (stats, intake)
    }

    /// Returns whether a sink has events that wait or are being written.
    pub(crate) fn has_pending_events(&self) -> bool {
        self.sinks.iter().any(|sink| sink.has_pending_events())
    }

    pub(crate) fn state(&self) -> State {
        match self.stopped_at.get() {
            Some(&at) => State::Stopped { at },
            None if self.shutdown.requested().is_some() => State::ShuttingDown,
            None => State::Running,
        }
    }
}
