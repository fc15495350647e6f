//! Anywhere (pure): a JSON document as a value inside another one.
//!
//! JSON from a caller is written into the line unchanged, so it is validated first: an incomplete document would break
//! the whole line, and a forged one could add keys of its own.

use super::escape::{Escape, Stops, escape, json_escape, stops};

/// Deeper documents are refused: common readers stop at 128 levels (serde_json), and the line itself is one.
const MOST_LEVELS: usize = 100;

/// Writes `document` on one line. Returns false, and writes nothing, if it is no JSON document.
pub(super) fn write(document: &str, out: &mut Vec<u8>) -> bool {
    let mut reader = DocumentReader { rest: document.as_bytes() };
    let whole = reader.document().is_some();
    if whole {
        escape::<InDocument>(document, out);
    }
    whole
}

/// Outside its strings a document has ASCII only, and inside them no control character: so a C0 control is layout, and
/// any other match is inside a string.
struct InDocument;

impl Escape for InDocument {
    const STOPS: &'static Stops = &stops(&[]);

    fn spell(c: char, out: &mut Vec<u8>) {
        if c < ' ' {
            out.push(b' ');
        } else {
            json_escape(c, out);
        }
    }
}

/// Reads the grammar of RFC 8259; `None` if the text violates it.
struct DocumentReader<'a> {
    rest: &'a [u8],
}

impl DocumentReader<'_> {
    fn document(&mut self) -> Option<()> {
        self.value(0)?;
        self.rest.is_empty().then_some(())
    }

    /// A value with the blanks around it.
    fn value(&mut self, level: usize) -> Option<()> {
        self.blanks();
        match self.rest.first()? {
            b'{' => self.list(b'}', level, DocumentReader::member)?,
            b'[' => self.list(b']', level, DocumentReader::value)?,
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
                    b'u' => self.code_unit()?,
                    _ => return None,
                },
                byte => (byte >= 0x20).then_some(())?,
            }
        }
    }

    /// After `\u`: one half of a surrogate pair is no character, and a reader would refuse the whole line.
    fn code_unit(&mut self) -> Option<()> {
        match self.hex4()? {
            0xD800..=0xDBFF => {
                self.word(b"\\u")?;
                matches!(self.hex4()?, 0xDC00..=0xDFFF).then_some(())
            }
            unit => (!matches!(unit, 0xDC00..=0xDFFF)).then_some(()),
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | char::from(self.take()?).to_digit(16)?))
    }

    fn number(&mut self) -> Option<()> {
        let whole = self.rest;
        self.digits_and_exponent()?;
        let number = &whole[..whole.len() - self.rest.len()];
        // Strict readers refuse a number beyond every `f64`, and the whole line with it. It has an exponent or many
        // digits.
        let may_be_beyond = number.len() > 308 || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
        let value = || std::str::from_utf8(number).ok()?.parse::<f64>().ok();
        (!may_be_beyond || value().is_some_and(f64::is_finite)).then_some(())
    }

    fn digits_and_exponent(&mut self) -> Option<()> {
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

    /// Skips the next byte if it is one of these.
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
            "1e308",
            "1e-999",
            r#""\ud83d\ude00 \ud7ff \ue000""#,
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
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\u0041""#,
            r#""\udc00\ud800""#,
            "1e999",
            "[-1e400]",
            &"9".repeat(400),
        ] {
            assert_eq!(written(text), None, "{text:?}");
        }
    }

    #[test]
    fn layout_becomes_blanks_and_hidden_characters_become_escapes() {
        let document = "{\n\t\"a\": \"\u{2028}\u{7f}\u{e0041}\"\r\n}";
        assert_eq!(written(document).as_deref(), Some(r#"{  "a": "\u2028\u007f\udb40\udc41"  }"#));
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
        fn the_reader_agrees_with_serde_json(
            text in prop_oneof![
                r#"[\[\]{}",:\\ntrue0-9.eE+ \n-]{0,12}"#,
                r#""(\\u[dD][7-9a-fA-F][0-9a-f]{2}|\\n|x){0,4}""#,
                "-?[1-9][0-9]{0,2}(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,4}",
            ],
        ) {
            // Into a value: serde_json checks skipped text less strictly.
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(written(&text).is_some(), theirs);
        }
    }
}
