//! Anywhere (pure): the counters of one sink.

use std::time::{Duration, SystemTime};

use super::DropCounts;
use super::labels::{BreakerState, SinkErrorKind};

/// The counters of one sink: `dispatched = filtered + routed`,
/// `recovered + routed = delivered + fallback + dropped + backlog + spooled + in_flight + unconfirmed`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SinkStats {
    /// The sink's name.
    pub name: String,
    /// Events excluded by the pipeline's filter; not a loss.
    pub filtered: u64,
    /// Events meant for this sink.
    pub routed: u64,
    /// Events delivered to the sink.
    pub delivered: u64,
    /// Events delivered by the fallback chain instead.
    pub delivered_by_fallback: u64,
    /// The links of the fallback chain, in their order; their deliveries add up to `delivered_by_fallback`.
    pub fallbacks: Vec<FallbackStats>,
    /// Events dropped, by reason.
    pub dropped: DropCounts,
    /// Events waiting in memory; of a pipeline with a spool, those that are not appended.
    pub backlog: u64,
    /// Memory pinned by events waiting or being written.
    pub backlog_bytes: u64,
    /// Events that earlier processes left in the spool, and this one took over.
    pub recovered: u64,
    /// Events in the spool that are not settled and in no request. They are delivered by this process or the next one.
    pub spooled: u64,
    /// Events that were offered to the sink from memory, because they could not be appended to the spool.
    pub spool_bypassed: u64,
    /// Bytes of the spool's files.
    pub spool_bytes: u64,
    /// The age of the spool's oldest event that is not settled, if it is in memory.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "spool_age_seconds", serialize_with = "super::serialize::optional_seconds")
    )]
    pub spool_age: Option<Duration>,
    /// Events in a write that has not returned.
    pub in_flight: u64,
    /// Events whose write timed out; they may or may not have been delivered.
    pub unconfirmed: u64,
    /// Events written again, here or by a fallback, after their write timed out: they may have been delivered twice.
    pub maybe_duplicated: u64,
    /// Writes that were retried.
    pub retries: u64,
    /// Lines delivered to the sink that are no events: notices of losses and of its recovery. No other counter includes
    /// them.
    pub notices: u64,
    /// Bytes written, as the sink counts them.
    pub written_bytes: u64,
    /// Failed calls of the sink.
    pub errors: u64,
    /// Failed calls by [`SinkErrorKind`], in the order of [`SinkErrorKind::ALL`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::serialize::by_kind"))]
    pub(crate) errors_by_kind: [u64; SinkErrorKind::ALL.len()],
    /// The latest failure.
    pub last_error: Option<LastError>,
    /// The state of the circuit breaker.
    pub breaker: BreakerState,
    /// The number of times the circuit breaker opened.
    pub breaker_opened: u64,
    /// Median time of a write since the latency window was last reset; relative error 1 %.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "write_p50_seconds", serialize_with = "super::serialize::optional_seconds")
    )]
    pub write_p50: Option<Duration>,
    /// 95th percentile of the same.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "write_p95_seconds", serialize_with = "super::serialize::optional_seconds")
    )]
    pub write_p95: Option<Duration>,
    /// 99th percentile of the same.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "write_p99_seconds", serialize_with = "super::serialize::optional_seconds")
    )]
    pub write_p99: Option<Duration>,
}

/// One link of a sink's fallback chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FallbackStats {
    /// The sink's name and the link's number, from 1: `http/1`.
    pub name: String,
    /// Events it delivered instead of the sink.
    pub delivered: u64,
    /// Notices it delivered, like [`SinkStats::notices`].
    pub notices: u64,
    /// Failed writes.
    pub errors: u64,
}

/// The latest failure of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LastError {
    /// The kind of the error.
    pub kind: SinkErrorKind,
    /// The error and its sources, joined by `": "`, escaped on one line and truncated to 1 KiB.
    pub message: String,
    /// The time of the failure.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::serialize::moment"))]
    pub at: SystemTime,
}

impl SinkStats {
    /// Returns how many calls of the sink failed with this kind of error.
    pub fn errors_of(&self, kind: SinkErrorKind) -> u64 {
        self.errors_by_kind[kind as usize]
    }
}
