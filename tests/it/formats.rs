//! Whatever an event carries: one line of text, one line of JSON, and nothing in it that pretends to be something else.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod clef;
mod forgery;
mod json;
mod line;
mod logfmt;
#[cfg(feature = "pretty")]
mod pretty;
mod values;
mod written;

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use logweir::event::Record;
use logweir::format::{Json, Text};
use logweir::{Event, Format, Level, Value};
use proptest::prelude::*;

fn event(message: &str) -> Event {
    Event::new(Level::Info, "shop", message)
        .with_timestamp(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_295_940_123_456_789))
}

fn write(format: &mut impl Format, event: &Event) -> String {
    let mut out = Vec::new();
    format.format(&Record::from(event), &mut out);
    String::from_utf8(out).expect("formats write UTF-8")
}

/// The line without its end, after a look at whether it is one and is clean.
fn clean_line(mut text: String) -> String {
    assert_eq!(text.pop(), Some('\n'));
    assert_eq!(text.chars().find(|c| is_invisible(*c)), None, "{text:?}");
    text
}

/// Characters that are invisible in a line, or that make it look like another one. Not all of them: a test next to the
/// formats' own table compares that with Unicode.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

fn text(event: &Event) -> String {
    clean_line(write(&mut Text::new(), event))
}

fn raw_json(event: &Event) -> String {
    clean_line(write(&mut Json::new(), event))
}

fn json(event: &Event) -> serde_json::Value {
    parsed(&raw_json(event))
}

fn parsed(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// The names and values that stand in a line behind `before`, read as the documentation of `Text` says: a blank, a name,
/// `=`, a value; either of them in quotes if it begins with one, and a value else with blanks only inside of brackets that
/// are closed and have no `=`.
fn fields_of(line: &str, before: &str) -> Vec<(String, String)> {
    let mut rest = line.strip_prefix(before).unwrap_or_else(|| panic!("{line:?} begins with {before:?}"));
    let mut fields = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ').expect("a blank before each field");
        let name = token(&mut rest);
        rest = rest.strip_prefix('=').expect("`=` behind a name");
        fields.push((name, value_token(&mut rest)));
    }
    fields
}

/// A value: [`token`], or text with brackets.
fn value_token(rest: &mut &str) -> String {
    if !rest.starts_with('"') {
        let ends = rest.match_indices(' ').map(|(end, _)| end).chain([rest.len()]);
        if let Some(end) = ends.take_while(|end| !rest[..*end].contains('=')).find(|end| is_closed(&rest[..*end])) {
            let (value, after) = rest.split_at(end);
            *rest = after;
            return value.to_owned();
        }
    }
    token(rest)
}

/// Whether there are brackets, each closed by its own kind, and quotes inside of them alone, each closed too.
fn is_closed(text: &str) -> bool {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' if !open.is_empty() => in_string = !in_string,
            _ if in_string => {}
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return false,
            '"' | '\\' => return false,
            _ => {}
        }
    }
    open.is_empty() && text.contains(['(', '[', '{'])
}

/// What a reader finds of a value: text in quotes of its own is the text that it quotes.
fn read_back(value: &Value<'_>) -> String {
    match value {
        Value::Debug(text) | Value::Json(text) => unquoted(text).unwrap_or_else(|| (*text).to_owned()),
        value => value.to_string(),
    }
}

/// The text that is in quotes, if this is one string and has no other escapes than a line of text.
fn unquoted(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut inner = String::new();
    while let Some(c) = chars.next() {
        inner.push(match c {
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => c,
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                    chars = rest.chars();
                    let digits = Some(digits).filter(|digits| digits.len() <= 6 && !digits.starts_with('+'))?;
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                _ => return None,
            },
            '"' => return None,
            c if is_invisible(c) => return None,
            c => c,
        });
    }
    Some(inner)
}

fn token(rest: &mut &str) -> String {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        *rest = after;
        assert!(!token.is_empty() && !token.contains(['"', '\\']), "{token:?}");
        return token.to_owned();
    };
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().expect("a closing quote") {
            '"' => break,
            '\\' => text.push(match chars.next().expect("an escape") {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                c => c,
            }),
            c => text.push(c),
        }
    }
    *rest = chars.as_str();
    text
}

/// What people have tried to slip into logs, and what could go wrong by itself.
fn corpus() -> Vec<String> {
    let mut corpus: Vec<String> = ('\0'..='\u{A0}').map(|c| format!("a{c}b")).collect();
    corpus.extend(["\u{61C}", "\u{200E}", "\u{200F}", "\u{2028}", "\u{2029}"].map(String::from));
    let invisible = [
        "\u{200B}",
        "\u{200D}",
        "\u{AD}",
        "\u{2060}",
        "\u{FEFF}",
        "\u{FFF9}",
        "\u{180E}",
        "\u{E0041}\u{E007F}",
        "\u{3164}",
    ];
    corpus.extend(invisible.map(|c| format!("adm{c}in")));
    corpus.extend(('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}').map(|c| format!("{c}txt.exe")));
    corpus.extend(
        [
            "",
            " ",
            "=",
            "\"",
            "\\",
            "\\\"",
            "\\n",
            "trailing\\",
            "x\" level=ERROR",
            "x\\\" level=ERROR target=\"admin",
            " level=ERROR",
            "k=v",
            "bob\" role=\"admin\" x=\"",
            "\"bob\" role=\"admin\"",
            "{\" role=\"admin\" x=\"}",
            "[a] role=admin",
            "(a role=admin)",
            "[\" role=admin \"]",
            "C:\\new",
            "[",
            "a]",
            "[\"",
            "Some(\"a\")",
            "{",
            "A { b: 1 }",
            "a\r\nb\n",
            "ok\n2026-11-21T21:19:00.123Z ERROR shop: forged",
            "ok\"}\n{\"timestamp\":\"2026-11-21T21:19:00Z\",\"level\":\"ERROR\",\"message\":\"forged\"}",
            "\",\"level\":\"ERROR\",\"x\":\"",
            "\x1b[31mred\x1b[0m",
            "\x1b]0;title\x07",
            "\u{9b}31m",
            "\x1b[2J\x1b[H",
            "a\u{3000}level=ERROR",
            "a\u{2003}b",
            "…[truncated]",
            "{{}} {user} %s ${jndi:ldap://x}",
            "naïve — “quotes” ☃ 日本語 😀 عربى",
            "\u{FFFD}\u{FEFF}\u{10FFFF}",
        ]
        .map(String::from),
    );
    corpus.push("long \x1b \" ".repeat(20_000));
    corpus.push("x".repeat(300_000));
    corpus
}

/// An error with the text it is given, and a source.
#[derive(Debug)]
struct Failed(String, Option<Box<Failed>>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|source| source as _)
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        // What escapes are made of, close together.
        "[ -~]{0,8}|[\"\\\\= a\n\r\t\u{1b}\u{85}\u{2028}\u{202e}\u{200b}\u{feff}\u{e0041}é]{0,40}",
        "[\"\\\\= ab(){}\\[\\]]{0,20}|\"[\"\\\\= ab]{0,6}\"|[\\[(]([\"= ab]|\\[\"\\]){0,12}[\\])]",
    ]
}

#[derive(Clone, Debug)]
enum Any {
    Text(String),
    Debug(String),
    Json(String),
    Float(f64),
    Int(i64),
    Bytes(Vec<u8>),
}

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        any_text().prop_map(Any::Text),
        any_text().prop_map(Any::Debug),
        any_text().prop_map(Any::Json),
        any::<f64>().prop_map(Any::Float),
        any::<i64>().prop_map(Any::Int),
        any::<Vec<u8>>().prop_map(Any::Bytes),
    ]
}

fn any_event(target: &str, message: &str, fields: &[(String, Any)]) -> Event {
    fields.iter().fold(Event::new(Level::Warn, target, message), |event, (name, value)| match value {
        Any::Text(v) => event.with(name, v),
        Any::Debug(v) => event.with(name, Value::Debug(v)),
        Any::Json(v) => event.with(name, Value::Json(v)),
        Any::Float(v) => event.with(name, *v),
        Any::Int(v) => event.with(name, *v),
        Any::Bytes(v) => event.with(name, v),
    })
}
