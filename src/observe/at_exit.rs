//! Any thread: what is reported when the process ends, and in a forked child, where no thread of the logger's writes it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::stats::{DropReason, ShutdownReport, SinkStats};

/// Returns how many events a shutdown cost at this sink because its time was over.
pub(crate) fn lost_at_end(sink: &SinkStats) -> u64 {
    sink.dropped.get(DropReason::Deadline) + sink.unconfirmed
}

/// Writes what the exit of the process cost, on one line.
pub(super) fn fmt_losses(report: &ShutdownReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = report.elapsed.as_secs_f64();
    write!(f, "the process exits before everything is delivered, after {seconds:.1} s")?;
    let mut incomplete = report.sinks.iter().filter(|sink| lost_at_end(sink) > 0);
    incomplete.try_for_each(|sink| {
        let dropped = sink.dropped.get(DropReason::Deadline);
        write!(f, "; sink `{}`: {dropped} events lost, {} unconfirmed", sink.name, sink.unconfirmed)
    })
}

/// The forked process that has reported it.
static REPORTED: AtomicU32 = AtomicU32::new(0);

/// Reports, once in this process, that this process was forked from the one that the logger runs in.
pub(crate) fn report_fork(logger: &str) {
    let here = std::process::id();
    if REPORTED.swap(here, Ordering::Relaxed) != here {
        write_line(&format!(
            "logweir: {logger}: this process was forked from the one that the logger runs in, and has none of its \
             threads: nothing that it logs there is delivered\n"
        ));
    }
}

/// Writes past the lock of [`std::io::stderr`]: at the fork another thread may have held it, and it stays locked.
#[cfg(unix)]
fn write_line(line: &str) {
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::AsFd;

    let written = io::stderr().as_fd().try_clone_to_owned().and_then(|own| File::from(own).write_all(line.as_bytes()));
    // If standard error is closed, there is no place left to report that.
    written.unwrap_or_default();
}

#[cfg(not(unix))]
fn write_line(_: &str) {}
