//! Any thread: the queue's account of heap bytes, for spilled events and contexts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::freed::Freed;

/// A bounded number of bytes. Charged on the caller's side for events that left their inline buffer and for contexts;
/// released when the event leaves the queue, and when the last event with the context is dropped.
///
/// Relaxed throughout: the number guards no other memory, and each change is one read-modify-write.
#[derive(Debug)]
pub(crate) struct Account {
    limit: usize,
    used: AtomicUsize,
    /// The part of `used` that contexts hold; at most half of `limit`.
    contexts: AtomicUsize,
    freed: Freed,
}

impl Account {
    pub(crate) fn new(limit: usize) -> Self {
        Account { limit, used: AtomicUsize::new(0), contexts: AtomicUsize::new(0), freed: Freed::default() }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn try_charge(&self, bytes: usize) -> bool {
        bytes == 0 || try_add(&self.used, bytes, self.limit)
    }

    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.freed.ring();
        }
    }

    /// Charges a context, until the result is dropped. Returns `None` if there is no room.
    pub(crate) fn charge_context(self: &Arc<Self>, bytes: usize) -> Option<ContextCharge> {
        if !try_add(&self.contexts, bytes, self.limit / 2) {
            return None;
        }
        if !self.try_charge(bytes) {
            self.contexts.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(ContextCharge { account: self.clone(), bytes })
    }

    /// Waits for room and charges it. Returns `false` once `closed` returns `true`: no room is freed any more.
    ///
    /// Cancel-safe: the charge is made in the poll that returns.
    pub(super) async fn charge(&self, bytes: usize, closed: impl Fn() -> bool) -> bool {
        let attempt = || match self.try_charge(bytes) {
            true => Some(true),
            false => closed().then_some(false),
        };
        self.freed.wait_for(attempt).await
    }

    pub(super) fn wake_waiters(&self) {
        self.freed.ring();
    }
}

/// Adds, but never exceeds the limit, not even for a moment: another caller would be refused then, or put to sleep, for
/// bytes that are never taken and never released.
fn try_add(counter: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}

/// The charge for one context.
pub(crate) struct ContextCharge {
    account: Arc<Account>,
    bytes: usize,
}

impl Drop for ContextCharge {
    fn drop(&mut self) {
        self.account.contexts.fetch_sub(self.bytes, Ordering::Relaxed);
        self.account.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_charge_that_fits_is_never_refused_for_one_that_does_not() {
        let (account, stop) = (Account::new(100), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(!account.try_charge(1000));
                }
            });
            let fits = (0..1_000_000).all(|_| {
                account.try_charge(10) && account.used() == 10 && {
                    account.release(10);
                    true
                }
            });
            stop.store(true, Ordering::Relaxed);
            assert!(fits);
        });
    }

    #[test]
    fn contexts_take_at_most_half_and_give_it_back() {
        let account = Arc::new(Account::new(100));
        let first = account.charge_context(30);
        assert!(first.is_some() && account.charge_context(21).is_none());
        assert!(account.try_charge(70) && account.charge_context(10).is_none(), "the account is full");
        account.release(70);
        drop(first);
        assert!(account.charge_context(50).is_some());
        assert_eq!((account.used(), account.contexts.load(Ordering::Relaxed)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_bytes_gets_them_when_they_are_released_and_gives_up_when_it_is_closed() {
        let (account, closed) = (Account::new(100), AtomicBool::new(false));
        assert!(account.try_charge(80));
        let is_closed = || closed.load(Ordering::Relaxed);
        let release = async {
            tokio::task::yield_now().await;
            account.release(10);
            tokio::task::yield_now().await;
            account.release(70);
        };
        assert!(tokio::join!(account.charge(50, is_closed), release).0);
        let close = async {
            tokio::task::yield_now().await;
            closed.store(true, Ordering::Relaxed);
            account.wake_waiters();
        };
        assert!(!tokio::join!(account.charge(60, is_closed), close).0);
        assert_eq!((account.used(), account.freed.waiting()), (50, 0));
    }
}
