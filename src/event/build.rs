//! Anywhere (pure): how the crate and its macros build events and account for them.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::{
    Callsite, DYNAMIC, Event, FIXED_TIME, MESSAGE, Redactor, SharedFields, TRUNCATED, TextKind, Value, redact, template,
};

/// Building and accounting, for the crate and its macros.
impl Event {
    #[inline(always)]
    pub(crate) fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Error(chain) => self.fields.push_error(chain, self.callsite.max_text()),
            value => self.fields.push(value),
        }
    }

    pub(crate) fn push_format(&mut self, kind: TextKind, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
        self.fields.push_format(kind, self.callsite.max_text(), write);
    }

    /// Returns whether it has a message, be it an empty one: text, or a template.
    pub(crate) fn has_message(&self) -> bool {
        self.message_text().is_some() || !self.callsite.template.text.is_empty()
    }

    /// Returns whether every event of its call site has the same message.
    pub(crate) fn has_constant_message(&self) -> bool {
        self.fields.flags & (DYNAMIC | MESSAGE) == 0 && self.callsite.constant_message().is_some()
    }

    /// Returns the holes of its template that have a format, as its message shows them.
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
    pub(crate) fn set_context(&mut self, context: Option<Arc<SharedFields>>) {
        self.context = context;
    }

    pub(crate) fn in_context(mut self, context: Option<Arc<SharedFields>>) -> Self {
        self.context = context;
        self
    }

    #[inline]
    pub(crate) fn context(&self) -> Option<&Arc<SharedFields>> {
        self.context.as_ref()
    }

    /// Takes the event's context out of the queue's account, as the event leaves the queue. Returns the context that it had
    /// there.
    pub(crate) fn leave_queue(&mut self) -> Option<Arc<SharedFields>> {
        let outside = self.context.as_ref()?.after_dequeue()?.clone();
        std::mem::replace(&mut self.context, outside)
    }

    /// Returns the bytes on the heap that are this event's alone.
    #[inline]
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.fields.heap_bytes()
    }

    /// Returns whether [`Event::limit`] would truncate it.
    pub(crate) fn exceeds(&self, max: usize) -> bool {
        self.fields.bytes().len() > max
    }

    /// Masks the values of the event's own fields that the redactor hides; returns whether there were any.
    pub(crate) fn redact(&mut self, redactor: &Redactor) -> bool {
        let masked = redact::event(&self.fields, self.header_len(), self.callsite, redactor);
        masked.map(|masked| self.fields = masked).is_some()
    }

    /// Truncates a spilled event to `max` bytes on the heap, spare room included; returns whether a value was
    /// truncated.
    #[cold]
    pub(crate) fn limit(&mut self, max: usize) -> bool {
        if self.fields.bytes().len() <= max {
            self.fields.shrink(max);
            return false;
        }
        let names = self.callsite.names.len() + self.header_len();
        self.fields.truncate_to(max, names);
        self.fields.flags |= TRUNCATED;
        true
    }
}
