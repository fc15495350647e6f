//! Anywhere (pure): serde's view of an item, which knows the place of every invalid value.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, ConfigErrorKind, all, part};
use super::item::{Item, ItemValue};
use crate::event::SENSITIVE;

/// The type of a sink or format; it is read before the other keys of its table, wherever it is written.
pub(super) const TYPE: &str = "type";

/// Reads a value whose key has this path. `beside` are keys of the same table that are read separately.
pub(super) fn read<'de, T: Deserialize<'de>>(
    item: &'de Item,
    path: &[String],
    beside: &'static [&'static str],
) -> Result<T, ConfigError> {
    T::deserialize(ItemDeserializer { item, beside }).map_err(|ReadError(error)| error.at(item).inside(path))
}

struct ItemDeserializer<'a> {
    item: &'a Item,
    beside: &'static [&'static str],
}

impl<'a> ItemDeserializer<'a> {
    fn new(item: &'a Item) -> Self {
        ItemDeserializer { item, beside: &[] }
    }

    /// Text, or a variable's value as written: `LOGWEIR__NAME=7` names the logger `7`.
    fn text(&self) -> Option<&'a str> {
        match &self.item.node {
            ItemValue::Text(text) => Some(text),
            ItemValue::List(_) | ItemValue::Table(_) => None,
            _ if self.item.origin.variable().is_some() => self.item.written.as_deref(),
            _ => None,
        }
    }

    /// The same, also of a table or a list: `LOGWEIR__SINKS__QUEUE__TOKEN={a}` is the text `{a}`.
    fn whole_text(&self) -> Option<&'a str> {
        self.text().or_else(|| self.item.origin.variable().and(self.item.written.as_deref()))
    }

    fn visit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.item.node {
            ItemValue::Null => visitor.visit_unit(),
            ItemValue::Bool(value) => visitor.visit_bool(*value),
            ItemValue::Float(value) => visitor.visit_f64(*value),
            ItemValue::Text(value) => visitor.visit_borrowed_str(value),
            ItemValue::List(items) => visitor.visit_seq(ListItems(items.iter().enumerate())),
            ItemValue::Table(_) => visitor.visit_map(TableEntries::of(self.item)),
            ItemValue::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(*value),
            },
        }
    }

    fn check_keys(&self, fields: &'static [&'static str]) -> Result<(), ReadError> {
        let is_known = |key: &str| fields.contains(&key) || self.beside.contains(&key);
        match self.item.entries().iter().find(|(key, _)| !is_known(key)) {
            None => Ok(()),
            Some((key, item)) => {
                let allowed = fields.iter().chain(self.beside).map(|key| (*key).to_owned()).collect();
                Err(ReadError(ConfigError::new(ConfigErrorKind::UnknownKey { allowed }).at(item).under(part(key))))
            }
        }
    }
}

impl<'de> Deserializer<'de> for ItemDeserializer<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let item = self.item;
        self.visit(visitor).map_err(|wrong| wrong.at(item))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.whole_text() {
            Some(text) => visitor.visit_borrowed_str(text).map_err(|wrong: ReadError| wrong.at(self.item)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.item.node {
            ItemValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name != SENSITIVE {
            return visitor.visit_newtype_struct(self);
        }
        let item = self.item;
        // An error of the type itself has no place yet.
        visitor.visit_some(self).map_err(|ReadError(error)| ReadError(error.at(item).secret()))
    }

    /// No options are an empty table: for a sink registered without any.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.item.node {
            ItemValue::Table(_) => self.check_keys(&[]).and_then(|()| visitor.visit_unit()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_unit(visitor)
    }

    /// A key that the struct does not have is an error, whether or not the struct denies unknown fields.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.item.node {
            ItemValue::Table(_) => self.check_keys(fields).and_then(|()| self.deserialize_any(visitor)),
            _ => {
                let allowed = format!("a table of {}", all(fields));
                Err(ReadError(ConfigError::new(ConfigErrorKind::Value { allowed })).at(self.item))
            }
        }
    }

    /// `"variant"`, or `{ variant = value }`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let item = self.item;
        let result = match (self.text(), &item.node) {
            (Some(text), _) => visitor.visit_enum(Word(text)),
            (None, ItemValue::Table(entries)) if entries.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(TableEntries::of(item)))
            }
            _ => Err(de::Error::invalid_type(Unexpected::Other("this"), &"a word, or a table with one key")),
        };
        result.map_err(|wrong| wrong.at(item))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 seq tuple tuple_struct map identifier ignored_any
    }
}

struct TableEntries<'a> {
    left: std::vec::IntoIter<&'a (String, Item)>,
    value: Option<&'a (String, Item)>,
}

impl<'a> TableEntries<'a> {
    fn of(table: &'a Item) -> Self {
        let mut entries: Vec<_> = table.entries().iter().collect();
        entries.sort_by_key(|(key, _)| key != TYPE);
        TableEntries { left: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for TableEntries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.left.next() else { return Ok(None) };
        self.value = Some(entry);
        let (key, item) = entry;
        let deserializer: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(deserializer).map(Some).map_err(|wrong| wrong.at(item).under(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, item) = self.value.take().expect("serde asks for a value after its key");
        seed.deserialize(ItemDeserializer::new(item)).map_err(|wrong| wrong.at(item).under(key))
    }
}

struct ListItems<'a>(std::iter::Enumerate<std::slice::Iter<'a, Item>>);

impl<'de> SeqAccess<'de> for ListItems<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(ItemDeserializer::new(item));
        read.map(Some).map_err(|ReadError(error)| ReadError(error.at(item).under(format!("[{index}]"))))
    }
}

/// A variant without a value.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = ReadError;
    type Variant = NoValue;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, NoValue), ReadError> {
        let deserializer: StrDeserializer<'_, ReadError> = self.0.into_deserializer();
        Ok((seed.deserialize(deserializer)?, NoValue))
    }
}

struct NoValue;

impl NoValue {
    fn refuse<T>() -> Result<T, ReadError> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table with this key, and a value behind it"))
    }
}

impl<'de> VariantAccess<'de> for NoValue {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ReadError> {
        NoValue::refuse()
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        NoValue::refuse()
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError> {
        NoValue::refuse()
    }
}

/// An error that gets the place of its value as it is passed outward.
#[derive(Debug)]
pub(super) struct ReadError(ConfigError);

impl ReadError {
    fn at(self, item: &Item) -> Self {
        ReadError(self.0.at(item))
    }

    fn under(self, key: &str) -> Self {
        ReadError(self.0.under(part(key)))
    }

    fn value(expected: &dyn Expected) -> Self {
        ReadError(ConfigError::new(ConfigErrorKind::Value { allowed: in_words(&expected.to_string()) }))
    }
}

/// Serde's expectation in words for the author of a file.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "a boolean" => "`true` or `false`",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not below 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        other => other,
    };
    words.to_owned()
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(why: T) -> Self {
        ReadError(ConfigError::new(ConfigErrorKind::Refused(why.to_string())))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ReadError::value(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ReadError::value(expected)
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        ReadError::value(expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let allowed = expected.iter().map(|word| (*word).to_owned()).collect();
        ReadError(ConfigError::new(ConfigErrorKind::Word { allowed }))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let allowed = expected.iter().map(|key| (*key).to_owned()).collect();
        ReadError(ConfigError::new(ConfigErrorKind::UnknownKey { allowed }))
    }

    fn missing_field(field: &'static str) -> Self {
        ReadError(ConfigError::new(ConfigErrorKind::Missing)).under(field)
    }
}
