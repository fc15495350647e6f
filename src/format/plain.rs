//! Anywhere (pure): text of others in the logger's own words: names and messages of errors, as one escaped line.
//!
//! Errors, reports and diagnostics are read in terminals and log files, where a line break or a control character of a
//! foreign message could forge a line, and where a URL with a password would stay.

use std::error::Error;
use std::fmt::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::escape::{escape, is_hidden};
use super::text::Bare;

/// The maximum number of bytes of one foreign text.
const LONGEST: usize = 1024;
/// The maximum number of causes that are read: a chain of sources may be cyclic.
const MAX_CAUSES: usize = 64;
/// How often foreign code may continue writing after an error.
const MAX_REFUSED: u32 = 1000;
const MASK: &str = "***";

/// A text of others as one line: escaped like a message in [`Text`](super::Text), without the credentials of URLs, and
/// truncated to 1 KiB, with `…` in place of the rest.
pub(crate) struct Foreign<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(|out| write!(out, "{}", self.0)))
    }
}

/// An error and its sources as one line like [`Foreign`], joined by `: `. A source that the message before it ends with
/// is not repeated.
pub(crate) struct CauseChain<'a>(pub(crate) &'a (dyn Error + 'a));

impl fmt::Display for CauseChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(|out| write_chain(self.0, out)))
    }
}

/// Writes `Debug` of a public error: its own words, then its sources like [`CauseChain`]. So `?` out of `main`,
/// `unwrap` and `expect` display the whole error on one line.
pub(crate) fn write_debug(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    match error.source() {
        None => Ok(()),
        Some(source) => write!(f, ": {}", CauseChain(source)),
    }
}

fn write_chain(error: &dyn Error, out: &mut Bounded) -> fmt::Result {
    let mut before = String::new();
    let mut next = Some(error);
    for index in 0..MAX_CAUSES {
        let Some(cause) = next else { break };
        next = cause.source();
        let message = Bounded::written(|out| write!(out, "{cause}"));
        if index > 0 && before.ends_with(&message.text) {
            continue;
        }
        write!(out, "{}{}", if index > 0 { ": " } else { "" }, message.text)?;
        if message.is_cut {
            return out.cut();
        }
        before = message.text;
    }
    Ok(())
}

/// Whether the character is neither seen nor a blank: it is escaped in every format, or has no width.
pub(crate) fn is_invisible(c: char) -> bool {
    let has_no_width = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}');
    has_no_width || is_hidden(c) && !c.is_whitespace()
}

/// Text up to the limit: what is behind it is not even formatted.
struct Bounded {
    text: String,
    is_cut: bool,
    /// How often it returned an error.
    refused: u32,
}

impl Bounded {
    /// Contains what foreign code may do in its `Display` or its `source`: its text so far is displayed.
    fn written(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Self {
        let mut bounded = Bounded { text: String::new(), is_cut: false, refused: 0 };
        // An error is the limit's or the foreign code's.
        let ended = catch_unwind(AssertUnwindSafe(|| write(&mut bounded).unwrap_or_default()));
        if let Err(payload) = ended {
            // Its destructor may panic too.
            mem::forget(payload);
            bounded.is_cut = true;
        }
        bounded
    }

    fn cut(&mut self) -> fmt::Result {
        self.is_cut = true;
        Err(fmt::Error)
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST - self.text.len();
        if self.is_cut || text.len() > room {
            self.refused += 1;
            if self.refused > MAX_REFUSED && cfg!(panic = "unwind") {
                // It does not stop by itself.
                resume_unwind(Box::new(()));
            }
            let room = if self.is_cut { 0 } else { room };
            let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            self.text.push_str(&text[..end]);
            return self.cut();
        }
        self.text.push_str(text);
        Ok(())
    }
}

fn one_line(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let Bounded { text, mut is_cut, .. } = Bounded::written(write);
    let mut line = Vec::with_capacity(text.len());
    let mut escaped = Vec::new();
    let masked = without_credentials(&text, is_cut);
    for (at, c) in masked.char_indices() {
        escaped.clear();
        escape::<Bare>(&masked[at..at + c.len_utf8()], &mut escaped);
        if line.len() + escaped.len() > LONGEST {
            is_cut = true;
            break;
        }
        line.extend_from_slice(&escaped);
    }
    let mut line = String::from_utf8(line).expect("an escaped text is a text");
    if is_cut {
        line.push('…');
    }
    line
}

/// The text with `***` for user and password of each URL: what is before the last `@` of a word, from `://` on, or from
/// its beginning if it has a `:`.
pub(crate) fn without_credentials(text: &str, is_cut: bool) -> String {
    let ends_word = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // A password may have a quote: with a scheme before it, the word extends to the `@`, if one comes before a blank.
        let authority = rest.find("://").filter(|at| !rest[..*at].contains(ends_word));
        let credentials = authority.and_then(|at| {
            let behind = &rest[at + 3..];
            let end = behind.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(behind.len());
            behind[..end].rfind('@').map(|sign| at + 3 + sign)
        });
        let from = credentials.unwrap_or(0);
        let end = rest[from..]
            .find(ends_word)
            .map_or(rest.len(), |at| from + at + rest[from + at..].chars().next().map_or(0, char::len_utf8));
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let scheme = word.find("://").map(|at| at + 3);
        let end = match word.rfind('@') {
            Some(at) => Some(at),
            // The `@` may be in the part that was cut.
            None => scheme.filter(|_| is_cut && !word.ends_with(ends_word)).map(|_| word.len()),
        };
        let start = end.and_then(|end| match scheme {
            Some(start) => (start <= end).then_some(start),
            None => word[..end].contains(':').then_some(0),
        });
        match (start, end) {
            (Some(start), Some(end)) => {
                masked.push_str(&word[..start]);
                masked.push_str(MASK);
                masked.push_str(&word[end..]);
            }
            _ => masked.push_str(word),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    /// Its own source.
    #[derive(Debug)]
    struct Cycle;

    static CYCLE: Cycle = Cycle;

    impl fmt::Display for Cycle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }

    impl Error for Cycle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&CYCLE)
        }
    }

    /// Never ends, unless the writer ends it.
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("é")?;
            }
        }
    }

    #[test]
    fn a_foreign_text_is_one_escaped_line_of_bounded_length() {
        assert_eq!(Foreign("a\nb\r\t\u{1b}[2J\u{202e}x").to_string(), "a\\nb\\r\\t\\u{1b}[2J\\u{202e}x");
        assert_eq!(Foreign("x".repeat(LONGEST)).to_string(), "x".repeat(LONGEST));
        assert_eq!(Foreign("x".repeat(LONGEST + 1)).to_string(), "x".repeat(LONGEST) + "…");
        assert_eq!(Foreign(Endless).to_string(), "é".repeat(LONGEST / 2) + "…");
        let escaped = Foreign("\u{1b}".repeat(LONGEST)).to_string();
        assert!(escaped.len() <= LONGEST + '…'.len_utf8() && escaped.ends_with("\\u{1b}…"), "{escaped}");
    }

    #[test]
    fn a_chain_has_each_cause_once_and_ends_even_if_its_sources_do_not() {
        let chain = Link("connect: refused", Some(Box::new(Link("refused", Some(Box::new(Link("by\npeer", None)))))));
        assert_eq!(CauseChain(&chain).to_string(), "connect: refused: by\\npeer");
        assert_eq!(CauseChain(&Cycle).to_string(), "again");
    }

    #[test]
    fn the_credentials_of_a_url_are_not_displayed() {
        for (text, shown) in [
            ("cannot reach https://u:hunter2@host:1/a?b=c now", "cannot reach https://***@host:1/a?b=c now"),
            ("postgres://u:hun/t@er2@host", "postgres://***@host"),
            ("`u:hunter2@host`", "`***@host`"),
            ("https://u:hun\"t'er2@host/a", "https://***@host/a"),
            ("a://h 'b://u@h'", "a://h 'b://***@h'"),
            ("ada@example.org: no such user", "ada@example.org: no such user"),
            ("https://host/a", "https://host/a"),
        ] {
            assert_eq!(Foreign(text).to_string(), shown);
        }
        let cut = Foreign(format!("{}https://u:hunter2@host", " ".repeat(LONGEST - 16))).to_string();
        assert!(cut.ends_with("https://***…"), "{cut}");
    }
}
