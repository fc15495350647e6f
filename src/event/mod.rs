//! Anywhere (pure): what travels. No I/O, no clock, no tokio.

mod batch;
mod callsite;
mod encoding;
mod field_set;
mod level;
mod redact;
mod sensitive;
mod shared_fields;
mod template;
mod value;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use batch::Batch;
#[doc(hidden)]
pub use callsite::Callsite;
pub use encoding::Fields;
pub(crate) use encoding::TextKind;
use encoding::{Encoded, Layer, Reader};
pub use field_set::FieldSet;
pub use level::{Level, LevelFilter, ParseLevelError};
pub(crate) use redact::{MASK, Pattern, Redactor};
pub use sensitive::Sensitive;
pub(crate) use shared_fields::Context;
#[cfg(feature = "tracing")]
pub(crate) use shared_fields::Pairs;
#[doc(hidden)]
pub use template::{Hole, Piece, Template, count, dotted, dotted_len, field_name, parse, text};
pub use value::{ErrorChain, ToValue, Value, err};

/// The low three bits of the flag byte are the level.
const TRUNCATED: u8 = 1 << 3;
const FIXED_TIME: u8 = 1 << 4;
/// The event's fields begin with its target, message, module, file and line.
const DYNAMIC: u8 = 1 << 5;

/// The event's fields begin with its message, which is text and not a template. Not together with `DYNAMIC`.
const MESSAGE: u8 = 1 << 6;

const DYNAMIC_HEADER: usize = 5;

/// The field that says how many events a call site's sampling left out.
const LEFT_OUT: &str = "sampled_out";

/// The call site of every event that has none of its own.
static DYNAMIC_SITE: Callsite = Callsite::new("", "", "", 0, Template::new("", &[]), &[]);

/// One thing that happened: a level, a time, a message template and typed fields.
///
/// Made by the macros ([`event!`](crate::event!) gives it to you, the others emit it), or by [`Event::dynamic`] where
/// nothing is known when the program compiles. It is 128 bytes by value; fields beyond about 94 bytes move to the heap.
#[derive(Clone)]
pub struct Event {
    callsite: &'static Callsite,
    /// Nanoseconds since the Unix epoch, 0 until emitted.
    timestamp: u64,
    context: Option<Arc<Context>>,
    fields: Encoded,
}

const _: () = assert!(size_of::<Event>() == 128);

impl Event {
    #[doc(hidden)]
    #[inline]
    pub const fn __new(callsite: &'static Callsite, level: Level) -> Self {
        Event { callsite, timestamp: 0, context: None, fields: Encoded::new(level as u8) }
    }

    #[doc(hidden)]
    pub fn __left_out(&mut self, events: u64) {
        if events > 0 && !self.layer().has(LEFT_OUT) {
            self.fields.push_named(LEFT_OUT, Value::U64(events));
        }
    }

    /// An event whose target and message are not known when the program compiles. The message is text, not a template.
    pub fn dynamic(level: Level, target: &str, message: &str) -> Self {
        Event::dynamic_at(level, target, message, None, None, None)
    }

    /// As [`Event::dynamic`], with the place in the source it came from.
    pub fn dynamic_at(
        level: Level,
        target: &str,
        message: &str,
        module: Option<&str>,
        file: Option<&str>,
        line: Option<u32>,
    ) -> Self {
        let mut fields = Encoded::new(level as u8 | DYNAMIC);
        for value in [target.to_value(), message.to_value(), module.to_value(), file.to_value(), line.to_value()] {
            fields.push(value);
        }
        Event { callsite: &DYNAMIC_SITE, timestamp: 0, context: None, fields }
    }

    /// Adds a field. A name the event already has keeps the value it has.
    #[must_use = "returns the event with the field"]
    pub fn with(mut self, name: &str, value: impl ToValue) -> Self {
        self.add(name, value.to_value());
        self
    }

    /// Sets the time it happened, instead of the time it is emitted. Times before 1970 or after 2554 are not
    /// representable and become the nearest that is.
    #[must_use = "returns the event with the time"]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.timestamp = nanos(time);
        self.fields.flags |= FIXED_TIME;
        self
    }

    /// How important it is.
    #[inline]
    pub fn level(&self) -> Level {
        Level::from_bits(self.fields.flags)
    }

    /// When it was emitted (or what [`Event::at`] said). Before that: the Unix epoch.
    pub fn timestamp(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }

    /// What filters go by: the module's path, unless the call gave another.
    pub fn target(&self) -> &str {
        self.header(0).unwrap_or(self.callsite.target)
    }

    /// The module's path.
    pub fn module(&self) -> Option<&str> {
        self.header(2).or(Some(self.callsite.module)).filter(|module| !module.is_empty())
    }

    /// The source file.
    pub fn file(&self) -> Option<&str> {
        self.header(3).or(Some(self.callsite.file)).filter(|file| !file.is_empty())
    }

    /// The line in the source file.
    pub fn line(&self) -> Option<u32> {
        if !self.is_dynamic() {
            return Some(self.callsite.line);
        }
        match Reader::new(self.fields.bytes()).nth(DYNAMIC_HEADER - 1)? {
            Value::U64(line) => line.try_into().ok(),
            _ => None,
        }
    }

    /// The message template, as written in the call; none for an [`Event::dynamic`] and where a library's call site
    /// gives only the finished message.
    pub fn template(&self) -> Option<&'static str> {
        (self.header_len() == 0).then_some(self.callsite.template.text)
    }

    /// The message: the template with its holes filled.
    pub fn message(&self) -> Message<'_> {
        Message(self)
    }

    /// The event's fields and, for names it does not have itself, its context's.
    pub fn fields(&self) -> Fields<'_> {
        Record { event: self, enrichment: None }.fields()
    }

    /// Whether a value was cut because the event was longer than the logger allows.
    pub fn is_truncated(&self) -> bool {
        self.fields.flags & TRUNCATED != 0
    }

    fn is_dynamic(&self) -> bool {
        self.fields.flags & DYNAMIC != 0
    }

    /// The values before those of the static names.
    fn header_len(&self) -> usize {
        match self.fields.flags & (DYNAMIC | MESSAGE) {
            0 => 0,
            MESSAGE => 1,
            _ => DYNAMIC_HEADER,
        }
    }

    /// The message of an event whose template is not it.
    fn message_text(&self) -> Option<&str> {
        match self.fields.flags & (DYNAMIC | MESSAGE) {
            0 => None,
            MESSAGE => Reader::new(self.fields.bytes()).name(),
            _ => self.header(1),
        }
    }

    fn header(&self, index: usize) -> Option<&str> {
        if !self.is_dynamic() {
            return None;
        }
        let mut values = Reader::new(self.fields.bytes());
        // Not `nth`: it would check the texts it passes over for UTF-8.
        for _ in 0..index {
            values.skip_value();
        }
        values.name()
    }

    /// The event's own fields.
    fn layer(&self) -> Layer<'_> {
        let mut values = Reader::new(self.fields.bytes());
        for _ in 0..self.header_len() {
            values.skip_value();
        }
        Layer { names: self.callsite.names, values }
    }
}

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

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("level", &self.level())
            .field("target", &self.target())
            .field("message", &self.message().to_string())
            .field("fields", &self.fields())
            .finish_non_exhaustive()
    }
}

/// Nanoseconds since the Unix epoch, clamped to what 64 bits hold.
#[inline]
pub(crate) fn nanos(time: SystemTime) -> u64 {
    // In 64 bits: on every call's way, and the 128 of `as_nanos` are twice the instructions.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(since.subsec_nanos().into())
}

/// An event's message, rendered when it is printed.
#[derive(Clone, Copy)]
pub struct Message<'a>(&'a Event);

impl Message<'_> {
    /// Writes the message as plain text, without escapes.
    ///
    /// # Errors
    /// Those of `out`.
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

/// An event as a sink or a format sees it: with the logger's enrichment.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    event: &'a Event,
    enrichment: Option<&'a Context>,
}

impl<'a> Record<'a> {
    /// The event itself.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// How important it is.
    pub fn level(&self) -> Level {
        self.event.level()
    }

    /// When it was emitted, in nanoseconds since the Unix epoch.
    pub fn timestamp_nanos(&self) -> u64 {
        self.event.timestamp
    }

    /// When it was emitted.
    pub fn timestamp(&self) -> SystemTime {
        self.event.timestamp()
    }

    /// What filters go by.
    pub fn target(&self) -> &'a str {
        self.event.target()
    }

    /// The message: the template with its holes filled.
    pub fn message(&self) -> Message<'a> {
        self.event.message()
    }

    /// Every field once: the event's own, then its context's, then the logger's enrichment.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new([
            self.event.layer(),
            self.event.context.as_deref().map(Context::layer).unwrap_or_default(),
            self.enrichment.map(Context::layer).unwrap_or_default(),
        ])
    }

    /// The fields that the message does not already show, for formats people read.
    pub fn fields_beside_message(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let record = *self;
        let fields = self.fields().enumerate();
        fields.filter(move |(index, (name, _))| !record.shows(*index, name)).map(|(_, field)| field)
    }

    /// Whether the message shows the field of this number and name.
    pub(crate) fn shows(&self, index: usize, name: &str) -> bool {
        let Callsite { names, template, .. } = self.event.callsite;
        // An event that was cut may lack the last fields of its call site.
        names.get(index).is_some_and(|own| std::ptr::eq(*own, name)) && template::shows(template, index)
    }

    /// The value of the field of this name.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Whether a value was cut because the event was longer than the logger allows.
    pub fn is_truncated(&self) -> bool {
        self.event.is_truncated()
    }
}

impl<'a> From<&'a Event> for Record<'a> {
    fn from(event: &'a Event) -> Self {
        Record { event, enrichment: None }
    }
}

impl<'a> Record<'a> {
    pub(crate) fn enriched(event: &'a Event, enrichment: Option<&'a Context>) -> Self {
        Record { event, enrichment }
    }
}
