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
/// A sink's own methods are wrapped already, and so are the tasks that it or its libraries spawn on the runtime of
/// [`Builder::start`](crate::Builder::start). Wrap what a sink spawns elsewhere, on the runtime of
/// [`Builder::start_on`](crate::Builder::start_on) or on one of its own: otherwise each event that it logs while it delivers
/// becomes the next event to deliver.
///
/// # Cancel safety
/// That of the future.
pub async fn suppress<F: Future>(future: F) -> F::Output {
    polled_as(true, future).await
}

/// Runs a future whose log calls are accepted, on a thread whose own are suppressed.
///
/// # Cancel safety
/// That of the future.
pub(crate) async fn accept<F: Future>(future: F) -> F::Output {
    polled_as(false, future).await
}

async fn polled_as<F: Future>(is_suppressed: bool, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _scope = SuppressGuard { before: thread_flags::set(SUPPRESSED, is_suppressed) };
        future.as_mut().poll(cx)
    })
    .await
}

/// Runs an operation of a channel under a lock. It may ask the allocator for memory; and in a build with `--cfg
/// tokio_unstable`, tokio's channels may report each operation to `tracing`. Both is foreign code, and what it logs would want
/// the same lock.
pub(crate) fn unobserved<T>(operation: impl FnOnce() -> T) -> T {
    let _scope = SuppressGuard::enter();
    #[cfg(tokio_unstable)]
    return unreported(operation);
    #[cfg(not(tokio_unstable))]
    operation()
}

/// Runs an operation whose reports reach no subscriber.
#[cfg(tokio_unstable)]
fn unreported<T>(operation: impl FnOnce() -> T) -> T {
    use std::sync::OnceLock;

    use tracing_core::Dispatch;
    use tracing_core::dispatcher::{get_current, set_default, with_default};

    /// As long as a thread has a subscriber of its own, each thread knows whether it is within a call of one. So a thread
    /// that has ended keeps one.
    static SCOPED: OnceLock<()> = OnceLock::new();

    SCOPED.get_or_init(|| {
        let thread = std::thread::spawn(|| std::mem::forget(set_default(&Dispatch::none())));
        // Without a thread, no logger starts either.
        thread.join().unwrap_or_default();
    });
    match get_current(|_| ()) {
        // Within a call of a subscriber: what is reported here reaches none.
        None => operation(),
        Some(()) => with_default(&Dispatch::none(), operation),
    }
}
