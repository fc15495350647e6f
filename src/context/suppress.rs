//! Any thread: keeps events of the logger's own tasks and threads from re-entering the queue.

use std::future::{Future, poll_fn};
use std::pin::pin;

use crate::context::thread_flags::{self, SUPPRESSED};

/// Returns whether events emitted by this thread now are suppressed.
#[inline]
pub(crate) fn is_active() -> bool {
    thread_flags::is(SUPPRESSED)
}

/// Suppresses the events of this thread for the rest of its life.
pub(crate) fn mark_thread() {
    thread_flags::set(SUPPRESSED, true);
}

/// Suppresses the events of this thread until it is dropped.
pub(crate) struct SuppressGuard {
    before: bool,
}

impl SuppressGuard {
    pub(crate) fn enter() -> Self {
        SuppressGuard { before: thread_flags::set(SUPPRESSED, true) }
    }
}

impl Drop for SuppressGuard {
    fn drop(&mut self) {
        thread_flags::set(SUPPRESSED, self.before);
    }
}

/// Runs a future whose log calls are counted as suppressed instead of queued.
///
/// A sink's own methods are wrapped already. Wrap the tasks that a sink spawns (for a connection, for example):
/// otherwise each event that one logs while it delivers becomes the next event to deliver.
///
/// # Cancel safety
/// That of the future.
pub async fn suppress<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _scope = SuppressGuard::enter();
        future.as_mut().poll(cx)
    })
    .await
}
