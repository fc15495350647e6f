//! Any thread: ends the running loggers of the process when it exits, within their shutdown timeouts.
//!
//! The exit hook runs when `main` returns or panics, and when any thread calls `std::process::exit`. The thread's
//! thread-locals may be dropped then, so nothing here depends on one with a destructor.

use std::mem;
use std::panic::catch_unwind;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{Host, LoggerCore, StopReason};
use crate::context::process_end::{self, this_thread};
use crate::context::suppress;
use crate::observe::at_exit;
use crate::observe::diagnostics::{self, Diagnostic};
use crate::stats::DropReason;
use crate::time::timer;

/// How long the exit waits where a logger may be unable to end.
const SHORT_WAIT: Duration = Duration::from_millis(500);
/// How long the exit waits for standard error, after the loggers have ended.
const REPORT_WAIT: Duration = Duration::from_secs(1);
/// How long the exit waits for another thread that closes the counters at this moment, and reports.
const CLOSE_WAIT: Duration = Duration::from_millis(300);

/// A started logger. Weak, so that it does not keep the logger.
struct StartedLogger {
    process: u32,
    core: Weak<LoggerCore>,
}

// A std lock: held to add, remove or copy entries.
static LOGGERS: Mutex<Vec<StartedLogger>> = Mutex::new(Vec::new());
/// The process that started a logger last. A forked child finds out without the lock, which may be locked forever there.
static PROCESS: AtomicU32 = AtomicU32::new(0);

dtor::declarative::dtor! {
    #[dtor(unsafe)]
    fn exit_hook() {
        if let Err(payload) = catch_unwind(end_at_exit) {
            // Its destructor may panic too, and a panic here aborts the process.
            mem::forget(payload);
        }
    }
}

fn loggers() -> MutexGuard<'static, Vec<StartedLogger>> {
    LOGGERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loggers of this process that are still there, running or not.
fn registered() -> Vec<Arc<LoggerCore>> {
    let here = process::id();
    if PROCESS.load(Ordering::Relaxed) != here {
        return Vec::new();
    }
    loggers().iter().filter(|entry| entry.process == here).filter_map(|entry| entry.core.upgrade()).collect()
}

/// Returns whether this process was forked from one in which a logger runs, and has none of its own. Reports it once.
pub(crate) fn is_forked_from_loggers() -> bool {
    let process = PROCESS.load(Ordering::Relaxed);
    if process == 0 || process == process::id() {
        return false;
    }
    // Not a wait: it may have been locked at the fork.
    let Ok(loggers) = LOGGERS.try_lock() else { return true };
    loggers.iter().filter_map(|entry| entry.core.upgrade()).any(|core| core.is_forked());
    true
}

fn end_at_exit() {
    if PROCESS.load(Ordering::Relaxed) != process::id() {
        return;
    }
    for core in registered() {
        core.report_events_after_shutdown();
    }
    let ending = Ending::begin();
    ending.block();
    ending.conclude();
}

/// The end of all running loggers of the process, which ends with them: see [`process_end`].
pub(crate) struct Ending {
    loggers: Vec<Arc<LoggerCore>>,
}

impl Ending {
    /// Requests the shutdown of every running logger, each within its own timeout.
    pub(crate) fn begin() -> Self {
        Ending::begin_with(|_| None)
    }

    /// Like [`Ending::begin`], with another timeout for the loggers for which this returns one.
    pub(crate) fn begin_with(timeout: impl Fn(&Arc<LoggerCore>) -> Option<Duration>) -> Self {
        let mut loggers = registered();
        loggers.retain(|core| !core.shutdown.is_done());
        let times = loggers.iter().map(|core| timeout(core).unwrap_or_else(|| core.time_to_end()));
        let times: Vec<Duration> = times.collect();
        // On a runtime of the program's, a thread that is held may be one that delivers.
        if loggers.iter().all(|core| core.host == Host::OwnThread)
            // Half of the time: a sink may wait for what a held thread has locked.
            && let Some(release) = times.iter().max().and_then(|time| Instant::now().checked_add(*time / 2))
        {
            process_end::begin(release);
        }
        for (core, time) in loggers.iter().zip(times) {
            core.shutdown.request(time);
        }
        Ending { loggers }
    }

    /// Returns whether one of them runs on this runtime, which has several threads.
    pub(crate) fn has_multi_thread_logger_on(&self, runtime: &Handle) -> bool {
        let is_on = |home| matches!(home, Host::Runtime { id, is_current_thread: false } if id == runtime.id());
        self.loggers.iter().any(|core| is_on(core.host))
    }

    /// Waits until all have ended or their deadlines have passed. Cancel-safe.
    pub(crate) async fn wait(&self) {
        for core in self.loggers.iter().filter(|core| !core.needs_this_thread()) {
            tokio::select! {
                biased;
                () = core.shutdown.wait_done() => {}
                () = core.shutdown.wait_deadline() => {}
            }
        }
    }

    /// Closes the counters, reports losses, and waits until all reports of the process are written.
    pub(crate) fn conclude(self) {
        for core in &self.loggers {
            let report = core.finalize(StopReason::DeadlineExceeded);
            timer::block_until(core.shutdown.wait_done(), Instant::now().checked_add(CLOSE_WAIT));
            // If a guard waits too, `finalize` has reported them.
            if report.sinks.iter().any(|sink| at_exit::lost_at_end(sink) > 0)
                && !core.report_losses.load(Ordering::Relaxed)
            {
                let report = Box::new((*report).clone());
                core.diagnostics.report_last(Diagnostic::UndeliveredAtExit { report });
            }
        }
        for core in &self.loggers {
            core.diagnostics.wait_handled();
        }
        diagnostics::wait_written(REPORT_WAIT);
    }

    /// Like [`Ending::wait`], but blocks this thread.
    pub(crate) fn block(&self) {
        timer::block_until(self.wait(), None);
    }
}

impl LoggerCore {
    /// Has the logger end when the process exits.
    pub(crate) fn register(self: &Arc<Self>) {
        let mut loggers = loggers();
        loggers.retain(|entry| entry.core.strong_count() > 0);
        loggers.push(StartedLogger { process: self.process, core: Arc::downgrade(self) });
        PROCESS.store(self.process, Ordering::Relaxed);
    }

    /// Called when the logger has ended. One that a guard ended stays: see [`Self::report_events_after_shutdown`].
    pub(super) fn unregister(&self) {
        if !self.report_losses.load(Ordering::Relaxed) {
            loggers().retain(|entry| !ptr::eq(entry.core.as_ptr(), self));
        }
    }

    /// Reports what was logged after a guard ended the logger: no caller reads its statistics.
    fn report_events_after_shutdown(&self) {
        if self.shutdown.is_done() && self.report_losses.load(Ordering::Relaxed) {
            let refused = self.stats().refused.get(DropReason::Closed);
            if refused > 0 {
                self.diagnostics.report_last(Diagnostic::LoggedAfterShutdown { refused });
            }
        }
    }

    /// Notes that this thread polls the flush task.
    pub(crate) fn mark_polled(&self) {
        self.polled_on.store(this_thread(), Ordering::Relaxed);
    }

    /// Returns whether the logger makes no progress while this thread waits.
    pub(crate) fn needs_this_thread(&self) -> bool {
        let is_polled_here = self.polled_on.load(Ordering::Relaxed) == this_thread();
        match self.host {
            Host::OwnThread => is_polled_here,
            Host::Runtime { id, is_current_thread: true } => {
                is_polled_here || Handle::try_current().is_ok_and(|here| here.id() == id)
            }
            Host::Runtime { .. } => false,
        }
    }

    /// The time for a shutdown that this thread waits for.
    fn time_to_end(&self) -> Duration {
        if self.needs_this_thread() {
            return Duration::ZERO;
        }
        let is_polled = self.polled_on.load(Ordering::Relaxed) != 0;
        // On a thread of a sink, the logger that has that sink cannot end.
        match self.host {
            _ if suppress::is_active() => self.shutdown_timeout.min(SHORT_WAIT),
            // Perhaps no thread runs that runtime, or it is this one, whose thread-locals are dropped.
            Host::Runtime { is_current_thread: true, .. } if !is_polled => self.shutdown_timeout.min(SHORT_WAIT),
            _ => self.shutdown_timeout,
        }
    }

    /// Returns whether this process was forked from the one that the logger runs in, where no wait for it would end.
    /// Reports it once.
    pub(crate) fn is_forked(&self) -> bool {
        let is_forked = self.process != process::id() && self.stopped_at.get().is_none();
        if is_forked {
            at_exit::report_fork(&self.name);
        }
        is_forked
    }
}
