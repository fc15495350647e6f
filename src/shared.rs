//! What the callers, the flush task and the sink tasks of one logger have in common.
//!
//! Locks are taken in this order: desk, lane, station. None is held across an await.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::diagnostics::{self, Diagnostic, Diagnostics};
use crate::filter::FilterCell;
use crate::metrics::Meters;
use crate::pipeline::{Barrier, Bells, Station};
use crate::queue::{IntakeBook, Queue};
use crate::shutdown::{Ending, Health, Hook, ShutdownCell};
use crate::stats::{DropReason, FlushReport, ShutdownReport, SinkReport, Stats};
use crate::suppress::Scope;
use crate::worker::Desk;

/// How long the end of the books waits for callers in the middle of a send: a time slice or a few.
const HALF_SENT_PATIENCE: Duration = Duration::from_millis(100);

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

/// Shutdown hooks that have not run, and the ones that failed.
#[derive(Default)]
pub(crate) struct Hooks {
    // A std lock: held to push or pop.
    waiting: Mutex<Vec<Hook>>,
    unfinished: AtomicU64,
    failed: AtomicU64,
}

impl Hooks {
    pub(crate) fn add(&self, hook: Hook) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// The hook added last.
    pub(crate) fn pop(&self) -> Option<Hook> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn finished(&self, failed: bool) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        self.failed.fetch_add(failed.into(), Ordering::Relaxed);
    }

    /// Hooks that failed; at the end also those that did not end.
    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.unfinished.load(Ordering::Relaxed)
    }
}

/// A flush on its way through the desk and the pipelines.
pub(crate) struct FlushRequest {
    /// What each lane had accepted when it was asked for.
    pub(crate) positions: Box<[u64]>,
    pub(crate) timeout: Duration,
    /// Somebody waits for it. Otherwise it has done its work once the sinks have their barriers.
    is_awaited: bool,
    /// One for each sink, once everything before it is handed out.
    barriers: OnceLock<Box<[Barrier]>>,
    /// Its time passed on the runtime's clock.
    expired: OnceLock<()>,
}

impl FlushRequest {
    pub(crate) fn has_barriers(&self) -> bool {
        self.barriers.get().is_some()
    }

    pub(crate) fn expire(&self) {
        self.expired.get_or_init(|| ());
    }

    fn is_over(&self, stations: &[Arc<Station>]) -> bool {
        let is_flushed =
            |barriers: &[Barrier]| stations.iter().zip(barriers).all(|(station, barrier)| station.is_flushed(*barrier));
        self.expired.get().is_some() || self.barriers.get().is_some_and(|barriers| is_flushed(barriers))
    }
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

    /// Closes the books, once; everybody gets the same report. Waits for nobody who can be stuck.
    pub(crate) fn finish(&self, ending: Ending) -> Arc<ShutdownReport> {
        let mut desk = self.desk();
        if let Some((report, _)) = &desk.end {
            return report.clone();
        }
        let why = match ending {
            Ending::Orderly | Ending::Deadline => DropReason::Deadline,
            Ending::RuntimeGone => DropReason::RuntimeGone,
            Ending::Panicked => DropReason::Panicked,
        };
        match ending {
            Ending::Orderly | Ending::Deadline => self.queue.close(),
            Ending::RuntimeGone | Ending::Panicked => self.queue.close_worker_gone(),
        }
        self.empty_lanes(&mut desk, why);
        self.stations.iter().for_each(|station| station.seal(why));
        let (stats, intake) = self.books(&mut desk);
        let elapsed = self.shutdown.requested().map_or(Duration::ZERO, |request| request.since.elapsed());
        let timed_out = ending == Ending::Deadline;
        let report = Arc::new(ShutdownReport::new(stats.clone(), self.hooks.failed(), timed_out, elapsed));
        desk.end = Some((report.clone(), why));
        drop(desk);
        self.ended.get_or_init(SystemTime::now);
        self.tell_recorder(&stats, &intake, elapsed);
        self.say_what_was_lost(ending, why, &report);
        self.shutdown.set_done();
        self.bells.progress.notify_waiters();
        report
    }

    /// A recorder of the user's may panic, and may log: whoever ends the logger gets his report all the same.
    fn tell_recorder(&self, stats: &Stats, intake: &IntakeBook, elapsed: Duration) {
        let _scope = Scope::enter();
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.meters.refresh(stats, &intake.passed_by_level);
            self.meters.ended(elapsed.as_secs_f64());
        }));
        if told.is_err() {
            self.diagnostics.report(Diagnostic::CallbackPanicked { callback: "metrics recorder" });
        }
    }

    /// Before the end is made known, so that those who wait for it can wait for this too.
    fn say_what_was_lost(&self, ending: Ending, why: DropReason, report: &ShutdownReport) {
        let lost = |sink: &SinkReport| sink.dropped.get(why) + sink.unconfirmed;
        let lost: u64 = report.sinks.iter().map(lost).sum();
        // Also at a deadline: a task was found to be gone before.
        if self.queue.is_worker_gone() {
            self.diagnostics.report(Diagnostic::WorkerGone { lost });
            if matches!(ending, Ending::RuntimeGone | Ending::Panicked) {
                // Where the logger runs, or ran: nobody else calls the handler any more.
                self.diagnostics.end();
            }
            diagnostics::settle();
        } else if report.timed_out && lost > 0 && self.guarded.load(Ordering::Relaxed) {
            self.diagnostics.report(Diagnostic::ShutdownIncomplete { report: Box::new(report.clone()) });
        }
    }
}

impl Shared {
    /// Settles what is left in the closed lanes. A caller that was interrupted between its permit and its event hides
    /// what is behind it in its lane; it is waited for, but not for ever: it may be stopped in a debugger.
    fn empty_lanes(&self, desk: &mut Desk, why: DropReason) {
        let patience = Instant::now() + HALF_SENT_PATIENCE;
        while !desk.abandon(&self.queue, &self.stations, why) && Instant::now() < patience {
            thread::yield_now();
        }
    }
}

/// Flushes, from both sides.
impl Shared {
    /// Asks the flush task for a flush of everything accepted so far.
    pub(crate) fn ask_flush(&self, timeout: Duration) -> Arc<FlushRequest> {
        let request = Arc::new(self.request(timeout, true));
        if !self.shutdown.is_done() {
            self.flushes.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            self.queue.signal().nudge();
        }
        request
    }

    /// As [`Shared::ask_flush`], for a caller that does not wait.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        if self.shutdown.is_done() {
            return;
        }
        let request = Arc::new(self.request(Duration::MAX, false));
        {
            let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
            // It covers the one before: callers may ask faster than the flush task answers.
            flushes.retain(|other| other.is_awaited);
            flushes.push(request);
        }
        self.queue.signal().nudge();
    }

    fn request(&self, timeout: Duration, is_awaited: bool) -> FlushRequest {
        FlushRequest {
            positions: self.queue.accepted_positions(),
            timeout,
            is_awaited,
            barriers: OnceLock::new(),
            expired: OnceLock::new(),
        }
    }

    /// The flushes that are still on their way; those that are over, or that nobody waits for any more, are forgotten.
    pub(crate) fn open_flushes(&self) -> Vec<Arc<FlushRequest>> {
        let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.retain(|request| match request.is_awaited {
            true => Arc::strong_count(request) > 1 && !request.is_over(&self.stations),
            false => !request.has_barriers(),
        });
        flushes.clone()
    }

    /// Everything before these flushes is handed out: now the sinks are to flush.
    pub(crate) fn set_barriers<'a>(&self, requests: impl Iterator<Item = &'a Arc<FlushRequest>>) {
        for request in requests {
            request.barriers.get_or_init(|| self.stations.iter().map(|station| station.set_barrier()).collect());
        }
    }

    /// Ends when the flush is over, or the logger is. Cancel-safe.
    pub(crate) async fn flushed(&self, request: &FlushRequest) {
        loop {
            let mut progress = std::pin::pin!(self.bells.progress.notified());
            progress.as_mut().enable();
            if request.is_over(&self.stations) || self.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }

    pub(crate) fn flush_report(&self, request: &FlushRequest, since: Instant) -> FlushReport {
        let barriers = request.barriers.get();
        // Events that are at the desk have left the lanes: without barriers they are counted with it.
        let queued = match barriers {
            Some(_) => 0,
            None => {
                let desk = self.desk();
                self.queue.before(&request.positions) + desk.queued()
            }
        };
        let sinks: Vec<_> = self
            .stations
            .iter()
            .enumerate()
            .map(|(index, station)| station.flush_report(barriers.map(|barriers| barriers[index])))
            .collect();
        let complete = queued == 0 && sinks.iter().all(|sink| sink.flushed);
        FlushReport { complete, queued, sinks, elapsed: since.elapsed() }
    }
}
