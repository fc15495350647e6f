//! Nothing that an event carries forges a line or a field.

use logweir::{Event, Level, Value, err};
use proptest::prelude::*;
use serde_json::json;

use super::{Failed, any_event, any_text, any_value, corpus, event, fields_of, json, read_back, text, token};
use crate::support::cases;

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
        let event = Event::new(Level::Info, &evil, "m").with("a", &evil).with(&evil, "v").with("z", 1);

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
        // Some of it is a document nevertheless.
        let document: serde_json::Value = serde_json::from_str(&evil).unwrap_or_else(|_| evil.as_str().into());
        assert_eq!(json["no_document"], document);
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
    let value = format!("{:?}", (Some("a \"b\" c"), [1, 2]));
    assert_eq!(
        text(&event("m").with("v", Value::Debug(&value)).with("j", Value::Json("{\"a\": \"-\"}"))),
        r#"2026-11-21T21:19:00.123Z  INFO shop: m v=(Some("a \"b\" c"), [1, 2]) j={"a": "-"}"#
    );
    let shown = |value| text(&event("m").with("v", Value::Debug(value))).split_once(" v=").unwrap().1.to_owned();
    for unchanged in [r#""ada""#, "Point { x: 1, y: [2] }", "Some(1)", "1.5s", r#""k=v \"x\"""#] {
        assert_eq!(shown(unchanged), unchanged);
    }
    // With a `=` it could be taken for a field, and with an escape for another text.
    assert_eq!(shown(r#"Some("a = b")"#), r#""Some(\"a = b\")""#);
    assert_eq!(shown("[\n    1,\n]"), r#""[\n    1,\n]""#);
    assert_eq!(shown("a b"), r#""a b""#);
    assert_eq!(shown("a\\b"), r#""a\\b""#);
    assert_eq!(shown(""), r#""""#);
}

/// What `tracing` makes of `%name` and `?name`: text whose author may be an attacker.
#[test]
fn a_value_that_is_given_as_display_or_debug_text_forges_no_field() {
    let name = "bob\" role=\"admin\" x=\"";
    let event = event("login").with("user", Value::Debug(name)).with("n", 1);
    let expected = r#": login user="bob\" role=\"admin\" x=\"" n=1"#;
    assert_eq!(text(&event).split_once("shop").unwrap().1, expected);
    for evil in corpus() {
        let debug = format!("{evil:?}");
        let event = super::event("m")
            .with("display", Value::Debug(&evil))
            .with("debug", Value::Debug(&debug))
            .with("json", Value::Json(&evil))
            .with("bytes", [0_u8; 0])
            .with("z", 1);
        let expected: Vec<_> = event.fields().map(|(name, value)| (name.to_owned(), read_back(&value))).collect();
        assert_eq!(fields_of(&text(&event), "2026-11-21T21:19:00.123Z  INFO shop: m"), expected);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_strict_reader_of_text_finds_exactly_the_fields_that_were_logged(
        fields in prop::collection::vec((any_text(), any_value()), 0..8),
    ) {
        let event = any_event("shop", "m", &fields);
        let expected: Vec<_> = event.fields().map(|(name, value)| (name.to_owned(), read_back(&value))).collect();
        prop_assert_eq!(fields_of(&text(&event), "1970-01-01T00:00:00.000Z  WARN shop: m"), expected);
    }

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
    fn any_names_and_values_are_told_apart_in_text(fields in prop::collection::vec((any_text(), any_text()), 0..8)) {
        let event = fields.iter().fold(event("m"), |event, (name, value)| event.with(name, value));
        let expected: Vec<_> = event.fields().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        prop_assert_eq!(fields_of(&text(&event), "2026-11-21T21:19:00.123Z  INFO shop: m"), expected);
    }
}
