//! Anywhere (pure): a format, by its name or by a table with its options.

use std::iter;

use serde::Deserialize;
use serde::de::value::{self, MapAccessDeserializer, MapDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess};

use super::choice::{Choice, choice, keys_of};
use super::error::either;
use super::quantity::Offset;
use super::reader::TYPE;
use super::set;
use crate::format::{Format, Json, Text};

/// A format with its options, for the options of a sink of your own.
///
/// Written as `format = "json"`, or with options as `format = { type = "text", colors = true }`. The options of each are
/// in [`Config::example`](super::Config::example).
///
/// ```
/// use logweir::config::{Config, FormatOptions, Sinks};
/// # use logweir::{Batch, Format, Sink, SinkError, async_trait};
/// # struct Lines(Box<dyn Format>);
/// # #[async_trait]
/// # impl Sink for Lines { async fn write(&mut self, _: &Batch) -> Result<(), SinkError> { Ok(()) } }
///
/// #[derive(serde::Deserialize)]
/// struct LinesOptions { format: FormatOptions }
///
/// let sinks = Sinks::new().register("lines", |options: LinesOptions| Ok::<_, SinkError>(Lines(options.format.make())));
/// let config = Config::from_toml("sinks.lines = { type = 'lines', format = 'json' }")?;
/// # let _builder =
/// config.builder(&sinks)?;
/// # Ok::<(), logweir::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FormatOptions(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Text(TextKeys),
    Json(JsonKeys),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextKeys {
    colors: Option<bool>,
    utc_offset: Option<Offset>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonKeys {}

impl FormatOptions {
    /// The format, for one sink.
    pub fn make(&self) -> Box<dyn Format> {
        match &self.0 {
            Kind::Text(TextKeys { colors, utc_offset }) => {
                let text = set(Text::new(), *colors, Text::colors);
                Box::new(set(text, *utc_offset, |text, Offset(offset)| text.utc_offset(offset)))
            }
            Kind::Json(JsonKeys {}) => Box::new(Json::new()),
        }
    }

    fn read<'de, D: Deserializer<'de>>(name: Name, options: D) -> Result<Self, D::Error> {
        let kind = match name {
            Name::Text => Kind::Text(TextKeys::deserialize(options)?),
            Name::Json => Kind::Json(JsonKeys::deserialize(options)?),
        };
        Ok(FormatOptions(kind))
    }
}

impl Choice for FormatOptions {
    fn allowed() -> String {
        format!("{}, or a table with one of these as its `type`", either(keys_of::<Name>()))
    }

    fn from_word(word: &str) -> Option<Self> {
        let name: StrDeserializer<'_, value::Error> = word.into_deserializer();
        let none: MapDeserializer<'_, iter::Empty<(&str, ())>, value::Error> = MapDeserializer::new(iter::empty());
        FormatOptions::read(Name::deserialize(name).ok()?, none).ok()
    }

    /// The name comes first: it says which options there are.
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
