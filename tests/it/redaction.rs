//! What is to be hidden is hidden before the queue, whoever named it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use logweir::error::TryEmitError;
use logweir::event::FieldSet;
use logweir::format::{Json, Text};
use logweir::sink::MemorySink;
use logweir::{Builder, Event, Format, Level, Logger, Overflow, Sensitive, fields, in_scope, info, new_event};

use crate::support::{PATIENCE, ScriptedSink, builder, end, start};

const SECRET: &str = "hunter2";

fn redacting() -> Builder<'static> {
    builder().redact(["password", "authorization", "*_token"])
}

async fn end_of(logger: &Logger) {
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert!(!report.timed_out);
}

/// Everything that any format writes of what was kept.
fn written(memory: &MemorySink) -> String {
    let mut out = Vec::new();
    for captured in memory.events() {
        Json::new().format(&captured.record(), &mut out);
        Text::new().format(&captured.record(), &mut out);
        out.extend(format!("{captured:?} {}", captured.message()).into_bytes());
    }
    String::from_utf8(out).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hidden_name_is_masked_wherever_it_comes_from_and_its_value_is_nowhere() {
    let memory = MemorySink::new();
    let enriched = redacting().enrich("a_token", SECRET).enrich_with("b_token", || SECRET).enrich("service", "shop");
    let logger = start(enriched.sink("memory", memory.clone())).await;
    let handle = logger.with("Authorization", SECRET).with_fields(fields![c_token = SECRET, user = "ada"]);
    in_scope(fields![d_token = SECRET, request = 7].with("e_token", SECRET), || {
        info!(logger: handle, "in with {password}", password = SECRET, http.authorization = %SECRET, path = "/", password.value = SECRET);
        logger.emit(
            Event::new(Level::Info, "t", "m").with("f_token", SECRET).with("a.password.b", SECRET).with("kept", "x"),
        );
        handle.emit(new_event!(Level::Info, "{g_token:x}", g_token = ?SECRET).with("PASSWORD", SECRET));
    });
    end_of(&logger).await;
    assert_eq!(memory.select().messages(), ["in with ***", "m", "***"]);
    let text = written(&memory);
    assert!(!text.contains(SECRET), "{text}");
    let fields: Vec<_> = memory.events()[0].fields().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        fields.join(" "),
        "password=*** http.authorization=*** path=/ password.value=*** c_token=*** user=ada Authorization=*** \
        d_token=*** request=7 e_token=*** a_token=*** service=shop b_token=***"
    );
    let fields: Vec<_> = memory.events()[2].event().fields().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(fields[..2], ["g_token", "PASSWORD"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_pattern_that_fits_an_event_is_what_it_was() {
    let (plain, hiding) = (ScriptedSink::new(), ScriptedSink::new());
    let loggers =
        [start(builder().sink("sink", plain.clone())).await, start(redacting().sink("sink", hiding.clone())).await];
    for logger in &loggers {
        info!(logger: logger, "{user}", user = "ada", passwords = 1, token = "x", text = "y".repeat(500));
        logger.emit(Event::new(Level::Warn, "t", "password=hunter2").with("json", r#"{"password":"x"}"#));
    }
    end(&loggers[0], &[("sink", &plain)]).await;
    end(&loggers[1], &[("sink", &hiding)]).await;
    assert_eq!(plain.taken(), hiding.taken());
}

#[tokio::test(start_paused = true)]
async fn one_call_site_hides_for_each_logger_what_that_one_hides() {
    let sinks = [ScriptedSink::new(), ScriptedSink::new(), ScriptedSink::new()];
    let [none, a, b] = &sinks;
    let loggers = [
        start(builder().sink("sink", none.clone())).await,
        start(builder().redact(["a"]).sink("sink", a.clone())).await,
        start(builder().redact(["b"]).redact(["c*"]).sink("sink", b.clone())).await,
    ];
    for _ in 0..3 {
        for logger in &loggers {
            info!(logger: logger, "{a}{b}{ca}", a = 1, b = 2, ca = 3);
        }
    }
    for (logger, sink) in loggers.iter().zip(&sinks) {
        end(logger, &[("sink", sink)]).await;
    }
    assert_eq!(sinks.map(|sink| sink.messages()), [["123"; 3], ["***23"; 3], ["1******"; 3]]);
}

#[tokio::test(start_paused = true)]
async fn of_a_call_with_more_names_than_an_answer_has_bits_each_is_decided_by_itself() {
    let sink = ScriptedSink::new();
    let logger = start(builder().redact(["f00", "f30", "f31", "f33"]).sink("sink", sink.clone())).await;
    for _ in 0..2 {
        info!(
            logger: logger, "", f00 = 0, f01 = 1, f02 = 2, f03 = 3, f04 = 4, f05 = 5, f06 = 6, f07 = 7, f08 = 8, f09 = 9,
            f10 = 0, f11 = 1, f12 = 2, f13 = 3, f14 = 4, f15 = 5, f16 = 6, f17 = 7, f18 = 8, f19 = 9, f20 = 0, f21 = 1,
            f22 = 2, f23 = 3, f24 = 4, f25 = 5, f26 = 6, f27 = 7, f28 = 8, f29 = 9, f30 = 0, f31 = 1, f32 = 2, f33 = 3,
            f34 = 4
        );
    }
    end(&logger, &[("sink", &sink)]).await;
    for seen in sink.taken() {
        let masked: Vec<_> =
            seen.fields.iter().filter(|(_, value)| value == "***").map(|(name, _)| &name[..]).collect();
        assert_eq!((seen.fields.len(), masked), (35, vec!["f00", "f30", "f31", "f33"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_secret_costs_the_queue_nothing_and_the_fields_around_it_stay() {
    let sink = ScriptedSink::new();
    let logger = start(redacting().max_event_bytes(1000).sink("sink", sink.clone())).await;
    info!(logger: logger, "", before = -1_i128, password = "x".repeat(100_000), after = 0.5, list = b"ab");
    assert_eq!(logger.stats().queued_bytes, 0, "what is left fits the event");
    let long = "y".repeat(300);
    info!(logger: logger, "", password = "x".repeat(100_000), long);
    let report = end(&logger, &[("sink", &sink)]).await;
    let shown: Vec<_> = sink.taken().iter().map(|seen| format!("{:?}", seen.fields)).collect();
    assert_eq!(shown[0], r#"[("before", "-1"), ("password", "***"), ("after", "0.5"), ("list", "6162")]"#);
    assert!(shown[1].contains(&long) && report.truncated == 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_back_shows_what_it_showed() {
    let sink = ScriptedSink::new();
    let full = redacting().queue_capacity(1).overflow(Overflow::DropNewest);
    let logger = start(full.sink("sink", sink.clone())).await;
    let event = || new_event!(Level::Info, "{password}", password = SECRET);
    logger.try_emit(event()).unwrap();
    let Err(TryEmitError::Full(handed_back)) = logger.try_emit(event()) else { panic!("there is one place") };
    assert_eq!(handed_back.message().to_string(), SECRET);
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.messages(), ["***"]);
}

#[test]
fn a_wrong_pattern_is_named_with_what_is_allowed() {
    for wrong in ["", "*", "a*b", "**a"] {
        let error = builder().redact(["good", wrong, "**"]).sink("sink", ScriptedSink::new()).start().unwrap_err();
        assert_eq!(error.option(), Some("redact"));
        let said = error.to_string();
        assert!(said.contains(&format!("`{wrong}`")) && said.contains("`*_token`"), "{said}");
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "read by Debug"))]
struct Login {
    user: &'static str,
    password: Sensitive<String>,
}

#[test]
fn a_sensitive_value_is_masked_whatever_the_sigil_and_inside_what_holds_it() {
    let login = Login { user: "ada", password: Sensitive::from(SECRET.to_owned()) };
    let password = &login.password;
    let event = new_event!(Level::Info, "{a} {b} {c}", a = password, b = %password, c = ?password, d = ?login)
        .with("e", password)
        .with("f", Some(Sensitive::new(7)));
    assert_eq!(event.message().to_string(), "*** *** ***");
    let shown = format!("{event:?} {password} {password:?} {login:?}");
    assert!(!shown.contains(SECRET) && shown.contains(r#"Login { user: "ada", password: *** }"#), "{shown}");
    assert_eq!(event.fields().filter(|(_, value)| *value == "***").count(), 5);
    assert_eq!((password.expose().as_str(), Sensitive::new(7).into_inner()), (SECRET, 7));
    let set = FieldSet::new().with("p", password);
    assert!(!format!("{set:?}").contains(SECRET));
}

#[cfg(feature = "serde")]
#[test]
fn a_sensitive_value_is_masked_in_json_and_read_from_it() {
    let login = Login { user: "ada", password: Sensitive::new(SECRET.to_owned()) };
    let event = new_event!(Level::Info, "{login}", @login, password = @login.password);
    assert_eq!(event.message().to_string(), r#"{"user":"ada","password":"***"}"#);
    assert_eq!(event.fields().last().unwrap().1.to_string(), r#""***""#);
    let read: Sensitive<String> = serde_json::from_str(r#""hunter2""#).unwrap();
    assert_eq!(read.expose(), SECRET);
}

/// Whoever's call sites they are.
#[cfg(all(feature = "tracing", feature = "log"))]
#[tokio::test(start_paused = true)]
async fn what_comes_through_other_facades_is_masked_too_in_spans_and_key_values() {
    use tracing_subscriber::prelude::*;
    let sink = crate::support::ScriptedSink::new();
    let logger = crate::support::start(crate::support::builder().redact(["password"]).sink("sink", sink.clone())).await;
    let guard = tracing_subscriber::registry().with(logger.tracing_layer()).set_default();
    tracing::info_span!("login", password = "in a span", user = "ada")
        .in_scope(|| tracing::info!(password = "in an event", password.value = "in an event", "hello"));
    drop(guard);
    let pairs = [("password", "in a record"), ("password.value", "in a record"), ("user", "ada")];
    let bridge = logger.log_bridge();
    let mut record = log::Record::builder();
    record.level(log::Level::Info).target("t").key_values(&pairs);
    log::Log::log(&bridge, &record.args(format_args!("hello")).build());
    drop(bridge);
    crate::support::end(&logger, &[("sink", &sink)]).await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 2);
    for seen in taken {
        let value = |name: &str| seen.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let values = ["password", "password.value", "user"].map(value);
        assert_eq!(values, [Some("***"), Some("***"), Some("ada")], "{seen:?}");
        assert!(seen.fields.iter().all(|(_, value)| !value.starts_with("in a")), "{seen:?}");
    }
}
