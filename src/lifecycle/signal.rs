//! A thread of its own for the process's signals: it hears them without a runtime of the application's, and also when the
//! logger's own is stuck.

use std::future::Future;
use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logger::{Logger, WeakLogger};
use crate::runtime::DetachedRuntime;

/// By convention a process that a signal ended exits with this and the signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;
/// Longer than any pipeline takes to answer: each has a timeout of its own, and its failure is reported where it happens.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(60);

impl Logger {
    /// Ends the process in good order on SIGINT or SIGTERM: shuts the logger down within `timeout`, says on standard
    /// error (or to [`Builder::on_error`]) what was lost, and exits with 128 and the signal's number. A second signal
    /// exits at once.
    ///
    /// For programs that have nothing else to end. The exit is [`std::process::exit`]: nothing unwinds. A service that
    /// ends its requests first reacts to the signal itself and calls [`Logger::shutdown`], or see
    /// [`Builder::cancel_on`](crate::Builder::cancel_on).
    ///
    /// The signals are heard on a thread of their own, with or without a runtime; from this call on nothing else ends
    /// the process on them. It does not keep the logger running: after the logger's end a signal exits at once. Unix
    /// only.
    ///
    /// [`Builder::on_error`]: crate::Builder::on_error
    ///
    /// # Errors
    /// The system gave no thread, or no handler for the signal. Nothing has changed then, but that signals of which the
    /// handler was there before the failure have no effect any more.
    pub fn shutdown_on_signal(&self, timeout: Duration) -> io::Result<()> {
        let logger = self.downgrade();
        listen([SignalKind::interrupt(), SignalKind::terminate()], async move |[mut interrupt, mut terminate]| {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => SIGNAL_EXIT_BASE + SignalKind::interrupt().as_raw_value(),
                    _ = terminate.recv() => SIGNAL_EXIT_BASE + SignalKind::terminate().as_raw_value(),
                }
            };
            let code = next().await;
            let code = tokio::select! {
                biased;
                code = next() => code,
                () = shut_down(&logger, timeout) => code,
            };
            process::exit(code)
        })
    }

    /// Has every sink open its destination again on SIGHUP, as logrotate's `postrotate` sends it; as [`Logger::reopen`].
    ///
    /// A sink that fails to is reported to [`Builder::on_error`](crate::Builder::on_error). The signal is heard on a
    /// thread of its own, with or without a runtime, and has no other effect from this call on, also after the logger's
    /// end. Unix only.
    ///
    /// # Errors
    /// The system gave no thread, or no handler for the signal.
    pub fn reopen_on_sighup(&self) -> io::Result<()> {
        let logger = self.downgrade();
        listen([SignalKind::hangup()], async move |[mut hangup]| {
            while hangup.recv().await.is_some() {
                let Some(logger) = logger.upgrade() else { return };
                // Whatever fails says so itself, through the sink's book and diagnostics.
                logger.reopen(REOPEN_TIMEOUT).await.unwrap_or_default();
            }
        })
    }
}

/// Shuts the logger down, and waits until what is to be said of it is said.
async fn shut_down(logger: &WeakLogger, timeout: Duration) {
    if let Some(logger) = logger.upgrade() {
        logger.shutdown_and_report(timeout).await;
    }
}

/// Registers the signals on this thread, so that none is missed after the call, and serves them on another one.
fn listen<const N: usize, F>(
    kinds: [SignalKind; N],
    serve: impl FnOnce([Signal; N]) -> F + Send + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()>,
{
    let runtime = DetachedRuntime::new(runtime::Builder::new_current_thread().enable_io().build()?);
    let signals = {
        let _inside = runtime.get().enter();
        kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?
    };
    let signals = signals.try_into().map_err(|_| io::Error::other("one signal for each kind"))?;
    let serve = move || runtime.get().block_on(serve(signals));
    thread::Builder::new().name("logweir-signal".into()).spawn(serve).map(drop)
}
