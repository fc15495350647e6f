//! The caller's thread, once: why a logger did not start.

use std::error::Error;
use std::fmt;
use std::io;
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
use std::panic::Location;

use crate::filter::{EnvFilterError, ParseFilterError};
use crate::sink::SinkError;

/// Why `start` refused. Nothing was started; sinks that were opened are dropped.
#[derive(Debug)]
pub struct BuildError(pub(super) BuildErrorKind);

#[derive(Debug)]
pub(super) enum BuildErrorKind {
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
    /// A running logger has the name on the same recorder.
    NameTaken {
        name: String,
        here: &'static Location<'static>,
        there: &'static Location<'static>,
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
    pub fn option(&self) -> Option<&str> {
        match &self.0 {
            BuildErrorKind::Knob { name, .. } => Some(name),
            BuildErrorKind::Filter(_) | BuildErrorKind::SinkFilter { .. } => Some("filter"),
            BuildErrorKind::FilterFromEnv(_) => Some("filter_from_env"),
            BuildErrorKind::Sink { .. } => Some("sink"),
            BuildErrorKind::NameTaken { .. } => Some("name"),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { .. } => Some("prometheus"),
            BuildErrorKind::Runtime(_) => Some("start_on"),
            BuildErrorKind::Thread(_) => None,
        }
    }
}

/// For a configuration, which knows where the value was written.
#[cfg(feature = "config")]
impl BuildError {
    /// The knob, its value and what is allowed.
    pub(crate) fn parts(&self) -> Option<(&'static str, &str, &str)> {
        match &self.0 {
            BuildErrorKind::Knob { name, value, allowed } => Some((name, value, allowed)),
            _ => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            BuildErrorKind::Knob { name, value, allowed } => write!(f, "`{name}` is {value}; allowed is {allowed}"),
            BuildErrorKind::Filter(error) => write!(f, "`filter`: {error}"),
            BuildErrorKind::FilterFromEnv(error) => write!(f, "`filter_from_env`: {error}"),
            BuildErrorKind::SinkFilter { name, source } => write!(f, "`filter` of sink `{name}`: {source}"),
            BuildErrorKind::Sink { name, source } => {
                write!(f, "sink `{name}` cannot be opened")?;
                // What is wrong with a sink (its path, say) is in the error's source, which not every caller prints.
                source
                    .source()
                    .map_or(Ok(()), |cause| write!(f, ": {}", crate::observe::diagnostics::DisplayChain(cause)))
            }
            BuildErrorKind::NameTaken { name, here, there } => write!(
                f,
                "`name` is `{name}`; allowed is a name that no running logger on the same recorder has: the logger started \
                 at {here} would share its metrics with the logger `{name}` started at {there}"
            ),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { addr, source } => write!(f, "`prometheus`: cannot listen on {addr}: {source}"),
            BuildErrorKind::Runtime(what) => write!(f, "`start_on`: the runtime has no {what}"),
            BuildErrorKind::Thread(source) => write!(f, "the system gave the logger no thread: {source}"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            BuildErrorKind::Filter(error) | BuildErrorKind::SinkFilter { source: error, .. } => Some(error),
            BuildErrorKind::FilterFromEnv(error) => Some(error),
            BuildErrorKind::Sink { source, .. } => Some(source),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { source, .. } => Some(source),
            BuildErrorKind::Thread(source) => Some(source),
            BuildErrorKind::Knob { .. } | BuildErrorKind::NameTaken { .. } | BuildErrorKind::Runtime(_) => None,
        }
    }
}

/// Why there is no filter.
#[derive(Clone)]
pub(super) enum FilterError {
    Text(ParseFilterError),
    Environment(EnvFilterError),
}

impl From<FilterError> for BuildErrorKind {
    fn from(why: FilterError) -> Self {
        match why {
            FilterError::Text(error) => BuildErrorKind::Filter(error),
            FilterError::Environment(error) => BuildErrorKind::FilterFromEnv(error),
        }
    }
}

/// The error for a knob whose value is not allowed.
pub(super) fn option(name: &'static str, value: impl ToString, allowed: impl Into<String>) -> BuildError {
    BuildError(BuildErrorKind::Knob { name, value: value.to_string(), allowed: allowed.into() })
}
