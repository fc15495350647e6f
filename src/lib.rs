//! logweir
#![forbid(unsafe_code)]

mod builder;
mod clock;
mod deadline;
mod diagnostics;
mod event;
mod filter;
pub mod format;
mod logger;
mod macros;
mod metrics;
mod pipeline;
#[cfg(feature = "prometheus")]
mod prometheus;
mod queue;
mod shared;
mod shutdown;
pub mod sink;
mod stats;
mod suppress;
mod worker;

pub use async_trait::async_trait;
pub use builder::{BuildError, Builder};
pub use diagnostics::Diagnostic;
pub use event::{
    Batch, ErrorChain, Event, Fields, Level, LevelFilter, Message, ParseLevelError, Record, ToValue, Value, err,
};
pub use filter::{Filter, ParseFilterError};
pub use format::Format;
pub use logger::{EmitError, InsideRuntime, Logger, ReopenError, ShutdownGuard};
pub use pipeline::{Backlog, Pipeline};
pub use queue::{Overflow, TryEmitError};
pub use shutdown::Health;
pub use sink::{Blocking, ErrorKind, Sink, SinkError};
pub use stats::{DropReason, Drops, FlushReport, Imbalance, LastError, ShutdownReport, SinkFlush, SinkReport, Stats};
pub use suppress::suppress;

/// What the macros expand to; not for use by hand, and free to change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{Callsite, Hole, Piece, Template, count, dotted, dotted_len, field_name, parse, text};
    pub use crate::logger::global;
    #[cfg(not(feature = "serde"))]
    pub use crate::macros::FeatureSerde;
    pub use crate::macros::{debug, display, json, value};
}
