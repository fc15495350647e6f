//! Signals that shut a logger down, are waited for, or reopen its files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent how far it has come")]

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use logweir::sink::{ConsoleSink, FileSink};
use logweir::{Logger, Overflow, Pipeline, Signal, State, WhenFull, info};

use crate::children::{FILE, LINES, LONG, Plain, Running, emit, folder, numbers, quiet, to_file};
use crate::panic_hook::child;
use crate::support::{Answer, ScriptedSink};

pub(crate) fn send(running: &Running, signal: &str) {
    let line = format!("kill -{signal} {}", running.0.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Standard error up to a line, and the rest of it.
pub(crate) fn until(running: &mut Running, line: &'static str) {
    let mut stderr = BufReader::new(running.0.stderr.take().unwrap());
    let (found, finds) = mpsc::channel::<Option<BufReader<ChildStderr>>>();
    thread::spawn(move || {
        let mut read = String::new();
        while stderr.read_line(&mut read).unwrap() > 0 {
            if read.lines().last() == Some(line) {
                return found.send(Some(stderr)).unwrap_or_default();
            }
        }
        found.send(None).unwrap_or_default();
    });
    let stderr = finds.recv_timeout(LONG).expect("in time").expect("it is said");
    running.0.stderr = Some(stderr.into_inner());
}

/// Whether a process ignores a signal. Not known on every system.
pub(crate) fn is_ignored(process: &str, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map_or("0", str::trim);
    u64::from_str_radix(mask, 16).unwrap() >> (signal.number() - 1) & 1 == 1
}

/// Every signal, and its name for `kill`.
pub(crate) const SIGNALS: [(&str, Signal); 4] =
    [("TERM", Signal::Terminate), ("INT", Signal::Interrupt), ("HUP", Signal::Hangup), ("QUIT", Signal::Quit)];

#[test]
fn a_signal_delivers_everything_of_every_logger_and_ends_the_process_as_without_a_handler() {
    for (name, signal) in SIGNALS {
        // `shutdown_on_signal` leaves it alone.
        if is_ignored("self", signal) {
            println!("SIG{name} is skipped: it is ignored where the tests run, as by nohup");
            continue;
        }
        let path = folder("signalled").join("app.log");
        let mut running = Running::start(child("signalled").env(FILE, &path));
        until(&mut running, "ready");
        send(&running, name);
        let (status, stderr) = running.ends();
        assert_eq!(status.signal(), Some(signal.number()), "{name}: {status}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..LINES), "{name}");
        assert!(numbers(&path.with_extension("other")).into_iter().eq(0..10), "{name}");
        assert_eq!(signal.name(), format!("SIG{name}"));
    }
}

#[test]
fn only_the_signals_of_the_set_are_handled() {
    for (name, number, lines) in [("TERM", 15, LINES), ("INT", 2, 0)] {
        let path = folder("chosen").join("app.log");
        let mut running = Running::start(child("chosen").env(FILE, &path));
        until(&mut running, "ready");
        send(&running, name);
        let (status, stderr) = running.ends();
        assert_eq!(status.signal(), Some(number), "{name}: {status}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..lines), "{name}");
    }
    let logger = quiet().sink("sink", ScriptedSink::new()).start().unwrap();
    assert!(logger.shutdown_on_signals([], LONG).is_err() && logger.wait_for_signal([], LONG).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_sighup_that_is_ignored_as_by_nohup_stays_ignored() {
    let (path, command) = (folder("ignored").join("app.log"), child("signalled"));
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    nohup.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?)))).env(FILE, &path);
    let mut running = Running::start(nohup.stdout(Stdio::piped()).stderr(Stdio::piped()));
    until(&mut running, "ready");
    let child = running.0.id().to_string();
    assert!(is_ignored(&child, Signal::Hangup) && !is_ignored(&child, Signal::Terminate));
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
    assert!(numbers(&path).into_iter().eq(0..LINES));
}

#[test]
fn a_sighup_that_reopens_files_does_not_end_the_process() {
    let folder = folder("reopening");
    let (path, moved) = (folder.join("app.log"), folder.join("app.log.1"));
    let mut running = Running::start(child("reopening").env(FILE, &path));
    until(&mut running, "ready");
    fs::rename(&path, &moved).unwrap();
    send(&running, "HUP");
    until(&mut running, "running");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
    assert_eq!((numbers(&moved), numbers(&path)), (vec![0, 1], vec![0, 1, 2]));
}

#[test]
fn a_signal_that_the_program_waits_for_delivers_and_the_program_ends_by_itself() {
    let path = folder("waited").join("app.log");
    let mut running = Running::start(child("waited").env(FILE, &path));
    until(&mut running, "ready");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.code(), Some(5), "{status}: {stderr}");
    assert!(numbers(&path).into_iter().eq((0..LINES).chain(0..3)));
}

#[test]
fn a_second_signal_ends_a_program_that_waited_for_the_first() {
    let mut running = Running::start(&mut child("waited long"));
    until(&mut running, "ready");
    send(&running, "TERM");
    until(&mut running, "cleaning up");
    send(&running, "INT");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(2), "{status}: {stderr}");
}

#[test]
fn a_signal_that_no_future_waits_for_any_more_delivers_and_ends_the_process() {
    let path = folder("unwaited").join("app.log");
    let mut running = Running::start(child("waited dropped").env(FILE, &path));
    until(&mut running, "ready");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
    assert!(numbers(&path).into_iter().eq(0..LINES));
}

#[test]
fn a_reopen_does_nothing_on_a_console_and_is_ok() {
    let logger = quiet().sink("console", ConsoleSink::stderr()).start().unwrap();
    assert!(block_on(logger.reopen(LONG)).is_ok());
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
}

#[test]
fn a_second_signal_ends_the_process_at_once_also_with_a_sink_that_hangs() {
    let mut running = Running::start(&mut child("hung"));
    until(&mut running, "ready");
    send(&running, "INT");
    until(&mut running, "draining");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
}

#[test]
fn a_signal_after_the_loggers_end_still_ends_the_process() {
    let mut running = Running::start(&mut child("ended"));
    until(&mut running, "ready");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.signal(), Some(15), "{status}: {stderr}");
}

#[test]
fn sighup_after_a_rename_opens_the_file_again() {
    let folder = folder("rotated");
    let (path, moved) = (folder.join("app.log"), folder.join("app.log.1"));
    let mut running = Running::start(child("rotated").env(FILE, &path));
    until(&mut running, "ready");
    fs::rename(&path, &moved).unwrap();
    send(&running, "HUP");
    let (status, stderr) = running.ends();
    assert!(status.success(), "{status}: {stderr}");
    assert_eq!((numbers(&moved), numbers(&path)), (vec![0, 1], vec![0, 1, 2]));
}

pub(crate) fn park() -> ! {
    eprintln!("ready");
    loop {
        thread::park();
    }
}

/// SIGQUIT would leave a core file.
pub(crate) fn without_a_core_file() {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap();
}

/// What a thread does after a log call that came too late would be in no log: it is held until the process has ended.
#[test]
fn what_a_service_has_answered_when_a_signal_ends_it_is_in_its_log() {
    for _ in 0..5 {
        let path = folder("serving").join("app.log");
        let mut running = Running::start(child("serving").env(FILE, &path));
        let mut answers = BufReader::new(running.0.stderr.take().unwrap());
        let mut answered = Vec::new();
        let mut line = String::new();
        while answers.read_line(&mut line).unwrap() > 0 {
            answered.extend(line.strip_prefix("answer ").map(|number| number.trim_end().parse::<usize>().unwrap()));
            if answered.len() == 2000 {
                send(&running, "TERM");
            }
            line.clear();
        }
        let status = running.0.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::Terminate.number()), "{status}");
        let log = fs::read_to_string(&path).unwrap();
        // The last line may be the notice of the calls that came too late, one of each thread.
        let requests = log.lines().filter_map(|line| line.strip_prefix("request ")?.split(' ').next()?.parse().ok());
        let logged: HashSet<usize> = requests.collect();
        let missing: Vec<_> = answered.iter().filter(|number| !logged.contains(number)).collect();
        assert!(missing.is_empty(), "{} of {} answers are not in the log: {missing:?}", missing.len(), answered.len());
    }
}

pub(crate) fn signalled() -> i32 {
    without_a_core_file();
    let logger = to_file().start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    emit(&logger, LINES);
    let path = PathBuf::from(std::env::var_os(FILE).unwrap()).with_extension("other");
    let other = quiet().sink("file", FileSink::new(path).format(Plain)).start().unwrap();
    emit(&other, 10);
    park();
}

/// A service: four threads, each of which logs a request before it answers it.
pub(crate) fn serving() -> i32 {
    without_a_core_file();
    let file = FileSink::new(std::env::var_os(FILE).unwrap()).format(Plain);
    let builder = Logger::builder().overflow(Overflow::Block(LONG));
    let logger = builder.sink("file", Pipeline::new(file).when_full(WhenFull::Block)).start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    for client in 0..4 {
        let logger = logger.clone();
        thread::spawn(move || {
            for number in (client..).step_by(4) {
                info!(logger: logger, "request {number} {padding}", number, padding = "x".repeat(100 + number % 100));
                // One write each, beside other writers.
                eprintln_whole(&format!("answer {number}\n"));
            }
        });
    }
    park();
}

fn eprintln_whole(line: &str) {
    io::stderr().write_all(line.as_bytes()).unwrap();
}

pub(crate) fn chosen() -> i32 {
    // The time of the call applies, not this one.
    let logger = to_file().shutdown_timeout(Duration::ZERO).start().unwrap();
    logger.shutdown_on_signals([Signal::Terminate, Signal::Quit], LONG).unwrap();
    emit(&logger, LINES);
    park();
}

pub(crate) fn reopening() -> i32 {
    let logger = to_file().start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    logger.reopen_on_sighup().unwrap();
    after_a_rename(&logger);
    assert_eq!(logger.state(), State::Running);
    eprintln!("running");
    loop {
        thread::park();
    }
}

pub(crate) fn waited(how: &str) -> i32 {
    let logger = if how == "long" { quiet().sink("sink", ScriptedSink::new()) } else { to_file() }.start().unwrap();
    let mut signal = Box::pin(logger.wait_for_signal(Signal::ALL, LONG).unwrap());
    emit(&logger, LINES);
    assert!(signal.as_mut().now_or_never().is_none());
    if how == "dropped" {
        drop(signal);
        park();
    }
    eprintln!("ready");
    assert_eq!(block_on(signal), Signal::Terminate);
    assert_eq!(logger.stats().sinks[0].delivered, LINES as u64, "it has delivered");
    if how == "long" {
        eprintln!("cleaning up");
        thread::sleep(10 * LONG);
    }
    emit(&logger, 3);
    // By the exit hook.
    5
}

pub(crate) fn hung() -> i32 {
    let hangs = Pipeline::new(ScriptedSink::always(Answer::Hang)).timeout(10 * LONG);
    let logger = quiet().sink("hangs", hangs).start().unwrap();
    logger.shutdown_on_signal(10 * LONG).unwrap();
    logger.on_shutdown(|| {
        eprintln!("draining");
        Box::pin(async { Ok(()) })
    });
    emit(&logger, 1);
    park();
}

pub(crate) fn ended() -> i32 {
    let logger = quiet().sink("sink", ScriptedSink::new()).start().unwrap();
    logger.shutdown_on_signal(10 * LONG).unwrap();
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
    drop(logger);
    park();
}

pub(crate) fn rotated() -> i32 {
    let logger = to_file().start().unwrap();
    logger.reopen_on_sighup().unwrap();
    after_a_rename(&logger);
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
    0
}

/// Logs, and logs again after the parent has renamed the file and sent the signal.
fn after_a_rename(logger: &Logger) {
    use std::os::unix::fs::MetadataExt;
    emit(logger, 2);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let path = std::env::var_os(FILE).unwrap();
    let file = || fs::metadata(&path).ok().map(|file| file.ino());
    let before = file();
    eprintln!("ready");
    // Moved away it is another file, once it is there again.
    while file().is_none_or(|now| Some(now) == before) {
        thread::yield_now();
    }
    emit(logger, 3);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
}
