//! Anywhere (pure): variables of the environment, which override written values.

use std::ffi::OsString;

use super::error::{self, ConfigError, ConfigErrorKind};
use super::item::{Item, ItemValue, Origin, Source};
use super::reader::TYPE;
use super::text::toml_value;
use crate::event::Level;
use crate::filter::{EnvFilterError, Filter};

const PREFIX: &str = "LOGWEIR__";
const BETWEEN: &str = "__";

/// More parts than any key has: nested tables are visited by nested calls.
const MOST_PARTS: usize = 64;

/// What was skipped of a filter in a variable, and whether it is the filter of a sink.
pub(super) type Skipped = (EnvFilterError, bool);

/// Puts the values of logweir's variables into the table; returns what was skipped of their filters.
pub(super) fn overlay(
    root: &mut Item,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Skipped>, ConfigError> {
    let mut ours: Vec<Variable> = variables.filter_map(Variable::ours).collect::<Result<_, _>>()?;
    // A table before a value in it, and the same order regardless of the environment's.
    ours.sort_by_cached_key(|variable| {
        (variable.parts.len(), variable.name.to_ascii_lowercase(), variable.name.clone())
    });
    let mut skipped = Vec::new();
    ours.iter().try_for_each(|variable| variable.put_into(root, &mut skipped))?;
    Ok(skipped)
}

struct Variable {
    name: String,
    /// Of the key.
    parts: Vec<String>,
    text: String,
}

impl Variable {
    /// `None` if it is no variable of logweir, or blank: that counts as not set, like with `LOGWEIR_LOG`.
    fn ours((name, text): (OsString, OsString)) -> Option<Result<Self, ConfigError>> {
        // A variable of logweir begins with ASCII, whatever follows.
        let name = name.to_string_lossy().into_owned();
        let prefix = name.get(..PREFIX.len()).filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))?;
        let parts: Vec<String> = name[prefix.len()..].split(BETWEEN).map(str::to_owned).collect();
        let origin = || Origin::new(Source::Variable(name.clone()));
        let Ok(text) = text.into_string() else {
            return Some(Err(ConfigError::new(ConfigErrorKind::NotUnicode).written_at(origin())));
        };
        if text.trim().is_empty() {
            return None;
        }
        if parts.iter().any(String::is_empty) || parts.len() > MOST_PARTS {
            return Some(Err(ConfigError::new(ConfigErrorKind::Variable).written_at(origin())));
        }
        Some(Ok(Variable { name, parts, text }))
    }

    fn origin(&self) -> Origin {
        Origin::new(Source::Variable(self.name.clone()))
    }

    fn text_item(&self, text: String) -> Item {
        Item { node: ItemValue::Text(text), origin: self.origin(), written: None }
    }

    /// A TOML value if it can be read as one, or else text.
    fn item(&self) -> Item {
        let Some(mut item) = toml_value(self.text.trim(), &self.origin()) else {
            return self.text_item(self.text.clone());
        };
        if !matches!(item.node, ItemValue::Text(_)) {
            // For a key that takes text.
            item.written = Some(self.text.as_str().into());
        }
        item
    }

    /// Text: that of a TOML string, or else the variable's own.
    fn text_alone(&self) -> Item {
        match self.item() {
            // A date, or a number out of range, is text without quotes.
            item if matches!(item.node, ItemValue::Text(_)) => item,
            _ => self.text_item(self.text.clone()),
        }
    }

    /// The value for this key of the table at `path`; `None` if nothing of it can be used.
    fn value(&self, table: &VariableEntries, path: &[String], key: &str, skipped: &mut Vec<Skipped>) -> Option<Item> {
        if path == ["enrich"] {
            return Some(self.text_alone());
        }
        if !is_filtered(path) || key != "filter" {
            return Some(self.item());
        }
        let item = self.text_alone();
        let ItemValue::Text(text) = &item.node else { return Some(item) };
        let given = Filter::from_variable(&self.name, text, &filter_before(table, path));
        let Some(error) = given.skipped else { return Some(item) };
        skipped.push((error, !path.is_empty()));
        given.filter.map(|filter| self.text_item(filter.to_string()))
    }

    fn put_into(&self, root: &mut Item, skipped: &mut Vec<Skipped>) -> Result<(), ConfigError> {
        let mut table = self.table(root, "");
        let mut path: Vec<String> = Vec::new();
        let (last, tables) = self.parts.split_last().expect("`split` gives one part at the least");
        for part in tables {
            let key = self.key(table, part)?;
            table = self.table(self.entry(table, &key), &key);
            path.push(key);
        }
        let key = self.key(table, last)?;
        let Some(value) = self.value(table, &path, &key, skipped) else { return Ok(()) };
        if is_filtered(&path)
            && let Some(other) = rival(&key)
        {
            // The last one wins, like with the builder's methods; two variables are an error.
            table.retain(|(name, item)| name != other || item.origin.variable().is_some());
        }
        let entry = self.entry(table, &key);
        // The same number of parts at the same place: it has set this very value, not a table around it.
        let is_twice = |other: &&str| *other != self.name && other.split(BETWEEN).count() == self.parts.len() + 1;
        if let Some(other) = entry.origin.variable().filter(is_twice) {
            return Err(ConfigError::new(ConfigErrorKind::Twice(other.to_owned())).written_at(self.origin()));
        }
        *entry = value;
        Ok(())
    }

    /// The key of the table that this part of the name matches.
    fn key(&self, table: &VariableEntries, part: &str) -> Result<String, ConfigError> {
        let keys = || table.iter().map(|(key, _)| key);
        let as_it_is = keys().filter(|key| *key == part);
        let in_any_case = keys().filter(|key| key.eq_ignore_ascii_case(part));
        let by_place = keys().filter(|key| fits(key, part));
        let fitting = [as_it_is.collect::<Vec<_>>(), in_any_case.collect(), by_place.collect()];
        let closest = fitting.into_iter().find(|keys| !keys.is_empty()).unwrap_or_default();
        match closest.as_slice() {
            [] if part.contains(char::is_lowercase) => Ok(part.to_owned()),
            [] => Ok(part.to_ascii_lowercase()),
            [key] => Ok((*key).clone()),
            _ => Err(ConfigError::new(ConfigErrorKind::Several(closest.iter().map(|key| error::part(key)).collect()))
                .written_at(self.origin())),
        }
    }

    /// The value under this key, or a new empty one.
    fn entry<'a>(&self, table: &'a mut VariableEntries, key: &str) -> &'a mut Item {
        let index = table.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
            table.push((key.to_owned(), Item { node: ItemValue::Null, origin: self.origin(), written: None }));
            table.len() - 1
        });
        &mut table[index].1
    }

    /// This table; any other value is replaced by one.
    fn table<'a>(&self, item: &'a mut Item, key: &str) -> &'a mut VariableEntries {
        if !matches!(item.node, ItemValue::Table(_)) {
            // `format = "json"` is short for a table with that type, so an option does not change the format.
            let is_short = key == "format" && matches!(item.node, ItemValue::Text(_));
            let kind = is_short.then(|| (TYPE.to_owned(), item.clone()));
            *item = Item { node: ItemValue::Table(kind.into_iter().collect()), origin: self.origin(), written: None };
        }
        match &mut item.node {
            ItemValue::Table(entries) => entries,
            _ => unreachable!("it is a table by now"),
        }
    }
}

type VariableEntries = Vec<(String, Item)>;

/// Whether the part of a variable's name matches this key: a variable cannot contain `-`, `.` and the like.
fn fits(key: &str, part: &str) -> bool {
    let same =
        |(key, part): (char, char)| key.eq_ignore_ascii_case(&part) || (part == '_' && !key.is_ascii_alphanumeric());
    key.chars().count() == part.chars().count() && key.chars().zip(part.chars()).all(same)
}

/// The logger and every sink have a filter, or a level instead.
fn is_filtered(path: &[String]) -> bool {
    matches!(path, []) || matches!(path, [sinks, _] if sinks == "sinks")
}

/// The filter that this table has without the variable.
fn filter_before(table: &VariableEntries, path: &[String]) -> Filter {
    let text = |key: &str| match table.iter().find(|(name, _)| name == key) {
        Some((_, Item { node: ItemValue::Text(text), .. })) => Some(text.as_str()),
        _ => None,
    };
    let filter = text("filter").and_then(|text| text.parse().ok());
    let level = || Some(Filter::from(text("level")?.trim().parse::<Level>().ok()?));
    // The default of a sink is every event, that of the logger is the builder's.
    filter.or_else(level).unwrap_or(Filter::from(if path.is_empty() { Level::Info } else { Level::Trace }))
}

fn rival(key: &str) -> Option<&'static str> {
    match key {
        "filter" => Some("level"),
        "level" => Some("filter"),
        _ => None,
    }
}
