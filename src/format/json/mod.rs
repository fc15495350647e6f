//! Anywhere (pure): one JSON object per line.
//!
//! In: records from a sink. Out: lines. `keys.rs` has the keys of a line, `value.rs` the values, `nested.rs` objects
//! from dotted names.
//!
//! Invariants:
//! * No key occurs twice and no field is lost.
//! * An event is one line, whatever its content.

mod keys;
mod nested;
mod value;

use super::Format;
use super::callsite_cache::{CachedCallsite, CallsiteCache, Fragments};
use super::escape::{escape, escape_message};
use super::reserved;
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{Callsite, Record};
pub use keys::Key;
use keys::{JsonKeyNames, SourceLocation};
pub(super) use value::{InString, not_finite, write_name, write_string, write_value};

/// One JSON object per line (RFC 8259), for programs.
///
/// ```json
/// {"timestamp":"2026-11-21T21:19:00.123456789Z","level":"INFO","target":"shop","message":"user ada paid","user":"ada","cents":950}
/// ```
///
/// `timestamp` (RFC 3339, UTC, nanoseconds), `level` (`TRACE` to `FATAL`), `target` and `message` come first; an event
/// without a message has no `message`. If a value was truncated because the event exceeded the logger's size limit, `"truncated":true` follows. Then comes every
/// field under its own name, including those that the message shows.
///
/// Values keep their types:
///
/// | value | JSON |
/// |---|---|
/// | integer | number; beyond 64 bits a string, since most readers would round it |
/// | float | the shortest number that reads back the same, as an `f32` if it was one; `"NaN"`, `"Infinity"`, `"-Infinity"` (the rule of [ProtoJSON]) |
/// | text, `Display`, `Debug` | string |
/// | bytes | string of lowercase hexadecimal digits |
/// | JSON | itself, on one line; a string if it is no JSON document, nests deeper than 100 levels, or has a number beyond every 64-bit float or half of a surrogate pair, for which strict readers would refuse the line |
/// | error | `{"message":"…","sources":["…"]}`, sources outermost first |
/// | none | `null` |
///
/// **No key occurs twice and no field is lost**: the five names above, or their replacements, are reserved, whether or
/// not the event was truncated. A field with a reserved name gets `_` appended until no other field of the event has
/// that name.
///
/// **No event can forge another**: the characters that [`Text`](super::Text) escapes (controls, invisible ones) are
/// written `\uXXXX`, which a parser reads back. So an event is always one line and cannot control a terminal that shows
/// the file.
///
/// # Examples
/// Other keys, the place in the source, no target, and dotted names as objects:
/// ```
/// use logweir::event::Record;
/// use logweir::format::{DottedKeys, Json, Key};
/// use logweir::{Event, Format, Level};
///
/// let mut format = Json::new()
///     .key(Key::Timestamp, "@timestamp")
///     .key(Key::Message, "msg")
///     .key(Key::File, "file")
///     .without(Key::Target)
///     .dotted(DottedKeys::Nested);
///
/// let event = Event::new(Level::Info, "shop", "served").with_source(None, Some("shop.rs"), None)
///     .with("http.status", 200)
///     .with("http.method", "GET");
/// let mut out = Vec::new();
/// format.format(&Record::from(&event), &mut out);
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     concat!(
///         r#"{"@timestamp":"1970-01-01T00:00:00.000000000Z","level":"INFO","file":"shop.rs","msg":"served","#,
///         r#""http":{"status":200,"method":"GET"}}"#,
///         "\n"
///     )
/// );
/// ```
///
/// [ProtoJSON]: https://protobuf.dev/programming-guides/json/
#[derive(Clone, Debug)]
pub struct Json {
    timestamp: Timestamp,
    keys: JsonKeyNames,
    dotted: DottedKeys,
    sites: CallsiteCache,
}

/// How [`Json`] writes the dots in fields' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DottedKeys {
    /// Unchanged: `"http.status":200`.
    #[default]
    Flat,
    /// As objects: `"http":{"status":200}`. Fields with one prefix are in one object, at the position of the first of
    /// them.
    ///
    /// No name is lost or written twice: if there is a field `a` (or a key of the format with that name), `a.b` keeps
    /// its dot. So do names with an empty part before, between or after dots, and parts deeper than 16 objects. The
    /// format's own keys are written unchanged.
    ///
    /// An event with such a name takes several allocations to write; other events take none.
    Nested,
}

impl Json {
    /// Creates the format with its defaults: the keys shown above, dotted names unchanged.
    pub fn new() -> Self {
        Json {
            timestamp: Timestamp::new(Precision::Nanos, UtcOffset::UTC),
            keys: JsonKeyNames::new(),
            dotted: DottedKeys::default(),
            sites: CallsiteCache::default(),
        }
    }

    /// Writes a part of the line under another key, or adds it: [`Key::Module`], [`Key::File`] and [`Key::Line`] are
    /// omitted by default.
    ///
    /// Any text is a key, even an empty one. If two parts have the same key, the later in the order of [`Key`] gets `_`
    /// appended.
    #[must_use = "returns the format with the key"]
    pub fn key(self, key: Key, name: impl Into<String>) -> Self {
        self.set(key, Some(name.into()))
    }

    /// Omits a part of the line; its key is then free for fields.
    #[must_use = "returns the format without the key"]
    pub fn without(self, key: Key) -> Self {
        self.set(key, None)
    }

    /// Sets whether dotted names of fields become objects. Default: [`DottedKeys::Flat`].
    #[must_use = "returns the format with the dots so"]
    pub fn dotted(mut self, dotted: DottedKeys) -> Self {
        self.dotted = dotted;
        self
    }

    fn set(mut self, key: Key, name: Option<String>) -> Self {
        self.keys.set(key, name);
        // They contain the previous keys.
        self.sites = CallsiteCache::default();
        self
    }
}

impl Default for Json {
    fn default() -> Self {
        Json::new()
    }
}

impl Format for Json {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let (start, keys) = (out.len(), &self.keys);
        out.extend_from_slice(&keys.opening);
        if keys.has_timestamp {
            self.timestamp.write(record.timestamp_nanos(), out);
        }
        out.extend_from_slice(&keys.levels[record.level() as usize]);
        let known = self.sites.lookup(record, |site, fragments| write_site(site, record, keys, fragments));
        match known.fragments() {
            Some(fragments) => out.extend_from_slice(fragments.get(0)),
            None => keys.write_location(SourceLocation::of(record.event()), out),
        }
        if !record.event().has_constant_message() {
            write_message(record, keys, out);
        }
        if record.is_truncated() && keys.write(Key::Truncated, out) {
            out.extend_from_slice(b"true");
        }
        if self.dotted == DottedKeys::Nested && nested::has_dots(record) {
            nested::write(record, keys, out);
        } else {
            write_fields(record, known, keys, out);
        }
        if keys.begins_with_comma && out.get(start + 1) == Some(&b',') {
            out.remove(start + 1);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Inlined: a call of its own is visible in the instruction count of a line.
#[inline]
#[expect(
    clippy::explicit_counter_loop,
    reason = "`enumerate` is a call for each field, a tenth of the instructions of a line"
)]
fn write_fields(record: &Record<'_>, known: CachedCallsite<'_>, keys: &JsonKeyNames, out: &mut Vec<u8>) {
    let mut index = 0;
    for (name, value) in record.fields() {
        match known.name(1, index, name) {
            [] if keys.is_reserved(name) => {
                write_name(&reserved::rename(name, record, |name| keys.is_reserved(name)), out);
            }
            [] => write_name(name, out),
            known => out.extend_from_slice(known),
        }
        write_value(value, out);
        index += 1;
    }
}

/// Writes the parts that are the same in every line of a call site: from the target to the message, which is included
/// if it is constant; then each name. An empty constant is no message. A reserved name depends on the other fields, so its part is left empty.
fn write_site(site: &'static Callsite, record: &Record<'_>, keys: &JsonKeyNames, fragments: &mut Fragments) {
    fragments.add(|out| {
        keys.write_location(SourceLocation::of(record.event()), out);
        let message = site.constant_message().unwrap_or_default();
        if !message.is_empty() && !keys.message.is_empty() {
            out.extend_from_slice(&keys.message);
            escape::<InString>(message, out);
            out.push(b'"');
        }
    });
    for name in site.names() {
        fragments.add(|out| {
            if !keys.is_reserved(name) {
                write_name(name, out);
            }
        });
    }
}

/// Writes the message with its key, unless it is omitted or there is none.
#[inline]
fn write_message(record: &Record<'_>, keys: &JsonKeyNames, out: &mut Vec<u8>) {
    if keys.message.is_empty() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(&keys.message);
    let text = out.len();
    escape_message::<InString>(record.message(), out);
    if out.len() == text && !record.event().has_message() {
        out.truncate(start);
    } else {
        out.push(b'"');
    }
}
