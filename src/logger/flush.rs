//! Any thread: waits until accepted events are settled at the sinks, under any executor or none.

use std::time::{Duration, Instant};

use super::wait::{block_on, outside_runtime, race};
use super::{InsideRuntimeError, Logger};
#[cfg(doc)]
use crate::Builder;
use crate::stats::FlushReport;
use crate::time::timer;

impl Logger {
    /// Waits until everything accepted before the call is settled at every sink (delivered, dropped for a reason, or
    /// unconfirmed) and each sink has flushed. The report says how many events each sink has lost since the flush before.
    /// Works under any executor. The timeout is measured in real time and, with
    /// [`Builder::start_on`], by that runtime's clock, whichever expires first.
    ///
    /// In a child that was forked from the logger's process, it returns at once: not complete, without sinks. That is
    /// reported once on standard error.
    ///
    /// # Cancel safety
    /// Dropping the future may cancel the flush; it never affects events.
    pub async fn flush(&self, timeout: Duration) -> FlushReport {
        let since = Instant::now();
        if self.core.is_forked() {
            return FlushReport { complete: false, queued: 0, sinks: Vec::new(), elapsed: Duration::ZERO };
        }
        let request = self.core.request_flush(timeout);
        race(self.core.wait_for_flush(&request), timer::at(since.checked_add(timeout))).await;
        self.core.flush_report(&request, since)
    }

    /// Like [`Logger::flush`], but blocks this thread.
    ///
    /// # Errors
    /// Returns [`InsideRuntimeError`] on a thread of a tokio runtime: blocking it could stop the very tasks it waits
    /// for.
    ///
    /// # Blocking
    /// At most `timeout`.
    pub fn flush_blocking(&self, timeout: Duration) -> Result<FlushReport, InsideRuntimeError> {
        outside_runtime()?;
        Ok(block_on(self.flush(timeout)))
    }

    /// Like [`Logger::flush`], but without waiting for it.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        self.core.begin_flush();
    }

    /// Like [`Logger::flush`], but blocks this thread: the caller is responsible for that.
    pub(crate) fn flush_on_current_thread(&self, timeout: Duration) -> FlushReport {
        block_on(self.flush(timeout))
    }
}
