//! Records of the `log` crate, given to the bridge itself: nothing of the process is set.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::kv::{self, Source, ToValue, VisitSource};
use log::{Log, Record};
use logweir::event::Record as Seen;
use logweir::sink::MemorySink;
use logweir::{Batch, DropReason, Level, Logger, Overflow, Pipeline, Sink, SinkError, Value, async_trait};
use tokio::runtime;

use crate::support::{Answer, PATIENCE, ScriptedSink, Told, builder, end, settle, start};

const PLACE: (&str, &str, u32) = ("app::module", "src/app.rs", 7);

/// As a call of `log`'s macros makes it.
fn record(bridge: &dyn Log, level: log::Level, target: &str, message: fmt::Arguments<'_>, pairs: &dyn Source) {
    let mut record = Record::builder();
    record.level(level).target(target).args(message).key_values(&pairs);
    bridge.log(&record.module_path(Some(PLACE.0)).file(Some(PLACE.1)).line(Some(PLACE.2)).build());
}

fn say(bridge: &dyn Log, message: &str) {
    record(bridge, log::Level::Info, "app", format_args!("{message}"), &None::<(&str, i32)>);
}

#[derive(Debug)]
struct Outer(Inner);

#[derive(Debug)]
struct Inner;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inner")
    }
}

impl Error for Inner {}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Shown by `Display` in one way and by `Debug` in another.
#[derive(Debug)]
#[expect(dead_code, reason = "its `Debug` reads it")]
struct Point(u8);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a point")
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_keeps_its_level_target_message_place_and_context() {
    let memory = MemorySink::new();
    let logger = start(builder().sink("memory", memory.clone())).await;
    let bridge = logger.with("request", 7).log_bridge();
    let levels = [
        (log::Level::Trace, Level::Trace),
        (log::Level::Debug, Level::Debug),
        (log::Level::Info, Level::Info),
        (log::Level::Warn, Level::Warn),
        (log::Level::Error, Level::Error),
    ];
    for (level, _) in levels {
        record(&bridge, level, "app::db", format_args!("{} of {:?}", 1, "two"), &("key", 3));
    }
    // A message without arguments, and no place.
    bridge.log(&Record::builder().level(log::Level::Info).target("app").args(format_args!("plain")).build());
    assert!(logger.flush(PATIENCE).await.complete);
    let seen = memory.events();
    for (captured, (_, level)) in seen.iter().zip(levels) {
        let event = captured.event();
        assert_eq!((event.level(), event.target()), (level, "app::db"));
        assert_eq!((event.module(), event.file(), event.line()), (Some(PLACE.0), Some(PLACE.1), Some(PLACE.2)));
        assert_eq!(event.message().to_string(), "1 of \"two\"");
        assert_eq!(Seen::from(event).field("request"), Some(Value::I64(7)));
    }
    let plain = seen[5].event();
    assert_eq!((plain.message().to_string().as_str(), plain.target()), ("plain", "app"));
    assert_eq!((plain.module(), plain.file(), plain.line(), plain.template()), (None, None, None, None));
}

#[tokio::test(start_paused = true)]
async fn key_values_keep_their_types_and_errors_their_sources() {
    let memory = MemorySink::new();
    let logger = start(builder().sink("memory", memory.clone())).await;
    let (error, point, bytes) = (Outer(Inner), Point(1), [1_u8, 2]);
    let pairs: Vec<(&str, kv::Value<'_>)> = vec![
        ("u64", u64::MAX.to_value()),
        ("i64", i64::MIN.to_value()),
        ("u128", u128::MAX.to_value()),
        ("i128", i128::MIN.to_value()),
        ("f64", 0.1.to_value()),
        ("f32", 0.5_f32.to_value()),
        ("tenth", 0.1_f32.to_value()),
        ("third", (1.0 / 3.0).to_value()),
        ("whole", 4_294_967_296.0_f64.to_value()),
        ("bool", true.to_value()),
        ("str", "text".to_value()),
        ("char", 'é'.to_value()),
        ("null", kv::Value::null()),
        ("error", kv::Value::from_dyn_error(&error)),
        ("display", kv::Value::from_display(&point)),
        ("debug", kv::Value::from_debug(&point)),
        ("bytes", kv::Value::from_debug(&bytes)),
        ("format", kv::Value::from_dyn_display(&point)),
        // Of two of one name the first counts.
        ("u64", 1.to_value()),
    ];
    record(&logger.log_bridge(), log::Level::Info, "app", format_args!("x"), &pairs.as_slice());
    assert!(logger.flush(PATIENCE).await.complete);
    let seen = memory.events();
    let fields: Vec<_> = seen[0].event().fields().collect();
    let Some((_, Value::Error(chain))) = fields.iter().find(|(name, _)| *name == "error") else {
        panic!("no error: {fields:?}")
    };
    assert_eq!(chain.messages().collect::<Vec<_>>(), ["outer", "inner"]);
    let others: Vec<_> = fields.iter().filter(|(name, _)| *name != "error").map(|field| format!("{field:?}")).collect();
    let expected = [
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("u128", Value::U128(u128::MAX)),
        ("i128", Value::I128(i128::MIN)),
        ("f64", Value::F64(0.1)),
        ("f32", Value::F64(0.5)),
        // `log` widens it, and it has the digits that it had.
        ("tenth", Value::F32(0.1)),
        ("third", Value::F64(1.0 / 3.0)),
        ("whole", Value::F64(4_294_967_296.0)),
        ("bool", Value::Bool(true)),
        ("str", Value::Str("text")),
        ("char", Value::Str("é")),
        ("null", Value::Null),
        ("display", Value::Str("a point")),
        ("debug", Value::Str("Point(1)")),
        ("bytes", Value::Str("[1, 2]")),
        ("format", Value::Str("a point")),
    ];
    assert_eq!(others, expected.map(|field| format!("{field:?}")));
}

/// Gives one pair, then fails.
struct Broken;

impl Source for Broken {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        visitor.visit_pair("first".into(), 1.to_value())?;
        Err(kv::Error::msg("broken"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_costs_what_it_did_not_give() {
    let memory = MemorySink::new();
    let logger = start(builder().sink("memory", memory.clone())).await;
    record(&logger.log_bridge(), log::Level::Info, "app", format_args!("{}", "x"), &Broken);
    assert!(logger.flush(PATIENCE).await.complete);
    let seen = memory.events();
    let fields: Vec<_> = seen[0].event().fields().collect();
    assert_eq!((fields, seen[0].message()), (vec![("first", Value::I64(1))], "x".into()));
}

#[tokio::test(start_paused = true)]
async fn the_filter_decides_by_level_and_target_also_for_records_that_were_not_asked_about() {
    let sink = ScriptedSink::new();
    let logger = start(builder().filter("warn,app::db=debug").sink("s", sink.clone())).await;
    let bridge = logger.log_bridge();
    let enabled = |level, target: &str| bridge.enabled(&log::Metadata::builder().level(level).target(target).build());
    assert!(enabled(log::Level::Warn, "app") && !enabled(log::Level::Info, "app"));
    assert!(enabled(log::Level::Debug, "app::db::pool") && !enabled(log::Level::Trace, "app::db"));
    let none = None::<(&str, i32)>;
    record(&bridge, log::Level::Info, "app", format_args!("0"), &none);
    record(&bridge, log::Level::Debug, "app::db", format_args!("1"), &none);
    logger.set_filter("debug").unwrap();
    record(&bridge, log::Level::Info, "app", format_args!("2"), &none);
    let report = end(&logger, &[("s", &sink)]).await;
    assert_eq!((sink.messages(), report.emitted), (vec!["1".into(), "2".into()], 2));
}

#[tokio::test(start_paused = true)]
async fn dynamic_targets_and_names_are_charged_to_the_queue_and_bounded_by_it() {
    let sink = ScriptedSink::new();
    let builder =
        builder().memory_limit(1 << 20).queue_capacity(128).max_event_bytes(64 << 10).overflow(Overflow::DropNewest);
    let logger = start(builder.sink("s", sink.clone())).await;
    let bridge = logger.log_bridge();
    let long = "t".repeat(10_000);
    record(&bridge, log::Level::Info, &long, format_args!("0"), &(long.as_str(), 1));
    let one = logger.stats().queued_bytes;
    assert!((20_000..24_000).contains(&one), "{one}");
    // Half a mebibyte is the queue's, less its lanes.
    (0..60).for_each(|_| record(&bridge, log::Level::Info, &long, format_args!("1"), &(long.as_str(), 1)));
    let stats = logger.stats();
    let refused = stats.refused.get(DropReason::Memory);
    assert!(refused > 20 && stats.queued_bytes <= 1 << 19, "{stats:?}");
    assert_eq!((stats.accepted + refused, stats.queued_bytes), (61, stats.accepted * one));
    end(&logger, &[("s", &sink)]).await;
    assert_eq!(logger.stats().queued_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_longer_than_an_event_may_be_is_cut_whatever_makes_it_long() {
    let sink = ScriptedSink::new();
    let logger = start(builder().max_event_bytes(1024).sink("s", sink.clone())).await;
    let bridge = logger.log_bridge();
    let long = "x".repeat(5000);
    let none = None::<(&str, i32)>;
    record(&bridge, log::Level::Info, &long, format_args!("0"), &none);
    record(&bridge, log::Level::Info, "app", format_args!("{long}"), &none);
    record(&bridge, log::Level::Info, "app", format_args!("2"), &(long.as_str(), 1));
    end(&logger, &[("s", &sink)]).await;
    let seen = sink.taken();
    assert!(seen.iter().all(|event| event.truncated));
    assert!(seen.iter().all(|event| event.target.len() + event.message.len() < 1024 && event.fields.is_empty()));
    assert_eq!((seen[0].message.as_str(), seen[2].message.as_str()), ("0", "2"));
}

#[tokio::test(start_paused = true)]
async fn records_after_the_end_are_refused_and_counted_and_a_flush_returns() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("s", sink.clone())).await;
    let bridge = logger.log_bridge();
    say(&bridge, "0");
    end(&logger, &[("s", &sink)]).await;
    say(&bridge, "1");
    bridge.flush();
    thread::spawn(move || bridge.flush()).join().unwrap();
    assert_eq!((logger.stats().refused.get(DropReason::Closed), sink.seen()), (1, 1));
}

/// Logs and flushes through `log` whenever it is called.
struct Talkative<L> {
    bridge: Arc<std::sync::Mutex<Option<L>>>,
    flushed: Arc<std::sync::atomic::AtomicU64>,
}

impl<L: Log> Talkative<L> {
    fn talk(&self) {
        if let Some(bridge) = &*self.bridge.lock().unwrap() {
            say(bridge, "noise");
            bridge.flush();
        }
    }
}

#[async_trait]
impl<L: Log + 'static> Sink for Talkative<L> {
    async fn write(&mut self, _batch: &Batch) -> Result<(), SinkError> {
        self.talk();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.flushed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.talk();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_logs_and_flushes_through_log_feeds_nothing_back() {
    let (bridge, flushed) = (Arc::default(), Arc::default());
    let sink = Talkative { bridge: Arc::clone(&bridge), flushed: Arc::clone(&flushed) };
    let logger = start(builder().sink("s", sink)).await;
    *bridge.lock().unwrap() = Some(logger.log_bridge());
    say(&logger.log_bridge(), "0");
    logger.log_bridge().flush();
    // Not a sleep: a paused clock stands still for as long as there is something to do.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(flushed.load(std::sync::atomic::Ordering::SeqCst), 1, "its own flush would ask for the next one");
    let stats = logger.stats();
    assert_eq!((stats.accepted, stats.suppressed, stats.sinks[0].delivered), (1, 2, 1));
    bridge.lock().unwrap().take();
}

#[tokio::test(start_paused = true)]
async fn inside_a_runtime_a_flush_is_begun_and_returns_and_everything_before_it_arrives() {
    let sink = ScriptedSink::new();
    let logger = start(builder().sink("s", sink.clone())).await;
    let bridge = logger.log_bridge();
    let since = Instant::now();
    // Nobody else runs between these calls: each wait would be for five seconds.
    for number in 0..5000 {
        say(&bridge, &number.to_string());
        bridge.flush();
        assert!(since.elapsed() < Duration::from_secs(4), "number {number}");
    }
    assert_eq!((sink.seen(), sink.flushed()), (0, 0));
    settle().await;
    assert_eq!((sink.seen(), sink.flushed()), (5000, 1));
    say(&bridge, "5000");
    bridge.flush();
    settle().await;
    assert_eq!((sink.seen(), sink.flushed()), (5001, 2));
}

#[test]
fn a_flush_on_any_thread_of_a_runtime_does_not_wait_for_a_sink_that_hangs() {
    let sink = ScriptedSink::always(Answer::Hang);
    let logger = builder().sink("s", Pipeline::new(sink.clone()).timeout(Duration::from_secs(3600))).start().unwrap();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let since = Instant::now();
    let flush = |logger: &Logger| {
        let bridge = logger.log_bridge();
        move || {
            say(&bridge, "0");
            bridge.flush();
        }
    };
    let (here, task, blocking) = (flush(&logger), flush(&logger), flush(&logger));
    runtime.block_on(async move {
        here();
        tokio::spawn(async move { task() }).await.unwrap();
        tokio::task::spawn_blocking(blocking).await.unwrap();
        sink.begun(1).await;
    });
    // A wait for this sink would have taken five seconds each time.
    assert!(since.elapsed() < Duration::from_secs(4));
    drop(logger.shutdown_blocking(Duration::ZERO).unwrap());
}

#[test]
fn outside_a_runtime_a_flush_waits_until_everything_before_it_has_arrived() {
    let told = Told::default();
    let logger = builder().sink("s", told.sink()).start().unwrap();
    let bridge = logger.log_bridge();
    for number in 0..100 {
        say(&bridge, &number.to_string());
        bridge.flush();
        assert_eq!(told.seen(), number + 1);
    }
    logger.shutdown_blocking(PATIENCE).unwrap().check().unwrap();
}

#[test]
fn outside_a_runtime_a_flush_of_a_logger_that_nobody_runs_ends_after_its_time() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let logger = builder().sink("s", ScriptedSink::new()).start_on(runtime.handle()).unwrap();
    let bridge = logger.log_bridge();
    say(&bridge, "0");
    let since = Instant::now();
    bridge.flush();
    let waited = since.elapsed();
    assert!((Duration::from_secs(5)..PATIENCE).contains(&waited), "{waited:?}");
    drop(runtime);
}
