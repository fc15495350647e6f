//! Anywhere (pure): one line of `key=value` pairs per event.

use super::Format;
use super::callsite_cache::{CallsiteCache, Fragments};
use super::escape::{escape_message, hex, is_hidden, is_plain};
use super::json::{InString, not_finite, write_string};
use super::reserved;
use super::text;
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{Callsite, Event, Record, Value};

/// One line of `key=value` pairs per event ([logfmt]), for programs and people.
///
/// ```text
/// ts=2026-11-21T21:19:00.123456789Z level=info target=shop msg="user ada paid" user=ada cents=950
/// ```
///
/// `ts` (RFC 3339, UTC, nanoseconds), `level` (`trace` to `fatal`), `target` and `msg` come first; an event
/// without a message has no `msg`. If a value was
/// truncated because the event exceeded the logger's size limit, `truncated=true` follows. Then comes every field,
/// including those that the message shows.
///
/// | value | logfmt |
/// |---|---|
/// | integer | digits |
/// | float | the shortest number that reads back the same, as an `f32` if it was one; `NaN`, `Infinity`, `-Infinity` |
/// | text, `Display`, `Debug`, JSON | itself, in quotes if needed |
/// | bytes | lowercase hexadecimal digits; `""` for none |
/// | error | its messages, joined by `": "` |
/// | truth value, none | `true`, `false`, `null`; the *text* `null` is in quotes |
///
/// **Quotes**: like [go-logfmt], whose strict reader reads every line. A value is quoted if it is empty or has a blank,
/// `=`, `"`, `\`, a character that [`Text`](super::Text) escapes (controls, invisible ones) or U+FFFD; inside quotes are
/// `\"`, `\\`, `\n`, `\r`, `\t` and `\uXXXX`.
///
/// **Keys**: no reader of the format can read a quoted key. So characters that a key cannot have (those that would put
/// a value in quotes, and `%`) are percent-encoded, as in URLs: the field `a b` has the key `a%20b`. An empty name is
/// `%`.
///
/// **No key occurs twice and no field is lost**: `ts`, `level`, `target`, `msg` and `truncated` are reserved, whether
/// or not the event was truncated. A field with a reserved name gets `_` appended until no other field of the event has
/// that name.
///
/// **No event can forge another**: an event is one line, whatever its content, and no value can look like a pair.
///
/// # Examples
/// ```
/// use logweir::event::Record;
/// use logweir::format::Logfmt;
/// use logweir::{Event, Format, Level};
///
/// let event = Event::new(Level::Warn, "shop", "late").with("user name", "ada \"l\"").with("ts", 1);
/// let mut out = Vec::new();
/// Logfmt::new().format(&Record::from(&event), &mut out);
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     concat!(
///         r#"ts=1970-01-01T00:00:00.000000000Z level=warn target=shop msg=late user%20name="ada \"l\"" ts_=1"#,
///         "\n"
///     )
/// );
/// ```
///
/// [logfmt]: https://brandur.org/logfmt
/// [go-logfmt]: https://github.com/go-logfmt/logfmt
#[derive(Clone, Debug)]
pub struct Logfmt {
    timestamp: Timestamp,
    sites: CallsiteCache,
}

impl Logfmt {
    /// Creates the format; it has no options.
    pub fn new() -> Self {
        Logfmt { timestamp: Timestamp::new(Precision::Nanos, UtcOffset::UTC), sites: CallsiteCache::default() }
    }
}

impl Default for Logfmt {
    fn default() -> Self {
        Logfmt::new()
    }
}

impl Format for Logfmt {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"ts=");
        self.timestamp.write(record.timestamp_nanos(), out);
        out.extend_from_slice(b" level=");
        out.extend_from_slice(record.level().as_str().as_bytes());
        let known = self.sites.lookup(record, write_site);
        match known.fragments() {
            Some(fragments) => out.extend_from_slice(fragments.get(0)),
            None => write_target(record.target(), out),
        }
        match known.fragments().filter(|_| record.event().has_constant_message()) {
            Some(fragments) => out.extend_from_slice(fragments.get(1)),
            None => write_message(record.event(), out),
        }
        if record.is_truncated() {
            out.extend_from_slice(b" truncated=true");
        }
        for (index, (name, value)) in record.fields().enumerate() {
            match known.name(2, index, name) {
                [] if is_reserved(name) => write_name(&reserved::rename(name, record, is_reserved), out),
                [] => write_name(name, out),
                known => out.extend_from_slice(known),
            }
            write_value(value, out);
        }
        out.push(b'\n');
    }
}

/// Writes the parts that are the same in every line of a call site: the target; the message, if it is constant; each
/// name. A reserved name depends on the other fields, so its part is left empty.
fn write_site(site: &'static Callsite, fragments: &mut Fragments) {
    fragments.add(|out| write_target(site.target(), out));
    fragments.add(|out| {
        if let Some(message) = site.constant_message().filter(|message| !message.is_empty()) {
            out.extend_from_slice(MESSAGE);
            write_text(message, out);
        }
    });
    for name in site.names() {
        fragments.add(|out| {
            if !is_reserved(name) {
                write_name(name, out);
            }
        });
    }
}

fn write_target(target: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b" target=");
    write_text(target, out);
}

const MESSAGE: &[u8] = b" msg=";

/// Writes the message in quotes, which most messages need for a blank, and removes them if the result needs none. Writes
/// nothing if there is no message.
fn write_message(event: &Event, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(MESSAGE);
    let quote = out.len();
    out.push(b'"');
    escape_message::<InString>(event.message(), out);
    let is_bare = std::str::from_utf8(&out[quote + 1..]).is_ok_and(stands_bare);
    if out.len() == quote + 1 && !event.has_message() {
        out.truncate(start);
    } else if is_bare {
        out.remove(quote);
    } else {
        out.push(b'"');
    }
}

/// Writes ` name=`.
fn write_name(name: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    write_key(name, out);
    out.push(b'=');
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "ts" | "level" | "target" | "msg" | "truncated")
}

/// Writes a name unchanged, or so that no other name is written the same way.
fn write_key(name: &str, out: &mut Vec<u8>) {
    if name.is_empty() {
        // In other keys a `%` is followed by digits.
        out.push(b'%');
    }
    for c in name.chars() {
        let start = out.len();
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        if c == '%' || breaks(c) {
            let bytes = out.split_off(start);
            for byte in bytes {
                out.push(b'%');
                hex(&[byte], out);
            }
        }
    }
}

fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Str("null") | Value::Debug("null") | Value::Json("null") => out.extend_from_slice(b"\"null\""),
        Value::Str(v) | Value::Debug(v) | Value::Json(v) => write_text(v, out),
        Value::Bytes([]) => out.extend_from_slice(b"\"\""),
        Value::F32(v) if !v.is_finite() => {
            out.extend_from_slice(not_finite(v.into()).unwrap_or_default().as_bytes());
        }
        Value::F64(v) if !v.is_finite() => out.extend_from_slice(not_finite(v).unwrap_or_default().as_bytes()),
        Value::Error(_) => write_text(&value.to_string(), out),
        // Values without quotes are written like in `Text`.
        _ => text::write_value(value, out),
    }
}

/// Writes text in quotes, unless every reader takes it for one value without them.
#[inline]
fn write_text(text: &str, out: &mut Vec<u8>) {
    if stands_bare(text) { out.extend_from_slice(text.as_bytes()) } else { write_string(text, out) }
}

#[inline]
fn stands_bare(text: &str) -> bool {
    !text.is_empty() && (is_plain::<b'!', b'"', b'=', b'\\'>(text.as_bytes()) || !text.chars().any(breaks))
}

/// Whether a character ends a value or a key, for one reader or another.
fn breaks(c: char) -> bool {
    c.is_whitespace() || matches!(c, '=' | '"' | '\\' | char::REPLACEMENT_CHARACTER) || is_hidden(c)
}
