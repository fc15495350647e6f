//! A service thread: receives the process's signals, without a runtime of the application's, and also when the logger's
//! own is stuck.

use std::future::Future;
use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logger::{Logger, WeakLogger};
use crate::runtime::DetachedRuntime;

/// By convention, a process ended by a signal exits with this number plus the signal's.
const SIGNAL_EXIT_BASE: i32 = 128;
/// Longer than any pipeline takes: each has a timeout of its own, and its failure is reported by the pipeline.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(60);

impl Logger {
    /// Ends the process in order on SIGINT or SIGTERM: shuts the logger down within `timeout`, reports losses on
    /// standard error (or to [`Builder::on_error`]), and exits with 128 plus the signal's number. A second signal exits
    /// at once.
    ///
    /// Use it for programs that have nothing else to end. The exit is [`std::process::exit`]: nothing unwinds. A
    /// service that first finishes its requests should handle the signal itself and call [`Logger::shutdown`], or see
    /// [`Builder::cancel_on`](crate::Builder::cancel_on).
    ///
    /// A thread of its own receives the signals, with or without a runtime; from this call on, they have no other
    /// effect on the process. It does not keep the logger running: after the logger's end, a signal exits at once. Unix
    /// only.
    ///
    /// [`Builder::on_error`]: crate::Builder::on_error
    ///
    /// # Errors
    /// Returns an error if the system provides no thread, or no handler for the signal. Nothing has changed then,
    /// except that signals whose handler was installed before the failure no longer have an effect.
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

    /// Has every sink reopen its destination on SIGHUP, which logrotate's `postrotate` sends; like [`Logger::reopen`].
    ///
    /// A sink that fails is reported to [`Builder::on_error`](crate::Builder::on_error). A thread of its own receives
    /// the signal, with or without a runtime. From this call on, the signal has no other effect, even after the
    /// logger's end. Unix only.
    ///
    /// # Errors
    /// Returns an error if the system provides no thread, or no handler for the signal.
    pub fn reopen_on_sighup(&self) -> io::Result<()> {
        let logger = self.downgrade();
        listen([SignalKind::hangup()], async move |[mut hangup]| {
            while hangup.recv().await.is_some() {
                let Some(logger) = logger.upgrade() else { return };
                // Each failure is reported by the sink's counters and diagnostics.
                logger.reopen(REOPEN_TIMEOUT).await.unwrap_or_default();
            }
        })
    }
}

/// Shuts the logger down, and waits until its reports are written.
async fn shut_down(logger: &WeakLogger, timeout: Duration) {
    if let Some(logger) = logger.upgrade() {
        logger.shutdown_and_report(timeout).await;
    }
}

/// Registers the signals on this thread, so that none is missed after the call, and handles them on another one.
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
