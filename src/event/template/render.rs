//! Anywhere (pure): fills the holes of a template.

use std::fmt::{self, Write};

use super::super::encoding::Reader;
use super::super::value::Value;
use super::{Hole, HoleFormat, Piece, Template};

/// Writes the message: the template with its holes filled from `values`, which come in the order of the fields.
pub(in super::super) fn render(template: &Template, values: Reader<'_>, out: &mut dyn Write) -> fmt::Result {
    for piece in template.pieces {
        match piece {
            Piece::Text(text) => out.write_str(text)?,
            Piece::Hole(hole) => hole.write(values, out)?,
        }
    }
    Ok(())
}

/// Returns whether the template shows the field.
pub(in super::super) fn shows(template: &Template, field: usize) -> bool {
    template.pieces.iter().any(|piece| matches!(piece, Piece::Hole(hole) if hole.field == field))
}

/// Returns the holes that have a format, filled from `values`.
pub(in super::super) fn formatted<'a>(
    template: &'static Template,
    values: Reader<'a>,
) -> impl Iterator<Item = Filled<'a>> {
    template.pieces.iter().filter_map(move |piece| match piece {
        Piece::Hole(hole) if hole.format != HoleFormat::Plain => Some(Filled { hole, values }),
        _ => None,
    })
}

/// A hole, and the values it is filled from.
pub(crate) struct Filled<'a> {
    hole: &'static Hole,
    values: Reader<'a>,
}

impl Filled<'_> {
    /// Writes the hole as the message shows it.
    pub(crate) fn write_to(&self, out: &mut dyn Write) -> fmt::Result {
        self.hole.write(self.values, out)
    }
}

impl Hole {
    fn write(&self, mut values: Reader<'_>, out: &mut dyn Write) -> fmt::Result {
        for _ in 0..self.field {
            values.skip_value();
        }
        // A value is missing only if an event over its size limit lost its last fields.
        let value = values.next().unwrap_or(Value::Null);
        if self.align == 0 {
            return self.format.write(&value, out);
        }
        let mut text = String::new();
        self.format.write(&value, &mut text)?;
        let width = self.align.unsigned_abs() as usize;
        if self.align < 0 { write!(out, "{text:<width$}") } else { write!(out, "{text:>width$}") }
    }
}

impl HoleFormat {
    /// A format that does not apply to the value (as hexadecimal to text) leaves it plain.
    fn write(self, value: &Value<'_>, out: &mut dyn Write) -> fmt::Result {
        match (self, *value) {
            (HoleFormat::Precision(digits), Value::F32(v)) => write!(out, "{v:.*}", digits as usize),
            (HoleFormat::Precision(digits), Value::F64(v)) => write!(out, "{v:.*}", digits as usize),
            (HoleFormat::LowerExp, Value::F32(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerExp, Value::F64(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerExp, Value::I64(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerExp, Value::U64(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerExp, Value::I128(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerExp, Value::U128(v)) => write!(out, "{v:e}"),
            (HoleFormat::LowerHex, Value::I64(v)) => write!(out, "{v:x}"),
            (HoleFormat::LowerHex, Value::U64(v)) => write!(out, "{v:x}"),
            (HoleFormat::LowerHex, Value::I128(v)) => write!(out, "{v:x}"),
            (HoleFormat::LowerHex, Value::U128(v)) => write!(out, "{v:x}"),
            (HoleFormat::UpperHex, Value::I64(v)) => write!(out, "{v:X}"),
            (HoleFormat::UpperHex, Value::U64(v)) => write!(out, "{v:X}"),
            (HoleFormat::UpperHex, Value::I128(v)) => write!(out, "{v:X}"),
            (HoleFormat::UpperHex, Value::U128(v)) => write!(out, "{v:X}"),
            (HoleFormat::UpperHex, Value::Bytes(v)) => v.iter().try_for_each(|byte| write!(out, "{byte:02X}")),
            _ => value.write_text(out),
        }
    }
}
