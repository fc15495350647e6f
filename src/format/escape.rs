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
    let mut lead = 0;
    while lead < HIDDEN_LEADS.len() {
        stops[HIDDEN_LEADS[lead] as usize] = true;
        lead += 1;
    }
    let mut index = 0;
    while index < more.len() {
        stops[more[index] as usize] = true;
        index += 1;
    }
    stops
}

/// The first bytes, in UTF-8, of the characters in [`is_hidden`] that are not ASCII.
const HIDDEN_LEADS: [u8; 9] = [0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF0, 0xF3];

/// Whether a character is escaped, in every format: one that ends a line, controls a terminal, changes the order in
/// which its neighbors are displayed, or is displayed as nothing.
///
/// These are the general categories Cc (C0, DEL, C1), Cf (format), Zl and Zp (separators of lines and paragraphs) and
/// the property `Default_Ignorable_Code_Point` of Unicode 16, less two that text needs to be read: marks that are
/// visible (`Prepended_Concatenation_Mark`) and variation selectors (`Variation_Selector`), of which emoji consist. The
/// joiners U+200C and U+200D are escaped, although Persian and some emoji use them: nothing displays them by themselves.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}')
}

/// Writes `text` with the escapes of `E`.
#[inline]
pub(super) fn escape<E: Escape>(text: &str, out: &mut Vec<u8>) {
    // No format escapes text that is plain here.
    if is_plain::<b' ', b'"', b'\\', b'\\'>(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape_runs::<E>(text, out);
    }
}

/// Whether every byte is ASCII from `FIRST` to `~` other than `A`, `B` and `C`, as in nearly every text of an event.
///
/// Eight bytes are tested in one word, and the last eight again if the length is no multiple of eight: that takes a
/// third of the instructions of a test of each byte, in a path that does little else.
#[inline]
pub(super) fn is_plain<const FIRST: u8, const A: u8, const B: u8, const C: u8>(bytes: &[u8]) -> bool {
    let plain = |word: &[u8; 8]| is_plain_word::<FIRST, A, B, C>(u64::from_ne_bytes(*word));
    if let Some(last) = bytes.last_chunk() {
        return plain(last) && bytes.as_chunks().0.iter().all(plain);
    }
    if let (Some(&[a, b, c, d]), Some(&[e, f, g, h])) = (bytes.first_chunk(), bytes.last_chunk()) {
        return plain(&[a, b, c, d, e, f, g, h]);
    }
    bytes.iter().all(|&byte| (FIRST..0x7F).contains(&byte) && byte != A && byte != B && byte != C)
}

/// The top bit of a byte of `found` is set if the byte is below `FIRST`, `A`, `B`, `C`, DEL or no ASCII. A borrow can also
/// set it in the byte above such a byte, which does not change whether there is one. (The tests for a zero byte and for
/// a byte below a bound are those of Sean Eron Anderson's "Bit Twiddling Hacks".)
#[inline]
fn is_plain_word<const FIRST: u8, const A: u8, const B: u8, const C: u8>(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let below_first = word.wrapping_sub(ONES * u64::from(FIRST));
    let is_a = (word ^ (ONES * u64::from(A))).wrapping_sub(ONES);
    let is_b = (word ^ (ONES * u64::from(B))).wrapping_sub(ONES);
    let is_c = (word ^ (ONES * u64::from(C))).wrapping_sub(ONES);
    let is_del = word.wrapping_add(ONES);
    let found = below_first | is_a | is_b | is_c | is_del | word;
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

/// The four hexadecimal digits of a code unit.
fn hex4(unit: u16) -> [u8; 4] {
    [12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 15)])
}

/// Writes `\uXXXX` as in JSON: twice, for the halves of a surrogate pair, if the character is beyond the basic plane.
pub(super) fn json_escape(c: char, out: &mut Vec<u8>) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        out.extend_from_slice(&hex4(*unit));
    }
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

    /// A set of characters that Unicode defines, as the tables of a crate have it.
    fn unicode(set: &str) -> regex_syntax::hir::ClassUnicode {
        match regex_syntax::parse(set).unwrap().into_kind() {
            regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => class,
            other => panic!("{set} is {other:?}"),
        }
    }

    #[test]
    fn a_character_is_hidden_exactly_if_the_rule_of_unicode_properties_says_so() {
        let mut expected = unicode(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]");
        expected.difference(&unicode(r"[\p{Prepended_Concatenation_Mark}\p{Variation_Selector}]"));
        let expected: std::collections::BTreeSet<char> =
            expected.iter().flat_map(|range| range.start()..=range.end()).collect();
        for c in '\0'..=char::MAX {
            assert_eq!(is_hidden(c), expected.contains(&c), "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn plain_is_what_a_look_at_each_byte_finds_plain() {
        for len in 0..40 {
            for position in 0..len {
                for byte in 0..=255 {
                    let mut bytes = vec![b'x'; len];
                    bytes[position] = byte;
                    let plain = (b'!'..0x7F).contains(&byte) && !matches!(byte, b'"' | b'=' | b'\\');
                    assert_eq!(is_plain::<b'!', b'"', b'=', b'\\'>(&bytes), plain, "{bytes:?}");
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
