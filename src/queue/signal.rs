//! Any thread: the signal that wakes the flush task, which sleeps on it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes the flush task, which sleeps here, not in a lane.
#[derive(Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    notify: Notify,
}

impl Signal {
    /// Wakes the flush task, unless a wake-up is on its way.
    ///
    /// A read-modify-write on both sides: if this one finds the flag raised, the flush task's [`Signal::lower`] comes
    /// later and sees what was sent before.
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Like [`Signal::raise`], but a load if it is raised. Such a wake-up may be missed; the interval makes up for it.
    #[inline]
    pub(super) fn raise_if_down(&self) {
        if !self.raised.load(Ordering::Relaxed) {
            self.raise();
        }
    }

    /// Lowers the flag. Called before the drain that it requests.
    pub(crate) fn lower(&self) {
        self.raised.swap(false, Ordering::AcqRel);
    }

    /// Wakes the flush task for something that is not in a lane.
    pub(crate) fn nudge(&self) {
        self.notify.notify_one();
    }

    /// Sleeps until raised or nudged. Cancel-safe.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }
}

thread_local! {
    static LOGGER_THREAD: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn is_logger_thread() -> bool {
    LOGGER_THREAD.get()
}

/// Marks this thread as a logger's own: it never waits for room that only it can make.
pub(crate) fn mark_logger_thread() {
    LOGGER_THREAD.set(true);
}
