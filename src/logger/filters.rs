//! Any thread: the filters of a logger, replaced while it runs.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Logger;
#[cfg(feature = "log")]
use crate::event::LevelFilter;
use crate::filter::{Filter, ParseFilterError};
use crate::format::plain::{Foreign, write_debug};

impl Logger {
    /// Returns the current filter.
    pub fn filter(&self) -> Filter {
        Filter::clone(&self.core.filter.current())
    }

    /// Replaces the filter, for every handle, from the next call on: by text in the grammar of [`Filter`], a `Filter`,
    /// a [`Level`](crate::Level) or a [`LevelFilter`](crate::LevelFilter).
    ///
    /// Each call on another thread uses either the old filter or the new one, never a mixture. This ends a
    /// [`Logger::set_temporary_filter`].
    ///
    /// # Errors
    /// Returns an error with the invalid directive and its column; the old filter stays.
    pub fn set_filter<F>(&self, filter: F) -> Result<(), ParseFilterError>
    where
        F: TryInto<Filter>,
        F::Error: Into<ParseFilterError>,
    {
        filter.try_into().map(|filter| self.core.filter.set(filter)).map_err(Into::into)
    }

    /// Replaces the filter for a time: `debug` for ten minutes, say, which then ends by itself.
    ///
    /// When the time is over, the last permanent filter applies again: the builder's or [`Logger::set_filter`]'s. The
    /// last call to `set_temporary_filter` wins, with its filter and its time; calls do not accumulate. A `set_filter`
    /// meanwhile takes effect at once and permanently.
    ///
    /// The flush task measures the time, by the clock of the logger's runtime. It starts when the flush task receives
    /// the request, which is at once unless the runtime is blocked. [`Duration::MAX`] has no end. Once the logger has
    /// stopped, the filter is not restored.
    ///
    /// # Errors
    /// Like [`Logger::set_filter`].
    pub fn set_temporary_filter<F>(&self, filter: F, time: Duration) -> Result<(), ParseFilterError>
    where
        F: TryInto<Filter>,
        F::Error: Into<ParseFilterError>,
    {
        let filter = filter.try_into().map_err(Into::into)?;
        self.core.filter.set_for(filter, time);
        self.core.queue.signal().nudge();
        Ok(())
    }

    /// Replaces the filter of one sink, see [`Pipeline::filter`](crate::Pipeline::filter), for every event not
    /// dispatched yet: the new filter also applies to events in the queue.
    ///
    /// # Errors
    /// Returns an error if there is no sink of this name, or if a directive is invalid; the old filter stays.
    pub fn set_sink_filter<F>(&self, sink: &str, filter: F) -> Result<(), SinkFilterError>
    where
        F: TryInto<Filter>,
        F::Error: Into<ParseFilterError>,
    {
        let fail = |problem| SinkFilterError { sink: sink.to_owned(), problem };
        let handle = self.core.sinks.iter().find(|handle| handle.name() == sink);
        let handle = handle.ok_or_else(|| {
            fail(SinkFilterErrorKind::Unknown(self.core.sinks.iter().map(|known| known.name().to_owned()).collect()))
        })?;
        handle.set_filter(filter.try_into().map_err(|error| fail(SinkFilterErrorKind::Directive(error.into())))?);
        Ok(())
    }

    /// Has `call` called after each replacement of the filter. It must not log or block.
    #[cfg(feature = "tracing")]
    pub(crate) fn on_filter_change(&self, call: fn()) {
        self.core.filter.on_change(call);
    }

    /// Calls `follower` with the lowest threshold of the filter, now and after each replacement. It must not log or
    /// block.
    #[cfg(feature = "log")]
    pub(crate) fn follow_filter(&self, follower: fn(LevelFilter)) {
        self.core.filter.follow(follower);
    }
}

/// The error of [`Logger::set_sink_filter`], which then changed nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkFilterError {
    sink: String,
    problem: SinkFilterErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SinkFilterErrorKind {
    /// The existing names.
    Unknown(Vec<String>),
    Directive(ParseFilterError),
}

impl SinkFilterError {
    /// Returns the name in the call.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// Returns the error in the filter; `None` if there is no sink of this name.
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
                let names = Foreign(names.join("`, `"));
                write!(f, "there is no sink `{}`; the logger has `{names}`", Foreign(&self.sink))
            }
            SinkFilterErrorKind::Directive(_) => write!(f, "the filter of sink `{}` is invalid", Foreign(&self.sink)),
        }
    }
}

/// Like `Display`, with the sources.
impl fmt::Debug for SinkFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_debug(self, f)
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
