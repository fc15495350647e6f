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

pub(crate) use cancellation::Cancel;
pub(crate) use detached::OwnRuntime;
pub(crate) use flush::FlushRequest;
pub(crate) use flush_task::{Kit, run};
pub(crate) use hooks::Hooks;
pub(crate) use pressure::Gauge;
pub use pressure::Pressure;
pub use shutdown::Health;
pub(crate) use shutdown::{BoxError, Ending, ShutdownCell};
pub(crate) use tasks::watch;

use crate::dispatch::Desk;
use crate::filter::FilterCell;
use crate::observe::diagnostics::Diagnostics;
use crate::observe::metrics::Meters;
use crate::pipeline::{Bells, Station};
use crate::queue::{IntakeBook, Queue};
use crate::stats::Stats;

/// Where the flush task runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Home {
    OwnThread,
    /// On a runtime of the user's.
    Runtime {
        id: tokio::runtime::Id,
        is_current_thread: bool,
    },
}

pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) queue: Queue,
    pub(crate) filter: FilterCell,
    pub(crate) stations: Box<[Arc<Station>]>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) diagnostics: Arc<Diagnostics>,
    pub(crate) meters: Meters,
    pub(crate) shutdown: ShutdownCell,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) home: Home,
    // Std locks, both: held to hand out a batch, and to move a pointer.
    pub(crate) desk: Mutex<Desk>,
    pub(crate) flushes: Mutex<Vec<Arc<FlushRequest>>>,
    pub(crate) hooks: Hooks,
    /// Living `Logger`s; with the last one a background shutdown begins.
    pub(crate) handles: AtomicUsize,
    /// A guard waits for the end: nobody looks at the report, so what was lost is said.
    pub(crate) guarded: AtomicBool,
    /// Turns of the flush task, for whoever watches that it is polled.
    pub(crate) turns: AtomicU64,
    /// Asks the flush task for a turn.
    pub(crate) watched: Notify,
    pub(crate) ended: OnceLock<SystemTime>,
    #[cfg(feature = "prometheus")]
    pub(crate) prometheus_addr: Option<std::net::SocketAddr>,
}

impl Shared {
    /// A panic while it was held left each count whole; the books are read on.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        self.books(&mut self.desk()).0
    }

    /// Brings the metrics up to date.
    pub(crate) fn refresh_metrics(&self) {
        let (stats, intake) = self.books(&mut self.desk());
        self.meters.refresh(&stats, &intake.passed_by_level);
    }

    /// A consistent snapshot: with the desk held nothing is handed out, and each sink's book is whole under its lock.
    fn books(&self, desk: &mut Desk) -> (Stats, IntakeBook) {
        // After the end nobody drains any more: what was published since is settled here.
        if let Some((_, why)) = desk.end {
            desk.abandon(&self.queue, &self.stations, why);
        }
        let intake = self.queue.book();
        let stats = Stats {
            logger: self.name.clone(),
            emitted: intake.accepted + intake.refused.total(),
            accepted: intake.accepted,
            refused: intake.refused,
            evicted: intake.evicted,
            dispatched: desk.dispatched(),
            queued: intake.in_lanes + desk.queued(),
            queued_bytes: self.queue.account().used() as u64,
            truncated: self.queue.truncated(),
            suppressed: self.queue.suppressed(),
            sampled: self.queue.sampled(),
            sinks: self.stations.iter().map(|station| station.report()).collect(),
        };
        (stats, intake)
    }

    /// Whether a sink has events that wait or are being written.
    pub(crate) fn has_unsettled(&self) -> bool {
        self.stations.iter().map(|station| station.report()).any(|sink| sink.backlog + sink.in_flight > 0)
    }

    pub(crate) fn health(&self) -> Health {
        match self.ended.get() {
            Some(&since) => Health::Gone { since },
            None if self.shutdown.requested().is_some() => Health::Draining,
            None => Health::Running,
        }
    }
}
