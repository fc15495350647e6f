//! Anywhere (pure): values that must not appear in a log.

use std::fmt;
#[cfg(feature = "serde")]
use std::marker::PhantomData;

#[cfg(feature = "serde")]
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, SeqAccessDeserializer};
#[cfg(feature = "serde")]
use serde::de::{IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::{MASK, ToValue, Value};

/// Hides a value from the log: with any sigil (`k = v`, `%v`, `?v`, `@v`), `***` is written. A text formatted with the
/// value inside, such as by a `#[derive(Debug)]` on the struct around it, shows `***` in its place. The value itself
/// never enters the queue.
///
/// ```
/// use logweir::{Sensitive, fields};
///
/// let password = Sensitive::new("hunter2".to_owned());
/// let set = fields![user = "ada", password, again = ?password];
/// assert_eq!(format!("{set:?}"), r#"{"user": Str("ada"), "password": Str("***"), "again": Debug("***")}"#);
/// assert_eq!(password.expose(), "hunter2");
/// ```
///
/// It hides; it does not wipe memory. For fields that other code names, there is
/// [`Builder::redact`](crate::Builder::redact).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Hides the value.
    pub const fn new(value: T) -> Self {
        Sensitive(value)
    }

    /// Returns the value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Returns the value, moved out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Sensitive(value)
    }
}

impl<T> fmt::Display for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> ToValue for Sensitive<T> {
    fn to_value(&self) -> Value<'_> {
        Value::Str(MASK)
    }
}

/// Serializes as `"***"`: serialized data may be logged.
#[cfg(feature = "serde")]
impl<T> serde::Serialize for Sensitive<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Deserializes as the value itself: a configuration may hold secrets. The error for an invalid value does not show it.
#[cfg(feature = "serde")]
impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Sensitive<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SENSITIVE, SensitiveVisitor(PhantomData))
    }
}

/// The name under which a value is deserialized: `config` knows by it whose value no error may show.
#[cfg(any(feature = "serde", feature = "config"))]
pub(crate) const SENSITIVE: &str = "logweir::Sensitive";

#[cfg(feature = "serde")]
struct SensitiveVisitor<T>(PhantomData<T>);

/// For deserializers that pass a newtype's content without the newtype.
#[cfg(feature = "serde")]
macro_rules! visit_content {
    ($($visit:ident($value:ty)),*) => {$(
        fn $visit<E: serde::de::Error>(self, value: $value) -> Result<Self::Value, E> {
            T::deserialize(value.into_deserializer()).map(Sensitive).map_err(hide)
        }
    )*};
}

/// Replaces an error that may have the value in it.
#[cfg(feature = "serde")]
fn hide<E: serde::de::Error>(_: E) -> E {
    E::custom("the value of a sensitive field is invalid")
}

#[cfg(feature = "serde")]
impl<'de, T: serde::Deserialize<'de>> Visitor<'de> for SensitiveVisitor<T> {
    type Value = Sensitive<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(Sensitive).map_err(hide)
    }

    /// From the deserializer of `config`, whose errors do not show the value: they keep the place and the valid values.
    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(Sensitive)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        T::deserialize(().into_deserializer()).map(Sensitive).map_err(hide)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        T::deserialize(BorrowedStrDeserializer::new(value)).map(Sensitive).map_err(hide)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(list)).map(Sensitive).map_err(hide)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Sensitive).map_err(hide)
    }

    visit_content!(visit_bool(bool), visit_i64(i64), visit_i128(i128), visit_u64(u64), visit_u128(u128));
    visit_content!(visit_f64(f64), visit_char(char), visit_str(&str), visit_string(String), visit_bytes(&[u8]));
}
