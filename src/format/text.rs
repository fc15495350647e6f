//! Anywhere (pure): one line per event, for people.

use super::Format;
use super::escape::{Escape, Stops, escape, escape_message, hex, is_hidden, is_plain, stops};
use super::quoting::{is_nested, is_quoted};
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{ErrorChain, Level, Record, Value};

/// One line of text per event, for people.
///
/// ```text
/// 2026-11-21T21:19:00.123Z  INFO checkout::api: user ada logged in user_id=7 ip=10.0.0.1
/// ```
///
/// Time (RFC 3339, milliseconds), level, target, message, then the fields that the message does not already show. By
/// default the time is UTC and there is no color. If a value was truncated because the event exceeded the logger's size
/// limit, the line ends in ` …[truncated]`.
///
/// **Values**: text is quoted if it is empty or has a blank, `=`, `"`, `\` or a character that is escaped; so are names
/// and targets. Inside quotes `"` and `\` are preceded by `\`. Bytes are lowercase hexadecimal (`""` for none), an
/// error's chain is joined by `": "`. `Debug` text and JSON are text too, with two exceptions that keep them readable:
///
/// * text that is one string in quotes already, with no escapes but those above, gets no others: `"ada"`;
/// * text with brackets is unchanged if all its blanks and quotes are inside of them, all brackets and quotes are
///   closed, and it has no `=` and no character that is escaped: `Some("ada")`, `Point { x: 1 }`, `{"a": null}`.
///
/// **No event can forge another**: what is invisible or controls a terminal is written `\n`, `\r`, `\t` or `\u{1b}`, in
/// messages too: control characters (C0, DEL, C1), separators of lines and paragraphs, bidirectional controls, and
/// whatever else Unicode calls a format character (category Cf) or ignorable by default, zero-width joiners and tags
/// included. Variation selectors, which emoji need, and visible marks are not escaped. So an event is always one line
/// and cannot control a terminal.
///
/// **No value can forge a field**: names, values and targets have blanks only inside quotes or brackets, and `=` only
/// inside quotes. The message is free text: what its placeholders show is a part of it, and it may *claim* anything. A
/// program that must distinguish messages from fields reads [`Json`](super::Json) or [`Logfmt`](super::Logfmt);
/// `Pretty` puts fields on lines of their own.
///
/// # Examples
/// ```
/// use logweir::format::{Text, UtcOffset};
///
/// let format = Text::new().colors(true).utc_offset(UtcOffset::hours_minutes(2, 0).expect("within a day"));
/// ```
#[derive(Clone, Debug)]
pub struct Text {
    head: Head,
}

impl Text {
    /// Creates the format with its defaults: UTC, no color.
    pub fn new() -> Self {
        Text { head: Head::new() }
    }

    /// Sets the offset from UTC in which times are written. Default: UTC.
    #[must_use = "returns the format with the offset"]
    pub fn utc_offset(mut self, offset: UtcOffset) -> Self {
        self.head.timestamp = Timestamp::new(Precision::Millis, offset);
        self
    }

    /// Sets whether lines are colored by ANSI escape sequences (ECMA-48): the level by its importance; time, target and
    /// names are dimmed. Default: no.
    #[must_use = "returns the format with or without colours"]
    pub fn colors(mut self, on: bool) -> Self {
        self.head.colors = on;
        self
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::new()
    }
}

impl Format for Text {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.head.write(record, out);
        out.push(b' ');
        let message = out.len();
        escape_message::<Bare>(record.message(), out);
        if out.len() == message {
            // The blank was for the message.
            out.pop();
        }
        for (name, value) in record.fields_beside_message() {
            out.push(b' ');
            paint(self.head.colors, DIM, out, |out| {
                write_token(name, out);
                out.push(b'=');
            });
            write_value(value, out);
        }
        if record.is_truncated() {
            out.extend_from_slice(" …[truncated]".as_bytes());
        }
        out.push(b'\n');
    }
}

/// The start of an event, for people: time, level, target.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) timestamp: Timestamp,
    pub(super) colors: bool,
}

impl Head {
    pub(super) fn new() -> Self {
        Head { timestamp: Timestamp::new(Precision::Millis, UtcOffset::UTC), colors: false }
    }

    #[inline]
    pub(super) fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        paint(self.colors, DIM, out, |out| self.timestamp.write(record.timestamp_nanos(), out));
        out.push(b' ');
        paint(self.colors, color(record.level()), out, |out| out.extend_from_slice(padded_name(record.level())));
        out.push(b' ');
        paint(self.colors, DIM, out, |out| {
            write_token(record.target(), out);
            out.push(b':');
        });
    }
}

/// Runs `write`, with its output in color if `colors` is set.
#[inline]
pub(super) fn paint(colors: bool, color: &[u8], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if colors {
        out.extend_from_slice(color);
    }
    write(out);
    if colors {
        out.extend_from_slice(b"\x1b[0m");
    }
}

pub(super) const DIM: &[u8] = b"\x1b[2m";

fn color(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b"\x1b[35m",
        Level::Debug => b"\x1b[34m",
        Level::Info => b"\x1b[32m",
        Level::Warn => b"\x1b[33m",
        Level::Error => b"\x1b[31m",
        Level::Fatal => b"\x1b[1;31m",
    }
}

fn padded_name(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b"TRACE",
        Level::Debug => b"DEBUG",
        Level::Info => b" INFO",
        Level::Warn => b" WARN",
        Level::Error => b"ERROR",
        Level::Fatal => b"FATAL",
    }
}

pub(super) fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(v) => out.extend_from_slice(if v { b"true" } else { b"false" }),
        Value::I64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::U64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::I128(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::U128(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::F32(v) => out.extend_from_slice(zmij::Buffer::new().format(v).as_bytes()),
        Value::F64(v) => out.extend_from_slice(zmij::Buffer::new().format(v).as_bytes()),
        Value::Str(v) => write_token(v, out),
        Value::Debug(v) | Value::Json(v) => write_formatted(v, out),
        Value::Bytes([]) => out.extend_from_slice(b"\"\""),
        Value::Bytes(v) => hex(v, out),
        Value::Error(chain) => write_error(&chain, out),
    }
}

fn write_error(chain: &ErrorChain<'_>, out: &mut Vec<u8>) {
    let mut messages = chain.messages();
    let (first, second) = (messages.next().unwrap_or_default(), messages.next());
    match second {
        None => write_token(&first, out),
        Some(_) => {
            let rest = chain.messages().skip(1).flat_map(|message| [": ".into(), message]);
            write_quoted(std::iter::once(first).chain(rest), out);
        }
    }
}

/// Writes text that may have quotes and brackets of its own.
fn write_formatted(text: &str, out: &mut Vec<u8>) {
    if needs_no_quotes(text) { out.extend_from_slice(text.as_bytes()) } else { write_quoted([text], out) }
}

/// Whether text that may have quotes and brackets of its own can only be read as one value without others.
pub(super) fn needs_no_quotes(text: &str) -> bool {
    is_bare(text) || is_quoted(text) || is_nested(text)
}

/// Writes text in quotes, unless it is unambiguous without them.
#[inline]
pub(super) fn write_token(text: &str, out: &mut Vec<u8>) {
    if is_bare(text) { out.extend_from_slice(text.as_bytes()) } else { write_quoted([text], out) }
}

#[cold]
fn write_quoted(parts: impl IntoIterator<Item = impl AsRef<str>>, out: &mut Vec<u8>) {
    out.push(b'"');
    for part in parts {
        escape::<Quoted>(part.as_ref(), out);
    }
    out.push(b'"');
}

/// Whether the text is not empty and has no blank, quote, `=`, backslash or character that is escaped.
#[inline]
fn is_bare(text: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\') || is_hidden(c);
    !text.is_empty() && (is_plain::<b'!', b'"', b'=', b'\\'>(text.as_bytes()) || !text.chars().any(breaks))
}

/// Text without quotes around it.
pub(super) struct Bare;

impl Escape for Bare {
    const STOPS: &'static Stops = &stops(&[]);

    fn spell(c: char, out: &mut Vec<u8>) {
        spell(c, out);
    }
}

/// Text between quotes.
struct Quoted;

impl Escape for Quoted {
    const STOPS: &'static Stops = &stops(b"\"\\");

    fn spell(c: char, out: &mut Vec<u8>) {
        spell(c, out);
    }
}

/// Escapes a character like Rust does.
fn spell(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(format!("\\u{{{:x}}}", u32::from(c)).as_bytes()),
    }
}
