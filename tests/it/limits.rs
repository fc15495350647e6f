//! The ends of every range: time from zero to all there is, memory whatever fills it, and what an ended logger leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod durations;
#[cfg(target_os = "linux")]
mod leftovers;
#[cfg(target_os = "linux")]
mod resident;
