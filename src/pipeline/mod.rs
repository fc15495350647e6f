//! One pipeline per sink, a task each: a bounded backlog, then the sink. A sink's trouble ends here.

mod backlog;
mod booking;
mod breaker;
mod delivery;
mod fallback;
mod ledger;
mod load;
mod notice;
mod retry;
mod selection;
mod station;

use std::time::Duration;

pub use backlog::WhenFull;
pub use breaker::Breaker;
pub(crate) use breaker::BreakerCallback;
pub(crate) use delivery::{Line, deliver};
pub(crate) use fallback::Link;
pub use retry::Retry;
pub(crate) use station::{Barrier, Bells, House, Station, StationConfig, weigh};

pub use crate::stats::labels::BreakerState;

use crate::event::Level;
use crate::filter::{Filter, ParseFilterError};
use crate::sink::Sink;

/// A sink and how events are delivered to it.
///
/// A bare sink given to [`Builder::sink`](crate::Builder::sink) gets the default pipeline: every level, a timeout of 5 s
/// (1 s for the console), [`WhenFull::DropOldest`], an equal share of the sinks' memory, the default [`Retry`] and
/// [`Breaker`], no fallback.
///
/// # What becomes of a batch
/// * A temporary error is tried again as [`Retry`] says; then the fallback has it, or it is dropped
///   (`retries_exhausted`). What a partial error delivered is never sent again.
/// * Rejected events are searched for by halves: the poison is offered to the fallback or dropped (`rejected`), the rest
///   delivered. After three single rejections with nothing delivered the rest of the batch is rejected whole. A panic is
///   searched for in the same way (`panicked`).
/// * A permanent error opens the breaker; the batch goes to the fallback or is dropped (`sink_failed`), and until a
///   probe succeeds those that follow do too (`breaker_open`).
/// * A write that timed out may have arrived. It is tried again, which may deliver twice (`maybe_duplicated`), and ends
///   *unconfirmed* unless an attempt or the fallback delivers it. A sink that
///   [outlives timeouts](Sink::outlives_timeout) gets no second write before it has answered: its late answer settles
///   the events, and meanwhile the backlog goes to the fallback.
/// * While the breaker is open and there is no fallback, batches wait in the backlog.
#[must_use = "a pipeline does nothing until a builder has it"]
pub struct Pipeline {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) filter: Result<Filter, ParseFilterError>,
    pub(crate) timeout: Duration,
    pub(crate) when_full: WhenFull,
    pub(crate) backlog_bytes: Option<usize>,
    pub(crate) retry: Retry,
    pub(crate) breaker: Breaker,
    pub(crate) on_breaker: Option<BreakerCallback>,
    pub(crate) fallback: Option<Box<Pipeline>>,
}

impl Pipeline {
    /// The default pipeline to this sink.
    pub fn new(sink: impl Sink) -> Self {
        Pipeline {
            timeout: sink.default_timeout(),
            sink: Box::new(sink),
            filter: Ok(Filter::from(Level::Trace)),
            when_full: WhenFull::default(),
            backlog_bytes: None,
            retry: Retry::default(),
            breaker: Breaker::default(),
            on_breaker: None,
            fallback: None,
        }
    }

    /// The least important level this sink gets. Default: every level that passes the logger's filter.
    ///
    /// What it keeps out counts as `filtered`, which is not a loss. Of this and [`Pipeline::filter`] the last call counts.
    pub fn level(mut self, level: Level) -> Self {
        self.filter = Ok(Filter::from(level));
        self
    }

    /// Which of the events that pass the logger's filter this sink gets, by target and level, in the grammar of
    /// [`Filter`]. Default: all of them.
    ///
    /// It can only keep more out: what is to reach any sink must pass the logger's filter
    /// ([`Builder::filter`](crate::Builder::filter)) first. What it keeps out counts as `filtered`, which is not a loss; the
    /// flush task decides, not the caller. [`Logger::set_sink_filter`](crate::Logger::set_sink_filter) replaces it while
    /// the logger runs. A wrong directive is an error of `start`.
    pub fn filter(mut self, filter: &str) -> Self {
        self.filter = filter.parse();
        self
    }

    /// How long one call of the sink may take. Default: 5 s, 1 s for the console; more than zero.
    ///
    /// Nobody knows then whether the events of a write arrived.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What happens when the sink's memory account is full. Default: [`WhenFull::DropOldest`].
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// The sink's memory account, in bytes: an event counts 128 and what it has on the heap. Default: what the sinks'
    /// half of [`Builder::memory_limit`](crate::Builder::memory_limit) leaves, divided equally.
    pub fn backlog_bytes(mut self, bytes: usize) -> Self {
        self.backlog_bytes = Some(bytes);
        self
    }

    /// When a failed write is tried again. Default: [`Retry::default`].
    pub fn retry(mut self, policy: Retry) -> Self {
        self.retry = policy;
        self
    }

    /// When a sink that keeps failing is left alone. Default: [`Breaker::default`].
    pub fn breaker(mut self, policy: Breaker) -> Self {
        self.breaker = policy;
        self
    }

    /// Told of every change of the breaker. Runs on the logger's runtime; it must not block, what it logs is suppressed.
    pub fn on_breaker(mut self, callback: impl Fn(BreakerState) + Send + Sync + 'static) -> Self {
        self.on_breaker = Some(Box::new(callback));
        self
    }

    /// The sink that takes what this one does not: while the breaker is open, when retries are exhausted, and in the last
    /// fifth of a shutdown's time. Default: none.
    ///
    /// Of a pipeline its sink, its timeout and its own fallback count, the next link of the chain; the rest is this
    /// pipeline's. A link is asked once for each batch. One that [outlives timeouts](Sink::outlives_timeout) is passed over
    /// while a write of it has not answered (that batch's memory is then in no account); its late answer settles what was
    /// unconfirmed meanwhile. If all are busy, batches wait as if there were none. Links are named `sink/1`, `sink/2` in reports.
    pub fn fallback(mut self, fallback: impl Into<Pipeline>) -> Self {
        self.fallback = Some(Box::new(fallback.into()));
        self
    }

    /// The links of the fallback chain, which are taken out of it.
    pub(crate) fn take_links(&mut self) -> Vec<Link> {
        let mut links = Vec::new();
        let mut next = self.fallback.take();
        while let Some(mut link) = next {
            next = link.fallback.take();
            links.push(Link::new(link.sink, link.timeout));
        }
        links
    }
}

impl<S: Sink> From<S> for Pipeline {
    fn from(sink: S) -> Self {
        Pipeline::new(sink)
    }
}
