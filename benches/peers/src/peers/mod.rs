//! Who is measured: one file each, one trait for all.

mod control;
mod emit;
mod fast_log;
mod flexi_logger;
mod ftlog;
mod logforth;
mod logweir;
mod slog;
mod spdlog;
mod ticklog;
mod tracing;

use std::path::PathBuf;

use serde::Serialize;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The event that everybody logs, with the message [`MESSAGE`].
pub struct Request<'a> {
    pub user_id: u64,
    pub path: &'a str,
    pub status: u64,
    pub elapsed_ms: f64,
}

/// How a peer is started.
pub struct Setup {
    /// The file, or the named pipe, that the lines go to.
    pub path: PathBuf,
    /// How many events the queue is to hold in all, where that can be set.
    pub capacity: usize,
    /// Nothing is to be kept beyond that, as nearly as it can be set.
    pub no_more: bool,
}

/// A logger under measurement.
///
/// The timed loops are generic over it: nobody pays for a virtual call.
pub trait Peer: Sync + Sized {
    const ABOUT: About;

    fn start(setup: &Setup) -> Result<Self, Error>;

    /// The call that is timed: the peer's own macro, with the fields as its users would write them.
    fn log(&self, request: &Request<'_>);

    /// Whatever the peer's documentation says to do before the process ends.
    fn shutdown(self) -> Result<(), Error>;
}

/// What has to be known of a peer to read its figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct About {
    pub name: &'static str,
    /// The crates measured; their versions are those of the lock file.
    pub crates: &'static [&'static str],
    pub format: Format,
    /// One sentence: how it is configured, and why so.
    pub setting: &'static str,
    pub queue: Queue,
    /// Whether it can write to a named pipe, by which a stalled sink is played.
    pub pipe: bool,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields keep their names and types.
    Json,
    /// Fields keep their names.
    Text,
    /// Fields are part of the message.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    /// As many events as it is told.
    Set,
    Unbounded,
    /// Too small for 100,000 events, and not to be changed.
    Fixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// logweir in the setting that the peers have.
    Ours,
    /// logweir as it comes, which drops the oldest when it is full. Shown where that says something.
    OursByDefault,
    /// logweir behind call sites of `tracing`. Shown where a call is timed.
    OursThroughTracing,
    Peer,
    /// Does less than the others (no fields) in another way: how fast it could be, not whom to compare with.
    Bound,
    /// Logs nothing: what is measured besides the loggers. Shown where a call is timed.
    Control,
}

impl About {
    pub fn is_ours(&self) -> bool {
        matches!(self.role, Role::Ours | Role::OursByDefault | Role::OursThroughTracing)
    }
}

/// Something to do with a peer that is known by its name only.
pub trait Visitor {
    type Answer;

    fn visit<P: Peer>(self) -> Self::Answer;
}

macro_rules! peers {
    ($($peer:ty),+ $(,)?) => {
        /// In the order of the tables.
        pub const ALL: &[About] = &[$(<$peer>::ABOUT),+];

        /// `None` if nobody has this name.
        pub fn visit<V: Visitor>(name: &str, visitor: V) -> Option<V::Answer> {
            $(
                if name == <$peer>::ABOUT.name {
                    return Some(visitor.visit::<$peer>());
                }
            )+
            None
        }
    };
}

peers![
    logweir::Lossless,
    logweir::AsItComes,
    logweir::ThroughTracing,
    tracing::Json,
    tracing::Text,
    slog::SlogAsync,
    emit::EmitFile,
    spdlog::AsyncPool,
    logforth::Async,
    flexi_logger::Async,
    fast_log::FastLog,
    ftlog::FtLog,
    ticklog::TickLog,
    control::Nothing,
];
