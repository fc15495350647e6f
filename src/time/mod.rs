//! Anywhere: the wall clock, the calendar, and deadlines in real time.

pub(crate) mod calendar;
pub(crate) mod clock;
pub(crate) mod timer;
