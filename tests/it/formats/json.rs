//! JSON as it is configured: whatever the keys and the dots, no key is there twice and no field is lost.

use logweir::format::{DottedKeys, Json, Key};
use logweir::{Event, Level, new_event};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{any_text, clean_line, corpus, event, parsed, write};
use crate::support::cases;

const KEYS: [Key; 8] =
    [Key::Timestamp, Key::Level, Key::Target, Key::Module, Key::File, Key::Line, Key::Message, Key::Truncated];

/// The line without its end.
fn line(format: &mut Json, event: &Event) -> String {
    clean_line(write(format, event))
}

fn nested(event: &Event) -> Value {
    parsed(&line(&mut Json::new().dotted(DottedKeys::Nested), event))
}

/// What of a line is no part of the format.
fn nested_fields(event: &Event) -> String {
    let line = line(&mut Json::new().dotted(DottedKeys::Nested), event);
    format!("{{{}", line.split_once(r#""message":"m","#).expect("fields").1)
}

#[test]
fn keys_are_the_ones_that_are_asked_for_and_a_call_site_keeps_those_of_its_format() {
    let event = || new_event!(Level::Warn, target: "shop", "paid {cents}", cents = 950, msg = "field");
    let mut renamed =
        Json::new().key(Key::Timestamp, "@timestamp").key(Key::Level, "severity").key(Key::Message, "msg");
    let expected = r#"{"@timestamp":"1970-01-01T00:00:00.000000000Z","severity":"WARN","target":"shop","msg":"paid 950","cents":950,"msg_":"field"}"#;
    assert_eq!(line(&mut renamed, &event()), expected);
    assert_eq!(line(&mut renamed, &event()), expected);
    let mut again = renamed.without(Key::Timestamp).key(Key::Message, "message");
    assert_eq!(
        line(&mut again, &event()),
        r#"{"severity":"WARN","target":"shop","message":"paid 950","cents":950,"msg":"field"}"#
    );
}

#[test]
fn the_place_in_the_source_is_there_if_it_is_asked_for_and_known() {
    let mut format = Json::new().key(Key::Module, "module").key(Key::File, "file").key(Key::Line, "line");
    let line_number = line!() + 1;
    let parsed_line = parsed(&line(&mut format, &new_event!(Level::Info, "m", file = "a field")));
    assert_eq!(parsed_line["module"], module_path!());
    assert_eq!(parsed_line["file"], file!());
    assert_eq!(parsed_line["line"], line_number);
    assert_eq!(parsed_line["file_"], "a field");
    let nowhere = parsed(&line(&mut format, &event("m")));
    assert_eq!(nowhere.as_object().expect("an object").len(), 4);
}

#[test]
fn two_parts_of_one_key_are_parted_the_later_gets_the_mark() {
    let mut format = Json::new().key(Key::Message, "level").key(Key::Target, "level").key(Key::Timestamp, "");
    assert_eq!(
        line(&mut format, &event("m").with("level", 1).with("level_", 2).with("", 3)),
        r#"{"":"2026-11-21T21:19:00.123456789Z","level":"INFO","level_":"shop","level__":"m","level___":1,"level____":2,"_":3}"#
    );
}

#[test]
fn whatever_is_left_out_the_line_is_an_object_with_the_rest() {
    for left_out in 0..1_u32 << KEYS.len() {
        let is_out = |key: Key| left_out & 1 << key as u32 != 0;
        let mut format = KEYS.into_iter().fold(Json::new(), |format, key| {
            if is_out(key) { format.without(key) } else { format.key(key, format!("{key:?}")) }
        });
        let whole = || Event::new(Level::Info, "t", "m").with_source(Some("module"), Some("file"), Some(1));
        let expected = KEYS.into_iter().filter(|&key| key != Key::Truncated && !is_out(key)).count();
        for (fields, event) in [(0, whole()), (2, whole().with("Level", 1).with("b", 2))] {
            let parsed = parsed(&line(&mut format, &event));
            assert_eq!(parsed.as_object().expect("an object").len(), expected + fields, "{left_out:b} {parsed}");
        }
        let site = parsed(&line(&mut format, &new_event!(Level::Info, "m {a}", a = 1)));
        assert_eq!(site.as_object().expect("an object").len(), expected + 1, "{left_out:b} {site}");
    }
}

#[test]
fn a_key_forges_nothing() {
    for evil in corpus() {
        let mut format = Json::new().key(Key::Message, &*evil).key(Key::Target, &*evil).key(Key::Level, &*evil);
        let parsed = parsed(&line(&mut format, &event("m").with(&evil, 1).with("z", 2)));
        assert_eq!(parsed.as_object().expect("an object").len(), 6);
        assert_eq!(parsed[&evil], "INFO");
        assert_eq!(parsed[format!("{evil}___")], 1);
    }
}

#[test]
fn dotted_names_are_left_alone_by_default() {
    let event = event("m").with("http.status", 200).with("http", 1);
    assert!(line(&mut Json::new(), &event).ends_with(r#""http.status":200,"http":1}"#));
}

#[test]
fn fields_of_one_prefix_are_one_object_where_the_first_of_them_was() {
    let event = event("m")
        .with("http.status", 200)
        .with("user", "ada")
        .with("http.route.name", "orders")
        .with("db.ms", 2)
        .with("http.route.id", 7);
    assert_eq!(
        nested_fields(&event),
        r#"{"http":{"status":200,"route":{"name":"orders","id":7}},"user":"ada","db":{"ms":2}}"#
    );
}

#[test]
fn a_field_that_has_the_name_of_an_object_leaves_the_others_their_dots() {
    let fields = |names: &[&str]| names.iter().fold(event("m"), |event, name| event.with(name, 1));
    assert_eq!(nested_fields(&fields(&["a", "a.b"])), r#"{"a":1,"a.b":1}"#);
    assert_eq!(nested_fields(&fields(&["a.b", "a"])), r#"{"a.b":1,"a":1}"#);
    assert_eq!(nested_fields(&fields(&["a.b.c", "a.b", "a.d"])), r#"{"a":{"b.c":1,"b":1,"d":1}}"#);
    assert_eq!(nested_fields(&fields(&["level.x", "level", "level_.x"])), r#"{"level.x":1,"level_":1,"level_.x":1}"#);
    assert_eq!(nested_fields(&fields(&[".a", "b.", "c..d", ".", "..", "e.f"])), {
        r#"{".a":1,"b.":1,"c..d":1,".":1,"..":1,"e":{"f":1}}"#
    });
}

#[test]
fn objects_in_objects_are_bounded_and_many_long_names_are_no_burden() {
    let name = |number: usize| format!("{}{number}", "a.".repeat(100));
    let event = (0..1000).fold(event("m"), |event, number| event.with(&name(number), number));
    let nested = nested(&event);
    let deepest = (0..16).fold(&nested, |object, _| &object["a"]);
    assert_eq!(deepest.as_object().expect("an object").len(), 1000);
    assert_eq!(deepest[&name(999)[2 * 16..]], 999);
}

/// The members of an object, those of objects in it under names joined by dots.
fn flattened(object: &Map<String, Value>) -> Vec<(String, Value)> {
    object
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Object(inner) => {
                flattened(inner).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)).collect()
            }
            _ => vec![(key.clone(), value.clone())],
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn objects_taken_apart_are_the_fields_that_were(
        names in prop::collection::vec(prop_oneof!["[ab.]{0,6}", "(level|message|a)(_|\\.|b){0,3}", any_text()], 0..12),
    ) {
        let event = names.iter().enumerate().fold(event("m"), |event, (at, name)| event.with(name, at));
        // As many as there are in the text, which a reader that keeps the last of two would not show.
        let line = line(&mut Json::new().dotted(DottedKeys::Nested), &event);
        let mut found = flattened(parsed(&line).as_object().unwrap());
        let mut expected = flattened(super::json(&event).as_object().unwrap());
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(found, expected, "{}", line);
    }
}

#[test]
fn a_json_value_of_the_greatest_depth_is_still_read_below_objects() {
    let document = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let event = event("m").with("a.".repeat(20).trim_end_matches('.'), logweir::Value::Json(&document));
    assert_ne!(nested(&event)["a"], json!(null));
}
