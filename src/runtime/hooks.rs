//! Any thread adds shutdown hooks; the flush task runs them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::shutdown::Hook;

/// Shutdown hooks that have not run, and the ones that failed.
#[derive(Default)]
pub(crate) struct Hooks {
    // A std lock: held to push or pop.
    waiting: Mutex<Vec<Hook>>,
    unfinished: AtomicU64,
    failed: AtomicU64,
}

impl Hooks {
    pub(crate) fn add(&self, hook: Hook) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// The hook added last.
    pub(crate) fn pop(&self) -> Option<Hook> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn finished(&self, failed: bool) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        self.failed.fetch_add(failed.into(), Ordering::Relaxed);
    }

    /// Hooks that failed; at the end also those that did not end.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.unfinished.load(Ordering::Relaxed)
    }
}
