//! Any thread: what a logger lets pass, replaced while it runs.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Logger;
#[cfg(feature = "log")]
use crate::event::LevelFilter;
use crate::filter::{Filter, ParseFilterError};

impl Logger {
    /// The filter in force.
    pub fn filter(&self) -> Filter {
        Filter::clone(&self.core.filter.current())
    }

    /// Replaces the filter, for every handle, from the next call on. The grammar is [`Filter`]'s.
    ///
    /// Each call on another thread is decided by the old filter or the new one, never by a mixture. It ends what
    /// [`Logger::set_temporary_filter`] began.
    ///
    /// # Errors
    /// Names the directive that is wrong and its column; the old filter stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), ParseFilterError> {
        filter.parse::<Filter>().map(|filter| self.core.filter.set(filter))
    }

    /// Replaces the filter for a time: `debug` for ten minutes, say, and nobody has to remember to turn it off.
    ///
    /// When the time is over, the filter that was last set for good is in force again: the builder's or
    /// [`Logger::set_filter`]'s. Of several calls the latest counts, with its filter and its time; they do not pile up.
    /// A `set_filter` meanwhile counts at once and for good.
    ///
    /// The flush task keeps the time, by the clock of the runtime that the logger runs on, from when it learns of it,
    /// which is at once unless something blocks that runtime. [`Duration::MAX`] has no end. Once the logger has ended
    /// nothing comes back.
    ///
    /// # Errors
    /// As [`Logger::set_filter`].
    pub fn set_temporary_filter(&self, filter: &str, time: Duration) -> Result<(), ParseFilterError> {
        let filter = filter.parse()?;
        self.core.filter.set_for(filter, time);
        self.core.queue.signal().nudge();
        Ok(())
    }

    /// Replaces the filter of one sink, see [`Pipeline::filter`](crate::Pipeline::filter), for every event that is not
    /// handed out to the sinks yet: those in the queue are chosen by the new one.
    ///
    /// # Errors
    /// There is no sink of this name, or a directive is wrong; the old filter stays.
    pub fn set_sink_filter(&self, sink: &str, filter: &str) -> Result<(), SinkFilterError> {
        let fail = |problem| SinkFilterError { sink: sink.to_owned(), problem };
        let handle = self.core.sinks.iter().find(|handle| handle.name() == sink);
        let handle = handle.ok_or_else(|| {
            fail(SinkFilterErrorKind::Unknown(self.core.sinks.iter().map(|known| known.name().to_owned()).collect()))
        })?;
        handle.set_filter(filter.parse().map_err(|error| fail(SinkFilterErrorKind::Directive(error)))?);
        Ok(())
    }

    /// Has `call` called after each replacement of the filter. It must not log or block.
    #[cfg(feature = "tracing")]
    pub(crate) fn on_filter_change(&self, call: fn()) {
        self.core.filter.on_change(call);
    }

    /// Tells `follower` the lowest threshold of the filter, now and of each new one. It must not log or block.
    #[cfg(feature = "log")]
    pub(crate) fn follow_filter(&self, follower: fn(LevelFilter)) {
        self.core.filter.follow(follower);
    }
}

/// Why [`Logger::set_sink_filter`] has set nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFilterError {
    sink: String,
    problem: SinkFilterErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SinkFilterErrorKind {
    /// The names there are.
    Unknown(Vec<String>),
    Directive(ParseFilterError),
}

impl SinkFilterError {
    /// The name that was given.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// What is wrong with the filter; none if there is no sink of this name.
    pub fn parse_error(&self) -> Option<&ParseFilterError> {
        match &self.problem {
            SinkFilterErrorKind::Directive(error) => Some(error),
            SinkFilterErrorKind::Unknown(_) => None,
        }
    }
}

impl fmt::Display for SinkFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            SinkFilterErrorKind::Unknown(names) => {
                write!(f, "there is no sink `{}`; the logger has `{}`", self.sink, names.join("`, `"))
            }
            SinkFilterErrorKind::Directive(error) => write!(f, "sink `{}`: {error}", self.sink),
        }
    }
}

impl Error for SinkFilterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            SinkFilterErrorKind::Directive(error) => Some(error),
            SinkFilterErrorKind::Unknown(_) => None,
        }
    }
}
