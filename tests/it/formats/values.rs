//! Values in a line read back as they were.

use logweir::event::ToValue;
use logweir::format::{Clef, ClefMessage, Json, Key, Logfmt, Text};
use logweir::{Event, Format, Level, Value, err, new_event};
use proptest::prelude::*;
use serde_json::json;

use super::{Failed, event, json, raw_json, text, write};
use crate::support::cases;

#[test]
fn every_kind_of_value_keeps_its_type_in_json() {
    let error = Failed("outer".into(), Some(Box::new(Failed("inner".into(), None))));
    let event = event("m")
        .with("null", ())
        .with("yes", true)
        .with("no", false)
        .with("i64", i64::MIN)
        .with("u64", u64::MAX)
        .with("narrow_i128", -5_i128)
        .with("narrow_u128", 5_u128)
        .with("i128", i128::MIN)
        .with("u128", u128::MAX)
        .with("f64", 0.1)
        .with("text", "é \"x\"")
        .with("debug", Value::Debug("Some(1)"))
        .with("bytes", [0x00_u8, 0x7F, 0xFF])
        .with("json", Value::Json("{\"a\":[1,2]}"))
        .with("alone", err(&Failed("alone".into(), None)))
        .with("chain", err(&error));
    let mut json = json(&event);
    for fixed in ["timestamp", "level", "target", "message"] {
        json.as_object_mut().unwrap().remove(fixed);
    }
    assert_eq!(
        json,
        json!({
            "null": null, "yes": true, "no": false, "i64": i64::MIN, "u64": u64::MAX, "narrow_i128": -5, "narrow_u128": 5,
            "i128": i128::MIN.to_string(), "u128": u128::MAX.to_string(), "f64": 0.1, "text": "é \"x\"",
            "debug": "Some(1)", "bytes": "007fff", "json": {"a": [1, 2]},
            "alone": {"message": "alone", "sources": []}, "chain": {"message": "outer", "sources": ["inner"]},
        })
    );
    assert_eq!(
        text(&event).split_once(": m ").unwrap().1,
        "null=null yes=true no=false i64=-9223372036854775808 u64=18446744073709551615 narrow_i128=-5 narrow_u128=5 \
         i128=-170141183460469231731687303715884105728 u128=340282366920938463463374607431768211455 f64=0.1 \
         text=\"é \\\"x\\\"\" debug=Some(1) bytes=007fff json={\"a\":[1,2]} alone=alone chain=\"outer: inner\""
    );
}

/// The number in the line as the standard library reads it, which is exact.
fn float_in_json(float: f64) -> f64 {
    let event = event("m").with("v", float);
    assert!(json(&event)["v"].is_f64());
    let line = raw_json(&event);
    line.split_once("\"v\":").unwrap().1.strip_suffix('}').unwrap().parse().unwrap()
}

#[test]
fn a_float_reads_back_the_same_and_one_that_json_has_not_is_a_string() {
    for float in [0.0, -0.0, 1.0, -1.5, 0.1, 1e21, 1e300, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1.0 / 3.0] {
        assert_eq!(float_in_json(float).to_bits(), float.to_bits());
    }
    for (float, expected) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        assert_eq!(json(&event("m").with("v", float))["v"], expected);
    }
}

#[test]
fn a_field_of_a_reserved_name_is_kept_under_a_name_of_its_own() {
    let event = event("m")
        .with("level", "a")
        .with("level__", "b")
        .with("level_", "c")
        .with("timestamp", 1)
        .with("target", 2)
        .with("message", 3)
        .with("truncated", 4);
    let line = raw_json(&event);
    assert!(line.ends_with(
        r#""message":"m","level___":"a","level__":"b","level_":"c","timestamp_":1,"target_":2,"message_":3,"truncated_":4}"#
    ));
}

/// What every format writes behind `v`, up to the end of the line.
fn written(event: &Event) -> Vec<String> {
    let mut formats: Vec<Box<dyn Format>> =
        vec![Box::new(Text::new()), Box::new(Json::new()), Box::new(Clef::new()), Box::new(Logfmt::new())];
    #[cfg(feature = "pretty")]
    formats.push(Box::new(logweir::format::Pretty::new()));
    let value = |format: &mut Box<dyn Format>| {
        let line = write(format, event);
        let (_, value) = line.rsplit_once(['=', ':']).unwrap();
        value.trim_end_matches(['\n', '}']).trim_matches('"').to_owned()
    };
    formats.iter_mut().map(value).collect()
}

#[test]
fn an_f32_has_its_own_digits_in_every_format_and_in_messages() {
    for (float, digits) in
        [(0.1_f32, "0.1"), (16777.217, "16777.217"), (-0.0, "-0.0"), (1e-45, "1e-45"), (f32::MAX, "3.4028235e+38")]
    {
        for written in written(&event("m").with("v", float)) {
            assert_eq!(written, digits);
        }
    }
    for written in written(&event("m").with("v", f32::NEG_INFINITY)) {
        assert!(["-inf", "-Infinity"].contains(&&*written), "{written}");
    }
    let event = new_event!(Level::Info, "{v} {v:.2} {v:e} {v,6}", v = 0.1_f32);
    assert_eq!(event.message().to_string(), "0.1 0.10 1e-1    0.1");
    assert!(matches!(event.fields().next(), Some(("v", Value::F32(0.1)))));
    assert!(matches!(0.1_f32.to_value(), Value::F32(0.1)) && Some(0.1_f32).to_value() == Value::F32(0.1));
}

#[test]
fn an_event_without_a_message_has_no_key_for_one_and_one_whose_message_is_empty_has() {
    let lines = |event: &Event| {
        let mut formats: [Box<dyn Format>; 4] = [
            Box::new(Json::new()),
            Box::new(Clef::new()),
            Box::new(Clef::new().message(ClefMessage::Both)),
            Box::new(Logfmt::new()),
        ];
        // Twice: the second time the call site is known.
        let twice = |format: &mut Box<dyn Format>| {
            let line = write(format, event);
            assert_eq!(line, write(format, event));
            line
        };
        formats.each_mut().map(twice)
    };
    let [json, clef, both, logfmt] = lines(&new_event!(Level::Info, target: "t", "", a = 1));
    assert_eq!(
        json,
        "{\"timestamp\":\"1970-01-01T00:00:00.000000000Z\",\"level\":\"INFO\",\"target\":\"t\",\"a\":1}\n"
    );
    assert_eq!(clef, "{\"@t\":\"1970-01-01T00:00:00.000000000Z\",\"SourceContext\":\"t\",\"a\":1}\n");
    assert_eq!(both, clef);
    assert_eq!(logfmt, "ts=1970-01-01T00:00:00.000000000Z level=info target=t a=1\n");
    for event in [Event::new(Level::Info, "t", ""), new_event!(Level::Info, target: "t", "{a}", a = "")] {
        let [json, clef, _, logfmt] = lines(&event);
        assert!(json.contains(r#","message":"""#), "{json}");
        assert!(clef.contains(r#","@m":"""#) || clef.contains(r#","@mt":"{a}""#), "{clef}");
        assert!(logfmt.contains(r#" msg="""#), "{logfmt}");
    }
    let without = Json::new().without(Key::Timestamp).without(Key::Level).without(Key::Target);
    assert_eq!(write(&mut without.clone(), &new_event!(Level::Info, "", message = 1)), "{\"message_\":1}\n");
    assert_eq!(write(&mut without.clone(), &new_event!(Level::Info, "")), "{}\n");
    assert_eq!(
        write(&mut without.without(Key::Message), &new_event!(Level::Info, "m", message = 1)),
        "{\"message\":1}\n"
    );
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_f32_is_written_so_that_it_reads_back_as_one(float in any::<f32>()) {
        prop_assume!(float.is_finite());
        let event = event("m").with("v", float);
        for written in written(&event) {
            prop_assert_eq!(written.parse::<f32>().unwrap().to_bits(), float.to_bits());
        }
        let message = new_event!(Level::Info, "{v}", v = float).message().to_string();
        prop_assert_eq!(message.parse::<f32>().unwrap().to_bits(), float.to_bits());
    }

    #[test]
    fn any_finite_float_is_written_exactly(float in any::<f64>()) {
        prop_assume!(float.is_finite());
        prop_assert_eq!(float_in_json(float).to_bits(), float.to_bits());
    }
}
