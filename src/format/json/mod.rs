//! Anywhere a sink formats (pure): one JSON object per line.

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
/// | JSON | itself, on one line; a string if it is no JSON document, nests deeper than 100 levels, or has a number beyond every 64-bit float or half of a surrogate pair, for which strict readers would refuse the line |
/// | error | `{"message":"…","sources":["…"]}`, sources outermost first |
/// | none | `null` |
///
/// **No key is there twice and no field is lost**: the five names above, or those chosen in their place, are reserved,
/// whether or not the event was cut, and a field of such a name gets `_` behind it until no other field of the event has
/// that name.
///
/// **No event can forge another**: control characters, line separators and bidirectional controls are written `\uXXXX`,
/// so an event is always one line and a terminal that shows the file is not driven by it.
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

/// What [`Json`] makes of the dots in fields' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DottedKeys {
    /// Nothing: `"http.status":200`.
    #[default]
    Flat,
    /// Objects: `"http":{"status":200}`. Fields of one prefix are in one object, which stands where the first of them was.
    ///
    /// Nothing is lost or there twice by it: beside a field `a` (or a key of the format's own of that name), `a.b` keeps
    /// its dot, and so do names with nothing before, between or behind dots, and what is deeper than 16 objects. The
    /// format's own keys are written as they are given.
    ///
    /// An event with such a name takes several allocations to write, one without none.
    Nested,
}

impl Json {
    /// The format with its defaults: the keys shown above, dotted names as they are.
    pub fn new() -> Self {
        Json {
            timestamp: Timestamp::new(Precision::Nanos, UtcOffset::UTC),
            keys: JsonKeyNames::new(),
            dotted: DottedKeys::default(),
            sites: CallsiteCache::default(),
        }
    }

    /// Writes a part of the line under another key, or at all: [`Key::Module`], [`Key::File`] and [`Key::Line`] are not
    /// there by default.
    ///
    /// Any text is a key, even an empty one. Of two parts with the same key the later in the order of [`Key`] gets `_`
    /// behind it.
    #[must_use = "returns the format with the key"]
    pub fn key(self, key: Key, name: impl Into<String>) -> Self {
        self.set(key, Some(name.into()))
    }

    /// Leaves a part of the line out; its key is then free for fields.
    #[must_use = "returns the format without the key"]
    pub fn without(self, key: Key) -> Self {
        self.set(key, None)
    }

    /// Whether dotted names of fields become objects; default [`DottedKeys::Flat`].
    #[must_use = "returns the format with the dots so"]
    pub fn dotted(mut self, dotted: DottedKeys) -> Self {
        self.dotted = dotted;
        self
    }

    fn set(mut self, key: Key, name: Option<String>) -> Self {
        self.keys.set(key, name);
        // They hold the keys as they were.
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
            None => write_head(record, keys, out),
        }
        if keys.has_message {
            if !record.event().has_constant_message() {
                escape_message::<InString>(record.message(), out);
            }
            out.push(b'"');
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

/// Inlined: a call of its own is seen in the instructions of a line.
#[inline]
fn write_fields(record: &Record<'_>, known: CachedCallsite<'_>, keys: &JsonKeyNames, out: &mut Vec<u8>) {
    for (index, (name, value)) in record.fields().enumerate() {
        match known.name(1, index, name) {
            [] if keys.is_reserved(name) => {
                write_name(&reserved::rename(name, record, |name| keys.is_reserved(name)), out);
            }
            [] => write_name(name, out),
            known => out.extend_from_slice(known),
        }
        write_value(value, out);
    }
}

/// What is the same in every line of a call site: from the target to the message, which is there if it never changes;
/// then each name. One that is reserved is spelled by what other fields there are, and left empty.
fn write_site(site: &'static Callsite, record: &Record<'_>, keys: &JsonKeyNames, fragments: &mut Fragments) {
    fragments.add(|out| {
        write_head(record, keys, out);
        if keys.has_message {
            escape::<InString>(site.constant_message().unwrap_or_default(), out);
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

/// From the target up to the message's text.
fn write_head(record: &Record<'_>, keys: &JsonKeyNames, out: &mut Vec<u8>) {
    keys.write_location(SourceLocation::of(record.event()), out);
    if keys.write(Key::Message, out) {
        out.push(b'"');
    }
}
