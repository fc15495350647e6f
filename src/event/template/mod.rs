//! Anywhere (pure): message templates, parsed while the log call compiles.
//!
//! The syntax is that of <https://messagetemplates.org>: `{name}`, `{name,10}`, `{name,-10}` (alignment), `{name:.2}`
//! (format), `{{` and `}}`. Formats are `.N` (digits after the point), `x`, `X` (hexadecimal) and `e` (exponent).

mod parse;
mod render;
#[cfg(test)]
mod tests;

pub use parse::{count, dotted, dotted_len, field_name, parse, text};
pub(crate) use render::Filled;
pub(super) use render::{formatted, render, shows};

/// A parsed template.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Template {
    pub(super) text: &'static str,
    pieces: &'static [Piece],
}

impl Template {
    pub const fn new(text: &'static str, pieces: &'static [Piece]) -> Self {
        Template { text, pieces }
    }
}

/// A stretch of a template.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Text(&'static str),
    Hole(Hole),
}

/// A place in a template that a field's value fills.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Hole {
    /// The index of the call's field.
    field: usize,
    /// The least width; negative to pad on the right.
    align: i16,
    format: HoleFormat,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum HoleFormat {
    Plain,
    Precision(u8),
    LowerHex,
    UpperHex,
    LowerExp,
}

impl Template {
    /// Returns the message, if it has no holes and is one piece.
    pub(super) fn constant(&self) -> Option<&'static str> {
        match self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}
