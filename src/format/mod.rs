//! Anywhere (pure): formats, which turn events into bytes. A sink calls its format where it writes.
//!
//! | format | for | an event is |
//! |---|---|---|
//! | [`Text`] | people; the default of console and files | a line |
//! | `Pretty` (feature `pretty`) | a developer at a terminal | a line and, after a guide, as many as its fields need |
//! | [`Json`] | programs; use it for files and pipes that programs read | a JSON object on a line |
//! | [`Clef`] | Seq and other readers of Serilog's files | a JSON object on a line |
//! | [`Logfmt`] | Loki, Heroku, the Go ecosystem | a line of `key=value` pairs |
//!
//! The content of an event cannot make a format write another event, an escape sequence or an unintended key. In the
//! formats for programs no key occurs twice and no field is lost.
//!
//! # A format of your own
//! ```
//! use logweir::Format;
//! use logweir::event::Record;
//! use logweir::{Event, Level};
//!
//! /// `INFO|shop|order paid|cents=950`
//! struct Piped;
//!
//! impl Format for Piped {
//!     fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
//!         let mut line = format!("{}|{}|{}", record.level().as_upper_str(), record.target(), record.message());
//!         for (name, value) in record.fields_beside_message() {
//!             line += &format!("|{name}={value}");
//!         }
//!         // Whoever writes lines must see to it that no value can begin one.
//!         out.extend_from_slice(line.escape_debug().to_string().as_bytes());
//!         out.push(b'\n');
//!     }
//! }
//!
//! let event = Event::new(Level::Info, "shop", "order\npaid").with("cents", 950);
//! let mut out = Vec::new();
//! Piped.format(&Record::from(&event), &mut out);
//! assert_eq!(out, b"INFO|shop|order\\npaid|cents=950\n");
//! ```

// In: records of a batch, from a sink of `sink` that owns the format.
// Out: bytes appended to the sink's buffer, each event with its terminator.
//
// Invariants:
// * A format cannot fail and does no I/O.
// * An event of a line format is exactly one line: `escape.rs` escapes all that could end it or control a terminal.
// * Bytes that are the same for every event of a call site are formatted once (`callsite_cache.rs`).
//
// Next: the sink writes the bytes.
//
// Add a format in a file of its own, export it here, and give it a `type` in `config/format.rs`.

mod clef;
mod embedded;
mod escape;
mod callsite_cache;
mod json;
mod logfmt;
pub(crate) mod plain;
#[cfg(feature = "pretty")]
mod pretty;
mod quoting;
mod reserved;
mod text;
pub(crate) mod timestamp;

pub use clef::{Clef, ClefMessage};
pub use json::{DottedKeys, Json, Key};
pub use logfmt::Logfmt;
#[cfg(feature = "pretty")]
pub use pretty::Pretty;
#[cfg(feature = "otlp")]
pub(crate) use reserved::rename as rename_reserved;
pub use text::Text;
pub use timestamp::UtcOffset;

use crate::event::Record;

/// Turns an event into bytes, including its terminator (a newline, say). It cannot fail.
///
/// A format belongs to one sink and may keep state between calls (a timestamp's prefix, say).
pub trait Format: Send + 'static {
    /// Appends the record to `out`.
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>);
}

/// A format that is chosen at run time.
impl Format for Box<dyn Format> {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        (**self).format(record, out);
    }
}

/// Tests that need the crate's internals: layers of fields, templates, truncated events.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Batch, Callsite, Event, EventId, Level, Piece, SharedFields, Template, Value, parse};
    use std::sync::Arc;

    fn format(format: &mut dyn Format, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        format.format(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn context(fields: &[(&str, &str)]) -> Arc<SharedFields> {
        let extend = |parent: Option<SharedFields>, (name, value): &(&str, &str)| {
            Some(SharedFields::extend(parent.as_ref(), name, Value::Str(value)))
        };
        Arc::new(fields.iter().fold(None, extend).unwrap())
    }

    #[test]
    fn a_name_is_written_once_with_the_event_before_the_context_before_the_enrichment() {
        let mut event = Event::new(Level::Info, "t", "m").with("a", "event").with("level", "event");
        event.set_context(Some(context(&[("a", "context"), ("b", "context"), ("level", "context")])));
        let enrichment = context(&[("a", "logger"), ("b", "logger"), ("c", "logger"), ("level_", "logger")]);
        let batch = Batch::new(Arc::new([event]), Some(enrichment), EventId::ZERO);
        let record = batch.get(0).unwrap();

        let json = format(&mut Json::new(), &record);
        let fields = r#","a":"event","level__":"event","b":"context","c":"logger","level_":"logger"}"#;
        assert!(json.ends_with(&format!("{fields}\n")), "{json}");
        let text = format(&mut Text::new(), &record);
        assert!(text.ends_with(" a=event level=event b=context c=logger level_=logger\n"), "{text}");
        let logfmt = format(&mut Logfmt::new(), &record);
        assert!(logfmt.ends_with(" a=event level__=event b=context c=logger level_=logger\n"), "{logfmt}");
        let clef = format(&mut Clef::new(), &record);
        let fields = r#","a":"event","level":"event","b":"context","c":"logger","level_":"logger"}"#;
        assert!(clef.ends_with(&format!("{fields}\n")), "{clef}");
    }

    const NAMES: &[&str] = &["user", "ms", "ip"];
    const TEXT: &str = "{user} took {ms:.1} ms";
    const PIECES: [Piece; 4] = parse(TEXT, NAMES);
    static SITE: Callsite = Callsite::new("shop", "shop", "shop.rs", 1, Template::new(TEXT, &PIECES), NAMES);

    fn served(user: &str) -> Event {
        let mut event = Event::__new(&SITE, Level::Info);
        event.push(Value::Str(user));
        event.push(Value::F64(2.0));
        event.push(Value::Null);
        event
    }

    #[test]
    fn text_does_not_repeat_what_the_message_shows_and_json_has_every_field() {
        let event = served("ada");
        let text = format(&mut Text::new(), &Record::from(&event));
        assert_eq!(text, "1970-01-01T00:00:00.000Z  INFO shop: ada took 2.0 ms ip=null\n");
        let json = format(&mut Json::new(), &Record::from(&event));
        let rest = r#""message":"ada took 2.0 ms","user":"ada","ms":2.0,"ip":null}"#;
        assert!(json.ends_with(&format!("{rest}\n")), "{json}");
    }

    #[test]
    fn a_value_in_a_message_is_escaped_as_the_message_is() {
        let event = served("a\n\"\u{1b}b");
        let text = format(&mut Text::new(), &Record::from(&event));
        assert!(text.contains(r#": a\n"\u{1b}b took 2.0 ms"#), "{text}");
        let json = format(&mut Json::new(), &Record::from(&event));
        assert!(json.contains(r#""message":"a\n\"\u001bb took 2.0 ms""#), "{json}");
    }

    #[test]
    fn the_fields_of_a_context_keep_their_names_beside_an_event_that_lost_its_last() {
        let mut event = Event::__new(&SITE, Level::Info);
        // The other fields were dropped, like numbers that alone exceed the limit.
        event.push(Value::Str("ada"));
        event.set_context(Some(context(&[("service", "shop")])));
        let json = format(&mut Json::new(), &Record::from(&event));
        assert!(json.ends_with("\"user\":\"ada\",\"service\":\"shop\"}\n"), "{json}");
        let text = format(&mut Text::new(), &Record::from(&event));
        assert!(text.ends_with(" service=shop\n"), "{text}");
    }

    #[test]
    fn an_event_that_was_cut_says_so() {
        let mut event = Event::new(Level::Info, "t", "m").with("k", "x".repeat(1000)).with("truncated", "mine");
        assert!(event.limit(200));
        let record = Record::from(&event);
        let text = format(&mut Text::new(), &record);
        assert!(text.ends_with("x truncated=mine …[truncated]\n"), "{text}");
        let json = format(&mut Json::new(), &record);
        assert!(json.contains(r#""message":"m","truncated":true,"k":"x"#), "{json}");
        assert!(json.ends_with("x\",\"truncated_\":\"mine\"}\n"), "{json}");
        let logfmt = format(&mut Logfmt::new(), &record);
        assert!(logfmt.contains(" msg=m truncated=true k=x"), "{logfmt}");
        assert!(logfmt.ends_with("x truncated_=mine\n"), "{logfmt}");
        let clef = format(&mut Clef::new(), &record);
        assert!(clef.contains(r#","SourceContext":"t","truncated":true,"k":"x"#), "{clef}");
        assert!(clef.ends_with("x\",\"truncated_\":\"mine\"}\n"), "{clef}");
        let renamed = format(&mut Json::new().key(Key::Truncated, "cut"), &record);
        assert!(renamed.contains(r#""message":"m","cut":true,"k":"x"#), "{renamed}");
        assert!(renamed.ends_with("x\",\"truncated\":\"mine\"}\n"), "{renamed}");
        let without = format(&mut Json::new().without(Key::Truncated), &record);
        assert!(without.contains(r#""message":"m","k":"x"#), "{without}");
        #[cfg(feature = "pretty")]
        {
            let pretty = format(&mut Pretty::new(), &record);
            assert!(pretty.ends_with("\n  │ truncated=mine\n  │ …[truncated]\n"), "{pretty}");
        }
    }

    #[test]
    fn an_event_that_lost_the_value_of_a_hole_has_what_the_message_shows() {
        let mut event = Event::__new(&SITE, Level::Info);
        event.push(Value::Str("ada"));
        let clef = format(&mut Clef::new(), &Record::from(&event));
        assert!(clef.contains(r#""@r":["null"]"#), "{clef}");
        assert!(clef.ends_with("\"user\":\"ada\"}\n"), "{clef}");
    }
}
