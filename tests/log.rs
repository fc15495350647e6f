//! The logger of the `log` crate is the process's: one test, in a binary of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use logweir::sink::MemorySink;
use logweir::{DropReason, Level, Logger, Value};

const PATIENCE: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_secs(3600);

fn never() -> u8 {
    panic!("evaluated")
}

/// As `log` has it: the calls of a program that knows nothing of us.
fn work() {
    log::info!(target: "shop::cart", user = "ada", items = 3_u64, price:? = Some(1.5); "{} items in the cart", 3);
    log::debug!("not evaluated: {}", never());
}

fn max_level_follows_the_filter(logger: &Logger) {
    assert_eq!(log::max_level(), log::LevelFilter::Info);
    for (filter, expected) in [
        ("warn,shop=debug", log::LevelFilter::Debug),
        ("off,shop=fatal", log::LevelFilter::Off),
        ("off", log::LevelFilter::Off),
        ("error", log::LevelFilter::Error),
        ("warn", log::LevelFilter::Warn),
        ("trace", log::LevelFilter::Trace),
        ("info", log::LevelFilter::Info),
    ] {
        logger.set_filter(filter).unwrap();
        assert_eq!(log::max_level(), expected, "{filter}");
    }
    logger.set_filter("loud=1").unwrap_err();
    assert_eq!(log::max_level(), log::LevelFilter::Info);
    logger.set_temporary_filter("trace", Duration::from_millis(50)).unwrap();
    let since = Instant::now();
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    while log::max_level() != log::LevelFilter::Info {
        assert!(since.elapsed() < PATIENCE, "the filter is {}", logger.filter());
        thread::sleep(Duration::from_millis(1));
    }
}

fn flush_reaches_the_sink(memory: &MemorySink) {
    let before = memory.total();
    work();
    log::logger().flush();
    assert_eq!(memory.total(), before + 1, "outside a runtime it waits");
    for build in [tokio::runtime::Builder::new_current_thread, tokio::runtime::Builder::new_multi_thread] {
        let runtime = build().enable_all().build().unwrap();
        runtime.block_on(async {
            let before = memory.total();
            work();
            log::logger().flush();
            // It does not wait, so neither interval nor level but this flush brings it here.
            assert_eq!(memory.wait_for(before as usize + 1, PATIENCE).await.unwrap().len() as u64, before + 1);
        });
    }
}

#[test]
fn log_goes_to_the_logger_that_was_installed_first_and_keeps_it_until_it_is_shut_down() {
    log::error!("before there is a logger");
    let memory = MemorySink::new();
    let sink = || Logger::builder().flush_interval(NEVER).sink("memory", memory.clone());
    let logger = sink().name("first").start().unwrap();
    logger.with("service", "shop").install_log().unwrap();
    max_level_follows_the_filter(&logger);

    // A second one changes nothing, the level neither.
    let second = Logger::builder().level(Level::Trace).sink("memory", MemorySink::new()).start().unwrap();
    let error = second.install_log().unwrap_err();
    assert!(error.to_string().starts_with("the `log` crate has a logger already"), "{error}");
    assert!(error.source().is_some_and(|source| source.is::<log::SetLoggerError>()));
    assert_eq!(log::max_level(), log::LevelFilter::Info);
    second.set_filter("trace").unwrap();
    assert_eq!(log::max_level(), log::LevelFilter::Info);

    flush_reaches_the_sink(&memory);
    let seen = memory.events();
    let event = seen[0].event();
    assert_eq!((event.level(), event.target()), (Level::Info, "shop::cart"));
    assert_eq!((event.module(), event.file()), (Some("log"), Some("tests/log.rs")));
    assert!(event.line().is_some_and(|line| line > 10));
    assert_eq!(seen[0].message(), "3 items in the cart");
    assert_eq!(seen[0].field("user"), Some(Value::Str("ada")));
    assert_eq!(seen[0].field("items"), Some(Value::U64(3)));
    assert_eq!(seen[0].field("price"), Some(Value::Str("Some(1.5)")));
    assert_eq!(seen[0].field("service"), Some(Value::Str("shop")));

    // `log` keeps a handle: dropping all others ends nothing.
    let again = logger.clone();
    drop(logger);
    work();
    let report = again.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    assert_eq!((report.emitted, report.sinks[0].delivered, memory.total()), (4, 4, 4));
    work();
    log::logger().flush();
    assert_eq!(again.stats().refused.get(DropReason::Closed), 1);
}
