//! A service thread: writes the reports of all loggers of the process to standard error.

use std::process;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{DROP_WAIT, MAX_PENDING};
use crate::context::suppress;
use crate::sink::{PIPE_BUF, write_stderr};

/// Lines per second on standard error; further ones are only counted.
const LINES_PER_SECOND: u32 = 10;

enum StderrLine {
    Text {
        text: String,
        /// The process is about to end: it is written even if there are too many lines.
        is_last: bool,
    },
    /// Notifies the sender once all lines before it are written.
    Sync(Box<dyn FnOnce() + Send>),
}

/// The thread's inbox, and the process that has the thread: a forked child has none of its parent's threads.
// A std lock: held to copy it, or for the spawn of the one thread.
static LINES: Mutex<Option<(u32, SyncSender<StderrLine>)>> = Mutex::new(None);

/// The one thread that writes reports to standard error, if it runs: a stalled terminal stalls no other thread.
fn stderr_thread(start: bool) -> Option<SyncSender<StderrLine>> {
    let here = process::id();
    let mut thread = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, lines)) = thread.as_ref().filter(|(process, _)| *process == here) {
        return Some(lines.clone());
    }
    if !start {
        return None;
    }
    let (lines, inbox) = sync_channel(MAX_PENDING);
    thread::Builder::new().name("logweir-stderr".into()).spawn(move || write_lines(&inbox)).ok()?;
    *thread = Some((here, lines.clone()));
    Some(lines)
}

pub(super) fn stderr_line(text: String, is_last: bool) {
    if let Some(lines) = stderr_thread(true) {
        match lines.try_send(StderrLine::Text { text, is_last }) {
            // Full: standard error is stalled. There is no place left to report that.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Waits, at most this long, until all reports are on standard error. For paths on which the process may end.
pub(crate) fn wait_written(most: Duration) {
    // Not a channel: its receiver needs the thread's handle, which may be dropped.
    let written = Arc::new((Mutex::new(false), Condvar::new()));
    let there = written.clone();
    let done = move || {
        *there.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        there.1.notify_one();
    };
    if when_written(done) {
        let is_done = written.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = written.1.wait_timeout_while(is_done, most, |is_done| !*is_done);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Like [`wait_written`], on the logger's runtime.
pub(super) async fn written() {
    let (done, wait) = oneshot::channel();
    if when_written(move || done.send(()).unwrap_or_default()) {
        // Late, or dropped with its thread: there is no place left to report that.
        timeout(DROP_WAIT, wait).await.map(drop).unwrap_or_default();
    }
}

/// Returns whether `call` will be called, after all reports are on standard error. It will not if there never were any.
fn when_written(call: impl FnOnce() + Send + 'static) -> bool {
    stderr_thread(false).is_some_and(|lines| lines.try_send(StderrLine::Sync(Box::new(call))).is_ok())
}

fn write_lines(inbox: &Receiver<StderrLine>) {
    suppress::mark_thread();
    let mut second = Instant::now();
    let (mut written, mut missing) = (0, 0_u64);
    while let Ok(line) = inbox.recv() {
        match line {
            StderrLine::Sync(done) => done(),
            StderrLine::Text { text, is_last } => {
                if second.elapsed() >= Duration::from_secs(1) {
                    (second, written) = (Instant::now(), 0);
                }
                if written >= LINES_PER_SECOND && !is_last {
                    missing += 1;
                    continue;
                }
                written += 1;
                let more = match std::mem::take(&mut missing) {
                    0 => String::new(),
                    missing => format!(" ({missing} more reports were not shown)"),
                };
                // In one write, unless it has many lines: the process may end between two.
                write_stderr(shorten(&format!("{text}{more}\n")).as_bytes());
            }
        }
    }
}

/// What ends a line that was cut.
const CUT: &str = "... (cut)\n";

/// Cuts each line that is longer than a write that no other writer can cut.
fn shorten(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.len() <= PIPE_BUF {
            short.push_str(line);
        } else {
            let end = (0..=PIPE_BUF - CUT.len()).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
            short.push_str(&line[..end]);
            short.push_str(CUT);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_cut_at_a_character_so_that_each_line_is_one_write() {
        let line = format!("{}\n", "ä".repeat(PIPE_BUF / 2));
        assert!(line.len() > PIPE_BUF);
        let short = shorten(&format!("first\n{line}last"));
        let lines: Vec<_> = short.split_inclusive('\n').collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "first\n", "last"));
        assert!(lines[1].ends_with("ä... (cut)\n") && lines[1].len() <= PIPE_BUF, "{}", lines[1]);
        let fits = format!("{}\n", "x".repeat(PIPE_BUF - 1));
        assert_eq!(shorten(&fits), fits);
    }
}
