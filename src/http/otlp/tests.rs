//! A test's thread: what a receiver decodes of a request is what was logged.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Decoded;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::event::{Batch, Event, EventId, Level, SharedFields, err};
use crate::http::HttpSink;
use crate::new_event;
use crate::sink::{Encoded, RequestSink};

fn encoded(sink: &HttpSink<Otlp>, batch: &Batch) -> (Encoded, ExportLogsServiceRequest) {
    let mut body = Vec::new();
    let encoded = sink.encode(batch, &mut body);
    (encoded, ExportLogsServiceRequest::decode(&body[..]).expect("a request"))
}

fn sink(otlp: Otlp) -> HttpSink<Otlp> {
    HttpSink::new("http://localhost/v1/logs", otlp).gzip(false)
}

fn batch(events: Vec<Event>) -> Batch {
    Batch::new(events.into(), None, EventId::ZERO)
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, Option<Decoded>> {
    let pair = |pair: &KeyValue| (pair.key.clone(), pair.value.clone().and_then(|value| value.value));
    let map: BTreeMap<_, _> = attributes.iter().map(pair).collect();
    assert_eq!(map.len(), attributes.len(), "every name once: {attributes:?}");
    map
}

/// The scope and the record of each event.
fn records(request: &ExportLogsServiceRequest) -> Vec<(String, LogRecord)> {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let of_scope = |scope: &opentelemetry_proto::tonic::logs::v1::ScopeLogs| {
        let name = scope.scope.clone().unwrap_or_default().name;
        scope.log_records.iter().map(move |record| (name.clone(), record.clone())).collect::<Vec<_>>()
    };
    scopes.flat_map(of_scope).collect()
}

fn string(text: &str) -> Option<Decoded> {
    Some(Decoded::StringValue(text.into()))
}

#[test]
fn an_event_has_its_parts_where_opentelemetry_has_them() {
    let error = std::io::Error::other("disk full");
    let event = new_event!(target: "shop::pay", Level::Warn, "user {user} paid {cents,5}", user = "ada", cents = 950,
        ok = true, share = 0.5, small = -7, none = Value::Null, raw = Value::Bytes(&[0, 255]), big = u64::MAX,
        error = err(&error), trace_id = "0af7651916cd43dd8448eb211c80319c", span_id = "b7ad6b7169203331");
    let event = event.with_timestamp(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234));
    let (encoded, request) = encoded(&sink(Otlp::new().resource("service.name", "shop")), &batch(vec![event]));
    assert_eq!(encoded, Encoded::first(1));
    let resource = request.resource_logs[0].resource.clone().unwrap();
    assert_eq!(attributes(&resource.attributes), [("service.name".to_owned(), string("shop"))].into());
    let (scope, record) = records(&request).remove(0);
    assert_eq!(scope, "shop::pay");
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (1_234, 1_234));
    assert_eq!((record.severity_number, &*record.severity_text), (13, "WARN"));
    assert_eq!(record.body.unwrap().value, string("user ada paid   950"));
    assert_eq!(record.trace_id, 0x0af7651916cd43dd8448eb211c80319c_u128.to_be_bytes());
    assert_eq!(record.span_id, 0xb7ad6b7169203331_u64.to_be_bytes());
    let mut found = attributes(&record.attributes);
    assert!(matches!(found.remove("code.line.number"), Some(Some(Decoded::IntValue(1..)))));
    assert_eq!(found.remove("code.file.path"), Some(string("src/http/otlp/tests.rs")));
    let expected = [
        ("message_template.text", string("user {user} paid {cents,5}")),
        ("user", string("ada")),
        ("cents", Some(Decoded::IntValue(950))),
        ("ok", Some(Decoded::BoolValue(true))),
        ("share", Some(Decoded::DoubleValue(0.5))),
        ("small", Some(Decoded::IntValue(-7))),
        ("none", None),
        ("raw", Some(Decoded::BytesValue(vec![0, 255]))),
        ("big", string("18446744073709551615")),
        ("error", string("disk full")),
        ("exception.message", string("disk full")),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)).into());
}

#[test]
fn every_level_has_its_number() {
    let events = Level::ALL.map(|level| Event::new(level, "t", "m")).to_vec();
    let (_, request) = encoded(&sink(Otlp::new()), &batch(events));
    let numbers: Vec<_> = records(&request).iter().map(|(_, record)| record.severity_number).collect();
    assert_eq!(numbers, [1, 5, 9, 13, 17, 21]);
}

#[test]
fn events_of_one_target_and_one_enrichment_share_them() {
    let enrichment = |n: u64| Some(Arc::new(SharedFields::extend(None, "host", Value::U64(n))));
    let part = |n: u64, targets: &[&str]| {
        let events: Vec<Event> = targets.iter().map(|target| Event::new(Level::Info, target, "m")).collect();
        Batch::new(events.into(), enrichment(n), EventId::ZERO.plus(n))
    };
    let all = Batch::concat(vec![part(10, &["a", "a", "b", "a"]), part(20, &["a"])]);
    let otlp = Otlp::new().resource("host", "hidden").resource("region", "eu").resource("service.name", "s");
    let (_, request) = encoded(&sink(otlp), &all);
    type Shape = (Option<Decoded>, Vec<(String, usize)>);
    let shape: Vec<Shape> = request
        .resource_logs
        .iter()
        .map(|resource| {
            let mut shared = attributes(&resource.resource.clone().unwrap().attributes);
            assert_eq!((shared.len(), shared.remove("region")), (3, Some(string("eu"))));
            let scopes = resource.scope_logs.iter();
            let scopes = scopes.map(|scope| (scope.scope.clone().unwrap().name, scope.log_records.len()));
            (shared.remove("host").unwrap(), scopes.collect())
        })
        .collect();
    let expected = [
        (Some(Decoded::IntValue(10)), vec![("a".into(), 2), ("b".into(), 1), ("a".into(), 1)]),
        (Some(Decoded::IntValue(20)), vec![("a".into(), 1)]),
    ];
    assert_eq!(shape, expected);
    assert!(records(&request).iter().all(|(_, record)| !attributes(&record.attributes).contains_key("host")));
}

#[test]
fn a_field_with_the_name_of_an_attribute_gets_another_one_and_an_id_that_is_none_stays_a_field() {
    let event = Event::new(Level::Info, "t", "m").with("code.file.path", "mine").with("code.file.path_", "too");
    let event = event.with("trace_id", "0".repeat(32)).with("span_id", "B7AD6B7169203331").with("log.record.uid", 1);
    let (_, request) = encoded(&sink(Otlp::new().record_uid(true)), &batch(vec![event]));
    let (_, record) = records(&request).remove(0);
    let found = attributes(&record.attributes);
    assert_eq!(found["code.file.path__"], string("mine"));
    assert_eq!(found["code.file.path_"], string("too"));
    assert_eq!(found["log.record.uid"], string(&EventId::ZERO.to_string()));
    assert_eq!((&found["trace_id"], &found["span_id"]), (&string(&"0".repeat(32)), &string("B7AD6B7169203331")));
    assert!(record.trace_id.is_empty() && record.span_id.is_empty());
}

#[test]
fn a_service_without_a_name_has_that_of_the_logger_or_of_the_program() {
    let name = |sink: &HttpSink<Otlp>| {
        let (_, request) = encoded(sink, &batch(vec![Event::new(Level::Info, "t", "m")]));
        let attributes = attributes(&request.resource_logs[0].resource.clone().unwrap().attributes);
        match attributes["service.name"].clone() {
            Some(Decoded::StringValue(name)) => name,
            other => panic!("{other:?}"),
        }
    };
    let sink = sink(Otlp::new());
    assert!(name(&sink).starts_with("unknown_service:logweir-"), "{}", name(&sink));
    sink.set_logger("shop");
    assert_eq!(name(&sink), "shop");
}

#[test]
fn a_partial_success_rejects_so_many_with_the_words_of_the_receiver() {
    let response = |rejected_log_records, error_message: &str| {
        let partial = ExportLogsPartialSuccess { rejected_log_records, error_message: error_message.into() };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    };
    let partial_success = |body: &[u8]| {
        partial_success(&HttpResponse {
            status: 200,
            headers: &hyper::HeaderMap::new(),
            body,
            secrets: &["old".into()],
        })
    };
    let answer = partial_success(&response(3, "too old"));
    assert_eq!(answer.rejected_unnamed, 3);
    assert_eq!(answer.error.unwrap().into_source().to_string(), "3 events rejected: too ***");
    let warning = partial_success(&response(0, "a warning"));
    assert_eq!(warning.rejected_unnamed, 0);
    assert_eq!(warning.error.unwrap().into_source().to_string(), "0 events rejected: a warning");
    for body in [&[][..], &response(-1, ""), b"garbage", &[0x0a, 0xff], &[0x0a, 0x7f, 1]] {
        let answer = partial_success(body);
        assert_eq!((answer.rejected_unnamed, answer.error.is_none()), (0, true), "{body:?}");
    }
}

/// A value, and what a receiver decodes of it.
fn value() -> impl Strategy<Value = (Owned, Option<Decoded>)> {
    let int = |v: i128| match i64::try_from(v) {
        Ok(v) => Some(Decoded::IntValue(v)),
        Err(_) => string(&v.to_string()),
    };
    prop_oneof![
        any::<i64>().prop_map(move |v| (Owned::I64(v), int(v.into()))),
        any::<u64>().prop_map(move |v| (Owned::U64(v), int(v.into()))),
        any::<i128>().prop_map(move |v| (Owned::I128(v), int(v))),
        any::<f64>()
            .prop_filter("equal to itself", |v| !v.is_nan())
            .prop_map(|v| (Owned::F64(v), Some(Decoded::DoubleValue(v)))),
        any::<bool>().prop_map(|v| (Owned::Bool(v), Some(Decoded::BoolValue(v)))),
        ".{0,40}".prop_map(|v| (Owned::Text(v.clone()), string(&v))),
        (100..20_000_usize).prop_map(|len| (Owned::Text("x".repeat(len)), string(&"x".repeat(len)))),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|v| (Owned::Bytes(v.clone()), Some(Decoded::BytesValue(v)))),
        Just((Owned::Null, None)),
    ]
}

#[derive(Clone, Debug)]
enum Owned {
    I64(i64),
    U64(u64),
    I128(i128),
    F64(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

impl Owned {
    fn on(&self, event: Event, name: &str) -> Event {
        match self {
            Owned::I64(v) => event.with(name, *v),
            Owned::U64(v) => event.with(name, *v),
            Owned::I128(v) => event.with(name, *v),
            Owned::F64(v) => event.with(name, *v),
            Owned::Bool(v) => event.with(name, *v),
            Owned::Text(v) => event.with(name, v.as_str()),
            Owned::Bytes(v) => event.with(name, Value::Bytes(v)),
            Owned::Null => event.with(name, Value::Null),
        }
    }
}

type Fields = Vec<((Owned, Option<Decoded>), String)>;

proptest! {
    #[test]
    fn a_receiver_decodes_every_event_of_every_request(
        events in prop::collection::vec(
            (prop::sample::select(vec!["a", "a::b", ""]), ".{0,30}", prop::collection::vec((value(), "[a-z]{1,8}"), 0..6)),
            1..30,
        ),
        request_bytes in 300..20_000_usize,
    ) {
        let make = |(target, message, fields): &(&str, String, Fields)| {
            let event = Event::new(Level::Info, target, message);
            fields.iter().fold(event, |event, ((value, _), name)| value.on(event, name))
        };
        let mut rest = batch(events.iter().map(make).collect());
        let limits = HttpLimits::default().request_bytes(request_bytes);
        let sink = sink(Otlp::new().resource("service.name", "s")).limits(limits);
        let (mut decoded, mut refused) = (Vec::new(), Vec::new());
        let mut first = 0;
        while !rest.is_empty() {
            let mut body = Vec::new();
            let encoded = sink.encode(&rest, &mut body);
            prop_assert!(encoded.events > 0 && body.len() <= request_bytes, "{} of {request_bytes}", body.len());
            let request = ExportLogsServiceRequest::decode(&body[..]).expect("a request");
            decoded.extend(records(&request));
            refused.extend(encoded.refused.iter().map(|(index, _)| first + index));
            first += encoded.events;
            rest = rest.skip(encoded.events);
        }
        let expected: Vec<_> = events.iter().enumerate().filter(|(index, _)| !refused.contains(index)).collect();
        prop_assert_eq!(decoded.len(), expected.len());
        for ((scope, record), (_, (target, message, fields))) in decoded.iter().zip(expected) {
            prop_assert_eq!(scope, target);
            let body = record.body.clone().and_then(|body| body.value);
            prop_assert_eq!(body, string(message));
            let mut values = BTreeMap::new();
            for ((_, value), name) in fields {
                // Of equal names the last one has effect.
                values.insert(name.clone(), value.clone());
            }
            prop_assert_eq!(attributes(&record.attributes), values);
        }
        // Only what has no room alone is refused.
        for index in refused {
            let mut body = Vec::new();
            let alone = sink.encode(&batch(vec![make(&events[index])]), &mut body);
            prop_assert_eq!(alone.refused.len(), 1);
        }
    }
}

#[test]
fn a_request_is_refused_as_a_whole_and_not_searched() {
    let headers = hyper::HeaderMap::new();
    for (status, is_whole, is_again) in [
        (400, true, false),
        (422, true, false),
        (408, true, false),
        (500, true, false),
        (429, false, true),
        (502, false, true),
        (503, false, true),
        (504, false, true),
    ] {
        let answer = Otlp::new().answer(&HttpResponse { status, headers: &headers, body: b"why", secrets: &[] }, 1);
        assert_eq!(answer.is_whole, is_whole, "{status}");
        assert_eq!(matches!(answer.rest, crate::sink::RestVerdict::Again), is_again, "{status}");
    }
}
