//! The caller's thread: what is logged through other people's types comes in here.

#[cfg(feature = "tracing")]
pub mod tracing;
