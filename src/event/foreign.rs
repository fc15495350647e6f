//! Anywhere (pure): how the bridges build events from the records of other facades.

#[cfg(feature = "log")]
use std::fmt;

#[cfg(feature = "tracing")]
use super::FieldPairs;
use super::encoding::EncodedFields;
#[cfg(feature = "tracing")]
use super::{Callsite, MESSAGE};
use super::{DYNAMIC, DYNAMIC_SITE, Event, Level, Value};
#[cfg(feature = "log")]
use super::{TextKind, ToValue};

impl Value<'_> {
    /// Returns a number that another facade gave as an `f64`, which may have been an `f32`: `log` and `tracing` widen it
    /// and do not tell. A number that is exactly an `f32`, but that an `f64` takes other digits for, is taken for one, so
    /// that `0.1_f32` is `0.1`. Its value stays the same; whole numbers keep their digits.
    pub(crate) fn widened(wide: f64) -> Self {
        let narrow = wide as f32;
        let is_narrow = f64::from(narrow) == wide && wide.fract() != 0.0;
        if is_narrow && zmij::Buffer::new().format(narrow) != zmij::Buffer::new().format(wide) {
            Value::F32(narrow)
        } else {
            Value::F64(wide)
        }
    }
}

impl Event {
    /// Creates an event of a static call site whose first value will be its message: text, not a template.
    #[cfg(feature = "tracing")]
    #[inline]
    pub(crate) const fn with_message(callsite: &'static Callsite, level: Level) -> Self {
        Event { callsite, timestamp: 0, context: None, fields: EncodedFields::new(level as u8 | MESSAGE) }
    }

    /// Creates an event whose first five values will be target, message, module, file and line.
    #[cfg(feature = "tracing")]
    pub(crate) const fn with_header(level: Level) -> Self {
        Event {
            callsite: &DYNAMIC_SITE,
            timestamp: 0,
            context: None,
            fields: EncodedFields::new(level as u8 | DYNAMIC),
        }
    }

    /// Adds the fields whose names the event does not have.
    #[cfg(feature = "tracing")]
    pub(crate) fn push_all(&mut self, fields: &FieldPairs) {
        for (name, value) in fields.layer() {
            if self.push_name(name) {
                self.fields.push(value);
            }
        }
    }

    /// Adds a name, whose value is to be pushed next, unless the event has a field of that name.
    #[cfg(feature = "tracing")]
    pub(crate) fn push_name(&mut self, name: &str) -> bool {
        let is_new = !self.layer().has(name);
        if is_new {
            self.fields.push(Value::Str(name));
        }
        is_new
    }

    /// Like [`Event::new`] and [`Event::with_source`], but writes the message straight into the event.
    #[cfg(feature = "log")]
    pub(crate) fn dynamic_format(
        level: Level,
        target: &str,
        message: fmt::Arguments<'_>,
        module: Option<&str>,
        file: Option<&str>,
        line: Option<u32>,
    ) -> Self {
        if let Some(message) = message.as_str() {
            return Event::new(level, target, message).with_source(module, file, line);
        }
        let mut fields = EncodedFields::new(level as u8 | DYNAMIC);
        fields.push(target.to_value());
        fields.push_format(TextKind::Str, DYNAMIC_SITE.max_text(), |out| out.write_fmt(message));
        for value in [module.to_value(), file.to_value(), line.to_value()] {
            fields.push(value);
        }
        Event { callsite: &DYNAMIC_SITE, timestamp: 0, context: None, fields }
    }

    /// Like [`Event::add`], for a value that exists only as text.
    #[cfg(feature = "log")]
    pub(crate) fn add_display(&mut self, name: &str, value: &dyn fmt::Display) {
        if !self.layer().has(name) {
            self.fields.push(Value::Str(name));
            self.push_format(TextKind::Str, |out| write!(out, "{value}"));
        }
    }

    /// Adds a field, unless the event has one of that name.
    #[cfg(feature = "log")]
    pub(crate) fn add(&mut self, name: &str, value: Value<'_>) {
        if !self.layer().has(name) {
            self.fields.push_named(name, value);
        }
    }
}
