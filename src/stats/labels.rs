//! Anywhere (pure): the closed lists of metric labels.

use std::fmt;

/// Why an event was lost. The list is closed: each loss has one of these reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Refused: the lane was full and the policy does not evict, or the wait for room expired.
    OverflowNewest,
    /// Evicted: the lane was full and a newer event replaced it.
    OverflowOldest,
    /// Refused or evicted: the queue's share of the memory was used up.
    Memory,
    /// Refused: the rest of the lane is reserved for more important events.
    Shed,
    /// Refused: the logger was shut down.
    Closed,
    /// Refused: one of the logger's tasks failed.
    TaskFailed,
    /// The sink's backlog was full and newer events replaced it.
    BacklogFull,
    /// The sink does not accept this event.
    Rejected,
    /// The sink is unusable.
    SinkFailed,
    /// The sink failed in every attempt that the pipeline makes.
    RetriesExhausted,
    /// The circuit breaker was open.
    BreakerOpen,
    /// The sink panicked.
    Panicked,
    /// The shutdown's deadline passed.
    Deadline,
    /// The runtime the logger ran on was dropped.
    RuntimeDropped,
    /// The spool had no room, and neither had the memory.
    SpoolFull,
    /// The spool could not be read.
    SpoolCorrupt,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 16] = [
        DropReason::OverflowNewest,
        DropReason::OverflowOldest,
        DropReason::Memory,
        DropReason::Shed,
        DropReason::Closed,
        DropReason::TaskFailed,
        DropReason::BacklogFull,
        DropReason::Rejected,
        DropReason::SinkFailed,
        DropReason::RetriesExhausted,
        DropReason::BreakerOpen,
        DropReason::Panicked,
        DropReason::Deadline,
        DropReason::RuntimeDropped,
        DropReason::SpoolFull,
        DropReason::SpoolCorrupt,
    ];

    /// Reasons for which an event is refused, before it is accepted.
    pub const REFUSED: [DropReason; 5] =
        [DropReason::OverflowNewest, DropReason::Memory, DropReason::Shed, DropReason::Closed, DropReason::TaskFailed];

    /// Reasons for which an accepted event is evicted from the queue.
    pub const EVICTED: [DropReason; 2] = [DropReason::OverflowOldest, DropReason::Memory];

    /// Reasons for which a sink's pipeline drops an event.
    pub const PER_SINK: [DropReason; 10] = [
        DropReason::BacklogFull,
        DropReason::Rejected,
        DropReason::SinkFailed,
        DropReason::RetriesExhausted,
        DropReason::BreakerOpen,
        DropReason::Panicked,
        DropReason::Deadline,
        DropReason::RuntimeDropped,
        DropReason::SpoolFull,
        DropReason::SpoolCorrupt,
    ];

    /// Returns the name in snake case, as in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::OverflowNewest => "overflow_newest",
            DropReason::OverflowOldest => "overflow_oldest",
            DropReason::Memory => "memory",
            DropReason::Shed => "shed",
            DropReason::Closed => "closed",
            DropReason::TaskFailed => "task_failed",
            DropReason::BacklogFull => "backlog_full",
            DropReason::Rejected => "rejected",
            DropReason::SinkFailed => "sink_failed",
            DropReason::RetriesExhausted => "retries_exhausted",
            DropReason::BreakerOpen => "breaker_open",
            DropReason::Panicked => "panicked",
            DropReason::Deadline => "deadline",
            DropReason::RuntimeDropped => "runtime_dropped",
            DropReason::SpoolFull => "spool_full",
            DropReason::SpoolCorrupt => "spool_corrupt",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The kind of a sink's error; the label `kind` of `logweir_sink_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SinkErrorKind {
    /// A retry may help.
    Temporary,
    /// The events are not acceptable to the sink.
    Rejected,
    /// The sink is unusable.
    Permanent,
    /// The call did not end within the pipeline's timeout.
    Timeout,
    /// The sink (or its format) panicked.
    Panic,
}

impl SinkErrorKind {
    /// Every kind.
    pub const ALL: [SinkErrorKind; 5] = [
        SinkErrorKind::Temporary,
        SinkErrorKind::Rejected,
        SinkErrorKind::Permanent,
        SinkErrorKind::Timeout,
        SinkErrorKind::Panic,
    ];

    /// Returns the name in snake case.
    pub const fn as_str(self) -> &'static str {
        ["temporary", "rejected", "permanent", "timeout", "panic"][self as usize]
    }
}

impl fmt::Display for SinkErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BreakerState {
    /// Every batch is written. 0 in the metrics.
    #[default]
    Closed,
    /// One write is the probe. 1 in the metrics.
    HalfOpen,
    /// The sink is paused. 2 in the metrics.
    Open,
}
