//! What does a call of `tracing` cost through the layer, beside `tracing-subscriber` with `tracing-appender`?
//!
//! cargo bench --features tracing --bench tracing
//!
//! `tracing::info!` with a message and four typed fields, outside of spans and in two of them, to a file, lossless on all
//! sides (`lossy(false)` there, `Block` and `Wait` here), in bursts of 1000, each call timed on its own. `Json` and `Text`
//! are the formats of `tracing-subscriber`; `Bare` is the registry without any layer, `Macro` the macro of this crate.
//! Rounds of all cases are interleaved; the figures are medians of the rounds, less the two clock reads. What is not in
//! the file stands beside them.
//!
//! For instructions instead of time, two runs with different numbers of calls, and the difference by the calls' number:
//!
//! valgrind --tool=callgrind --toggle-collect='*tracing::emit*' target/release/deps/tracing-… count Weir 20000

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use logweir::format::Json;
use logweir::sink::FileSink;
use logweir::{Logger, Overflow, Pipeline, WhenFull};
use tracing::dispatcher::{Dispatch, with_default};
use tracing::{info, info_span};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

const BURST: usize = 1000;
const BURSTS: usize = 20;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Case {
    Weir,
    Json,
    Text,
    Bare,
    Macro,
}

const CASES: [Case; 5] = [Case::Weir, Case::Json, Case::Text, Case::Bare, Case::Macro];

/// What is timed.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Work {
    /// An event outside of spans.
    Event,
    /// An event in two spans of two fields each.
    InSpans,
    /// A span of two fields: opened, entered, an event, closed.
    Span,
    /// An event that the filter keeps out.
    Off,
}

const WORKS: [Work; 4] = [Work::Event, Work::InSpans, Work::Span, Work::Off];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("logweir-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the files");
    match arguments.iter().position(|argument| argument == "count") {
        Some(at) => count(&arguments[at + 1..], &folder),
        None => compare(&folder),
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

fn compare(folder: &Path) {
    let clock = clock_pair();
    println!("two clock reads: {clock} ns, taken off below");
    println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "ns per call", "p50", "p90", "p99", "lost");
    for work in WORKS {
        // The macro of this crate knows no spans of `tracing`, and what it keeps out is measured in `caller`.
        let cases: Vec<Case> = CASES
            .into_iter()
            .filter(|case| *case != Case::Macro || matches!(work, Work::Event | Work::InSpans))
            .collect();
        let mut figures: Vec<Vec<[u64; 3]>> = cases.iter().map(|_| Vec::new()).collect();
        let mut lost = vec![0; cases.len()];
        for round in 0..ROUNDS {
            for (index, case) in cases.iter().copied().enumerate() {
                let file = folder.join(format!("{work:?}-{case:?}-{round}"));
                let mut nanos = run(case, &file, |setup| bursts(setup, work));
                nanos.sort_unstable();
                figures[index].push([500, 900, 990].map(|permille| nanos[nanos.len() * permille / 1000]));
                if case != Case::Bare && work != Work::Off {
                    lost[index] += BURST * BURSTS - lines(&file);
                }
            }
        }
        let medians: Vec<[u64; 3]> = figures
            .iter()
            .map(|rounds| {
                [0, 1, 2].map(|at| median(rounds.iter().map(|round| round[at]).collect()).saturating_sub(clock))
            })
            .collect();
        for ((case, [p50, p90, p99]), lost) in cases.iter().zip(&medians).zip(lost) {
            println!("{:<16} {p50:>8} {p90:>8} {p99:>8} {lost:>8}", format!("{work:?}, {case:?}"));
        }
        if work != Work::Off {
            println!("{:<16} {:>8.2}", "weir / json", medians[0][0] as f64 / medians[1][0] as f64);
        }
    }
}

/// `count CASE WORK CALLS`
fn count(arguments: &[String], folder: &Path) {
    let [case, work, calls] = arguments else { panic!("count CASE WORK CALLS") };
    let case = CASES.into_iter().find(|known| format!("{known:?}") == *case).expect("a case");
    let work = WORKS.into_iter().find(|known| format!("{known:?}") == *work).expect("a work");
    let calls: usize = calls.parse().expect("a number");
    run(case, &folder.join("count"), |setup| {
        let emit = |number| emit(setup, work, number);
        in_spans(work, || (0..calls).for_each(emit));
    });
}

struct Setup {
    dispatch: Dispatch,
    /// For `Macro`.
    logger: Option<Logger>,
}

/// Runs `work` with the case's subscriber, then waits until everything is in the file.
fn run<R>(case: Case, file: &Path, work: impl FnOnce(&Setup) -> R) -> R {
    let run = |setup: Setup| with_default(&setup.dispatch, || work(&setup));
    match case {
        Case::Weir | Case::Macro => {
            let logger = lossless(file);
            let dispatch = registry().with(logger.tracing_layer()).into();
            let result = run(Setup { dispatch, logger: (case == Case::Macro).then(|| logger.clone()) });
            let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
            report.check().expect("the books balance");
            result
        }
        Case::Json | Case::Text => {
            let (writer, guard) = appender(file);
            let dispatch = if case == Case::Json {
                let layer = fmt::layer().json().with_writer(writer).with_filter(LevelFilter::INFO);
                registry().with(layer).into()
            } else {
                let layer = fmt::layer().with_ansi(false).with_writer(writer).with_filter(LevelFilter::INFO);
                registry().with(layer).into()
            };
            let result = run(Setup { dispatch, logger: None });
            drop(guard);
            result
        }
        Case::Bare => run(Setup { dispatch: registry().with(LevelFilter::INFO).into(), logger: None }),
    }
}

fn lossless(file: &Path) -> Logger {
    let sink = Pipeline::new(FileSink::new(file).format(Json::new())).when_full(WhenFull::Block);
    let logger = Logger::builder().filter("info").overflow(Overflow::Block(PATIENCE)).sink("file", sink);
    logger.start().expect("starts")
}

fn appender(file: &Path) -> (tracing_appender::non_blocking::NonBlocking, WorkerGuard) {
    let file = std::fs::File::create(file).expect("creates");
    NonBlockingBuilder::default().lossy(false).finish(std::io::BufWriter::new(file))
}

fn bursts(setup: &Setup, work: Work) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(BURST * BURSTS);
    in_spans(work, || {
        for number in 0..BURST * BURSTS {
            if number % BURST == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
            let started = Instant::now();
            emit(setup, work, number);
            nanos.push(started.elapsed().as_nanos() as u64);
        }
    });
    nanos
}

fn in_spans<R>(work: Work, body: impl FnOnce() -> R) -> R {
    if work != Work::InSpans {
        return body();
    }
    let outer = info_span!("request", method = "GET", id = 7_u64);
    let inner = info_span!(parent: &outer, "charge", order = 42_u64, currency = "EUR");
    outer.in_scope(|| inner.in_scope(body))
}

#[inline(never)]
fn emit(setup: &Setup, work: Work, number: usize) {
    match (work, &setup.logger) {
        (Work::Off, _) => tracing::debug!(number, "never"),
        (Work::Span, _) => {
            let span = info_span!("request", method = black_box("GET"), id = black_box(number));
            span.in_scope(|| event(number as u64));
        }
        (Work::Event | Work::InSpans, None) => event(number as u64),
        (Work::Event | Work::InSpans, Some(logger)) => logweir::info!(
            logger: logger,
            "request served",
            user_id = black_box(number as u64),
            path = black_box("/api/v1/orders"),
            status = black_box(200_u64),
            elapsed_ms = black_box(12.5),
        ),
    }
}

#[inline]
fn event(number: u64) {
    info!(
        user_id = black_box(number),
        path = black_box("/api/v1/orders"),
        status = black_box(200_u64),
        elapsed_ms = black_box(12.5),
        "request served",
    );
}

fn lines(file: &Path) -> usize {
    let bytes = std::fs::read(file).expect("the file is there");
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn clock_pair() -> u64 {
    let nanos = (0..10_001).map(|_| {
        let started = Instant::now();
        started.elapsed().as_nanos() as u64
    });
    median(nanos.collect())
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
