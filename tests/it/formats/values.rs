//! Values in a line read back as they were.

use logweir::{Value, err};
use proptest::prelude::*;
use serde_json::json;

use super::{Failed, event, json, raw_json, text};
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

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_finite_float_is_written_exactly(float in any::<f64>()) {
        prop_assume!(float.is_finite());
        prop_assert_eq!(float_in_json(float).to_bits(), float.to_bits());
    }
}
