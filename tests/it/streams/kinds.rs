//! Lines stay whole on every kind of stream, with any other writers.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;
use crate::children::folder;

/// The two streams of a child and the other end.
type Made = ((Stdio, Stdio), Box<dyn Read>);

/// Both streams on one pipe, as with `2>&1`.
fn pipe() -> Made {
    let (reader, writer) = io::pipe().unwrap();
    ((writer.try_clone().unwrap().into(), writer.into()), Box::new(reader))
}

fn socket() -> Made {
    let (reader, writer) = UnixStream::pair().unwrap();
    let writer = OwnedFd::from(writer);
    ((writer.try_clone().unwrap().into(), writer.into()), Box::new(reader))
}

fn terminal() -> Made {
    let pty = nix::pty::openpty(None, None).unwrap();
    ((pty.slave.try_clone().unwrap().into(), pty.slave.into()), Box::new(File::from(pty.master)))
}

fn fifo() -> Made {
    let path = folder("stream").join(format!("fifo-{:?}", thread::current().id()));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for reading and writing, so that neither open waits for the other.
    let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    let reader = File::open(&path).unwrap();
    drop(both);
    ((writer.try_clone().unwrap().into(), writer.into()), Box::new(reader))
}

fn nonblocking() -> Made {
    let (reader, writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_WRONLY | OFlag::O_NONBLOCK)).unwrap();
    ((writer.try_clone().unwrap().into(), writer.into()), Box::new(reader))
}

#[track_caller]
fn run(kind: &str, make: fn() -> Made, writers: &[&str]) {
    run_as("write", kind, make, writers);
}

#[track_caller]
fn run_as(role: &str, kind: &str, make: fn() -> Made, writers: &[&str]) {
    for reader in [Reader::Fast, Reader::Slow] {
        let (streams, stream) = make();
        let what = format!("{kind}, {reader:?}, {writers:?}");
        check(&what, &format!("{role} {}", writers.join(" ")), streams, reader, stream, writers);
    }
}

#[test]
fn on_a_pipe_no_line_is_torn_beside_println_and_a_second_logger() {
    run("pipe", pipe, &["out", "out2", "print"]);
}

#[test]
fn with_both_streams_on_one_pipe_no_line_is_torn_beside_eprintln() {
    run("pipe", pipe, &["eprint", "err", "out"]);
}

#[test]
fn with_both_streams_on_one_pipe_a_logger_on_stderr_does_not_tear_println() {
    run("pipe", pipe, &["err", "out", "print"]);
}

#[test]
fn on_a_fifo_no_line_is_torn_beside_println_and_a_second_logger() {
    run("FIFO", fifo, &["err", "out", "print"]);
}

#[test]
fn a_file_sink_on_a_fifo_tears_no_line_either() {
    run("FIFO", fifo, &["err", "file", "print"]);
    run("FIFO", fifo, &["file", "shell"]);
}

/// Longer than a pipe takes at once: other writers of the process wait, those of another process are not held off.
#[test]
fn a_line_longer_than_a_pipe_takes_at_once_is_not_torn_by_its_own_process() {
    run_as("write-long", "pipe", pipe, &["err", "out", "print"]);
    run_as("write-long", "socket", socket, &["eprint", "err", "out"]);
}

#[test]
fn a_fallback_to_stderr_and_reports_of_errors_tear_no_line_of_stdout() {
    run("pipe", pipe, &["fallback", "out", "print"]);
    run("terminal", terminal, &["eprint", "fallback", "out"]);
}

#[test]
fn on_a_socket_no_line_is_torn_beside_println_and_a_second_logger() {
    run("socket", socket, &["out", "out2", "print"]);
    run("socket", socket, &["eprint", "err", "out"]);
}

#[test]
fn on_a_terminal_no_line_is_torn_beside_println_and_a_second_logger() {
    run("terminal", terminal, &["out", "out2", "print"]);
    run("terminal", terminal, &["eprint", "err", "out"]);
}

#[test]
fn on_a_pipe_that_does_not_block_no_line_of_two_loggers_is_torn() {
    run("non-blocking pipe", nonblocking, &["err", "out", "out2"]);
}

/// Two processes that share a pipe share no lock: the writes themselves are whole lines.
#[test]
fn a_child_process_and_its_parent_tear_no_line_on_a_pipe() {
    run("pipe", pipe, &["err", "out", "shell"]);
}
