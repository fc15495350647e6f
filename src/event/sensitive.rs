//! Anywhere (pure): values that must not appear in a log.

use std::fmt;

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

/// Deserializes as the value itself: a configuration may hold secrets.
#[cfg(feature = "serde")]
impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Sensitive<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Sensitive)
    }
}
