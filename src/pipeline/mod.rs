//! A sink task: delivers the batches of one sink through a bounded backlog, a circuit breaker, retries and fallbacks.
//!
//! Each sink has a pipeline and a task of its own: an error, a panic or a hang of the sink affects no other sink.
//!
//! The futures of one pipeline:
//!
//! ```text
//!  sink task: one tokio task, on the thread `logweir-net` if one of its sinks encodes for the network
//!  select ─┬─ next_action ── backlog: batches, linger │ notice │ flush │ reopen │ close
//!          └─ late results of the fallbacks
//!  deliver(batch), in one slot: one request at a time
//!   ┌─▶ route (breaker, waits) ─▶ encode (no await) ─▶ attempt ─▶ ruling ─┬─▶ settled, each event once
//!   │                                                   │                 ├─▶ fallbacks: encode, attempt, ruling
//!   └───────────── back-off, pause, bisected or halved ◀┼─────────────────┘
//!  call: a boxed future that owns its `Arc<dyn RequestSink>`, request and charge; inside it the adapter locks a `Sink`
//!   ├─ answers in time
//!   ├─ timed out, dropped: the request may have arrived
//!   └─ timed out, kept because the sink outlives timeouts: the late result settles its events
//! ```
//!
//! In: batches that `dispatch` enqueues ([`SinkHandle::enqueue`]); flush barriers, the deadline and close requests of
//! `runtime`; requests of `logger` (reopen, filter, breaker reset).
//! Out: calls of `RequestSink` and of its fallbacks; counters, which `runtime` reads as
//! [`SinkStats`](crate::stats::SinkStats); notices of losses; errors, which `observe` reports.
//!
//! Invariants:
//! * Every event routed to a sink is in exactly one counter of its ledger or waits in its backlog.
//! * Counters move together with their events, under one lock per sink. No lock is held across an await.
//! * Every call of a sink goes through a [`Destination`]: its time is limited, its panic and what it logs are contained, and its
//!   error is text before anything is locked.
//! * A batch is charged for as long as something keeps it: the backlog, the task or a late call.
//! * A delivered event is never written again.
//! * After the counters are sealed for the final report, they do not change.
//!
//! Add a delivery rule in `delivery.rs`, the only file that decides what follows an answer; a verdict in `ruling.rs`; an action
//! of the task in `action.rs` (its result is recorded in `record.rs`); a method of `RequestSink` in `destination.rs`; a counter in `ledger.rs`,
//! `record.rs`, `stats/sink.rs` and `observe/metrics.rs`; an option in `Pipeline`, `builder` and `config`.
//!
//! Next: `sink`, which turns a batch into bytes.

mod action;
mod attempt;
mod awaited;
mod backlog;
mod breaker;
mod delivery;
mod destination;
mod end;
mod fallback;
mod filter;
mod handle;
mod into;
mod ledger;
mod notice;
mod record;
mod remainder;
mod retry;
mod ruling;
mod size;
mod spool;
mod state;
mod task;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

pub use backlog::WhenFull;
pub(crate) use backlog::pinned_bytes;
pub use breaker::Breaker;
pub(crate) use breaker::BreakerCallback;
pub(crate) use destination::Destination;
pub(crate) use handle::{Notifiers, PipelineEnv, SinkHandle, SinkHandleConfig};
pub use into::IntoPipeline;
pub(crate) use ledger::SinkLosses;
pub(crate) use notice::NoticeIds;
pub use retry::Retry;
#[cfg(feature = "testing")]
pub(crate) use ruling::Ruling;
pub(crate) use spool::OpenSpool;
pub(crate) use state::{Barrier, Leftovers, Reopen};
pub(crate) use task::{SinkTaskParts, run_sink_task, run_spool_task};
pub(crate) use wanted::Wanted;

pub use crate::stats::labels::BreakerState;

use crate::context::contain::contain;
use crate::event::Level;
use crate::filter::{Filter, ParseFilterError};
#[cfg(doc)]
use crate::sink::Sink;
use crate::sink::{Acknowledges, Batching, RequestSink};
#[cfg(feature = "spool")]
use crate::spool::{DiskStore, Os, Spool};
use crate::spool::{Recovered, SpoolStore};

/// A sink and how events are delivered to it.
///
/// A bare sink given to [`Builder::sink`](crate::Builder::sink) gets the default pipeline: every level, a timeout of 5 s
/// (1 s for the console), [`WhenFull::DropOldest`], an equal share of the sinks' memory, the default [`Retry`] and
/// [`Breaker`], no fallback.
///
/// # Delivery
/// * A temporary error is retried according to [`Retry`]. After the last attempt the batch goes to the fallback or is
///   dropped (`retries_exhausted`). The delivered part of a partial error is never sent again.
/// * A rejected batch is bisected to find the bad event, which goes to the fallback or is dropped (`rejected`); the
///   others are delivered. After three single rejections with nothing delivered, the rest of the batch is rejected as a
///   whole. A panic is bisected in the same way (`panicked`).
/// * A permanent error opens the breaker. The batch goes to the fallback or is dropped (`sink_failed`), and so do later
///   batches (`breaker_open`) until a probe succeeds.
/// * An [`Answer`](crate::sink::Answer) settles each event of a request on its own. What is too large is sent in smaller
///   requests. An unusable sink keeps its events while the breaker probes it, until the [`Retry`] ends.
/// * A write that timed out may have arrived. It is retried, which may deliver twice (`maybe_duplicated`), and ends
///   *unconfirmed* unless a retry or the fallback delivers it. A sink that [outlives timeouts](Sink::outlives_timeout)
///   gets no second write before the first returns: the late result settles the events, and meanwhile the backlog goes
///   to the fallback.
/// * While the breaker is open and there is no fallback, batches wait in the backlog.
/// * When a shutdown is requested, a pipeline that waits for its breaker or a retry attempts at once. From then on it
///   waits at most half of the time that is left, so that it also attempts after 1/2, 3/4, 7/8 and 15/16 of the time.
///   [`Logger::reopen`](crate::Logger::reopen) ends such a wait too, and if it succeeds the next
///   write is the probe.
#[must_use = "a pipeline does nothing until a builder has it"]
pub struct Pipeline {
    pub(crate) sink: Arc<dyn RequestSink>,
    pub(crate) filter: Result<Filter, ParseFilterError>,
    pub(crate) timeout: Duration,
    pub(crate) batching: RequestBatching,
    /// Its requests have bodies.
    pub(crate) has_bodies: bool,
    pub(crate) when_full: WhenFull,
    pub(crate) backlog_bytes: Option<usize>,
    pub(crate) retry: Retry,
    pub(crate) breaker: Breaker,
    pub(crate) on_breaker: Option<BreakerCallback>,
    pub(crate) fallback: Option<Box<Pipeline>>,
    pub(crate) spool: Option<OpenSpool>,
    pub(crate) is_essential: bool,
}

impl Pipeline {
    /// Creates the default pipeline to this [`Sink`] or [`RequestSink`].
    pub fn new<Kind>(sink: impl IntoPipeline<Kind>) -> Self {
        sink.into_pipeline()
    }

    fn to(sink: Arc<dyn RequestSink>, has_bodies: bool) -> Self {
        Pipeline {
            // The same as without a word of the sink's own, if it panics.
            timeout: contain(|| sink.default_timeout()).unwrap_or(Duration::from_secs(5)),
            batching: RequestBatching::Default(contain(|| sink.default_batching()).unwrap_or(Batching::DISPATCHED)),
            has_bodies,
            sink,
            filter: Ok(Filter::from(Level::Trace)),
            when_full: WhenFull::default(),
            backlog_bytes: None,
            retry: Retry::default(),
            breaker: Breaker::default(),
            on_breaker: None,
            fallback: None,
            spool: None,
            is_essential: false,
        }
    }

    /// Sets the least important level this sink gets. Default: every level that passes the logger's filter.
    ///
    /// Excluded events count as `filtered`, not as dropped. The last call to `level` or [`filter`](Pipeline::filter)
    /// wins.
    pub fn level(mut self, level: Level) -> Self {
        self.filter = Ok(Filter::from(level));
        self
    }

    /// Sets which of the events that pass the logger's filter this sink gets, by target and level: text in the grammar
    /// of [`Filter`], a `Filter`, a [`Level`] or a [`LevelFilter`](crate::LevelFilter). Default: all of them.
    ///
    /// The filter can only exclude more: an event must pass the logger's filter
    /// ([`Builder::filter`](crate::Builder::filter)) first. Excluded events count as `filtered`, not as dropped. The
    /// flush task applies the filter, not the caller. [`Logger::set_sink_filter`](crate::Logger::set_sink_filter)
    /// replaces it while the logger runs. If a directive is invalid, `start` returns an error. The last call to
    /// [`level`](Pipeline::level) or `filter` wins.
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: TryInto<Filter>,
        F::Error: Into<ParseFilterError>,
    {
        self.filter = filter.try_into().map_err(Into::into);
        self
    }

    /// Sets the size of a request, or of a [`Sink`]'s write: at most `events` events; at most `bytes` bytes of its body, if it
    /// has more than one event; and no more dispatched batches than have `bytes` of memory, or a quarter of the sink's, if it
    /// has more than one of those. A request that is not full waits for more events until
    /// `linger` after the arrival of its first one: zero does not wait, but takes all that is there.
    ///
    /// Default: what the sink asks for ([`RequestSink::default_batching`]); a [`Sink`]'s write has one batch, as the flush task
    /// dispatches them ([`Builder::batch_size`](crate::Builder::batch_size)). A dispatched batch is divided only if it is
    /// larger than a request: a size that is a multiple of `batch_size` fills best.
    ///
    /// An event of [`Builder::flush_at`](crate::Builder::flush_at), a flush and the shutdown end the wait at once. While the
    /// breaker is open or a retry waits, the time of the linger passes.
    ///
    /// Range: `events` from 1 to 65,536; `bytes` from 1 KiB to half of the sink's memory, of which the body of a request takes
    /// its size from the start.
    pub fn batching(mut self, events: usize, bytes: usize, linger: Duration) -> Self {
        self.batching = RequestBatching::Given(Batching::new(events, bytes, linger));
        self
    }

    /// Sets how long one call of the sink may take. Default: 5 s, 1 s for the console, 10 s for a [`RequestSink`]. Range:
    /// more than zero.
    ///
    /// After a timeout it is unknown whether the events of the write arrived.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what happens when the sink's backlog is full. Default: [`WhenFull::DropOldest`].
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// Sets the memory limit of the sink's backlog, in bytes: an event counts 128 bytes and its heap memory, a batch 288
    /// bytes, and a changing enrichment its size once for the batches that have it. Default: an equal share of the rest of
    /// the sinks' half of [`Builder::memory_limit`](crate::Builder::memory_limit).
    pub fn backlog_bytes(mut self, bytes: usize) -> Self {
        self.backlog_bytes = Some(bytes);
        self
    }

    /// Sets when a failed write is retried. Default: [`Retry::default`].
    pub fn retry(mut self, policy: Retry) -> Self {
        self.retry = policy;
        self
    }

    /// Sets when a sink that keeps failing is paused. Default: [`Breaker::default`].
    pub fn breaker(mut self, policy: Breaker) -> Self {
        self.breaker = policy;
        self
    }

    /// Sets a callback for when the circuit breaker changes state. It runs on the logger's runtime and must not block;
    /// events it logs are suppressed.
    pub fn on_breaker(mut self, callback: impl Fn(BreakerState) + Send + Sync + 'static) -> Self {
        self.on_breaker = Some(Box::new(callback));
        self
    }

    /// Sets the sink that takes the events this one does not: while the breaker is open, when retries are exhausted,
    /// and in the last fifth of a shutdown's time. Default: none.
    ///
    /// Only the fallback's sink, timeout, batching and own fallback (the next link of the chain) are used; all other settings
    /// come from this pipeline. Each link gets a batch once. A link that [outlives timeouts](Sink::outlives_timeout) is
    /// skipped while a timed-out write of it is still running (that batch stays charged to the backlog, where one other
    /// may pass beside it whatever the limit); the late result settles the events that were unconfirmed meanwhile. If all links are busy, batches wait as if there
    /// were none. Links are named `sink/1`, `sink/2` in reports.
    pub fn fallback<Kind>(mut self, fallback: impl IntoPipeline<Kind>) -> Self {
        self.fallback = Some(Box::new(fallback.into_pipeline()));
        self
    }

    /// Keeps the events of this pipeline in a store before they are offered to the sink, and until they are settled.
    #[doc(hidden)]
    pub fn spool_store(mut self, store: impl SpoolStore) -> Self {
        self.spool = Some(OpenSpool { store: Arc::new(store), recovered: Recovered::default() });
        self
    }

    /// Keeps the events of this pipeline on a disk until they are settled, so that they survive an outage and a crash. Default:
    /// no spool, they are in memory.
    ///
    /// While the sink is unavailable its events wait in the spool: no [`Retry`] ends, and the fallback gets only what the sink
    /// rejects, what makes it panic, and what neither the spool nor the memory has room for. What cannot be appended within the
    /// pipeline's timeout is offered to the sink from memory, as without a spool (`spool_bypassed`). Notices are not spooled.
    ///
    /// A flush is complete once its events are settled or the disk has them. At the shutdown the events are appended first; it
    /// ends when an attempt to deliver fails, and [`SinkStats::spooled`](crate::stats::SinkStats::spooled) is what the next
    /// process takes over as `recovered`. If the directory cannot be used, `start` returns an error; a disk that fails later is an
    /// error of the sink.
    #[cfg(feature = "spool")]
    pub fn spool(self, spool: Spool) -> Self {
        self.spool_store(DiskStore::new(spool, Os))
    }

    /// Makes this sink one that [`Logger::emit_confirmed`](crate::Logger::emit_confirmed) waits for. Default: not; if no sink of
    /// a logger is essential, those with a spool are.
    ///
    /// It needs a spool, or a sink that [acknowledges](RequestSink::acknowledges) at least
    /// [`Accepted`](crate::sink::Acknowledges::Accepted); otherwise `start` returns an error. What an earlier process has left
    /// in the spool may have been confirmed: of an essential sink, it is not dropped to make room.
    pub fn essential(mut self) -> Self {
        self.is_essential = true;
        self
    }

    /// Whether what its own sink has delivered is confirmed.
    pub(crate) fn is_confirming(&self) -> bool {
        contain(|| self.sink.acknowledges()).is_ok_and(|acknowledges| acknowledges >= Acknowledges::Accepted)
    }

    /// Its own sink and those of the fallback chain.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Pipeline> {
        std::iter::successors(Some(self), |pipeline| pipeline.fallback.as_deref())
    }

    /// The size of its requests, of which one has at most `most_bytes`. `None`: each is a dispatched batch, without a body.
    pub(crate) fn request_size(&self, most_bytes: usize) -> Option<Batching> {
        let size = self.batching.within(most_bytes);
        let body_limit = Batching::new(usize::MAX, (most_bytes / 2).min(MAX_UNASKED_BODY), Duration::ZERO);
        size.or(self.has_bodies.then_some(body_limit))
    }

    /// Whether one of its sinks encodes for the network.
    pub(crate) fn encodes_for_network(&self) -> bool {
        self.links().any(|link| contain(|| link.sink.encodes_for_network()).unwrap_or(true))
    }

    /// Takes the sinks out: its own, then those of the fallback chain. Their requests have at most `most_bytes`.
    pub(crate) fn take_destinations(self, most_bytes: usize) -> Vec<Destination> {
        let mut destinations = Vec::new();
        let mut next = Some(self);
        while let Some(pipeline) = next {
            let batching = pipeline.request_size(most_bytes);
            destinations.push(Destination::new(pipeline.sink, pipeline.timeout, batching, pipeline.has_bodies));
            next = pipeline.fallback.map(|fallback| *fallback);
        }
        destinations
    }
}

/// The largest body of a sink that asks for none in particular.
const MAX_UNASKED_BODY: usize = 1 << 20;

/// Who chose the size of a pipeline's requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestBatching {
    /// The sink.
    Default(Batching),
    Given(Batching),
}

impl RequestBatching {
    /// Returns the size, with at most so many bytes; `None`: a request is a dispatched batch.
    pub(crate) fn within(self, most_bytes: usize) -> Option<Batching> {
        let (RequestBatching::Default(batching) | RequestBatching::Given(batching)) = self;
        let bytes = batching.bytes.clamp(1, most_bytes);
        (batching != Batching::DISPATCHED).then_some(Batching { events: batching.events.max(1), bytes, ..batching })
    }
}
