//! Any thread: adds shutdown hooks, which the flush task runs.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;

use super::LoggerCore;
use super::shutdown::Hook;
use crate::context::contain::{Panicked, contain};
use crate::context::suppress::accept;
use crate::observe::diagnostics::Diagnostic;

/// Shutdown hooks that have not run, and the ones that failed.
#[derive(Default)]
pub(crate) struct ShutdownHooks {
    // A std lock: held to push or pop.
    waiting: Mutex<Vec<Hook>>,
    unfinished: AtomicU64,
    failed: AtomicU64,
}

impl ShutdownHooks {
    pub(crate) fn add(&self, hook: Hook) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// Takes the hook added last.
    pub(crate) fn pop(&self) -> Option<Hook> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn finished(&self, failed: bool) {
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        self.failed.fetch_add(failed.into(), Ordering::Relaxed);
    }

    /// Returns how many hooks failed; a hook that has not ended counts as failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.unfinished.load(Ordering::Relaxed)
    }
}

/// Runs the shutdown hooks, the last one added first, within half of the shutdown's time: the rest is for delivery.
pub(super) async fn run_hooks(core: Arc<LoggerCore>) {
    let all = async {
        while let Some(hook) = core.hooks.pop() {
            // The call is inside, so that a hook that panics before its future exists is caught too.
            // What it logs is accepted, on the logger's own thread too.
            let result = AssertUnwindSafe(accept(async { hook().await })).catch_unwind().await;
            let error = match result {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(payload) => Some(Panicked::new(payload).0.into()),
            };
            core.hooks.finished(error.is_some());
            // It is formatted here if there is no handler, and foreign.
            let report = |error| contain(|| core.diagnostics.report(Diagnostic::HookFailed { error }));
            error.into_iter().for_each(|error| report(error).unwrap_or_default());
        }
    };
    tokio::select! {
        biased;
        () = all => {}
        () = core.shutdown.wait_fraction(1, 2) => {
            let error = "the shutdown hooks did not end within half of the time for the shutdown".into();
            core.diagnostics.report(Diagnostic::HookFailed { error });
        }
    }
}
