//! Anywhere (pure): names and values as JSON.

use crate::event::{ErrorChain, Value};
use crate::format::embedded;
use crate::format::escape::{Escape, Stops, escape, hex, json_escape, stops};

/// Writes `,"name":`.
pub(in crate::format) fn write_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    escape::<InString>(name, out);
    out.extend_from_slice(b"\":");
}

// Always inlined: a line consists of little else, and a call for each field takes 5 % more instructions.
#[inline(always)]
pub(in crate::format) fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(v) => out.extend_from_slice(if v { b"true" } else { b"false" }),
        Value::I64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::U64(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
        Value::I128(v) => {
            write_wide(itoa::Buffer::new().format(v), i64::try_from(v).is_ok() || u64::try_from(v).is_ok(), out)
        }
        Value::U128(v) => write_wide(itoa::Buffer::new().format(v), u64::try_from(v).is_ok(), out),
        Value::F32(v) => write_float(v, v.into(), out),
        Value::F64(v) => write_float(v, v, out),
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

#[inline]
fn write_float(v: impl zmij::Float, wide: f64, out: &mut Vec<u8>) {
    match not_finite(wide) {
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(v).as_bytes()),
        Some(name) => write_string(name, out),
    }
}

/// The name in [ProtoJSON](https://protobuf.dev/programming-guides/json/) of a float that is not finite.
#[inline]
pub(in crate::format) fn not_finite(v: f64) -> Option<&'static str> {
    match v {
        _ if v.is_finite() => None,
        _ if v.is_nan() => Some("NaN"),
        _ if v > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

#[inline]
pub(in crate::format) fn write_string(text: &str, out: &mut Vec<u8>) {
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

/// Text between the quotes of a JSON string (RFC 8259), which also fits strings of logfmt.
pub(in crate::format) struct InString;

impl Escape for InString {
    const STOPS: &'static Stops = &stops(b"\"\\");

    fn spell(c: char, out: &mut Vec<u8>) {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            _ => json_escape(c, out),
        }
    }
}
