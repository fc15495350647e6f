//! Any thread: reads the wall clock for events.

/// Returns nanoseconds since the Unix epoch.
///
/// Every log call runs this. To convert a `SystemTime` to a number takes two thirds of the time of reading the clock,
/// so on Unix the numbers come from the system directly. (On 64-bit ones: others may keep seconds that end in 2038.)
#[cfg(all(unix, target_pointer_width = "64", not(target_os = "redox")))]
#[inline]
pub(crate) fn now_nanos() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    // Every system has this clock, and the address is valid: the call does not fail. A clock set before 1970 reads
    // 1970; in 2554 it starts again at zero, which saves two branches until then.
    clock_gettime(ClockId::CLOCK_REALTIME)
        .map_or(0, |now| (now.tv_sec().max(0) as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec() as u64))
}

/// Returns nanoseconds since the Unix epoch.
#[cfg(not(all(unix, target_pointer_width = "64", not(target_os = "redox"))))]
#[inline]
pub(crate) fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_000_000).wrapping_add(since.subsec_nanos().into())
}
