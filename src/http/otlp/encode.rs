//! Anywhere (pure): events as OTLP's `LogRecord`, and the fields that all of a resource share.
//!
//! Source: `opentelemetry/proto/logs/v1/logs.proto` and `common/v1/common.proto` of OTLP 1, whose field numbers these are;
//! names of attributes are those of the semantic conventions.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::wire::{put_bytes, put_fixed64, put_number, put_small};
use crate::event::{Level, Record, Value};
use crate::format::rename_reserved;

/// `ScopeLogs.log_records`.
const LOG_RECORDS: u32 = 2;

/// Fields of `LogRecord`.
mod log_record {
    pub(super) const TIME: u32 = 1;
    pub(super) const SEVERITY_NUMBER: u32 = 2;
    pub(super) const SEVERITY_TEXT: u32 = 3;
    pub(super) const BODY: u32 = 5;
    pub(super) const ATTRIBUTES: u32 = 6;
    pub(super) const TRACE_ID: u32 = 9;
    pub(super) const SPAN_ID: u32 = 10;
    pub(super) const OBSERVED_TIME: u32 = 11;
}

/// Fields of `AnyValue`.
mod any_value {
    pub(super) const STRING: u32 = 1;
    pub(super) const BOOL: u32 = 2;
    pub(super) const INT: u32 = 3;
    pub(super) const DOUBLE: u32 = 4;
    pub(super) const BYTES: u32 = 7;
}

/// Attributes of our own: a field with one of these names gets another.
const TEMPLATE: &str = "message_template.text";
const FILE: &str = "code.file.path";
const LINE: &str = "code.line.number";
const EXCEPTION: &str = "exception.message";
const UID: &str = "log.record.uid";
const TRUNCATED: &str = "logweir.truncated";
const OWN: [&str; 6] = [TEMPLATE, FILE, LINE, EXCEPTION, UID, TRUNCATED];

fn severity(level: Level) -> u64 {
    match level {
        Level::Trace => 1,
        Level::Debug => 5,
        Level::Info => 9,
        Level::Warn => 13,
        Level::Error => 17,
        Level::Fatal => 21,
    }
}

/// Appends an event to a `ScopeLogs`. The fields of its enrichment are the resource's.
pub(super) fn put_record(record: &Record<'_>, has_uid: bool, out: &mut Vec<u8>) {
    put_small(LOG_RECORDS, out, |out| {
        put_fixed64(log_record::TIME, record.timestamp_nanos(), out);
        put_fixed64(log_record::OBSERVED_TIME, record.timestamp_nanos(), out);
        put_number(log_record::SEVERITY_NUMBER, severity(record.level()), out);
        put_bytes(log_record::SEVERITY_TEXT, record.level().as_upper_str().as_bytes(), out);
        put_body(record, out);
        put_own(record, has_uid, out);
        let own = record.without_enrichment();
        for (name, value) in own.fields() {
            put_field(&own, name, value, out);
        }
    });
}

fn put_body(record: &Record<'_>, out: &mut Vec<u8>) {
    let event = record.event();
    if event.has_message() {
        put_small(log_record::BODY, out, |out| put_text(out, |text| record.message().write_to(text)));
    }
}

/// What an event has beside its fields.
fn put_own(record: &Record<'_>, has_uid: bool, out: &mut Vec<u8>) {
    let event = record.event();
    let mut put = |name: &str, value: Value<'_>| put_attribute(log_record::ATTRIBUTES, name, value, out);
    if let Some(template) = event.template().filter(|_| !event.has_constant_message()) {
        put(TEMPLATE, Value::Str(template));
    }
    if let Some(file) = event.file() {
        put(FILE, Value::Str(file));
    }
    if let Some(line) = event.line() {
        put(LINE, Value::U64(line.into()));
    }
    if record.is_truncated() {
        put(TRUNCATED, Value::Bool(true));
    }
    if has_uid {
        put(UID, Value::Str(&record.id().to_string()));
    }
    let first_error = record.without_enrichment().fields().find_map(|(_, value)| match value {
        Value::Error(chain) => chain.messages().next(),
        _ => None,
    });
    if let Some(message) = first_error {
        put(EXCEPTION, Value::Str(&message));
    }
}

fn put_field(record: &Record<'_>, name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    let id = match value {
        Value::Str(text) => id_field(name).and_then(|(field, bytes)| Some((field, hex(text, bytes)?, bytes))),
        _ => None,
    };
    if let Some((field, id, bytes)) = id {
        return put_bytes(field, &id[..bytes], out);
    }
    let name = if is_own(name) { Cow::Owned(rename_reserved(name, record, is_own)) } else { Cow::Borrowed(name) };
    put_attribute(log_record::ATTRIBUTES, &name, value, out);
}

fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// The field of `LogRecord` for an id of OpenTelemetry, and its bytes.
fn id_field(name: &str) -> Option<(u32, usize)> {
    match name {
        "trace_id" => Some((log_record::TRACE_ID, 16)),
        "span_id" => Some((log_record::SPAN_ID, 8)),
        _ => None,
    }
}

/// Reads so many bytes of lower-case hexadecimal digits, not all 0, which is no id.
fn hex(text: &str, bytes: usize) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    let digits = text.as_bytes();
    if digits.len() != 2 * bytes || digits.iter().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).unwrap_or_default() as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    (id != [0; 16]).then_some(id)
}

/// Appends a `KeyValue`.
pub(super) fn put_attribute(field: u32, name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    put_small(field, out, |out| {
        put_bytes(KEY, name.as_bytes(), out);
        put_small(VALUE, out, |out| put_any_value(value, out));
    });
}

/// Appends the field of an `AnyValue`; null has none. An integer beyond 64 bits with a sign is text, as OpenTelemetry maps it.
fn put_any_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(v) => put_number(any_value::BOOL, v.into(), out),
        Value::I64(v) => put_number(any_value::INT, v as u64, out),
        Value::U64(v) if i64::try_from(v).is_ok() => put_number(any_value::INT, v, out),
        Value::F32(v) => put_fixed64(any_value::DOUBLE, f64::from(v).to_bits(), out),
        Value::F64(v) => put_fixed64(any_value::DOUBLE, v.to_bits(), out),
        Value::Str(v) | Value::Debug(v) | Value::Json(v) => put_bytes(any_value::STRING, v.as_bytes(), out),
        Value::Bytes(v) => put_bytes(any_value::BYTES, v, out),
        Value::I128(v) if i64::try_from(v).is_ok() => put_number(any_value::INT, v as u64, out),
        Value::U128(v) if i64::try_from(v).is_ok() => put_number(any_value::INT, v as u64, out),
        Value::U64(_) | Value::I128(_) | Value::U128(_) | Value::Error(_) => {
            put_text(out, |text| value.write_text(text))
        }
    }
}

/// Appends the field of an `AnyValue` that is text, as it is written.
fn put_text(out: &mut Vec<u8>, write: impl FnOnce(&mut dyn Write) -> fmt::Result) {
    struct Text<'a>(&'a mut Vec<u8>);

    impl Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    // Values were formatted by the caller, and memory takes every byte.
    put_small(any_value::STRING, out, |out| write(&mut Text(out)).unwrap_or_default());
}
