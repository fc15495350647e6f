//! Nothing of the caller's is captured.

use logweir::{Level, info, log, new_event};

use super::message;

/// Everything a `macro_rules` could stumble over by name.
#[allow(dead_code, unused_macros, non_camel_case_types, non_upper_case_globals, non_snake_case)]
mod lookalikes {
    use ::logweir::new_event as make;

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
            ::logweir::new_event!(::logweir::Level::Info, "{n} {a.b}", n = 1, a.b = %2, c = ?3)
        }
    }
}

#[test]
fn nothing_of_the_callers_is_captured() {
    let event = lookalikes::constants();
    assert_eq!(message(&event), "10 11 21 11 10");
    let values: Vec<String> = event.fields().map(|(_, value)| value.to_string()).collect();
    let expected: Vec<String> = (10..=31).chain([11, 10]).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
    assert_eq!(message(&lookalikes::bare::event()), "1 2");
    let _: fn(&logweir::Logger) = lookalikes::emitting;
}

#[test]
#[deny(warnings, clippy::all, clippy::pedantic, clippy::nursery)]
fn a_log_call_warns_of_nothing() {
    let (text, owned, number) = ("x", String::from("y"), 1_u8);
    info!("none");
    info!("{text}", text, %owned, ?number, a.b = number, "q" = &owned, unit = ());
    log!(Level::Info, target: "t", "{text}", text);
    let event = new_event!(Level::Info, "none");
    assert_eq!(event.fields().count(), 0);
    let event = new_event!(Level::Info, "{text}", text, %owned, ?number, c = &text, d = &&number);
    assert_eq!(event.fields().count(), 5);
}
