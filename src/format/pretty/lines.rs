//! Anywhere (pure): lines after a guide, and the columns they take.
//!
//! Invariants:
//! * Only this file begins a line, and it begins each with the guide.
//! * One blank after the guide is a field or a mark, three or more are text of an event.

use unicode_width::UnicodeWidthStr;

use crate::format::escape::escape;
use crate::format::text::{Bare, DIM, paint, write_token};

const GUIDE: &str = "  │";
const FIELD: usize = 1;
const TEXT: usize = 3;
/// The further lines of a text that itself has one in a list.
const MORE: usize = 5;

/// The columns before a field and before a text.
const FIELD_COLUMN: usize = 3 + FIELD;
pub(super) const TEXT_COLUMN: usize = 3 + TEXT;
/// Blanks between fields on a line.
const GAP: usize = 2;

pub(super) struct LineLayout<'a> {
    out: &'a mut Vec<u8>,
    pub(super) width: usize,
    colors: bool,
    /// Where the open line of fields ends; `None` if none is open.
    column: Option<usize>,
    /// The indentation of further lines of a text.
    more: usize,
}

impl<'a> LineLayout<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, width: usize, colors: bool) -> Self {
        LineLayout { out, width, colors, column: None, more: TEXT }
    }

    /// Whether a line has room for the field.
    pub(super) fn holds(&self, name: &str, value: &str) -> bool {
        FIELD_COLUMN + token(name).width() + value.width() <= self.width
    }

    /// Writes a field with a value of one line, after others if there is room. The value is already escaped.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        let token = token(name);
        let width = token.width() + value.width();
        let end = match self.column {
            Some(column) if column + GAP + width <= self.width => {
                self.out.extend_from_slice(b"  ");
                column + GAP + width
            }
            _ => {
                self.begin(FIELD);
                FIELD_COLUMN + width
            }
        };
        self.column = Some(end);
        paint(self.colors, DIM, self.out, |out| out.extend_from_slice(token.as_bytes()));
        self.out.extend_from_slice(value.as_bytes());
    }

    /// Writes the name of a field whose value has lines of its own.
    pub(super) fn name(&mut self, name: &str) {
        self.begin(FIELD);
        self.more = MORE;
        paint(self.colors, DIM, self.out, |out| {
            write_token(name, out);
            out.push(b':');
        });
    }

    /// Writes the first line of a text after the existing text, then the others.
    pub(super) fn rest_and_more(&mut self, text: &str) {
        let mut lines = text.split('\n');
        if let Some(first) = lines.next().filter(|first| !first.is_empty()) {
            self.out.push(b' ');
            escape::<Bare>(first, self.out);
        }
        for line in lines {
            self.begin(self.more);
            escape::<Bare>(line, self.out);
        }
    }

    /// Writes a line of a text.
    pub(super) fn text(&mut self, line: &str) {
        self.begin(TEXT);
        escape::<Bare>(line, self.out);
    }

    /// Writes an error's source.
    pub(super) fn cause(&mut self, message: &str) {
        self.begin(TEXT);
        paint(self.colors, DIM, self.out, |out| out.extend_from_slice(b"caused by:"));
        self.rest_and_more(message);
    }

    /// Writes a mark for the event as a whole.
    pub(super) fn mark(&mut self, mark: &str) {
        self.begin(FIELD);
        self.out.extend_from_slice(mark.as_bytes());
    }

    /// Begins a line with this many blanks after the guide.
    fn begin(&mut self, blanks: usize) {
        self.column = None;
        self.out.push(b'\n');
        paint(self.colors, DIM, self.out, |out| out.extend_from_slice(GUIDE.as_bytes()));
        self.out.extend(std::iter::repeat_n(b' ', blanks));
    }
}

/// A name as written before a value.
fn token(name: &str) -> String {
    let mut token = Vec::new();
    write_token(name, &mut token);
    token.push(b'=');
    String::from_utf8(token).unwrap_or_default()
}
