//! Anywhere (pure): text into a line of bytes that stays one line and drives no terminal.
//!
//! Formats differ in how they spell an escape, not in how they look for what needs one: bytes are looked up in a table,
//! and everything between two finds is copied as a whole.

use std::fmt;
use std::marker::PhantomData;

use crate::event::Message;

/// Which bytes end a run that can be copied, and how the characters there are spelled.
pub(super) trait Escape {
    const STOPS: &'static Stops;

    /// Writes a character that may not stand as it is.
    fn spell(c: char, out: &mut Vec<u8>);
}

/// By byte: whether a character that is escaped may begin with it.
pub(super) type Stops = [bool; 256];

/// The control characters, the lead bytes of the others in [`is_hidden`], and `more`, which is ASCII.
pub(super) const fn stops(more: &[u8]) -> Stops {
    let mut stops = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        stops[byte] = true;
        byte += 1;
    }
    stops[0x7F] = true;
    // U+0080-009F, U+061C, U+200E-2069.
    stops[0xC2] = true;
    stops[0xD8] = true;
    stops[0xE2] = true;
    let mut index = 0;
    while index < more.len() {
        stops[more[index] as usize] = true;
        index += 1;
    }
    stops
}

/// Whether a character ends a line, drives a terminal or changes the order in which its neighbours are shown: C0, DEL,
/// C1, line and paragraph separators, bidirectional controls (Unicode Standard Annex 9).
pub(super) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1F' | '\x7F'..='\u{9F}'
        | '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Writes `text` with everything escaped that `E` escapes.
#[inline]
pub(super) fn escape<E: Escape>(text: &str, out: &mut Vec<u8>) {
    match next_stop::<E>(text.as_bytes()) {
        None => out.extend_from_slice(text.as_bytes()),
        Some(stop) => escape_from::<E>(text, stop, out),
    }
}

#[inline]
fn next_stop<E: Escape>(bytes: &[u8]) -> Option<usize> {
    // Most texts of an event are names and short values, for which this is quicker than setting up the chunks.
    let clean = if bytes.len() < 32 { 0 } else { clean_chunks(bytes) };
    bytes[clean..].iter().position(|&byte| E::STOPS[byte as usize]).map(|at| clean + at)
}

/// The length of the chunks at the start in which every byte is ASCII that no format escapes. The comparisons have no
/// branch, so the compiler makes vector instructions of them.
fn clean_chunks(bytes: &[u8]) -> usize {
    bytes.as_chunks::<16>().0.iter().take_while(|chunk| is_plain(chunk)).count() * 16
}

/// Whether no format has a stop in the chunk.
#[inline]
fn is_plain(chunk: &[u8; 16]) -> bool {
    !chunk.iter().fold(false, |found, &byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte > b'~'))
}

#[cold]
fn escape_from<E: Escape>(text: &str, first: usize, out: &mut Vec<u8>) {
    let (mut copied, mut at) = (0, first);
    // A stop is ASCII or a lead byte, so `at` is on a character's boundary.
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        if c.is_ascii() || is_hidden(c) {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            E::spell(c, out);
            copied = next;
        }
        match next_stop::<E>(&text.as_bytes()[next..]) {
            Some(clean) => at = next + clean,
            None => break,
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

/// Writes the message straight into `out`, escaped on the way.
#[inline]
pub(super) fn escape_message<E: Escape>(message: Message<'_>, out: &mut Vec<u8>) {
    let mut writer = Escaping::<E> { out, escape: PhantomData };
    message.write_to(&mut writer).expect("memory takes every byte, and values were formatted by the caller");
}

struct Escaping<'a, E> {
    out: &'a mut Vec<u8>,
    escape: PhantomData<E>,
}

impl<E: Escape> fmt::Write for Escaping<'_, E> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape::<E>(text, self.out);
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Lower-case hexadecimal digits, two a byte.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// The four hexadecimal digits of a character of the basic plane, in which all that is escaped lies.
pub(super) fn hex4(c: char) -> [u8; 4] {
    let code = c as usize;
    [12, 8, 4, 0].map(|shift| HEX[code >> shift & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Mark;

    impl Escape for Mark {
        const STOPS: &'static Stops = &stops(b"\"");

        fn spell(_: char, out: &mut Vec<u8>) {
            out.push(b'#');
        }
    }

    fn marked(text: &str) -> String {
        let mut out = Vec::new();
        escape::<Mark>(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_copied_or_spelled_by_what_it_is() {
        for c in '\0'..=char::MAX {
            let expected = if c == '"' || is_hidden(c) { '#' } else { c };
            assert_eq!(marked(&format!("a{c}b{c}")), format!("a{expected}b{expected}"));
        }
    }

    #[test]
    fn clean_runs_of_any_length_around_escapes_are_whole() {
        for len in 0..70 {
            let run = "é".repeat(len);
            assert_eq!(marked(&format!("{run}\n{run}\u{2028}\u{2027}{run}")), format!("{run}#{run}#\u{2027}{run}"));
        }
    }
}
