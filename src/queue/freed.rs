//! Any thread: notifies callers that wait outside the channel's line of waiters that something was freed.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Notify;

/// Callers that wait for room or bytes. While none waits, freeing costs a fence and a load.
#[derive(Debug, Default)]
pub(super) struct Freed {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Freed {
    /// Repeats the attempt until it succeeds; sleeps until something is freed. Callers are served in no particular
    /// order.
    ///
    /// Cancel-safe: the attempt succeeds in the poll that returns.
    pub(super) async fn wait_for<T>(&self, attempt: impl Fn() -> Option<T>) -> T {
        let _waiting = Waiting::enter(&self.waiting);
        loop {
            let mut freed = pin!(self.notify.notified());
            freed.as_mut().enable();
            // With the fence of `ring`: either the attempt sees what was freed, or `ring` sees this caller.
            fence(Ordering::SeqCst);
            if let Some(got) = attempt() {
                return got;
            }
            freed.await;
        }
    }

    /// Notifies the waiting callers. Called after something was freed, or when nothing will be freed any more.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.notify.notify_waiters();
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
