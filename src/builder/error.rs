//! The caller's thread, once: why a logger did not start.

use std::error::Error;
use std::fmt;
use std::io;
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
use std::panic::Location;

use crate::filter::ParseFilterError;
use crate::format::plain::{Foreign, write_debug};

/// The error of `start`. Nothing was started; opened sinks are dropped.
///
/// `Display` has its own words, [`source`](Error::source) the cause, and `Debug` all of them on one line, as `?` out of
/// `main` prints it:
///
/// ```text
/// Error: cannot start logger: sink `file`: cannot open log file `/var/log/app.log`: Permission denied (os error 13)
/// ```
pub struct BuildError(pub(super) BuildErrorKind);

pub(super) enum BuildErrorKind {
    Knob {
        name: &'static str,
        value: String,
        allowed: String,
    },
    Filter(ParseFilterError),
    SinkFilter {
        name: String,
        source: ParseFilterError,
    },
    Sink {
        name: String,
        /// The cause: how the sink classifies it matters only while the logger runs.
        source: Box<dyn Error + Send + Sync>,
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
    /// The system has no random bits.
    Random(io::Error),
}

impl BuildError {
    /// Returns the invalid option, by the name of the builder's method; `None` for an error of the environment.
    pub fn option(&self) -> Option<&str> {
        match &self.0 {
            BuildErrorKind::Knob { name, .. } => Some(name),
            BuildErrorKind::Filter(_) | BuildErrorKind::SinkFilter { .. } => Some("filter"),
            BuildErrorKind::Sink { .. } => Some("sink"),
            BuildErrorKind::NameTaken { .. } => Some("name"),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { .. } => Some("prometheus"),
            BuildErrorKind::Runtime(_) => Some("start_on"),
            BuildErrorKind::Thread(_) | BuildErrorKind::Random(_) => None,
        }
    }
}

/// For `config`, which knows where the value was written.
#[cfg(feature = "config")]
impl BuildError {
    /// The option, its value and the valid values.
    pub(crate) fn parts(&self) -> Option<(&'static str, &str, &str)> {
        match &self.0 {
            BuildErrorKind::Knob { name, value, allowed } => Some((name, value, allowed)),
            _ => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start logger: ")?;
        match &self.0 {
            BuildErrorKind::Knob { name, value, allowed } => {
                write!(f, "`{name}` is {}; allowed is {}", Foreign(value), Foreign(allowed))
            }
            BuildErrorKind::Filter(_) => f.write_str("`filter` is invalid"),
            BuildErrorKind::SinkFilter { name, .. } => write!(f, "`filter` of sink `{}` is invalid", Foreign(name)),
            BuildErrorKind::Sink { name, .. } => write!(f, "sink `{}`", Foreign(name)),
            BuildErrorKind::NameTaken { name, here, there } => write!(
                f,
                "`name` is `{}`; allowed is a name that no running logger on the same recorder has: the logger started \
                 at {here} would share its metrics with the logger `{}` started at {there}",
                Foreign(name),
                Foreign(name)
            ),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { addr, .. } => write!(f, "`prometheus` cannot listen on {addr}"),
            BuildErrorKind::Runtime(what) => write!(f, "the runtime of `start_on` has no {what}"),
            BuildErrorKind::Thread(_) => f.write_str("the system provides no thread"),
            BuildErrorKind::Random(_) => f.write_str("the system provides no random bits"),
        }
    }
}

/// Like `Display`, with the sources.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_debug(self, f)
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            BuildErrorKind::Filter(error) | BuildErrorKind::SinkFilter { source: error, .. } => Some(error),
            BuildErrorKind::Sink { source, .. } => Some(&**source),
            #[cfg(feature = "prometheus")]
            BuildErrorKind::Listen { source, .. } => Some(source),
            BuildErrorKind::Thread(source) | BuildErrorKind::Random(source) => Some(source),
            BuildErrorKind::Knob { .. } | BuildErrorKind::NameTaken { .. } | BuildErrorKind::Runtime(_) => None,
        }
    }
}

/// Creates the error for an option with an invalid value.
pub(super) fn option(name: &'static str, value: impl ToString, allowed: impl Into<String>) -> BuildError {
    BuildError(BuildErrorKind::Knob { name, value: value.to_string(), allowed: allowed.into() })
}
