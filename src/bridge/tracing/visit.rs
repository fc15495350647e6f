//! The caller's thread: the values of an event or a span, written straight into their encoding.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing_core::field::{Field, Visit};
use tracing_core::span;

use super::site::{EventSite, LOG_FILE, LOG_LINE, LOG_MODULE, LOG_TARGET, MESSAGE};
use crate::event::{Callsite, ErrorChain, Event, FieldPairs, Level, TextKind, ToValue, Value};

/// Implements `Visit` by two methods: `value` for a typed value, `format` for one that exists only as a formatting.
macro_rules! visit_by_value_and_format {
    ($visitor:ty) => {
        impl Visit for $visitor {
            fn record_f64(&mut self, field: &Field, value: f64) {
                self.value(field, Value::widened(value));
            }

            fn record_i64(&mut self, field: &Field, value: i64) {
                self.value(field, Value::I64(value));
            }

            fn record_u64(&mut self, field: &Field, value: u64) {
                self.value(field, Value::U64(value));
            }

            fn record_i128(&mut self, field: &Field, value: i128) {
                self.value(field, Value::I128(value));
            }

            fn record_u128(&mut self, field: &Field, value: u128) {
                self.value(field, Value::U128(value));
            }

            fn record_bool(&mut self, field: &Field, value: bool) {
                self.value(field, Value::Bool(value));
            }

            fn record_str(&mut self, field: &Field, value: &str) {
                self.value(field, Value::Str(value));
            }

            fn record_bytes(&mut self, field: &Field, value: &[u8]) {
                self.value(field, Value::Bytes(value));
            }

            fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
                self.value(field, Value::Error(ErrorChain::live(value)));
            }

            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.format(field, value);
            }
        }
    };
}

/// Encodes the event, as its site allows.
#[inline]
pub(super) fn encode(event: &tracing_core::Event<'_>, site: &'static EventSite, level: Level) -> Event {
    if site.is_regular {
        let mut visitor = InOrder { event: site.begin(&site.in_order, level), next: 0, has_message: site.has_message };
        event.record(&mut visitor);
        if visitor.next == site.fields {
            return visitor.event;
        }
    }
    encode_by_name(event, site, level)
}

/// Encodes events with absent values (`None`, `Empty`), and those that put their message last.
#[cold]
fn encode_by_name(event: &tracing_core::Event<'_>, site: &'static EventSite, level: Level) -> Event {
    let mut ours = site.begin(&site.by_name, level);
    if site.has_message {
        push_only(event, MESSAGE, MetadataField::Text, &mut ours);
    }
    event.record(&mut ByName { event: &mut ours, except: &[MESSAGE] });
    ours
}

/// Encodes a record of `log`, with its own target, file and line.
#[cold]
pub(super) fn encode_log_record(event: &tracing_core::Event<'_>, level: Level) -> Event {
    let mut ours = Event::with_header(level);
    push_only(event, LOG_TARGET, MetadataField::Text, &mut ours);
    push_only(event, MESSAGE, MetadataField::Text, &mut ours);
    push_only(event, LOG_MODULE, MetadataField::Text, &mut ours);
    push_only(event, LOG_FILE, MetadataField::Text, &mut ours);
    push_only(event, LOG_LINE, MetadataField::Value, &mut ours);
    event.record(&mut ByName { event: &mut ours, except: &[LOG_TARGET, MESSAGE, LOG_MODULE, LOG_FILE, LOG_LINE] });
    ours
}

/// Encodes an event that was made of a span's metadata.
#[cold]
pub(super) fn encode_span_event(event: &tracing_core::Event<'_>, level: Level) -> Event {
    let metadata = event.metadata();
    let mut ours = Event::with_header(level);
    ours.push(metadata.target().to_value());
    push_only(event, MESSAGE, MetadataField::Text, &mut ours);
    ours.push(metadata.module_path().to_value());
    ours.push(metadata.file().to_value());
    ours.push(metadata.line().to_value());
    event.record(&mut ByName { event: &mut ours, except: &[MESSAGE] });
    ours
}

impl EventSite {
    #[inline]
    fn begin(&self, callsite: &'static Callsite, level: Level) -> Event {
        if self.has_message { Event::with_message(callsite, level) } else { Event::__new(callsite, level) }
    }
}

/// Takes each field in its place, and none from the first that is not.
struct InOrder {
    event: Event,
    next: usize,
    has_message: bool,
}

impl InOrder {
    /// Returns whether this field's value is due.
    #[inline(always)]
    fn takes(&mut self, field: &Field) -> bool {
        let is_due = field.index() == self.next;
        // Past every index: nothing is due any more.
        self.next = if is_due { self.next + 1 } else { usize::MAX };
        is_due
    }

    #[inline(always)]
    fn is_message(&self) -> bool {
        self.has_message && self.next == 1
    }

    #[inline(always)]
    fn value(&mut self, field: &Field, value: Value<'_>) {
        if self.takes(field) {
            if self.is_message() { push_text(&mut self.event, value) } else { self.event.push(value) }
        }
    }

    #[inline(always)]
    fn format(&mut self, field: &Field, value: &dyn Debug) {
        if self.takes(field) {
            let kind = if self.is_message() { TextKind::Str } else { TextKind::Debug };
            self.event.push_format(kind, |out| write!(out, "{value:?}"));
        }
    }
}

visit_by_value_and_format!(InOrder);

/// Pushes a message, which need not be given as text.
fn push_text(event: &mut Event, value: Value<'_>) {
    match value {
        Value::Str(text) => event.push(Value::Str(text)),
        value => event.push_format(TextKind::Str, |out| write!(out, "{value}")),
    }
}

struct ByName<'e> {
    event: &'e mut Event,
    except: &'e [&'e str],
}

impl ByName<'_> {
    fn takes(&mut self, field: &Field) -> bool {
        !self.except.contains(&field.name()) && self.event.push_name(field.name())
    }

    fn value(&mut self, field: &Field, value: Value<'_>) {
        if self.takes(field) {
            self.event.push(value);
        }
    }

    fn format(&mut self, field: &Field, value: &dyn Debug) {
        if self.takes(field) {
            self.event.push_format(TextKind::Debug, |out| write!(out, "{value:?}"));
        }
    }
}

visit_by_value_and_format!(ByName<'_>);

#[derive(Clone, Copy, PartialEq)]
enum MetadataField {
    Text,
    Value,
}

/// Pushes the one value of this name; null if it is absent.
fn push_only(event: &tracing_core::Event<'_>, name: &str, kind: MetadataField, ours: &mut Event) {
    let mut only = OneField { event: ours, name, kind, is_there: false };
    event.record(&mut only);
    if !only.is_there {
        ours.push(Value::Null);
    }
}

struct OneField<'e> {
    event: &'e mut Event,
    name: &'e str,
    kind: MetadataField,
    is_there: bool,
}

impl OneField<'_> {
    fn takes(&mut self, field: &Field) -> bool {
        let takes = !self.is_there && field.name() == self.name;
        self.is_there |= takes;
        takes
    }

    fn value(&mut self, field: &Field, value: Value<'_>) {
        if self.takes(field) {
            match self.kind {
                MetadataField::Text => push_text(self.event, value),
                MetadataField::Value => self.event.push(value),
            }
        }
    }

    fn format(&mut self, field: &Field, value: &dyn Debug) {
        if self.takes(field) {
            self.event.push_format(TextKind::Str, |out| write!(out, "{value:?}"));
        }
    }
}

visit_by_value_and_format!(OneField<'_>);

/// Returns the fields a span was opened with.
pub(super) fn attributes(attributes: &span::Attributes<'_>) -> FieldPairs {
    let mut visitor = Collect(FieldPairs::new());
    attributes.record(&mut visitor);
    visitor.0
}

/// Returns the fields recorded on a span later.
pub(super) fn recorded(record: &span::Record<'_>) -> FieldPairs {
    let mut visitor = Collect(FieldPairs::new());
    record.record(&mut visitor);
    visitor.0
}

struct Collect(FieldPairs);

impl Collect {
    fn value(&mut self, field: &Field, value: Value<'_>) {
        self.0.set(field.name(), value);
    }

    fn format(&mut self, field: &Field, value: &dyn Debug) {
        self.0.set_format(field.name(), TextKind::Debug, |out: &mut dyn fmt::Write| write!(out, "{value:?}"));
    }
}

visit_by_value_and_format!(Collect);
