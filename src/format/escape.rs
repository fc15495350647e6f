//! Anywhere (pure): escapes text, so that it stays on one line and cannot control a terminal.
//!
//! Formats differ in how they spell an escape, not in how they find what needs one. Plain text is copied as a whole. In
//! other text, bytes are looked up in a table, and the text between two matches is copied as a whole.

use std::fmt;
use std::marker::PhantomData;

use crate::event::Message;

/// Which bytes end a run that can be copied, and how the characters there are spelled.
pub(super) trait Escape {
    const STOPS: &'static Stops;

    /// Writes the escape of a character.
    fn spell(c: char, out: &mut Vec<u8>);
}

/// By byte: whether an escaped character may begin with it.
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

/// Whether a character ends a line, controls a terminal or changes the order in which its neighbors are displayed: C0,
/// DEL, C1, line and paragraph separators, bidirectional controls (Unicode Standard Annex 9).
pub(super) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1F' | '\x7F'..='\u{9F}'
        | '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Writes `text` with the escapes of `E`.
#[inline]
pub(super) fn escape<E: Escape>(text: &str, out: &mut Vec<u8>) {
    // No format escapes text that is plain here.
    if is_plain::<b' ', b'"', b'\\'>(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape_runs::<E>(text, out);
    }
}

/// Whether every byte is ASCII from `FIRST` to `~` other than `A` and `B`, as in nearly every text of an event.
///
/// Eight bytes are tested in one word, and the last eight again if the length is no multiple of eight: that takes a
/// third of the instructions of a test of each byte, in a path that does little else.
#[inline]
pub(super) fn is_plain<const FIRST: u8, const A: u8, const B: u8>(bytes: &[u8]) -> bool {
    let plain = |word: &[u8; 8]| is_plain_word::<FIRST, A, B>(u64::from_ne_bytes(*word));
    if let Some(last) = bytes.last_chunk() {
        return plain(last) && bytes.as_chunks().0.iter().all(plain);
    }
    if let (Some(&[a, b, c, d]), Some(&[e, f, g, h])) = (bytes.first_chunk(), bytes.last_chunk()) {
        return plain(&[a, b, c, d, e, f, g, h]);
    }
    bytes.iter().all(|&byte| (FIRST..0x7F).contains(&byte) && byte != A && byte != B)
}

/// The top bit of a byte of `found` is set if the byte is below `FIRST`, `A`, `B`, DEL or no ASCII. A borrow can also
/// set it in the byte above such a byte, which does not change whether there is one. (The tests for a zero byte and for
/// a byte below a bound are those of Sean Eron Anderson's "Bit Twiddling Hacks".)
#[inline]
fn is_plain_word<const FIRST: u8, const A: u8, const B: u8>(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let below_first = word.wrapping_sub(ONES * u64::from(FIRST));
    let is_a = (word ^ (ONES * u64::from(A))).wrapping_sub(ONES);
    let is_b = (word ^ (ONES * u64::from(B))).wrapping_sub(ONES);
    let is_del = word.wrapping_add(ONES);
    let found = below_first | is_a | is_b | is_del | word;
    found & (ONES << 7) == 0
}

#[cold]
fn escape_runs<E: Escape>(text: &str, out: &mut Vec<u8>) {
    let (mut copied, mut at) = (0, 0);
    while let Some(clean) = text.as_bytes()[at..].iter().position(|&byte| E::STOPS[byte as usize]) {
        at += clean;
        // A stop is ASCII or a lead byte, so `at` is on a character's boundary.
        let Some(c) = text[at..].chars().next() else { break };
        let next = at + c.len_utf8();
        if c.is_ascii() || is_hidden(c) {
            out.extend_from_slice(&text.as_bytes()[copied..at]);
            E::spell(c, out);
            copied = next;
        }
        at = next;
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
}

/// Writes the message straight into `out`, escaped as it is written.
#[inline]
pub(super) fn escape_message<E: Escape>(message: Message<'_>, out: &mut Vec<u8>) {
    escape_written::<E>(out, |out| message.write_to(out));
}

/// Runs `write`, with its output escaped as it is written.
#[inline]
pub(super) fn escape_written<E: Escape>(out: &mut Vec<u8>, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) {
    let mut writer = Escaping::<E> { out, escape: PhantomData };
    write(&mut writer).expect("memory takes every byte, and values were formatted by the caller");
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

/// Writes lowercase hexadecimal digits, two per byte.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// The four hexadecimal digits of a character of the basic plane, which contains every escaped character.
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
    fn plain_is_what_a_look_at_each_byte_finds_plain() {
        for len in 0..40 {
            for position in 0..len {
                for byte in 0..=255 {
                    let mut bytes = vec![b'x'; len];
                    bytes[position] = byte;
                    let plain = (b'!'..0x7F).contains(&byte) && byte != b'"' && byte != b'=';
                    assert_eq!(is_plain::<b'!', b'"', b'='>(&bytes), plain, "{bytes:?}");
                }
            }
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
