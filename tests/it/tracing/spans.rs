//! What the spans around an event give it.

use std::time::Duration;

use logweir::bridge::tracing::SpanEvents;
use logweir::{Level, Value};
use tracing::field::Empty;
use tracing::{Instrument, debug_span, info, info_span, warn, warn_span};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;
use tracing_subscriber::registry::LookupSpan;

use super::Weir;

#[tokio::test(start_paused = true)]
async fn an_event_has_the_fields_of_its_spans_from_the_root_to_the_leaf() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    info!("outside");
    let outer = info_span!("outer", a = 1, text = "t").entered();
    info!("in one");
    let inner = info_span!("inner", b = 2.5, debug = ?[1, 2]).entered();
    info!(c = true, "in two");
    drop(inner);
    info!("in one again");
    drop(outer);
    info!("outside again");
    drop(guard);
    let expected = [
        "outside",
        "in one span=outer spans=outer a=1 text=t",
        "in two c=true span=inner spans=outer:inner a=1 text=t b=2.5 debug=[1, 2]",
        "in one again span=outer spans=outer a=1 text=t",
        "outside again",
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn values_of_a_span_keep_their_type() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let error = std::io::Error::other("cause");
    let error: &(dyn std::error::Error + 'static) = &error;
    let span = info_span!("s", i = -1, u = 1_u64, w = u128::MAX, f = 0.5, b = &b"\xff"[..], d = %1, error);
    span.in_scope(|| info!("m"));
    drop(guard);
    let events = weir.end().await;
    let value = |name| events[0].field(name).unwrap();
    assert!(matches!(value("i"), Value::I64(-1)) && matches!(value("u"), Value::U64(1)));
    assert!(matches!(value("w"), Value::U128(u128::MAX)) && matches!(value("f"), Value::F64(0.5)));
    assert!(matches!(value("b"), Value::Bytes(b"\xff")) && matches!(value("d"), Value::Debug("1")));
    assert!(matches!(value("error"), Value::Error(chain) if chain.messages().eq(["cause"])));
}

#[tokio::test(start_paused = true)]
async fn of_equal_names_the_nearest_is_plain_and_those_of_spans_are_kept_under_the_names_of_the_spans() {
    let weir = Weir::new().await;
    let logger = weir.logger.with("a", "logger").with("base", "logger").with("span", "logger");
    let guard = registry().with(logger.tracing_layer()).set_default();
    info!("m");
    let outer = info_span!("outer", a = "outer", b = "outer", c = "outer");
    let inner = info_span!(parent: &outer, "inner", a = "inner", b = "inner");
    inner.in_scope(|| info!(a = "event", "m"));
    info_span!("s", span = "mine", spans = "mine").in_scope(|| info!("m"));
    drop(guard);
    let expected = [
        "m a=logger base=logger span=logger",
        "m a=event base=logger span=inner spans=outer:inner outer.a=outer outer.b=outer c=outer inner.a=inner b=inner",
        "m a=logger base=logger span=mine spans=mine",
    ];
    assert_eq!(weir.lines().await, expected);
}

/// Each format gives what it writes of a field its own form, and has each of them once.
#[tokio::test(start_paused = true)]
async fn every_format_has_the_field_of_the_span_and_that_of_the_event() {
    use logweir::Format;
    use logweir::format::{Clef, DottedKeys, Json, Logfmt, Text};

    let weir = Weir::new().await;
    let guard = weir.listen();
    let session = info_span!("session", addr = "S", n = 1);
    let control = info_span!(parent: &session, "control", addr = "A", user = "ada");
    control.in_scope(|| {
        info!(addr = "B", "new connection");
        // With an absent value an event is encoded by names.
        info!(addr = "B", none = None::<u8>, "new connection");
        info!("no field");
    });
    drop(guard);
    let events = weir.end().await;
    for event in &events[..2] {
        let line = |format: &mut dyn Format| {
            let mut out = Vec::new();
            format.format(&event.record(), &mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = "addr=B span=control spans=session:control session.addr=S n=1 control.addr=A user=ada";
        let text = line(&mut Text::new());
        assert!(text.ends_with(&format!(": new connection {plain}\n")), "{text}");
        let logfmt = line(&mut Logfmt::new());
        assert!(logfmt.ends_with(&format!(" msg=\"new connection\" {plain}\n")), "{logfmt}");
        let fields = r#""addr":"B","span":"control","spans":"session:control","session.addr":"S","n":1,"control.addr":"A","user":"ada"}"#;
        for format in [&mut Json::new() as &mut dyn Format, &mut Clef::new()] {
            let line = line(format);
            assert!(line.ends_with(&format!("{fields}\n")), "{line}");
        }
        let nested = line(&mut Json::new().dotted(DottedKeys::Nested));
        assert!(nested.contains(r#","session":{"addr":"S"},"n":1,"control":{"addr":"A"},"#), "{nested}");
        #[cfg(feature = "pretty")]
        {
            let pretty = line(&mut logweir::format::Pretty::new());
            assert!(pretty.contains("addr=B  span=control  ") && pretty.contains("  control.addr=A  "), "{pretty}");
        }
        assert_eq!((event.field("addr"), event.field("control.addr")), (Some(Value::Str("B")), Some(Value::Str("A"))));
    }
    assert_eq!(
        super::line(&events[2]),
        "no field span=control spans=session:control session.addr=S n=1 addr=A user=ada"
    );
}

#[tokio::test(start_paused = true)]
async fn a_field_is_kept_whatever_other_fields_are_named_and_in_a_scope_of_logweir_too() {
    let weir = Weir::new().await;
    let logger = weir.logger.with("step.n", "logger");
    let guard = registry().with(logger.tracing_layer()).set_default();
    let outer = info_span!("step", n = 1);
    let middle = info_span!(parent: &outer, "step", n = 2, "step.n_" = 3);
    let inner = info_span!(parent: &middle, "step", n = 4);
    inner.in_scope(|| info!(n = 5, "step.n__" = 6, span = "mine", "m"));
    logweir::in_scope(logweir::fields![n = 7, request = 8], || inner.in_scope(|| info!(n = 9, "scoped")));
    drop(guard);
    let events = weir.end().await;
    for (event, own, scope) in [(&events[0], vec![5, 6], None), (&events[1], vec![9], Some(8))] {
        let mut found: Vec<i64> = event.fields().filter_map(|(_, value)| value.to_string().parse().ok()).collect();
        found.sort_unstable();
        let mut expected: Vec<i64> = [1, 2, 3, 4].into_iter().chain(own).chain(scope).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{event:?}");
        let names: Vec<_> = event.fields().map(|(name, _)| name.to_owned()).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), distinct.len(), "{names:?}");
        assert_eq!(event.field("step.n"), Some(Value::Str("logger")));
    }
    assert_eq!((events[0].field("span"), events[0].field("step.span")), (Some("mine".into()), Some("step".into())));
}

#[tokio::test(start_paused = true)]
async fn a_hidden_field_is_masked_under_whatever_name_it_is_kept() {
    let weir = Weir::with(crate::support::builder().redact(["password", "http.cookie"])).await;
    let guard = weir.listen();
    let outer = info_span!("outer", password = "hunter2", http.cookie = "hunter2", password.value = "hunter2");
    let inner = info_span!(parent: &outer, "inner", password = "hunter2", http.cookie = "hunter2");
    inner.in_scope(|| info!(password = "hunter2", http.cookie = "hunter2", user = "ada", "m"));
    drop(guard);
    let lines = weir.lines().await;
    assert_eq!(
        lines,
        [
            "m password=*** http.cookie=*** user=ada span=inner spans=outer:inner outer.password=*** outer.http.cookie=*** \
          password.value=*** inner.password=*** inner.http.cookie=***"
        ]
    );
}

/// A name that is taken gets a `_`, which is no part of what the pattern describes.
#[tokio::test(start_paused = true)]
async fn a_hidden_field_of_spans_of_one_name_is_masked_in_each_of_them_and_so_is_a_name_with_its_spans() {
    let weir = Weir::with(crate::support::builder().redact(["password", "http.cookie", "auth*"])).await;
    let guard = weir.listen();
    let login = || info_span!("login", password = "hunter2");
    let (outer, auth) = (login(), info_span!("auth", user = "hunter2"));
    outer.in_scope(|| {
        login().in_scope(|| login().in_scope(|| info!("recursive")));
        auth.in_scope(|| info!(user = "ada", "its own"));
        info_span!("http", cookie = "hunter2").in_scope(|| info!(cookie = "no", "its own"));
    });
    drop(guard);
    let lines = weir.lines().await;
    assert!(lines.iter().all(|line| !line.contains("hunter2")), "{lines:#?}");
    assert_eq!(lines[0].matches("=***").count(), 3, "{}", lines[0]);
    assert!(lines[1].contains("auth.user=***") && lines[2].contains("http.cookie=***"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn queued_events_keep_what_they_saw_and_later_ones_have_what_was_recorded() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let outer = info_span!("outer", user = Empty, n = 0);
    let inner = info_span!(parent: &outer, "inner", status = Empty);
    let log = |n: u64| {
        inner.in_scope(|| info!("{n}"));
        outer.in_scope(|| info!("{n}"));
    };
    log(1);
    inner.record("status", 200);
    log(2);
    outer.record("user", "ada");
    log(3);
    outer.record("n", 1).record("n", 2);
    log(4);
    // Not a field of the span.
    outer.record("nonsense", 1);
    log(5);
    drop(guard);
    let (inner, outer) = ("span=inner spans=outer:inner", "span=outer spans=outer");
    let expected = [
        format!("1 {inner} n=0"),
        format!("1 {outer} n=0"),
        format!("2 {inner} n=0 status=200"),
        format!("2 {outer} n=0"),
        format!("3 {inner} n=0 user=ada status=200"),
        format!("3 {outer} n=0 user=ada"),
        format!("4 {inner} user=ada n=2 status=200"),
        format!("4 {outer} user=ada n=2"),
        format!("5 {inner} user=ada n=2 status=200"),
        format!("5 {outer} user=ada n=2"),
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_explicit_parent_goes_before_the_current_span_and_a_root_has_none() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let other = info_span!("other", a = 1);
    let _current = info_span!("current", b = 2).entered();
    info!(parent: &other, "explicit");
    info!(parent: None, "root");
    info!(parent: other.id(), "by id");
    info_span!(parent: &other, "child").in_scope(|| info!("in a child"));
    info_span!(parent: None, "detached").in_scope(|| info!("in a root"));
    drop(guard);
    let expected = [
        "explicit span=other spans=other a=1",
        "root",
        "by id span=other spans=other a=1",
        "in a child span=child spans=other:child a=1",
        "in a root span=detached spans=detached",
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_span_follows_from_gives_it_nothing() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let cause = info_span!("cause", a = 1);
    let effect = info_span!("effect", b = 2);
    effect.follows_from(&cause);
    effect.in_scope(|| info!("m"));
    drop(guard);
    assert_eq!(weir.lines().await, ["m span=effect spans=effect b=2"]);
}

#[tokio::test(start_paused = true)]
async fn a_span_that_is_kept_out_is_as_if_it_were_not_there() {
    let weir = Weir::filter("info").await;
    let beside = super::Beside::default();
    let guard = registry().with(beside.clone()).with(weir.logger.tracing_layer()).set_default();
    let outer = info_span!("outer", a = 1);
    let middle = debug_span!(parent: &outer, "middle", a = 2, b = 3, later = Empty);
    let inner = info_span!(parent: &middle, "inner", c = 4);
    middle.record("later", 5);
    inner.in_scope(|| info!("leaf"));
    outer.in_scope(|| middle.in_scope(|| info!("current")));
    info!(parent: &middle, "explicit");
    middle.follows_from(&outer);
    drop((outer, middle, inner, guard));
    assert_eq!(&beside.told()[..3], ["outer", "middle", "inner"], "the others have it");
    let expected = ["leaf span=inner spans=outer:inner a=1 c=4", "current span=outer spans=outer a=1", "explicit"];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_span_goes_with_its_future_across_tasks_and_with_its_handle_across_threads() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let task = |n: u64| {
        let work = async move {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                info!("task");
            }
        };
        tokio::spawn(work.instrument(info_span!("job", n)))
    };
    let (one, two) = (task(1), task(2));
    one.await.unwrap();
    two.await.unwrap();
    let span = info_span!("handed", n = 3);
    let dispatch = tracing::dispatcher::get_default(tracing::Dispatch::clone);
    std::thread::scope(|scope| {
        scope.spawn(|| tracing::dispatcher::with_default(&dispatch, || span.in_scope(|| info!("thread"))));
    });
    drop((guard, dispatch));
    let mut lines = weir.lines().await;
    lines.sort_unstable();
    let expected = [
        "task span=job spans=job n=1",
        "task span=job spans=job n=1",
        "task span=job spans=job n=2",
        "task span=job spans=job n=2",
        "thread span=handed spans=handed n=3",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn opening_and_closing_are_events_with_busy_and_idle_time_on_request() {
    let weir = Weir::new().await;
    let guard = weir.listen_as(|layer| layer.span_events(SpanEvents::OpenAndClose));
    let span = warn_span!(target: "jobs", "job", n = 1, result = Empty);
    let line = line!() - 1;
    let wait = |ms| tokio::time::advance(Duration::from_millis(ms));
    wait(5).await;
    let entered = span.enter();
    wait(20).await;
    // Entered twice is busy once.
    span.in_scope(|| info!("working"));
    wait(1).await;
    drop(entered);
    wait(300).await;
    span.record("result", "done");
    let entered = span.enter();
    wait(4000).await;
    drop(entered);
    drop(span);
    drop(guard);
    let events = weir.end().await;
    let lines: Vec<_> = events.iter().map(super::line).collect();
    let expected = [
        "span opened span=job spans=job n=1",
        "working span=job spans=job n=1",
        "span closed busy_ms=4021.0 idle_ms=305.0 span=job spans=job n=1 result=done",
    ];
    assert_eq!(lines, expected);
    for event in [&events[0], &events[2]] {
        assert_eq!((event.level(), event.target(), event.line()), (Level::Warn, "jobs", Some(line)));
        assert_eq!((event.module(), event.file()), (Some(module_path!()), Some(file!())));
    }
}

#[tokio::test(start_paused = true)]
async fn opening_alone_and_closing_alone_are_told_alone_and_by_default_neither() {
    for (events, expected) in [
        (SpanEvents::None, &[][..]),
        (SpanEvents::Open, &["span opened span=s spans=s"]),
        (SpanEvents::Close, &["span closed busy_ms=0.0 idle_ms=0.0 span=s spans=s"]),
    ] {
        let weir = Weir::filter("info").await;
        let guard = weir.listen_as(|layer| layer.span_events(events));
        drop(info_span!("s"));
        drop(debug_span!("kept out"));
        drop(guard);
        assert_eq!(weir.lines().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn ids_tell_spans_of_one_name_apart_on_request() {
    let weir = Weir::new().await;
    let guard = weir.listen_as(|layer| layer.span_ids(true));
    let spans = [info_span!("s"), info_span!("s")];
    spans.iter().for_each(|span| span.in_scope(|| info!("m")));
    let ids = spans.each_ref().map(|span| span.id().unwrap().into_u64());
    drop(guard);
    assert_eq!(weir.lines().await, ids.map(|id| format!("m span=s spans=s span.id={id}")));
}

#[tokio::test(start_paused = true)]
async fn an_event_while_a_span_is_closing_is_logged() {
    /// Logs in the span that closes, and outside of it.
    struct Last;
    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Last {
        fn on_close(&self, id: tracing::span::Id, _: Context<'_, S>) {
            warn!(parent: id, "closing");
            warn!("beside");
        }
    }

    for ours_is_first in [true, false] {
        let weir = Weir::new().await;
        let guard = if ours_is_first {
            registry().with(weir.logger.tracing_layer()).with(Last).set_default()
        } else {
            registry().with(Last).with(weir.logger.tracing_layer()).set_default()
        };
        let outer = info_span!("outer", a = 1).entered();
        let inner = info_span!("inner", b = 2);
        inner.in_scope(|| info!("working"));
        drop(inner);
        drop(outer);
        info!("after");
        drop(guard);
        let lines = weir.lines().await;
        let inside = "span=inner spans=outer:inner a=1 b=2";
        assert_eq!(lines[..2], [format!("working {inside}"), format!("closing {inside}")]);
        assert_eq!(
            lines[2..],
            ["beside span=outer spans=outer a=1", "closing span=outer spans=outer a=1", "beside", "after"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_that_outlives_its_parents_handle_keeps_its_fields() {
    let weir = Weir::new().await;
    let guard = weir.listen_as(|layer| layer.span_events(SpanEvents::Close));
    let outer = info_span!("outer", a = 1);
    let inner = info_span!(parent: &outer, "inner");
    drop(outer);
    inner.in_scope(|| info!("still"));
    drop(inner);
    drop(guard);
    let times = "busy_ms=0.0 idle_ms=0.0";
    let expected = [
        "still span=inner spans=outer:inner a=1".to_owned(),
        format!("span closed {times} span=inner spans=outer:inner a=1"),
        format!("span closed {times} span=outer spans=outer a=1"),
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_registry_that_is_used_again_has_nothing_of_the_span_before() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    for n in 0..100 {
        let span = info_span!("s", n, odd = Empty);
        if n % 2 == 1 {
            span.record("odd", true);
        }
        span.in_scope(|| info!("m"));
    }
    drop(guard);
    let expected = (0..100).map(|n| format!("m span=s spans=s n={n}{}", if n % 2 == 1 { " odd=true" } else { "" }));
    assert_eq!(weir.lines().await, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_threads_record_while_others_log_is_seen_by_every_event_after_it() {
    const ROUNDS: u64 = 300;
    let weir = Weir::with(crate::support::builder().queue_capacity(1 << 13)).await;
    let guard = weir.listen();
    let dispatch = tracing::dispatcher::get_default(tracing::Dispatch::clone);
    let root = info_span!("root", seen = 0_u64);
    let leaf = info_span!(parent: &root, "leaf");
    let recorded = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            tracing::dispatcher::with_default(&dispatch, || {
                for n in 1..=ROUNDS {
                    root.record("seen", n);
                    recorded.store(n, std::sync::atomic::Ordering::SeqCst);
                    std::thread::yield_now();
                }
            });
        });
        for _ in 0..2 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    for _ in 0..ROUNDS {
                        let least = recorded.load(std::sync::atomic::Ordering::SeqCst);
                        info!(parent: &leaf, least, "m");
                    }
                });
            });
        }
    });
    drop((guard, dispatch));
    let events = weir.end().await;
    assert_eq!(events.len() as u64, 2 * ROUNDS);
    for event in &events {
        let number = |name| match event.field(name) {
            Some(Value::U64(n)) => n,
            other => panic!("{name} is {other:?}"),
        };
        assert!(number("seen") >= number("least"), "{event:?}");
    }
}
