//! Anywhere (pure): text that needs no quotes around it, because it has quotes or brackets of its own.

use super::escape::is_hidden;

/// Deeper brackets are not followed.
const MOST_LEVELS: u32 = 64;

/// Whether the text is one string in quotes, with the escapes that `Text` itself writes and no others: it reads back as
/// the text it quotes.
pub(super) fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let is_readable = match c {
            '"' => false,
            '\\' => match chars.next() {
                Some('"' | '\\' | 'n' | 'r' | 't') => true,
                Some('u') => skip_code_point(&mut chars).is_some(),
                _ => false,
            },
            c => !is_hidden(c),
        };
        if !is_readable {
            return false;
        }
    }
    true
}

/// After `\u`: a character's number in braces.
fn skip_code_point(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = chars.as_str().strip_prefix('{')?;
    let digits = &digits[..digits.find('}')?];
    let is_number = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    chars.nth(digits.len() + 1);
    is_number.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32)
}

/// Whether every blank and quote of the text is inside brackets (or between a struct's name and its fields), all brackets and quotes are closed, and nothing in it is
/// escaped or looks like a name before a value.
pub(super) fn is_nested(text: &str) -> bool {
    // Of each open bracket two bits, the innermost lowest.
    let (mut brackets, mut levels) = (0_u128, 0);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' if levels < MOST_LEVELS => {
                brackets = brackets << 2 | kind(c);
                levels += 1;
            }
            ')' | ']' | '}' if levels > 0 && brackets & 3 == kind(c) => {
                brackets >>= 2;
                levels -= 1;
            }
            '"' if levels > 0 && skip_string(&mut chars) => {}
            ' ' if levels > 0 || is_before_fields(&chars, text) => {}
            '(' | '[' | '{' | ')' | ']' | '}' | '"' | '=' | '\\' => return false,
            c if c.is_whitespace() || is_hidden(c) => return false,
            _ => {}
        }
    }
    levels == 0 && !text.is_empty()
}

/// Whether the blank that was read is the one of `Name { .. }`.
fn is_before_fields(rest: &std::str::Chars<'_>, text: &str) -> bool {
    rest.as_str().starts_with('{') && !text.starts_with(' ')
}

fn kind(bracket: char) -> u128 {
    match bracket {
        '(' | ')' => 1,
        '[' | ']' => 2,
        _ => 3,
    }
}

/// Skips the rest of a string; returns whether it ends, and has nothing in it that the text may not have.
fn skip_string(chars: &mut std::str::Chars<'_>) -> bool {
    while let Some(c) = chars.next() {
        match c {
            '"' => return true,
            '=' => return false,
            // Whatever follows is a part of the string; a character that is escaped is refused there too.
            '\\' if chars.next().is_none_or(|c| c == '=' || is_hidden(c)) => return false,
            c if is_hidden(c) => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_in_quotes_is_one_with_escapes_that_text_writes() {
        for text in [r#""""#, r#""a b""#, r#""k=v \"x\" \\ \n\r\t\u{1b}\u{10ffff}""#, "\"é\u{3000}\""] {
            assert!(is_quoted(text), "{text}");
        }
        for text in [
            "",
            "a",
            "\"",
            r#""a"b""#,
            r#""a" "b""#,
            r#"a"b""#,
            r#""a\""#,
            r#""\0""#,
            r#""\x41""#,
            r#""\u0041""#,
            r#""\u{}""#,
            r#""\u{d800}""#,
            r#""\u{110000}""#,
            r#""\u{+1}""#,
            r#""\u{0000041}""#,
            r#""\u{41""#,
            "\"\n\"",
            "\"\u{200b}\"",
            r#"" role="admin""#,
        ] {
            assert!(!is_quoted(text), "{text}");
        }
    }

    #[test]
    fn brackets_hold_blanks_and_quotes_if_all_are_closed_and_no_field_can_be_seen() {
        for text in [
            "[1, 2]",
            r#"Some("a \"b\" c")"#,
            r#"P { x: 1, y: ["[", "}"] }"#,
            "f(a)(b c)g",
            "A { }",
            r#"{"a":{"b": [ ]}}"#,
        ] {
            assert!(is_nested(text), "{text}");
        }
        for text in [
            "",
            "a b",
            " [1]",
            " {}",
            "a {",
            "a [1]",
            "[1] ",
            "[1] [2]",
            "[",
            "]",
            "[)",
            "([)]",
            "[\"]",
            "[\"a]\"",
            "\"a\"",
            "x\"a\"",
            "[a=1]",
            "[\" a=1 \"]",
            r#"{" role="admin" x="}"#,
            "[a\tb]",
            "[\u{200b}]",
            "[\u{3000}]",
            "[\\]",
            "[\"\\",
            "[\"\\=\"]",
            "a=b",
        ] {
            assert!(!is_nested(text), "{text}");
        }
        let deep = |levels: usize| format!("{}{}", "(".repeat(levels), ")".repeat(levels));
        assert!(is_nested(&deep(64)) && !is_nested(&deep(65)));
    }
}
