//! Any thread: the callers that wait for room or bytes.

use std::pin::pin;

use super::sync::{AtomicUsize, Notify, Ordering, contain, fence};

/// The callers that wait. While none does, notifying costs a fence and a load.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Waiters {
    /// Repeats the attempt until it succeeds; sleeps until something is freed. Callers are served in no particular
    /// order.
    ///
    /// Cancel-safe: the attempt succeeds in the poll that returns.
    pub(super) async fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _waiting = Waiting::enter(&self.waiting);
        loop {
            let mut freed = pin!(self.notify.notified());
            freed.as_mut().enable();
            // With the fence of `notify`: either the attempt sees what was freed, or `notify` sees this caller.
            fence(Ordering::SeqCst);
            if let Some(got) = attempt() {
                return got;
            }
            freed.await;
        }
    }

    /// Notifies the waiting callers. Called with no lock held, after something was freed, or when nothing will be freed
    /// any more.
    pub(super) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            // Their wakers are foreign code, which may panic.
            contain(|| self.notify.notify_waiters()).unwrap_or_default();
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
