//! Any thread: ends a logger by a deadline, under any executor or none.

use std::time::Duration;

use futures::future::BoxFuture;

use super::wait::{block_on, outside_runtime, race};
use super::{InsideRuntimeError, Logger};
#[cfg(doc)]
use crate::Builder;
use crate::runtime::{BoxError, StopReason};
use crate::stats::ShutdownReport;

impl Logger {
    /// Ends the logger: runs the shutdown hooks while events are still accepted, closes the queue, delivers its events,
    /// closes the sinks, and reports the final state of every event.
    ///
    /// It returns by the deadline, whatever the sinks do: at the deadline, waiting events are dropped (`deadline`) and
    /// events being written are reported as unconfirmed. If there are several calls, the earliest deadline applies to
    /// all, and all get the same report. [`Duration::ZERO`] ends it at once, [`Duration::MAX`] has no deadline. Works
    /// under any executor. The deadline is measured in real time and, with [`Builder::start_on`], by that runtime's
    /// clock, whichever comes first.
    ///
    /// Later events are refused (`closed`) and counted in [`Logger::stats`].
    ///
    /// In a child that was forked from the logger's process, it returns at once: `timed_out`, without counters. That
    /// nothing is delivered there is reported once on standard error.
    ///
    /// # Cancel safety
    /// If the future is dropped, a shutdown in progress continues; call again for the report.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let core = &self.core;
        if core.is_forked() {
            return core.forked_report();
        }
        core.shutdown.request(timeout);
        race(core.shutdown.wait_done(), core.shutdown.wait_deadline()).await;
        (*core.finalize(StopReason::DeadlineExceeded)).clone()
    }

    /// Like [`Logger::shutdown`], but blocks this thread. Works in `atexit` and in the destructor of a thread-local too.
    ///
    /// # Errors
    /// Returns [`InsideRuntimeError`] on a thread of a tokio runtime; nothing has begun then.
    ///
    /// # Blocking
    /// At most `timeout`.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Result<ShutdownReport, InsideRuntimeError> {
        outside_runtime()?;
        Ok(block_on(self.shutdown(timeout)))
    }

    /// Adds a hook that [`Logger::shutdown`] runs first, on the logger's runtime; the hook added last runs first.
    /// Events it logs are accepted. All hooks together have half of the shutdown's time. A hook that fails, panics or
    /// does not finish is reported and counted.
    ///
    /// The logger keeps the hook, so a hook with a [`Logger`] in it keeps the logger running until a caller calls
    /// `shutdown`. Give it a [`WeakLogger`](crate::WeakLogger):
    ///
    /// ```
    /// # use logweir::{Logger, info, sink::NullSink};
    /// # let logger = Logger::builder().sink("null", NullSink).start()?;
    /// let weak = logger.downgrade();
    /// logger.on_shutdown(move || {
    ///     Box::pin(async move {
    ///         if let Some(logger) = weak.upgrade() {
    ///             info!(logger: logger, "the last order is packed");
    ///         }
    ///         Ok(())
    ///     })
    /// });
    /// # logger.shutdown_blocking(std::time::Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A hook added after the shutdown began may not run. What a task logs that a hook spawns on the logger's own runtime
    /// is suppressed.
    pub fn on_shutdown(&self, hook: impl FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send + 'static) {
        self.core.hooks.add(Box::new(hook));
    }
}
