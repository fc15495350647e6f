//! Other people's types, on the caller's side: what they log becomes events of ours.

#[cfg(feature = "log")]
mod log;

#[cfg(feature = "log")]
pub use self::log::InstallLogError;
