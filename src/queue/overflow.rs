//! Anywhere (pure): what happens to an event that finds its lane full.

use std::time::Duration;

/// What [`Logger::emit`](crate::Logger::emit) does when the queue is full. Every loss is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest event of the lane makes room: what happened last is what matters. Lost: `overflow_oldest`. If the
    /// oldest place is taken by an event that is only half written, the new one is refused instead (`overflow_newest`).
    #[default]
    DropOldest,
    /// The new event is refused. Lost: `overflow_newest`.
    DropNewest,
    /// The caller's thread waits this long for room, then the event is refused (`overflow_newest`, or `memory` if it
    /// was memory that was short).
    ///
    /// # Blocking
    /// Waits only on a thread without a tokio runtime, or when the logger has a thread of its own
    /// ([`Builder::start`](crate::Builder::start)); elsewhere waiting could stop the very task that makes room, and
    /// this is `DropNewest`. In a task use [`Logger::emit_wait`](crate::Logger::emit_wait).
    Block(Duration),
}
