//! How many instructions does an event take, on the caller's side and behind it?
//!
//! benches/instructions.sh
//!
//! Runs one way of an event so often and exits; the script has valgrind count the instructions of two runs that differ
//! only in the number of events. What does not depend on it falls out of the difference, which is the same in every run
//! of the same binary.

#![expect(clippy::print_stdout, reason = "says what it can do")]

use std::hint::black_box;
use std::time::Duration;

use logweir::format::Json;
use logweir::sink::NullSink;
use logweir::{Breaker, Event, Format, Level, LevelFilter, Logger, Overflow, Pipeline, Retry, debug, info, new_event};
use tokio::runtime;

const CAPACITY: usize = 1 << 16;
const NEVER: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, way, events] = &arguments[..] else {
        return println!("see benches/instructions.sh");
    };
    let Ok(events) = events.parse() else {
        return println!("how many events? `{events}` is no number");
    };
    match way.as_str() {
        "disabled" => disabled(events),
        "emit" => emit(events),
        "scoped" => logweir::in_scope(logweir::fields![request = 7], || emit(events)),
        "json" => json(events),
        "deliver" => deliver(events, Pipeline::new(NullSink)),
        "bare" => deliver(events, bare()),
        way => println!("no such way: {way}"),
    }
}

/// A call that the filter keeps out.
fn disabled(events: u64) {
    let (runtime, logger) = logger(NullSink);
    for number in 0..events {
        debug!(logger: logger, "request served", user_id = black_box(number), path = black_box("/api/v1/orders"));
    }
    drop((runtime, logger));
}

/// The caller's side: nothing is drained.
fn emit(events: u64) {
    let (_runtime, logger) = logger(NullSink);
    (0..events).for_each(|number| served(&logger, number));
    assert_eq!(logger.stats().accepted, events);
    // What is queued is not of interest, so no hook of the exit may end the logger: that frees each event.
    #[cfg(all(unix, feature = "signal"))]
    signal_hook::low_level::exit(0);
}

/// One line of JSON.
fn json(events: u64) {
    let event: Event = new_event!(
        Level::Info,
        "request served",
        user_id = 7_u64,
        path = "/api/v1/orders",
        status = 200_u64,
        elapsed_ms = 12.5,
    );
    let (mut format, mut line) = (Json::new(), Vec::with_capacity(1024));
    for _ in 0..events {
        line.clear();
        format.format(&black_box(&event).into(), &mut line);
        black_box(&line);
    }
}

/// All the way to a sink that does nothing, in the batches of a busy logger.
fn deliver(events: u64, pipeline: Pipeline) {
    let (runtime, logger) = logger(pipeline);
    let mut left = events;
    while left > 0 {
        let burst = left.min(512);
        (0..burst).for_each(|number| served(&logger, number));
        let flushed = runtime.block_on(logger.flush(PATIENCE));
        assert!(flushed.complete, "{flushed:?}");
        left -= burst;
    }
    assert_eq!(logger.stats().sinks[0].delivered, events);
}

/// A pipeline that does no more than it must.
fn bare() -> Pipeline {
    Pipeline::new(NullSink).retry(Retry::never()).breaker(Breaker::never()).timeout(NEVER)
}

/// On a runtime that runs only while it is waited for: the same steps in every run.
fn logger(pipeline: impl Into<Pipeline>) -> (runtime::Runtime, Logger) {
    let pipeline: Pipeline = pipeline.into();
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let builder =
        Logger::builder().lanes(1).queue_capacity(CAPACITY).memory_limit(64 << 20).overflow(Overflow::DropNewest);
    let logger =
        builder.flush_interval(NEVER).flush_at(LevelFilter::Off).sink("null", pipeline).start_on(runtime.handle());
    (runtime, logger.expect("starts"))
}

#[inline(never)]
fn served(logger: &Logger, number: u64) {
    info!(
        logger: logger,
        "request served",
        user_id = black_box(number),
        path = black_box("/api/v1/orders"),
        status = black_box(200_u64),
        elapsed_ms = black_box(12.5),
    );
}
