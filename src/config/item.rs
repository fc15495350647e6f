//! Anywhere (pure): a configuration as written, each value with its place.
//!
//! It is the step between the text and the settings, because a variable of the environment overrides a single value,
//! sinks keep their order, and an error names the place of the one invalid value.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::format::plain::Foreign;

/// A value and its place.
// No `Debug`: the options of a sink may be secrets.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) node: ItemValue,
    pub(super) origin: Origin,
    /// As written, if the text is available; of a table or a list only if it is the value of a variable.
    pub(super) written: Option<Box<str>>,
}

#[derive(Clone)]
pub(super) enum ItemValue {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Item>),
    /// In the written order: sinks are opened and reported in this order.
    Table(Vec<(String, Item)>),
}

/// The place of a value.
#[derive(Clone)]
pub(super) struct Origin {
    source: Arc<Source>,
    /// Line and column, from 1.
    line: Option<usize>,
    column: Option<usize>,
}

pub(super) enum Source {
    File(PathBuf),
    Text,
    Variable(String),
    /// Another deserializer, which adds the place when it reports an error.
    Elsewhere,
}

impl Origin {
    pub(super) fn new(source: Source) -> Self {
        Origin { source: Arc::new(source), line: None, column: None }
    }

    pub(super) fn at_line(&self, line: usize) -> Self {
        Origin { source: self.source.clone(), line: Some(line), column: None }
    }

    pub(super) fn at_column(&self, line: usize, column: usize) -> Self {
        Origin { column: Some(column), ..self.at_line(line) }
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(*self.source, Source::Elsewhere)
    }

    pub(super) fn variable(&self) -> Option<&str> {
        match &*self.source {
            Source::Variable(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }
}

/// Like compilers and editors write it: `logweir.toml:12:8`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.source {
            Source::File(path) => write!(f, "{}", Foreign(path.display()))?,
            Source::Text => f.write_str("text")?,
            Source::Variable(name) => write!(f, "environment variable `{}`", Foreign(name))?,
            Source::Elsewhere => f.write_str("configuration")?,
        }
        [self.line, self.column].into_iter().flatten().try_for_each(|number| write!(f, ":{number}"))
    }
}

impl Item {
    pub(super) fn empty(origin: Origin) -> Self {
        Item { node: ItemValue::Table(Vec::new()), origin, written: None }
    }

    /// The entries of a table; none for any other value.
    pub(super) fn entries(&self) -> &[(String, Item)] {
        match &self.node {
            ItemValue::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, item)| item)
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.node, ItemValue::Text(own) if own == text)
    }

    /// The table with those of its entries whose key `keeps` accepts.
    pub(super) fn with_keys(&self, keeps: impl Fn(&str) -> bool) -> Item {
        let entries = self.entries().iter().filter(|(key, _)| keeps(key)).cloned().collect();
        Item { node: ItemValue::Table(entries), origin: self.origin.clone(), written: None }
    }

    /// The value as written, or a description of it.
    pub(super) fn shown(&self) -> String {
        match (&self.written, &self.node) {
            (_, ItemValue::List(_) | ItemValue::Table(_)) => self.kind(),
            (Some(written), _) => written.to_string(),
            (None, ItemValue::Null) => "null".into(),
            (None, ItemValue::Bool(value)) => value.to_string(),
            (None, ItemValue::Integer(value)) => value.to_string(),
            (None, ItemValue::Float(value)) => value.to_string(),
            (None, ItemValue::Text(value)) => format!("{value:?}"),
        }
    }

    /// The texts that a type gets, and other values as displayed; of a list or a table, those in it.
    pub(super) fn texts(&self) -> Vec<String> {
        match &self.node {
            ItemValue::Text(text) => vec![text.clone()],
            ItemValue::List(items) => items.iter().flat_map(Item::texts).collect(),
            ItemValue::Table(entries) => entries.iter().flat_map(|(_, item)| item.texts()).collect(),
            _ => vec![self.shown()],
        }
    }

    /// The kind of the value.
    pub(super) fn kind(&self) -> String {
        match &self.node {
            ItemValue::Null => "null".into(),
            ItemValue::Bool(_) => "a truth value".into(),
            ItemValue::Integer(_) => "a whole number".into(),
            ItemValue::Float(_) => "a number".into(),
            ItemValue::Text(text) => match text.chars().count() {
                1 => "a text of 1 character".into(),
                count => format!("a text of {count} characters"),
            },
            ItemValue::List(_) => "a list".into(),
            ItemValue::Table(_) => "a table".into(),
        }
    }

    /// Sets this origin for all values in it.
    pub(super) fn set_origin(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.node {
            ItemValue::List(items) => items.iter_mut().for_each(|item| item.set_origin(origin)),
            ItemValue::Table(entries) => entries.iter_mut().for_each(|(_, item)| item.set_origin(origin)),
            ItemValue::Null | ItemValue::Bool(_) | ItemValue::Integer(_) | ItemValue::Float(_) | ItemValue::Text(_) => {
            }
        }
    }
}

/// From any self-describing format; a key that is null counts as absent. Only that format knows the place.
impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = deserializer.deserialize_any(NodeVisitor)?;
        Ok(Item { node, origin: Origin::new(Source::Elsewhere), written: None })
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = ItemValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, a list, text, a number or a truth value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<ItemValue, E> {
        Ok(ItemValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ItemValue, E> {
        Ok(ItemValue::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ItemValue, E> {
        Ok(ItemValue::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ItemValue, E> {
        Ok(ItemValue::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<ItemValue, E> {
        Ok(ItemValue::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<ItemValue, E> {
        Ok(ItemValue::Null)
    }

    fn visit_none<E>(self) -> Result<ItemValue, E> {
        Ok(ItemValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<ItemValue, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<ItemValue, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ItemValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(ItemValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<ItemValue, A::Error> {
        let mut entries: Vec<(String, Item)> = Vec::new();
        while let Some(key) = table.next_key::<String>()? {
            // TOML does not allow it; JSON leaves it to its readers, most of which silently drop one of the two.
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(de::Error::custom(format_args!("the key `{}` is there twice", Foreign(key))));
            }
            let item: Item = table.next_value()?;
            if !matches!(item.node, ItemValue::Null) {
                entries.push((key, item));
            }
        }
        Ok(ItemValue::Table(entries))
    }
}
