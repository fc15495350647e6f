//! Anywhere a sink formats (pure): one line per event, for people.

use super::Format;
use super::escape::{Escape, Stops, escape, escape_message, hex, hex4, is_hidden, is_plain, stops};
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{ErrorChain, Level, Record, Value};

/// One line of text per event, for people.
///
/// ```text
/// 2026-11-21T21:19:00.123Z  INFO checkout::api: user ada logged in user_id=7 ip=10.0.0.1
/// ```
///
/// Time (RFC 3339, milliseconds), level, target, message, then the fields that the message does not already show. By
/// default the time is UTC and there are no colours. An event with a value that was cut, because it was longer than the
/// logger allows, ends in ` …[truncated]`.
///
/// **Values**: text is quoted if it is empty or has a blank, `=`, `"` or a character that is escaped; so are names and
/// targets. Inside quotes `"` and `\` have a `\` before them. `Debug` text and JSON bring their own quotes and get no
/// others, unless a quote is left open or `=` stands outside of them. Bytes are lower-case hexadecimal, an error's chain
/// is joined by `": "`.
///
/// **No event can forge another**: control characters (C0, DEL, C1), line separators and bidirectional controls are
/// written `\n`, `\r`, `\t` or `\u{1b}`, in messages too, so an event is always one line and drives no terminal; and no
/// name, target or value can look like another field. A message is free text, in which anything may be *said*: a
/// program that must tell messages from fields reads [`Json`](super::Json).
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
    /// The format with its defaults: UTC, no colours.
    pub fn new() -> Self {
        Text { head: Head::new() }
    }

    /// The distance from UTC in which times are written, UTC by default.
    #[must_use = "returns the format with the offset"]
    pub fn utc_offset(mut self, offset: UtcOffset) -> Self {
        self.head.timestamp = Timestamp::new(Precision::Millis, offset);
        self
    }

    /// Whether lines are coloured by ANSI escape sequences (ECMA-48), not by default: the level by its importance; time,
    /// target and names are dimmed.
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

/// What an event begins with, for people: time, level, target.
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

/// Writes what `write` writes, in a colour where there are colours.
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
        Value::F64(v) => out.extend_from_slice(zmij::Buffer::new().format(v).as_bytes()),
        Value::Str(v) => write_token(v, out),
        Value::Debug(v) | Value::Json(v) if needs_quotes(v) => escape::<Bare>(v, out),
        Value::Debug(v) | Value::Json(v) => write_quoted([v], out),
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

/// Text in quotes, unless it can be told from what stands around it without them.
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

/// Whether there is no blank, quote or `=` in the text, nothing that is escaped, and something at all.
#[inline]
fn is_bare(text: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || matches!(c, '"' | '=') || is_hidden(c);
    !text.is_empty() && (is_plain::<b'!', b'"', b'='>(text.as_bytes()) || !text.chars().any(breaks))
}

/// Whether a text that may have quotes of its own cannot be taken for anything but one value: all its quotes are
/// closed, and outside of them is no `=`, without which nothing looks like a field.
fn needs_quotes(text: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'=' if !inside => return false,
            _ => {}
        }
    }
    !inside && !text.is_empty()
}

/// Text that no quotes surround.
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

/// As Rust spells it.
fn spell(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let digits = hex4(c);
            let zeros = digits.iter().take(3).take_while(|&&digit| digit == b'0').count();
            out.extend_from_slice(b"\\u{");
            out.extend_from_slice(&digits[zeros..]);
            out.push(b'}');
        }
    }
}
