//! The line of text and the line of JSON, as the documentation shows them.

use logweir::format::{Text, UtcOffset};
use logweir::{Event, Level};

use super::{event, json, raw_json, text, write};

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
        let event = Event::new(level, "t", "m");
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
