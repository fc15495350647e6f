//! A test's thread: finds calls that block their thread.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

/// A poll that takes longer may have blocked.
const LONG_POLL: Duration = Duration::from_millis(100);
/// So many of them are no accident of a busy machine.
const BLOCKED_POLLS: usize = 3;

/// The polls that took long.
#[derive(Default)]
pub(super) struct BlockedPolls(usize);

impl BlockedPolls {
    /// Awaits a call. Panics if it, or calls before it, blocked the thread again and again.
    pub(super) async fn watch<T>(&mut self, scenario: &str, call: &str, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let started = Instant::now();
            let polled = future.as_mut().poll(context);
            self.0 += usize::from(started.elapsed() > LONG_POLL);
            assert!(
                self.0 < BLOCKED_POLLS,
                "{scenario}: `{call}` leaves its thread to others while it waits, like `Blocking` does for a sink that cannot: \
                 {} polls took more than {LONG_POLL:?}",
                self.0
            );
            polled
        })
        .await
    }
}
