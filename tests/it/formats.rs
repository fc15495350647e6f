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
    let hidden = text.chars().find(|&c| {
        c.is_control()
            || matches!(c, '\u{61C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    });
    assert_eq!(hidden, None, "{text:?}");
    text
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
/// `=`, a value; either of them in quotes if it begins with one.
fn fields_of(line: &str, before: &str) -> Vec<(String, String)> {
    let mut rest = line.strip_prefix(before).unwrap_or_else(|| panic!("{line:?} begins with {before:?}"));
    let mut fields = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ').expect("a blank before each field");
        let name = token(&mut rest);
        rest = rest.strip_prefix('=').expect("`=` behind a name");
        fields.push((name, token(&mut rest)));
    }
    fields
}

fn token(rest: &mut &str) -> String {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        *rest = after;
        assert!(!token.is_empty() && !token.contains('"'), "{token:?}");
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
        "[ -~]{0,8}|[\"\\\\= a\n\r\t\u{1b}\u{85}\u{2028}\u{202e}é]{0,40}",
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
