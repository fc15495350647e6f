//! Any thread, any executor or none: waits until what was accepted is at the sinks.

use std::time::{Duration, Instant};

use super::wait::{block_on, outside_runtime, race};
use super::{InsideRuntimeError, Logger};
#[cfg(doc)]
use crate::Builder;
use crate::stats::FlushReport;
use crate::time::timer;

impl Logger {
    /// Waits until everything accepted before the call is settled at every sink (delivered, dropped for a reason, or
    /// unconfirmed) and each sink has flushed. Works under any executor; the timeout is kept in real time and, with
    /// [`Builder::start_on`], on that runtime's clock, whichever is first.
    ///
    /// # Cancel safety
    /// Dropping the future takes back the request at most; no event is affected.
    pub async fn flush(&self, timeout: Duration) -> FlushReport {
        let since = Instant::now();
        let request = self.core.request_flush(timeout);
        race(self.core.wait_for_flush(&request), timer::at(since.checked_add(timeout))).await;
        self.core.flush_report(&request, since)
    }

    /// As [`Logger::flush`], on this thread.
    ///
    /// # Errors
    /// [`InsideRuntimeError`] on a thread of a tokio runtime: blocking it could stop the very tasks it waits for.
    ///
    /// # Blocking
    /// For `timeout` at the most.
    pub fn flush_blocking(&self, timeout: Duration) -> Result<FlushReport, InsideRuntimeError> {
        outside_runtime()?;
        Ok(block_on(self.flush(timeout)))
    }

    /// As [`Logger::flush`], without waiting for it.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        self.core.begin_flush();
    }

    /// As [`Logger::flush`], on this thread: the caller answers for blocking it.
    pub(crate) fn flush_on_current_thread(&self, timeout: Duration) -> FlushReport {
        block_on(self.flush(timeout))
    }
}
