//! Any thread: holds threads that log after the loggers have closed, until the process has ended.
//!
//! A program continues to work while its last events are delivered. If it went on after a log call that came too late, it
//! would do things that are in no log: answer a client, say. So the call holds its thread until the process has ended.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::suppress;

/// The thread that ends the process, by a number of [`this_thread`]'s; 0 while the process does not end.
static ENDED_BY: AtomicUsize = AtomicUsize::new(0);
/// When threads are released, should the process not have ended by then.
static RELEASE: Mutex<Option<Instant>> = Mutex::new(None);
static NEVER: Condvar = Condvar::new();

thread_local! {
    /// Its address names the thread. Constant and without a destructor: it lives as long as the thread.
    static PLACE: Cell<u8> = const { Cell::new(0) };
}

/// Returns a number that no other living thread has; never 0.
pub(crate) fn this_thread() -> usize {
    PLACE.with(|place| ptr::from_ref(place).addr())
}

/// Notes that this thread ends the process, at most at this time.
pub(crate) fn begin(release: Instant) {
    *RELEASE.lock().unwrap_or_else(PoisonError::into_inner) = Some(release);
    ENDED_BY.store(this_thread(), Ordering::Release);
}

/// Holds a thread whose event came after the close, if the process ends: until it has, or until the time it has for that.
/// Not the thread that ends it, and not those that deliver.
pub(crate) fn hold_if_ending() {
    let ended_by = ENDED_BY.load(Ordering::Acquire);
    if ended_by != 0 && ended_by != this_thread() && !suppress::is_active() {
        hold();
    }
}

#[cold]
fn hold() {
    let mut release = RELEASE.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(left) = release.and_then(|release| release.checked_duration_since(Instant::now())) {
        release = NEVER.wait_timeout(release, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
