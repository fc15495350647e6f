//! The caller's thread: a shutdown when a guard is dropped, as the thread leaves `main`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

#[cfg(doc)]
use crate::Builder;
use crate::logger::{Logger, block_on};
use crate::observe::diagnostics::{self, Diagnostic};
use crate::runtime::{Host, StopReason};

impl Logger {
    /// Creates a guard for `main`: when dropped, also by `?` or a panic, it shuts the logger down and waits for it.
    pub fn shutdown_guard(&self, timeout: Duration) -> ShutdownGuard {
        ShutdownGuard { logger: self.clone(), timeout }
    }
}

/// Shuts the logger down when dropped; see [`Logger::shutdown_guard`].
///
/// # Blocking
/// The drop waits for the shutdown, at most its timeout, on whichever thread it happens: that is its purpose. On the
/// current-thread runtime that the logger itself runs on ([`Builder::start_on`]), a wait would stop the logger; there
/// the drop ends it at once and reports that. On the logger's own thread, in a hook, it requests the shutdown and
/// returns. In a forked child it reports that nothing is delivered, and returns.
///
/// # In `#[tokio::main]`
/// A guard inside it is dropped before the runtime: tasks on other threads are still running, and what they log after
/// that is refused (`closed`) and reported when the process exits. If such tasks log, do without the guard: the exit hook
/// delivers after the runtime is dropped, within [`Builder::shutdown_timeout`]. Or keep the guard outside of
/// `Runtime::block_on`.
#[must_use = "dropped at once it shuts the logger down at once"]
#[derive(Debug)]
pub struct ShutdownGuard {
    logger: Logger,
    timeout: Duration,
}

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        let core = self.logger.core();
        if core.is_forked() || core.shutdown.is_done() {
            return;
        }
        // A caller that needs the numbers awaits `shutdown`; for a guard, losses are reported.
        core.report_losses.store(true, Ordering::Relaxed);
        if core.host == Host::OwnThread && core.needs_this_thread() {
            // In a hook or a callback: the logger continues after it, and delivers.
            return core.shutdown.request(self.timeout);
        }
        match (core.host, Handle::try_current()) {
            (Host::Runtime { id, is_current_thread: true }, Ok(here)) if id == here.id() => {
                core.shutdown.request(Duration::ZERO);
                core.diagnostics.report(Diagnostic::GuardCannotWait);
                core.finalize(StopReason::DeadlineExceeded);
                // A handler is called where the logger runs, which is this thread, later.
                return diagnostics::wait_written(diagnostics::DROP_WAIT);
            }
            (Host::Runtime { id, .. }, Ok(here)) if id == here.id() && tokio::task::try_id().is_some() => {
                drop(block_in_place_or_here(|| block_on(self.logger.shutdown(self.timeout))));
            }
            _ => drop(block_on(self.logger.shutdown(self.timeout))),
        }
        core.diagnostics.wait_written();
    }
}

/// Blocks a worker of the runtime that the logger runs on. Tasks that the worker would poll next, perhaps the flush
/// task, move to another one: without that, no other worker can steal the tasks just woken.
pub(super) fn block_in_place_or_here<T>(block: impl Fn() -> T) -> T {
    // It panics where tokio does not allow it, in a `LocalSet`, before the call. There are no tasks to move there.
    let blocked = catch_unwind(AssertUnwindSafe(|| tokio::task::block_in_place(&block)));
    blocked.unwrap_or_else(|_| block())
}
