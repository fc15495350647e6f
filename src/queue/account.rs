//! Any thread: the queue's account of heap bytes, for spilled events and contexts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::waiters::Waiters;

/// A bounded number of bytes. Charged on the caller's side for events that left their inline buffer and for contexts;
/// released when the event leaves the queue, and when the last event with the context is dropped.
///
/// Relaxed throughout: the number guards no other memory, and each change is one read-modify-write.
pub(crate) struct Account {
    limit: usize,
    used: AtomicUsize,
    /// The part of `used` that contexts hold; at most half of `limit`.
    contexts: AtomicUsize,
    waiters: Waiters,
}

impl Account {
    pub(crate) fn new(limit: usize) -> Self {
        Account { limit, used: AtomicUsize::new(0), contexts: AtomicUsize::new(0), waiters: Waiters::default() }
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

    /// Releases bytes, and notifies the callers that wait for them. Called with no lock held.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.give_back(bytes);
            self.waiters.notify();
        }
    }

    /// Releases bytes, under a lock: the callers that wait are notified afterwards.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The callers that wait for bytes, or for a place in a lane.
    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
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
}
