//! The way in: what is emitted arrives once and in order, or is counted under the reason it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod counters;
mod dispatch;
mod filter;
mod order;
mod overflow;
mod waiting;

/// A runtime that nobody drives until the test does: the flush task stands still.
fn stopped_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
