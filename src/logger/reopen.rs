//! Any thread: has every sink reopen its destination, under any executor or none.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wait::race;
use super::{Logger, ReopenError};
use crate::pipeline::Reopen;
use crate::time::timer;

impl Logger {
    /// Has every sink reopen its destination, after another program moved it away (logrotate).
    ///
    /// A sink without a destination that can be reopened does nothing, and the result is `Ok`: the console keeps its
    /// stream. In a child that was forked from the logger's process, no sink reopens.
    ///
    /// # Errors
    /// Returns the sinks that failed, or did not finish within the timeout, with their errors.
    ///
    /// # Cancel safety
    /// A requested reopen happens even if the future is dropped.
    pub async fn reopen(&self, timeout: Duration) -> Result<(), ReopenError> {
        if self.core.is_forked() {
            let failed = self.core.sinks.iter().map(|sink| (sink.name().to_owned(), None)).collect();
            return Err(ReopenError { failed });
        }
        let requests: Vec<_> = self.core.sinks.iter().map(|sink| sink.request_reopen()).collect();
        race(self.wait_for_reopen(&requests), timer::at(Instant::now().checked_add(timeout))).await;
        let results = self.core.sinks.iter().zip(&requests).map(|(sink, request)| {
            let result = request.result().map_or(Err(None), |result| result.map_err(Some));
            result.err().map(|error| (sink.name().to_owned(), error))
        });
        let failed: Vec<_> = results.flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(ReopenError { failed }) }
    }

    async fn wait_for_reopen(&self, requests: &[Arc<Reopen>]) {
        loop {
            let mut progress = pin!(self.core.notifiers.progress.notified());
            progress.as_mut().enable();
            let is_done = requests.iter().all(|request| request.result().is_some());
            if is_done || self.core.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }
}
