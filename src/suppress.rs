//! Anywhere: keeps what our own tasks and threads log from re-entering the queue (promise 11).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

/// Whether events emitted by this thread now are suppressed.
#[inline]
pub(crate) fn is_active() -> bool {
    ACTIVE.get()
}

/// Suppresses what this thread logs for the rest of its life.
pub(crate) fn mark_thread() {
    ACTIVE.set(true);
}

/// Suppresses what this thread logs until the scope ends.
pub(crate) struct Scope {
    before: bool,
}

impl Scope {
    pub(crate) fn enter() -> Self {
        Scope { before: ACTIVE.replace(true) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        ACTIVE.set(self.before);
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
        let _scope = Scope::enter();
        future.as_mut().poll(cx)
    })
    .await
}
