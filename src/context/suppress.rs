//! Anywhere: keeps what our own tasks and threads log from re-entering the queue (promise 11).

use std::future::{Future, poll_fn};
use std::pin::pin;

use crate::context::thread_flags::{self, SUPPRESSED};

/// Whether events emitted by this thread now are suppressed.
#[inline]
pub(crate) fn is_active() -> bool {
    thread_flags::is(SUPPRESSED)
}

/// Suppresses what this thread logs for the rest of its life.
pub(crate) fn mark_thread() {
    thread_flags::set(SUPPRESSED, true);
}

/// Suppresses what this thread logs until the scope ends.
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
/// A sink's own methods are wrapped already. Wrap what a sink spawns elsewhere (a connection task, say): otherwise each
/// event it logs while it delivers becomes the next event to deliver.
///
/// # Cancel safety
/// As the future's own.
pub async fn suppress<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _scope = SuppressGuard::enter();
        future.as_mut().poll(cx)
    })
    .await
}
