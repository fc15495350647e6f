//! Anywhere (pure): from TOML or JSON to items.

use std::ops::Range;

use serde_json::error::Category;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrorKind};
use super::item::{Item, ItemValue, Origin};

/// Reads a text with this origin.
pub(super) fn from_toml(text: &str, origin: &Origin) -> Result<Item, ConfigError> {
    let lines = LineIndex::new(text, origin);
    let root = DeTable::parse(text).map_err(|error| lines.syntax(error))?;
    Ok(Item { node: lines.table(root.into_inner()), origin: origin.clone(), written: None })
}

/// Reads a single value, like on the right of `key = `.
pub(super) fn toml_value(text: &str, origin: &Origin) -> Option<Item> {
    let value = DeValue::parse(text).ok()?;
    let mut item = LineIndex::new(text, origin).item(value);
    item.set_origin(origin);
    Some(item)
}

/// Reads a text with this origin.
pub(super) fn from_json(text: &str, origin: &Origin) -> Result<Item, ConfigError> {
    // Some editors write a byte order mark; TOML's parser skips it by itself.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut item: Item = serde_json::from_str(text).map_err(|error| json_syntax(error, origin))?;
    item.set_origin(origin);
    Ok(item)
}

fn json_syntax(error: serde_json::Error, origin: &Origin) -> ConfigError {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    // The message already begins with the place.
    let said = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said).to_owned();
    let said = if error.classify() == Category::Data { said } else { format!("not JSON: {said}") };
    let problem = ConfigErrorKind::Syntax(said);
    // For an empty text the column is 0.
    ConfigError::new(problem).written_at(origin.at_column(line, column.max(1)))
}

/// A text and where its lines begin.
struct LineIndex<'a> {
    text: &'a str,
    origin: &'a Origin,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    fn new(text: &'a str, origin: &'a Origin) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        LineIndex { text, origin, starts }
    }

    /// The line of this byte, from 1.
    fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    fn syntax(&self, error: toml::de::Error) -> ConfigError {
        // Its message alone: it displays the invalid line too, which may have a password.
        let at = error.span().map_or(0, |span| span.start);
        let line = self.line(at);
        let before = self.text.get(self.starts[line - 1]..at).unwrap_or_default();
        let origin = self.origin.at_column(line, before.chars().count() + 1);
        let said = format!("not TOML: {}", error.message().replace('\n', ", "));
        ConfigError::new(ConfigErrorKind::Syntax(said)).written_at(origin)
    }

    /// The parser sorts keys by name; this restores the written order.
    fn table(&self, table: DeTable<'_>) -> ItemValue {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
            (key.into_inner().into_owned(), self.item(value))
        };
        ItemValue::Table(entries.into_iter().map(entry).collect())
    }

    fn item(&self, value: Spanned<DeValue<'_>>) -> Item {
        let Range { start, end } = value.span();
        let written: Option<Box<str>> = self.text.get(start..end).map(Into::into);
        let origin = self.origin.at_line(self.line(start));
        let value = value.into_inner();
        let written = written.filter(|_| !value.is_table() && !value.is_array());
        let node = match value {
            DeValue::String(text) => ItemValue::Text(text.into_owned()),
            DeValue::Boolean(value) => ItemValue::Bool(value),
            // Read as text if text is expected, as written; no option here is a time.
            DeValue::Datetime(time) => {
                ItemValue::Text(written.as_deref().map_or_else(|| time.to_string(), str::to_owned))
            }
            DeValue::Array(items) => ItemValue::List(items.into_iter().map(|item| self.item(item)).collect()),
            DeValue::Table(table) => self.table(table),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => ItemValue::Integer(number),
                Err(_) => ItemValue::Text(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                // A number out of range (`12e4567`, the hash of a commit) is not infinity.
                Ok(value) if value.is_finite() || !number.as_str().contains(|c: char| c.is_ascii_digit()) => {
                    ItemValue::Float(value)
                }
                _ => ItemValue::Text(number.to_string()),
            },
        };
        Item { node, origin, written }
    }
}
