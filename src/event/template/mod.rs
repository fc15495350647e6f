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

/// The stored form of a hole.
#[cfg(feature = "spool")]
const HOLE_BYTES: usize = 8;

#[cfg(feature = "spool")]
impl Hole {
    /// Returns the index of the field, the alignment, the kind of the format and its precision.
    pub(super) fn to_bytes(self) -> [u8; HOLE_BYTES] {
        let (kind, precision) = match self.format {
            HoleFormat::Plain => (0, 0),
            HoleFormat::Precision(digits) => (1, digits),
            HoleFormat::LowerHex => (2, 0),
            HoleFormat::UpperHex => (3, 0),
            HoleFormat::LowerExp => (4, 0),
        };
        let ([f0, f1, f2, f3], [a0, a1]) = ((self.field as u32).to_le_bytes(), self.align.to_le_bytes());
        [f0, f1, f2, f3, a0, a1, kind, precision]
    }

    /// The reverse, for a call with so many fields; an unknown format is none.
    pub(super) fn from_bytes(bytes: [u8; HOLE_BYTES], fields: usize) -> Option<Self> {
        let [f0, f1, f2, f3, a0, a1, kind, precision] = bytes;
        let format = match kind {
            1 => HoleFormat::Precision(precision.min(parse::MAX_PRECISION)),
            2 => HoleFormat::LowerHex,
            3 => HoleFormat::UpperHex,
            4 => HoleFormat::LowerExp,
            _ => HoleFormat::Plain,
        };
        let align = i16::from_le_bytes([a0, a1]).clamp(-parse::MAX_ALIGN, parse::MAX_ALIGN);
        let field = u32::from_le_bytes([f0, f1, f2, f3]) as usize;
        (field < fields).then_some(Hole { field, align, format })
    }
}

impl Template {
    #[cfg(feature = "spool")]
    pub(super) fn pieces(&self) -> &'static [Piece] {
        self.pieces
    }

    /// Returns the message, if it has no holes and is one piece.
    pub(super) fn constant(&self) -> Option<&'static str> {
        match self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}
