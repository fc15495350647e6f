//! Several lines an event: readable, no wider than they must be, and whatever is in them none looks like another event,
//! or like a field that is none.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use logweir::format::{Pretty, Text, UtcOffset};
use logweir::sink::ConsoleSink;
use logweir::{Event, Level, Logger, Value, err, new_event};
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::{
    Failed, any_event, any_text, any_value, corpus, event, is_invisible, read_back, token, value_token, write,
};
use crate::children::{ROLE, child_of};
use crate::support::cases;

const HEAD: &str = "2026-11-21T21:19:00.123Z  INFO shop:";
const GUIDE: &str = "  │";

fn pretty(event: &Event) -> String {
    write(&mut Pretty::new(), event)
}

fn narrow(width: usize, event: &Event) -> String {
    write(&mut Pretty::new().width(width), event)
}

/// Line by line, which keeps what is expected readable.
fn assert_lines(found: &str, expected: &[&str]) {
    assert_eq!(found.split('\n').collect::<Vec<_>>(), [expected, &[""]].concat());
}

#[test]
fn an_event_is_a_head_and_its_fields_behind_a_guide() {
    let event = new_event!(Level::Warn, target: "shop", "user {user} paid", user = "ada", cents = 950, note = "a b", bytes = [1, 2]);
    assert_lines(
        &pretty(&event),
        &["1970-01-01T00:00:00.000Z  WARN shop: user ada paid", r#"  │ cents=950  note="a b"  bytes=0102"#],
    );
    assert_lines(&pretty(&Event::new(Level::Info, "t", "")), &["1970-01-01T00:00:00.000Z  INFO t:"]);
    let mut east = Pretty::new().utc_offset(UtcOffset::hours_minutes(5, 45).expect("an offset"));
    assert!(write(&mut east, &super::event("m")).starts_with("2026-11-22T03:04:00.123+05:45  INFO shop: m\n"));
}

#[test]
fn an_event_without_fields_of_its_own_lines_begins_as_text_does() {
    for evil in corpus().into_iter().filter(|evil| !evil.contains('\n')) {
        let event = Event::new(Level::Error, &evil, &evil);
        for on in [false, true] {
            let text = write(&mut Text::new().colors(on), &event);
            let expected = if evil.is_empty() { text.replace(": \n", ":\n") } else { text };
            assert_eq!(write(&mut Pretty::new().colors(on), &event), expected);
        }
    }
}

#[test]
fn short_fields_share_a_line_as_far_as_its_columns_go() {
    let event = ["a", "b", "c", "d"].iter().fold(event("m"), |event, name| event.with(name, "12345"));
    // `  │ ` and `a=12345` are 11 columns, each field more 9.
    for (width, lines) in [(0, 4), (19, 4), (20, 2), (28, 2), (29, 2), (37, 2), (38, 1), (100, 1)] {
        let text = narrow(width, &event);
        assert_eq!(text.lines().count(), 1 + lines, "{width}\n{text}");
    }
    let wide = super::event("m").with("a", "日本語").with("b", "e\u{301}\u{301}\u{301}");
    assert_eq!(narrow(17, &wide).lines().count(), 2, "6 and 1 columns");
    assert_eq!(narrow(16, &wide).lines().count(), 3);
}

#[test]
fn what_is_long_has_a_line_of_its_own_and_is_not_broken() {
    let long = "x".repeat(200);
    let event = event("m").with("a", 1).with("long", &long).with("b", 2).with("c", 3);
    assert_lines(&pretty(&event), &[&format!("{HEAD} m"), "  │ a=1", &format!("  │ long={long}"), "  │ b=2  c=3"]);
}

#[test]
fn text_of_several_lines_stands_below_its_name() {
    let event = event("first\nsecond\n").with("a", 1).with("sql", "SELECT *\n  FROM t\n").with("b", 2);
    assert_lines(
        &pretty(&event),
        &[
            &format!("{HEAD} first"),
            "  │   second",
            "  │   ",
            "  │ a=1",
            "  │ sql:",
            "  │   SELECT *",
            "  │     FROM t",
            "  │   ",
            "  │ b=2",
        ],
    );
    let debug = new_event!(Level::Info, target: "t", "m", v = ?Some(1));
    assert!(pretty(&debug).ends_with("\n  │ v=Some(1)\n"));
}

#[test]
fn an_error_has_a_line_for_itself_and_for_each_source() {
    let root = Failed("reset\nby peer".into(), None);
    let chain = Failed("cannot pay".into(), Some(Box::new(Failed("no answer".into(), Some(Box::new(root))))));
    let alone = Failed("it failed".into(), None);
    let event = event("m").with("error", err(&chain)).with("alone", err(&alone));
    assert_lines(
        &pretty(&event),
        &[
            &format!("{HEAD} m"),
            "  │ error: cannot pay",
            "  │   caused by: no answer",
            "  │   caused by: reset",
            "  │     by peer",
            r#"  │ alone="it failed""#,
        ],
    );
    assert!(chain.source().is_some());
}

#[test]
fn a_document_is_indented_only_where_it_does_not_fit() {
    let document =
        r#"{"items":[{"sku":"A,1:{","n":2},{}],"empty": [ ],"note":"日本語 \" it is a long text","x":-1.5e3}"#;
    let event = event("m").with("j", Value::Json(document));
    assert_lines(&narrow(105, &event), &[&format!("{HEAD} m"), &format!("  │ j={document}")]);
    assert_lines(
        &narrow(50, &event),
        &[
            &format!("{HEAD} m"),
            "  │ j:",
            "  │   {",
            r#"  │     "items": [{"sku": "A,1:{", "n": 2}, {}],"#,
            r#"  │     "empty": [],"#,
            r#"  │     "note": "日本語 \" it is a long text","#,
            r#"  │     "x": -1.5e3"#,
            "  │   }",
        ],
    );
    assert_lines(
        &narrow(30, &super::event("m").with("j", Value::Json("[[1, 2],[3333333333,4444444444]]"))),
        &[
            &format!("{HEAD} m"),
            "  │ j:",
            "  │   [",
            "  │     [1, 2],",
            "  │     [",
            "  │       3333333333,",
            "  │       4444444444",
            "  │     ]",
            "  │   ]",
        ],
    );
    assert!(pretty(&super::event("m").with("j", Value::Json("{\n\"a\":\t1}"))).ends_with("\n  │ j={ \"a\": 1}\n"));
}

#[test]
fn what_is_empty_in_a_document_stays_on_its_line_however_narrow() {
    let event = event("m").with("j", Value::Json(r#"{"a_key_as_long_as_a_line":[],"b":{"c":[]}}"#));
    for width in [0, 10, 20] {
        let text = narrow(width, &event);
        assert!(text.contains("  │     \"a_key_as_long_as_a_line\": [],\n"), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    }
}

#[test]
fn the_indentation_of_a_document_is_bounded() {
    let deep = format!("{}{}{}", "[".repeat(60), "1,".repeat(1000) + "2", "]".repeat(60));
    let text = pretty(&event("m").with("j", Value::Json(&deep)));
    // Eight levels, then all the rest.
    assert_eq!(text.lines().count(), 1 + 1 + 8 + 1 + 8);
    assert_eq!(text.matches(['[', ']']).count(), 120);
}

#[test]
fn colours_take_no_columns_and_are_ours_alone() {
    let chain = Failed("\x1b[31ma\nb".into(), Some(Box::new(Failed("c".into(), None))));
    let event = event("\x1b[31mm\nn")
        .with("k", "\x1b[31mv")
        .with("t", "x\n\x1b[0m")
        .with("e", err(&chain))
        .with("日", "12345")
        .with("b", "12345");
    for width in [10, 20, 21, 40, 100] {
        let plain = write(&mut Pretty::new().width(width), &event);
        assert!(!plain.contains('\x1b'));
        assert_eq!(stripped(&write(&mut Pretty::new().width(width).colors(true), &event)), plain);
    }
}

/// Without the escape sequences that formats write.
fn stripped(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a colour").1)
}

/// A field as it is read: on a line, or with lines of its own by how far in they are.
#[derive(Debug, PartialEq)]
enum Field {
    Short(String, String),
    Long(String, Vec<(usize, String)>),
}

/// What the documentation says of the lines behind the first, read by it: how far a line is in says what it is.
fn read(text: &str) -> (Vec<String>, Vec<Field>) {
    let mut lines = text.strip_suffix('\n').expect("a newline at the end").split('\n');
    let mut message = vec![lines.next().expect("a head").to_owned()];
    let mut fields = Vec::new();
    for line in lines {
        assert_eq!(line.find(|c: char| c.is_control()), None, "{line:?}");
        let line = line.strip_prefix(GUIDE).unwrap_or_else(|| panic!("{line:?} has its guide"));
        let text = line.trim_start_matches(' ');
        // A text may begin with blanks: they are its own.
        match (line.len() - text.len(), fields.last_mut()) {
            (1, _) => read_fields(text, &mut fields),
            (3.., None) => message.push(line[3..].to_owned()),
            (3.., Some(Field::Long(_, lines))) => lines.push((3, line[3..].to_owned())),
            other => panic!("{other:?} {line:?}"),
        }
    }
    (message, fields)
}

fn read_fields(mut rest: &str, fields: &mut Vec<Field>) {
    loop {
        let name = token(&mut rest);
        if let Some(value) = rest.strip_prefix('=') {
            rest = value;
            fields.push(Field::Short(name, value_token(&mut rest)));
            match rest.strip_prefix("  ") {
                Some(next) => rest = next,
                None => return assert_eq!(rest, ""),
            }
        } else {
            let (name, text) = match rest.strip_prefix(':') {
                Some(text) => (name, text),
                None => (name.strip_suffix(':').expect("a colon").to_owned(), rest),
            };
            let first = text.strip_prefix(' ').map(|text| (0, text.to_owned()));
            return fields.push(Field::Long(name, first.into_iter().collect()));
        }
    }
}

/// How a line of text is written.
fn escaped(line: &str) -> String {
    let text = write(&mut Text::new(), &event(line));
    text[HEAD.len()..].trim_end_matches('\n').strip_prefix(' ').unwrap_or_default().to_owned()
}

fn lines_of(text: &str) -> Vec<(usize, String)> {
    text.split('\n').map(|line| (3, escaped(line))).collect()
}

/// How a reader sees a field of this text.
fn seen(name: &str, text: &str) -> Field {
    if text.contains('\n') { Field::Long(name.into(), lines_of(text)) } else { Field::Short(name.into(), text.into()) }
}

#[test]
fn nothing_an_event_carries_forges_a_head_or_a_field() {
    let forged =
        ["\n2026-11-21T21:19:00.123Z ERROR shop: x", "\n  │ level=ERROR", "a\n  │ b:\n  │   c", "\n │ x=1", "a:\nb"];
    for evil in corpus().into_iter().chain(forged.map(String::from)) {
        let first = escaped(evil.split('\n').next().unwrap_or_default());
        let head = if first.is_empty() { HEAD.to_owned() } else { format!("{HEAD} {first}") };
        let event = event(&evil).with("a", &evil).with(&evil, "v").with("z", 1);
        for width in [0, 30, 100] {
            let (message, fields) = read(&narrow(width, &event));
            assert_eq!(message[0], head, "{evil:?}");
            assert_eq!(message[1..], lines_of(&evil).into_iter().skip(1).map(|(_, line)| line).collect::<Vec<_>>());
            assert_eq!(fields, [seen("a", &evil), seen(&evil, "v"), seen("z", "1")]);
        }
    }
}

#[test]
fn no_error_forges_a_field_or_a_source() {
    for evil in corpus() {
        let error = Failed(evil.clone(), Some(Box::new(Failed(evil.clone(), None))));
        let (_, fields) = read(&pretty(&event("m").with("error", err(&error)).with("z", 1)));
        let [Field::Long(name, lines), Field::Short(..)] = &fields[..] else { panic!("{fields:?}") };
        assert_eq!(name, "error");
        let causes: Vec<_> = lines.iter().filter(|(_, line)| line.starts_with("caused by:")).collect();
        assert_eq!(causes.len(), 1, "{evil:?}");
        // The others are further in.
        let others = lines.iter().filter(|(indent, line)| *indent == 3 && line.starts_with("  "));
        assert_eq!(others.count(), 2 * evil.matches('\n').count());
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_strict_reader_finds_exactly_the_fields_that_were_logged(
        fields in prop::collection::vec((any_text(), any_value()), 0..8),
        width in 0_usize..120,
    ) {
        let event = any_event("shop", "m", &fields);
        let text = narrow(width, &event);
        prop_assert_eq!(text.chars().find(|&c| c != '\n' && is_invisible(c)), None);
        let found = read(&text).1;
        prop_assert_eq!(found.len(), event.fields().count());
        for ((name, value), found) in event.fields().zip(found) {
            match found {
                Field::Short(found, shown) => {
                    // A document is on one line, whatever its layout was.
                    let is_document = matches!(value, Value::Json(text) if text.contains(['\n', '\t', '\r']));
                    prop_assert!(found == name && (is_document || shown == read_back(&value)), "{} {:?}", name, value);
                }
                Field::Long(found, _) => prop_assert_eq!(found, name),
            }
        }
    }

    #[test]
    fn any_names_and_values_are_told_apart_at_any_width(
        fields in prop::collection::vec((any_text(), any_text()), 0..8),
        width in 0_usize..120,
    ) {
        let event = fields.iter().fold(event("m"), |event, (name, value)| event.with(name, value));
        let expected: Vec<_> = event.fields().map(|(name, value)| seen(name, &value.to_string())).collect();
        let text = narrow(width, &event);
        prop_assert_eq!(read(&text).1, expected);
        for line in text.lines().skip(1) {
            let mut fields = Vec::new();
            if line[GUIDE.len()..].starts_with("   ") {
                continue;
            }
            read_fields(&line[GUIDE.len() + 1..], &mut fields);
            prop_assert!(fields.len() == 1 || line.width() <= width, "{} columns, {}", line.width(), line);
        }
    }

    #[test]
    fn any_event_has_a_guide_on_every_line_but_the_first(
        target in any_text(),
        message in any_text(),
        fields in prop::collection::vec((any_text(), any_value()), 0..8),
    ) {
        let text = write(&mut Pretty::new(), &any_event(&target, &message, &fields));
        for line in text.lines().skip(1) {
            prop_assert!(line.starts_with("  │ "), "{:?}", line);
        }
        prop_assert!(!text.trim_end_matches('\n').contains(|c: char| c.is_control() && c != '\n'));
    }
}

#[test]
fn the_child() {
    if std::env::var_os(ROLE).is_none_or(|role| role != "pretty") {
        return;
    }
    let logger = Logger::builder().sink("console", ConsoleSink::stderr().pretty()).start().expect("starts");
    logger.emit(event("m").with("a", "x".repeat(60)).with("b", "y".repeat(20)).with("c", "z\nz"));
    assert!(logger.flush_blocking(Duration::from_secs(60)).expect("outside of a runtime").complete);
}

#[test]
fn a_console_that_is_no_terminal_is_100_columns_wide_and_has_no_colours() {
    let child: &mut Command = &mut child_of("formats::pretty::the_child", "pretty");
    let output = child.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let (x, y) = ("x".repeat(60), "y".repeat(20));
    assert_lines(&text, &[&format!("{HEAD} m"), &format!("  │ a={x}  b={y}"), "  │ c:", "  │   z", "  │   z"]);
}
