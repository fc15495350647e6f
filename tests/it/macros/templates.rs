//! Templates fill their holes.

use logweir::{Level, new_event};

use super::message;

#[test]
fn holes_fill_in_any_order_and_as_often_as_they_stand() {
    let event = new_event!(Level::Info, "{b}{a} {a}, {größe}!", a = 1, b = "x", größe = 2.5, c = true);
    assert_eq!(message(&event), "x1 1, 2.5!");
    assert_eq!(event.template(), Some("{b}{a} {a}, {größe}!"));
}

#[test]
fn doubled_braces_are_braces() {
    for (event, expected) in [
        (new_event!(Level::Info, "{{"), "{"),
        (new_event!(Level::Info, "}}"), "}"),
        (new_event!(Level::Info, "{{}}"), "{}"),
        (new_event!(Level::Info, "{{{a}}}", a = 1), "{1}"),
        (new_event!(Level::Info, "{{a}} {{{{", a = 1), "{a} {{"),
        (new_event!(Level::Info, "ü{{ü}}ü{a}ü", a = "ö"), "ü{ü}üöü"),
        (new_event!(Level::Info, ""), ""),
        (new_event!(Level::Info, "plain 100 %"), "plain 100 %"),
    ] {
        assert_eq!(message(&event), expected);
    }
}

#[test]
fn holes_align_by_characters() {
    let event =
        new_event!(Level::Info, "[{s,5}][{s,-5}][{s,1}][{n,4}][{none,6}]", s = "äöü", n = -7, none = None::<u8>);
    assert_eq!(message(&event), "[  äöü][äöü  ][äöü][  -7][  null]");
    let event = new_event!(Level::Info, "{s,256}{s,-256}", s = "x");
    assert_eq!(message(&event).len(), 512);
}

#[test]
fn formats_apply_to_the_values_they_suit() {
    let (n, f, b) = (-1_i8, 1234.5678, b"\x0a\xff");
    let event = new_event!(Level::Info, "{f:.2} {f:.0} {f,10:.1} {f:e} {f:x}", f);
    assert_eq!(message(&event), "1234.57 1235     1234.6 1.2345678e3 1234.5678");
    let event = new_event!(Level::Info, "{a:x} {a:X} {a:e} {a:.3}", a = 0xbeef_u32);
    assert_eq!(message(&event), "beef BEEF 4.8879e4 48879");
    let event = new_event!(Level::Info, "{n:x} {w:x} {w:X} {v:e}", n, w = 1_u128 << 70, v = -1_500_i128);
    assert_eq!(message(&event), "ffffffffffffffff 400000000000000000 400000000000000000 -1.5e3");
    let event = new_event!(Level::Info, "{b} {b:x} {b:X} {t:x} {t,-4:.1}|", b, t = true);
    assert_eq!(message(&event), "0aff 0aff 0AFF true true|");
    let event = new_event!(Level::Info, "{f:.32} {nan:.2} {inf}", f = 0.5, nan = f64::NAN, inf = -f64::INFINITY);
    assert_eq!(message(&event), format!("{:.32} NaN -inf", 0.5));
}

#[test]
fn a_template_may_be_any_constant() {
    const TEMPLATE: &str = "from a constant: {n}";
    assert_eq!(message(&new_event!(Level::Info, TEMPLATE, n = 1)), "from a constant: 1");
    assert_eq!(message(&new_event!(Level::Info, concat!("a", "{n}"), n = 1)), "a1");
    assert_eq!(message(&new_event!(Level::Info, r"raw \{n}", n = 1)), r"raw \1");
    assert_eq!(message(&new_event!(Level::Info, self::nested::TEMPLATE)), "deep");
}

mod nested {
    pub(super) const TEMPLATE: &str = "deep";
}
