//! The corpus in every format, and what it is, for readers that nobody here wrote: `tests/e2e/formats.sh`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use logweir::event::Record;
use logweir::format::{Clef, ClefMessage, DottedKeys, Json, Key, Logfmt, Text};
use logweir::{Event, Format, Level, Value, err, new_event};
use serde_json::json;

use super::{Failed, corpus, event};

/// Where the files go. Without it there is nobody to read them.
const FOLDER: &str = "LOGWEIR_TEST_FORMATS";

/// Every text as everything that a text can be.
fn texts() -> impl Iterator<Item = Event> {
    corpus().into_iter().zip(Level::ALL.into_iter().cycle()).map(|(evil, level)| {
        let error = Failed(evil.clone(), Some(Box::new(Failed(evil.clone(), None))));
        Event::new(level, &evil, &evil)
            .with("value", &evil)
            .with(&evil, "name")
            .with("debug", Value::Debug(&evil))
            .with("no document", Value::Json(&evil))
            .with("document", Value::Json(&serde_json::to_string(&evil).unwrap_or_default()))
            .with("error", err(&error))
            .with("bytes", evil.as_bytes())
    })
}

fn numbers() -> Event {
    let floats = [
        ("tenth", 0.1),
        ("negative_zero", -0.0),
        ("tiny", 5e-324),
        ("huge", f64::MAX),
        ("third", 1.0 / 3.0),
        ("whole", 1e21),
        ("nan", f64::NAN),
        ("up", f64::INFINITY),
        ("down", f64::NEG_INFINITY),
    ];
    let event = event("numbers")
        .with("null", ())
        .with("yes", true)
        .with("no", false)
        .with("i64", i64::MIN)
        .with("u64", u64::MAX)
        .with("safe", (1_u64 << 53) - 1)
        .with("narrow", -5_i128)
        .with("i128", i128::MIN)
        .with("u128", u128::MAX);
    let event = floats.into_iter().fold(event, |event, (name, float)| event.with(name, float));
    let narrow = [("f32", 0.1), ("f32_third", 1.0 / 3.0), ("f32_most", f32::MAX), ("f32_up", f32::INFINITY)];
    narrow.into_iter().fold(event, |event, (name, float): (_, f32)| event.with(name, float))
}

fn bytes() -> Event {
    let all: Vec<u8> = (0..=255).collect();
    event("bytes")
        .with("none", [0_u8; 0])
        .with("no_utf8", [0xC3_u8, 0x28, 0xFF, 0xFE, 0x00])
        .with("all", &all)
        .with("long", vec![0xF0_u8; 100_000])
}

fn names() -> impl Iterator<Item = Event> {
    let reserved = [
        "timestamp",
        "level",
        "target",
        "message",
        "truncated",
        "ts",
        "msg",
        "@t",
        "@mt",
        "@x",
        "@@",
        "@",
        "SourceContext",
    ];
    let dotted =
        ["http.status", "user", "http.route.id", "a.b", "a", "level.x", ".", "..", "x.", ".x", "a.b.c.d", "%", "a b"];
    let named =
        |names: &[&str]| names.iter().enumerate().fold(event("names"), |event, (at, name)| event.with(name, at));
    let marked = reserved.iter().fold(named(&reserved), |event, name| event.with(&format!("{name}_"), *name));
    let deep = (0..100).fold(event("deep"), |event, at| event.with(&format!("{}{at}", "n.".repeat(at)), at));
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    [named(&dotted), marked, deep, event("nested").with("a.b.c", Value::Json(&nested))].into_iter()
}

fn sites() -> [Event; 4] {
    let (trace_id, span_id) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    [
        new_event!(Level::Info, target: "shop", "user {user} paid {cents:.2}, {{}} {n:x} {n,8}", user = "a\"b", cents = 9.5, n = 255),
        new_event!(Level::Fatal, target: "shop", "nothing in it", "@t" = "mine", level = 1, trace_id, span_id),
        new_event!(Level::Debug, target: "", "{trace_id}", trace_id = "no id", span_id = 7),
        new_event!(Level::Trace, target: "é", "{e:e} {x:X}", e = 1234.5, x = [0xAB_u8]),
    ]
}

/// The event in a form of which nothing here is an author, with the types that JSON has not.
fn expected(event: &Event) -> serde_json::Value {
    let field = |(name, value): (&str, Value<'_>)| {
        let (kind, value) = match value {
            Value::Null => ("null", json!(null)),
            Value::Bool(v) => ("bool", json!(v)),
            Value::F32(v) => ("float32", json!(format!("{:016x}", f64::from(v).to_bits()))),
            Value::F64(v) => ("float", json!(format!("{:016x}", v.to_bits()))),
            Value::Str(v) | Value::Debug(v) => ("text", json!(v)),
            Value::Bytes(v) => ("bytes", json!(v.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
            Value::Json(v) => ("json", json!(v)),
            Value::Error(chain) => ("error", json!(chain.messages().collect::<Vec<_>>())),
            integer => ("integer", json!(integer.to_string())),
        };
        json!([name, kind, value])
    };
    json!({
        "nanos": event.timestamp().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        "level": event.level().as_str(),
        "target": event.target(),
        "module": event.module(),
        "file": event.file(),
        "line": event.line(),
        "message": event.message().to_string(),
        "template": event.template(),
        "fields": event.fields().map(field).collect::<Vec<_>>(),
    })
}

fn write(folder: &Path, name: &str, mut format: impl Format, events: &[Event]) {
    let mut out = Vec::new();
    // Twice: the second time call sites are known.
    for event in events.iter().chain(events) {
        format.format(&Record::from(event), &mut out);
    }
    fs::write(folder.join(name), out).expect("the folder takes files");
}

#[test]
fn the_corpus_is_written_for_other_readers() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let events: Vec<Event> = texts().chain([numbers(), bytes()]).chain(names()).chain(sites()).collect();
    let mut file = File::create(folder.join("expected")).expect("the folder takes files");
    for event in events.iter().chain(&events) {
        writeln!(file, "{}", expected(event)).expect("the file takes lines");
    }
    let renamed = Json::new()
        .key(Key::Timestamp, "@timestamp")
        .key(Key::Level, "log.level")
        .key(Key::Message, "msg")
        .key(Key::Module, "module")
        .key(Key::File, "file")
        .key(Key::Line, "line")
        .without(Key::Target);
    write(folder, "json", Json::new(), &events);
    write(folder, "renamed", renamed, &events);
    write(folder, "nested", Json::new().dotted(DottedKeys::Nested), &events);
    write(folder, "clef", Clef::new(), &events);
    write(folder, "rendered", Clef::new().message(ClefMessage::Rendered), &events);
    write(folder, "logfmt", Logfmt::new(), &events);
    write(folder, "text", Text::new(), &events);
    #[cfg(feature = "pretty")]
    write(folder, "pretty", logweir::format::Pretty::new(), &events);
}
