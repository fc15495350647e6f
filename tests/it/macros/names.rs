//! The names of fields, the call site, and what else an event carries.

use std::time::{Duration, UNIX_EPOCH};

use logweir::{Event, Level, new_event};

use super::{message, shown};

mod nested {
    pub(super) fn event() -> logweir::Event {
        logweir::new_event!(logweir::Level::Warn, "x")
    }
}

#[test]
fn names_are_what_is_written() {
    struct Http {
        status: u16,
        r#type: &'static str,
        pair: (u8, (u8, u8)),
    }
    let http = Http { status: 200, r#type: "get", pair: (1, (2, 3)) };
    let r#fn = 1;
    let event = new_event!(
        Level::Info,
        "{http.status} {x-y} {http.type} {fn} {q.type}",
        http.status,
        "x-y" = 2,
        http.r#type,
        r#fn,
        r#match = 3,
        "r#quoted" = 4,
        q.r#type = 5,
        a.b.c = %6,
        "with blank" = ?7,
        ?http.pair.0,
        %http.pair.1.1,
    );
    assert_eq!(
        shown(&event),
        r#"{"http.status": U64(200), "x-y": I64(2), "http.type": Str("get"), "fn": I64(1), "match": I64(3), "r#quoted": I64(4), "q.type": I64(5), "a.b.c": Str("6"), "with blank": Debug("7"), "http.pair.0": Debug("1"), "http.pair.1.1": Str("3")}"#
    );
    assert_eq!(message(&event), "200 2 get 1 5");
}

#[test]
fn the_call_site_is_the_callers() {
    let (line, event) = (line!(), new_event!(Level::Fatal, "x"));
    assert_eq!(event.level(), Level::Fatal);
    assert_eq!(event.target(), module_path!());
    assert_eq!(event.module(), Some(module_path!()));
    assert_eq!(event.file(), Some(file!()));
    assert_eq!(event.line(), Some(line));
    assert_eq!(nested::event().target(), concat!(module_path!(), "::nested"));
    const TARGET: &str = "payments";
    let event = new_event!(Level::Info, target: TARGET, "x {a}", a = 1);
    assert_eq!((event.target(), event.module()), ("payments", Some(module_path!())));
    assert_eq!(new_event!(Level::Info, target: concat!("a", "b"), "x").target(), "ab");
}

#[test]
fn a_level_may_be_known_only_when_it_happens() {
    for level in Level::ALL {
        assert_eq!(new_event!(level, "x").level(), level);
    }
    fn level(failed: bool) -> Level {
        if failed { Level::Error } else { Level::Debug }
    }
    assert_eq!(new_event!(level(true), target: "t", "x").level(), Level::Error);
}

#[test]
fn many_fields_need_no_deeper_recursion_limit() {
    let v = 1;
    let event = new_event!(
        Level::Info,
        "{a0}{h7}",
        a0 = v,
        a1 = v,
        a2 = v,
        a3 = v,
        a4 = v,
        a5 = v,
        a6 = v,
        a7 = v,
        b0 = v,
        b1 = v,
        b2 = v,
        b3 = v,
        b4 = v,
        b5 = v,
        b6 = v,
        b7 = v,
        c0 = v,
        c1 = v,
        c2 = v,
        c3 = v,
        c4 = v,
        c5 = v,
        c6 = v,
        c7 = v,
        d0 = v,
        d1 = v,
        d2 = v,
        d3 = v,
        d4 = v,
        d5 = v,
        d6 = v,
        d7 = v,
        e0 = v,
        e1 = v,
        e2 = v,
        e3 = v,
        e4 = v,
        e5 = v,
        e6 = v,
        e7 = v,
        f0 = v,
        f1 = v,
        f2 = v,
        f3 = v,
        f4 = v,
        f5 = v,
        f6 = v,
        f7 = v,
        g0 = v,
        g1 = v,
        g2 = v,
        g3 = v,
        g4 = v,
        g5 = v,
        g6 = v,
        g7 = v,
        h0 = v,
        h1 = v,
        h2 = v,
        h3 = v,
        h4 = v,
        h5 = v,
        h6 = v,
        h7 = v,
    );
    assert_eq!(event.fields().count(), 64);
    assert_eq!(message(&event), "11");
}

#[test]
fn a_dynamic_event_carries_everything_itself() {
    let event = Event::new(Level::Warn, "some::target", "text with {braces}").with("a", 1).with("b", "x");
    assert_eq!((event.level(), event.target()), (Level::Warn, "some::target"));
    assert_eq!(message(&event), "text with {braces}");
    assert_eq!((event.template(), event.module(), event.file(), event.line()), (None, None, None, None));
    assert_eq!(shown(&event), r#"{"a": I64(1), "b": Str("x")}"#);

    let long = "m".repeat(300);
    let event = Event::new(Level::Trace, "t", &long).with_source(Some("m"), Some("f.rs"), Some(u32::MAX)).with("a", ());
    assert_eq!((event.module(), event.file(), event.line()), (Some("m"), Some("f.rs"), Some(u32::MAX)));
    assert_eq!(message(&event), long);
    assert_eq!(shown(&event), r#"{"a": Null}"#);
}

#[test]
fn the_last_value_given_to_a_name_wins_and_keeps_the_first_ones_place() {
    let event =
        new_event!(Level::Info, "{a}", a = 1).with("b", 3).with("a", 2).with("b", "four").with("c", None::<bool>);
    assert_eq!(shown(&event), r#"{"a": I64(2), "b": Str("four"), "c": Null}"#);
    assert_eq!(message(&event), "2");
    assert_eq!(shown(&Event::new(Level::Info, "", "").with("", 1).with("", 2)), r#"{"": I64(2)}"#);
    // Across the end of the inline bytes, in both directions.
    let long = "x".repeat(300);
    let event = Event::new(Level::Info, "t", "m").with("a", 1).with("b", 2).with("a", long.as_str());
    assert_eq!(shown(&event), format!(r#"{{"a": Str("{long}"), "b": I64(2)}}"#));
    assert_eq!(shown(&event.with("a", 3)), r#"{"a": I64(3), "b": I64(2)}"#);
}

#[test]
fn a_source_given_after_the_fields_changes_nothing_but_the_source() {
    let event = Event::new(Level::Warn, "t", "m").with("a", 1).with_source(Some("mod"), None, Some(7)).with("b", 2);
    assert_eq!((event.target(), event.module(), event.file(), event.line()), ("t", Some("mod"), None, Some(7)));
    assert_eq!((message(&event).as_str(), shown(&event).as_str()), ("m", r#"{"a": I64(1), "b": I64(2)}"#));
    let event = event.with_source(None, Some("f.rs"), None);
    assert_eq!((event.module(), event.file(), event.line()), (None, Some("f.rs"), None));
    let event = new_event!(Level::Info, "x").with_source(Some("other"), None, None);
    assert_eq!(event.module(), Some(module_path!()), "a call knows where it stands");
}

#[test]
fn an_event_may_bring_its_time() {
    let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    assert_eq!(new_event!(Level::Info, "").with_timestamp(time).timestamp(), time);
    assert_eq!(new_event!(Level::Info, "").timestamp(), UNIX_EPOCH);
    assert_eq!(new_event!(Level::Info, "").with_timestamp(UNIX_EPOCH - Duration::from_secs(1)).timestamp(), UNIX_EPOCH);
    let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(
        new_event!(Level::Info, "").with_timestamp(far).timestamp(),
        UNIX_EPOCH + Duration::from_nanos(u64::MAX)
    );
}
