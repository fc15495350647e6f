//! A test's thread: what truncation leaves, and what the reader makes of bytes that are no encoding.

use proptest::prelude::*;

use super::*;
use crate::event::{Event, Level};

fn encoded(values: &[Value<'_>]) -> EncodedFields {
    let mut encoded = EncodedFields::new(0);
    for value in values {
        encoded.push(*value);
    }
    encoded
}

fn raw(bytes: &[u8]) -> EncodedFields {
    let mut encoded = EncodedFields::new(0);
    encoded.append(bytes);
    encoded
}

fn cut(mut encoded: EncodedFields, max: usize, names: usize) -> EncodedFields {
    encoded.truncate_to(max, names);
    assert!(encoded.bytes().len() <= max, "{} bytes of at most {max}", encoded.bytes().len());
    encoded
}

fn values_of(encoded: &EncodedFields) -> Vec<Value<'_>> {
    Reader::new(encoded.bytes()).collect()
}

#[test]
fn the_longest_text_is_cut_and_nothing_else() {
    let (long, short) = ("x".repeat(500), "y".repeat(400));
    let all = encoded(&[Value::Str(&short), Value::U64(1), Value::Debug(&long), Value::Bool(true)]);
    let cut = cut(all, 600, 4);
    let [Value::Str(first), Value::U64(1), Value::Debug(second), Value::Bool(true)] = values_of(&cut)[..] else {
        panic!("{:?}", values_of(&cut))
    };
    assert_eq!(first, short);
    // The header of 5 bytes became one of 2, which is not released.
    assert_eq!((second, cut.bytes().len()), (&long[..180], 597));
    assert!(cut.heap_bytes() <= 597 + size_of::<Vec<u8>>(), "the spare room was given back");
}

#[test]
fn a_text_is_cut_between_characters() {
    for max in 0..64 {
        let text = "a€".repeat(20);
        let cut = cut(encoded(&[Value::Str(&text)]), max, 1);
        match values_of(&cut)[..] {
            [Value::Str(kept)] => assert!(text.starts_with(kept) && kept.len() + 2 <= max),
            [] => assert!(max < 2),
            ref others => panic!("{others:?}"),
        }
    }
    let bytes = [0x80; 50];
    assert_eq!(values_of(&cut(encoded(&[Value::Bytes(&bytes)]), 12, 1)), [Value::Bytes(&bytes[..10])]);
}

#[test]
fn cut_json_and_cut_chains_become_text() {
    let json = format!("[{}]", "1,".repeat(200));
    let json_cut = cut(encoded(&[Value::Json(&json)]), 50, 1);
    assert!(matches!(values_of(&json_cut)[..], [Value::Str(text)] if text == &json[..text.len()]));

    let error = std::io::Error::other("x".repeat(300));
    let error_cut = cut(encoded(&[crate::err(&error)]), 50, 1);
    assert!(matches!(values_of(&error_cut)[..], [Value::Str(text)] if text.len() <= 48 && text.starts_with("xxx")));
}

#[test]
fn numbers_over_the_limit_lose_the_last_whole_values() {
    let cut_numbers = cut(encoded(&[Value::U64(1), Value::I128(2), Value::Null, Value::U64(3)]), 30, 4);
    assert_eq!(values_of(&cut_numbers), [Value::U64(1), Value::I128(2), Value::Null]);
    assert_eq!(values_of(&cut(encoded(&[Value::U64(1)]), 8, 1)).len(), 0);
}

#[test]
fn names_are_not_cut_but_lost_with_their_values_and_cost_the_others_nothing() {
    let mut fields = encoded(&[Value::U64(1)]);
    fields.push_named("short", Value::Str("text"));
    fields.push_named(&"n".repeat(100), Value::U64(2));
    let fields = cut(fields, 40, 1);
    let layer = FieldLayer { names: &["a"], values: Reader::new(fields.bytes()) };
    assert_eq!(layer.collect::<Vec<_>>(), [("a", Value::U64(1)), ("short", Value::Str("text"))]);
}

#[test]
fn an_event_over_the_limit_is_flagged_and_readable() {
    let message = "m".repeat(1000);
    let mut event = Event::new(Level::Error, "target", &message).with("a", 1);
    assert!(!event.limit(2000));
    assert!(!event.is_truncated());
    assert!(event.limit(200));
    assert!(event.is_truncated());
    assert_eq!((event.level(), event.target()), (Level::Error, "target"));
    assert!(message.starts_with(&event.message().to_string()));
    assert_eq!(event.fields().collect::<Vec<_>>(), [("a", Value::I64(1))]);

    assert!(event.limit(0), "even to nothing");
    assert_eq!((event.level(), event.fields().count(), event.message().to_string()), (Level::Error, 0, "".into()));
    assert_eq!(event.spilled_bytes(), 0);
}

/// Values of a call site, then pairs, encoded; with the number of the former.
fn any_encoded() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let value = (0..9_u8, 0..400_usize).prop_map(|(kind, len)| {
        let text = "aü€🦀".repeat(len / 10);
        let error = std::io::Error::other(text.clone());
        let value = match kind {
            0 => Value::Null,
            1 => Value::U64(len as u64),
            2 => Value::I128(len as i128),
            3 if len % 2 == 0 => Value::F32(len as f32),
            3 => Value::F64(len as f64),
            4 => Value::Json(&text),
            5 => Value::Debug(&text),
            6 => Value::Bytes(text.as_bytes()),
            7 => Value::Str(&text),
            _ => crate::err(&error),
        };
        encoded(&[value]).bytes().to_vec()
    });
    let pair = (".{0,60}", value.clone())
        .prop_map(|(name, value)| [encoded(&[Value::Str(name.as_str())]).bytes(), &value].concat());
    (prop::collection::vec(value, 0..8), prop::collection::vec(pair, 0..8))
        .prop_map(|(values, pairs)| ([values.concat(), pairs.concat()].concat(), values.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_cut_is_over_its_limit_and_what_is_left_are_fields_in_their_order_without_those_of_long_names(
        (whole, names) in any_encoded(),
        max in 0..3000_usize,
    ) {
        const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let names = &NAMES[..names];
        let shorter = cut(raw(&whole), max, names.len());
        let mut before = FieldLayer { names, values: Reader::new(&whole) }.collect::<Vec<_>>();
        if whole.len() > max {
            let mut index = 0;
            before.retain(|(name, _)| {
                index += 1;
                index <= names.len() || name.len() <= max / 4
            });
        }
        let after = FieldLayer { names, values: Reader::new(shorter.bytes()) }.collect::<Vec<_>>();
        prop_assert!(after.len() <= before.len());
        for ((name, value), (name_before, value_before)) in after.iter().zip(&before) {
            prop_assert_eq!(name, name_before);
            let (text, text_before) = (value.to_string(), value_before.to_string());
            prop_assert!(text_before.starts_with(&text), "{:?} is no part of {:?}", text, text_before);
        }
        if whole.len() <= max {
            prop_assert_eq!(shorter.bytes(), whole);
        }
    }

    #[test]
    fn bytes_that_are_no_encoding_end_the_reader_and_do_not_panic(
        bytes in prop::collection::vec(prop_oneof![0..16_u8, 0x80..0x90_u8, any::<u8>()], 0..200),
        names in 0..6_usize,
        max in 0..200_usize,
    ) {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let layer = FieldLayer { names: &NAMES[..names], values: Reader::new(&bytes) };
        for (_, value) in layer {
            prop_assert!(value.to_string().len() <= 3 * bytes.len() + 64);
        }
        let (mut read, mut skipped) = (Reader::new(&bytes), Reader::new(&bytes));
        while read.next().is_some() {
            prop_assert!(skipped.skip_value().is_some());
            prop_assert_eq!(read.rest, skipped.rest);
        }
        prop_assert!(skipped.skip_value().is_none());
        cut(raw(&bytes), max, names);
    }
}
