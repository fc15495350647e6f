//! What a log call becomes: values keep their types, templates fill, nothing of the caller's is captured.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use logweir::event::ToValue;
use logweir::{Event, Level, Value, err, event, info, log};

/// Names and values with the exact kind of each.
fn shown(event: &Event) -> String {
    format!("{:?}", event.fields())
}

fn message(event: &Event) -> String {
    event.message().to_string()
}

#[test]
fn integers_keep_their_sign_and_width() {
    let event = event!(
        Level::Info,
        "",
        a = i8::MIN,
        b = i16::MIN,
        c = i32::MIN,
        d = i64::MIN,
        e = isize::MIN,
        f = u8::MAX,
        g = u16::MAX,
        h = u32::MAX,
        i = u64::MAX,
        j = usize::MAX,
        k = i128::MIN,
        l = u128::MAX,
        m = 5,
    );
    assert_eq!(
        shown(&event),
        format!(
            "{{\"a\": I64(-128), \"b\": I64(-32768), \"c\": I64(-2147483648), \"d\": I64({}), \"e\": I64({}), \
             \"f\": U64(255), \"g\": U64(65535), \"h\": U64(4294967295), \"i\": U64({}), \"j\": U64({}), \
             \"k\": I128({}), \"l\": U128({}), \"m\": I64(5)}}",
            i64::MIN,
            isize::MIN,
            u64::MAX,
            usize::MAX,
            i128::MIN,
            u128::MAX
        )
    );
}

#[test]
fn truth_floats_and_nothing_keep_their_types() {
    let event = event!(
        Level::Info,
        "",
        yes = true,
        no = false,
        f = 0.5_f32,
        g = -1.5,
        nan = f64::NAN,
        inf = f32::INFINITY,
        zero = -0.0,
        none = None::<u8>,
        some = Some("x"),
        unit = (),
    );
    assert_eq!(
        shown(&event),
        r#"{"yes": Bool(true), "no": Bool(false), "f": F64(0.5), "g": F64(-1.5), "nan": F64(NaN), "inf": F64(inf), "zero": F64(-0.0), "none": Null, "some": Str("x"), "unit": Null}"#
    );
}

#[test]
fn texts_and_bytes_are_taken_from_whatever_holds_them() {
    let name = String::from("ada");
    let event = event!(
        Level::Info,
        "",
        a = "str",
        b = name,
        c = &name,
        d = Cow::Borrowed("cow"),
        e = Cow::<'_, str>::Owned(name.clone()),
        f = Box::new("box"),
        g = Rc::new(1),
        h = Arc::<str>::from("arc"),
        i = b"by\0",
        j = vec![1_u8],
        k = [2_u8; 2],
        l = name.as_bytes()[..1],
        m = *name,
    );
    assert_eq!(
        shown(&event),
        r#"{"a": Str("str"), "b": Str("ada"), "c": Str("ada"), "d": Str("cow"), "e": Str("ada"), "f": Str("box"), "g": I64(1), "h": Str("arc"), "i": Bytes([98, 121, 0]), "j": Bytes([1]), "k": Bytes([2, 2]), "l": Bytes([97]), "m": Str("ada")}"#
    );
    assert_eq!(name, "ada", "a value is borrowed, not moved");
}

#[test]
fn a_sigil_chooses_how_a_value_is_written() {
    let text = "a\"b";
    let pair = (1, "x");
    let event = event!(Level::Info, "", a = %text, b = ?text, %text, ?pair, c = %1 + 1, d = ?&pair.1,);
    assert_eq!(
        shown(&event),
        r#"{"a": Str("a\"b"), "b": Debug("\"a\\\"b\""), "text": Str("a\"b"), "pair": Debug("(1, \"x\")"), "c": Str("2"), "d": Debug("\"x\"")}"#
    );
}

#[cfg(feature = "serde")]
mod json {
    use super::*;

    #[derive(serde::Serialize)]
    struct Order {
        id: u32,
        items: Vec<&'static str>,
        note: Option<String>,
    }

    #[test]
    fn what_serializes_becomes_json() {
        let order = Order { id: 7, items: vec!["a\n", "ü"], note: None };
        let event = event!(Level::Info, "{order}", @order, all = @[1.5, 2.0], "q" = @order.items, @order.note);
        assert_eq!(
            shown(&event),
            r#"{"order": Json("{\"id\":7,\"items\":[\"a\\n\",\"ü\"],\"note\":null}"), "all": Json("[1.5,2.0]"), "q": Json("[\"a\\n\",\"ü\"]"), "order.note": Json("null")}"#
        );
        assert_eq!(message(&event), r#"{"id":7,"items":["a\n","ü"],"note":null}"#);
    }

    #[test]
    fn long_json_is_whole() {
        let long = vec!["x".repeat(1000); 100];
        let event = event!(Level::Info, "", @long);
        let Some(("long", Value::Json(json))) = event.fields().next() else { panic!("{event:?}") };
        assert_eq!(serde_json::from_str::<Vec<String>>(json).unwrap(), long);
    }

    #[test]
    fn what_fails_to_serialize_is_marked_text() {
        struct Fails;
        impl serde::Serialize for Fails {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no"))
            }
        }
        let event = event!(Level::Info, "", a = @(1, Fails), b = 2);
        assert_eq!(shown(&event), r#"{"a": Str("[1,…(formatting failed)"), "b": I64(2)}"#);
    }
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no port")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_keeps_the_chain_of_its_sources() {
    let error = Outer("x".parse::<u16>().unwrap_err());
    let event = event!(Level::Error, "failed: {error}", error = err(&error), plain = %error);
    assert_eq!(message(&event), "failed: no port: invalid digit found in string");
    let Some((_, Value::Error(chain))) = event.fields().next() else { panic!("{event:?}") };
    assert_eq!(chain.messages().collect::<Vec<_>>(), ["no port", "invalid digit found in string"]);
    assert_eq!(event.fields().last(), Some(("plain", Value::Str("no port"))));
    assert_eq!(event.fields().next().map(|(_, value)| value), Some(err(&error)), "live and encoded are equal");

    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    let again = event!(Level::Error, "", error = err(&*boxed)).with("copy", event.fields().next().unwrap().1);
    assert_eq!(
        shown(&again),
        r#"{"error": Error(["no port", "invalid digit found in string"]), "copy": Error(["no port", "invalid digit found in string"])}"#
    );
}

#[test]
fn a_chain_of_errors_that_never_ends_is_cut() {
    #[derive(Debug)]
    struct Circle;
    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }
    impl std::error::Error for Circle {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&Circle)
        }
    }
    let event = event!(Level::Error, "", error = err(&Circle), last = 1);
    let Some((_, Value::Error(chain))) = event.fields().next() else { panic!() };
    assert_eq!(chain.messages().count(), 128);
    assert_eq!(event.fields().last(), Some(("last", Value::I64(1))));
}

#[test]
fn a_type_of_ones_own_may_have_a_typed_value() {
    struct Port(u16);
    impl ToValue for Port {
        fn to_value(&self) -> Value<'_> {
            self.0.to_value()
        }
    }
    assert_eq!(shown(&event!(Level::Info, "", port = Port(80))), r#"{"port": U64(80)}"#);
}

#[test]
fn holes_fill_in_any_order_and_as_often_as_they_stand() {
    let event = event!(Level::Info, "{b}{a} {a}, {größe}!", a = 1, b = "x", größe = 2.5, c = true);
    assert_eq!(message(&event), "x1 1, 2.5!");
    assert_eq!(event.template(), Some("{b}{a} {a}, {größe}!"));
}

#[test]
fn doubled_braces_are_braces() {
    for (event, expected) in [
        (event!(Level::Info, "{{"), "{"),
        (event!(Level::Info, "}}"), "}"),
        (event!(Level::Info, "{{}}"), "{}"),
        (event!(Level::Info, "{{{a}}}", a = 1), "{1}"),
        (event!(Level::Info, "{{a}} {{{{", a = 1), "{a} {{"),
        (event!(Level::Info, "ü{{ü}}ü{a}ü", a = "ö"), "ü{ü}üöü"),
        (event!(Level::Info, ""), ""),
        (event!(Level::Info, "plain 100 %"), "plain 100 %"),
    ] {
        assert_eq!(message(&event), expected);
    }
}

#[test]
fn holes_align_by_characters() {
    let event = event!(Level::Info, "[{s,5}][{s,-5}][{s,1}][{n,4}][{none,6}]", s = "äöü", n = -7, none = None::<u8>);
    assert_eq!(message(&event), "[  äöü][äöü  ][äöü][  -7][  null]");
    let event = event!(Level::Info, "{s,256}{s,-256}", s = "x");
    assert_eq!(message(&event).len(), 512);
}

#[test]
fn formats_apply_to_the_values_they_suit() {
    let (n, f, b) = (-1_i8, 1234.5678, b"\x0a\xff");
    let event = event!(Level::Info, "{f:.2} {f:.0} {f,10:.1} {f:e} {f:x}", f);
    assert_eq!(message(&event), "1234.57 1235     1234.6 1.2345678e3 1234.5678");
    let event = event!(Level::Info, "{a:x} {a:X} {a:e} {a:.3}", a = 0xbeef_u32);
    assert_eq!(message(&event), "beef BEEF 4.8879e4 48879");
    let event = event!(Level::Info, "{n:x} {w:x} {w:X} {v:e}", n, w = 1_u128 << 70, v = -1_500_i128);
    assert_eq!(message(&event), "ffffffffffffffff 400000000000000000 400000000000000000 -1.5e3");
    let event = event!(Level::Info, "{b} {b:x} {b:X} {t:x} {t,-4:.1}|", b, t = true);
    assert_eq!(message(&event), "0aff 0aff 0AFF true true|");
    let event = event!(Level::Info, "{f:.32} {nan:.2} {inf}", f = 0.5, nan = f64::NAN, inf = -f64::INFINITY);
    assert_eq!(message(&event), format!("{:.32} NaN -inf", 0.5));
}

#[test]
fn a_template_may_be_any_constant() {
    const TEMPLATE: &str = "from a constant: {n}";
    assert_eq!(message(&event!(Level::Info, TEMPLATE, n = 1)), "from a constant: 1");
    assert_eq!(message(&event!(Level::Info, concat!("a", "{n}"), n = 1)), "a1");
    assert_eq!(message(&event!(Level::Info, r"raw \{n}", n = 1)), r"raw \1");
    assert_eq!(message(&event!(Level::Info, self::nested::TEMPLATE)), "deep");
}

mod nested {
    pub(super) const TEMPLATE: &str = "deep";

    pub(super) fn event() -> logweir::Event {
        logweir::event!(logweir::Level::Warn, "x")
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
    let event = event!(
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
    let (line, event) = (line!(), event!(Level::Fatal, "x"));
    assert_eq!(event.level(), Level::Fatal);
    assert_eq!(event.target(), module_path!());
    assert_eq!(event.module(), Some(module_path!()));
    assert_eq!(event.file(), Some(file!()));
    assert_eq!(event.line(), Some(line));
    assert_eq!(nested::event().target(), concat!(module_path!(), "::nested"));
    const TARGET: &str = "payments";
    let event = event!(Level::Info, target: TARGET, "x {a}", a = 1);
    assert_eq!((event.target(), event.module()), ("payments", Some(module_path!())));
    assert_eq!(event!(Level::Info, target: concat!("a", "b"), "x").target(), "ab");
}

#[test]
fn a_level_may_be_known_only_when_it_happens() {
    for level in Level::ALL {
        assert_eq!(event!(level, "x").level(), level);
    }
    fn level(failed: bool) -> Level {
        if failed { Level::Error } else { Level::Debug }
    }
    assert_eq!(event!(level(true), target: "t", "x").level(), Level::Error);
}

#[test]
fn values_are_evaluated_once_and_in_order() {
    let calls = Cell::new(0);
    let next = || {
        calls.set(calls.get() + 1);
        calls.get()
    };
    let event = event!(Level::Info, "{c} {a} {a} {b}", a = next(), b = %next(), c = ?next(), "d" = next());
    assert_eq!(shown(&event), r#"{"a": I64(1), "b": Str("2"), "c": Debug("3"), "d": I64(4)}"#);
    assert_eq!(message(&event), "3 1 1 2");
    assert_eq!(calls.get(), 4);
}

#[test]
fn a_value_may_leave_the_function() {
    fn parse(text: &str) -> Result<Event, std::num::ParseIntError> {
        Ok(event!(Level::Info, "{n}", n = text.parse::<u8>()?))
    }
    assert_eq!(message(&parse("7").unwrap()), "7");
    assert!(parse("x").is_err());
}

struct Writes(fn(&mut fmt::Formatter<'_>) -> fmt::Result);

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

impl fmt::Debug for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

impl std::error::Error for Writes {}

#[test]
fn a_formatting_that_fails_is_cut_and_marked() {
    let fails = Writes(|f| {
        f.write_str("half")?;
        Err(fmt::Error)
    });
    let event = event!(Level::Info, "{a}", a = %fails, b = ?fails, c = err(&fails), d = 1);
    assert_eq!(
        shown(&event),
        r#"{"a": Str("half…(formatting failed)"), "b": Debug("half…(formatting failed)"), "c": Error(["half…(formatting failed)"]), "d": I64(1)}"#
    );
    assert_eq!(event.fields().nth(2), Some(("c", err(&fails))), "also where the error is still live");

    let long = Writes(|f| {
        f.write_str(&"x".repeat(1000))?;
        Err(fmt::Error)
    });
    let event = event!(Level::Info, "", a = %long, b = 1);
    assert_eq!(event.fields().next(), Some(("a", Value::Str(&("x".repeat(1000) + "…(formatting failed)")))));
    assert_eq!(event.fields().last(), Some(("b", Value::I64(1))));
}

#[test]
fn a_formatting_that_never_ends_is_cut_and_marked() {
    let endless = Writes(|f| {
        let block = "x".repeat(1 << 20);
        loop {
            f.write_str(&block)?;
        }
    });
    // It may also ignore that it was told to stop.
    let deaf = Writes(|f| {
        let block = "x".repeat(1 << 20);
        for _ in 0..65 {
            f.write_str(&block).unwrap_or(());
        }
        Ok(())
    });
    for event in [event!(Level::Info, "", a = %endless, b = 1), event!(Level::Info, "", a = %deaf, b = 1)] {
        let Some((_, Value::Str(text))) = event.fields().next() else { panic!() };
        let text = text.strip_suffix("…(formatting failed)").expect("the mark");
        assert_eq!(text.len(), 64 << 20);
        assert_eq!(event.fields().last(), Some(("b", Value::I64(1))));
    }
}

#[test]
fn a_formatting_that_panics_panics_in_the_caller() {
    let caught = std::panic::catch_unwind(|| event!(Level::Info, "", a = 1, b = %Writes(|_| panic!("mine")), c = 2));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"mine"));
    assert_eq!(shown(&event!(Level::Info, "", a = 1)), r#"{"a": I64(1)}"#, "the next event is whole");
}

#[test]
fn a_formatting_may_log() {
    let logs = Writes(|f| {
        info!("inside", a = 1);
        let inner = event!(Level::Debug, "inner {a}", a = %"x".repeat(200));
        write!(f, "<{}>", inner.message())
    });
    let event = event!(Level::Info, "outer {a} {b}", a = %logs, b = 1);
    assert_eq!(message(&event), format!("outer <inner {}> 1", "x".repeat(200)));
}

#[test]
fn events_nest_in_each_others_fields() {
    let event = event!(
        Level::Info,
        "outer {n} {inner}",
        n = 1,
        inner = %event!(Level::Info, "inner {n}", n = { info!("{n}", n = 3); 2 }).message(),
    );
    assert_eq!(message(&event), "outer 1 inner 2");
}

#[test]
fn a_log_call_stands_wherever_an_expression_does() {
    fn generic<T: fmt::Debug + ToValue, const N: usize>(value: T) -> Event {
        info!("{value} {n}", value, n = N);
        event!(Level::Info, "{value} {n} {d}", value, n = N, d = ?value)
    }
    assert_eq!(message(&generic::<_, 3>("x")), "x 3 \"x\"");
    assert_eq!(message(&generic::<_, 4>(5_u8)), "5 4 5");
    let closure = |n: u8| info!("{n}", n);
    closure(1);
    let units: [(); 2] = [info!("x",), info!("{n}", n = 1)];
    assert_eq!(units.len(), 2);
    match 1 {
        1 => info!("one"),
        n => log!(Level::Warn, "{n}", n),
    }
    if units.is_empty() {
        info!("no")
    } else {
        info!("yes")
    }
    fn tail(name: String) {
        info!("{name}", name)
    }
    tail(String::new());
}

#[test]
fn a_future_that_logs_may_move_between_threads() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    async fn value() -> &'static str {
        "later"
    }
    let future = send(async {
        info!("{v}", v = value().await, w = %value().await);
        event!(Level::Info, "{v} {w}", v = value().await, w = ?value().await)
    });
    let event = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
    assert_eq!(message(&event), "later \"later\"");
}

#[test]
fn many_fields_need_no_deeper_recursion_limit() {
    let v = 1;
    let event = event!(
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
    let event = Event::dynamic(Level::Warn, "some::target", "text with {braces}").with("a", 1).with("b", "x");
    assert_eq!((event.level(), event.target()), (Level::Warn, "some::target"));
    assert_eq!(message(&event), "text with {braces}");
    assert_eq!((event.template(), event.module(), event.file(), event.line()), (None, None, None, None));
    assert_eq!(shown(&event), r#"{"a": I64(1), "b": Str("x")}"#);

    let long = "m".repeat(300);
    let event = Event::dynamic_at(Level::Trace, "t", &long, Some("m"), Some("f.rs"), Some(u32::MAX)).with("a", ());
    assert_eq!((event.module(), event.file(), event.line()), (Some("m"), Some("f.rs"), Some(u32::MAX)));
    assert_eq!(message(&event), long);
    assert_eq!(shown(&event), r#"{"a": Null}"#);
}

#[test]
fn a_name_once_given_keeps_its_value() {
    let event = event!(Level::Info, "{a}", a = 1).with("a", 2).with("b", 3).with("b", 4).with("c", None::<bool>);
    assert_eq!(shown(&event), r#"{"a": I64(1), "b": I64(3), "c": Null}"#);
    assert_eq!(shown(&Event::dynamic(Level::Info, "", "").with("", 1).with("", 2)), r#"{"": I64(1)}"#);
}

#[test]
fn an_event_may_bring_its_time() {
    let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    assert_eq!(event!(Level::Info, "").at(time).timestamp(), time);
    assert_eq!(event!(Level::Info, "").timestamp(), UNIX_EPOCH);
    assert_eq!(event!(Level::Info, "").at(UNIX_EPOCH - Duration::from_secs(1)).timestamp(), UNIX_EPOCH);
    let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(event!(Level::Info, "").at(far).timestamp(), UNIX_EPOCH + Duration::from_nanos(u64::MAX));
}

#[test]
fn values_of_equal_number_are_equal_whatever_their_width() {
    assert_eq!(Value::I64(1), Value::U128(1));
    assert_eq!(Value::I64(-1), Value::I128(-1));
    assert_eq!(Value::U64(u64::MAX), Value::I128(u64::MAX.into()));
    assert_ne!(Value::I64(-1), Value::U64(u64::MAX));
    assert_ne!(Value::I128(-1), Value::U128(u128::MAX));
    assert_ne!(Value::I64(1), Value::F64(1.0));
    assert_ne!(Value::Null, Value::Bool(false));
    assert_ne!(Value::Null, Value::I64(0));
    assert_ne!(Value::Str("1"), Value::I64(1));
    assert_ne!(Value::Str("a"), Value::Bytes(b"a"));
}

/// Everything a `macro_rules` could stumble over by name.
#[allow(dead_code, unused_macros, non_camel_case_types, non_upper_case_globals, non_snake_case)]
mod hygiene {
    use ::logweir::event as make;

    mod core {}
    mod std {}
    mod alloc {}
    mod logweir {}
    struct Option;
    struct Some;
    struct None;
    struct Result;
    struct Ok;
    struct Err;
    struct Event;
    struct Level;
    struct LevelFilter;
    struct Logger;
    struct Value;
    struct Callsite;
    struct Template;
    struct Piece;
    struct Hole;
    struct String;
    struct str;
    struct bool;
    struct u8;
    struct u32;
    struct usize;
    trait ToValue {}
    trait Sized {}
    trait Display {}
    trait Debug {}

    /// Methods of the macros' names on everything.
    trait Everywhere {
        fn to_value(&self) -> &'static ::core::primitive::str {
            "captured"
        }
        fn __enabled(&self) {}
        fn __emit(&self) {}
        fn push(&self) {}
    }
    impl<T: ?::core::marker::Sized> Everywhere for T {}

    macro_rules! stringify {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! concat {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! module_path {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! file {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! line {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! event {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! __logweir {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }
    macro_rules! __logweir_name {
        ($($any:tt)*) => {
            ::core::compile_error!("captured")
        };
    }

    fn value() {}
    fn display() {}
    fn debug() {}
    fn json() {}
    fn parse() {}
    fn count() {}
    fn text() {}
    fn dotted() {}
    fn field_name() {}
    fn global() {}
    fn drop() {}

    const N: i32 = 10;
    const LEN: i32 = 11;
    const SITE: i32 = 12;
    const CALLSITE: i32 = 13;
    const NAMES: i32 = 14;
    const PIECES: i32 = 15;
    const TEMPLATE: i32 = 16;
    const TARGET: i32 = 17;
    const LEVEL: i32 = 18;
    const BYTES: i32 = 19;
    const DOTTED: i32 = 20;
    // A constant's name in a pattern is that constant.
    const event: i32 = 21;
    const logger: i32 = 22;
    const level: i32 = 23;
    const to: i32 = 24;
    const out: i32 = 25;
    const fields: i32 = 26;
    const target: i32 = 27;
    const template: i32 = 28;
    const names: i32 = 29;
    static record: i32 = 30;
    static site: i32 = 31;

    pub(super) fn constants() -> ::logweir::Event {
        make!(
            ::logweir::Level::Info, target: "t", "{N} {LEN} {event} {d.e} {q}", N, LEN, SITE, CALLSITE, NAMES, PIECES,
            TEMPLATE, TARGET, LEVEL, BYTES, DOTTED, event, logger, level, to, out, fields, target, template, names,
            record, %site, d.e = ?LEN, "q" = N,
        )
    }

    pub(super) fn emitting(with: &::logweir::Logger) {
        ::logweir::info!("{N} {event}", N, event, d.e = %LEN);
        ::logweir::info!(logger: with, target: "x", "{N} {event}", N, event, d.e = ?LEN);
        ::logweir::log!(::logweir::Level::Warn, logger: with, "{level} {logger}", level, logger);
    }

    #[no_implicit_prelude]
    pub(super) mod bare {
        pub(in super::super) fn event() -> ::logweir::Event {
            ::logweir::info!("{n}", n = 1, a.b = %2);
            ::logweir::event!(::logweir::Level::Info, "{n} {a.b}", n = 1, a.b = %2, c = ?3)
        }
    }
}

#[test]
fn nothing_of_the_callers_is_captured() {
    let event = hygiene::constants();
    assert_eq!(message(&event), "10 11 21 11 10");
    let values: Vec<String> = event.fields().map(|(_, value)| value.to_string()).collect();
    let expected: Vec<String> = (10..=31).chain([11, 10]).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
    assert_eq!(message(&hygiene::bare::event()), "1 2");
    let _: fn(&logweir::Logger) = hygiene::emitting;
}

#[test]
#[deny(warnings, clippy::all, clippy::pedantic, clippy::nursery)]
fn a_log_call_warns_of_nothing() {
    let (text, owned, number) = ("x", String::from("y"), 1_u8);
    info!("none");
    info!("{text}", text, %owned, ?number, a.b = number, "q" = &owned, unit = ());
    log!(Level::Info, target: "t", "{text}", text);
    let event = event!(Level::Info, "none");
    assert_eq!(event.fields().count(), 0);
    let event = event!(Level::Info, "{text}", text, %owned, ?number, c = &text, d = &&number);
    assert_eq!(event.fields().count(), 5);
}
