//! A test's thread: the files that `tests/schedules` runs too, with loom, and that have their tests here for this reason.

mod lane;
mod waiters;
