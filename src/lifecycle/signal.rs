//! A service thread: receives the process's signals, without a runtime of the application's, and also when the logger's
//! own is stuck.

use std::future::Future;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use signal_hook::low_level::emulate_default_handler;
use tokio::runtime;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

use crate::logger::{Logger, WeakLogger};
use crate::runtime::{DetachedRuntime, Ending};

/// By convention, a shell reports a process ended by a signal with this number plus the signal's.
const SIGNAL_EXIT_BASE: i32 = 128;
/// The first process of a system or of a container.
const INIT_PROCESS: u32 = 1;
/// Longer than any pipeline takes: each has a timeout of its own, and its failure is reported by the pipeline.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether SIGHUP reopens files in this process.
static REOPENS_ON_SIGHUP: AtomicBool = AtomicBool::new(false);

/// A signal that asks a program to end; see [`Logger::shutdown_on_signals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: `kill`, systemd, orchestrators.
    Terminate,
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGQUIT: Ctrl-\\. Its default action also dumps core.
    Quit,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 4] = [Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Quit];

    /// Returns its number on this system, such as 15.
    pub fn number(self) -> i32 {
        self.kind().as_raw_value()
    }

    /// Returns its name, such as `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
            Signal::Quit => "SIGQUIT",
        }
    }

    fn kind(self) -> SignalKind {
        match self {
            Signal::Interrupt => SignalKind::interrupt(),
            Signal::Terminate => SignalKind::terminate(),
            Signal::Hangup => SignalKind::hangup(),
            Signal::Quit => SignalKind::quit(),
        }
    }
}

impl Logger {
    /// Delivers when a signal ends the process: like [`Logger::shutdown_on_signals`] with [`Signal::ALL`].
    ///
    /// A signal that is ignored when this is called stays ignored (SIGHUP under `nohup`, SIGINT in a script's background
    /// job; known on Linux only). A SIGHUP that reopens files ([`Logger::reopen_on_sighup`], whichever is called first) does
    /// not end the process either.
    ///
    /// # Errors
    /// Like [`Logger::shutdown_on_signals`].
    pub fn shutdown_on_signal(&self, timeout: Duration) -> io::Result<()> {
        let ignored = ignored_signals();
        let is_heeded = |signal: &Signal| ignored & 1 << (signal.number() - 1) == 0;
        let signals: Vec<Signal> = Signal::ALL.into_iter().filter(is_heeded).collect();
        if signals.is_empty() {
            return Ok(());
        }
        self.shutdown_on_signals(signals, timeout)
    }

    /// Ends the process in order on one of these signals: shuts the logger down within `timeout`, and every other running
    /// logger of the process within its own timeout; reports losses on standard error (or to [`Builder::on_error`]); then
    /// ends the process by the signal's default action. The parent sees a death by that signal, as if there were no
    /// handler: a shell's loop stops at Ctrl-C, and systemd counts a SIGTERM as a clean stop. Process 1, as in a container,
    /// has no default actions: it exits with 128 plus the signal's number, which is what a container reports for both.
    ///
    /// A second signal of the set ends the process at once. After the logger's end, the first one does, as soon as the
    /// other loggers have delivered.
    ///
    /// A thread that logs after the loggers have closed is held until the process has ended, at most for half of
    /// the shutdown's time: what it would do next would be in no log. So a request that was answered is in the log, as with a logger that
    /// writes at once. (Not if a logger runs on a runtime of the program's, [`Builder::start_on`](crate::Builder::start_on).)
    ///
    /// Use it for programs that have nothing else to end: nothing unwinds, and no `atexit` handler runs. A service that
    /// first finishes its requests, or has an exit code of its own, uses [`Logger::wait_for_signal`], or handles the signal
    /// itself; see also [`Builder::cancel_on`](crate::Builder::cancel_on).
    ///
    /// A thread of its own receives the signals, with or without a runtime; from this call on, they have no other
    /// effect on the process. It does not keep the logger running. If SIGHUP also reopens files
    /// ([`Logger::reopen_on_sighup`]), it does not end the process. A forked child has the handlers, but not the thread:
    /// these signals have no effect there. Unix only.
    ///
    /// [`Builder::on_error`]: crate::Builder::on_error
    ///
    /// # Errors
    /// Returns an error if there is no signal in the set, or if the system provides no thread, or no handler for the
    /// signal. Nothing has changed then, except that signals whose handler was installed before the failure no longer have
    /// an effect.
    pub fn shutdown_on_signals(&self, signals: impl IntoIterator<Item = Signal>, timeout: Duration) -> io::Result<()> {
        let logger = self.downgrade();
        listen(signals.into_iter().collect(), async move |mut signals| {
            let signal = signals.next_end().await;
            let signal = tokio::select! {
                biased;
                second = signals.next_end() => second,
                () = shut_down(&logger, timeout) => signal,
            };
            die_of(signal)
        })
    }

    /// Returns a future that waits for one of these signals, and then until everything logged before is delivered, at most
    /// `timeout`. The program then ends by itself, with its own exit code; the logger still accepts events.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use logweir::{Logger, Signal, info};
    /// # async fn serve() {}
    /// # async fn run(logger: Logger) -> std::io::Result<()> {
    /// let stop = logger.wait_for_signal([Signal::Interrupt, Signal::Terminate], Duration::from_secs(2))?;
    /// tokio::select! {
    ///     () = serve() => {}
    ///     signal = stop => info!(logger: logger, "{signal}: stopping", signal = signal.name()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The handlers are installed when this returns. A second signal ends the process at once, by its default action. It
    /// works under any executor. Unix only.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, a signal has the effect of [`Logger::shutdown_on_signals`]: there is no
    /// other code left that would end the process.
    ///
    /// # Errors
    /// Like [`Logger::shutdown_on_signals`].
    pub fn wait_for_signal(
        &self,
        signals: impl IntoIterator<Item = Signal>,
        timeout: Duration,
    ) -> io::Result<impl Future<Output = Signal> + Send + 'static> {
        let (arrived, arrives) = oneshot::channel();
        let logger = self.downgrade();
        listen(signals.into_iter().collect(), async move |mut signals| {
            let signal = signals.next_end().await;
            let second = tokio::select! {
                biased;
                second = signals.next_end() => second,
                () = flush(&logger, timeout) => match arrived.send(signal) {
                    Ok(()) => signals.next_end().await,
                    Err(signal) => {
                        shut_down(&logger, timeout).await;
                        signal
                    }
                },
            };
            die_of(second)
        })?;
        Ok(async move {
            match arrives.await {
                Ok(signal) => signal,
                // The thread sends before it ends, or ends the process.
                Err(_) => std::future::pending().await,
            }
        })
    }

    /// Has every sink reopen its destination on SIGHUP, which logrotate's `postrotate` sends; like [`Logger::reopen`].
    ///
    /// A sink that fails is reported to [`Builder::on_error`](crate::Builder::on_error). The console does nothing. A thread
    /// of its own receives the signal, with or without a runtime. From this call on, the signal has no other effect, even
    /// after the logger's end, and also with [`Logger::shutdown_on_signals`]. Unix only.
    ///
    /// # Errors
    /// Returns an error if the system provides no thread, or no handler for the signal.
    pub fn reopen_on_sighup(&self) -> io::Result<()> {
        let (logger, ended) = (self.downgrade(), self.core().stop_services.clone());
        // Before the handler: from then on a SIGHUP may arrive.
        let before = REOPENS_ON_SIGHUP.swap(true, Ordering::Relaxed);
        listen(vec![Signal::Hangup], async move |mut signals| {
            loop {
                tokio::select! {
                    _ = signals.next() => {}
                    () = ended.cancelled() => return,
                }
                let Some(logger) = logger.upgrade() else { return };
                // Each failure is reported by the sink's counters and diagnostics.
                logger.reopen(REOPEN_TIMEOUT).await.unwrap_or_default();
            }
        })
        .inspect_err(|_| REOPENS_ON_SIGHUP.store(before, Ordering::Relaxed))
    }
}

/// The signals that this process ignores, as a mask: number n is bit n - 1.
fn ignored_signals() -> u64 {
    // The system's query for it (`sigaction`) is `unsafe` in every library; elsewhere than on Linux it stays unknown.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0)
}

/// Shuts all loggers down, this one within its own time, and waits until their reports are written.
async fn shut_down(logger: &WeakLogger, timeout: Duration) {
    let logger = logger.upgrade();
    // No caller reads the report.
    logger.iter().for_each(|logger| logger.core().report_losses.store(true, Ordering::Relaxed));
    let ending =
        Ending::begin_with(|core| logger.iter().any(|logger| Arc::ptr_eq(logger.core(), core)).then_some(timeout));
    ending.wait().await;
    ending.conclude();
}

async fn flush(logger: &WeakLogger, timeout: Duration) {
    if let Some(logger) = logger.upgrade() {
        // What it could not deliver is delivered, or reported, when the program ends.
        drop(logger.flush(timeout).await);
    }
}

/// Ends the process by the default action of the signal.
fn die_of(signal: Signal) -> ! {
    // The system gives process 1 no default action, and the emulation would abort it.
    if process::id() != INIT_PROCESS {
        // It returns only if the signal could not be raised.
        emulate_default_handler(signal.number()).unwrap_or_default();
    }
    process::exit(SIGNAL_EXIT_BASE + signal.number())
}

/// The signals a thread listens to.
struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Waits for the next one. Cancel-safe.
    async fn next(&mut self) -> Signal {
        let all = self.0.iter_mut().map(|(signal, arrivals)| async move {
            match arrivals.recv().await {
                Some(()) => *signal,
                // Tokio documents that it does not end.
                None => std::future::pending().await,
            }
        });
        let mut all: FuturesUnordered<_> = all.collect();
        match all.next().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// Waits for the next one that ends the process: not a SIGHUP that reopens files. Cancel-safe.
    async fn next_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if signal != Signal::Hangup || !REOPENS_ON_SIGHUP.load(Ordering::Relaxed) {
                return signal;
            }
        }
    }
}

/// Registers the signals on this thread, so that none is missed after the call, and handles them on another one.
fn listen<F>(signals: Vec<Signal>, serve: impl FnOnce(Signals) -> F + Send + 'static) -> io::Result<()>
where
    F: Future<Output = ()>,
{
    if signals.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no signal to wait for"));
    }
    let runtime = DetachedRuntime::new(runtime::Builder::new_current_thread().enable_io().build()?);
    let signals = {
        let _inside = runtime.get().enter();
        let register = |signal: Signal| Ok((signal, unix::signal(signal.kind())?));
        signals.into_iter().map(register).collect::<io::Result<Vec<_>>>()?
    };
    let serve = move || runtime.get().block_on(serve(Signals(signals)));
    thread::Builder::new().name("logweir-signal".into()).spawn(serve).map(drop)
}
