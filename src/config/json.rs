//! Anywhere (pure): the options of the JSON format.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::set;
use crate::format::{DottedKeys, Json, Key};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonKeys {
    keys: Option<KeyNames>,
    dotted: Option<DottedWord>,
}

/// By the parts of a line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyNames {
    timestamp: Option<KeyName>,
    level: Option<KeyName>,
    target: Option<KeyName>,
    module: Option<KeyName>,
    file: Option<KeyName>,
    line: Option<KeyName>,
    message: Option<KeyName>,
    truncated: Option<KeyName>,
}

#[derive(Clone, Debug)]
enum KeyName {
    LeftOut,
    Called(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DottedWord {
    Flat,
    Nested,
}

impl From<&JsonKeys> for Json {
    fn from(JsonKeys { keys, dotted }: &JsonKeys) -> Self {
        let names = keys.iter().flat_map(KeyNames::all).filter_map(|(key, name)| Some((key, name.as_ref()?)));
        let json = names.fold(Json::new(), |json, (key, name)| match name {
            KeyName::LeftOut => json.without(key),
            KeyName::Called(name) => json.key(key, name),
        });
        set(json, *dotted, |json, dotted| json.dotted(dotted.into()))
    }
}

impl KeyNames {
    fn all(&self) -> [(Key, &Option<KeyName>); 8] {
        let KeyNames { timestamp, level, target, module, file, line, message, truncated } = self;
        [
            (Key::Timestamp, timestamp),
            (Key::Level, level),
            (Key::Target, target),
            (Key::Module, module),
            (Key::File, file),
            (Key::Line, line),
            (Key::Message, message),
            (Key::Truncated, truncated),
        ]
    }
}

impl From<DottedWord> for DottedKeys {
    fn from(word: DottedWord) -> Self {
        match word {
            DottedWord::Flat => DottedKeys::Flat,
            DottedWord::Nested => DottedKeys::Nested,
        }
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = KeyName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key as text, or `false` to leave it out")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<KeyName, E> {
        Ok(KeyName::Called(name.to_owned()))
    }

    fn visit_bool<E: de::Error>(self, is_there: bool) -> Result<KeyName, E> {
        if is_there { Err(E::invalid_value(Unexpected::Bool(true), &self)) } else { Ok(KeyName::LeftOut) }
    }
}
