//! Whatever an event carries: one line of text, one line of JSON, and nothing in it that pretends to be something else.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod clef;
mod json;
mod logfmt;
#[cfg(feature = "pretty")]
mod pretty;
mod written;

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use logweir::event::Record;
use logweir::format::{Json, Text, UtcOffset};
use logweir::{Event, Format, Level, Value, err};
use proptest::prelude::*;
use serde_json::json;

fn event(message: &str) -> Event {
    Event::dynamic(Level::Info, "shop", message)
        .at(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_295_940_123_456_789))
}

fn write(format: &mut impl Format, event: &Event) -> String {
    let mut out = Vec::new();
    format.write(&Record::from(event), &mut out);
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

#[test]
fn the_line_of_the_documentation_is_written_as_shown() {
    let event = event("user ada logged in").with("user_id", 7).with("ip", "10.0.0.1");
    assert_eq!(text(&event), "2026-11-21T21:19:00.123Z  INFO shop: user ada logged in user_id=7 ip=10.0.0.1");
    assert_eq!(
        raw_json(&event),
        r#"{"timestamp":"2026-11-21T21:19:00.123456789Z","level":"INFO","target":"shop","message":"user ada logged in","user_id":7,"ip":"10.0.0.1"}"#
    );
}

#[test]
fn every_level_has_its_name_and_text_keeps_its_columns() {
    for (level, column) in Level::ALL.into_iter().zip(["TRACE", "DEBUG", " INFO", " WARN", "ERROR", "FATAL"]) {
        let event = Event::dynamic(level, "t", "m");
        assert_eq!(text(&event), format!("1970-01-01T00:00:00.000Z {column} t: m"));
        assert_eq!(json(&event)["level"], column.trim());
    }
}

#[test]
fn a_message_that_is_empty_leaves_no_double_blank() {
    assert_eq!(text(&event("").with("k", 1)), "2026-11-21T21:19:00.123Z  INFO shop: k=1");
    assert_eq!(text(&event("")), "2026-11-21T21:19:00.123Z  INFO shop:");
}

#[test]
fn text_can_be_written_with_another_offset() {
    let mut east = Text::new().utc_offset(UtcOffset::hours_minutes(5, 45).unwrap());
    assert_eq!(write(&mut east, &event("m")), "2026-11-22T03:04:00.123+05:45  INFO shop: m\n");
}

#[test]
fn colours_are_ours_alone() {
    let event = event("\x1b[31mm").with("k", "\x1b[31mv");
    assert_eq!(
        write(&mut Text::new().colors(true), &event),
        "\x1b[2m2026-11-21T21:19:00.123Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mshop:\x1b[0m \\u{1b}[31mm \x1b[2mk=\x1b[0m\"\\u{1b}[31mv\"\n"
    );
}

#[test]
fn no_message_forges_a_line_or_drives_a_terminal() {
    for evil in corpus() {
        let event = event(&evil).with("k", 1);
        assert!(text(&event).starts_with("2026-11-21T21:19:00.123Z  INFO shop:"));
        assert_eq!(json(&event)["message"], evil);
    }
}

#[test]
fn no_target_name_or_value_forges_a_field() {
    for evil in corpus() {
        let event = Event::dynamic(Level::Info, &evil, "m").with("a", &evil).with(&evil, "v").with("z", 1);

        let line = text(&event);
        let mut rest = line.strip_prefix("1970-01-01T00:00:00.000Z  INFO ").unwrap();
        // A bare target may hold anything that is no blank, quote or `=`: it ends at the first blank.
        let target = if rest.starts_with('"') {
            let target = token(&mut rest);
            rest = rest.strip_prefix(": m").unwrap();
            target
        } else {
            let (target, after) = rest.split_once(": m").unwrap();
            rest = after;
            target.to_owned()
        };
        assert_eq!(target, evil);
        let expected =
            [("a", &*evil), (&*evil, "v"), ("z", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields_of(rest, ""), expected);

        let json = json(&event);
        assert_eq!(json["target"], evil);
        assert_eq!(json["a"], evil);
        assert_eq!(json[&evil], "v");
        assert_eq!(json.as_object().unwrap().len(), 7);
    }
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

#[test]
fn no_debug_text_json_or_error_forges_a_field() {
    for evil in corpus() {
        let error = Failed(evil.clone(), Some(Box::new(Failed(evil.clone(), None))));
        let debug = format!("{evil:?}");
        let document = serde_json::to_string(&evil).unwrap();
        let event = event("m")
            .with("quoted", Value::Debug(&debug))
            .with("document", Value::Json(&document))
            .with("debug", Value::Debug(&evil))
            .with("no_document", Value::Json(&evil))
            .with("error", err(&error));

        let line = text(&event);
        assert_eq!(marks_outside_quotes(line.split_once("shop: m").unwrap().1), 5, "{line}");
        assert!(line.contains(" error=\""));

        let json = json(&event);
        assert_eq!(json["quoted"], debug);
        assert_eq!(json["document"], evil);
        assert_eq!(json["debug"], evil);
        assert_eq!(json["no_document"], evil);
        assert_eq!(json["error"], json!({ "message": evil, "sources": [evil] }));
    }
}

/// How many `=` a reader sees that knows quotes: the fields of a line.
fn marks_outside_quotes(line: &str) -> usize {
    let (mut inside, mut escaped, mut marks) = (false, false, 0);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '=' if !inside => marks += 1,
            _ => {}
        }
    }
    assert!(!inside, "{line}");
    marks
}

#[test]
fn debug_text_with_its_own_quotes_gets_no_others() {
    let value = format!("{:?}", (Some("a \"b\" = c"), [1, 2]));
    assert_eq!(
        text(&event("m").with("v", Value::Debug(&value)).with("j", Value::Json("{\"a\": \"=\"}"))),
        r#"2026-11-21T21:19:00.123Z  INFO shop: m v=(Some("a \"b\" = c"), [1, 2]) j={"a": "="}"#
    );
}

#[test]
fn every_kind_of_value_keeps_its_type_in_json() {
    let error = Failed("outer".into(), Some(Box::new(Failed("inner".into(), None))));
    let event = event("m")
        .with("null", ())
        .with("yes", true)
        .with("no", false)
        .with("i64", i64::MIN)
        .with("u64", u64::MAX)
        .with("narrow_i128", -5_i128)
        .with("narrow_u128", 5_u128)
        .with("i128", i128::MIN)
        .with("u128", u128::MAX)
        .with("f64", 0.1)
        .with("text", "é \"x\"")
        .with("debug", Value::Debug("Some(1)"))
        .with("bytes", [0x00_u8, 0x7F, 0xFF])
        .with("json", Value::Json("{\"a\":[1,2]}"))
        .with("alone", err(&Failed("alone".into(), None)))
        .with("chain", err(&error));
    let mut json = json(&event);
    for fixed in ["timestamp", "level", "target", "message"] {
        json.as_object_mut().unwrap().remove(fixed);
    }
    assert_eq!(
        json,
        json!({
            "null": null, "yes": true, "no": false, "i64": i64::MIN, "u64": u64::MAX, "narrow_i128": -5, "narrow_u128": 5,
            "i128": i128::MIN.to_string(), "u128": u128::MAX.to_string(), "f64": 0.1, "text": "é \"x\"",
            "debug": "Some(1)", "bytes": "007fff", "json": {"a": [1, 2]},
            "alone": {"message": "alone", "sources": []}, "chain": {"message": "outer", "sources": ["inner"]},
        })
    );
    assert_eq!(
        text(&event).split_once(": m ").unwrap().1,
        "null=null yes=true no=false i64=-9223372036854775808 u64=18446744073709551615 narrow_i128=-5 narrow_u128=5 \
         i128=-170141183460469231731687303715884105728 u128=340282366920938463463374607431768211455 f64=0.1 \
         text=\"é \\\"x\\\"\" debug=Some(1) bytes=007fff json={\"a\":[1,2]} alone=alone chain=\"outer: inner\""
    );
}

/// The number in the line as the standard library reads it, which is exact.
fn float_in_json(float: f64) -> f64 {
    let event = event("m").with("v", float);
    assert!(json(&event)["v"].is_f64());
    let line = raw_json(&event);
    line.split_once("\"v\":").unwrap().1.strip_suffix('}').unwrap().parse().unwrap()
}

#[test]
fn a_float_reads_back_the_same_and_one_that_json_has_not_is_a_string() {
    for float in [0.0, -0.0, 1.0, -1.5, 0.1, 1e21, 1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1.0 / 3.0] {
        assert_eq!(float_in_json(float).to_bits(), float.to_bits());
    }
    for (float, expected) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        assert_eq!(json(&event("m").with("v", float))["v"], expected);
    }
}

#[test]
fn a_field_of_a_reserved_name_is_kept_under_a_name_of_its_own() {
    let event = event("m")
        .with("level", "a")
        .with("level__", "b")
        .with("level_", "c")
        .with("timestamp", 1)
        .with("target", 2)
        .with("message", 3)
        .with("truncated", 4);
    let line = raw_json(&event);
    assert!(line.ends_with(
        r#""message":"m","level___":"a","level__":"b","level_":"c","timestamp_":1,"target_":2,"message_":3,"truncated_":4}"#
    ));
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
    fields.iter().fold(Event::dynamic(Level::Warn, target, message), |event, (name, value)| match value {
        Any::Text(v) => event.with(name, v),
        Any::Debug(v) => event.with(name, Value::Debug(v)),
        Any::Json(v) => event.with(name, Value::Json(v)),
        Any::Float(v) => event.with(name, *v),
        Any::Int(v) => event.with(name, *v),
        Any::Bytes(v) => event.with(name, v),
    })
}

proptest! {
    #[test]
    fn any_event_is_one_clean_line_and_reads_back(
        target in any_text(),
        message in any_text(),
        fields in prop::collection::vec((any_text(), any_value()), 0..8),
    ) {
        let event = any_event(&target, &message, &fields);
        let count = event.fields().count();
        text(&event);
        let json = json(&event);

        prop_assert_eq!(&json["target"], &*target);
        prop_assert_eq!(&json["message"], &*message);
        prop_assert_eq!(json.as_object().unwrap().len(), 4 + count);
        for (name, value) in event.fields() {
            let found = &json[name];
            match value {
                Value::Str(v) | Value::Debug(v) => prop_assert_eq!(found, v),
                Value::Json(v) => {
                    let document: serde_json::Value = serde_json::from_str(v).unwrap_or_else(|_| v.into());
                    prop_assert_eq!(found, &document);
                }
                // serde_json may read a float a few units off; that the text is exact has its own test.
                Value::F64(v) if v.is_finite() => {
                    let read = found.as_f64().unwrap();
                    prop_assert!(read.to_bits().abs_diff(v.to_bits()) <= 5, "{:e} {:e}", read, v);
                }
                Value::F64(v) => prop_assert_eq!(found, &v.to_string().replace("inf", "Infinity")),
                Value::I64(v) => prop_assert_eq!(found, v),
                _ => prop_assert!(found.is_string()),
            }
        }
    }

    #[test]
    fn any_finite_float_is_written_exactly(float in any::<f64>()) {
        prop_assume!(float.is_finite());
        prop_assert_eq!(float_in_json(float).to_bits(), float.to_bits());
    }

    #[test]
    fn any_names_and_values_are_told_apart_in_text(fields in prop::collection::vec((any_text(), any_text()), 0..8)) {
        let event = fields.iter().fold(event("m"), |event, (name, value)| event.with(name, value));
        let expected: Vec<_> = event.fields().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        prop_assert_eq!(fields_of(&text(&event), "2026-11-21T21:19:00.123Z  INFO shop: m"), expected);
    }
}
