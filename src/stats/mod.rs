//! Anywhere (pure): statistics and reports: snapshots of the counters, with a reason for every loss.

// In: counters that `runtime` collects from `queue`, `dispatch` and `pipeline`, in one snapshot.
// Out: `Stats` and reports for callers; label lists for `observe`, which exports the counters as metrics.
//
// Invariants:
// * `Stats::check` holds for every snapshot, `ShutdownReport::check` for every report.
// * The lists in `labels.rs` are closed: each loss has exactly one `DropReason`.
//
// Next: callers, and `observe/metrics.rs`.
//
// Add a reason for a loss, or a kind of error, in `labels.rs`; a counter in `Stats` or `SinkStats`, in `check.rs` if it
// is part of an equation, and in `observe/metrics.rs`.

mod check;
mod display;
mod drops;
pub(crate) mod labels;
mod reports;
#[cfg(feature = "serde")]
pub(crate) mod serialize;
mod sink;

pub use check::ImbalanceError;
pub use drops::DropCounts;
pub use labels::DropReason;
pub use reports::{FlushReport, ShutdownReport, SinkFlushReport};
pub use sink::{FallbackStats, LastError, SinkStats};

/// The counters of a logger at one moment; see [`Logger::stats`](crate::Logger::stats).
///
/// Queue: `emitted = accepted + refused`, `accepted = evicted + dispatched + queued`. Each sink's counters are in its
/// [`SinkStats`]. A snapshot is consistent: [`Stats::check`] holds at every moment.
///
/// Serialized (feature `serde`), here and in the reports, durations are numbers of seconds under a key that ends in
/// `_seconds`, moments are text in RFC 3339, and counts by reason or kind are maps of those that are not 0.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// The logger's name.
    pub logger: String,
    /// Calls that passed the filter, except suppressed and sampled ones.
    pub emitted: u64,
    /// Events that entered the queue.
    pub accepted: u64,
    /// Events that did not enter the queue, by reason.
    pub refused: DropCounts,
    /// Events that were removed from the queue for a newer one.
    pub evicted: DropCounts,
    /// Events that were dispatched to the sinks' pipelines.
    pub dispatched: u64,
    /// Events in the queue.
    pub queued: u64,
    /// Heap bytes of queued events and living contexts.
    pub queued_bytes: u64,
    /// Events with a value truncated to fit the size limit.
    pub truncated: u64,
    /// Events logged by the logger's own tasks and sinks, which never enter the queue.
    pub suppressed: u64,
    /// Calls skipped by `every:` or `at_most:`.
    pub sampled: u64,
    /// One for each sink, in the order they were added.
    pub sinks: Vec<SinkStats>,
}

impl Stats {
    /// The counters of a logger that has counted nothing and has no sinks.
    pub(crate) fn empty(logger: String) -> Self {
        let none = DropCounts::default();
        Stats {
            logger,
            emitted: 0,
            accepted: 0,
            refused: none,
            evicted: none,
            dispatched: 0,
            queued: 0,
            queued_bytes: 0,
            truncated: 0,
            suppressed: 0,
            sampled: 0,
            sinks: Vec::new(),
        }
    }
}
