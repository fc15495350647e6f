//! One pipeline per sink, a task each: a bounded backlog, then the sink. A sink's trouble ends here.

mod backlog;
mod delivery;
mod ledger;
mod station;

use std::time::Duration;

pub use backlog::Backlog;
pub(crate) use delivery::deliver;
pub(crate) use station::{Barrier, Bells, Station, StationConfig, weigh};

use crate::event::{Level, LevelFilter};
use crate::sink::Sink;

/// A sink and how events are delivered to it.
///
/// A bare sink given to [`Builder::sink`](crate::Builder::sink) gets the default pipeline: every level, a timeout of 5 s
/// (1 s for the console), [`Backlog::DropOldest`], an equal share of the sinks' memory.
#[must_use = "a pipeline does nothing until a builder has it"]
pub struct Pipeline {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) level: LevelFilter,
    pub(crate) timeout: Duration,
    pub(crate) when_full: Backlog,
    pub(crate) backlog_bytes: Option<usize>,
}

impl Pipeline {
    /// The default pipeline to this sink.
    pub fn to(sink: impl Sink) -> Self {
        Pipeline {
            timeout: sink.default_timeout(),
            sink: Box::new(sink),
            level: LevelFilter::Trace,
            when_full: Backlog::default(),
            backlog_bytes: None,
        }
    }

    /// The least important level this sink gets. Default: every level that passes the logger's filter.
    ///
    /// What it keeps out counts as `filtered`, which is not a loss.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level.into();
        self
    }

    /// How long one call of the sink may take. Default: 5 s, 1 s for the console; more than zero.
    ///
    /// A write that takes longer ends `unconfirmed`: nobody knows whether the events arrived. A sink that
    /// [outlives timeouts](Sink::outlives_timeout) gets no second call before it has answered the first, and its late
    /// answer settles the events after all.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What happens when the sink's memory account is full. Default: [`Backlog::DropOldest`].
    pub fn when_full(mut self, policy: Backlog) -> Self {
        self.when_full = policy;
        self
    }

    /// The sink's memory account, in bytes: an event counts 128 and what it has on the heap. Default: what the sinks'
    /// half of [`Builder::memory`](crate::Builder::memory) leaves, divided equally.
    pub fn backlog(mut self, bytes: usize) -> Self {
        self.backlog_bytes = Some(bytes);
        self
    }
}

impl<S: Sink> From<S> for Pipeline {
    fn from(sink: S) -> Self {
        Pipeline::to(sink)
    }
}
