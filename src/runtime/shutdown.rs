//! Any thread: the request to end, its deadline, and the end itself.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::time::timer;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Hook = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// Whether a logger runs; see [`Logger::state`](crate::Logger::state).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It accepts and delivers.
    Running,
    /// A shutdown was asked for and goes on; or one of its tasks is gone, and the others deliver what they have.
    ShuttingDown,
    /// It has ended: shut down, or one of its tasks is gone.
    Stopped {
        /// When.
        at: std::time::SystemTime,
    },
}

/// How the books came to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Everything was delivered, or dropped for a reason of its sink.
    Completed,
    /// The deadline passed.
    DeadlineExceeded,
    /// The runtime was dropped under the flush task.
    RuntimeGone,
    /// The flush task panicked, or a sink task ended before the sink was closed.
    Panicked,
}

/// A shutdown that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// The earliest of those asked for; `None` is never.
    pub(crate) deadline: Option<Instant>,
}

#[derive(Default)]
struct ShutdownProgress {
    request: Option<Request>,
    is_done: bool,
}

/// Asked for by any thread, watched by the flush task and by those who wait for the end.
pub(crate) struct ShutdownState {
    state: watch::Sender<ShutdownProgress>,
}

impl ShutdownState {
    pub(crate) fn new() -> Self {
        ShutdownState { state: watch::Sender::new(ShutdownProgress::default()) }
    }

    /// Asks for a shutdown; of several deadlines the earliest counts.
    pub(crate) fn request(&self, timeout: Duration) {
        let since = Instant::now();
        let deadline = since.checked_add(timeout);
        self.state.send_modify(|state| {
            let request = state.request.get_or_insert(Request { at: since, deadline });
            request.deadline = match (request.deadline, deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        });
    }

    pub(crate) fn requested(&self) -> Option<Request> {
        self.state.borrow().request
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().is_done
    }

    pub(crate) fn set_done(&self) {
        self.state.send_modify(|state| state.is_done = true);
    }

    /// Ends when a shutdown has been asked for. Cancel-safe.
    pub(crate) async fn wait_requested(&self) {
        self.wait(|state| state.request.is_some()).await;
    }

    /// Ends when the books are closed. Cancel-safe.
    pub(crate) async fn wait_done(&self) {
        self.wait(|state| state.is_done).await;
    }

    /// Ends when the deadline of the shutdown has passed in real time, also one that is brought forward. Cancel-safe.
    ///
    /// Everybody's earliest deadline, not the caller's: whoever asked for it may not wait any more.
    pub(crate) async fn wait_deadline(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let request = changes.borrow_and_update().request;
            tokio::select! {
                biased;
                () = timer::at(request.and_then(|request| request.deadline)) => return,
                // The sender is in the same allocation as we are: it is not gone before us.
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Ends when this part of the time that was left as the deadline became known has passed in the runtime's time, which
    /// may be a paused one. Cancel-safe.
    pub(crate) async fn wait_fraction(&self, part: u32, of: u32) {
        let mut changes = self.state.subscribe();
        let mut earliest: Option<tokio::time::Instant> = None;
        loop {
            let request = changes.borrow_and_update().request;
            if let Some(deadline) = request.and_then(|request| request.deadline) {
                // The runtime's clock may be a paused one, so what is left is carried over, not the moment.
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
                // As above.
                Ok(()) = changes.changed() => {}
            }
        }
    }

    async fn wait(&self, is_there: impl Fn(&ShutdownProgress) -> bool) {
        // As above: an error would say that the sender is gone.
        self.state.subscribe().wait_for(|state| is_there(state)).await.map(drop).unwrap_or_default();
    }
}
