//! The end of a process by a signal, where it is not an ordinary one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use async_trait::async_trait;
use logweir::sink::{FileSink, Sink, SinkError};
use logweir::{Batch, Logger, State, info};

use crate::children::{FILE, LINES, LONG, Plain, Running, emit, folder, numbers, quiet, to_file};
use crate::panic_hook::child;
use crate::signals::{SIGNALS, is_ignored, park, send, until, without_a_core_file};

/// The signal that a child sends to itself.
const SIGNAL: &str = "SIGNAL";

#[cfg(target_os = "linux")]
#[test]
fn process_1_of_a_container_exits_with_128_and_the_signals_number_when_all_is_delivered() {
    let contained = |program: &[&OsStr]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]).args(program);
        unshare
    };
    if !contained(&["true".as_ref()]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: unshare(1) makes no process namespace here");
        return;
    }
    for (name, signal) in SIGNALS.into_iter().filter(|(_, signal)| !is_ignored("self", *signal)) {
        let (path, command) = (folder("contained").join("app.log"), child("contained"));
        let mut program = vec![command.get_program()];
        program.extend(command.get_args());
        let mut container = contained(&program);
        container.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        container.env(FILE, &path).env(SIGNAL, name).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (status, stderr) = Running::start(&mut container).ends();
        assert_eq!(status.code(), Some(128 + signal.number()), "{name}: {status}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..LINES), "{name}");
    }
}

#[test]
fn a_sink_that_logs_on_a_thread_of_its_own_while_the_process_ends_is_not_held() {
    let path = folder("talkative").join("app.log");
    let mut running = Running::start(child("talkative").env(FILE, &path));
    until(&mut running, "ready");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
    let log = fs::read_to_string(&path).unwrap();
    // What the sink logged before the close is there too.
    let numbers = log.lines().filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse::<usize>().ok());
    assert!(numbers.eq(0..LINES), "{log}");
}

pub(crate) fn contained() -> i32 {
    without_a_core_file();
    assert_eq!(std::process::id(), 1);
    let logger = to_file().start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    emit(&logger, LINES);
    let kill = format!("kill -{} 1", std::env::var(SIGNAL).unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    park();
}

static TALKS_TO: OnceLock<Logger> = OnceLock::new();

/// A file whose writes also work on the blocking pool, and log there.
struct Talkative(FileSink);

#[async_trait]
impl Sink for Talkative {
    fn open(&mut self) -> Result<(), SinkError> {
        self.0.open()
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let talk = || {
            let logger = TALKS_TO.get().unwrap();
            if logger.state() != State::Running {
                info!(logger: logger, "on the way out");
            }
        };
        tokio::task::spawn_blocking(talk).await.unwrap();
        self.0.write(batch).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.0.flush().await
    }
}

pub(crate) fn talkative() -> i32 {
    let file = FileSink::new(std::env::var_os(FILE).unwrap()).format(Plain);
    let logger = TALKS_TO.get_or_init(|| quiet().sink("file", Talkative(file)).start().unwrap());
    // Half of this time, for which a thread is held, is longer than the parent waits.
    logger.shutdown_on_signal(10 * LONG).unwrap();
    emit(logger, LINES);
    park();
}
