//! Anywhere (pure): what was lost and why, and the snapshots of the books.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::pipeline::BreakerState;
use crate::sink::ErrorKind;

/// Why an event was lost. The list is closed: there is no other way to lose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Refused: the lane was full and the policy does not evict, or the wait for room expired.
    OverflowNewest,
    /// Evicted: the lane was full and a newer event took the place.
    OverflowOldest,
    /// Refused or evicted: the queue's share of the memory was used up.
    Bytes,
    /// Refused: the rest of the lane is reserved for more important events.
    Shed,
    /// Refused: the logger was shut down.
    Closed,
    /// Refused: one of the logger's tasks is gone.
    WorkerGone,
    /// The sink's backlog was full and newer events took the place.
    BacklogFull,
    /// The sink does not accept this event.
    Rejected,
    /// The sink is unusable.
    SinkFailed,
    /// The sink failed as often as the pipeline tries.
    RetriesExhausted,
    /// The circuit breaker was open.
    BreakerOpen,
    /// The sink panicked.
    Panicked,
    /// The shutdown's deadline passed.
    Deadline,
    /// The runtime the logger ran on was dropped.
    RuntimeGone,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 14] = [
        DropReason::OverflowNewest,
        DropReason::OverflowOldest,
        DropReason::Bytes,
        DropReason::Shed,
        DropReason::Closed,
        DropReason::WorkerGone,
        DropReason::BacklogFull,
        DropReason::Rejected,
        DropReason::SinkFailed,
        DropReason::RetriesExhausted,
        DropReason::BreakerOpen,
        DropReason::Panicked,
        DropReason::Deadline,
        DropReason::RuntimeGone,
    ];

    /// Reasons an event is refused for, before it is accepted.
    pub const REFUSED: [DropReason; 5] =
        [DropReason::OverflowNewest, DropReason::Bytes, DropReason::Shed, DropReason::Closed, DropReason::WorkerGone];

    /// Reasons an accepted event is evicted from the queue for.
    pub const EVICTED: [DropReason; 2] = [DropReason::OverflowOldest, DropReason::Bytes];

    /// Reasons a sink's pipeline drops an event for.
    pub const PER_SINK: [DropReason; 8] = [
        DropReason::BacklogFull,
        DropReason::Rejected,
        DropReason::SinkFailed,
        DropReason::RetriesExhausted,
        DropReason::BreakerOpen,
        DropReason::Panicked,
        DropReason::Deadline,
        DropReason::RuntimeGone,
    ];

    /// The snake-case name, as metric labels spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::OverflowNewest => "overflow_newest",
            DropReason::OverflowOldest => "overflow_oldest",
            DropReason::Bytes => "bytes",
            DropReason::Shed => "shed",
            DropReason::Closed => "closed",
            DropReason::WorkerGone => "worker_gone",
            DropReason::BacklogFull => "backlog_full",
            DropReason::Rejected => "rejected",
            DropReason::SinkFailed => "sink_failed",
            DropReason::RetriesExhausted => "retries_exhausted",
            DropReason::BreakerOpen => "breaker_open",
            DropReason::Panicked => "panicked",
            DropReason::Deadline => "deadline",
            DropReason::RuntimeGone => "runtime_gone",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Losses by reason.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// How many events were lost for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many events were lost for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that lost events, with how many.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn add(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    /// What was lost since these were `before`.
    pub(crate) fn since(&self, before: &Drops) -> Drops {
        let mut since = *self;
        for (mine, theirs) in since.0.iter_mut().zip(before.0) {
            *mine -= theirs;
        }
        since
    }

    pub(crate) fn merge(&mut self, other: &Drops) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Debug for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// `none`, or `overflow_oldest 3, bytes 1`.
impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (reason, count) in self.iter() {
            write!(f, "{separator}{reason} {count}")?;
            separator = ", ";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// A map of the reasons that lost events.
#[cfg(feature = "serde")]
impl serde::Serialize for Drops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// The two books of a logger at one moment; see [`Logger::stats`](crate::Logger::stats).
///
/// Intake: `emitted = accepted + refused`, `accepted = evicted + dispatched + queued`. Each sink's book is in its
/// [`SinkReport`]. A snapshot is consistent: [`Stats::check`] holds at every moment.
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
    pub refused: Drops,
    /// Events that left the queue for a newer one.
    pub evicted: Drops,
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
    pub sinks: Vec<SinkReport>,
}

/// The book of one sink: `dispatched = filtered + routed`,
/// `routed = delivered + fallback + dropped + backlog + in_flight + unconfirmed`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SinkReport {
    /// The sink's name.
    pub name: String,
    /// Events the pipeline's level kept out; not a loss.
    pub filtered: u64,
    /// Events meant for this sink.
    pub routed: u64,
    /// Events the sink said it has.
    pub delivered: u64,
    /// Events the fallback chain delivered instead.
    pub fallback: u64,
    /// The links of the fallback chain, in their order; their deliveries add up to `fallback`.
    pub links: Vec<LinkReport>,
    /// Events lost, by reason.
    pub dropped: Drops,
    /// Events waiting.
    pub backlog: u64,
    /// Memory the waiting and written events pin.
    pub backlog_bytes: u64,
    /// Events in a write that has not answered.
    pub in_flight: u64,
    /// Events whose write was given up without an answer: delivered or not, nobody knows.
    pub unconfirmed: u64,
    /// Events written again, here or by a fallback, after a write that was given up: they may be there twice.
    pub maybe_duplicated: u64,
    /// Writes that were tried again.
    pub retries: u64,
    /// Lines the sink said it has that are no events: notices of losses and of its recovery. They are in no book.
    pub notices: u64,
    /// Bytes written, as the sink counts them.
    pub bytes: u64,
    /// Failed calls of the sink.
    pub errors: u64,
    /// Failed calls by [`ErrorKind`], in the order of [`ErrorKind::ALL`].
    pub errors_by_kind: [u64; ErrorKind::ALL.len()],
    /// The latest failure.
    pub last_error: Option<LastError>,
    /// Where the circuit breaker stands.
    pub breaker: BreakerState,
    /// How often the circuit breaker opened.
    pub breaker_opened: u64,
    /// Median time of a write since the latency window was last reset; relative error 1 %.
    pub p50: Option<Duration>,
    /// 95th percentile of the same.
    pub p95: Option<Duration>,
    /// 99th percentile of the same.
    pub p99: Option<Duration>,
}

/// One link of a sink's fallback chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LinkReport {
    /// The sink's name and the link's number, from 1: `http/1`.
    pub name: String,
    /// Events it delivered instead of the sink.
    pub delivered: u64,
    /// Notices it said it has, as [`SinkReport::notices`].
    pub notices: u64,
    /// Failed writes.
    pub errors: u64,
}

/// The latest failure of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LastError {
    /// What kind of trouble it was.
    pub kind: ErrorKind,
    /// The error and its sources, joined by `": "`.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// How a logger ended; see [`Logger::shutdown`](crate::Logger::shutdown).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[must_use = "the report says what was lost, and why"]
pub struct ShutdownReport {
    /// The logger's name.
    pub logger: String,
    /// Calls that passed the filter, suppressed and sampled ones apart.
    pub emitted: u64,
    /// Events that entered the queue.
    pub accepted: u64,
    /// Events that did not.
    pub refused: Drops,
    /// Events that left the queue for a newer one.
    pub evicted: Drops,
    /// Events that were handed to the sinks' pipelines.
    pub dispatched: u64,
    /// 0, unless a caller's thread stood still in the middle of a send (in a debugger, say) when the books were closed:
    /// its event, and those behind it in its lane. [`Logger::stats`](crate::Logger::stats) settles them later.
    pub queued: u64,
    /// Events that had a value cut to fit the size limit.
    pub truncated: u64,
    /// Events that our own tasks and sinks logged, which never enter.
    pub suppressed: u64,
    /// Calls that `every:` or `at_most:` left out.
    pub sampled: u64,
    /// One for each sink, in the order they were added.
    pub sinks: Vec<SinkReport>,
    /// Shutdown hooks that failed, panicked or did not end in time.
    pub failed_hooks: u64,
    /// Whether the deadline passed before everything was done.
    pub timed_out: bool,
    /// From the first request to the end.
    pub elapsed: Duration,
}

/// How far a flush came; see [`Logger::flush`](crate::Logger::flush).
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
    pub sinks: Vec<SinkFlush>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How far a flush came at one sink.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SinkFlush {
    /// The sink's name.
    pub name: String,
    /// Whether the sink has settled everything before the barrier and flushed without an error.
    pub flushed: bool,
    /// Events before the barrier that are still waiting or being written.
    pub pending: u64,
    /// Why the sink's own flush failed.
    pub error: Option<LastError>,
}

/// A book that does not add up: a defect of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imbalance(String);

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the books do not balance: {}", self.0)
    }
}

impl std::error::Error for Imbalance {}

fn equal(what: &str, left: u64, right: u64) -> Result<(), Imbalance> {
    if left == right { Ok(()) } else { Err(Imbalance(format!("{what}: {left} is not {right}"))) }
}

impl Stats {
    /// Adds up both books.
    ///
    /// # Errors
    /// The first equation that does not hold.
    pub fn check(&self) -> Result<(), Imbalance> {
        equal("emitted = accepted + refused", self.emitted, self.accepted + self.refused.total())?;
        let settled = self.evicted.total() + self.dispatched + self.queued;
        equal("accepted = evicted + dispatched + queued", self.accepted, settled)?;
        self.sinks.iter().try_for_each(|sink| sink.check(self.dispatched))
    }
}

impl SinkReport {
    fn check(&self, dispatched: u64) -> Result<(), Imbalance> {
        let name = &self.name;
        equal(&format!("{name}: dispatched = filtered + routed"), dispatched, self.filtered + self.routed)?;
        let settled =
            self.delivered + self.fallback + self.dropped.total() + self.backlog + self.in_flight + self.unconfirmed;
        equal(&format!("{name}: routed = delivered + … + unconfirmed"), self.routed, settled)
    }

    /// How many calls of the sink failed in this way.
    pub fn errors_of(&self, kind: ErrorKind) -> u64 {
        self.errors_by_kind[kind as usize]
    }
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

    /// Adds up both books, in which nothing is left on its way.
    ///
    /// # Errors
    /// The first equation that does not hold.
    pub fn check(&self) -> Result<(), Imbalance> {
        equal("emitted = accepted + refused", self.emitted, self.accepted + self.refused.total())?;
        let settled = self.evicted.total() + self.dispatched + self.queued;
        equal("accepted = evicted + dispatched + queued", self.accepted, settled)?;
        self.sinks.iter().try_for_each(|sink| {
            equal(&format!("{}: nothing on its way", sink.name), sink.backlog + sink.in_flight, 0)?;
            sink.check(self.dispatched)
        })
    }

    /// The report of the sink of this name.
    pub fn sink(&self, name: &str) -> Option<&SinkReport> {
        self.sinks.iter().find(|sink| sink.name == name)
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.timed_out { "the deadline passed after" } else { "shut down in" };
        writeln!(f, "{}: {how} {:.3} s", self.logger, self.elapsed.as_secs_f64())?;
        let Self { emitted, accepted, refused, evicted, .. } = self;
        write!(f, "  emitted {emitted} = accepted {accepted} + refused {} ({refused})", refused.total())?;
        write!(
            f,
            "\n  accepted {accepted} = dispatched {} + evicted {} ({evicted})",
            self.dispatched,
            evicted.total()
        )?;
        for sink in &self.sinks {
            write!(f, "\n  {sink}")?;
        }
        let apart = [
            ("truncated", self.truncated),
            ("suppressed", self.suppressed),
            ("sampled", self.sampled),
            ("failed hooks", self.failed_hooks),
        ];
        apart.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, "\n  {what} {count}"))
    }
}

/// One line: the equation, then bytes and errors.
impl fmt::Display for SinkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, routed, delivered, dropped, .. } = self;
        write!(f, "{name}: routed {routed} = delivered {delivered}")?;
        let rest = [
            ("fallback", self.fallback),
            ("unconfirmed", self.unconfirmed),
            ("backlog", self.backlog),
            ("in flight", self.in_flight),
        ];
        rest.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, " + {what} {count}"))?;
        write!(f, " + dropped {} ({dropped}); {} bytes", dropped.total(), self.bytes)?;
        let apart = [("filtered", self.filtered), ("notices", self.notices)];
        apart.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, ", {what} {count}"))?;
        match &self.last_error {
            Some(last) => write!(f, ", {} errors, the last: {} ({})", self.errors, last.message, last.kind),
            None => Ok(()),
        }
    }
}
