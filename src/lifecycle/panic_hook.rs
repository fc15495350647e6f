//! Any thread: the panicking one logs the panic before anything unwinds.
//!
//! A second panic inside a hook aborts the process, so no code of the user's runs here: sinks, formats and callbacks
//! are called on other threads, and the hook waits for them at most its own time.

use std::backtrace::Backtrace;
use std::panic::{self, PanicHookInfo};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::context::suppress;
use crate::context::thread_flags::is_logger_thread;
use crate::event::{Event, Level};
use crate::logger::{Logger, WeakLogger};
use crate::runtime::Host;

/// The hook does not wait for panics that come faster than this, but logs them.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
const TARGET: &str = "panic";

impl Logger {
    /// Logs every panic of the process as `Fatal`: installs a [`PanicHook`] with its defaults.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), logweir::BuildError> {
    /// let logger = logweir::Logger::builder().sink("console", logweir::sink::ConsoleSink::stdout()).start()?;
    /// logger.install_panic_hook();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics on a thread that is panicking, like [`std::panic::set_hook`].
    pub fn install_panic_hook(&self) {
        PanicHook::new(self).install();
    }
}

/// The options of the panic hook; see [`PanicHook::install`].
#[must_use = "a hook does nothing until `install`"]
#[derive(Debug)]
pub struct PanicHook {
    logger: Logger,
    wait: Duration,
}

impl PanicHook {
    /// Creates a hook that logs to this logger, with the handle's context.
    pub fn new(logger: &Logger) -> Self {
        PanicHook { logger: logger.clone(), wait: Duration::from_millis(500) }
    }

    /// Sets how long the panicking thread waits until the panic is delivered. Default: 500 ms. [`Duration::ZERO`]: no
    /// wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Installs the hook before the existing one, which is called afterwards: by default it prints the panic.
    ///
    /// A panic becomes an event of the target `panic` and the level [`Level::Fatal`], with the panic's file and line
    /// and the fields `thread`, `location` and `backtrace`. That includes panics that are caught later, like those of
    /// tokio's tasks: when a panic begins, that is unknown. The backtrace does not depend on `RUST_BACKTRACE`, since a
    /// service that panics at night was rarely started with it; only `RUST_BACKTRACE=0` disables it. If the event
    /// exceeds [`max_event_bytes`](crate::Builder::max_event_bytes), the backtrace is truncated.
    ///
    /// The thread then waits until the panic, and all events logged before it, are delivered, since the process may be
    /// about to end: at most once a second for all threads together, and only where waiting can help. It does not wait
    /// on a logger's own thread, nor on the current-thread runtime the logger runs on ([`Builder::start_on`]).
    ///
    /// Panics of sinks and callbacks are caught and reported by the logger ([`Diagnostic`]), but not logged. Once the
    /// logger has stopped, no panic is logged. The hook does not keep the logger running.
    ///
    /// [`Builder::start_on`]: crate::Builder::start_on
    /// [`Diagnostic`]: crate::error::Diagnostic
    ///
    /// # Panics
    /// Panics on a thread that is panicking, like [`std::panic::set_hook`].
    pub fn install(self) {
        let PanicHook { logger, wait } = self;
        let installed =
            Installed { logger: logger.downgrade(), wait, backtrace: wants_backtrace(), waited: Mutex::new(None) };
        // Before the next hook: it may end the process, as hooks that make every panic fatal do.
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            installed.log(info);
            next(info);
        }));
    }
}

fn wants_backtrace() -> bool {
    std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value != "0")
}

struct Installed {
    logger: WeakLogger,
    wait: Duration,
    backtrace: bool,
    /// When the hook last waited for a panic.
    // A std lock: held to read and set it.
    waited: Mutex<Option<Instant>>,
}

/// Where the panicking thread can wait for the logger.
enum WaitMode {
    /// Nowhere: the logger needs this thread.
    None,
    InPlace,
    /// This thread is a worker of the logger's runtime. Tasks that it wakes would stay with this worker, which waits,
    /// so another thread must wake them.
    OtherThread,
}

impl Installed {
    fn log(&self, info: &PanicHookInfo<'_>) {
        // A panic of a sink, say: caught, counted and reported, and not to be delivered to the sink that panicked.
        if suppress::is_active() {
            return;
        }
        let Some(logger) = self.logger.upgrade() else { return };
        let event = event(info, self.backtrace);
        match wait_mode(logger.host()) {
            WaitMode::InPlace if self.is_due() => {
                let since = Instant::now();
                logger.emit_within(event, self.wait);
                drop(logger.flush_on_current_thread(self.wait.saturating_sub(since.elapsed())));
            }
            WaitMode::OtherThread if self.is_due() => self.wait_on_other_thread(logger, event),
            _ => logger.emit_within(event, Duration::ZERO),
        }
    }

    /// Whether to wait for this panic; if so, not for others within a second.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = !self.wait.is_zero() && waited.is_none_or(|waited| now.duration_since(waited) >= WAIT_INTERVAL);
        if is_due {
            *waited = Some(now);
        }
        is_due
    }

    fn wait_on_other_thread(&self, logger: Logger, event: Event) {
        let (done, wait) = sync_channel::<()>(0);
        let (there, for_there, time) = (logger.clone(), event.clone(), self.wait);
        let spawned = thread::Builder::new().name("logweir-panic".into()).spawn(move || {
            there.emit_within(for_there, time);
            drop(there.flush_on_current_thread(time));
            drop(done);
        });
        match spawned {
            // No value is ever sent: an error means that the time is over, or that the other thread is done.
            Ok(_) => wait.recv_timeout(self.wait).unwrap_or_default(),
            Err(_) => logger.emit_within(event, Duration::ZERO),
        }
    }
}

fn wait_mode(home: Host) -> WaitMode {
    if is_logger_thread() {
        return WaitMode::None;
    }
    match (home, Handle::try_current()) {
        (Host::Runtime { id, is_current_thread }, Ok(here)) if id == here.id() => {
            if is_current_thread {
                WaitMode::None
            } else {
                WaitMode::OtherThread
            }
        }
        _ => WaitMode::InPlace,
    }
}

fn event(info: &PanicHookInfo<'_>, backtrace: bool) -> Event {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("a payload that is not text");
    let (file, line) = info.location().map(|at| (at.file(), at.line())).unzip();
    let event = Event::new(Level::Fatal, TARGET, &format!("panicked: {message}")).with_source(None, file, line);
    let current = thread::current();
    let event = event.with("thread", current.name().unwrap_or("unnamed"));
    let event = event.with("location", info.location().map(ToString::to_string));
    if backtrace { event.with("backtrace", Backtrace::force_capture().to_string()) } else { event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::NullSink;

    #[test]
    fn one_panic_in_a_second_is_waited_for_and_none_without_a_wait() {
        let logger = Logger::builder().sink("null", NullSink).start().expect("a good configuration");
        let hook = |wait| Installed { logger: logger.downgrade(), wait, backtrace: false, waited: Mutex::new(None) };
        let waits = hook(Duration::from_millis(500));
        assert!(waits.is_due() && !waits.is_due());
        let before = Instant::now().checked_sub(WAIT_INTERVAL).expect("the machine runs for a second");
        *waits.waited.lock().expect("no panic") = Some(before);
        assert!(waits.is_due() && !waits.is_due());
        assert!(!hook(Duration::ZERO).is_due());
    }
}
