//! Anywhere (pure): a JSON document that is a value inside another one.
//!
//! What a user hands over as JSON is put into the line as it is, so it is read through first: half a document would take
//! the whole line with it, and a forged one could add keys of its own.

use super::escape::{Escape, Stops, escape, hex4, stops};

/// Deeper documents are refused: common readers stop at 128 levels (serde_json), and the line itself is one.
const MOST_LEVELS: usize = 100;

/// Writes `document` on one line. Returns false, and writes nothing, if it is no JSON document.
pub(super) fn write(document: &str, out: &mut Vec<u8>) -> bool {
    let mut reader = Reader { rest: document.as_bytes() };
    let whole = reader.document().is_some();
    if whole {
        escape::<InDocument>(document, out);
    }
    whole
}

/// Outside its strings a document has ASCII alone, and inside them no control character: so a C0 control is layout,
/// everything else that is found is inside a string.
struct InDocument;

impl Escape for InDocument {
    const STOPS: &'static Stops = &stops(&[]);

    fn spell(c: char, out: &mut Vec<u8>) {
        if c < ' ' {
            out.push(b' ');
        } else {
            out.extend_from_slice(b"\\u");
            out.extend_from_slice(&hex4(c));
        }
    }
}

/// Reads the grammar of RFC 8259; `None` where the text leaves it.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        self.value(0)?;
        self.rest.is_empty().then_some(())
    }

    /// A value with the blanks around it.
    fn value(&mut self, level: usize) -> Option<()> {
        self.blanks();
        match self.rest.first()? {
            b'{' => self.list(b'}', level, Reader::member)?,
            b'[' => self.list(b']', level, Reader::value)?,
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        self.blanks();
        Some(())
    }

    fn member(&mut self, level: usize) -> Option<()> {
        self.blanks();
        self.string()?;
        self.blanks();
        self.word(b":")?;
        self.value(level)
    }

    /// From the opening bracket, which is the next byte, to the closing one.
    fn list(&mut self, close: u8, level: usize, item: fn(&mut Self, usize) -> Option<()>) -> Option<()> {
        if level == MOST_LEVELS {
            return None;
        }
        self.take();
        self.blanks();
        if self.rest.first() == Some(&close) {
            self.take();
            return Some(());
        }
        loop {
            item(self, level + 1)?;
            match self.take()? {
                b',' => {}
                end => return (end == close).then_some(()),
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.word(b"\"")?;
        loop {
            match self.take()? {
                b'"' => return Some(()),
                b'\\' => match self.take()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => (0..4).try_for_each(|_| self.take()?.is_ascii_hexdigit().then_some(()))?,
                    _ => return None,
                },
                byte => (byte >= 0x20).then_some(())?,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.skip(b"-");
        match self.take()? {
            b'0' => {}
            b'1'..=b'9' => _ = self.digits(),
            _ => return None,
        }
        if self.skip(b".") {
            (self.digits() > 0).then_some(())?;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            (self.digits() > 0).then_some(())?;
        }
        Some(())
    }

    fn digits(&mut self) -> usize {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[count..];
        count
    }

    fn blanks(&mut self) {
        while self.skip(b" \t\n\r") {}
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// Passes over the next byte if it is one of these.
    fn skip(&mut self, bytes: &[u8]) -> bool {
        let found = self.rest.first().is_some_and(|byte| bytes.contains(byte));
        if found {
            self.take();
        }
        found
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(document: &str) -> Option<String> {
        let mut out = Vec::new();
        write(document, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_document_is_written_as_it_is() {
        for document in [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "10",
            "-1.5e+3",
            "1E9",
            "0.25",
            "\"\"",
            r#""a\"\\\/\b\f\n\r\tA""#,
            "[]",
            "{}",
            "[1,[2,{}],\"x\"]",
            r#"{"a":{"b":[null]},"c":"é"}"#,
        ] {
            assert_eq!(written(document).as_deref(), Some(document));
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "-",
            "NaN",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "1,2",
            "1}",
            "1,\"level\":\"ERROR\"",
            "[]]",
            "{}\n{}",
            "\u{a0}1",
        ] {
            assert_eq!(written(text), None, "{text:?}");
        }
    }

    #[test]
    fn layout_becomes_blanks_and_hidden_characters_become_escapes() {
        assert_eq!(written("{\n\t\"a\": \"\u{2028}\u{7f}\"\r\n}").as_deref(), Some(r#"{  "a": "\u2028\u007f"  }"#));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(written(&nested(MOST_LEVELS)).is_some());
        assert!(written(&nested(MOST_LEVELS + 1)).is_none());
        assert!(written(&"[".repeat(1 << 20)).is_none());
    }

    proptest! {
        #[test]
        fn the_reader_agrees_with_serde_json(text in r#"[\[\]{}",:\\ntrue0-9.eE+ \n-]{0,12}"#) {
            // serde_json reads numbers into 64 bits; a digit string that overflows them is a document nonetheless.
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(written(&text).is_some(), theirs);
        }
    }
}
