//! The layer under a subscriber that is the process's own: one program, from its first line to its shutdown. `tracing`
//! has no guard against an event inside an event here, and its answers to `enabled!` are exact.

use std::fmt;
use std::time::Duration;

use logweir::sink::MemorySink;
use logweir::{Logger, error};
use tracing::field::{Empty, debug};
use tracing::{Level, Span, debug, info, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

/// A `Debug` that logs, records on the current span and opens another.
struct Logs;

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("inside");
        Span::current().record("later", 1);
        info_span!("deep").in_scope(|| info!("deep inside"));
        f.write_str("logs")
    }
}

#[tokio::test]
async fn a_program_under_a_global_subscriber() -> Result<(), Box<dyn std::error::Error>> {
    let memory = MemorySink::new();
    let logger = Logger::builder().filter("info,app=debug").lanes(1).sink("memory", memory.clone()).start()?;
    registry().with(logger.tracing_layer()).try_init()?;

    // What passes, and what costs nothing because nobody can want it.
    assert!(tracing::enabled!(Level::INFO) && !tracing::enabled!(Level::DEBUG));
    assert!(tracing::enabled!(target: "app", Level::DEBUG) && !tracing::enabled!(target: "app", Level::TRACE));
    assert!(!tracing::span_enabled!(Level::DEBUG, "step"));
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);

    // A value that logs while it is formatted: in a new span, in a record, in an event. Nothing waits for itself.
    let span = info_span!("outer", value = ?Logs, later = Empty, more = Empty).entered();
    span.record("more", debug(Logs));
    info!(value = ?Logs, "{:?}", Logs);
    span.exit();

    // `init` has brought the records of `log` here too, as it does by default.
    log::warn!(target: "app::db", "a record");
    log::debug!(target: "elsewhere", "kept out");
    log::debug!(target: "app::db", "another");

    debug!("kept out");
    logger.set_filter("debug")?;
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
    debug!("let in");
    logger.set_filter("off")?;
    assert_eq!(LevelFilter::current(), LevelFilter::OFF);
    tracing::error!("kept out");
    logger.set_filter("info")?;
    error!(logger: logger, "the macros of this crate go there too");

    let report = logger.shutdown(Duration::from_secs(20)).await;
    report.check()?;
    let lines: Vec<String> = memory
        .events()
        .iter()
        .map(|event| {
            let fields = event.fields().map(|(name, value)| format!(" {name}={value}"));
            event.message() + &fields.collect::<String>()
        })
        .collect();
    let (outer, deep) = ("span=outer spans=outer value=logs", "span=deep spans=outer:deep value=logs");
    let expected = [
        // The span is not there yet.
        "inside".to_owned(),
        "deep inside span=deep spans=deep".to_owned(),
        // `record`
        format!("inside {outer}"),
        format!("deep inside {deep} later=1"),
        // The message, then the field. What is recorded again goes to the end.
        format!("inside {outer} later=1 more=logs"),
        format!("deep inside {deep} more=logs later=1"),
        format!("inside {outer} more=logs later=1"),
        format!("deep inside {deep} more=logs later=1"),
        // The event has a field that the span has too: both are there.
        "logs value=logs span=outer spans=outer outer.value=logs more=logs later=1".to_owned(),
        "a record".to_owned(),
        "another".to_owned(),
        "let in".to_owned(),
        "the macros of this crate go there too".to_owned(),
    ];
    assert_eq!(lines, expected);
    assert_eq!((report.emitted, report.sinks[0].delivered), (expected.len() as u64, expected.len() as u64));
    let record = &memory.events()[9];
    assert_eq!((record.target(), record.file()), ("app::db", Some(file!())));

    // The subscriber keeps the logger; what comes now is refused and counted.
    info!("too late");
    assert_eq!(logger.stats().refused.get(logweir::DropReason::Closed), 1);
    Ok(())
}
