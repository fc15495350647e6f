//! Anywhere: the one place the wall clock is read.

/// Nanoseconds since the Unix epoch.
///
/// On every call's way. To make a number of a `SystemTime` takes two thirds of what reading the clock does, so on Unix
/// the system is asked for the numbers. (On 64-bit ones: others may keep seconds that end in 2038.)
#[cfg(all(unix, target_pointer_width = "64", not(target_os = "redox")))]
#[inline]
pub(crate) fn now_nanos() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    // The clock is there on every system, and the address is ours: what can fail does not. A clock set before 1970 reads
    // 1970; in 2554 it begins anew, which spares two branches until then.
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| (now.tv_sec().max(0) as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec() as u64))
}

/// Nanoseconds since the Unix epoch.
#[cfg(not(all(unix, target_pointer_width = "64", not(target_os = "redox"))))]
#[inline]
pub(crate) fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(since.subsec_nanos().into())
}
