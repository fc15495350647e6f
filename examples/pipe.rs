//! seq 1000000 | cargo run --release --example pipe -- numbers.json
//!
//! Runs the lines of standard input through the logger into a file, losing none: one JSON line each, with the text as
//! `message` and its number as `line`. The file is appended to. Try it on an access log, or on a program's output:
//!
//! ```text
//! journalctl | cargo run --release --example pipe -- journal.json
//! tail -n 1 journal.json | jq .
//! ```
//!
//! The chain is lossless from end to end: the file's pipeline waits (`Backlog::Wait`), so the queue fills, so
//! `emit_wait` waits, so standard input is not read, so the program before the pipe waits. It ends with the report, and
//! fails unless lines read, events delivered and lines in the file are the same number.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report, progress and errors are for the terminal")]

use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::from_utf8;
use std::time::{Duration, Instant};

use logweir::error::EmitError;
use logweir::format::Json;
use logweir::sink::FileSink;
use logweir::{Backlog, Event, Level, Logger, Overflow, Pipeline, ShutdownReport};
use tokio::io::{AsyncBufReadExt, BufReader};

/// More than the logger's limit of 256 KiB, so that it is the logger that cuts, flags and counts; less than any memory.
const LONGEST: usize = 512 << 10;
const CHUNK: usize = 256 << 10;
const PROGRESS: Duration = Duration::from_millis(200);
const SHUTDOWN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let out = match (arguments.next(), arguments.next()) {
        (Some(out), None) if out != "--help" && out != "-h" => PathBuf::from(out),
        (Some(_), None) => {
            println!("Usage: pipe OUT < LINES");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("pipe: expected one argument, the file to append to\nUsage: pipe OUT < LINES");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(run(&out)).unwrap_or_else(|error| fail(&*error));
    // After a signal, standard input may still be read: its thread is left behind.
    runtime.shutdown_background();
    code
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("pipe: {error}");
    ExitCode::FAILURE
}

async fn run(out: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let stopped = stop_signal()?;
    let before = count_lines(out)?;
    let logger = Logger::builder()
        .name("pipe")
        // One lane keeps the order of all events; `DropNewest` does not evict what `emit_wait` has accepted.
        .lanes(1)
        .overflow(Overflow::DropNewest)
        .sink("file", Pipeline::to(FileSink::new(out).format(Json::new())).when_full(Backlog::Wait))
        .start()?;

    let mut pump = Pump::new(logger.clone());
    let ended = tokio::select! {
        ended = pump.run() => ended,
        signal = stopped => {
            eprintln!("pipe: {signal}, what follows line {} is not read", pump.lines);
            Ok(())
        }
    };
    let report = logger.shutdown(SHUTDOWN).await;
    pump.summarize(report.truncated);
    println!("{report}");
    ended?;
    let written = count_lines(out)?.zip(before).map(|(after, before)| after.saturating_sub(before));
    conclude(&pump, &report, written)
}

/// Whether everybody counted the same.
fn conclude(pump: &Pump, report: &ShutdownReport, written: Option<u64>) -> Result<ExitCode, Box<dyn Error>> {
    report.check()?;
    let delivered = report.sink("file").map_or(0, |sink| sink.delivered);
    let agree = pump.lines == delivered && written.is_none_or(|written| written == delivered);
    let written = written.map_or("not counted".to_owned(), |written| written.to_string());
    let verdict = if agree { "they agree" } else { "MISMATCH" };
    println!("lines read {}, delivered {delivered}, in the file {written}: {verdict}", pump.lines);
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Standard input into events.
struct Pump {
    logger: Logger,
    /// The line so far.
    line: Vec<u8>,
    /// Bytes of it that are not kept.
    skipped: usize,
    lines: u64,
    bytes: u64,
    not_utf8: u64,
    begin: Instant,
    progress: Progress,
}

impl Pump {
    fn new(logger: Logger) -> Self {
        let begin = Instant::now();
        let progress = Progress { shown: begin, on: io::stderr().is_terminal() };
        Pump { logger, line: Vec::new(), skipped: 0, lines: 0, bytes: 0, not_utf8: 0, begin, progress }
    }

    /// Reads to the end. Dropped before, it has counted exactly what was accepted.
    async fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let mut input = BufReader::with_capacity(CHUNK, tokio::io::stdin());
        loop {
            let chunk = input.fill_buf().await?;
            if chunk.is_empty() {
                break;
            }
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                let text = part.strip_suffix(b"\n");
                self.keep(text.unwrap_or(part));
                if text.is_some() {
                    self.emit(1).await?;
                }
            }
            let read = chunk.len();
            input.consume(read);
            self.progress.show(self.lines, self.begin);
        }
        if !self.line.is_empty() {
            self.emit(0).await?;
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LONGEST - self.line.len();
        let kept = part.len().min(room);
        self.line.extend_from_slice(&part[..kept]);
        self.skipped += part.len() - kept;
    }

    /// Emits the line, which had a terminator of so many bytes.
    async fn emit(&mut self, terminator: usize) -> Result<(), EmitError> {
        let (text, is_valid) = match from_utf8(&self.line) {
            Ok(text) => (Cow::Borrowed(text), true),
            // A character that was cut in two is no fault of the input.
            Err(error) => (String::from_utf8_lossy(&self.line), self.skipped > 0 && error.error_len().is_none()),
        };
        let event = Event::dynamic(Level::Info, "pipe", &text).with("line", self.lines + 1);
        self.logger.emit_wait(event).await?;

        self.lines += 1;
        self.bytes += (self.line.len() + self.skipped + terminator) as u64;
        self.not_utf8 += u64::from(!is_valid);
        self.line.clear();
        self.skipped = 0;
        Ok(())
    }

    fn summarize(&self, truncated: u64) {
        self.progress.clear();
        let seconds = self.begin.elapsed().as_secs_f64();
        let (lines, megabytes) = (self.lines as f64 / seconds, self.bytes as f64 / 1e6 / seconds);
        println!(
            "{} lines, {} bytes in {seconds:.2} s: {lines:.0} lines/s, {megabytes:.1} MB/s",
            self.lines, self.bytes
        );
        if self.not_utf8 > 0 {
            println!("{} lines were not UTF-8: their invalid bytes are U+FFFD in the file", self.not_utf8);
        }
        if truncated > 0 {
            println!("{truncated} lines were longer than an event may be: they are cut, and flagged in the file");
        }
    }
}

/// A line on a terminal that rewrites itself.
struct Progress {
    shown: Instant,
    on: bool,
}

impl Progress {
    fn show(&mut self, lines: u64, begin: Instant) {
        if self.on && self.shown.elapsed() >= PROGRESS {
            self.shown = Instant::now();
            eprint!("\r\x1b[K{lines} lines, {:.0} lines/s", lines as f64 / begin.elapsed().as_secs_f64());
        }
    }

    fn clear(&self) {
        if self.on {
            eprint!("\r\x1b[K");
        }
    }
}

/// Lines in a file, one without its end included; 0 if there is none yet. None for a device or a pipe.
fn count_lines(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
        // What cannot be opened is for the sink to say.
        _ => return Ok(None),
    }
    let (mut file, mut buffer, mut lines, mut last) = (File::open(path)?, vec![0; CHUNK], 0, b'\n');
    loop {
        let read = file.read(&mut buffer)?;
        let Some(end) = read.checked_sub(1) else { break };
        lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        last = buffer[end];
    }
    Ok(Some(lines + u64::from(last != b'\n')))
}

/// Ends with SIGTERM or the second Ctrl-C. The first one goes to the program before the pipe, too, and its last lines
/// are still to be read.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        let twice = async {
            interrupt.recv().await;
            eprintln!("\npipe: reading to the end of the input; Ctrl-C again stops");
            interrupt.recv().await;
        };
        tokio::select! {
            () = twice => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    // Ctrl-C ends the process as it does without a handler.
    Ok(std::future::pending())
}
