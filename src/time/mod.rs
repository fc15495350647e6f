//! Any thread: the wall clock, the calendar, and deadlines in real time.
//!
//! In: `queue` reads the clock for the time of each event, `dispatch` for its watermarks. `runtime` and `logger` wait
//! for deadlines here, and `runtime` runs its watchdog on the timer thread. `format` and `sink` convert times to dates.
//!
//! Out: numbers and futures; no event comes through this room.
//!
//! Invariants:
//! * An event's time of emission comes from `clock` alone.
//! * One detached thread (`logweir-timer`) keeps the deadlines of the whole process: they hold without a runtime, or if
//!   the logger's runtime is stuck.
//! * This room imports nothing of the crate.
//!
//! Next: none.
//!
//! A source of time is added to `clock`, a date calculation to `calendar`, a wait that must not depend on a runtime to
//! `timer`.

pub(crate) mod calendar;
pub(crate) mod clock;
pub(crate) mod timer;
