//! Anywhere (pure): several lines per event, for people.
//!
//! In: records from a sink. Out: lines. `lines.rs` lays out fields after the guide, `document.rs` indents JSON.
//!
//! Invariant: every line except an event's first begins with the guide.

mod document;
mod lines;

use super::Format;
use super::embedded;
use super::text::{self, Head};
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{ErrorChain, Record, Value};
use lines::LineLayout;

/// The columns if the terminal's are not known.
pub(crate) const COLUMNS: usize = 100;

/// Several lines of text per event, for a developer's terminal. Needs the feature `pretty`.
///
/// ```text
/// 2026-11-21T21:19:00.123Z ERROR checkout::api: order 17 failed
///   │ user_id=7  ip=10.0.0.1  retries=3
///   │ error: cannot charge the card
///   │   caused by: the bank did not answer
///   │   caused by: connection reset by peer
///   │ request:
///   │   {
///   │     "items": [{"sku": "A-1", "count": 2}, {"sku": "B-7", "count": 1}],
///   │     "note": "please leave the parcel at the door, the bell does not work"
///   │   }
/// ```
///
/// The first line is that of [`Text`](super::Text) up to the message. The fields that the message does not show follow
/// after a guide:
///
/// * short fields share a line, written like in `Text`, up to the [width](Pretty::width); a field longer than that has
///   a line of its own, which is not broken;
/// * text of several lines (a pretty `{:#?}`, say) is below its name, on one line each;
/// * an error with sources, or of several lines, has a line for its message and a `caused by` line for each source;
/// * a JSON document that does not fit the line, or has a `=`, is below its name and indented: two blanks per level, with
///   objects and arrays that fit on one line, or are more than 8 levels deep, on one line;
/// * `…[truncated]` is the last line if a value was truncated because the event exceeded the logger's size limit.
///
/// By default the time is UTC, there is no color, and a line has 100 columns.
///
/// **No event can forge another**: every line except the first begins with the guide. In the lines of a message or a
/// value, three blanks or more follow the guide, where a field has one. So none of them can look like an event or a
/// field. In them everything is escaped that `Text` escapes, except the newlines between them: no event can control a
/// terminal. A message is free text, and the terminal breaks a line longer than itself without a guide.
///
/// # Examples
/// ```
/// use logweir::event::Record;
/// use logweir::format::Pretty;
/// use logweir::{Event, Format, Level};
///
/// let event = Event::new(Level::Warn, "shop", "late").with("order", 17).with("sql", "SELECT *\nFROM orders");
/// let mut out = Vec::new();
/// Pretty::new().width(80).format(&Record::from(&event), &mut out);
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     "\
/// 1970-01-01T00:00:00.000Z  WARN shop: late
///   │ order=17
///   │ sql:
///   │   SELECT *
///   │   FROM orders
/// "
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Pretty {
    head: Head,
    width: usize,
    /// A buffer for text, kept for its capacity.
    text: String,
    value: Vec<u8>,
}

impl Pretty {
    /// Creates the format with its defaults: UTC, no color, 100 columns.
    pub fn new() -> Self {
        Pretty { head: Head::new(), width: COLUMNS, text: String::new(), value: Vec::new() }
    }

    /// Sets the offset from UTC in which times are written. Default: UTC.
    #[must_use = "returns the format with the offset"]
    pub fn utc_offset(mut self, offset: UtcOffset) -> Self {
        self.head.timestamp = Timestamp::new(Precision::Millis, offset);
        self
    }

    /// Sets whether events are colored by ANSI escape sequences (ECMA-48): the level by its importance; time, target,
    /// names and guides are dimmed. The sequences do not count toward the [width](Pretty::width). Default: no.
    #[must_use = "returns the format with or without colours"]
    pub fn colors(mut self, on: bool) -> Self {
        self.head.colors = on;
        self
    }

    /// Sets the columns of a line that fields share. Default: 100. Characters count as the columns that they take in a
    /// terminal (Unicode Standard Annex 11): `日` is two, a combining accent none.
    ///
    /// Any number is valid: if a line is too short for two fields, each has one of its own.
    #[must_use = "returns the format with the width"]
    pub fn width(mut self, columns: usize) -> Self {
        self.width = columns;
        self
    }
}

impl Default for Pretty {
    fn default() -> Self {
        Pretty::new()
    }
}

impl Format for Pretty {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.head.write(record, out);
        self.text.clear();
        record.message().write_to(&mut self.text).expect("memory takes every byte, and values were formatted before");
        let mut lines = LineLayout::new(out, self.width, self.head.colors);
        lines.rest_and_more(&self.text);
        for (name, value) in record.fields_beside_message() {
            write_field(name, value, &mut lines, &mut self.value);
        }
        if record.is_truncated() {
            lines.mark("…[truncated]");
        }
        out.push(b'\n');
    }
}

/// `scratch` is for the value's text.
fn write_field(name: &str, value: Value<'_>, lines: &mut LineLayout<'_>, scratch: &mut Vec<u8>) {
    scratch.clear();
    match value {
        Value::Json(document) if embedded::write(document, scratch) => {
            let document = std::str::from_utf8(scratch).unwrap_or(document);
            if lines.holds(name, document) && text::needs_no_quotes(document) {
                lines.field(name, document);
            } else {
                lines.name(name);
                document::write(document, lines);
            }
        }
        Value::Str(text) | Value::Debug(text) | Value::Json(text) if text.contains('\n') => {
            lines.name(name);
            text.split('\n').for_each(|line| lines.text(line));
        }
        Value::Error(chain) if is_long(&chain) => {
            lines.name(name);
            let mut messages = chain.messages();
            lines.rest_and_more(&messages.next().unwrap_or_default());
            messages.for_each(|message| lines.cause(&message));
        }
        _ => {
            text::write_value(value, scratch);
            lines.field(name, std::str::from_utf8(scratch).unwrap_or_default());
        }
    }
}

fn is_long(chain: &ErrorChain<'_>) -> bool {
    chain.messages().nth(1).is_some() || chain.messages().any(|message| message.contains('\n'))
}
