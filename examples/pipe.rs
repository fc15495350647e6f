//! seq 1000000 | cargo run --release --all-features --example pipe -- numbers.json
//!
//! Runs the lines of standard input through the logger into a file, losing none: one event each, with the text as message
//! and its number as the field `line`. The file is appended to. Try it on an access log, or on a program's output:
//!
//! ```text
//! journalctl | pipe journal.json
//! app | pipe app.log --format logfmt --roll day --max-bytes 64MiB --keep-age 14d --keep-bytes 1GiB --gzip
//! app | pipe --config logweir.toml        # everything that a configuration can say; --example-config prints one
//! ```
//!
//! The chain is lossless from end to end: the file's pipeline waits (`WhenFull::Block`), so the queue fills, so
//! `emit_wait` waits, so standard input is not read, so the program before the pipe waits. It ends with the report, and
//! fails unless every line that was read was delivered; of a single file with a line for each the lines are counted, too.
//! SIGHUP opens the file again, for logrotate.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report, progress and errors are for the terminal")]

use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::from_utf8;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Parser, ValueEnum};
use logweir::config::{Config, ConfigError, SinkRegistry};
use logweir::error::EmitError;
use logweir::{Event, Level, Logger, ShutdownReport};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// More than the logger's limit of 256 KiB, so that it is the logger that cuts, flags and counts; less than any memory.
const LONGEST: usize = 512 << 10;
const TARGET: &str = "pipe";
const CHUNK: usize = 256 << 10;
const PROGRESS: Duration = Duration::from_millis(200);
/// Compressing included.
const SHUTDOWN: Duration = Duration::from_secs(600);

/// Runs the lines of standard input through logweir into a file, losing none.
#[derive(Parser)]
#[command(
    version,
    after_help = "Sizes: 64MiB, 64 MB, 4096. Durations: 30s, 12h, 14d. Exit status: 0 if every line that was \
    read was delivered, 2 if it could not begin (wrong arguments or configuration, no such folder), 1 otherwise."
)]
#[command(group = ArgGroup::new("rolling").args(["roll", "max_bytes"]).multiple(true))]
struct Arguments {
    /// The file to append to; with --roll or --max-bytes a link to the current one of several
    #[arg(required_unless_present_any = ["config", "example_config"])]
    out: Option<String>,

    /// How a line is written
    #[arg(long, value_enum, default_value = "json")]
    format: FormatName,

    /// Begin another file each minute, hour or day (UTC)
    #[arg(long, value_enum, value_name = "UNIT")]
    roll: Option<Unit>,

    /// Begin another file when one has so many bytes
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<String>,

    /// Keep so many files, the current one included
    #[arg(long, value_name = "N", requires = "rolling")]
    keep_files: Option<u64>,

    /// Delete files so long after their time was over
    #[arg(long, value_name = "DURATION", requires = "rolling")]
    keep_age: Option<String>,

    /// Keep so many bytes, compressed files counted by what they are
    #[arg(long, value_name = "SIZE", requires = "rolling")]
    keep_bytes: Option<String>,

    /// Compress the files that are no longer written to
    #[arg(long, requires = "rolling")]
    gzip: bool,

    /// The names of the files, with `{date}` and `{seq}` in them
    #[arg(long, value_name = "PATTERN", requires = "rolling")]
    file_name: Option<String>,

    /// What survives a crash
    #[arg(long, value_enum, default_value = "buffered")]
    durability: DurabilityName,

    /// Take everything from a TOML or JSON file, and from variables that begin with LOGWEIR__. Nothing is lost if that says so:
    /// lanes = 1, overflow = "drop_newest", and when_full = "block" for each sink
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "format", "rolling", "durability"])]
    config: Option<PathBuf>,

    /// Print a commented configuration file, and read nothing
    #[arg(long, conflicts_with_all = ["out", "config"])]
    example_config: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Text,
    Pretty,
    Json,
    Clef,
    Logfmt,
}

#[derive(Clone, Copy, ValueEnum)]
enum Unit {
    Minute,
    Hour,
    Day,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum DurabilityName {
    Buffered,
    SyncOnFlush,
    SyncEveryBatch,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.example_config {
        print!("{}", Config::example());
        return ExitCode::SUCCESS;
    }
    let config = match arguments.config() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(run(&config, arguments.counted_file())).unwrap_or_else(|error| fail(&*error));
    // After a signal, standard input may still be read: its thread is left behind.
    runtime.shutdown_background();
    code
}

impl Arguments {
    fn config(&self) -> Result<Config, ConfigError> {
        match &self.config {
            Some(file) => Config::from_file(file)?.with_env(),
            None => Config::from_json(&self.as_json().to_string()),
        }
    }

    /// What the arguments say, as a configuration file would.
    fn as_json(&self) -> Value {
        let mut file = Map::new();
        let mut set = |key: &str, value: Value| drop(file.insert(key.to_owned(), value));
        set("type", "file".into());
        set("path", self.out.clone().into());
        set("format", word(self.format));
        set("durability", word(self.durability));
        // A close waits for the compression of what is complete.
        set("timeout", "10m".into());
        set("when_full", "block".into());
        // A full disk is waited for, however long that takes.
        set("retry", json!({ "max_elapsed": "3650d" }));
        if self.is_rolled() {
            set("rolling", self.rolling());
        }
        // One lane keeps the order of all events; `drop_newest` does not evict what `emit_wait` has accepted.
        json!({ "name": "pipe", "lanes": 1, "overflow": "drop_newest", "sinks": { "file": file } })
    }

    fn rolling(&self) -> Value {
        json!({
            "every": self.roll.map(word),
            "max_bytes": self.max_bytes,
            "keep_files": self.keep_files,
            "keep_age": self.keep_age,
            "keep_bytes": self.keep_bytes,
            "gzip": self.gzip,
            "file_name": self.file_name,
            "close_timeout": "5m",
        })
    }

    fn is_rolled(&self) -> bool {
        self.roll.is_some() || self.max_bytes.is_some()
    }

    /// The file whose lines are all there is, one for each event.
    fn counted_file(&self) -> Option<&Path> {
        let has_more_lines = matches!(self.format, FormatName::Pretty);
        self.out.as_deref().map(Path::new).filter(|_| !self.is_rolled() && !has_more_lines)
    }
}

/// As the argument is spelled.
fn word(value: impl ValueEnum) -> Value {
    value.to_possible_value().map(|value| value.get_name().to_owned()).into()
}

/// It could not begin.
fn refuse(error: &dyn Error) -> ExitCode {
    print_error(error);
    ExitCode::from(2)
}

fn fail(error: &dyn Error) -> ExitCode {
    print_error(error);
    ExitCode::FAILURE
}

/// With its causes.
fn print_error(error: &dyn Error) {
    let mut line = format!("pipe: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        line += &format!(": {cause}");
        source = cause.source();
    }
    eprintln!("{line}");
}

async fn run(config: &Config, counted: Option<&Path>) -> Result<ExitCode, Box<dyn Error>> {
    let stopped = stop_signal()?;
    let before = counted.map(count_lines).transpose()?.flatten();
    let logger = match start(config) {
        Ok(logger) => logger,
        Err(error) => return Ok(refuse(&*error)),
    };
    #[cfg(unix)]
    logger.reopen_on_sighup()?;

    let mut pump = Pump::new(logger.clone());
    let ended = tokio::select! {
        ended = pump.run() => ended,
        signal = stopped => {
            eprintln!("pipe: {signal}, what follows line {} is not read", pump.lines);
            Ok(())
        }
    };
    let report = tokio::select! {
        report = logger.shutdown(SHUTDOWN) => report,
        () = impatience() => logger.shutdown(Duration::ZERO).await,
    };
    pump.summarize(report.truncated);
    println!("{report}");
    ended?;
    let after = counted.map(count_lines).transpose()?.flatten();
    conclude(&pump, &report, after.zip(before).map(|(after, before)| after.saturating_sub(before)))
}

fn start(config: &Config) -> Result<Logger, Box<dyn Error>> {
    let logger = config.builder(&SinkRegistry::new())?.start()?;
    if logger.enabled(Level::Info, TARGET) {
        Ok(logger)
    } else {
        Err("the filter of the configuration lets no line pass".into())
    }
}

/// Whether everybody counted the same.
fn conclude(pump: &Pump, report: &ShutdownReport, written: Option<u64>) -> Result<ExitCode, Box<dyn Error>> {
    report.check()?;
    let mut agree = true;
    let mut said = format!("lines read {}", pump.lines);
    for sink in &report.sinks {
        // What a configuration keeps from a sink is not lost on the way to it.
        let arrived = sink.delivered + sink.delivered_by_fallback;
        agree &= arrived + sink.filtered == pump.lines;
        said += &format!(", delivered to {} {arrived}", sink.name);
        if sink.filtered > 0 {
            said += &format!(" (filtered {})", sink.filtered);
        }
    }
    // After trouble there are lines that are no events: notices, and the beginnings of lines for which there was no room.
    if let Some(written) = written.filter(|_| report.sinks.iter().all(|sink| sink.errors + sink.notices == 0)) {
        agree &= written == pump.lines;
        said += &format!(", in the file {written}");
    }
    println!("{said}: {}", if agree { "they agree" } else { "MISMATCH" });
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
        let event = Event::new(Level::Info, TARGET, &text).with("line", self.lines + 1);
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

/// Ends with SIGTERM or Ctrl-C: whoever waits for the end no longer wants to.
async fn impatience() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
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
