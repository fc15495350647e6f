//! Any thread reports; the logger's runtime (a handler of the user's) or one detached thread (standard error) says it.
//!
//! Our own trouble has a channel of its own: said through the queue it would be lost with what it reports.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::context::suppress;
use crate::sink::SinkError;
use crate::stats::ShutdownReport;

/// Reports waiting for a handler; more are only counted.
const MAX_PENDING: usize = 64;
/// Lines a second on standard error; more are only counted.
const LINES_PER_SECOND: u32 = 10;
/// How long a drop path waits for standard error.
const DROP_WAIT: Duration = Duration::from_millis(100);

/// Trouble of the logger itself, as [`Builder::on_error`](crate::Builder::on_error) gets it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Diagnostic {
    /// A sink began to fail, or failed in a new way. Said once until it succeeds again. Also
    /// [trouble](crate::Sink::take_error) that cost no event, each time a sink has some.
    SinkFailed {
        /// The sink's name.
        sink: String,
        /// What it said.
        error: Arc<SinkError>,
    },
    /// A shutdown hook failed, panicked or did not end in time.
    HookFailed {
        /// What it said.
        error: Box<dyn Error + Send + Sync>,
    },
    /// One of the logger's tasks ended before the logger was shut down: its runtime was dropped, or the task panicked.
    /// The logger has ended with it.
    TaskFailed {
        /// Accepted events that were lost for it, summed over the sinks.
        lost: u64,
    },
    /// The flush task was not polled for this long: something blocks its runtime, a sink in `poll` perhaps.
    Stalled {
        /// How long so far.
        elapsed: Duration,
    },
    /// A guard was dropped on the current-thread runtime its logger runs on: waiting there would stop the very task it
    /// waits for, so what had not been delivered was given up.
    GuardCannotWait,
    /// A shutdown guard's time was over before everything was delivered.
    ShutdownIncomplete {
        /// What became of every event.
        report: Box<ShutdownReport>,
    },
    /// A callback panicked; it goes on being called.
    CallbackPanicked {
        /// Which one.
        callback: &'static str,
    },
    /// More was reported than could be passed on.
    Suppressed {
        /// How many reports are missing.
        count: u64,
    },
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnostic::SinkFailed { sink, error } => write!(f, "sink `{sink}`: {}", DisplayChain(&**error)),
            Diagnostic::HookFailed { error } => write!(f, "a shutdown hook failed: {}", DisplayChain(&**error)),
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
            Diagnostic::ShutdownIncomplete { report } => write!(f, "{report}"),
            Diagnostic::CallbackPanicked { callback } => write!(f, "the callback `{callback}` panicked"),
            Diagnostic::Suppressed { count } => write!(f, "{count} more reports are not shown"),
        }
    }
}

impl Error for Diagnostic {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Diagnostic::SinkFailed { error, .. } => Some(&**error),
            Diagnostic::HookFailed { error } => Some(&**error),
            _ => None,
        }
    }
}

/// An error and its sources on one line.
pub(crate) struct DisplayChain<'a>(pub(crate) &'a (dyn Error + 'a));

impl fmt::Display for DisplayChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

pub(crate) type Handler = Box<dyn Fn(&Diagnostic) + Send + Sync>;

/// Where one logger's trouble goes.
pub(crate) struct Diagnostics {
    name: String,
    handler: Option<Handler>,
    // A std lock: held to move one report.
    pending: Mutex<PendingReports>,
    arrived: Notify,
    handled: Condvar,
    /// Something was passed to standard error.
    on_stderr: AtomicBool,
}

#[derive(Default)]
struct PendingReports {
    reports: VecDeque<Diagnostic>,
    count: u64,
    /// The handler is being called.
    handling: bool,
    /// Nobody runs the handler any more: standard error takes over.
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
        stderr_line(format!("{}: {diagnostic}", self.name));
    }

    /// Passes trouble on; never waits.
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

    /// Runs the handler, for as long as the logger's runtime runs.
    pub(crate) async fn run(&self) {
        let Some(handler) = &self.handler else { return std::future::pending().await };
        loop {
            self.handle_pending(handler);
            self.arrived.notified().await;
        }
    }

    /// Says what still waits, on the logger's runtime: the process may be gone as soon as the end is known.
    pub(crate) async fn finish(&self) {
        if let Some(handler) = &self.handler {
            self.handle_pending(handler);
        }
        if self.on_stderr.load(Ordering::Relaxed) {
            written().await;
        }
    }

    /// Handles what still waits, on the thread that ends the logger; later reports go to standard error.
    pub(crate) fn close(&self) {
        if let Some(handler) = &self.handler {
            self.handle_pending(handler);
        }
        self.pending().ended = true;
    }

    /// Says on standard error what waits for a handler that is not called, since its runtime is not polled.
    pub(crate) fn drain_to_stderr(&self) {
        while let Some(diagnostic) = self.pending().take() {
            self.write_stderr(&diagnostic);
        }
    }

    /// Waits, for a moment at most, until what was reported is said. For paths on which the process may end; not for the
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
    /// Tells when all before it is written.
    Sync(Box<dyn FnOnce() + Send>),
}

static LINES: OnceLock<Option<SyncSender<StderrLine>>> = OnceLock::new();

/// The one thread that writes our trouble to standard error: a stalled terminal then stalls nobody else.
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
            // Full: standard error is stalled. There is nowhere left to say so.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Waits, for a moment at most, until what was reported is on standard error. For paths on which the process may end.
pub(crate) fn wait_written() {
    let (done, wait) = sync_channel(1);
    if when_written(move || done.try_send(()).unwrap_or_default()) {
        match wait.recv_timeout(DROP_WAIT) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// As [`settle`], on the logger's runtime.
async fn written() {
    let (done, wait) = oneshot::channel();
    if when_written(move || done.send(()).unwrap_or_default()) {
        // Late, or gone with its thread: there is nobody left to tell.
        timeout(DROP_WAIT, wait).await.map(drop).unwrap_or_default();
    }
}

/// Whether `call` will be called, after what was reported is on standard error. Nothing ever was: it will not.
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
                // In one write: the process may end between two. A standard error that is closed leaves nowhere to say so.
                io::stderr().write_all(format!("logweir: {text}{more}\n").as_bytes()).unwrap_or_default();
            }
        }
    }
}
