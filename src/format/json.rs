//! Anywhere a sink formats (pure): one JSON object per line.

use super::Format;
use super::embedded;
use super::escape::{Escape, Stops, escape, escape_message, hex, hex4, stops};
use super::fragments::{Fragments, Sites};
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{Callsite, ErrorChain, Level, Record, Value};

/// One JSON object per line (RFC 8259), for programs.
///
/// ```json
/// {"timestamp":"2026-11-21T21:19:00.123456789Z","level":"INFO","target":"shop","message":"user ada paid","user":"ada","cents":950}
/// ```
///
/// `timestamp` (RFC 3339, UTC, nanoseconds), `level` (`TRACE` to `FATAL`), `target` and `message` come first, then
/// `"truncated":true` if a value was cut because the event was longer than the logger allows, then every field under its
/// own name, those that the message shows included.
///
/// Values keep their types:
///
/// | value | JSON |
/// |---|---|
/// | integer | number; beyond 64 bits a string, since most readers would round it |
/// | float | the shortest number that reads back the same; `"NaN"`, `"Infinity"`, `"-Infinity"` (the rule of [ProtoJSON]) |
/// | text, `Display`, `Debug` | string |
/// | bytes | string of lower-case hexadecimal digits |
/// | JSON | itself, on one line; a string if it is no JSON document or nests deeper than 100 levels |
/// | error | `{"message":"…","sources":["…"]}`, sources outermost first |
/// | none | `null` |
///
/// **No key is there twice and no field is lost**: the five names above are reserved, whether or not the event was cut,
/// and a field of such a name gets `_` behind it until no other field of the event has that name.
///
/// **No event can forge another**: control characters, line separators and bidirectional controls are written `\uXXXX`,
/// so an event is always one line and a terminal that shows the file is not driven by it.
///
/// [ProtoJSON]: https://protobuf.dev/programming-guides/json/
#[derive(Clone, Debug)]
pub struct Json {
    timestamp: Timestamp,
    sites: Sites,
}

impl Json {
    /// The format; it has no options.
    pub fn new() -> Self {
        Json { timestamp: Timestamp::new(Precision::Nanos, UtcOffset::UTC), sites: Sites::default() }
    }
}

impl Default for Json {
    fn default() -> Self {
        Json::new()
    }
}

impl Format for Json {
    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        self.timestamp.write(record.timestamp_nanos(), out);
        out.extend_from_slice(level(record.level()));
        let site = record.event().callsite();
        let known = site.map(|site| (site, self.sites.of(site, |fragments| write_site(site, fragments))));
        match known {
            Some((site, fragments)) => {
                out.extend_from_slice(fragments.get(0));
                if site.constant_message().is_none() {
                    escape_message::<InString>(record.message(), out);
                }
            }
            None => {
                write_target(record.target(), out);
                escape_message::<InString>(record.message(), out);
            }
        }
        out.push(b'"');
        if record.is_truncated() {
            out.extend_from_slice(b",\"truncated\":true");
        }
        // An event's own fields come first, and of these the ones that its call site names: all of them, unless it was cut.
        for (index, (name, value)) in record.fields().enumerate() {
            let known = known.filter(|(site, _)| site.names().get(index).is_some_and(|own| std::ptr::eq(*own, name)));
            match known.map_or(&[][..], |(_, fragments)| fragments.get(1 + index)) {
                [] => write_name(name, record, out),
                known => out.extend_from_slice(known),
            }
            write_value(value, out);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// What stands between the time and the target.
fn level(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b"\",\"level\":\"TRACE\",\"target\":\"",
        Level::Debug => b"\",\"level\":\"DEBUG\",\"target\":\"",
        Level::Info => b"\",\"level\":\"INFO\",\"target\":\"",
        Level::Warn => b"\",\"level\":\"WARN\",\"target\":\"",
        Level::Error => b"\",\"level\":\"ERROR\",\"target\":\"",
        Level::Fatal => b"\",\"level\":\"FATAL\",\"target\":\"",
    }
}

/// What is the same in every line of a call site: from the target to the message, which is there if it never changes;
/// then each name. One that is reserved is spelled by what other fields there are, and left empty.
fn write_site(site: &'static Callsite, fragments: &mut Fragments) {
    fragments.add(|out| {
        write_target(site.target(), out);
        escape::<InString>(site.constant_message().unwrap_or_default(), out);
    });
    for name in site.names() {
        fragments.add(|out| {
            if !is_reserved(name) {
                write_plain_name(name, out);
            }
        });
    }
}

fn write_target(target: &str, out: &mut Vec<u8>) {
    escape::<InString>(target, out);
    out.extend_from_slice(b"\",\"message\":\"");
}

fn write_name(name: &str, record: &Record<'_>, out: &mut Vec<u8>) {
    if !is_reserved(name) {
        return write_plain_name(name, out);
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    write_suffix(name, record, out);
    out.extend_from_slice(b"\":");
}

fn write_plain_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    escape::<InString>(name, out);
    out.extend_from_slice(b"\":");
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "timestamp" | "level" | "target" | "message" | "truncated")
}

/// Writes as many `_` as make a reserved name one that no other field has.
#[cold]
fn write_suffix(name: &str, record: &Record<'_>, out: &mut Vec<u8>) {
    let taken = |suffix: usize| {
        record.fields().any(|(other, _)| {
            other.strip_prefix(name).is_some_and(|rest| rest.len() == suffix && rest.bytes().all(|byte| byte == b'_'))
        })
    };
    // The reserved name itself is one of the fields, so this starts at 1.
    let suffix = (1..).find(|&suffix| !taken(suffix)).unwrap_or(1);
    out.extend(std::iter::repeat_n(b'_', suffix));
}

fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(v) => out.extend_from_slice(if v { b"true" } else { b"false" }),
        Value::I64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::U64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::I128(v) => write_wide(itoa::Buffer::new().format(v), i64::try_from(v).is_ok(), out),
        Value::U128(v) => write_wide(itoa::Buffer::new().format(v), u64::try_from(v).is_ok(), out),
        Value::F64(v) => write_float(v, out),
        Value::Str(v) | Value::Debug(v) => write_string(v, out),
        Value::Bytes(v) => {
            out.push(b'"');
            hex(v, out);
            out.push(b'"');
        }
        Value::Json(v) => {
            if !embedded::write(v, out) {
                write_string(v, out);
            }
        }
        Value::Error(chain) => write_error(&chain, out),
    }
}

fn write_wide(digits: &str, fits: bool, out: &mut Vec<u8>) {
    if fits { out.extend_from_slice(digits.as_bytes()) } else { write_string(digits, out) }
}

fn write_float(v: f64, out: &mut Vec<u8>) {
    if v.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(v).as_bytes());
    } else if v.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else {
        out.extend_from_slice(if v > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    }
}

#[inline]
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape::<InString>(text, out);
    out.push(b'"');
}

fn write_error(chain: &ErrorChain<'_>, out: &mut Vec<u8>) {
    let mut messages = chain.messages();
    out.extend_from_slice(b"{\"message\":");
    write_string(&messages.next().unwrap_or_default(), out);
    out.extend_from_slice(b",\"sources\":[");
    for (position, message) in messages.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(&message, out);
    }
    out.extend_from_slice(b"]}");
}

struct InString;

impl Escape for InString {
    const STOPS: &'static Stops = &stops(b"\"\\");

    fn spell(c: char, out: &mut Vec<u8>) {
        let short = match c {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            _ => b"\\u",
        };
        out.extend_from_slice(short);
        if short == b"\\u" {
            out.extend_from_slice(&hex4(c));
        }
    }
}
