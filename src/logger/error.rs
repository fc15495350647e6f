//! What a call of a logger can fail for.

use std::error::Error;
use std::fmt;

#[expect(unused_imports, reason = "for the documentation")]
use super::Logger;
use crate::stats::{DropReason, LastError};

/// Why [`Logger::emit_wait`] did not take the event. The refusal is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitError {
    pub(super) reason: DropReason,
}

impl EmitError {
    /// The reason it is counted under.
    pub fn reason(&self) -> DropReason {
        self.reason
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event was refused: {}", self.reason)
    }
}

impl Error for EmitError {}

/// A blocking call was made on a thread of a tokio runtime. Nothing was done; await the `async` twin instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsideRuntimeError(pub(super) ());

impl fmt::Display for InsideRuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this call blocks, and the thread belongs to a tokio runtime; await the async twin instead")
    }
}

impl Error for InsideRuntimeError {}

/// Which sinks did not reopen; see [`Logger::reopen`].
#[derive(Clone, Debug)]
pub struct ReopenError {
    pub(super) failed: Vec<(String, Option<LastError>)>,
}

impl ReopenError {
    /// The sinks by name, each with its error; without one it did not answer in time.
    pub fn failed(&self) -> impl Iterator<Item = (&str, Option<&LastError>)> {
        self.failed.iter().map(|(name, error)| (name.as_str(), error.as_ref()))
    }
}

impl fmt::Display for ReopenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not reopened:")?;
        self.failed.iter().try_for_each(|(name, error)| match error {
            Some(error) => write!(f, " sink `{name}`: {};", error.message),
            None => write!(f, " sink `{name}`: no answer in time;"),
        })
    }
}

impl Error for ReopenError {}
