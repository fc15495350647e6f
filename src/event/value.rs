//! Anywhere (pure): the value of a field, typed, borrowed from the event that carries it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};

/// The most errors of a chain that are kept: a chain may lead back to its start.
pub(super) const MAX_ERRORS: usize = 128;
/// Follows the text that a formatting wrote before it failed.
pub(super) const FAILED_MARK: &str = "…(formatting failed)";

/// The value of a field, borrowed from its owner.
///
/// Values keep their type from the call to the sink: a number is never turned into text on the way.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value, as `None` gives.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A signed integer that may not fit 64 bits.
    I128(i128),
    /// An unsigned integer that may not fit 64 bits.
    U128(u128),
    /// A floating-point number of 32 bits, possibly not finite. Its text has the fewest digits that give it back as one.
    F32(f32),
    /// A floating-point number, possibly not finite.
    F64(f64),
    /// Text, as `str` or a `Display` implementation gave it.
    Str(&'a str),
    /// Text from a `Debug` implementation: already quoted where its author wanted quotes.
    Debug(&'a str),
    /// Bytes that need not be text.
    Bytes(&'a [u8]),
    /// A JSON document on one line.
    Json(&'a str),
    /// An error and its sources.
    Error(ErrorChain<'a>),
}

impl Value<'_> {
    /// Writes the value as plain text: no quotes, no escapes, bytes in lower-case hexadecimal, null as `null`, an
    /// error's chain joined by `": "`.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> fmt::Result {
        match *self {
            Value::Null => out.write_str("null"),
            Value::Bool(v) => out.write_str(if v { "true" } else { "false" }),
            Value::I64(v) => out.write_str(itoa::Buffer::new().format(v)),
            Value::U64(v) => out.write_str(itoa::Buffer::new().format(v)),
            Value::I128(v) => out.write_str(itoa::Buffer::new().format(v)),
            Value::U128(v) => out.write_str(itoa::Buffer::new().format(v)),
            Value::F32(v) => out.write_str(zmij::Buffer::new().format(v)),
            Value::F64(v) => out.write_str(zmij::Buffer::new().format(v)),
            Value::Str(v) | Value::Debug(v) | Value::Json(v) => out.write_str(v),
            Value::Bytes(v) => v.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
            Value::Error(chain) => chain.write_joined(out),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f)
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Str(a) | Value::Debug(a), Value::Str(b) | Value::Debug(b)) => a == b,
            (Value::Json(a), Value::Json(b)) => a == b,
            (Value::Error(a), Value::Error(b)) => a.messages().eq(b.messages()),
            _ => match (self.as_u128(), other.as_u128()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => {
                    matches!((self.as_i128(), other.as_i128()), (Some(a), Some(b)) if a == b)
                        || matches!((self.as_f64(), other.as_f64()), (Some(a), Some(b)) if a == b)
                }
                _ => false,
            },
        }
    }
}

/// For [`PartialEq`]: integers and floats are equal by value, whatever their width.
impl Value<'_> {
    fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    fn as_u128(&self) -> Option<u128> {
        match *self {
            Value::I64(v) => v.try_into().ok(),
            Value::I128(v) => v.try_into().ok(),
            Value::U64(v) => Some(v.into()),
            Value::U128(v) => Some(v),
            _ => None,
        }
    }

    fn as_i128(&self) -> Option<i128> {
        match *self {
            Value::I64(v) => Some(v.into()),
            Value::I128(v) => Some(v),
            Value::U64(v) => Some(v.into()),
            Value::U128(v) => v.try_into().ok(),
            _ => None,
        }
    }
}

/// An error and the errors it came from, outermost first.
#[derive(Clone, Copy)]
pub struct ErrorChain<'a>(ErrorChainSource<'a>);

#[derive(Clone, Copy)]
enum ErrorChainSource<'a> {
    /// On the caller's side: not yet turned into text.
    Live(&'a (dyn Error + 'a)),
    /// In an event: messages, each after its length in four bytes.
    EncodedFields(&'a [u8]),
}

impl<'a> ErrorChain<'a> {
    pub(crate) fn live(error: &'a (dyn Error + 'a)) -> Self {
        ErrorChain(ErrorChainSource::Live(error))
    }

    pub(crate) fn encoded(bytes: &'a [u8]) -> Self {
        ErrorChain(ErrorChainSource::EncodedFields(bytes))
    }

    pub(crate) fn as_live(&self) -> Option<&'a (dyn Error + 'a)> {
        match self.0 {
            ErrorChainSource::Live(error) => Some(error),
            ErrorChainSource::EncodedFields(_) => None,
        }
    }

    /// Returns the messages, outermost first: the error's own, then each source's, at most 128.
    pub fn messages(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let mut chain = self.0;
        let mut ended = false;
        std::iter::from_fn(move || match chain {
            _ if ended => None,
            ErrorChainSource::Live(error) => {
                match error.source() {
                    Some(source) => chain = ErrorChainSource::Live(source),
                    None => ended = true,
                }
                // Not `to_string`: it panics if a formatting fails.
                let mut message = String::new();
                if write!(message, "{error}").is_err() {
                    message.push_str(FAILED_MARK);
                }
                Some(Cow::Owned(message))
            }
            ErrorChainSource::EncodedFields(bytes) => {
                let (len, rest) = bytes.split_first_chunk::<4>()?;
                let (message, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                chain = ErrorChainSource::EncodedFields(rest);
                Some(String::from_utf8_lossy(message))
            }
        })
        .take(MAX_ERRORS)
    }

    fn write_joined(&self, out: &mut dyn Write) -> fmt::Result {
        for (position, message) in self.messages().enumerate() {
            if position > 0 {
                out.write_str(": ")?;
            }
            out.write_str(&message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.messages()).finish()
    }
}

/// Returns an error as a field's value, with its whole chain of sources: `error!("sync failed", error = err(&e))`.
///
/// A plain `error = %e` keeps only the outermost message.
pub fn err<'a>(error: &'a (dyn Error + 'a)) -> Value<'a> {
    Value::Error(ErrorChain::live(error))
}

/// A type that can be `key = value` in a log call and keeps its type on the way.
///
/// Implement it for a type of your own that has a natural typed form; for anything else write `key = %value`
/// (`Display`), `key = ?value` (`Debug`) or, with the feature `serde`, `key = @value` (JSON).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no typed log value",
    note = "write `key = %value` for its `Display` text, `key = ?value` for its `Debug` text, or (feature `serde`) `key = @value` for JSON"
)]
pub trait ToValue {
    /// Returns the value, borrowed from `self`.
    fn to_value(&self) -> Value<'_>;
}

macro_rules! to_value {
    ($($type:ty => |$v:ident| $value:expr;)*) => {$(
        impl ToValue for $type {
            #[inline]
            fn to_value(&self) -> Value<'_> {
                let $v = self;
                $value
            }
        }
    )*};
}

to_value! {
    bool => |v| Value::Bool(*v);
    i8 => |v| Value::I64((*v).into());
    i16 => |v| Value::I64((*v).into());
    i32 => |v| Value::I64((*v).into());
    i64 => |v| Value::I64(*v);
    isize => |v| Value::I64(*v as i64);
    i128 => |v| Value::I128(*v);
    u8 => |v| Value::U64((*v).into());
    u16 => |v| Value::U64((*v).into());
    u32 => |v| Value::U64((*v).into());
    u64 => |v| Value::U64(*v);
    usize => |v| Value::U64(*v as u64);
    u128 => |v| Value::U128(*v);
    f32 => |v| Value::F32(*v);
    f64 => |v| Value::F64(*v);
    str => |v| Value::Str(v);
    String => |v| Value::Str(v);
    Cow<'_, str> => |v| Value::Str(v);
    [u8] => |v| Value::Bytes(v);
    Vec<u8> => |v| Value::Bytes(v);
    () => |_v| Value::Null;
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl ToValue for Value<'_> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        *self
    }
}

macro_rules! to_value_by_deref {
    ($($type:ty),*) => {$(
        impl<T: ToValue + ?Sized> ToValue for $type {
            #[inline]
            fn to_value(&self) -> Value<'_> {
                (**self).to_value()
            }
        }
    )*};
}

to_value_by_deref!(&T, &mut T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>);

macro_rules! from_to_value {
    ($($type:ty => $variant:ident),*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        }

        impl PartialEq<$type> for Value<'_> {
            fn eq(&self, other: &$type) -> bool {
                *self == Value::from(*other)
            }
        }
    )*};
}

from_to_value!(bool => Bool, i32 => I64, i64 => I64, u16 => U64, u32 => U64, u64 => U64, f32 => F32, f64 => F64);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Str(value)
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == Value::Str(other)
    }
}
