//! logfmt: a strict reader reads every line, and reads what the event was.

use logweir::format::Logfmt;
use logweir::{Event, Level, Value, err, new_event};
use proptest::prelude::*;

use super::{Failed, any_event, any_text, any_value, clean_line, corpus, event, write};
use crate::support::cases;

fn line(event: &Event) -> String {
    clean_line(write(&mut Logfmt::new(), event))
}

/// The pairs of a line, read as strictly as go-logfmt reads: what it would not take is a panic. Keys are given back as the
/// names they stand for.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut rest = line;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').expect("`=` behind a key");
        let legal = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\\' | '\u{FFFD}');
        assert!(!key.is_empty() && key.chars().all(legal), "{key:?} in {line}");
        let (value, behind) = value(behind);
        pairs.push((name(key), value));
        rest = match behind.strip_prefix(' ') {
            Some(next) => next,
            None => {
                assert_eq!(behind, "", "{line}");
                behind
            }
        };
    }
    pairs
}

fn value(text: &str) -> (String, &str) {
    if !text.starts_with('"') {
        let (value, behind) = text.split_at(text.find(' ').unwrap_or(text.len()));
        assert!(!value.contains(|c: char| matches!(c, '=' | '"' | '\\') || c.is_whitespace()), "{value:?}");
        return (value.to_owned(), behind);
    }
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<String>();
    // What stands between the quotes is what JSON has there.
    let value = documents.next().expect("a value").expect("a value that JSON can read");
    (value, &text[documents.byte_offset()..])
}

fn name(key: &str) -> String {
    if key == "%" {
        return String::new();
    }
    let mut bytes = Vec::new();
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("two digits")
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).expect("names are UTF-8")
}

#[test]
fn the_line_of_the_documentation_is_written_as_shown() {
    let event = event("user ada paid").with("user", "ada").with("cents", 950);
    assert_eq!(
        line(&event),
        r#"ts=2026-11-21T21:19:00.123456789Z level=info target=shop msg="user ada paid" user=ada cents=950"#
    );
}

#[test]
fn every_level_has_its_name_in_small_letters() {
    for level in Level::ALL {
        assert!(line(&Event::new(level, "t", "m")).contains(&format!(" level={} ", level.as_str())));
    }
}

#[test]
fn quotes_are_where_a_reader_needs_them_and_nowhere_else() {
    for (value, expected) in [
        ("", r#""""#),
        ("plain-1.5:/é", "plain-1.5:/é"),
        ("a b", r#""a b""#),
        ("a=b", r#""a=b""#),
        ("a\"b", r#""a\"b""#),
        ("a\\b", r#""a\\b""#),
        ("a\nb\r\t", r#""a\nb\r\t""#),
        ("\u{1}\u{7f}\u{85}\u{2028}", r#""\u0001\u007f\u0085\u2028""#),
        ("a\u{3000}b", "\"a\u{3000}b\""),
        ("\u{FFFD}", "\"\u{FFFD}\""),
        ("null", r#""null""#),
        ("日本語", "日本語"),
    ] {
        assert_eq!(line(&event(value)).split_once(" msg=").expect("a message").1, expected.replace("\"null\"", "null"));
        assert_eq!(line(&event("m").with("v", value)).split_once(" v=").expect("a field").1, expected);
    }
}

#[test]
fn every_kind_of_value_is_written_as_the_table_says() {
    let error = Failed("outer".into(), Some(Box::new(Failed("inner".into(), None))));
    let event = new_event!(
        Level::Info,
        "",
        null = (),
        yes = true,
        least = i128::MIN,
        most = u128::MAX,
        float = 0.1,
        short = 0.1_f32,
        low = f32::NEG_INFINITY,
        nan = f64::NAN,
        up = f64::INFINITY,
        down = f64::NEG_INFINITY,
        bytes = [0x00_u8, 0xFF],
        none = [0_u8; 0],
        debug = ?Some("a b"),
        error = err(&error),
    );
    let fields = line(&event.with("json", Value::Json("{\"a\":1}")));
    assert_eq!(
        fields.split_once(" target=it::formats::logfmt ").expect("fields").1,
        "null=null yes=true least=-170141183460469231731687303715884105728 most=340282366920938463463374607431768211455 \
         float=0.1 short=0.1 low=-Infinity nan=NaN up=Infinity down=-Infinity bytes=00ff none=\"\" debug=\"Some(\\\"a b\\\")\" \
         error=\"outer: inner\" json=\"{\\\"a\\\":1}\""
    );
}

#[test]
fn a_name_that_is_no_key_is_written_so_that_no_other_is_written_the_same() {
    let names = ["a b", "a_b", "a=b", "a%b", "a%20b", "%", "", "\"", "é", "é\u{85}", "ts", "ts_", "level", "\u{FFFD}"];
    let event = names.iter().enumerate().fold(event("m"), |event, (at, name)| event.with(name, at));
    let line = line(&event);
    assert!(line.contains(" a%20b=0 a_b=1 a%3db=2 a%25b=3 a%2520b=4 %25=5 %=6 %22=7 é=8 é%c2%85=9 ts__=10 ts_=11 "));
    let found: Vec<_> = pairs(&line).into_iter().skip(4).map(|(name, _)| name).collect();
    let expected: Vec<_> = names
        .iter()
        .map(|&name| if name == "ts" || name == "level" { format!("{name}_") } else { name.into() })
        .collect();
    assert_eq!(found[..10], expected[..10]);
    assert_eq!(found[10..], ["ts__", "ts_", "level_", "\u{FFFD}"]);
}

#[test]
fn a_call_site_writes_what_an_event_without_one_writes() {
    let at = event("").timestamp();
    for _ in 0..2 {
        let site = new_event!(Level::Info, target: "a b", "x {ts}", ts = 1, "b c" = "").with_timestamp(at);
        let dynamic = Event::new(Level::Info, "a b", "x 1").with("ts", 1).with("b c", "").with_timestamp(at);
        assert_eq!(line(&site), line(&dynamic));
    }
}

#[test]
fn nothing_an_event_carries_forges_a_pair() {
    for evil in corpus() {
        let error = Failed(evil.clone(), Some(Box::new(Failed(evil.clone(), None))));
        let event = Event::new(Level::Error, &evil, &evil)
            .with("a", &evil)
            .with(&evil, "v")
            .with("debug", Value::Debug(&evil))
            .with("json", Value::Json(&evil))
            .with("error", err(&error));
        let found = pairs(&line(&event));
        let chain = format!("{evil}: {evil}");
        let expected = [
            ("ts", "1970-01-01T00:00:00.000000000Z"),
            ("level", "error"),
            ("target", &evil),
            ("msg", &evil),
            ("a", &evil),
            (&evil, "v"),
            ("debug", &evil),
            ("json", &evil),
            ("error", &chain),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_event_is_one_clean_line_and_reads_back(
        target in any_text(),
        message in any_text(),
        fields in prop::collection::vec((any_text(), any_value()), 0..8),
    ) {
        let event = any_event(&target, &message, &fields);
        let found = pairs(&line(&event));
        let expected: Vec<_> = event
            .fields()
            .map(|(name, value)| (name.to_owned(), value.to_string().replace("inf", "Infinity")))
            .collect();
        prop_assert_eq!((&found[2].1, &found[3].1), (&target, &message));
        for ((name, value), (found_name, found_value)) in expected.iter().zip(&found[4..]) {
            let renamed = ["ts", "level", "target", "msg", "truncated"].contains(&name.as_str());
            prop_assert_eq!(name, if renamed { found_name.trim_end_matches('_') } else { found_name });
            prop_assert_eq!(renamed, found_name != name);
            prop_assert_eq!(&value.replace("inf", "Infinity"), &found_value.replace("inf", "Infinity"));
        }
        prop_assert_eq!(found.len(), 4 + expected.len());
    }
}
