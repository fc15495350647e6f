//! The caller's thread, once: why a logger did not start.

use std::error::Error;
use std::fmt;
use std::io;
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;

use crate::filter::{EnvFilterError, ParseFilterError};
use crate::sink::SinkError;

/// Why `start` refused. Nothing was started; sinks that were opened are dropped.
#[derive(Debug)]
pub struct BuildError(pub(super) Problem);

#[derive(Debug)]
pub(super) enum Problem {
    Knob {
        name: &'static str,
        value: String,
        allowed: String,
    },
    Filter(ParseFilterError),
    FilterFromEnv(EnvFilterError),
    SinkFilter {
        name: String,
        source: ParseFilterError,
    },
    Sink {
        name: String,
        source: SinkError,
    },
    #[cfg(feature = "prometheus")]
    Listen {
        addr: SocketAddr,
        source: io::Error,
    },
    Runtime(&'static str),
    Thread(io::Error),
}

impl BuildError {
    /// The knob that is wrong, as the builder's method is named; none if it is the environment that refused.
    pub fn knob(&self) -> Option<&str> {
        match &self.0 {
            Problem::Knob { name, .. } => Some(name),
            Problem::Filter(_) | Problem::SinkFilter { .. } => Some("filter"),
            Problem::FilterFromEnv(_) => Some("filter_from_env"),
            Problem::Sink { .. } => Some("sink"),
            #[cfg(feature = "prometheus")]
            Problem::Listen { .. } => Some("prometheus"),
            Problem::Runtime(_) => Some("start_on"),
            Problem::Thread(_) => None,
        }
    }
}

/// For a configuration, which knows where the value was written.
#[cfg(feature = "config")]
impl BuildError {
    /// The knob, its value and what is allowed.
    pub(crate) fn parts(&self) -> Option<(&'static str, &str, &str)> {
        match &self.0 {
            Problem::Knob { name, value, allowed } => Some((name, value, allowed)),
            _ => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::Knob { name, value, allowed } => write!(f, "`{name}` is {value}; allowed is {allowed}"),
            Problem::Filter(error) => write!(f, "`filter`: {error}"),
            Problem::FilterFromEnv(error) => write!(f, "`filter_from_env`: {error}"),
            Problem::SinkFilter { name, source } => write!(f, "`filter` of sink `{name}`: {source}"),
            Problem::Sink { name, source } => {
                write!(f, "sink `{name}` cannot be opened")?;
                // What is wrong with a sink (its path, say) is in the error's source, which not every caller prints.
                source.source().map_or(Ok(()), |cause| write!(f, ": {}", crate::observe::diagnostics::Chain(cause)))
            }
            #[cfg(feature = "prometheus")]
            Problem::Listen { addr, source } => write!(f, "`prometheus`: cannot listen on {addr}: {source}"),
            Problem::Runtime(what) => write!(f, "`start_on`: the runtime has no {what}"),
            Problem::Thread(source) => write!(f, "the system gave the logger no thread: {source}"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Problem::Filter(error) | Problem::SinkFilter { source: error, .. } => Some(error),
            Problem::FilterFromEnv(error) => Some(error),
            Problem::Sink { source, .. } => Some(source),
            #[cfg(feature = "prometheus")]
            Problem::Listen { source, .. } => Some(source),
            Problem::Thread(source) => Some(source),
            Problem::Knob { .. } | Problem::Runtime(_) => None,
        }
    }
}

/// Why there is no filter.
#[derive(Clone)]
pub(super) enum NoFilter {
    Text(ParseFilterError),
    Environment(EnvFilterError),
}

impl From<NoFilter> for Problem {
    fn from(why: NoFilter) -> Self {
        match why {
            NoFilter::Text(error) => Problem::Filter(error),
            NoFilter::Environment(error) => Problem::FilterFromEnv(error),
        }
    }
}

/// The error for a knob whose value is not allowed.
pub(super) fn knob(name: &'static str, value: impl ToString, allowed: impl Into<String>) -> BuildError {
    BuildError(Problem::Knob { name, value: value.to_string(), allowed: allowed.into() })
}
