//! Anywhere (pure): an event's message, rendered when it is printed.

use std::fmt::{self, Write};

use super::{Event, template};

/// An event's message, rendered when it is printed.
#[derive(Clone, Copy)]
pub struct Message<'a>(pub(super) &'a Event);

impl Message<'_> {
    /// Writes the message as plain text, without escapes.
    ///
    /// # Errors
    /// Returns the errors of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> fmt::Result {
        match self.0.message_text() {
            Some(message) => out.write_str(message),
            None => template::render(&self.0.callsite.template, self.0.layer().values, out),
        }
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}
