//! Any thread: spawns and stops a thread that serves for as long as its logger runs.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use crate::context::suppress;

/// How long the normal end waits for the thread, which has at most a page to finish.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The same on a drop path, which blocks its thread meanwhile.
const DROP_TIMEOUT: Duration = Duration::from_millis(100);

/// A detached thread of a logger: it never keeps the process alive. Its own log calls are suppressed.
pub(crate) struct ServiceThread {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl ServiceThread {
    /// Spawns a thread for `work`, which must return soon after `stop` is canceled.
    ///
    /// # Errors
    /// Returns an error if the operating system cannot spawn the thread.
    pub(crate) fn spawn(name: &str, stop: CancellationToken, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            suppress::mark_thread();
            work();
        })?;
        Ok(ServiceThread { stop, thread })
    }

    /// Stops the thread, and waits until it has freed its resources.
    ///
    /// Yields instead of sleeping: the runtime's clock may be paused, and while its only task waits for another thread
    /// it would jump to the deadline of the shutdown.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        let patience = Instant::now() + STOP_TIMEOUT;
        while !self.thread.is_finished() && Instant::now() < patience {
            thread::yield_now();
            yield_now().await;
        }
    }
}

impl Drop for ServiceThread {
    fn drop(&mut self) {
        self.stop.cancel();
        let patience = Instant::now() + DROP_TIMEOUT;
        while !self.thread.is_finished() && Instant::now() < patience {
            thread::yield_now();
        }
    }
}
