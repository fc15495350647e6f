//! Anywhere (pure): the data that travels: events, their fields, batches of them. No I/O, no clock, no tokio.
//!
//! In: the macros, the bridges and [`Event::new`] make events; their values are encoded at once, by `encoding`.
//! `logger` and `queue` add the time, the context (`shared_fields`) and the masks of `redact`.
//!
//! Out: a [`Batch`] of [`Record`]s for `sink`, and for `format` a record's message and [`Fields`].
//!
//! Invariants:
//! * An event is 128 bytes: two cache lines.
//! * A value keeps its type from the call to the sink, unless it is truncated in an event that is too long.
//! * A record has each name once: the event's own field comes before its context's, and that before the logger's
//!   enrichment. A span's field that another one hides is kept under a qualified name (`nested_fields`).
//! * A call site caches the decisions of a filter and of a redactor, each under its generation.
//!
//! Next: `filter` decides on the event by level and target.
//!
//! A type of values is a variant of [`Value`] (`value`) with a tag in `encoding`; the syntax of templates is in
//! `template`, what redaction hides in `redact`, the limit on an event's size in `encoding`.

mod batch;
mod build;
mod callsite;
mod encoding;
mod field_set;
#[cfg(any(feature = "log", feature = "tracing"))]
mod foreign;
mod id;
mod level;
mod message;
#[cfg(feature = "tracing")]
mod nested_fields;
mod record;
mod redact;
mod sensitive;
mod shared_fields;
#[cfg(feature = "spool")]
pub(crate) mod stored;
mod template;
mod value;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use batch::Batch;
#[doc(hidden)]
pub use callsite::Callsite;
pub use encoding::Fields;
pub(crate) use encoding::TextKind;
use encoding::{EncodedFields, FieldLayer, Reader};
pub use field_set::FieldSet;
pub use id::EventId;
pub use level::{Level, LevelFilter, ParseLevelError};
pub use message::Message;
#[cfg(feature = "tracing")]
pub(crate) use nested_fields::NestedFields;
pub use record::Record;
pub(crate) use redact::{MASK, Pattern, Redactor};
#[cfg(feature = "config")]
pub(crate) use sensitive::SENSITIVE;
pub use sensitive::Sensitive;
#[cfg(feature = "tracing")]
pub(crate) use shared_fields::FieldPairs;
pub(crate) use shared_fields::SharedFields;
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

/// The field with the number of events that a call site's sampling skipped.
const SAMPLED_OUT: &str = "sampled_out";

/// The call site of every event that has none of its own.
static DYNAMIC_SITE: Callsite = Callsite::new("", "", "", 0, Template::new("", &[]), &[]);

/// Lets formatted texts of events without a call site of their own be as long as an event of this logger.
pub(crate) fn allow_event_bytes(bytes: usize) {
    DYNAMIC_SITE.allow_text(bytes);
}

/// One thing that happened: a level, a time, a message template and typed fields.
///
/// Created by the macros ([`new_event!`](crate::new_event!) returns it, the others emit it), or by [`Event::new`] if
/// nothing is known when the program compiles. It is 128 bytes by value; fields beyond about 94 bytes move to the heap.
#[derive(Clone)]
#[must_use = "an event does nothing until a logger emits it"]
pub struct Event {
    callsite: &'static Callsite,
    /// Nanoseconds since the Unix epoch, 0 until emitted.
    timestamp: u64,
    context: Option<Arc<SharedFields>>,
    fields: EncodedFields,
}

const _: () = assert!(size_of::<Event>() == 128);

impl Event {
    #[doc(hidden)]
    #[inline]
    pub const fn __new(callsite: &'static Callsite, level: Level) -> Self {
        Event { callsite, timestamp: 0, context: None, fields: EncodedFields::new(level as u8) }
    }

    #[doc(hidden)]
    pub fn __sampled_out(&mut self, events: u64) {
        if events > 0 && !self.layer().has(SAMPLED_OUT) {
            self.fields.push_named(SAMPLED_OUT, Value::U64(events));
        }
    }

    /// Creates an event whose target and message are not known when the program compiles. The message is text, not a
    /// template.
    pub fn new(level: Level, target: &str, message: &str) -> Self {
        let mut fields = EncodedFields::new(level as u8 | DYNAMIC);
        fields.push(target.to_value());
        fields.push(message.to_value());
        // Module, file and line.
        for _ in 2..DYNAMIC_HEADER {
            fields.push(Value::Null);
        }
        Event { callsite: &DYNAMIC_SITE, timestamp: 0, context: None, fields }
    }

    /// Sets the place in the source it came from. An event that a macro created keeps the place of its call.
    #[must_use = "returns the event with the source"]
    pub fn with_source(mut self, module: Option<&str>, file: Option<&str>, line: Option<u32>) -> Self {
        if self.is_dynamic() {
            let source = [module.to_value(), file.to_value(), line.to_value()];
            self.fields = self.fields.with_values(2, source, DYNAMIC_HEADER);
        }
        self
    }

    /// Adds a field, or sets the value of the field of that name: the last value wins.
    #[must_use = "returns the event with the field"]
    pub fn with(mut self, name: &str, value: impl ToValue) -> Self {
        let value = value.to_value();
        match self.layer().position(|(own, _)| own == name) {
            None => self.fields.push_named(name, value),
            Some(field) => {
                let header = self.header_len();
                self.fields = self.fields.with_values(header + field, [value], header + self.callsite.names.len());
            }
        }
        self
    }

    /// Sets the time it happened, instead of the time it is emitted. A time before 1970 or after 2554 is not
    /// representable and becomes the nearest that is.
    #[must_use = "returns the event with the time"]
    pub fn with_timestamp(mut self, time: SystemTime) -> Self {
        self.timestamp = nanos(time);
        self.fields.flags |= FIXED_TIME;
        self
    }

    /// Returns the level.
    #[inline]
    pub fn level(&self) -> Level {
        Level::from_bits(self.fields.flags)
    }

    /// Returns the time it was emitted, or that of [`Event::with_timestamp`]. Before that: the Unix epoch.
    pub fn timestamp(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.timestamp)
    }

    /// Returns the target, by which filters decide: the module's path, unless the call gives another.
    pub fn target(&self) -> &str {
        self.header(0).unwrap_or(self.callsite.target)
    }

    /// Returns the module's path.
    pub fn module(&self) -> Option<&str> {
        self.header(2).or(Some(self.callsite.module)).filter(|module| !module.is_empty())
    }

    /// Returns the source file.
    pub fn file(&self) -> Option<&str> {
        self.header(3).or(Some(self.callsite.file)).filter(|file| !file.is_empty())
    }

    /// Returns the line in the source file.
    pub fn line(&self) -> Option<u32> {
        if !self.is_dynamic() {
            return Some(self.callsite.line);
        }
        match Reader::new(self.fields.bytes()).nth(DYNAMIC_HEADER - 1)? {
            Value::U64(line) => line.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the message template, as written in the call; none for an [`Event::new`], and for a library's call site
    /// that gives only the finished message.
    pub fn template(&self) -> Option<&'static str> {
        (self.header_len() == 0).then_some(self.callsite.template.text)
    }

    /// Returns the message: the template with its holes filled.
    pub fn message(&self) -> Message<'_> {
        Message(self)
    }

    /// Returns the event's fields and, for names it does not have itself, its context's.
    pub fn fields(&self) -> Fields<'_> {
        Record::from(self).fields()
    }

    /// Returns whether a value was truncated because the event was longer than the logger allows.
    pub fn is_truncated(&self) -> bool {
        self.fields.flags & TRUNCATED != 0
    }

    fn is_dynamic(&self) -> bool {
        self.fields.flags & DYNAMIC != 0
    }

    /// Returns the number of values before those of the static names.
    fn header_len(&self) -> usize {
        match self.fields.flags & (DYNAMIC | MESSAGE) {
            0 => 0,
            MESSAGE => 1,
            _ => DYNAMIC_HEADER,
        }
    }

    /// Returns the message of an event that has it as text, not as a template.
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
        // Not `nth`: it would check the texts it skips for UTF-8.
        for _ in 0..index {
            values.skip_value();
        }
        values.name()
    }

    /// Returns the event's own fields.
    fn layer(&self) -> FieldLayer<'_> {
        let mut values = Reader::new(self.fields.bytes());
        for _ in 0..self.header_len() {
            values.skip_value();
        }
        FieldLayer { names: self.callsite.names, values }
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

/// Returns nanoseconds since the Unix epoch, clamped to 64 bits.
#[inline]
pub(crate) fn nanos(time: SystemTime) -> u64 {
    // In 64 bits: the 128 of `as_nanos` are twice the instructions.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(since.subsec_nanos().into())
}
