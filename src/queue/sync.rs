//! Any thread: what lanes and waiting are made of. `tests/schedules` puts loom's in place of this file, so that the files
//! beside it run there in every order of steps.

pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) use tokio::sync::{Notify, mpsc};

use crate::context::suppress::SuppressGuard;

/// Runs an operation of a channel under a lock. It may ask the allocator for memory; and in a build with `--cfg
/// tokio_unstable`, tokio's channels may report each operation to `tracing`. Both is foreign code, and what it logs would want
/// the same lock.
pub(super) fn unobserved<T>(operation: impl FnOnce() -> T) -> T {
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
