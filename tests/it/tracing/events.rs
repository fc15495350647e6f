//! What an event of `tracing` becomes.

use std::error::Error;
use std::fmt;

use logweir::{Level, Value};
use tracing::field::Empty;
use tracing::{debug, error, info, trace, warn};

use super::Weir;

#[tokio::test(start_paused = true)]
async fn values_of_every_kind_keep_their_type() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let failure = Failure(Some(Box::new(Failure(None))));
    let error: &(dyn Error + 'static) = &failure;
    info!(
        i64 = -7_i64,
        u64 = u64::MAX,
        i128 = i128::MIN,
        u128 = u128::MAX,
        f64 = 0.5,
        bool = true,
        str = "text",
        bytes = &b"\x00\xff"[..],
        display = %"shown",
        debug = ?"quoted",
        error,
        some = Some(3_u8),
        "every kind"
    );
    drop(guard);
    let events = weir.end().await;
    let fields: Vec<_> = events[0].fields().collect();
    let [.., error, some] = &fields[..] else { panic!("{fields:?}") };
    assert!(matches!(some, ("some", Value::U64(3))), "{some:?}");
    let ("error", Value::Error(chain)) = error else { panic!("{error:?}") };
    assert_eq!(chain.messages().collect::<Vec<_>>(), ["failed", "no cause"]);
    let values: Vec<_> = fields.iter().map(|(_, value)| *value).collect();
    assert!(
        matches!(
            values[..10],
            [
                Value::I64(-7),
                Value::U64(u64::MAX),
                Value::I128(i128::MIN),
                Value::U128(u128::MAX),
                Value::F64(0.5),
                Value::Bool(true),
                Value::Str("text"),
                Value::Bytes(b"\x00\xff"),
                Value::Debug("shown"),
                Value::Debug("\"quoted\""),
            ]
        ),
        "{values:?}"
    );
    assert_eq!((events.len(), fields.len()), (1, 12));
}

/// `tracing` widens an `f32` to an `f64`.
#[tokio::test(start_paused = true)]
async fn an_f32_has_the_digits_of_one_and_an_f64_keeps_its_own() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let _span = tracing::info_span!("s", c = 16777.217_f32).entered();
    info!(
        a = 0.1_f32,
        b = 0.1,
        half = 0.5_f32,
        big = 4_294_967_296.0,
        third = 1.0 / 3.0,
        inf = f32::INFINITY,
        "m {}",
        0.3_f32
    );
    drop((_span, guard));
    let events = weir.end().await;
    let [line] = &events.iter().map(super::line).collect::<Vec<_>>()[..] else { panic!("one event") };
    let own = "a=0.1 b=0.1 half=0.5 big=4294967296.0 third=0.3333333333333333 inf=inf";
    assert_eq!(*line, format!("m 0.3 {own} span=s spans=s c=16777.217"));
    let value = |name| events[0].field(name).unwrap();
    assert!(matches!((value("a"), value("half")), (Value::F32(0.1), Value::F64(0.5))));
    assert_eq!(value("a"), Value::F64(0.1_f32.into()), "the number is what was logged");
}

#[derive(Debug)]
struct Failure(Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "failed" } else { "no cause" })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_has_the_level_target_module_file_and_line_of_its_call_site() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let first = line!() + 1;
    trace!("t");
    debug!("d");
    info!("i");
    warn!("w");
    error!(target: "elsewhere", "e");
    drop(guard);
    let events = weir.end().await;
    let levels: Vec<_> = events.iter().map(|event| event.level()).collect();
    assert_eq!(levels, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error]);
    for (event, line) in events.iter().zip(first..) {
        assert_eq!((event.module(), event.file(), event.line()), (Some(module_path!()), Some(file!()), Some(line)));
        assert_eq!(event.target(), if event.level() == Level::Error { "elsewhere" } else { module_path!() });
        assert_eq!(event.template(), None, "the call site gives the finished message alone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_text_wherever_the_call_puts_it() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let user = "ada {}";
    info!("plain");
    info!("{user} of {}", 7);
    info!(a = 1, "behind a field");
    info!(message = "as a field", a = 1);
    info!(a = 1, message = "as the last field");
    info!(message = 7, a = 1);
    info!(a = 1, message = ?Some(7));
    info!(message = %"{a}", a = 1);
    drop(guard);
    let expected = [
        "plain",
        "ada {} of 7",
        "behind a field a=1",
        "as a field a=1",
        "as the last field a=1",
        "7 a=1",
        "Some(7) a=1",
        "{a} a=1",
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_message_has_its_name_for_it_if_the_call_gave_one() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    info!(a = 1);
    info!(name: "user.login", a = 2);
    info!(name: "user.{login}", a = 3, "with a message");
    info!(name: "user.{login}", a = 4, none = None::<u8>);
    drop(guard);
    let events = weir.end().await;
    assert_eq!(events[1].template(), Some("user.login"));
    let lines: Vec<_> = events.iter().map(super::line).collect();
    assert_eq!(lines, [" a=1", "user.login a=2", "with a message a=3", "user.{login} a=4"]);
}

#[tokio::test(start_paused = true)]
async fn an_absent_value_is_no_field_and_hides_none() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let _span = tracing::info_span!("request", b = "of the span").entered();
    info!(a = 1, b = None::<u8>, c = 3, "first");
    info!(a = Empty, b = Empty, "none");
    info!(a = 1, c = Empty, "last");
    drop(guard);
    let expected = [
        "first a=1 c=3 span=request spans=request b=of the span",
        "none span=request spans=request b=of the span",
        "last a=1 span=request spans=request b=of the span",
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn of_two_fields_of_one_name_the_first_counts() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    info!(a = 1, b = 2, a = 3, "twice");
    drop(guard);
    assert_eq!(weir.lines().await, ["twice a=1 b=2"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_longer_than_its_inline_bytes_is_whole() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let long = "x".repeat(1000);
    info!(long, other = %long, n = 7, "message {long}");
    drop(guard);
    assert_eq!(weir.lines().await, [format!("message {long} long={long} other={long} n=7")]);
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_size_limit_is_cut_in_its_longest_text_and_says_so() {
    let weir = Weir::with(crate::support::builder().max_event_bytes(1000)).await;
    let guard = weir.listen();
    let (long, longer) = ("y".repeat(600), "x".repeat(2000));
    info!(longer, n = 1, "{long}");
    info!(n = 2, long, "{longer}");
    info!(longer, absent = None::<u8>, n = 3, "{long}");
    drop(guard);
    let events = weir.end().await;
    for (event, n) in events.iter().zip(1_i64..) {
        assert!(event.is_truncated() && event.field("n") == Some(Value::I64(n)), "{event:?}");
        let cut = if n == 2 { event.message() } else { event.field("longer").unwrap().to_string() };
        let kept = if n == 2 { event.field("long").unwrap().to_string() } else { event.message() };
        assert!((300..400).contains(&cut.len()) && longer.starts_with(&cut) && kept == long, "{event:?}");
    }
    assert_eq!((events.len(), weir.logger.stats().truncated), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_formatting_that_fails_leaves_a_mark_and_the_fields_after_it() {
    struct Fails;
    impl fmt::Debug for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half").and(Err(fmt::Error))
        }
    }

    let weir = Weir::new().await;
    let guard = weir.listen();
    info!(broken = ?Fails, n = 7, "{:?}", Fails);
    drop(guard);
    let [line] = &weir.lines().await[..] else { panic!("one event") };
    assert_eq!(line, "half…(formatting failed) broken=half…(formatting failed) n=7");
}

#[tokio::test(start_paused = true)]
async fn records_of_log_keep_their_own_target_file_and_line() {
    let weir = Weir::filter("info,quiet=error").await;
    let guard = weir.listen();
    let _span = tracing::info_span!("request").entered();
    let log = |level, target: &str, line| {
        let arguments = format_args!("from {target}");
        let mut record = log::Record::builder();
        record.level(level).target(target).file(Some("lib.rs")).module_path(Some("their::module")).line(line);
        tracing_log::format_trace(&record.args(arguments).build()).unwrap();
    };
    log(log::Level::Warn, "theirs", Some(42));
    log(log::Level::Info, "theirs", None);
    log(log::Level::Debug, "theirs", Some(1));
    log(log::Level::Warn, "quiet", Some(2));
    log(log::Level::Error, "quiet", Some(3));
    drop(guard);
    let events = weir.end().await;
    let places: Vec<_> = events.iter().map(|event| (event.level(), event.target(), event.line())).collect();
    assert_eq!(
        places,
        [(Level::Warn, "theirs", Some(42)), (Level::Info, "theirs", None), (Level::Error, "quiet", Some(3))]
    );
    for event in &events {
        assert_eq!((event.file(), event.module()), (Some("lib.rs"), Some("their::module")));
        assert_eq!(super::line(event), format!("from {} span=request spans=request", event.target()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_made_of_a_spans_metadata_is_an_event() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let span = tracing::info_span!("request", id = Empty);
    let metadata = span.metadata().unwrap();
    let id = metadata.fields().field("id").unwrap();
    tracing::Event::dispatch(metadata, &metadata.fields().value_set(&[(&id, Some(&7_u64 as &dyn tracing::Value))]));
    drop(guard);
    let events = weir.end().await;
    assert_eq!((events[0].target(), events[0].line()), (module_path!(), metadata.line()));
    assert_eq!(events.iter().map(super::line).collect::<Vec<_>>(), [" id=7"]);
}

#[tokio::test(start_paused = true)]
async fn threads_that_meet_a_call_site_at_the_same_time_log_the_same() {
    let weir = Weir::new().await;
    let dispatch = {
        let _guard = weir.listen();
        tracing::dispatcher::get_default(tracing::Dispatch::clone)
    };
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    barrier.wait();
                    (0..100).for_each(|n| info!(n, "together"));
                });
            });
        }
    });
    drop(dispatch);
    let events = weir.end().await;
    let mut numbers: Vec<_> = events.iter().map(|event| event.field("n").unwrap().to_string()).collect();
    numbers.sort_unstable();
    let mut expected: Vec<_> = (0..100).flat_map(|n: u32| vec![n.to_string(); 4]).collect();
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    assert!(events.iter().all(|event| event.message() == "together" && event.target() == module_path!()));
}

/// The formats write what never changes in a call site's lines once; a message of `tracing` is no template of ours.
#[tokio::test(start_paused = true)]
async fn every_format_shows_the_message_and_the_fields_of_each_event() {
    use logweir::event::Record;
    use logweir::format::{Json, Text};
    use logweir::{Batch, Format, Sink, SinkError, async_trait};
    use tracing_subscriber::prelude::*;
    use tracing_subscriber::registry;

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    #[async_trait]
    impl Sink for Lines {
        async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            let (mut json, mut text) = (Json::new(), Text::new());
            let write =
                |format: &mut dyn Format, record: &Record<'_>| format.format(record, &mut self.0.lock().unwrap());
            for record in batch.iter() {
                write(&mut json, &record);
                write(&mut text, &record);
            }
            Ok(())
        }
    }

    let lines = Lines::default();
    let logger = crate::support::start(crate::support::builder().sink("lines", lines.clone())).await;
    let guard = registry().with(logger.tracing_layer()).set_default();
    for n in 0..2 {
        info!(n, "step {n}");
        info!(n);
    }
    drop(guard);
    logger.shutdown(crate::support::PATIENCE).await.check().unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    for (n, of_n) in lines.chunks(4).enumerate() {
        assert!(of_n[0].contains(&format!(r#""message":"step {n}","n":{n}}}"#)), "{}", of_n[0]);
        assert!(of_n[1].ends_with(&format!(": step {n} n={n}")), "{}", of_n[1]);
        assert!(of_n[2].contains(&format!(r#""n":{n}}}"#)), "{}", of_n[2]);
        assert!(of_n[3].ends_with(&format!("n={n}")), "{}", of_n[3]);
    }
}
