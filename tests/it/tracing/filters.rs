//! Which events and spans the layer takes, and what that means for the layers beside it.

use std::time::Duration;

use tracing::{debug, debug_span, info, info_span, trace, warn};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, registry};

use super::{Beside, Weir};
use crate::support;
use logweir::bridge::tracing::TracingLayer;

fn log_all() {
    let _span = debug_span!("step", n = 1).entered();
    trace!(target: "noisy", "1");
    debug!(target: "noisy", "2");
    warn!(target: "noisy", "3");
    debug!(target: "app", "4");
    info!(target: "app", "5");
}

const ALL_BESIDE: [&str; 6] = ["step", "noisy", "noisy", "noisy", "app", "app"];

#[tokio::test(start_paused = true)]
async fn the_loggers_filter_decides_for_its_own_layer_alone() {
    let (weir, beside) = (Weir::filter("info,app=debug,noisy=warn").await, Beside::default());
    let guard = registry().with(beside.clone()).with(weir.logger.tracing_layer()).set_default();
    log_all();
    drop(guard);
    let guard = registry().with(weir.logger.tracing_layer()).with(beside.clone()).set_default();
    log_all();
    drop(guard);
    assert_eq!(beside.told(), [ALL_BESIDE, ALL_BESIDE].concat());
    // The span is of this module, so at `debug` it is not there.
    assert_eq!(weir.lines().await, ["3", "4", "5", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_beside_does_not_decide_for_this_layer() {
    let (weir, beside) = (Weir::filter("trace").await, Beside::default());
    let changing = filter_fn(|metadata| metadata.target() == "app");
    let guard = registry().with(beside.clone().with_filter(changing)).with(weir.logger.tracing_layer()).set_default();
    log_all();
    drop(guard);
    assert_eq!(beside.told(), ["app", "app"]);
    let expected = ["1", "2", "3", "4", "5"].map(|n| format!("{n} span=step spans=step n=1"));
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_filter_on_top_decides_too() {
    let weir = Weir::filter("debug,noisy=warn").await;
    let environment = tracing_subscriber::EnvFilter::new("app=info,noisy=trace");
    let guard = registry().with(weir.logger.tracing_layer().with_filter(environment)).set_default();
    log_all();
    drop(guard);
    let guard = registry().with(weir.logger.tracing_layer().with_filter(LevelFilter::INFO)).set_default();
    log_all();
    drop(guard);
    assert_eq!(weir.lines().await, ["3", "5", "3", "5"]);
}

/// For directives of spans, which the logger's filter does not have.
#[tokio::test(start_paused = true)]
async fn an_env_filter_decides_in_place_of_a_loggers_filter_that_passes_everything() {
    let weir = Weir::filter("trace").await;
    let environment = tracing_subscriber::EnvFilter::new("warn,[step{n=1}]=debug");
    let guard = registry().with(weir.logger.tracing_layer().with_filter(environment)).set_default();
    log_all();
    debug!(target: "app", "outside");
    drop(guard);
    let expected = ["2", "3", "4", "5"].map(|n| format!("{n} span=step spans=step n=1"));
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_global_filter_decides_for_all() {
    let (weir, beside) = (Weir::filter("trace").await, Beside::default());
    let layers = registry().with(weir.logger.tracing_layer()).with(beside.clone()).with(LevelFilter::WARN);
    let guard = layers.set_default();
    log_all();
    drop(guard);
    assert_eq!(beside.told(), ["noisy"]);
    assert_eq!(weir.lines().await, ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_for_a_time_reaches_call_sites_that_were_kept_out_and_leaves_them_again() {
    let weir = Weir::filter("warn").await;
    let guard = weir.listen();
    let log = |n: u64| info!("info {n}");
    log(1);
    weir.logger.set_temporary_filter("info", Duration::from_secs(60)).unwrap();
    log(2);
    tokio::time::sleep(Duration::from_secs(61)).await;
    log(3);
    drop(guard);
    assert_eq!(weir.lines().await, ["info 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_set_at_run_time_reaches_call_sites_that_were_kept_out_and_those_that_were_not() {
    let weir = Weir::filter("warn").await;
    let guard = weir.listen();
    let log = |n: u64| {
        let _span = info_span!("step", n).entered();
        debug!("debug {n}");
        info!("info {n}");
        warn!("warn {n}");
    };
    log(1);
    weir.logger.set_filter("info").unwrap();
    log(2);
    weir.logger.set_filter("trace").unwrap();
    log(3);
    weir.logger.set_filter("off").unwrap();
    log(4);
    assert!(weir.logger.set_filter("loud").is_ok(), "a target");
    assert!(weir.logger.set_filter("=loud").is_err());
    log(5);
    weir.logger.set_filter("warn").unwrap();
    log(6);
    drop(guard);
    let expected = [
        "warn 1",
        "info 2 span=step spans=step n=2",
        "warn 2 span=step spans=step n=2",
        "debug 3 span=step spans=step n=3",
        "info 3 span=step spans=step n=3",
        "warn 3 span=step spans=step n=3",
        "warn 6",
    ];
    assert_eq!(weir.lines().await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_out_is_not_formatted() {
    struct Never;
    impl std::fmt::Debug for Never {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("formatted")
        }
    }

    let (weir, beside) = (Weir::filter("info").await, Beside::default());
    let guard = registry().with(beside.clone()).with(weir.logger.tracing_layer()).set_default();
    let span = debug_span!("step", never = ?Never, later = tracing::field::Empty);
    span.record("later", tracing::field::debug(Never));
    debug!(never = ?Never, "debug {:?}", Never);
    drop(guard);
    assert_eq!((beside.told().len(), weir.end().await.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_layer_without_the_filter_keeps_events_out_all_the_same() {
    let weir = Weir::filter("info,noisy=warn").await;
    let guard = registry().with(TracingLayer::new(&weir.logger)).set_default();
    log_all();
    drop(guard);
    // The span is carried: no filter of `tracing` keeps it out.
    assert_eq!(weir.lines().await, ["3 span=step spans=step n=1", "5 span=step spans=step n=1"]);
}

#[tokio::test(start_paused = true)]
async fn the_layer_may_be_optional_boxed_and_one_of_many() {
    let weir = Weir::filter("info").await;
    let boxed: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![weir.logger.tracing_layer().boxed()];
    let guard = registry().with(boxed).with(None::<Beside>).set_default();
    log_all();
    drop(guard);
    let guard = registry().with(Some(weir.logger.tracing_layer())).set_default();
    log_all();
    drop(guard);
    assert_eq!(weir.lines().await, ["3", "5", "3", "5"]);
}

#[tokio::test(start_paused = true)]
async fn two_loggers_in_one_registry_have_their_own_filters_contexts_and_spans() {
    let (first, second) = (Weir::filter("info").await, Weir::filter("debug").await);
    let child = second.logger.with("logger", "second");
    let guard = registry().with(first.logger.tracing_layer()).with(child.tracing_layer()).set_default();
    let outer = info_span!("outer", a = 1, later = tracing::field::Empty);
    let inner = debug_span!(parent: &outer, "inner", b = 2);
    outer.record("later", 3);
    outer.in_scope(|| inner.in_scope(|| info!("both")));
    inner.in_scope(|| debug!("one"));
    drop(guard);
    assert_eq!(first.lines().await, ["both span=outer spans=outer a=1 later=3"]);
    let fields = "logger=second span=inner spans=outer:inner a=1 later=3 b=2";
    assert_eq!(second.lines().await, [format!("both {fields}"), format!("one {fields}")]);
}

#[tokio::test(start_paused = true)]
async fn a_nested_default_takes_over_and_gives_back() {
    let (outer, inner) = (Weir::new().await, Weir::filter("warn").await);
    let guard = outer.listen();
    let span = info_span!("outer").entered();
    info!("1");
    let nested = inner.listen();
    warn!("2");
    info!("kept out here, and not for the outer one");
    info_span!("other").in_scope(|| warn!("3"));
    drop(nested);
    info!("4");
    drop(span);
    drop(guard);
    info!("nobody listens");
    assert_eq!(outer.lines().await, ["1 span=outer spans=outer", "4 span=outer spans=outer"]);
    // A span of another subscriber is none of this one's.
    assert_eq!(inner.lines().await, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_logged_after_the_shutdown_is_refused_and_counted() {
    let weir = Weir::new().await;
    let guard = weir.listen();
    let _span = info_span!("request").entered();
    info!("before");
    assert_eq!(weir.lines().await, ["before span=request spans=request"]);
    info!("after");
    drop(guard);
    let stats = weir.logger.stats();
    assert_eq!((stats.refused.get(logweir::DropReason::Closed), stats.accepted), (1, 1));
    support::balance_stats(&stats, &[("memory", 1)]);
}
