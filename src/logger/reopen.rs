//! Any thread, any executor or none: every sink opens its destination again.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::wait::race;
use super::{Logger, ReopenError};
use crate::time::timer;

impl Logger {
    /// Has every sink open its destination again, after something else moved it away (logrotate).
    ///
    /// # Errors
    /// Names the sinks that failed, or did not answer within the timeout, and why.
    ///
    /// # Cancel safety
    /// A reopen that was asked for happens all the same.
    pub async fn reopen(&self, timeout: Duration) -> Result<(), ReopenError> {
        let tickets: Vec<u64> = self.shared.sinks.iter().map(|station| station.ask_reopen()).collect();
        race(self.wait_for_reopen(&tickets), timer::at(Instant::now().checked_add(timeout))).await;
        let answers = self.shared.sinks.iter().zip(&tickets).map(|(station, ticket)| {
            let answer = station.reopen_answer(*ticket).map_or(Err(None), |answer| answer.map_err(Some));
            answer.err().map(|error| (station.name().to_owned(), error))
        });
        let failed: Vec<_> = answers.flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(ReopenError { failed }) }
    }

    async fn wait_for_reopen(&self, tickets: &[u64]) {
        let stations = &self.shared.sinks;
        loop {
            let mut progress = pin!(self.shared.notifiers.progress.notified());
            progress.as_mut().enable();
            let is_answered = stations.iter().zip(tickets).all(|(station, id)| station.reopen_answer(*id).is_some());
            if is_answered || self.shared.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }
}
