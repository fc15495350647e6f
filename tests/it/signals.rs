//! Signals that shut a logger down or reopen its files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent how far it has come")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command};
use std::sync::mpsc;
use std::thread;

use logweir::Pipeline;

use crate::children::{FILE, LINES, LONG, Running, emit, folder, numbers, quiet, to_file};
use crate::panic_hook::child;
use crate::support::{Answer, ScriptedSink};

fn send(running: &Running, signal: &str) {
    let line = format!("kill -{signal} {}", running.0.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Standard error up to a line, and the rest of it.
fn until(running: &mut Running, line: &'static str) {
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

#[test]
fn a_signal_delivers_everything_and_ends_the_process_with_128_and_its_number() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let path = folder("signalled").join("app.log");
        let mut running = Running::start(child("signalled").env(FILE, &path));
        until(&mut running, "ready");
        send(&running, signal);
        let (status, stderr) = running.ends();
        assert_eq!(status.code(), Some(code), "{signal}: {status}: {stderr}");
        assert!(numbers(&path).into_iter().eq(0..LINES), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once_also_with_a_sink_that_hangs() {
    let mut running = Running::start(&mut child("hung"));
    until(&mut running, "ready");
    send(&running, "INT");
    until(&mut running, "draining");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.code(), Some(143), "{status}: {stderr}");
}

#[test]
fn a_signal_after_the_loggers_end_still_ends_the_process() {
    let mut running = Running::start(&mut child("ended"));
    until(&mut running, "ready");
    send(&running, "TERM");
    let (status, stderr) = running.ends();
    assert_eq!(status.code(), Some(143), "{status}: {stderr}");
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

fn park() -> ! {
    eprintln!("ready");
    loop {
        thread::park();
    }
}

pub(crate) fn signalled() -> i32 {
    let logger = to_file().start().unwrap();
    logger.shutdown_on_signal(LONG).unwrap();
    emit(&logger, LINES);
    park();
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
    use std::os::unix::fs::MetadataExt;
    let logger = to_file().start().unwrap();
    logger.reopen_on_sighup().unwrap();
    emit(&logger, 2);
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let path = std::env::var_os(FILE).unwrap();
    let file = || fs::metadata(&path).ok().map(|file| file.ino());
    let before = file();
    eprintln!("ready");
    // Moved away it is another file, once it is there again.
    while file().is_none_or(|now| Some(now) == before) {
        thread::yield_now();
    }
    emit(&logger, 3);
    logger.shutdown_blocking(LONG).unwrap().check().unwrap();
    0
}
