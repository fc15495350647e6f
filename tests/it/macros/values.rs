//! Values keep their types.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use logweir::event::ToValue;
use logweir::{Level, Value, err, new_event};

use super::{message, shown};

#[test]
fn integers_keep_their_sign_and_width() {
    let event = new_event!(
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
    let event = new_event!(
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
        r#"{"yes": Bool(true), "no": Bool(false), "f": F32(0.5), "g": F64(-1.5), "nan": F64(NaN), "inf": F32(inf), "zero": F64(-0.0), "none": Null, "some": Str("x"), "unit": Null}"#
    );
}

#[test]
fn texts_and_bytes_are_taken_from_whatever_holds_them() {
    let name = String::from("ada");
    let event = new_event!(
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
    let event = new_event!(Level::Info, "", a = %text, b = ?text, %text, ?pair, c = %1 + 1, d = ?&pair.1,);
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
        let event = new_event!(Level::Info, "{order}", @order, all = @[1.5, 2.0], "q" = @order.items, @order.note);
        assert_eq!(
            shown(&event),
            r#"{"order": Json("{\"id\":7,\"items\":[\"a\\n\",\"ü\"],\"note\":null}"), "all": Json("[1.5,2.0]"), "q": Json("[\"a\\n\",\"ü\"]"), "order.note": Json("null")}"#
        );
        assert_eq!(message(&event), r#"{"id":7,"items":["a\n","ü"],"note":null}"#);
    }

    #[test]
    fn long_json_is_whole() {
        let long = vec!["x".repeat(1000); 100];
        let event = new_event!(Level::Info, "", @long);
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
        let event = new_event!(Level::Info, "", a = @(1, Fails), b = 2);
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
    let event = new_event!(Level::Error, "failed: {error}", error = err(&error), plain = %error);
    assert_eq!(message(&event), "failed: no port: invalid digit found in string");
    let Some((_, Value::Error(chain))) = event.fields().next() else { panic!("{event:?}") };
    assert_eq!(chain.messages().collect::<Vec<_>>(), ["no port", "invalid digit found in string"]);
    assert_eq!(event.fields().last(), Some(("plain", Value::Str("no port"))));
    assert_eq!(event.fields().next().map(|(_, value)| value), Some(err(&error)), "live and encoded are equal");

    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    let again = new_event!(Level::Error, "", error = err(&*boxed)).with("copy", event.fields().next().unwrap().1);
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
    let event = new_event!(Level::Error, "", error = err(&Circle), last = 1);
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
    assert_eq!(shown(&new_event!(Level::Info, "", port = Port(80))), r#"{"port": U64(80)}"#);
}

#[test]
fn values_of_equal_number_are_equal_whatever_their_width() {
    assert_eq!(Value::I64(1), Value::U128(1));
    assert_eq!(Value::I64(-1), Value::I128(-1));
    assert_eq!(Value::U64(u64::MAX), Value::I128(u64::MAX.into()));
    assert_ne!(Value::I64(-1), Value::U64(u64::MAX));
    assert_ne!(Value::I128(-1), Value::U128(u128::MAX));
    assert_ne!(Value::I64(1), Value::F64(1.0));
    assert_eq!(Value::F32(0.1), Value::F64(0.1_f32.into()));
    assert_ne!(Value::F32(0.1), Value::F64(0.1));
    assert_eq!(Value::from(0.1_f32), 0.1_f32);
    assert_ne!(Value::Null, Value::Bool(false));
    assert_ne!(Value::Null, Value::I64(0));
    assert_ne!(Value::Str("1"), Value::I64(1));
    assert_ne!(Value::Str("a"), Value::Bytes(b"a"));
}
