//! Anywhere: what is special about this thread at this moment, in one byte, so that a call where nothing is pays for one
//! look.

use std::cell::Cell;

/// What is logged here comes from a task or a sink of a logger's own.
pub(crate) const SUPPRESSED: u8 = 1;
/// What is logged here is in a scope.
pub(crate) const SCOPED: u8 = 1 << 1;

thread_local! {
    // Constant and without a destructor: reading it is reading a byte.
    static FLAGS: Cell<u8> = const { Cell::new(0) };
}

/// Whether there is anything at all.
#[inline]
pub(crate) fn any() -> bool {
    FLAGS.get() != 0
}

#[inline]
pub(crate) fn is(flag: u8) -> bool {
    FLAGS.get() & flag != 0
}

/// Sets the flag or takes it away; returns whether it was set.
pub(crate) fn set(flag: u8, to: bool) -> bool {
    let before = FLAGS.get();
    FLAGS.set(if to { before | flag } else { before & !flag });
    before & flag != 0
}
