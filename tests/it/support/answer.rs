//! What a scripted sink does when it is called.

use std::fmt;
use std::time::Duration;

use super::Seen;

/// What the sink does when it is called.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Ok,
    Temporary,
    Rejected,
    Permanent,
    /// A temporary error after so many events were delivered.
    Delivered(usize),
    /// Never ends.
    Hang,
    /// A temporary error whose text panics.
    Unprintable,
    /// A temporary error whose text does not end.
    Endless,
    /// Waits for [`ScriptedSink::release`], then all is well.
    Gate,
    /// Waits for [`ScriptedSink::release`], then fails for now.
    GateThenTemporary,
    /// Takes this long, in tokio's time.
    Slow(Duration),
    Panic,
    /// A temporary error that asks for this much patience.
    RetryAfter(Duration),
    /// Rejected after so many events were delivered.
    RejectedAfter(usize),
    /// Rejects a batch with one of these numbers in it.
    Poison(&'static [u64]),
    /// Panics at a batch with one of these numbers in it.
    PanicAt(&'static [u64]),
}

/// An error that panics, or continues writing, when it is printed.
#[derive(Debug)]
pub(super) struct Unprintable {
    pub(super) is_endless: bool,
}

impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_endless {
            loop {
                f.write_str("again and ").unwrap_or_default();
            }
        }
        // Without the panic hook, which would print each.
        std::panic::resume_unwind(Box::new("scripted"))
    }
}

impl std::error::Error for Unprintable {}

impl Answer {
    /// What it comes to for these events.
    pub(super) fn of(self, events: &[Seen]) -> Self {
        let has = |numbers: &[u64]| events.iter().any(|seen| numbers.contains(&seen.message.parse().unwrap()));
        match self {
            Answer::Poison(numbers) => {
                if has(numbers) {
                    Answer::Rejected
                } else {
                    Answer::Ok
                }
            }
            Answer::PanicAt(numbers) => {
                if has(numbers) {
                    Answer::Panic
                } else {
                    Answer::Ok
                }
            }
            answer => answer,
        }
    }
}
