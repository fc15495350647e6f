//! The caller's thread: what is logged through other people's types becomes events of ours.

#[cfg(feature = "log")]
mod log;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(feature = "log")]
#[doc(hidden)]
pub use self::log::InstallLogError;
