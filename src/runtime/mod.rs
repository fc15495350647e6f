//! What the callers, the flush task and the sink tasks of one logger have in common.
//!
//! Locks are taken in this order: desk, lane, station. None is held across an await.

mod cancellation;
mod closing;
mod detached;
mod filter_override;
mod finalize;
mod flush;
mod flush_task;
mod hooks;
mod pressure;
mod shutdown;
mod tasks;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

pub(crate) use cancellation::Cancellation;
pub(crate) use detached::DetachedRuntime;
pub(crate) use flush::FlushRequest;
pub(crate) use flush_task::{FlushTaskParts, run};
pub(crate) use hooks::ShutdownHooks;
pub use pressure::Pressure;
pub(crate) use pressure::PressureMonitor;
pub use shutdown::State;
pub(crate) use shutdown::{BoxError, ShutdownState, StopReason};
pub(crate) use tasks::start_watchdog;

use crate::dispatch::Dispatcher;
use crate::filter::FilterCell;
use crate::observe::diagnostics::Diagnostics;
use crate::observe::metrics::LoggerMetrics;
use crate::pipeline::{Bells, Station};
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

pub(crate) struct LoggerCore {
    pub(crate) name: String,
    pub(crate) queue: Queue,
    pub(crate) filter: FilterCell,
    pub(crate) sinks: Box<[Arc<Station>]>,
    pub(crate) notifiers: Arc<Bells>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    pub(crate) metrics: LoggerMetrics,
    pub(crate) shutdown: ShutdownState,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) home: Host,
    // Std locks, both: held to hand out a batch, and to move a pointer.
    pub(crate) dispatcher: Mutex<Dispatcher>,
    pub(crate) flushes: Mutex<Vec<Arc<FlushRequest>>>,
    pub(crate) hooks: ShutdownHooks,
    /// Living `Logger`s; with the last one a background shutdown begins.
    pub(crate) handles: AtomicUsize,
    /// A guard waits for the end: nobody looks at the report, so what was lost is said.
    pub(crate) report_losses: AtomicBool,
    /// Turns of the flush task, for whoever watches that it is polled.
    pub(crate) heartbeat: AtomicU64,
    /// Asks the flush task for a turn.
    pub(crate) heartbeat_request: Notify,
    pub(crate) stopped_at: OnceLock<SystemTime>,
    #[cfg(feature = "prometheus")]
    pub(crate) prometheus_addr: Option<std::net::SocketAddr>,
}

impl LoggerCore {
    /// A panic while it was held left each count whole; the books are read on.
    pub(crate) fn dispatcher(&self) -> MutexGuard<'_, Dispatcher> {
        self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.snapshot(&mut self.dispatcher()).0
    }

    /// Brings the metrics up to date.
    pub(crate) fn refresh_metrics(&self) {
        let (stats, intake) = self.snapshot(&mut self.dispatcher());
        self.metrics.refresh(&stats, &intake.passed_by_level);
    }

    /// A consistent snapshot: with the desk held nothing is handed out, and each sink's book is whole under its lock.
    fn snapshot(&self, dispatcher: &mut Dispatcher) -> (Stats, IntakeBook) {
        // After the end nobody drains any more: what was published since is settled here.
        if let Some((_, why)) = dispatcher.end {
            dispatcher.discard_all(&self.queue, &self.sinks, why);
        }
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
            suppressed: self.queue.suppressed(),
            sampled: self.queue.sampled(),
            sinks: self.sinks.iter().map(|sink| sink.report()).collect(),
        };
        (stats, intake)
    }

    /// Whether a sink has events that wait or are being written.
    pub(crate) fn has_pending_events(&self) -> bool {
        self.sinks.iter().map(|sink| sink.report()).any(|sink| sink.backlog + sink.in_flight > 0)
    }

    pub(crate) fn state(&self) -> State {
        match self.stopped_at.get() {
            Some(&at) => State::Stopped { at },
            None if self.shutdown.requested().is_some() => State::ShuttingDown,
            None => State::Running,
        }
    }
}
