//! Anywhere (pure): captured events, reduced to those a test is about.

use std::fmt;
use std::ops::Deref;

use super::CapturedEvent;
use crate::event::{Level, ToValue};

/// Events of a [`MemorySink`](super::MemorySink), oldest first. Each method keeps the events that match.
///
/// A selection is a slice of [`CapturedEvent`], and its `Debug` shows each event on a line of its own, so that
/// `assert_eq!` and [`exactly_one`](Selection::exactly_one) show what was there instead.
///
/// ```
/// # use logweir::{Level, Logger, info, warn, sink::MemorySink};
/// # let memory = MemorySink::new();
/// # let logger = Logger::builder().sink("memory", memory.clone()).start()?;
/// info!(logger: logger, "user {user} logged in", user = "ada");
/// warn!(logger: logger, "user {user} is locked", user = "bob", attempts = 3);
/// # logger.shutdown_blocking(std::time::Duration::from_secs(5))?;
///
/// let locked = memory.select().level(Level::Warn).message("is locked").exactly_one();
/// assert_eq!(locked.field("attempts").unwrap(), 3);
/// assert_eq!(memory.select().field("user", "ada").len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a selection asserts nothing by itself"]
pub struct Selection {
    events: Vec<CapturedEvent>,
    /// The criteria, in words.
    asked: String,
}

impl Selection {
    pub(super) fn of(events: Vec<CapturedEvent>) -> Self {
        Selection { events, asked: String::new() }
    }

    /// Keeps events of exactly this level.
    pub fn level(self, level: Level) -> Self {
        self.keep(format_args!("level {level}"), |event| event.level() == level)
    }

    /// Keeps events of this target, or of one below it (`app` matches `app` and `app::db`).
    pub fn target(self, target: &str) -> Self {
        let below = |rest: &str| rest.is_empty() || rest.starts_with("::");
        self.keep(format_args!("target {target}"), |event| event.target().strip_prefix(target).is_some_and(below))
    }

    /// Keeps events with this text in the message.
    pub fn message(self, part: &str) -> Self {
        self.keep(format_args!("message with {part:?}"), |event| event.message().contains(part))
    }

    /// Keeps events with a field of this name and value: the event's own, its context's or the logger's. Integers are
    /// equal by value.
    pub fn field(self, name: &str, value: impl ToValue) -> Self {
        let value = value.to_value();
        self.keep(format_args!("{name}={value}"), |event| event.field(name) == Some(value))
    }

    /// Keeps events with a field of this name.
    pub fn with_field(self, name: &str) -> Self {
        self.keep(format_args!("a field {name}"), |event| event.field(name).is_some())
    }

    /// Keeps events for which the predicate holds.
    pub fn filter(self, predicate: impl Fn(&CapturedEvent) -> bool) -> Self {
        self.keep(format_args!("a predicate"), predicate)
    }

    /// Returns the only event.
    ///
    /// # Panics
    /// Panics if there is none, or more than one; the message shows the criteria and the events.
    #[track_caller]
    pub fn exactly_one(self) -> CapturedEvent {
        assert!(self.events.len() == 1, "not one event but {}{}: {self:?}", self.events.len(), self.wanted());
        self.events.into_iter().next().expect("there is one")
    }

    /// Asserts that no event matches.
    ///
    /// # Panics
    /// Panics if one matches; the message shows the events.
    #[track_caller]
    pub fn assert_none(self) {
        assert!(self.events.is_empty(), "not none but {}{}: {self:?}", self.events.len(), self.wanted());
    }

    /// Returns the messages.
    pub fn messages(&self) -> Vec<String> {
        self.events.iter().map(CapturedEvent::message).collect()
    }

    fn wanted(&self) -> String {
        if self.asked.is_empty() { String::new() } else { format!(" with {}", self.asked) }
    }

    fn keep(mut self, what: fmt::Arguments<'_>, fits: impl Fn(&CapturedEvent) -> bool) -> Self {
        if !self.asked.is_empty() {
            self.asked.push_str(", ");
        }
        self.asked.push_str(&what.to_string());
        self.events.retain(fits);
        self
    }
}

impl Deref for Selection {
    type Target = [CapturedEvent];

    fn deref(&self) -> &[CapturedEvent] {
        &self.events
    }
}

impl IntoIterator for Selection {
    type Item = CapturedEvent;
    type IntoIter = std::vec::IntoIter<CapturedEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

/// One event per line: `warn app::db: the message {"name": Str("value")}`.
impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for event in &self.events {
            write!(f, "\n    {} {}: {} {:?}", event.level(), event.target(), event.message(), event.fields())?;
        }
        f.write_str(if self.events.is_empty() { "]" } else { "\n]" })
    }
}
