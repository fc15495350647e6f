//! At compile time: parses a template, and checks it and the names of its fields (const evaluation).

use super::{Hole, HoleFormat, Piece};

/// The widest alignment a hole may ask for.
pub(super) const MAX_ALIGN: i16 = 256;

/// An `f64` has no more significant digits after the point than this.
pub(super) const MAX_PRECISION: u8 = 32;

/// Counts the pieces of `template`.
///
/// # Panics
/// At compile time, for a template that is malformed.
// Every function between here and `fail` tracks its caller: the compiler then points at the log call alone.
#[track_caller]
pub const fn count(template: &str) -> usize {
    let mut cursor = Cursor { template, at: 0 };
    let mut pieces = 0;
    while cursor.next().is_some() {
        pieces += 1;
    }
    pieces
}

/// Parses `template`, whose holes name fields in `names`, into its `N` pieces.
///
/// # Panics
/// At compile time, for a hole without its field, for two fields of one name and for a field without one.
#[track_caller]
pub const fn parse<const N: usize>(template: &'static str, names: &[&str]) -> [Piece; N] {
    check_names(names);
    let mut pieces = [Piece::Text(""); N];
    let mut cursor = Cursor { template, at: 0 };
    let mut index = 0;
    while let Some(token) = cursor.next() {
        pieces[index] = match token {
            Token::Text { start, end } => Piece::Text(slice(template, start, end)),
            Token::Hole { start, end, align, format } => {
                Piece::Hole(Hole { field: position(slice(template, start, end), names), align, format })
            }
        };
        index += 1;
    }
    pieces
}

#[track_caller]
const fn check_names(names: &[&str]) {
    let mut i = 0;
    while i < names.len() {
        if names[i].is_empty() {
            fail("a field has an empty name", "", "");
        }
        let mut j = i + 1;
        while j < names.len() {
            if equal(names[i], names[j]) {
                fail("two fields are named `", names[i], "`");
            }
            j += 1;
        }
        i += 1;
    }
}

#[track_caller]
const fn position(hole: &str, names: &[&str]) -> usize {
    let mut i = 0;
    while i < names.len() {
        if equal(hole, names[i]) {
            return i;
        }
        i += 1;
    }
    fail("the template's hole `{", hole, "}` has no field of that name after the template")
}

pub(super) enum Token {
    Text { start: usize, end: usize },
    Hole { start: usize, end: usize, align: i16, format: HoleFormat },
}

pub(super) struct Cursor<'a> {
    pub(super) template: &'a str,
    pub(super) at: usize,
}

impl Cursor<'_> {
    #[track_caller]
    pub(super) const fn next(&mut self) -> Option<Token> {
        let bytes = self.template.as_bytes();
        let start = self.at;
        if start == bytes.len() {
            return None;
        }
        let mut at = start;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'{' || byte == b'}' {
                if at + 1 < bytes.len() && bytes[at + 1] == byte {
                    // The first brace ends this piece of text, the second is skipped.
                    self.at = at + 2;
                    return Some(Token::Text { start, end: at + 1 });
                }
                if byte == b'}' {
                    fail("the template has a `}` without its `{` (write `}}` for a brace): `", self.template, "`");
                }
                if at == start {
                    return Some(self.hole());
                }
                break;
            }
            at += 1;
        }
        self.at = at;
        Some(Token::Text { start, end: at })
    }

    /// Reads the hole that opens here.
    #[track_caller]
    const fn hole(&mut self) -> Token {
        let bytes = self.template.as_bytes();
        let open = self.at;
        let mut close = open + 1;
        while close < bytes.len() && bytes[close] != b'}' {
            if bytes[close] == b'{' {
                fail("the template has a `{` inside a hole: `", self.template, "`");
            }
            close += 1;
        }
        if close == bytes.len() {
            fail("the template has a `{` without its `}` (write `{{` for a brace): `", self.template, "`");
        }
        self.at = close + 1;
        let hole = slice(self.template, open, close + 1);
        let start = open + 1;
        let mut end = start;
        while end < close && bytes[end] != b',' && bytes[end] != b':' {
            if bytes[end].is_ascii_whitespace() {
                fail("the template has a hole whose name has a blank in it: `", hole, "`");
            }
            end += 1;
        }
        if start == end {
            fail("the template has a hole without a name: `", hole, "`");
        }
        let mut rest = end;
        let mut align = 0;
        if rest < close && bytes[rest] == b',' {
            let mut to = rest + 1;
            while to < close && bytes[to] != b':' {
                to += 1;
            }
            align = parse_align(slice(self.template, rest + 1, to), hole);
            rest = to;
        }
        let format =
            if rest < close { parse_format(slice(self.template, rest + 1, close), hole) } else { HoleFormat::Plain };
        Token::Hole { start, end, align, format }
    }
}

#[track_caller]
const fn parse_align(text: &str, hole: &str) -> i16 {
    let bytes = text.as_bytes();
    let negative = !bytes.is_empty() && bytes[0] == b'-';
    let digits = if negative { 1 } else { 0 };
    match parse_number(bytes, digits) {
        Some(width) if width > 0 && width <= MAX_ALIGN as u32 => {
            if negative {
                -(width as i16)
            } else {
                width as i16
            }
        }
        _ => fail("the alignment is not a number from 1 to 256, or -1 to -256: `", hole, "`"),
    }
}

#[track_caller]
const fn parse_format(text: &str, hole: &str) -> HoleFormat {
    match text.as_bytes() {
        b"x" => HoleFormat::LowerHex,
        b"X" => HoleFormat::UpperHex,
        b"e" => HoleFormat::LowerExp,
        [b'.', ..] => match parse_number(text.as_bytes(), 1) {
            Some(digits) if digits <= MAX_PRECISION as u32 => HoleFormat::Precision(digits as u8),
            _ => fail("the precision is not a number from 0 to 32: `", hole, "`"),
        },
        _ => fail("the format is none of `.N`, `x`, `X`, `e`: `", hole, "`"),
    }
}

/// Returns the decimal number in `bytes` from `at` to the end, if it has one to four digits.
const fn parse_number(bytes: &[u8], mut at: usize) -> Option<u32> {
    if at >= bytes.len() || bytes.len() - at > 4 {
        return None;
    }
    let mut number = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            return None;
        }
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    Some(number)
}

/// Returns the part of `text` between two offsets of ASCII characters.
const fn slice(text: &str, start: usize, end: usize) -> &str {
    let (head, _) = text.as_bytes().split_at(end);
    match std::str::from_utf8(head.split_at(start).1) {
        Ok(part) => part,
        Err(_) => panic!("a template is cut at ASCII characters alone"),
    }
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Returns the name of a field as a call spells it, less the `r#` of a raw identifier. For dotted names see [`dotted`].
pub const fn field_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => slice(name, 2, name.len()),
        _ => name,
    }
}

/// Returns the length of a dotted name less the `r#` of its raw identifiers.
pub const fn dotted_len(name: &str) -> usize {
    let bytes = name.as_bytes();
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        if is_raw_mark(bytes, at) {
            at += 2;
        } else {
            at += 1;
            len += 1;
        }
    }
    len
}

/// Returns the `N` bytes of a dotted name less the `r#` of its raw identifiers.
pub const fn dotted<const N: usize>(name: &str) -> [u8; N] {
    let bytes = name.as_bytes();
    let mut short = [0; N];
    let (mut at, mut len) = (0, 0);
    while at < bytes.len() {
        if is_raw_mark(bytes, at) {
            at += 2;
        } else {
            short[len] = bytes[at];
            at += 1;
            len += 1;
        }
    }
    short
}

/// Returns whether a raw identifier begins here: its only `#` follows the `r`.
const fn is_raw_mark(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'r' && at + 1 < bytes.len() && bytes[at + 1] == b'#'
}

/// Returns the bytes of [`dotted`] as text.
///
/// # Panics
/// At compile time, for bytes that are no UTF-8, which `dotted` never returns.
pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(name) => name,
        Err(_) => panic!("identifiers are UTF-8, and ASCII alone was taken out"),
    }
}

/// Ends the compilation with a sentence about `subject`: const evaluation can panic with one string only.
#[track_caller]
const fn fail(before: &str, subject: &str, after: &str) -> ! {
    const MOST: usize = 512;
    let mut sentence = [b' '; MOST];
    let mut len = 0;
    let parts = [before, subject, after];
    // Keeps room for `after`. A cut inside a character would not be UTF-8, so a truncated subject is made ASCII.
    let whole = before.len() + subject.len() <= MOST - 128;
    let mut part = 0;
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut i = 0;
        while i < bytes.len() && (len < MOST - 128 || (part == 2 && len < MOST)) {
            sentence[len] = if whole || bytes[i].is_ascii() { bytes[i] } else { b'?' };
            len += 1;
            i += 1;
        }
        part += 1;
    }
    match std::str::from_utf8(sentence.split_at(len).0) {
        Ok(sentence) => panic!("{}", sentence),
        Err(_) => panic!("malformed template"),
    }
}
