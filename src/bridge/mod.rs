//! The caller's thread: records of the `log` crate, and events and spans of `tracing`, become events of a logger.
//!
//! In: the `log` crate calls the bridge that `Logger::install_log` installs; `tracing_subscriber` calls the layer of
//! `Logger::tracing_layer`. Both are features.
//!
//! Out: an event of the `event` module for each record, with the fields of its spans as context, given to `logger`.
//!
//! Invariants:
//! * The logger's filter decides on every record, also right after it was replaced.
//! * A value keeps its type, if the facade gives one.
//! * Records of sinks and of the logger's own tasks are suppressed, as through any other way in.
//!
//! Next: `logger` takes the event into the queue.
//!
//! Another facade is a module here, with a feature of its own; events are built from its records by `event::foreign`.

#[cfg(feature = "log")]
mod log;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(feature = "log")]
#[doc(hidden)]
pub use self::log::InstallLogError;
