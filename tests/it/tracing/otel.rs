//! The ids of OpenTelemetry on what the layer logs.

use logweir::bridge::tracing::{SpanEvents, TracingLayer};
use logweir::sink::CapturedEvent;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

use super::Weir;

/// Message, trace and span.
fn ids(event: &CapturedEvent) -> (String, Option<String>, Option<String>) {
    let id = |name| event.field(name).map(|id| id.to_string());
    (event.message(), id("trace_id"), id("span_id"))
}

fn ids_of(span: &Span, message: &str) -> (String, Option<String>, Option<String>) {
    let context = span.context();
    let active = context.span().span_context().clone();
    (message.to_owned(), Some(active.trace_id().to_string()), Some(active.span_id().to_string()))
}

#[tokio::test(start_paused = true)]
async fn events_carry_the_ids_of_the_open_telemetry_span_they_are_in() {
    for ours_is_first in [true, false] {
        let weir = Weir::new().await;
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let ours = TracingLayer::new(&weir.logger).span_events(SpanEvents::OpenAndClose);
        let guard = if ours_is_first {
            registry().with(ours.filtered()).with(tracing_opentelemetry::layer().with_tracer(tracer)).set_default()
        } else {
            registry().with(tracing_opentelemetry::layer().with_tracer(tracer)).with(ours.filtered()).set_default()
        };
        let nobody = |message: &str| (message.to_owned(), None, None);
        let outer = info_span!("outer");
        info!(parent: &outer, "before it is entered");
        let (in_outer, in_inner) = outer.in_scope(|| {
            info!("in outer");
            let inner = info_span!("inner");
            inner.in_scope(|| info!("in inner"));
            info!(parent: &inner, "explicit");
            info!("in outer again");
            info!(parent: None, "root");
            (|message: &str| ids_of(&outer, message), ids_of(&inner, ""))
        });
        info!("outside");
        let in_inner = |message: &str| (message.to_owned(), in_inner.1.clone(), in_inner.2.clone());
        let expected = [
            nobody("span opened"),
            nobody("before it is entered"),
            in_outer("in outer"),
            nobody("span opened"),
            in_inner("in inner"),
            in_inner("explicit"),
            in_outer("in outer again"),
            nobody("root"),
            in_inner("span closed"),
            nobody("outside"),
        ];
        drop(guard);
        let events: Vec<_> = weir.end().await.iter().map(ids).collect();
        assert_eq!(events, expected);
        assert_eq!((&expected[2].1, expected[2].2 == expected[4].2), (&expected[4].1, false), "one trace, two spans");
    }
}

#[tokio::test(start_paused = true)]
async fn a_context_attached_by_hand_is_carried_inside_and_outside_of_spans() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let remote = SpanContext::new(
        TraceId::from(0x0123_u128),
        SpanId::from(0x45_u64),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let attached = Context::new().with_remote_span_context(remote).attach();
    let span = info_span!("request", a = 1);
    info!(n = 1, "outside");
    info!(trace_id = "mine", "outside");
    span.in_scope(|| info!(n = 2, "inside"));
    drop(attached);
    span.in_scope(|| info!(n = 3, "inside"));
    info!(n = 4, "outside");
    // What OpenTelemetry logs itself is not asked.
    info!(target: "opentelemetry", "own");
    drop(guard);
    let ids = "trace_id=00000000000000000000000000000123 span_id=0000000000000045";
    let expected = [
        format!("outside n=1 {ids}"),
        "outside trace_id=mine span_id=0000000000000045".to_owned(),
        format!("inside n=2 span=request spans=request a=1 {ids}"),
        "inside n=3 span=request spans=request a=1".to_owned(),
        "outside n=4".to_owned(),
        "own".to_owned(),
    ];
    assert_eq!(weir.lines().await, expected);
}
