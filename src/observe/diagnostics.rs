//! Any thread: reports the logger's own errors, to a handler on the logger's runtime or to standard error by one
//! thread.
//!
//! These reports have a channel of their own: in the queue they would be lost together with what they report.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::context::suppress;
use crate::filter::EnvFilterError;
use crate::format::plain::{CauseChain, Foreign};
use crate::sink::{PIPE_BUF, SinkError, write_stderr};
use crate::stats::ShutdownReport;

/// Reports waiting for a handler; further ones are only counted.
const MAX_PENDING: usize = 64;
/// Lines per second on standard error; further ones are only counted.
const LINES_PER_SECOND: u32 = 10;
/// How long a drop path waits for standard error.
const DROP_WAIT: Duration = Duration::from_millis(100);

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
    /// More was reported than could be passed on.
    Suppressed {
        /// The number of missing reports.
        count: u64,
    },
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnostic::SinkFailed { sink, error } => write!(f, "sink `{}`: {}", Foreign(sink), CauseChain(&**error)),
            Diagnostic::HookFailed { error } => write!(f, "a shutdown hook failed: {}", CauseChain(&**error)),
            Diagnostic::TaskFailed { lost } => write!(
                f,
                "a task of the logger is gone before the logger was shut down (its runtime was dropped, or it panicked); \
                 {lost} deliveries are lost and further events are refused"
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
            Diagnostic::CallbackPanicked { callback } => write!(f, "the callback `{callback}` panicked"),
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

    fn write_stderr(&self, diagnostic: &Diagnostic) {
        self.on_stderr.store(true, Ordering::Relaxed);
        // The first logger without a name of its own is called like the crate, which every line begins with.
        stderr_line(match self.name.as_str() {
            "logweir" => format!("logweir: {diagnostic}"),
            name => format!("logweir: {}: {diagnostic}", Foreign(name)),
        });
    }

    /// Passes a report on; never waits.
    pub(crate) fn report(&self, diagnostic: Diagnostic) {
        let mut pending = self.pending();
        if self.handler.is_none() || pending.ended {
            drop(pending);
            return self.write_stderr(&diagnostic);
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
        while let Some(diagnostic) = self.pending().take() {
            self.write_stderr(&diagnostic);
        }
    }

    /// Waits, for a moment at most, until all reports are handled. For paths on which the process may end; not for the
    /// thread that runs the handler.
    pub(crate) fn wait_written(&self) {
        let is_waiting =
            |pending: &mut PendingReports| pending.handling || pending.count > 0 || !pending.reports.is_empty();
        let waited = self.handled.wait_timeout_while(self.pending(), DROP_WAIT, is_waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.drain_to_stderr();
        wait_written();
    }

    fn handle_pending(&self, handler: &Handler) {
        loop {
            let mut pending = self.pending();
            let next = pending.take();
            pending.handling = next.is_some();
            drop(pending);
            let Some(diagnostic) = next else { return self.handled.notify_all() };
            let _scope = suppress::SuppressGuard::enter();
            if catch_unwind(AssertUnwindSafe(|| handler(&diagnostic))).is_err() {
                self.write_stderr(&Diagnostic::CallbackPanicked { callback: "on_error" });
            }
        }
    }
}

impl PendingReports {
    fn take(&mut self) -> Option<Diagnostic> {
        let missing = std::mem::take(&mut self.count);
        if missing > 0 { Some(Diagnostic::Suppressed { count: missing }) } else { self.reports.pop_front() }
    }
}

enum StderrLine {
    Text(String),
    /// Notifies the sender once all lines before it are written.
    Sync(Box<dyn FnOnce() + Send>),
}

static LINES: OnceLock<Option<SyncSender<StderrLine>>> = OnceLock::new();

/// The one thread that writes reports to standard error: a stalled terminal stalls no other thread.
fn stderr_thread() -> Option<&'static SyncSender<StderrLine>> {
    LINES
        .get_or_init(|| {
            let (lines, inbox) = sync_channel(MAX_PENDING);
            let spawned = thread::Builder::new().name("logweir-stderr".into()).spawn(move || write_lines(&inbox));
            spawned.is_ok().then_some(lines)
        })
        .as_ref()
}

fn stderr_line(line: String) {
    if let Some(lines) = stderr_thread() {
        match lines.try_send(StderrLine::Text(line)) {
            // Full: standard error is stalled. There is no place left to report that.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Waits, for a moment at most, until all reports are on standard error. For paths on which the process may end.
pub(crate) fn wait_written() {
    let (done, wait) = sync_channel(1);
    if when_written(move || done.try_send(()).unwrap_or_default()) {
        match wait.recv_timeout(DROP_WAIT) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// Like [`wait_written`], on the logger's runtime.
async fn written() {
    let (done, wait) = oneshot::channel();
    if when_written(move || done.send(()).unwrap_or_default()) {
        // Late, or dropped with its thread: there is no place left to report that.
        timeout(DROP_WAIT, wait).await.map(drop).unwrap_or_default();
    }
}

/// Returns whether `call` will be called, after all reports are on standard error. It will not if there never were any.
fn when_written(call: impl FnOnce() + Send + 'static) -> bool {
    let lines = LINES.get().and_then(Option::as_ref);
    lines.is_some_and(|lines| lines.try_send(StderrLine::Sync(Box::new(call))).is_ok())
}

fn write_lines(inbox: &Receiver<StderrLine>) {
    suppress::mark_thread();
    let mut second = Instant::now();
    let (mut written, mut missing) = (0, 0_u64);
    while let Ok(line) = inbox.recv() {
        match line {
            StderrLine::Sync(done) => done(),
            StderrLine::Text(text) => {
                if second.elapsed() >= Duration::from_secs(1) {
                    (second, written) = (Instant::now(), 0);
                }
                if written >= LINES_PER_SECOND {
                    missing += 1;
                    continue;
                }
                written += 1;
                let more = match std::mem::take(&mut missing) {
                    0 => String::new(),
                    missing => format!(" ({missing} more reports were not shown)"),
                };
                // In one write, unless it has many lines: the process may end between two.
                write_stderr(shorten(&format!("{text}{more}\n")).as_bytes());
            }
        }
    }
}

/// What ends a line that was cut.
const CUT: &str = "... (cut)\n";

/// Cuts each line that is longer than a write that no other writer can cut.
fn shorten(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.len() <= PIPE_BUF {
            short.push_str(line);
        } else {
            let end = (0..=PIPE_BUF - CUT.len()).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
            short.push_str(&line[..end]);
            short.push_str(CUT);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_cut_at_a_character_so_that_each_line_is_one_write() {
        let line = format!("{}\n", "ä".repeat(PIPE_BUF / 2));
        assert!(line.len() > PIPE_BUF);
        let short = shorten(&format!("first\n{line}last"));
        let lines: Vec<_> = short.split_inclusive('\n').collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "first\n", "last"));
        assert!(lines[1].ends_with("ä... (cut)\n") && lines[1].len() <= PIPE_BUF, "{}", lines[1]);
        let fits = format!("{}\n", "x".repeat(PIPE_BUF - 1));
        assert_eq!(shorten(&fits), fits);
    }
}
