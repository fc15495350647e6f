//! Any thread: reports the logger's own errors, to a handler on the logger's runtime or to standard error by one
//! thread.
//!
//! These reports have a channel of their own: in the queue they would be lost together with what they report.

mod stderr;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use stderr::wait_written;
use stderr::{stderr_line, written};

use super::at_exit;
use crate::context::contain::contain;
use crate::filter::EnvFilterError;
use crate::format::plain::{CauseChain, Foreign};
use crate::sink::SinkError;
use crate::stats::ShutdownReport;

/// Reports waiting for a handler; further ones are only counted.
const MAX_PENDING: usize = 64;
/// How long a drop path waits for standard error.
pub(crate) const DROP_WAIT: Duration = Duration::from_millis(100);

/// An error of the logger itself, passed to the handler of [`Builder::on_error`](crate::Builder::on_error).
///
/// `Display` and `Debug` are the whole report on one line, with every cause: messages of errors and names are escaped as
/// in a message of [`Text`](crate::format::Text) and truncated to 1 KiB. So [`source`](Error::source) returns nothing.
#[non_exhaustive]
pub enum Diagnostic {
    /// A sink began to fail, or failed with another kind of error. Reported once until it succeeds again. Also each
    /// [background error](crate::Sink::take_error) of a sink, which cost no event.
    SinkFailed {
        /// The sink's name.
        sink: String,
        /// Its error.
        error: Arc<SinkError>,
    },
    /// A shutdown hook failed, panicked or did not end in time.
    HookFailed {
        /// Its error.
        error: Box<dyn Error + Send + Sync>,
    },
    /// One of the logger's tasks ended before the logger was shut down: its runtime was dropped, or the task panicked.
    /// The logger has stopped with it.
    TaskFailed {
        /// Accepted events lost because of it, summed over the sinks.
        lost: u64,
    },
    /// The flush task was not polled for this long: its runtime is blocked, perhaps by a sink that blocks in `poll`.
    Stalled {
        /// The time so far.
        elapsed: Duration,
    },
    /// A guard was dropped on the current-thread runtime its logger runs on. A wait there would stop the very task it
    /// waits for, so undelivered events were abandoned.
    GuardCannotWait,
    /// A shutdown guard's timeout expired before everything was delivered.
    ShutdownIncomplete {
        /// The final state of all events.
        report: Box<ShutdownReport>,
    },
    /// The process exits, and the shutdown timeout of a logger that the program did not shut down expired before
    /// everything was delivered.
    UndeliveredAtExit {
        /// The final state of all events.
        report: Box<ShutdownReport>,
    },
    /// The process exits, and events were logged after a guard or a signal had shut the logger down: by tasks or threads
    /// that were still running.
    LoggedAfterShutdown {
        /// The number of these events.
        refused: u64,
    },
    /// A callback panicked; it is still called.
    CallbackPanicked {
        /// The callback's name.
        callback: &'static str,
    },
    /// Directives of a filter in the environment were skipped. Reported once, when the logger starts.
    FilterSkipped {
        /// The variable, and what was skipped.
        error: EnvFilterError,
    },
    /// The metrics are not served: an optional endpoint (`Prometheus::optional`) could not be bound, rendering the
    /// metrics panicked, or the endpoint's thread panicked. The logger is not affected.
    MetricsUnavailable {
        /// The address of the endpoint.
        addr: SocketAddr,
        /// The cause: an [`io::Error`](std::io::Error) if the address could not be bound, else the panic.
        error: Box<dyn Error + Send + Sync>,
    },
    /// A spool is on an overlay file system, as in a container, which ends with the container. Reported once, when the logger
    /// starts.
    SpoolOnOverlay {
        /// Its directory.
        dir: PathBuf,
    },
    /// In the directory of a spool there is a folder that no sink of the logger and no other process takes over. Reported
    /// once, when the logger starts.
    SpoolUnclaimed {
        /// The folder.
        dir: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// Another version of logweir has written it; else no sink has its name, and
        /// [`Spool::also`](crate::Spool::also) takes it over.
        is_other_version: bool,
    },
    /// More was reported than could be passed on.
    Suppressed {
        /// The number of missing reports.
        count: u64,
    },
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnostic::SinkFailed { sink, error } => {
                write!(f, "sink `{}`: {}", Foreign(sink), CauseChain(error.reported()))
            }
            Diagnostic::HookFailed { error } => write!(f, "a shutdown hook failed: {}", CauseChain(&**error)),
            Diagnostic::TaskFailed { lost } => write!(
                f,
                "a task of the logger stopped unexpectedly (its runtime was dropped, or it panicked): {lost} deliveries lost, \
                 new events are refused"
            ),
            Diagnostic::Stalled { elapsed } => write!(
                f,
                "the flush task was not polled for {:.1} s: something blocks its runtime (a sink that blocks in `poll` \
                 belongs in `Blocking::new`)",
                elapsed.as_secs_f64()
            ),
            Diagnostic::GuardCannotWait => f.write_str(
                "a shutdown guard was dropped on the current-thread runtime its logger runs on, where it cannot wait; \
                 await `shutdown` before, or use `start`",
            ),
            Diagnostic::ShutdownIncomplete { report } => report.write_parts(f, "; "),
            Diagnostic::FilterSkipped { error } => write!(f, "{error}"),
            Diagnostic::UndeliveredAtExit { report } => at_exit::fmt_losses(report, f),
            Diagnostic::LoggedAfterShutdown { refused } => write!(
                f,
                "events logged after the shutdown, which are lost: {refused}; tasks or threads were still running when a \
                 guard or a signal ended the logger"
            ),
            Diagnostic::CallbackPanicked { callback } => write!(f, "the callback `{callback}` panicked"),
            Diagnostic::MetricsUnavailable { addr, error } => {
                write!(f, "the metrics are not served at {addr}: {}", CauseChain(&**error))
            }
            Diagnostic::SpoolOnOverlay { dir } => write!(
                f,
                "the spool in `{}` is on an overlay file system, which ends with its container; use a volume",
                Foreign(dir.display())
            ),
            Diagnostic::SpoolUnclaimed { dir, bytes, is_other_version } => {
                let cause = if *is_other_version {
                    "another version has written it"
                } else {
                    "no sink has its name; `also` takes it over"
                };
                write!(f, "the spool in `{}` is not delivered, {bytes} bytes: {cause}", Foreign(dir.display()))
            }
            Diagnostic::Suppressed { count } => write!(f, "{count} more reports are not shown"),
        }
    }
}

/// Like `Display`.
impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Diagnostic {}

pub(crate) type Handler = Box<dyn Fn(&Diagnostic) + Send + Sync>;

/// The destination of one logger's reports.
pub(crate) struct Diagnostics {
    name: String,
    handler: Option<Handler>,
    // A std lock: held to move one report.
    pending: Mutex<PendingReports>,
    arrived: Notify,
    handled: Condvar,
    /// Whether something was passed to standard error.
    on_stderr: AtomicBool,
}

#[derive(Default)]
struct PendingReports {
    reports: VecDeque<Diagnostic>,
    count: u64,
    /// The handler is being called.
    handling: bool,
    /// The handler no longer runs, so reports go to standard error.
    ended: bool,
}

impl Diagnostics {
    pub(crate) fn new(name: String, handler: Option<Handler>) -> Self {
        Diagnostics {
            name,
            handler,
            pending: Mutex::default(),
            arrived: Notify::new(),
            handled: Condvar::new(),
            on_stderr: AtomicBool::new(false),
        }
    }

    fn pending(&self) -> MutexGuard<'_, PendingReports> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_stderr(&self, diagnostic: &Diagnostic, is_last: bool) {
        self.on_stderr.store(true, Ordering::Relaxed);
        // The first logger without a name of its own is called like the crate, which every line begins with.
        let line = match self.name.as_str() {
            "logweir" => format!("logweir: {diagnostic}"),
            name => format!("logweir: {}: {diagnostic}", Foreign(name)),
        };
        stderr_line(line, is_last);
    }

    /// Passes a report on; never waits.
    pub(crate) fn report(&self, diagnostic: Diagnostic) {
        self.pass_on(diagnostic, false);
    }

    /// Like [`Diagnostics::report`], but not limited in lines per second, for a process that is about to end.
    pub(crate) fn report_last(&self, diagnostic: Diagnostic) {
        self.pass_on(diagnostic, true);
    }

    fn pass_on(&self, diagnostic: Diagnostic, is_last: bool) {
        let mut pending = self.pending();
        if self.handler.is_none() || pending.ended {
            drop(pending);
            return self.write_stderr(&diagnostic, is_last);
        }
        if pending.reports.len() < MAX_PENDING {
            pending.reports.push_back(diagnostic);
        } else {
            pending.count += 1;
        }
        drop(pending);
        self.arrived.notify_one();
    }

    /// Runs the handler for as long as the logger's runtime runs.
    pub(crate) async fn run(&self) {
        let Some(handler) = &self.handler else { return std::future::pending().await };
        loop {
            self.handle_pending(handler);
            self.arrived.notified().await;
        }
    }

    /// Handles the waiting reports, on the logger's runtime: the process may exit as soon as the logger's end is known.
    pub(crate) async fn finish(&self) {
        if let Some(handler) = &self.handler {
            self.handle_pending(handler);
        }
        if self.on_stderr.load(Ordering::Relaxed) {
            written().await;
        }
    }

    /// Handles the waiting reports, on the thread that ends the logger; later reports go to standard error.
    pub(crate) fn close(&self) {
        if let Some(handler) = &self.handler {
            self.handle_pending(handler);
        }
        self.pending().ended = true;
    }

    /// Writes to standard error the reports that wait for a handler that does not run, since its runtime is not polled.
    pub(crate) fn drain_to_stderr(&self) {
        loop {
            // A statement of its own: the lock is free while the report, which has foreign parts, is written and dropped.
            let next = self.pending().take();
            let Some(diagnostic) = next else { return };
            contain(|| {
                self.write_stderr(&diagnostic, true);
                drop(diagnostic);
            })
            .unwrap_or_default();
        }
    }

    /// Waits, for a moment at most, until all reports are handled and on standard error. For paths on which the process
    /// may end; not for the thread that runs the handler.
    pub(crate) fn wait_written(&self) {
        self.wait_handled();
        wait_written(DROP_WAIT);
    }

    /// Waits, for a moment at most, until all reports are handled; passes the others to standard error.
    pub(crate) fn wait_handled(&self) {
        let is_waiting =
            |pending: &mut PendingReports| pending.handling || pending.count > 0 || !pending.reports.is_empty();
        let waited = self.handled.wait_timeout_while(self.pending(), DROP_WAIT, is_waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.drain_to_stderr();
    }

    fn handle_pending(&self, handler: &Handler) {
        loop {
            let mut pending = self.pending();
            let next = pending.take();
            pending.handling = next.is_some();
            drop(pending);
            let Some(diagnostic) = next else { return self.handled.notify_all() };
            if contain(|| handler(&diagnostic)).is_err() {
                self.write_stderr(&Diagnostic::CallbackPanicked { callback: "on_error" }, false);
            }
            contain(|| drop(diagnostic)).unwrap_or_default();
        }
    }
}

impl PendingReports {
    fn take(&mut self) -> Option<Diagnostic> {
        let missing = std::mem::take(&mut self.count);
        if missing > 0 { Some(Diagnostic::Suppressed { count: missing }) } else { self.reports.pop_front() }
    }
}
