//! A test's thread: an event that was stored is the same one.

use proptest::prelude::*;

use super::*;
use crate::event::{Level, Value, err};
use crate::format::{Clef, Format, Json, Logfmt, Text};
use crate::new_event;

/// Some value, owned.
#[derive(Clone, Debug)]
enum Any {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    I128(i128),
    U128(u128),
    Text(String),
    Debug(String),
    Bytes(Vec<u8>),
    Error(String),
}

impl Any {
    fn on(&self, event: Event, name: &str) -> Event {
        match self {
            Any::Null => event.with(name, Value::Null),
            Any::Bool(v) => event.with(name, *v),
            Any::I64(v) => event.with(name, *v),
            Any::U64(v) => event.with(name, *v),
            Any::F32(v) => event.with(name, *v),
            Any::F64(v) => event.with(name, *v),
            Any::I128(v) => event.with(name, *v),
            Any::U128(v) => event.with(name, *v),
            Any::Text(v) => event.with(name, v.as_str()),
            Any::Debug(v) => event.with(name, Value::Debug(v)),
            Any::Bytes(v) => event.with(name, Value::Bytes(v)),
            Any::Error(v) => event.with(name, err(&std::io::Error::other(v.clone()))),
        }
    }
}

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        Just(Any::Null),
        any::<bool>().prop_map(Any::Bool),
        any::<i64>().prop_map(Any::I64),
        any::<u64>().prop_map(Any::U64),
        any::<f32>().prop_map(Any::F32),
        any::<f64>().prop_map(Any::F64),
        any::<i128>().prop_map(Any::I128),
        any::<u128>().prop_map(Any::U128),
        ".{0,40}".prop_map(Any::Text),
        "[a-z\"\n]{0,400}".prop_map(Any::Debug),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Any::Bytes),
        ".{0,40}".prop_map(Any::Error),
    ]
}

/// An event of one of several kinds: of a call site with a template, of one without a hole, or of none.
fn event() -> impl Strategy<Value = Event> {
    let fields = prop::collection::vec((any_value(), "[a-z]{1,6}"), 0..6);
    (0..4_usize, any::<u64>(), 0..6_usize, fields, any::<bool>()).prop_map(|(kind, number, level, fields, has_time)| {
        let level = Level::ALL[level];
        let event = match kind {
            0 => new_event!(
                Level::Info,
                "paid {n:x} to {whom,12}, {share:.2}",
                n = number,
                whom = "so\nmeone",
                share = 0.1
            ),
            1 => new_event!(target: "another", Level::Error, "{{braces}}"),
            2 => Event::new(level, "dynamic", "message {n}").with_source(Some("m"), None, Some(7)),
            _ => Event::new(level, "", ""),
        };
        let event = fields.iter().fold(event, |event, (value, name)| value.on(event, name));
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(number);
        if has_time { event.with_timestamp(time) } else { event }
    })
}

fn context(text: &str) -> Arc<SharedFields> {
    Arc::new(SharedFields::extend(Some(&SharedFields::extend(None, "n", Value::U64(1))), "text", text.into()))
}

/// What formats write, and all that a batch says beside it.
fn written(batch: &Batch) -> Vec<Vec<u8>> {
    let mut formats: Vec<Box<dyn Format>> =
        vec![Box::new(Json::new()), Box::new(Clef::new()), Box::new(Logfmt::new()), Box::new(Text::new())];
    #[cfg(feature = "pretty")]
    formats.push(Box::new(crate::format::Pretty::new()));
    let mut all = Vec::new();
    for record in batch.iter() {
        for format in &mut formats {
            let mut line = Vec::new();
            format.format(&record, &mut line);
            all.push(line);
        }
        let event = record.event();
        let beside: Vec<_> = record.fields_beside_message().collect();
        let more =
            (record.id(), event.timestamp(), event.template(), event.module(), event.file(), event.line(), beside);
        all.push(format!("{more:?} {}", event.is_truncated()).into_bytes());
    }
    all
}

proptest! {
    #[test]
    fn every_format_writes_the_same_bytes_for_an_event_and_its_restored_copy(
        events in prop::collection::vec((event(), 0..3_usize), 1..20),
        enriched in any::<bool>(),
        first in any::<[u8; 10]>(),
        keep in any::<u32>(),
    ) {
        let contexts = [None, Some(context("a")), Some(context(&"b".repeat(300)))];
        let events: Vec<Event> =
            events.into_iter().map(|(event, which)| Event { context: contexts[which].clone(), ..event }).collect();
        let all = Batch::new(events.into(), enriched.then(|| context("enrichment")), EventId::first_of(first).plus(7));
        let kept: Vec<u32> = (0..all.len() as u32).filter(|index| keep >> index & 1 == 1).collect();
        for batch in [all.clone(), all.pick(&kept), all.pick(&kept).copied(), all.skip(all.len() / 2)] {
            if batch.is_empty() {
                continue;
            }
            let mut stored = Vec::new();
            store(&batch, &mut stored);
            let restored = restore(&stored).expect("it is what was stored");
            prop_assert_eq!(written(&restored), written(&batch));
            let mut again = Vec::new();
            store(&restored, &mut again);
            prop_assert_eq!(again, stored, "a restored batch is stored in the same bytes");
        }
    }

    #[test]
    fn whatever_the_bytes_are_they_are_restored_or_refused(
        events in prop::collection::vec(event(), 1..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut stored = Vec::new();
        store(&Batch::new(events.into(), Some(context("e")), EventId::ZERO), &mut stored);
        let at = at.index(stored.len());
        prop_assert!(restore(&stored[..at]).is_err(), "cut");
        stored[at] = byte;
        // A checksum finds what this does not.
        if let Ok(batch) = restore(&stored) {
            written(&batch);
        }
    }
}
