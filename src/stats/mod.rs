//! Anywhere (pure): what was lost and why, and the snapshots of the books.

mod check;
mod display;
mod drops;
pub(crate) mod labels;
mod reports;
mod sink;

pub use check::ImbalanceError;
pub use drops::DropCounts;
pub use labels::DropReason;
pub use reports::{FlushReport, ShutdownReport, SinkFlushReport};
pub use sink::{FallbackStats, LastError, SinkStats};

/// The two books of a logger at one moment; see [`Logger::stats`](crate::Logger::stats).
///
/// Intake: `emitted = accepted + refused`, `accepted = evicted + dispatched + queued`. Each sink's book is in its
/// [`SinkStats`]. A snapshot is consistent: [`Stats::check`] holds at every moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The logger's name.
    pub logger: String,
    /// Calls that passed the filter, suppressed and sampled ones apart.
    pub emitted: u64,
    /// Events that entered the queue.
    pub accepted: u64,
    /// Events that did not.
    pub refused: DropCounts,
    /// Events that left the queue for a newer one.
    pub evicted: DropCounts,
    /// Events that were handed to the sinks' pipelines.
    pub dispatched: u64,
    /// Events in the queue.
    pub queued: u64,
    /// Heap bytes of queued events and living contexts.
    pub queued_bytes: u64,
    /// Events that had a value cut to fit the size limit.
    pub truncated: u64,
    /// Events that our own tasks and sinks logged, which never enter.
    pub suppressed: u64,
    /// Calls that `every:` or `at_most:` left out.
    pub sampled: u64,
    /// One for each sink, in the order they were added.
    pub sinks: Vec<SinkStats>,
}
