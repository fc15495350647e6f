//! The caller's thread: what surrounds a log call: scopes with their fields, correlation ids, and suppression.
//!
//! In: the program enters scopes. `logger` requests the fields of the current scope (`scope::context_here`) when an
//! event is logged. The tasks and threads of `runtime`, `pipeline`, `sink` and `observe` mark themselves as suppressed.
//!
//! Out: the merged fields, as `SharedFields` of `event`, which `logger` masks, charges to the queue and attaches to the event.
//!
//! Invariants:
//! * One byte per thread (`thread_flags`) tells whether anything applies: a call outside scopes and sinks pays one
//!   load.
//! * Scopes are left in the opposite order of entering, also when a future is dropped.
//! * No user code runs while the thread's stack of scopes is borrowed.
//! * Events of the logger's own tasks and of sinks are suppressed: they are counted and never enter the queue.
//!
//! Next: `logger` gives the event to `queue`.
//!
//! Fields that come from the place of a call, not from its arguments, are added here. A condition that every call must
//! check is a bit of `thread_flags`.

pub(crate) mod contain;
pub(crate) mod correlation_id;
pub(crate) mod process_end;
pub(crate) mod scope;
pub(crate) mod suppress;
pub(crate) mod thread_flags;
