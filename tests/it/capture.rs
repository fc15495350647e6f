//! What users assert their own logs with.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use logweir::testing::{capture, capture_with};
use logweir::{Level, Logger, debug, fields, info, scope, warn};

#[test]
fn captures_that_run_at_the_same_time_see_their_own_events_alone_whole_and_in_order() {
    const EVENTS: u64 = 20_000;
    let one = |test: u64| {
        let logs = capture();
        (0..EVENTS).for_each(|number| info!(logger: logs.logger(), "{number}", number, test));
        let events = logs.events();
        let numbers: Vec<_> = events.iter().map(|event| event.message().parse::<u64>().unwrap()).collect();
        assert_eq!(numbers, (0..EVENTS).collect::<Vec<u64>>());
        assert!(events.iter().all(|event| event.field("test").unwrap() == test));
    };
    thread::scope(|scope| (0..4).for_each(|test| drop(scope.spawn(move || one(test)))));
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_neither_stops_nor_hurries_a_capture() {
    let logs = capture();
    let began = tokio::time::Instant::now();
    debug!(logger: logs.logger(), "now");
    assert_eq!(logs.select().messages(), ["now"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
    let logger = logs.logger().clone();
    tokio::spawn(scope(fields![job = 1], async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        info!(logger: logger, "ten minutes later");
    }));
    let later = logs.wait_for(2, Duration::from_secs(7200)).await.unwrap();
    assert_eq!(later.field("job", 1).exactly_one().message(), "ten minutes later");
    assert!((600..602).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let error = logs.wait_for(3, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!((error.wanted, error.seen), (3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_can_be_looked_at_on_a_worker_of_a_runtime() {
    let logs = capture();
    let logger = logs.logger().clone();
    tokio::spawn(async move { info!(logger: logger, "from a task") }).await.unwrap();
    logs.select().message("from a task").exactly_one();
    logs.clear();
    assert_eq!((logs.events().len(), format!("{logs:?}").as_str()), (0, "Capture { events: [] }"));
}

#[test]
fn a_builder_of_ones_own_is_tested_as_it_is() {
    let logs = capture_with(Logger::builder().filter("warn").enrich("service", "shop").redact(["password"]));
    info!(logger: logs.logger(), "kept out");
    warn!(logger: logs.logger(), "{password}", password = "x");
    assert_eq!(logs.select().field("service", "shop").exactly_one().message(), "***");
    let failed = catch_unwind(|| capture_with(Logger::builder().redact(["*"]))).unwrap_err();
    assert!(failed.downcast_ref::<String>().unwrap().contains("`redact` is `*`"));
}

#[test]
fn a_selection_narrows_down_and_says_what_there_is_instead() {
    let logs = capture();
    info!(logger: logs.logger(), target: "app", "paid {amount}", amount = 5_u8);
    warn!(logger: logs.logger(), target: "app::db", "slow", took = 1.5, amount = 5_i64);
    warn!(logger: logs.logger(), target: "apple", "slow");
    let count = |selection: logweir::sink::Selection| selection.len();
    assert_eq!(count(logs.select().target("app")), 2);
    assert_eq!(count(logs.select().level(Level::Warn).message("slow")), 2);
    assert_eq!(count(logs.select().field("amount", 5)), 2);
    assert_eq!(count(logs.select().with_field("took").filter(|event| event.line().is_some())), 1);
    logs.select().field("amount", "5").assert_none();
    let why = |failed: Box<dyn std::any::Any + Send>| *failed.downcast::<String>().unwrap();
    let selection = logs.select().level(Level::Warn);
    assert_eq!(
        why(catch_unwind(AssertUnwindSafe(|| selection.exactly_one())).unwrap_err()),
        "not one event but 2 with level warn: [\n    warn app::db: slow {\"took\": F64(1.5), \"amount\": I64(5)}\n    \
         warn apple: slow {}\n]"
    );
    let selection = logs.select().target("app").message("paid");
    assert!(
        why(catch_unwind(AssertUnwindSafe(|| selection.assert_none())).unwrap_err())
            .starts_with("not none but 1 with target app, message")
    );
}
