//! Any thread: the flags of this thread at this moment, in one byte, so that a call where none is set pays for one
//! load.

use std::cell::Cell;

/// Events logged here come from a task or a sink of a logger.
pub(crate) const SUPPRESSED: u8 = 1;
/// Events logged here are in a scope.
pub(crate) const SCOPED: u8 = 1 << 1;

thread_local! {
    // Constant and without a destructor: reading it is reading a byte.
    static FLAGS: Cell<u8> = const { Cell::new(0) };
}

/// Returns whether any flag is set.
#[inline]
pub(crate) fn any() -> bool {
    FLAGS.get() != 0
}

#[inline]
pub(crate) fn is(flag: u8) -> bool {
    FLAGS.get() & flag != 0
}

/// Sets or clears the flag; returns whether it was set.
pub(crate) fn set(flag: u8, to: bool) -> bool {
    let before = FLAGS.get();
    FLAGS.set(if to { before | flag } else { before & !flag });
    before & flag != 0
}

thread_local! {
    // Not one of the flags: what a hook logs on such a thread is accepted as elsewhere.
    static LOGGER_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether this thread is a logger's own: it never waits for room that only it can make.
pub(crate) fn is_logger_thread() -> bool {
    LOGGER_THREAD.get()
}

/// Marks this thread as a logger's own.
pub(crate) fn mark_logger_thread() {
    LOGGER_THREAD.set(true);
}
