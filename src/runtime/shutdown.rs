//! Any thread: the shutdown request, its deadline, and the end itself.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::context::contain::contain;
use crate::time::timer;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Hook = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// Where a logger is in its life; see [`Logger::state`](crate::Logger::state).
///
/// Serialized (feature `serde`) as `"running"`, `"shutting_down"` or `{ "stopped": { "at": "2026-11-27T14:00:00.000000000Z" } }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum State {
    /// The logger accepts and delivers events.
    Running,
    /// A shutdown was requested and is in progress; or one of the logger's tasks stopped, and the others deliver their
    /// events.
    ShuttingDown,
    /// The logger has stopped: it was shut down, or one of its tasks stopped.
    Stopped {
        /// When it stopped.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::stats::serialize::moment"))]
        at: std::time::SystemTime,
    },
}

/// Why the logger stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Everything was delivered, or dropped for a reason of its sink.
    Completed,
    /// The deadline passed.
    DeadlineExceeded,
    /// The runtime was dropped under the flush task.
    RuntimeDropped,
    /// The flush task panicked, or a sink task ended before the sink was closed.
    TaskFailed,
}

/// A requested shutdown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShutdownRequest {
    pub(crate) at: Instant,
    /// The earliest of the requested ones; `None` is never.
    pub(crate) deadline: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct ShutdownProgress {
    request: Option<ShutdownRequest>,
    is_done: bool,
}

/// The state of the shutdown: any thread requests it; the flush task and callers that wait for the end watch it.
///
/// A request works on a thread whose thread-locals are dropped, as in `atexit` or in the destructor of a thread-local.
/// Tokio's `watch` panics there.
#[derive(Default)]
pub(crate) struct ShutdownState {
    // A std lock: held to copy or change the progress.
    progress: Mutex<ShutdownProgress>,
    changed: Notify,
}

impl ShutdownState {
    /// Requests a shutdown; the earliest of several deadlines wins.
    pub(crate) fn request(&self, timeout: Duration) {
        let since = Instant::now();
        let deadline = since.checked_add(timeout);
        self.change(|progress| {
            let request = progress.request.get_or_insert(ShutdownRequest { at: since, deadline });
            request.deadline = match (request.deadline, deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        });
    }

    /// Requests a shutdown, unless one is requested: that has a deadline of its own.
    pub(crate) fn request_if_none(&self, timeout: Duration) {
        let at = Instant::now();
        let request = ShutdownRequest { at, deadline: at.checked_add(timeout) };
        self.change(|progress| progress.request = progress.request.or(Some(request)));
    }

    pub(crate) fn requested(&self) -> Option<ShutdownRequest> {
        self.progress().request
    }

    pub(crate) fn is_done(&self) -> bool {
        self.progress().is_done
    }

    pub(crate) fn set_done(&self) {
        self.change(|progress| progress.is_done = true);
    }

    fn progress(&self) -> MutexGuard<'_, ShutdownProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ShutdownProgress)) {
        change(&mut self.progress());
        // The wakers are foreign code, which may panic.
        contain(|| self.changed.notify_waiters()).unwrap_or_default();
    }

    /// Waits for the next change after this call. Cancel-safe.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.changed.notified()
    }

    /// Waits until a shutdown is requested. Cancel-safe.
    pub(crate) async fn wait_requested(&self) {
        self.wait(|progress| progress.request.is_some()).await;
    }

    /// Waits until the counters are closed. Cancel-safe.
    pub(crate) async fn wait_done(&self) {
        self.wait(|progress| progress.is_done).await;
    }

    /// Waits until the deadline of the shutdown has passed in real time, also one that a later request brings forward.
    /// Cancel-safe.
    ///
    /// The earliest deadline of all requests counts, not the caller's: the caller that requested it may no longer wait.
    pub(crate) async fn wait_deadline(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let request = self.requested();
            tokio::select! {
                biased;
                () = timer::at(request.and_then(|request| request.deadline)) => return,
                () = changed => {}
            }
        }
    }

    /// Waits until this part of the time that was left when the deadline became known has passed on the runtime's
    /// clock, which may be paused. Cancel-safe.
    pub(crate) async fn wait_fraction(&self, part: u32, of: u32) {
        let mut earliest: Option<tokio::time::Instant> = None;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(deadline) = self.requested().and_then(|request| request.deadline) {
                // The runtime's clock may be paused, so the remaining time is carried over, not the instant.
                let left = deadline.saturating_duration_since(Instant::now()) / of * part;
                // Beyond the clock's range: never.
                let here = tokio::time::Instant::now().checked_add(left);
                earliest = earliest.into_iter().chain(here).min();
            }
            let passed = async {
                match earliest {
                    Some(earliest) => tokio::time::sleep_until(earliest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                () = changed => {}
            }
        }
    }

    async fn wait(&self, is_there: impl Fn(&ShutdownProgress) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let progress = *self.progress();
            if is_there(&progress) {
                return;
            }
            changed.await;
        }
    }
}
