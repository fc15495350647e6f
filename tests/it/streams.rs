//! Streams that have other writers: standard output and standard error of a child process, and FIFOs.
//!
//! Every line of a child carries its writer, its number and its length, so that a torn one is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a child prints beside its loggers")]

mod held;
mod kinds;
mod writers;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use logweir::sink::ConsoleSink;
use logweir::{Builder, LevelFilter, Logger, Overflow, Pipeline, Sink, WhenFull, info};

use crate::children::{LONG, Plain, ROLE, Running};

/// How many lines each writer writes. `LOGWEIR_STREAM_LINES` sets it.
fn lines() -> u64 {
    std::env::var("LOGWEIR_STREAM_LINES").map_or(1500, |lines| lines.parse().unwrap())
}

/// This binary again, for the test that plays the children of this topic.
fn child(role: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "streams::the_child", "--nocapture"]).env(ROLE, role).stdin(Stdio::null());
    child
}

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("write", writers) => writers::run(writers),
        ("write-long", writers) => {
            LONG_LINES.store(true, Ordering::Relaxed);
            writers::run(writers);
        }
        ("held", stream) => held::run(stream),
        ("rest", _) => held::run_and_print_the_rest(),
        ("holder", _) => held::run_beside_a_holder(),
        (role, _) => panic!("no such role: {role}"),
    }
    // The test harness would write to standard output.
    std::process::exit(0);
}

/// Whether some lines are longer than a pipe takes at once.
static LONG_LINES: AtomicBool = AtomicBool::new(false);

/// The padding of a line: mostly short, sometimes up to 3,000 bytes, or 15,000 if there are long lines.
fn padding(number: u64) -> String {
    let factor = if LONG_LINES.load(Ordering::Relaxed) { 5 } else { 1 };
    let length = if number.is_multiple_of(16) { 1000 + number * 37 % 2000 } else { number * 31 % 300 };
    "x".repeat(factor * length as usize)
}

/// The text of a writer's line.
fn text(writer: &str, number: u64) -> String {
    let padding = padding(number);
    format!("line {writer} {number} {} {padding} end", padding.len())
}

/// A logger that loses nothing.
fn lossless(sink: impl Into<Pipeline>) -> Builder<'static> {
    let pipeline = sink.into().when_full(WhenFull::Block).timeout(10 * LONG);
    let builder = Logger::builder().overflow(Overflow::Block(LONG)).flush_at(LevelFilter::Off);
    builder.flush_interval(Duration::from_millis(1)).sink("console", pipeline)
}

fn emit(logger: &Logger, writer: &str) {
    (0..lines()).for_each(|number| info!(logger: logger, "{line}", line = text(writer, number)));
}

/// Shuts down; every line is delivered.
fn end(logger: &Logger) {
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    assert_eq!(report.sinks[0].delivered, lines(), "{report}");
}

/// How a stream is read.
#[derive(Clone, Copy, Debug)]
enum Reader {
    Fast,
    /// In small pieces with pauses, so that the stream is full most of the time.
    Slow,
}

impl Reader {
    fn read(self, mut stream: impl Read) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), vec![0; 5000]);
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return all,
                Ok(count) => all.extend_from_slice(&piece[..count]),
                // The last process has closed its side of a pseudo-terminal.
                Err(error) if error.raw_os_error() == Some(5) => return all,
                Err(error) => panic!("{error}"),
            }
            if matches!(self, Reader::Slow) {
                thread::sleep(Duration::from_micros(300));
            }
        }
    }
}

/// Every line is whole, and each writer's lines are there once, in order.
#[track_caller]
fn assert_whole(what: &str, output: &[u8], writers: &[&str]) {
    let output = String::from_utf8_lossy(output).replace('\r', "");
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let (mut torn, mut last) = (Vec::new(), "");
    for line in output.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let whole = match words[..] {
            ["line", writer, number, length, padding, "end"] => {
                let whole = padding.len().to_string() == length && padding.bytes().all(|byte| byte == b'x');
                numbers.entry(writer).or_default().push(number.parse().unwrap_or(u64::MAX));
                whole
            }
            // The test harness.
            _ => line.is_empty() || line.starts_with("running 1 test") || line.starts_with("logweir: "),
        };
        if !whole {
            torn.push(format!("{line:.200} after {last:.60}"));
        }
        last = line;
    }
    assert!(torn.is_empty(), "{what}: {} torn lines: {:#?}", torn.len(), &torn[..torn.len().min(5)]);
    assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), writers, "{what}");
    for (writer, numbers) in numbers {
        assert!(numbers.iter().copied().eq(0..lines()), "{what}: lines of {writer}: {}", numbers.len());
    }
}

/// Runs a child whose two streams are these, and reads the other end.
#[track_caller]
fn check(what: &str, role: &str, streams: (Stdio, Stdio), reader: Reader, stream: impl Read, writers: &[&str]) {
    let mut command = child(role);
    command.stdout(streams.0).stderr(streams.1);
    let mut running = Running::start(&mut command);
    // The parent's copies of the descriptors, so that the stream ends with the child.
    drop(command);
    let output = reader.read(stream);
    let status = running.0.wait().unwrap();
    let tail = String::from_utf8_lossy(&output[output.len().saturating_sub(600)..]).into_owned();
    assert!(status.success(), "{what}: {status}: {tail}");
    assert_whole(what, &output, writers);
}
