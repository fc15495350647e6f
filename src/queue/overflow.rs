//! Anywhere (pure): the policy for an event that finds its lane full.

use std::time::Duration;

/// What [`Logger::emit`](crate::Logger::emit) does when the queue is full. Default: `DropOldest`. Every loss is
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Drops the oldest event of the lane (`overflow_oldest`): the latest events matter most. One event makes
    /// room for one.
    #[default]
    DropOldest,
    /// Refuses the new event (`overflow_newest`).
    DropNewest,
    /// Makes the caller's thread wait this long for room, then refuses the event (`overflow_newest`, or `memory` if
    /// memory was short).
    ///
    /// # Blocking
    /// Waits only on a thread without a tokio runtime, or if the logger has a thread of its own
    /// ([`Builder::start`](crate::Builder::start)). Elsewhere waiting could stop the very task that makes room, so the
    /// event is refused as under `DropNewest`. In a task, use [`Logger::emit_wait`](crate::Logger::emit_wait).
    Block(Duration),
}
