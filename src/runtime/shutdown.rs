//! Any thread: the shutdown request, its deadline, and the end itself.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::watch;

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

#[derive(Default)]
struct ShutdownProgress {
    request: Option<ShutdownRequest>,
    is_done: bool,
}

/// The state of the shutdown: any thread requests it; the flush task and callers that wait for the end watch it.
pub(crate) struct ShutdownState {
    state: watch::Sender<ShutdownProgress>,
}

impl ShutdownState {
    pub(crate) fn new() -> Self {
        ShutdownState { state: watch::Sender::new(ShutdownProgress::default()) }
    }

    /// Requests a shutdown; the earliest of several deadlines wins.
    pub(crate) fn request(&self, timeout: Duration) {
        let since = Instant::now();
        let deadline = since.checked_add(timeout);
        self.state.send_modify(|state| {
            let request = state.request.get_or_insert(ShutdownRequest { at: since, deadline });
            request.deadline = match (request.deadline, deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        });
    }

    pub(crate) fn requested(&self) -> Option<ShutdownRequest> {
        self.state.borrow().request
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().is_done
    }

    pub(crate) fn set_done(&self) {
        self.state.send_modify(|state| state.is_done = true);
    }

    /// Waits until a shutdown is requested. Cancel-safe.
    pub(crate) async fn wait_requested(&self) {
        self.wait(|state| state.request.is_some()).await;
    }

    /// Waits until the counters are closed. Cancel-safe.
    pub(crate) async fn wait_done(&self) {
        self.wait(|state| state.is_done).await;
    }

    /// Waits until the deadline of the shutdown has passed in real time, also one that a later request brings forward.
    /// Cancel-safe.
    ///
    /// The earliest deadline of all requests counts, not the caller's: the caller that requested it may no longer wait.
    pub(crate) async fn wait_deadline(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let request = changes.borrow_and_update().request;
            tokio::select! {
                biased;
                () = timer::at(request.and_then(|request| request.deadline)) => return,
                // The sender is in the same allocation as `self`: it is not dropped first.
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Waits until this part of the time that was left when the deadline became known has passed on the runtime's
    /// clock, which may be paused. Cancel-safe.
    pub(crate) async fn wait_fraction(&self, part: u32, of: u32) {
        let mut changes = self.state.subscribe();
        let mut earliest: Option<tokio::time::Instant> = None;
        loop {
            let request = changes.borrow_and_update().request;
            if let Some(deadline) = request.and_then(|request| request.deadline) {
                // The runtime's clock may be paused, so the remaining time is carried over, not the instant.
                let left = deadline.saturating_duration_since(Instant::now()) / of * part;
                let here = tokio::time::Instant::now() + left;
                earliest = Some(earliest.map_or(here, |earliest| earliest.min(here)));
            }
            let passed = async {
                match earliest {
                    Some(earliest) => tokio::time::sleep_until(earliest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                // As in `wait_deadline`.
                Ok(()) = changes.changed() => {}
            }
        }
    }

    async fn wait(&self, is_there: impl Fn(&ShutdownProgress) -> bool) {
        // As in `wait_deadline`: an error would mean that the sender was dropped.
        self.state.subscribe().wait_for(|state| is_there(state)).await.map(drop).unwrap_or_default();
    }
}
