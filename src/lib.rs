//! logweir
#![forbid(unsafe_code)]

mod event;
pub mod format;
pub mod sink;

pub use async_trait::async_trait;
pub use event::{
    Batch, ErrorChain, Event, Fields, Level, LevelFilter, Message, ParseLevelError, Record, ToValue, Value, err,
};
pub use format::Format;
pub use sink::{ErrorKind, Sink, SinkError};

/// Why `start()` refused.
#[derive(Debug)]
pub struct BuildError;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{Callsite, Hole, Piece, Template, count, field_name, parse};
}
