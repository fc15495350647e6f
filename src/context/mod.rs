//! The caller's thread: what the place of a call adds to its events.

pub(crate) mod correlation_id;
pub(crate) mod scope;
pub(crate) mod suppress;
pub(crate) mod thread_flags;
