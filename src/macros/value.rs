//! The caller's thread: one function for each sigil.

use std::fmt::{Debug, Display};

use crate::event::{Event, TextKind, ToValue};

/// `k = v`
#[inline(always)]
pub fn value<T: ToValue + ?Sized>(event: &mut Event, value: &T) {
    event.push(value.to_value());
}

/// `k = %v`
#[inline]
pub fn display<T: Display + ?Sized>(event: &mut Event, value: &T) {
    event.push_format(TextKind::Str, |out| write!(out, "{value}"));
}

/// `k = ?v`
#[inline]
pub fn debug<T: Debug + ?Sized>(event: &mut Event, value: &T) {
    event.push_format(TextKind::Debug, |out| write!(out, "{value:?}"));
}

#[cfg(feature = "serde")]
pub use json::json;

#[cfg(feature = "serde")]
mod json {
    use std::fmt::{self, Write};
    use std::io;

    use crate::event::{Event, TextKind};

    /// `k = @v`
    pub fn json<T: serde::Serialize + ?Sized>(event: &mut Event, value: &T) {
        event.push_format(TextKind::Json, |out| serde_json::to_writer(OneLine(out), value).map_err(|_| fmt::Error));
    }

    /// Keeps the document on one line: outside strings a line break is only space, inside them it is escaped.
    struct OneLine<'a>(&'a mut dyn Write);

    impl io::Write for OneLine<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // serde_json writes whole `str`s.
            let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
            for (position, line) in text.split(['\n', '\r']).enumerate() {
                if position > 0 {
                    self.0.write_char(' ').map_err(io::Error::other)?;
                }
                self.0.write_str(line).map_err(io::Error::other)?;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[cfg(test)]
    #[test]
    fn line_breaks_between_tokens_become_space() {
        let mut out = String::new();
        io::Write::write_all(&mut OneLine(&mut out), b"{\n\"a\":\r\n1}").expect("a string takes everything");
        assert_eq!(out, "{ \"a\":  1}");
    }
}

/// The bound of `k = @v` without the feature `serde`: no type meets it.
#[cfg(not(feature = "serde"))]
#[diagnostic::on_unimplemented(
    message = "a field `key = @value` needs the feature `serde` of `logweir`",
    label = "not without the feature `serde`",
    note = "in Cargo.toml: `logweir = {{ version = \"..\", features = [\"serde\"] }}`"
)]
pub trait FeatureSerde {}

/// `k = @v`, which does not compile without the feature.
#[cfg(not(feature = "serde"))]
pub fn json<T: FeatureSerde + ?Sized>(_: &mut Event, _: &T) {}
