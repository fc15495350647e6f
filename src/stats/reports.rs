//! Anywhere (pure): the results of a flush and a shutdown.

use std::time::Duration;

use super::{DropCounts, LastError, SinkStats, Stats};

/// The final counters of a logger; see [`Logger::shutdown`](crate::Logger::shutdown).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[must_use = "the report says what was lost, and why"]
pub struct ShutdownReport {
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
    /// 0, unless a caller's thread was paused in the middle of a send (in a debugger, say) when the counters were
    /// sealed: its event, and those after it in its lane. [`Logger::stats`](crate::Logger::stats) settles them later.
    pub queued: u64,
    /// Events with a value truncated to fit the size limit.
    pub truncated: u64,
    /// Events logged by the logger's own tasks and sinks, which never enter the queue.
    pub suppressed: u64,
    /// Calls skipped by `every:` or `at_most:`.
    pub sampled: u64,
    /// One for each sink, in the order they were added.
    pub sinks: Vec<SinkStats>,
    /// Shutdown hooks that failed, panicked or did not end in time.
    pub failed_hooks: u64,
    /// Whether the deadline passed before everything was done. Not if each sink was closed, or was busy with a request of events
    /// that its spool has, and the deadline cost no event.
    pub timed_out: bool,
    /// The time from the first request to the end.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_seconds", serialize_with = "super::serialize::seconds"))]
    pub elapsed: Duration,
}

/// The result of a flush; see [`Logger::flush`](crate::Logger::flush).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[must_use = "the report says whether the flush reached every sink"]
pub struct FlushReport {
    /// Whether everything accepted before the call is settled (delivered, dropped for a reason or unconfirmed) and
    /// every sink flushed without an error.
    pub complete: bool,
    /// Events accepted before the call that are still in the queue.
    pub queued: u64,
    /// One for each sink, in the order they were added.
    pub sinks: Vec<SinkFlushReport>,
    /// The time it took.
    #[cfg_attr(feature = "serde", serde(rename = "elapsed_seconds", serialize_with = "super::serialize::seconds"))]
    pub elapsed: Duration,
}

/// The result of a flush at one sink.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SinkFlushReport {
    /// The sink's name.
    pub name: String,
    /// Whether the sink has settled everything before the barrier and flushed without an error.
    pub flushed: bool,
    /// Events before the barrier that are still waiting or being written.
    pub pending: u64,
    /// Events that this sink dropped since the last flush that was complete here before this one was requested, or since
    /// the start: each is in the report of a flush. What the queue dropped is in [`Stats`] alone.
    pub lost: u64,
    /// Events since then whose write timed out: they may or may not have been delivered.
    pub unconfirmed: u64,
    /// The error of the sink's own flush.
    pub error: Option<LastError>,
}

impl ShutdownReport {
    pub(crate) fn new(stats: Stats, failed_hooks: u64, timed_out: bool, elapsed: Duration) -> Self {
        let Stats { logger, emitted, accepted, refused, evicted, dispatched, queued, .. } = stats;
        let Stats { truncated, suppressed, sampled, sinks, .. } = stats;
        ShutdownReport {
            logger,
            emitted,
            accepted,
            refused,
            evicted,
            dispatched,
            queued,
            truncated,
            suppressed,
            sampled,
            sinks,
            failed_hooks,
            timed_out,
            elapsed,
        }
    }

    /// Returns the counters of the sink of this name.
    pub fn sink(&self, name: &str) -> Option<&SinkStats> {
        self.sinks.iter().find(|sink| sink.name == name)
    }
}
