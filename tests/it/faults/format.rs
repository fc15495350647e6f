//! A user's format panics at certain events, in a file and on the console.

use std::fs;
use std::io::Write;
use std::time::Duration;

use logweir::event::Record;
use logweir::sink::{ConsoleSink, FileSink, SinkErrorKind};
use logweir::{DropReason, Format, Pipeline, ShutdownReport};

use super::{BATCH, EVENTS, Home};
use crate::children::{ROLE, child_of, folder};
use crate::support::{PATIENCE, Told, balance, builder, emit_numbers};

const POISON: [u64; 2] = [5, 14];
const HOMES: [Home; 3] = [Home::Own, Home::Single, Home::Workers];

/// The message and a newline. Panics in the middle of a poison's line.
struct Fragile;

impl Format for Fragile {
    fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let message = record.message().to_string();
        write!(out, "{message}").unwrap();
        assert!(!POISON.contains(&message.parse().unwrap()), "scripted");
        writeln!(out).unwrap();
    }
}

/// Everything but the poison, to `events`.
fn whole(events: u64) -> Vec<u64> {
    (0..events).filter(|number| !POISON.contains(number)).collect()
}

/// Twenty events in two batches, each with a poison in it; then, to see that it goes on, ten more.
fn run(home: Home, pipeline: impl Into<Pipeline>) -> ShutdownReport {
    // Without notices: what is read back is numbers.
    let builder = builder().batch_size(BATCH).notice_interval(Duration::MAX);
    let logger = home.start(builder.sink("sink", pipeline.into().timeout(10 * PATIENCE)));
    emit_numbers(&logger, 0..EVENTS);
    assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
    emit_numbers(&logger, EVENTS..EVENTS + 10);
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!((report.emitted, report.accepted, report.timed_out), (EVENTS + 10, EVENTS + 10, false));
    report
}

/// The poison is found: two events of thirty, by the same number of calls wherever it runs.
fn check(report: &ShutdownReport) {
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, sink.unconfirmed, sink.maybe_duplicated), (EVENTS + 8, 0, 0), "{sink}");
    // What was formatted before the panic is delivered, so each half that is tried begins at a poison: five events, two,
    // one; six, three, one.
    assert_eq!((sink.errors_of(SinkErrorKind::Panic), sink.errors), (6, 6), "{sink}");
}

#[test]
fn a_format_that_panics_costs_a_file_the_poison_alone() {
    for home in HOMES {
        for has_fallback in [false, true] {
            println!("{home:?}: fallback: {has_fallback}");
            let (path, fallback) = (folder("format").join("app.log"), Told::default());
            let mut pipeline = Pipeline::new(FileSink::new(&path).format(Fragile));
            if has_fallback {
                pipeline = pipeline.fallback(fallback.sink());
            }
            let report = run(home, pipeline);
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
            assert_eq!(lines, whole(EVENTS + 10), "in order, and nothing of a poison's line");
            balance(&report, &[("sink", lines.len() as u64)]);
            check(&report);
            let poison = if has_fallback { POISON.to_vec() } else { Vec::new() };
            assert_eq!(
                (fallback.numbers(), report.sinks[0].delivered_by_fallback),
                (poison.clone(), poison.len() as u64)
            );
            let lost = 2 - poison.len() as u64;
            let dropped = &report.sinks[0].dropped;
            assert_eq!((dropped.get(DropReason::Panicked), dropped.total()), (lost, lost));
        }
    }
}

/// Where the console is a pipe.
#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let home = HOMES.into_iter().find(|home| format!("{home:?}") == role).unwrap();
    let report = run(home, ConsoleSink::stdout().format(Fragile));
    balance(&report, &[("sink", EVENTS + 8)]);
    check(&report);
    let dropped = &report.sinks[0].dropped;
    assert_eq!((dropped.get(DropReason::Panicked), dropped.total()), (2, 2));
    std::process::exit(0);
}

#[test]
fn a_format_that_panics_costs_the_console_the_poison_alone() {
    for home in HOMES {
        let output = child_of("faults::format::the_child", &format!("{home:?}")).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{home:?}: {}: {stderr}", output.status);
        // The test harness writes to standard output, too.
        let lines: Vec<u64> = stdout.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(lines, whole(EVENTS + 10), "{home:?}");
    }
}
