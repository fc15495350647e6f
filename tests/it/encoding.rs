//! What goes into an event comes out of it: at every fill of the inline buffer, at every length, past the spill.

use std::fmt;

use logweir::event::ToValue;
use logweir::{Event, Level, Value, err, new_event};
use proptest::prelude::*;

use crate::support::cases;

/// The inline buffer holds 94 bytes; a few more, so that the spill is passed in every way.
const FILLS: std::ops::RangeInclusive<usize> = 0..=100;
/// Around the lengths at which a text's encoding changes: empty, the rest of the buffer, a byte's worth, far beyond.
const LENGTHS: [usize; 29] = [
    0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 89, 90, 91, 92, 93, 94, 95, 96, 97, 127, 128, 253, 254, 255, 256, 257,
    1000,
];

/// A value that owns what it holds.
#[derive(Clone, Debug)]
enum Sample {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F32(f32),
    F64(f64),
    Str(String),
    Debug(String),
    Json(String),
    Bytes(Vec<u8>),
    Error(Box<Chain>),
}

#[derive(Clone, Debug)]
struct Chain {
    message: String,
    source: Option<Box<Chain>>,
}

impl Chain {
    fn new(messages: &[String]) -> Option<Box<Chain>> {
        let (first, rest) = messages.split_first()?;
        Some(Box::new(Chain { message: first.clone(), source: Chain::new(rest) }))
    }

    fn messages(&self) -> Vec<&str> {
        std::iter::successors(Some(self), |chain| chain.source.as_deref()).map(|chain| &*chain.message).collect()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl ToValue for Sample {
    fn to_value(&self) -> Value<'_> {
        match self {
            Sample::Null => Value::Null,
            Sample::Bool(v) => Value::Bool(*v),
            Sample::I64(v) => Value::I64(*v),
            Sample::U64(v) => Value::U64(*v),
            Sample::I128(v) => Value::I128(*v),
            Sample::U128(v) => Value::U128(*v),
            Sample::F32(v) => Value::F32(*v),
            Sample::F64(v) => Value::F64(*v),
            Sample::Str(v) => Value::Str(v),
            Sample::Debug(v) => Value::Debug(v),
            Sample::Json(v) => Value::Json(v),
            Sample::Bytes(v) => Value::Bytes(v),
            Sample::Error(v) => err(&**v),
        }
    }
}

impl Sample {
    /// As `==` on values, but of the same kind to the bit.
    fn is(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Sample::Null, Value::Null) => true,
            (Sample::Bool(a), Value::Bool(b)) => a == b,
            (Sample::I64(a), Value::I64(b)) => a == b,
            (Sample::U64(a), Value::U64(b)) => a == b,
            (Sample::I128(a), Value::I128(b)) => a == b,
            (Sample::U128(a), Value::U128(b)) => a == b,
            (Sample::F32(a), Value::F32(b)) => a.to_bits() == b.to_bits(),
            (Sample::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
            (Sample::Str(a), Value::Str(b)) => a == b,
            (Sample::Debug(a), Value::Debug(b)) => a == b,
            (Sample::Json(a), Value::Json(b)) => a == b,
            (Sample::Bytes(a), Value::Bytes(b)) => a == b,
            (Sample::Error(a), Value::Error(b)) => a.messages().into_iter().eq(b.messages()),
            _ => false,
        }
    }
}

/// Text whose characters take one to four bytes, `len` bytes long.
fn text(len: usize) -> String {
    let mut text: String = "aü€🦀".chars().cycle().take(len).collect();
    while text.len() > len {
        text.pop();
    }
    text.push_str(&"-".repeat(len - text.len()));
    text
}

fn samples() -> Vec<Sample> {
    let numbers = [
        Sample::Null,
        Sample::Bool(true),
        Sample::Bool(false),
        Sample::I64(i64::MIN),
        Sample::U64(u64::MAX),
        Sample::I128(i128::MIN),
        Sample::U128(u128::MAX),
        Sample::F32(f32::NAN),
        Sample::F32(0.1),
        Sample::F64(f64::NAN),
        Sample::F64(-0.0),
    ];
    let texts = LENGTHS.into_iter().flat_map(|len| {
        [
            Sample::Str(text(len)),
            Sample::Debug(text(len)),
            Sample::Json(text(len)),
            Sample::Bytes((0..len).map(|byte| byte as u8).collect()),
            Sample::Error(Chain::new(&[text(len)]).expect("one message")),
            Sample::Error(Chain::new(&[text(len), String::new(), text(len / 2)]).expect("three messages")),
        ]
    });
    numbers.into_iter().chain(texts).collect()
}

/// A value that takes so many bytes when it is encoded.
fn filler(bytes: usize) -> Option<Sample> {
    match bytes {
        0 => None,
        1 => Some(Sample::Null),
        _ => Some(Sample::Bytes(vec![0xAA; bytes - 2])),
    }
}

#[track_caller]
fn assert_fields(event: &Event, expected: &[(&str, &Sample)]) {
    let fields: Vec<_> = event.fields().collect();
    assert_eq!(fields.len(), expected.len(), "{event:?}");
    for ((name, value), (expected_name, sample)) in fields.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!(sample.is(value), "{name} is {value:?}, not {sample:?}");
    }
}

#[test]
fn every_kind_and_length_returns_from_every_fill() {
    let (after, later) = (Sample::U64(u64::MAX / 3), Sample::Str("end".into()));
    let mut combinations = 0;
    for fill in FILLS {
        for sample in samples() {
            let (filler, expected) = (filler(fill), [("v", &sample), ("after", &after), ("later", &later)]);
            let event = match &filler {
                None => new_event!(Level::Info, "", v = sample, after),
                Some(filler) => new_event!(Level::Info, "", filler, v = sample, after),
            };
            let filled = filler.as_ref().map(|filler| ("filler", filler));
            let expected: Vec<_> = filled.into_iter().chain(expected).collect();
            let event = event.with("later", &later);
            assert_fields(&event, &expected);
            assert_fields(&event.clone(), &expected);
            combinations += 1;
        }
    }
    assert!(combinations > 10_000, "{combinations}");
}

#[test]
fn every_formatting_returns_from_every_fill_whatever_pieces_it_comes_in() {
    /// Writes itself in pieces of about so many bytes.
    struct Pieces<'a>(&'a str, usize);
    impl fmt::Display for Pieces<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut rest = self.0;
            while !rest.is_empty() {
                let end = (self.1.max(1)..).find(|&end| end >= rest.len() || rest.is_char_boundary(end));
                let (piece, others) = rest.split_at(end.unwrap_or(rest.len()).min(rest.len()));
                f.write_str(piece)?;
                rest = others;
            }
            Ok(())
        }
    }
    impl fmt::Debug for Pieces<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(self, f)
        }
    }
    let after = Sample::I64(-1);
    for fill in FILLS.skip(1) {
        let filler = filler(fill).expect("a filler of a byte or more");
        for len in LENGTHS {
            let text = text(len);
            let (display, debug) = (Sample::Str(text.clone()), Sample::Debug(text.clone()));
            for piece in [1, 7, 300] {
                let pieces = Pieces(&text, piece);
                let event = new_event!(Level::Info, "", filler, v = %pieces, after);
                assert_fields(&event, &[("filler", &filler), ("v", &display), ("after", &after)]);
                let event = new_event!(Level::Info, "", filler, v = ?pieces, after);
                assert_fields(&event, &[("filler", &filler), ("v", &debug), ("after", &after)]);
            }
        }
    }
}

#[test]
fn names_of_every_length_return_from_every_fill() {
    for fill in FILLS {
        for len in LENGTHS {
            let (name, message) = (text(len), text(fill));
            let event = Event::new(Level::Warn, "t", &message).with(&name, 7_u64).with("last-of-all", ());
            assert_eq!(event.message().to_string(), message);
            assert_fields(&event, &[(&name, &Sample::U64(7)), ("last-of-all", &Sample::Null)]);
        }
    }
}

#[test]
fn a_text_of_megabytes_returns() {
    let long = Sample::Str(text(5 << 20));
    let event = new_event!(Level::Info, "{b}", a = long, b = 1_u64);
    assert_fields(&event, &[("a", &long), ("b", &Sample::U64(1))]);
    assert_eq!(event.message().to_string(), "1");
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let text = || prop_oneof![4 => ".{0,12}", 2 => ".{80,100}", 1 => ".{200,300}"];
    prop_oneof![
        Just(Sample::Null),
        any::<bool>().prop_map(Sample::Bool),
        any::<i64>().prop_map(Sample::I64),
        any::<u64>().prop_map(Sample::U64),
        any::<i128>().prop_map(Sample::I128),
        any::<u128>().prop_map(Sample::U128),
        any::<u32>().prop_map(|bits| Sample::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Sample::F64(f64::from_bits(bits))),
        text().prop_map(Sample::Str),
        text().prop_map(Sample::Debug),
        text().prop_map(Sample::Json),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Sample::Bytes),
        prop::collection::vec(text(), 1..5)
            .prop_map(|messages| Sample::Error(Chain::new(&messages).expect("at least one message"))),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_sequence_of_values_returns(
        target in ".{0,40}",
        message in ".{0,120}",
        file in prop::option::of(".{0,20}"),
        line in any::<Option<u32>>(),
        fields in prop::collection::vec(("[a-f]{1,2}|.{0,300}", any_sample()), 0..24),
    ) {
        let mut event = Event::new(Level::Info, &target, &message).with_source(None, file.as_deref(), line);
        let mut expected: Vec<(&str, &Sample)> = Vec::new();
        for (name, sample) in &fields {
            event = event.with(name, sample);
            match expected.iter_mut().find(|(other, _)| other == name) {
                Some(field) => field.1 = sample,
                None => expected.push((name, sample)),
            }
        }
        assert_fields(&event, &expected);
        prop_assert_eq!(event.target(), target);
        prop_assert_eq!(event.message().to_string(), message);
        prop_assert_eq!(event.file(), file.as_deref().filter(|file| !file.is_empty()));
        prop_assert_eq!((event.line(), event.module()), (line, None));
    }

    #[test]
    fn any_values_of_a_call_site_return(a in any_sample(), b in any_sample(), c in any_sample(), d in any_sample()) {
        let event = new_event!(Level::Debug, "{d}", a, b, text = %b.to_value(), c, d);
        let text = Sample::Str(b.to_value().to_string());
        assert_fields(&event, &[("a", &a), ("b", &b), ("text", &text), ("c", &c), ("d", &d)]);
        prop_assert_eq!(event.message().to_string(), d.to_value().to_string());
    }
}
