//! In place of `src/queue/sync.rs`: loom's lock, atomics and fence, and models of tokio's channel and `Notify`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(super) use loom::sync::{Mutex, MutexGuard};
pub(super) use std::sync::{PoisonError, TryLockError};

pub(super) fn contain<T>(call: impl FnOnce() -> T) -> std::thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call))
}

pub(super) fn unobserved<T>(operation: impl FnOnce() -> T) -> T {
    operation()
}

/// A channel that is never used by two threads at a time: a caller without the lane's lock is found.
pub(super) mod mpsc {
    use super::*;

    struct Slots<T> {
        /// Written by each use: loom finds two that are not one after the other.
        turn: loom::cell::Cell<()>,
        events: RefCell<VecDeque<T>>,
        capacity: usize,
    }

    // SAFETY: used under the lane's lock alone, which `turn` checks in every schedule.
    #[allow(unsafe_code, reason = "a model of a channel that is no lock")]
    unsafe impl<T: Send> Send for Slots<T> {}
    // SAFETY: as above.
    #[allow(unsafe_code, reason = "a model of a channel that is no lock")]
    unsafe impl<T: Send> Sync for Slots<T> {}

    pub(in super::super) struct Sender<T>(Arc<Slots<T>>);
    pub(in super::super) struct Receiver<T>(Arc<Slots<T>>);
    pub(in super::super) struct Full<T>(T);

    impl<T> Full<T> {
        pub(in super::super) fn into_inner(self) -> T {
            self.0
        }
    }

    pub(in super::super) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let slots = Slots { turn: loom::cell::Cell::new(()), events: RefCell::default(), capacity };
        let slots = Arc::new(slots);
        (Sender(slots.clone()), Receiver(slots))
    }

    impl<T> Sender<T> {
        pub(in super::super) fn try_send(&self, value: T) -> Result<(), Full<T>> {
            self.0.turn.set(());
            let mut events = self.0.events.borrow_mut();
            assert!(events.len() < self.0.capacity, "the channel has room for all chunks that the lane may hold");
            events.push_back(value);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(in super::super) fn try_recv(&mut self) -> Result<T, ()> {
            self.0.turn.set(());
            self.0.events.borrow_mut().pop_front().ok_or(())
        }
    }
}

/// `tokio::sync::Notify`, as its documentation describes it.
pub(super) struct Notify {
    state: Mutex<Notified>,
}

struct Notified {
    /// Calls of `notify_waiters`.
    rounds: usize,
    has_permit: bool,
    wakers: Vec<Waker>,
}

impl Default for Notify {
    fn default() -> Self {
        Notify { state: Mutex::new(Notified { rounds: 0, has_permit: false, wakers: Vec::new() }) }
    }
}

impl Notify {
    pub(super) fn notify_one(&self) {
        let mut state = self.state.lock().unwrap();
        state.has_permit = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn notify_waiters(&self) {
        let mut state = self.state.lock().unwrap();
        state.rounds += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn notified(&self) -> Wait<'_> {
        Wait { notify: self, round: self.state.lock().unwrap().rounds }
    }
}

pub(super) struct Wait<'a> {
    notify: &'a Notify,
    round: usize,
}

impl Wait<'_> {
    pub(super) fn enable(self: Pin<&mut Self>) -> bool {
        false
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.notify.state.lock().unwrap();
        if state.rounds > self.round || std::mem::take(&mut state.has_permit) {
            return Poll::Ready(());
        }
        state.wakers.push(cx.waker().clone());
        Poll::Pending
    }
}
