//! Any thread: has every sink reopen its destination, under any executor or none.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::wait::race;
use super::{Logger, ReopenError};
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
        let ids: Vec<u64> = self.core.sinks.iter().map(|sink| sink.ask_reopen()).collect();
        race(self.wait_for_reopen(&ids), timer::at(Instant::now().checked_add(timeout))).await;
        let results = self.core.sinks.iter().zip(&ids).map(|(sink, id)| {
            let result = sink.reopen_answer(*id).map_or(Err(None), |result| result.map_err(Some));
            result.err().map(|error| (sink.name().to_owned(), error))
        });
        let failed: Vec<_> = results.flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(ReopenError { failed }) }
    }

    async fn wait_for_reopen(&self, ids: &[u64]) {
        let sinks = &self.core.sinks;
        loop {
            let mut progress = pin!(self.core.notifiers.progress.notified());
            progress.as_mut().enable();
            let is_answered = sinks.iter().zip(ids).all(|(sink, id)| sink.reopen_answer(*id).is_some());
            if is_answered || self.core.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }
}
