//! CLEF: what Serilog's readers expect, and nothing that an event carries changes what they see.

use logweir::format::{Clef, ClefMessage};
use logweir::{Event, Format, Level, Value, err, new_event};
use proptest::prelude::*;
use serde_json::{Map, json};

use super::{Failed, any_event, any_text, any_value, clean_line, corpus, event, parsed, write};
use crate::support::cases;

fn line(event: &Event) -> String {
    clean_line(write(&mut Clef::new(), event))
}

/// The event as a reader of the format has it: what has one `@`, and the fields.
fn read(format: &mut impl Format, event: &Event) -> (Map<String, serde_json::Value>, Map<String, serde_json::Value>) {
    let line = clean_line(write(format, event));
    let serde_json::Value::Object(members) = parsed(&line) else { panic!("{line}") };
    let (own, fields): (Map<_, _>, Map<_, _>) =
        members.into_iter().partition(|(key, _)| key.starts_with('@') && !key.starts_with("@@"));
    let fields = fields.into_iter().map(|(key, value)| match key.strip_prefix("@@") {
        Some(rest) => (format!("@{rest}"), value),
        None => (key, value),
    });
    (own, fields.collect())
}

#[test]
fn the_line_of_the_documentation_is_written_as_shown() {
    let event =
        new_event!(Level::Info, target: "shop", "user {user} paid", user = "ada").with_timestamp(event("").timestamp());
    let expected = r#"{"@t":"2026-11-21T21:19:00.123456789Z","@mt":"user {user} paid","@i":"90fe565f","SourceContext":"shop","user":"ada"}"#;
    assert_eq!(line(&event), expected);
}

#[test]
fn a_message_is_its_template_or_what_it_says_or_both() {
    let templated = || new_event!(Level::Info, "{{a}} {b}", b = "x");
    let shown = |message, event: &Event| {
        let (own, _) = read(&mut Clef::new().message(message), event);
        (own.get("@mt").cloned(), own.get("@m").cloned(), own.get("@i").cloned())
    };
    let (template, message) = (Some(json!("{{a}} {b}")), Some(json!("{a} x")));
    let id = shown(ClefMessage::Template, &templated()).2;
    assert!(id.is_some());
    assert_eq!(shown(ClefMessage::Template, &templated()), (template.clone(), None, id.clone()));
    assert_eq!(shown(ClefMessage::Rendered, &templated()), (None, message.clone(), id.clone()));
    assert_eq!(shown(ClefMessage::Both, &templated()), (template, message, id));
    for form in [ClefMessage::Template, ClefMessage::Rendered, ClefMessage::Both] {
        assert_eq!(shown(form, &event("no {template}")), (None, Some(json!("no {template}")), None));
    }
}

#[test]
fn a_format_that_is_changed_forgets_what_it_knew_of_its_call_sites() {
    // One call site.
    let paid = || new_event!(Level::Info, "paid {cents}", cents = 950);
    let mut format = Clef::new();
    assert!(read(&mut format, &paid()).0.contains_key("@mt"));
    let mut format = format.message(ClefMessage::Rendered);
    assert_eq!(read(&mut format, &paid()).0.keys().collect::<Vec<_>>(), ["@i", "@m", "@t"]);
}

#[test]
fn every_level_has_the_name_that_serilog_gives_it_and_info_none() {
    let names = [Some("Verbose"), Some("Debug"), None, Some("Warning"), Some("Error"), Some("Fatal")];
    for (level, name) in Level::ALL.into_iter().zip(names) {
        let (own, _) = read(&mut Clef::new(), &Event::new(level, "t", "m"));
        assert_eq!(own.get("@l").and_then(|name| name.as_str()), name);
    }
}

#[test]
fn what_a_message_shows_in_holes_with_a_format_is_there_in_their_order() {
    let event = new_event!(Level::Info, "{a:.2} {b} {c:x} {a,8:.0} {d,5}", a = 1.5, b = "b", c = 255, d = "\n");
    // A reader pairs them with the holes that have a format: one more, for an alignment, would shift the others.
    assert_eq!(read(&mut Clef::new(), &event).0["@r"], json!(["1.50", "ff", "       2"]));
    assert_eq!(read(&mut Clef::new().message(ClefMessage::Rendered), &event).0.get("@r"), None);
    let plain = new_event!(Level::Info, "{d,5}", d = 1);
    assert_eq!(read(&mut Clef::new(), &plain).0.get("@r"), None);
}

/// A reader shows such a hole as text, and what was rendered for it in the next hole with a format.
#[test]
fn a_template_with_a_hole_that_readers_do_not_see_is_written_as_what_it_says() {
    for event in [
        new_event!(Level::Info, "{http.ms:.1} {n:x}", http.ms = 1.5, n = 255),
        new_event!(Level::Info, "{x-y:.1} {n:x}", "x-y" = 1.5, n = 255),
        new_event!(Level::Info, "{truncated:.1} {n:x}", truncated = 1.5, n = 255),
        new_event!(Level::Info, "{SourceContext:.1} {n:x}", SourceContext = 1.5, n = 255),
    ] {
        for form in [ClefMessage::Template, ClefMessage::Both] {
            let (own, _) = read(&mut Clef::new().message(form), &event);
            assert_eq!(
                (own["@m"].as_str(), own.contains_key("@mt"), own.contains_key("@r")),
                (Some("1.5 ff"), false, false)
            );
            assert!(own.contains_key("@i"));
        }
    }
    // A field that no hole shows is no matter.
    let (own, _) = read(&mut Clef::new(), &new_event!(Level::Info, "{größe} {n:x}", größe = 1, n = 255, http.ms = 1.5));
    assert_eq!((&own["@mt"], &own["@r"]), (&json!("{größe} {n:x}"), &json!(["ff"])));
}

#[test]
fn the_first_error_is_readable_and_every_error_keeps_its_parts() {
    let (outer, alone) =
        (Failed("outer".into(), Some(Box::new(Failed("in\"ner".into(), None)))), Failed("x".into(), None));
    let event = event("m").with("a", 1).with("first", err(&outer)).with("second", err(&alone));
    let (own, fields) = read(&mut Clef::new(), &event);
    assert_eq!(own["@x"], "outer\ncaused by: in\"ner");
    assert_eq!(fields["first"], json!({"message": "outer", "sources": ["in\"ner"]}));
    assert_eq!(fields["second"], json!({"message": "x", "sources": []}));
}

#[test]
fn ids_are_where_readers_look_for_them_and_what_is_none_stays_a_field() {
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let (own, fields) = read(&mut Clef::new(), &event("m").with("span_id", span).with("trace_id", trace));
    assert_eq!((own["@tr"].as_str(), own["@sp"].as_str()), (Some(trace), Some(span)));
    assert_eq!(fields.len(), 1);
    let (own, fields) = read(&mut Clef::new(), &event("m").with("trace_id", span).with("span_id", 7));
    assert_eq!((own.get("@tr"), own.get("@sp")), (None, None));
    assert_eq!((&fields["trace_id"], &fields["span_id"]), (&json!(span), &json!(7)));
    let upper = trace.to_uppercase();
    assert_eq!(read(&mut Clef::new(), &event("m").with("trace_id", &upper)).1["trace_id"], *upper);
    let (own, fields) = read(&mut Clef::new(), &new_event!(Level::Info, "in {trace_id}", trace_id = trace));
    assert_eq!((&own["@tr"], &fields["trace_id"]), (&json!(trace), &json!(trace)));
}

#[test]
fn a_field_is_never_taken_for_a_part_of_the_format() {
    let event = event("m")
        .with("@t", 1)
        .with("@@t", 2)
        .with("@", 3)
        .with("@x", 4)
        .with("a@b", 5)
        .with("SourceContext", 6)
        .with("truncated", 7);
    let (own, fields) = read(&mut Clef::new(), &event);
    assert_eq!(own.keys().collect::<Vec<_>>(), ["@m", "@t"]);
    assert_eq!(
        serde_json::Value::Object(fields),
        json!({"@t": 1, "@@t": 2, "@": 3, "@x": 4, "a@b": 5, "SourceContext": "shop", "SourceContext_": 6, "truncated_": 7})
    );
    // Names that the call site has are written once and kept.
    let (_, fields) = read(&mut Clef::new(), &new_event!(Level::Info, "m", "@l" = 1, "truncated" = 2));
    assert_eq!((&fields["@l"], &fields["truncated_"]), (&json!(1), &json!(2)));
}

#[test]
fn nothing_an_event_carries_forges_anything() {
    for evil in corpus() {
        let error = Failed(evil.clone(), Some(Box::new(Failed(evil.clone(), None))));
        let event = Event::new(Level::Error, &evil, &evil).with("a", &evil).with(&evil, "v").with("error", err(&error));
        let (own, fields) = read(&mut Clef::new(), &event);
        assert_eq!(own.len(), 4);
        assert_eq!(own["@m"], evil);
        assert_eq!(own["@x"], format!("{evil}\ncaused by: {evil}"));
        assert_eq!(fields["SourceContext"], evil);
        assert_eq!(fields[&evil], "v");
        assert_eq!(fields.len(), 4);
        let shown = new_event!(Level::Info, "{evil:x}", evil);
        assert_eq!(read(&mut Clef::new(), &shown).0["@r"], json!([evil]));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_event_is_one_clean_line_and_reads_back(
        target in any_text(),
        message in any_text(),
        fields in prop::collection::vec((prop_oneof![any_text(), "@{0,2}[tmx@]{0,2}"], any_value()), 0..8),
    ) {
        let event = any_event(&target, &message, &fields);
        let (own, read) = read(&mut Clef::new(), &event);
        prop_assert_eq!(own.keys().collect::<Vec<_>>(), ["@l", "@m", "@t"]);
        prop_assert_eq!(&own["@m"], &*message);
        prop_assert_eq!(read.len(), event.fields().count() + 1);
        for (name, value) in event.fields() {
            if let Value::Str(text) = value {
                prop_assert_eq!(&read[name], text);
            }
        }
    }
}
