//! Anywhere (pure): the equations that hold at every moment.

use std::fmt;

use super::{ShutdownReport, SinkStats, Stats};
use crate::format::plain::Foreign;

/// The error of counters that do not add up: a defect of this crate.
#[derive(Clone, PartialEq, Eq)]
pub struct ImbalanceError(String);

impl fmt::Display for ImbalanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the books do not balance: {}", Foreign(&self.0))
    }
}

/// Like `Display`.
impl fmt::Debug for ImbalanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ImbalanceError {}

fn equal(what: &str, left: u64, right: u64) -> Result<(), ImbalanceError> {
    if left == right { Ok(()) } else { Err(ImbalanceError(format!("{what}: {left} is not {right}"))) }
}

impl Stats {
    /// Checks the equations of the queue and of each sink.
    ///
    /// # Errors
    /// Returns the first equation that does not hold.
    pub fn check(&self) -> Result<(), ImbalanceError> {
        equal("emitted = accepted + refused", self.emitted, self.accepted + self.refused.total())?;
        let settled = self.evicted.total() + self.dispatched + self.queued;
        equal("accepted = evicted + dispatched + queued", self.accepted, settled)?;
        self.sinks.iter().try_for_each(|sink| sink.check(self.dispatched))
    }
}

impl SinkStats {
    fn check(&self, dispatched: u64) -> Result<(), ImbalanceError> {
        let name = &self.name;
        equal(&format!("{name}: dispatched = filtered + routed"), dispatched, self.filtered + self.routed)?;
        let settled = self.delivered
            + self.delivered_by_fallback
            + self.dropped.total()
            + self.backlog
            + self.spooled
            + self.in_flight
            + self.unconfirmed;
        let taken = self.recovered + self.routed;
        equal(&format!("{name}: recovered + routed = delivered + … + unconfirmed"), taken, settled)
    }
}

impl ShutdownReport {
    /// Checks the equations of the queue and of each sink, and that no event is left in flight.
    ///
    /// # Errors
    /// Returns the first equation that does not hold.
    pub fn check(&self) -> Result<(), ImbalanceError> {
        equal("emitted = accepted + refused", self.emitted, self.accepted + self.refused.total())?;
        let settled = self.evicted.total() + self.dispatched + self.queued;
        equal("accepted = evicted + dispatched + queued", self.accepted, settled)?;
        self.sinks.iter().try_for_each(|sink| {
            equal(&format!("{}: nothing on its way", sink.name), sink.backlog + sink.in_flight, 0)?;
            sink.check(self.dispatched)
        })
    }
}
