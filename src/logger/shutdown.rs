//! Any thread, any executor or none: ends a logger by a deadline.

#[cfg(all(unix, feature = "signal"))]
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;

use super::wait::{block_on, outside_runtime, race};
use super::{InsideRuntimeError, Logger};
#[cfg(doc)]
use crate::Builder;
use crate::runtime::{BoxError, StopReason};
use crate::stats::ShutdownReport;

impl Logger {
    /// Ends the logger: runs the shutdown hooks while events are still accepted, closes the queue, delivers what is in
    /// it, closes the sinks, and reports what became of every event.
    ///
    /// It returns by the deadline whatever the sinks do: what waits then is dropped (`deadline`), what is being written
    /// is unconfirmed. Of several calls the earliest deadline counts for all, and all get the same report.
    /// [`Duration::ZERO`] ends it at once, [`Duration::MAX`] has no deadline. Works under any executor; the deadline is
    /// kept in real time and, with [`Builder::start_on`], on that runtime's clock, whichever is first.
    ///
    /// Events logged later are refused (`closed`) and counted in [`Logger::stats`].
    ///
    /// # Cancel safety
    /// A shutdown that was begun goes on if the future is dropped; call again for the report.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let core = &self.core;
        core.shutdown.request(timeout);
        race(core.shutdown.wait_done(), core.shutdown.wait_deadline()).await;
        (*core.finalize(StopReason::DeadlineExceeded)).clone()
    }

    /// As [`Logger::shutdown`], on this thread.
    ///
    /// # Errors
    /// [`InsideRuntimeError`] on a thread of a tokio runtime; nothing has begun then.
    ///
    /// # Blocking
    /// For `timeout` at the most.
    pub fn shutdown_blocking(&self, timeout: Duration) -> Result<ShutdownReport, InsideRuntimeError> {
        outside_runtime()?;
        Ok(block_on(self.shutdown(timeout)))
    }

    /// Adds a hook that [`Logger::shutdown`] runs first, on the logger's runtime, the last one added first. What it
    /// logs is accepted. Hooks have half of the shutdown's time together; one that fails, panics or does not end is
    /// reported and counted.
    ///
    /// A hook added after the shutdown began may not run.
    pub fn on_shutdown(&self, hook: impl FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send + 'static) {
        self.core.hooks.add(Box::new(hook));
    }

    /// As [`Logger::shutdown`] for those who do not look at the report: what was lost is said, before this ends.
    #[cfg(all(unix, feature = "signal"))]
    pub(crate) async fn shutdown_and_report(&self, timeout: Duration) {
        self.core.report_losses.store(true, Ordering::Relaxed);
        drop(self.shutdown(timeout).await);
        self.core.diagnostics.wait_written();
    }
}
