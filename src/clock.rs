//! Anywhere: the one place the wall clock is read.

use std::time::SystemTime;

/// Nanoseconds since the Unix epoch.
#[inline]
pub(crate) fn now_nanos() -> u64 {
    crate::event::nanos(SystemTime::now())
}
