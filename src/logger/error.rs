//! Anywhere (pure): the errors of calls of a logger.

use std::error::Error;
use std::fmt;

#[expect(unused_imports, reason = "for the documentation")]
use super::Logger;
use crate::event::Event;
use crate::format::plain::Foreign;
use crate::stats::{DropReason, LastError};

/// The error of [`Logger::emit_wait`] for a refused event. The refusal is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EmitError {
    pub(super) reason: DropReason,
}

impl EmitError {
    /// Returns the reason it is counted under.
    pub fn reason(&self) -> DropReason {
        self.reason
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event was refused: {}", self.reason)
    }
}

/// Like `Display`.
impl fmt::Debug for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for EmitError {}

/// Why [`Logger::try_emit`] did not accept the event, which it returns.
pub enum TryEmitError {
    /// The queue has no room now, for the event or for its bytes.
    Full(Event),
    /// The logger was shut down, or one of its tasks stopped.
    Closed(Event),
}

impl TryEmitError {
    /// Returns the event that was not accepted.
    pub fn into_event(self) -> Event {
        match self {
            TryEmitError::Full(event) | TryEmitError::Closed(event) => event,
        }
    }
}

impl fmt::Display for TryEmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryEmitError::Full(_) => "the queue has no room for the event",
            TryEmitError::Closed(_) => "the logger takes no more events",
        })
    }
}

/// Like `Display`, without the event: its values may be secrets.
impl fmt::Debug for TryEmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for TryEmitError {}

/// The error of a blocking call on a thread of a tokio runtime. The call did nothing; await its `async` twin instead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InsideRuntimeError(pub(super) ());

impl fmt::Display for InsideRuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this call blocks, and the thread belongs to a tokio runtime; await the async twin instead")
    }
}

/// Like `Display`.
impl fmt::Debug for InsideRuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for InsideRuntimeError {}

/// The sinks that did not reopen; see [`Logger::reopen`].
#[derive(Clone)]
pub struct ReopenError {
    pub(super) failed: Vec<(String, Option<LastError>)>,
}

impl ReopenError {
    /// Returns the sinks by name, each with its error; a sink without one did not finish in time.
    pub fn failed(&self) -> impl Iterator<Item = (&str, Option<&LastError>)> {
        self.failed.iter().map(|(name, error)| (name.as_str(), error.as_ref()))
    }
}

impl fmt::Display for ReopenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not reopened: ")?;
        self.failed.iter().enumerate().try_for_each(|(index, (name, error))| {
            let separator = if index > 0 { "; " } else { "" };
            let message = error.as_ref().map_or("did not finish in time", |error| &error.message);
            write!(f, "{separator}sink `{}`: {}", Foreign(name), Foreign(message))
        })
    }
}

/// Like `Display`.
impl fmt::Debug for ReopenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ReopenError {}
