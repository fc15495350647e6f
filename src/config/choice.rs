//! Anywhere (pure): values that are a word, or a table with more details.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Unexpected, Visitor};

use super::error::all;

/// A value that is one of a few words or a table.
pub(super) trait WordOrTable: Sized {
    /// The valid values, in the words of an error.
    fn allowed() -> String;

    /// `None` if it is none of the words.
    fn from_word<E: de::Error>(word: &str) -> Result<Option<Self>, E>;

    fn from_table<'de, A: MapAccess<'de>>(table: A) -> Result<Self, A::Error>;
}

/// Reads it; `Deserialize` for such a type is this function.
pub(super) fn choice<'de, T: WordOrTable, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ChoiceVisitor(PhantomData))
}

struct ChoiceVisitor<T>(PhantomData<T>);

impl<'de, T: WordOrTable> Visitor<'de> for ChoiceVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::allowed())
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        T::from_word(word)?.ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::from_table(table)
    }
}

/// Settings that may be disabled.
#[derive(Clone, Debug)]
pub(super) enum OrNever<T> {
    Never,
    Set(T),
}

impl<T: for<'de> Deserialize<'de>> WordOrTable for OrNever<T> {
    fn allowed() -> String {
        format!("`never`, or a table of {}", all(keys_of::<T>()))
    }

    fn from_word<E: de::Error>(word: &str) -> Result<Option<Self>, E> {
        Ok((word == "never").then_some(OrNever::Never))
    }

    fn from_table<'de, A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(table)).map(OrNever::Set)
    }
}

impl<'de, T: for<'a> Deserialize<'a>> Deserialize<'de> for OrNever<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer)
    }
}

/// The keys of a struct or the words of an enum, as serde knows them.
pub(super) fn keys_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(KeysDeserializer) {
        Err(FoundKeys(keys)) => keys,
        Ok(_) => &[],
    }
}

/// Returns an error with the keys when a type deserializes a struct or an enum from it.
struct KeysDeserializer;

#[derive(Debug)]
struct FoundKeys(&'static [&'static str]);

impl fmt::Display for FoundKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&all(self.0))
    }
}

impl std::error::Error for FoundKeys {}

impl de::Error for FoundKeys {
    fn custom<T: fmt::Display>(_: T) -> Self {
        FoundKeys(&[])
    }
}

impl<'de> Deserializer<'de> for KeysDeserializer {
    type Error = FoundKeys;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FoundKeys> {
        Err(FoundKeys(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FoundKeys> {
        Err(FoundKeys(keys))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FoundKeys> {
        Err(FoundKeys(words))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_struct_are_those_that_serde_reads() {
        #[derive(serde::Deserialize)]
        struct Two {
            #[serde(rename = "type")]
            _kind: String,
            _cap: u8,
        }
        assert_eq!(keys_of::<Two>(), ["type", "_cap"]);
        assert_eq!(keys_of::<String>(), [""; 0]);
    }
}
