//! Anywhere (pure): the Compact Log Event Format.
//!
//! In: records from a sink. Out: lines. `event_id.rs` has the hash of a template.
//!
//! Invariants:
//! * No key occurs twice and no field is lost.
//! * An event is one line, whatever its content.

mod event_id;

use super::Format;
use super::callsite_cache::{CachedCallsite, CallsiteCache, Fragments};
use super::escape::{escape, escape_message, escape_written};
use super::json::{InString, write_name, write_string, write_value};
use super::reserved;
use super::timestamp::{Precision, Timestamp, UtcOffset};
use crate::event::{Callsite, ErrorChain, Level, Record, Value};
use event_id::event_id;

/// One JSON object per line in the Compact Log Event Format, for Seq and other readers of Serilog's files.
///
/// ```json
/// {"@t":"2026-11-21T21:19:00.123456789Z","@mt":"user {user} paid","@i":"90fe565f","SourceContext":"shop","user":"ada"}
/// ```
///
/// The format is that of [clef-json.org] and, where that is silent, of [Serilog.Formatting.Compact]:
///
/// | key | value | present |
/// |---|---|---|
/// | `@t` | time, ISO 8601, UTC, nanoseconds | always |
/// | `@mt` | the message template as in the call | unless the event has none, [`Clef::message`] excludes it, or readers would not see one of its placeholders: one whose name has a dot, say |
/// | `@m` | the message, its placeholders filled | if there is no `@mt`, or if requested, unless the event has no message |
/// | `@r` | the text of each placeholder with a format (`{ms:.1}`) in the message, in order | with `@mt`, if there are such |
/// | `@i` | hash of the template, eight hexadecimal digits, like Serilog's `EventIdHash` | if there is a template |
/// | `@l` | `Verbose`, `Debug`, `Warning`, `Error`, `Fatal` | unless the level is info |
/// | `@x` | the first field that is an error: its message, then `caused by: …` for each source, on lines of their own | if there is one |
/// | `@tr`, `@sp` | the fields `trace_id` and `span_id` | if they are ids in OpenTelemetry's form |
/// | `SourceContext` | the target, under Serilog's name for the logger's | always |
/// | `truncated` | `true` | if a value was truncated |
///
/// Then comes every field under its own name, with the same value as in [`Json`](super::Json). That includes the error
/// of `@x`, in the form that keeps its parts, and ids that the message shows; other ids are written as `@tr` and `@sp`
/// only.
///
/// **No key occurs twice and no field is lost**: the first `@` of a field's name is doubled, as the format requires. A
/// field named `SourceContext` or `truncated` gets `_` appended until no other field of the event has that name.
///
/// **No event can forge another**: like with [`Json`](super::Json), an event is one line, whatever its content, and
/// controls and invisible characters are written `\uXXXX`.
///
/// # Examples
/// ```
/// use logweir::event::Record;
/// use logweir::format::{Clef, ClefMessage};
/// use logweir::{Format, Level, new_event};
///
/// let event = new_event!(Level::Warn, target: "shop", "paid {cents:.2}", cents = 9.5);
/// let mut out = Vec::new();
/// Clef::new().format(&Record::from(&event), &mut out);
/// Clef::new().message(ClefMessage::Rendered).format(&Record::from(&event), &mut out);
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     concat!(
///         r#"{"@t":"1970-01-01T00:00:00.000000000Z","@mt":"paid {cents:.2}","@i":"f1f5efe6","@r":["9.50"],"@l":"Warning","#,
///         r#""SourceContext":"shop","cents":9.5}"#,
///         "\n",
///         r#"{"@t":"1970-01-01T00:00:00.000000000Z","@i":"f1f5efe6","@m":"paid 9.50","@l":"Warning","#,
///         r#""SourceContext":"shop","cents":9.5}"#,
///         "\n"
///     )
/// );
/// ```
///
/// [clef-json.org]: https://clef-json.org
/// [Serilog.Formatting.Compact]: https://github.com/serilog/serilog-formatting-compact
#[derive(Clone, Debug)]
pub struct Clef {
    timestamp: Timestamp,
    message: ClefMessage,
    sites: CallsiteCache,
}

/// Which form of a message with a template [`Clef`] writes. A message without a template is always `@m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClefMessage {
    /// `@mt`, the template: the reader fills the placeholders.
    #[default]
    Template,
    /// `@m`, the message with its placeholders filled, for readers without templates. `@i` identifies the template.
    Rendered,
    /// Both.
    Both,
}

impl Clef {
    /// Creates the format with its defaults: templates are written, messages are not.
    pub fn new() -> Self {
        Clef {
            timestamp: Timestamp::new(Precision::Nanos, UtcOffset::UTC),
            message: ClefMessage::default(),
            sites: CallsiteCache::default(),
        }
    }

    /// Sets which form of a message is written. Default: [`ClefMessage::Template`].
    #[must_use = "returns the format with the messages so"]
    pub fn message(mut self, message: ClefMessage) -> Self {
        self.message = message;
        // They contain the templates, or do not.
        self.sites = CallsiteCache::default();
        self
    }
}

impl Default for Clef {
    fn default() -> Self {
        Clef::new()
    }
}

impl Format for Clef {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"@t\":\"");
        self.timestamp.write(record.timestamp_nanos(), out);
        out.push(b'"');
        let message = self.message;
        let known = self.sites.lookup(record, |site, fragments| write_site(site, message, fragments));
        let fragments = known.fragments();
        // Events of one call site may have a template or a message of their own.
        let of_template = fragments.filter(|_| record.event().template().is_some());
        let [template, id] = [0, 1].map(|index| of_template.map_or(&[][..], |fragments| fragments.get(index)));
        out.extend_from_slice(template);
        out.extend_from_slice(id);
        if template.is_empty() || message == ClefMessage::Both {
            write_message(record, out);
        }
        if !template.is_empty() {
            write_renderings(record, out);
        }
        out.extend_from_slice(level(record.level()));
        write_error(record, out);
        write_ids(record, out);
        match fragments {
            Some(fragments) => out.extend_from_slice(fragments.get(2)),
            None => write_target(record.target(), out),
        }
        if record.is_truncated() {
            out.extend_from_slice(b",\"truncated\":true");
        }
        write_fields(record, known, out);
        out.extend_from_slice(b"}\n");
    }
}

/// Writes the parts that are the same in every line of a call site: the template, its hash, the target, each name.
fn write_site(site: &'static Callsite, message: ClefMessage, fragments: &mut Fragments) {
    fragments.add(|out| {
        let is_readable = !site.template().is_empty() && site.shown_names().all(is_read_in_a_hole);
        if message != ClefMessage::Rendered && is_readable {
            out.extend_from_slice(b",\"@mt\":");
            write_string(site.template(), out);
        }
    });
    fragments.add(|out| {
        if !site.template().is_empty() {
            out.extend_from_slice(format!(",\"@i\":\"{:08x}\"", event_id(site.template())).as_bytes());
        }
    });
    fragments.add(|out| write_target(site.target(), out));
    for name in site.names() {
        fragments.add(|out| write_own_name(name, out));
    }
}

/// Whether readers of a template see a placeholder of this name (<https://messagetemplates.org>) and find the field.
/// They take any other one for text, `{http.status}` for instance, and then give its rendering to the next placeholder
/// with a format.
fn is_read_in_a_hole(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_') && !is_reserved(name)
}

fn write_fields(record: &Record<'_>, known: CachedCallsite<'_>, out: &mut Vec<u8>) {
    for (index, (name, value)) in record.fields().enumerate() {
        if id_key(name, &value).is_some() && !record.shows(index, name) {
            continue;
        }
        match known.name(3, index, name) {
            [] if is_reserved(name) => write_name(&reserved::rename(name, record, is_reserved), out),
            [] => write_own_name(name, out),
            known => out.extend_from_slice(known),
        }
        write_value(value, out);
    }
}

/// Writes nothing if there is no message: readers require the time alone.
fn write_message(record: &Record<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b",\"@m\":\"");
    let text = out.len();
    escape_message::<InString>(record.message(), out);
    if out.len() == text && !record.event().has_message() {
        out.truncate(start);
    } else {
        out.push(b'"');
    }
}

/// Writes the texts that readers of the template cannot format.
fn write_renderings(record: &Record<'_>, out: &mut Vec<u8>) {
    let mut before: &[u8] = b",\"@r\":[\"";
    for hole in record.event().formatted_holes() {
        out.extend_from_slice(before);
        escape_written::<InString>(out, |out| hole.write_to(out));
        before = b"\",\"";
    }
    if before == b"\",\"" {
        out.extend_from_slice(b"\"]");
    }
}

/// Writes Serilog's name of the level. A line without a level means info.
fn level(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b",\"@l\":\"Verbose\"",
        Level::Debug => b",\"@l\":\"Debug\"",
        Level::Info => b"",
        Level::Warn => b",\"@l\":\"Warning\"",
        Level::Error => b",\"@l\":\"Error\"",
        Level::Fatal => b",\"@l\":\"Fatal\"",
    }
}

fn write_error(record: &Record<'_>, out: &mut Vec<u8>) {
    let error = record.fields().find_map(|(_, value)| match value {
        Value::Error(chain) => Some(chain),
        _ => None,
    });
    if let Some(chain) = error {
        out.extend_from_slice(b",\"@x\":\"");
        write_chain(&chain, out);
        out.push(b'"');
    }
}

fn write_chain(chain: &ErrorChain<'_>, out: &mut Vec<u8>) {
    for (position, message) in chain.messages().enumerate() {
        if position > 0 {
            escape::<InString>("\ncaused by: ", out);
        }
        escape::<InString>(&message, out);
    }
}

fn write_ids(record: &Record<'_>, out: &mut Vec<u8>) {
    for (name, value) in record.fields() {
        if let (Some(key), Value::Str(id)) = (id_key(name, &value), value) {
            out.extend_from_slice(key);
            out.extend_from_slice(id.as_bytes());
            out.push(b'"');
        }
    }
}

/// The key and quote before an id, if the field is one.
fn id_key(name: &str, value: &Value<'_>) -> Option<&'static [u8]> {
    let (key, digits): (&[u8], _) = match name {
        "trace_id" => (b",\"@tr\":\"", 32),
        "span_id" => (b",\"@sp\":\"", 16),
        _ => return None,
    };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    matches!(*value, Value::Str(id) if id.len() == digits && id.bytes().all(is_digit)).then_some(key)
}

fn write_target(target: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"SourceContext\":");
    write_string(target, out);
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "SourceContext" | "truncated")
}

/// Writes nothing if the name is reserved.
fn write_own_name(name: &str, out: &mut Vec<u8>) {
    match name.as_bytes() {
        [b'@', ..] => {
            out.extend_from_slice(b",\"@");
            escape::<InString>(name, out);
            out.extend_from_slice(b"\":");
        }
        _ if is_reserved(name) => {}
        _ => write_name(name, out),
    }
}
