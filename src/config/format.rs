//! Anywhere (pure): a format, by its name or by a table with its options.

use std::iter;

use serde::Deserialize;
use serde::de::value::{self, MapAccessDeserializer, MapDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess};

use super::choice::{WordOrTable, choice, keys_of};
use super::error::either;
use super::json::JsonKeys;
use super::quantity::Offset;
use super::reader::TYPE;
use super::set;
#[cfg(feature = "pretty")]
use crate::format::Pretty;
use crate::format::{Clef, ClefMessage, Format, Json, Logfmt, Text};
use crate::sink::ConsoleSink;

/// A format with its options, for the options of a sink of your own.
///
/// Written as `format = "json"`, or with options as `format = { type = "text", colors = true }`.
/// [`Config::example`](super::Config::example) has the options of each.
///
/// ```
/// use logweir::config::{Config, FormatOptions, SinkRegistry};
/// # use logweir::{Batch, Format, Sink, SinkError, async_trait};
/// # struct Lines(Box<dyn Format>);
/// # #[async_trait]
/// # impl Sink for Lines { async fn write(&mut self, _: &Batch) -> Result<(), SinkError> { Ok(()) } }
///
/// #[derive(serde::Deserialize)]
/// struct LinesOptions { format: FormatOptions }
///
/// let sinks = SinkRegistry::new().register("lines", |options: LinesOptions| Ok::<_, SinkError>(Lines(options.format.build())));
/// let config = Config::from_toml("sinks.lines = { type = 'lines', format = 'json' }")?;
/// # let _builder =
/// config.builder(&sinks)?;
/// # Ok::<(), logweir::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FormatOptions(FormatKind);

#[derive(Clone, Debug)]
enum FormatKind {
    Text(TextKeys),
    #[cfg(feature = "pretty")]
    Pretty(PrettyKeys),
    Json(JsonKeys),
    Clef(ClefKeys),
    Logfmt(LogfmtKeys),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FormatName {
    Text,
    Pretty,
    Json,
    Clef,
    Logfmt,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextKeys {
    colors: Option<bool>,
    utc_offset: Option<Offset>,
}

#[cfg(feature = "pretty")]
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrettyKeys {
    colors: Option<bool>,
    utc_offset: Option<Offset>,
    width: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClefKeys {
    message: Option<MessageWord>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogfmtKeys {}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageWord {
    Template,
    Rendered,
    Both,
}

impl FormatOptions {
    /// Creates the format, for one sink.
    pub fn build(&self) -> Box<dyn Format> {
        match &self.0 {
            FormatKind::Text(keys) => Box::new(Text::from(keys)),
            #[cfg(feature = "pretty")]
            FormatKind::Pretty(keys) => Box::new(Pretty::from(keys)),
            FormatKind::Json(keys) => Box::new(Json::from(keys)),
            FormatKind::Clef(ClefKeys { message }) => {
                Box::new(set(Clef::new(), *message, |clef, message| clef.message(message.into())))
            }
            FormatKind::Logfmt(LogfmtKeys {}) => Box::new(Logfmt::new()),
        }
    }

    /// Without options, text and the pretty format are the console's own: in color, and in the width of the terminal,
    /// if there is one.
    pub(super) fn on_console(&self, console: ConsoleSink) -> ConsoleSink {
        match &self.0 {
            FormatKind::Text(TextKeys { colors: None, utc_offset: None }) => console,
            #[cfg(feature = "pretty")]
            FormatKind::Pretty(PrettyKeys { colors: None, utc_offset: None, width: None }) => console.pretty(),
            _ => console.format(self.build()),
        }
    }

    fn read<'de, D: Deserializer<'de>>(name: FormatName, options: D) -> Result<Self, D::Error> {
        let kind = match name {
            FormatName::Text => FormatKind::Text(Deserialize::deserialize(options)?),
            #[cfg(feature = "pretty")]
            FormatName::Pretty => FormatKind::Pretty(Deserialize::deserialize(options)?),
            #[cfg(not(feature = "pretty"))]
            FormatName::Pretty => return Err(super::error::needs("pretty")),
            FormatName::Json => FormatKind::Json(Deserialize::deserialize(options)?),
            FormatName::Clef => FormatKind::Clef(Deserialize::deserialize(options)?),
            FormatName::Logfmt => FormatKind::Logfmt(Deserialize::deserialize(options)?),
        };
        Ok(FormatOptions(kind))
    }
}

impl From<&TextKeys> for Text {
    fn from(TextKeys { colors, utc_offset }: &TextKeys) -> Self {
        let text = set(Text::new(), *colors, Text::colors);
        set(text, *utc_offset, |text, Offset(offset)| text.utc_offset(offset))
    }
}

#[cfg(feature = "pretty")]
impl From<&PrettyKeys> for Pretty {
    fn from(PrettyKeys { colors, utc_offset, width }: &PrettyKeys) -> Self {
        let pretty = set(Pretty::new(), *colors, Pretty::colors);
        let pretty = set(pretty, *utc_offset, |pretty, Offset(offset)| pretty.utc_offset(offset));
        set(pretty, *width, Pretty::width)
    }
}

impl From<MessageWord> for ClefMessage {
    fn from(word: MessageWord) -> Self {
        match word {
            MessageWord::Template => ClefMessage::Template,
            MessageWord::Rendered => ClefMessage::Rendered,
            MessageWord::Both => ClefMessage::Both,
        }
    }
}

impl WordOrTable for FormatOptions {
    fn allowed() -> String {
        format!("{}, or a table with one of these as its `type`", either(keys_of::<FormatName>()))
    }

    fn from_word<E: de::Error>(word: &str) -> Result<Option<Self>, E> {
        let word: StrDeserializer<'_, value::Error> = word.into_deserializer();
        let Ok(name) = FormatName::deserialize(word) else { return Ok(None) };
        let no_options: MapDeserializer<'_, iter::Empty<(&str, ())>, E> = MapDeserializer::new(iter::empty());
        FormatOptions::read(name, no_options).map(Some)
    }

    /// The name comes first: it decides which options there are.
    fn from_table<'de, A: MapAccess<'de>>(mut table: A) -> Result<Self, A::Error> {
        if table.next_key::<String>()?.as_deref() != Some(TYPE) {
            return Err(de::Error::missing_field(TYPE));
        }
        let name = table.next_value()?;
        FormatOptions::read(name, MapAccessDeserializer::new(table))
    }
}

impl<'de> Deserialize<'de> for FormatOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{Event, Level, Record};

    fn written(options: &FormatOptions) -> String {
        let event = Event::new(Level::Warn, "shop", "paid")
            .with_source(Some("shop::till"), Some("shop.rs"), Some(7))
            .with("cents", 950)
            .with("http.status", 200)
            .with("note", "x".repeat(60))
            .with("more", "y".repeat(30));
        let mut out = Vec::new();
        options.build().format(&Record::from(&event), &mut out);
        String::from_utf8(out).expect("formats write UTF-8")
    }

    /// Checks that the options have the same values as their defaults.
    pub(in crate::config) fn is_as_without_options(options: &FormatOptions, name: &str) {
        let plain = FormatOptions::from_word::<value::Error>(name).unwrap().expect(name);
        assert_eq!(written(options), written(&plain));
    }
}
