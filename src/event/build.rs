//! Anywhere (pure): how the crate and its macros build events and account for them.

use std::fmt::{self, Write};
use std::sync::Arc;

#[cfg(feature = "tracing")]
use super::Pairs;
use super::encoding::Encoded;
use super::{
    Callsite, Context, DYNAMIC, DYNAMIC_SITE, Event, FIXED_TIME, Level, MESSAGE, Redactor, TRUNCATED, TextKind,
};
use super::{ToValue, Value, redact, template};

/// What the bridges build events from.
#[cfg(feature = "tracing")]
impl Event {
    /// An event of a static call site whose first value will be its message: text, not a template.
    #[inline]
    pub(crate) const fn with_message(callsite: &'static Callsite, level: Level) -> Self {
        Event { callsite, timestamp: 0, context: None, fields: Encoded::new(level as u8 | MESSAGE) }
    }

    /// An event whose first five values will be target, message, module, file and line.
    pub(crate) const fn with_header(level: Level) -> Self {
        Event { callsite: &DYNAMIC_SITE, timestamp: 0, context: None, fields: Encoded::new(level as u8 | DYNAMIC) }
    }

    /// Adds the fields whose names the event does not have.
    pub(crate) fn push_all(&mut self, fields: &Pairs) {
        for (name, value) in fields.layer() {
            if self.push_name(name) {
                self.fields.push(value);
            }
        }
    }

    /// Adds a name, whose value is to be pushed next, unless the event has a field of that name.
    pub(crate) fn push_name(&mut self, name: &str) -> bool {
        let is_new = !self.layer().has(name);
        if is_new {
            self.fields.push(Value::Str(name));
        }
        is_new
    }
}

/// Building and accounting, for the crate and its macros.
impl Event {
    #[inline(always)]
    pub(crate) fn push(&mut self, value: Value<'_>) {
        self.fields.push(value);
    }

    pub(crate) fn push_format(&mut self, kind: TextKind, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        self.fields.push_format(kind, write);
    }

    /// As [`Event::with`].
    pub(crate) fn add(&mut self, name: &str, value: Value<'_>) {
        if !self.layer().has(name) {
            self.fields.push_named(name, value);
        }
    }

    /// As [`Event::dynamic_at`], without a message made before: it is written straight into the event.
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
            return Event::dynamic_at(level, target, message, module, file, line);
        }
        let mut fields = Encoded::new(level as u8 | DYNAMIC);
        fields.push(target.to_value());
        fields.push_format(TextKind::Str, |out| out.write_fmt(message));
        for value in [module.to_value(), file.to_value(), line.to_value()] {
            fields.push(value);
        }
        Event { callsite: &DYNAMIC_SITE, timestamp: 0, context: None, fields }
    }

    /// As [`Event::add`], for what exists as text alone.
    #[cfg(feature = "log")]
    pub(crate) fn add_display(&mut self, name: &str, value: &dyn fmt::Display) {
        if !self.layer().has(name) {
            self.fields.push(Value::Str(name));
            self.fields.push_format(TextKind::Str, |out| write!(out, "{value}"));
        }
    }

    /// Whether every event of its call site has the same message.
    pub(crate) fn has_constant_message(&self) -> bool {
        self.fields.flags & (DYNAMIC | MESSAGE) == 0 && self.callsite.constant_message().is_some()
    }

    /// The holes of its template that have a format, as its message shows them.
    pub(crate) fn formatted_holes(&self) -> impl Iterator<Item = template::Filled<'_>> {
        let template = self.template().is_some().then_some(&self.callsite.template);
        template.into_iter().flat_map(|template| template::formatted(template, self.layer().values))
    }

    #[inline]
    pub(crate) fn callsite(&self) -> Option<&'static Callsite> {
        (!self.is_dynamic()).then_some(self.callsite)
    }

    /// Sets the time of emission, unless the event came with a time of its own.
    #[inline]
    pub(crate) fn stamp(&mut self, nanos: u64) {
        if self.fields.flags & FIXED_TIME == 0 {
            self.timestamp = nanos;
        }
    }

    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        self.timestamp
    }

    #[inline]
    pub(crate) fn set_context(&mut self, context: Option<Arc<Context>>) {
        self.context = context;
    }

    pub(crate) fn in_context(mut self, context: Option<Arc<Context>>) -> Self {
        self.context = context;
        self
    }

    #[inline]
    pub(crate) fn context(&self) -> Option<&Arc<Context>> {
        self.context.as_ref()
    }

    /// The event leaves the queue, whose account no longer pays for its context.
    pub(crate) fn leave_queue(&mut self) {
        if let Some(context) = &self.context
            && let Some(outside) = context.outside()
        {
            self.context = Some(outside.clone());
        }
    }

    /// Bytes on the heap that are this event's alone.
    #[inline]
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.fields.heap_bytes()
    }

    /// Whether [`Event::limit`] would cut it.
    pub(crate) fn exceeds(&self, max: usize) -> bool {
        self.fields.bytes().len() > max
    }

    /// Puts a mask in place of the values of the event's own fields that the redactor hides; returns whether there were any.
    pub(crate) fn redact(&mut self, redactor: &Redactor) -> bool {
        let masked = redact::event(&self.fields, self.header_len(), self.callsite, redactor);
        masked.map(|masked| self.fields = masked).is_some()
    }

    /// Brings a spilled event down to `max` bytes on the heap, spare room included; returns whether a value was cut.
    #[cold]
    pub(crate) fn limit(&mut self, max: usize) -> bool {
        if self.fields.bytes().len() <= max {
            self.fields.shrink(max);
            return false;
        }
        let names = self.callsite.names.len() + self.header_len();
        self.fields.cut_to(max, names);
        self.fields.flags |= TRUNCATED;
        true
    }
}
