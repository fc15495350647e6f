//! A disk that fills up, and gets room again: nothing is torn, and what is lost is what was counted.
//!
//! The disk is a file system of one MiB in memory. Where nobody may mount one, a child process that may write files of
//! half a MiB each takes its place: what it cannot write more to is the file it has, as if the disk were full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use logweir::sink::{FileSink, Rolling, SinkErrorKind};
use logweir::{Breaker, DropReason, Logger, Overflow, Pipeline, Retry, ShutdownReport, info};

use super::{PATIENCE, all_lines, folder, names};
use crate::children::{FILE, LONG, Plain, ROLE, Running, child_of};
use crate::support::builder;

const LINES: u64 = 20_000;

struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| SmallDisk(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(thread::panicking() || unmounted.unwrap().success());
    }
}

fn logger(path: &Path, rolling: Rolling, retry: Retry) -> Logger {
    let file = FileSink::new(path).format(Plain).rolling(rolling);
    let pipeline = Pipeline::new(file).retry(retry).breaker(Breaker::never()).timeout(PATIENCE);
    let builder = builder().queue_capacity(1 << 15).overflow(Overflow::DropNewest).notice_interval(Duration::MAX);
    builder.batch_size(100).sink("file", pipeline).start().unwrap()
}

/// So many lines of some 60 bytes.
fn emit(logger: &Logger, lines: u64) {
    let text = "x".repeat(50);
    (0..lines).for_each(|number| info!(logger: logger, "{number} {text}", number, text));
}

/// The numbers of the whole lines of a folder; pieces of torn ones are passed over.
fn numbers(folder: &Path) -> Vec<u64> {
    let is_whole = |line: &String| line.ends_with(&"x".repeat(50)) && line.contains(' ');
    let number = |line: String| line.split(' ').next().unwrap().parse().unwrap();
    all_lines(folder).into_iter().filter(is_whole).map(number).collect()
}

/// What must hold whatever was lost: the books, and the lines that the books say are there, in order.
fn check(report: &ShutdownReport, numbers: &[u64], lines: u64) {
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!((report.refused.total(), report.evicted.total(), report.timed_out), (0, 0, false), "{report}");
    assert_eq!((sink.routed, sink.unconfirmed), (lines, 0), "{report}");
    assert_eq!(
        (sink.delivered, sink.dropped.total()),
        (numbers.len() as u64, lines - numbers.len() as u64),
        "{report}"
    );
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, none twice");
}

fn until_it_fails(logger: &Logger) {
    let since = Instant::now();
    while logger.stats().sinks[0].errors_of(SinkErrorKind::Temporary) == 0 {
        assert!(since.elapsed() < PATIENCE, "the disk fills up: {:?}", logger.stats());
        // Hands out what waits in the queue, for which there is no room.
        assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    }
}

#[test]
fn a_disk_that_fills_up_and_is_freed_has_every_line_once() {
    let folder = folder("full-freed");
    let Some(_disk) = SmallDisk::mount(&folder) else { return println!("skipped: nothing may be mounted here") };
    fs::write(folder.join("filler"), vec![0; 700 << 10]).unwrap();
    let retry = Retry::default().initial_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
    let logger = logger(&folder.join("app.log"), Rolling::daily().max_bytes(100 << 10), retry);
    // More than is left, and less than the disk has.
    emit(&logger, LINES / 2);
    until_it_fails(&logger);
    fs::remove_file(folder.join("filler")).unwrap();
    let report = logger.shutdown_blocking(LONG).unwrap();
    let numbers = numbers(&folder);
    check(&report, &numbers, LINES / 2);
    assert_eq!(report.sinks[0].delivered, LINES / 2, "{report}");
    assert!(names(&folder).len() > 5);
}

#[test]
fn a_disk_that_stays_full_loses_exactly_what_is_counted() {
    let folder = folder("full");
    let Some(_disk) = SmallDisk::mount(&folder) else { return println!("skipped: nothing may be mounted here") };
    let retry = Retry::default().initial_delay(Duration::from_millis(1)).max_attempts(2);
    let logger = logger(&folder.join("app.log"), Rolling::by_size(100 << 10), retry);
    emit(&logger, LINES);
    let report = logger.shutdown_blocking(LONG).unwrap();
    let numbers = numbers(&folder);
    check(&report, &numbers, LINES);
    let sink = &report.sinks[0];
    assert_eq!(sink.dropped.total(), sink.dropped.get(DropReason::RetriesExhausted));
    assert!(sink.dropped.total() > 0 && sink.delivered > 10_000, "{report}");
}

#[test]
fn retention_keeps_a_disk_from_filling_up_at_all() {
    let folder = folder("full-kept");
    let Some(_disk) = SmallDisk::mount(&folder) else { return println!("skipped: nothing may be mounted here") };
    // Old files go a moment after the next one was begun: a batch may come in between, and has room.
    let rolling = Rolling::by_size(50 << 10).keep_bytes(300 << 10).close_timeout(PATIENCE);
    let retry = Retry::default().initial_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
    let logger = logger(&folder.join("app.log"), rolling, retry);
    emit(&logger, LINES);
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    assert_eq!(report.sinks[0].delivered, LINES, "{report}");
    let kept: u64 = names(&folder).iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum();
    assert!(kept <= 300 << 10, "{kept}");
    let numbers = numbers(&folder);
    assert!(numbers.iter().copied().eq(LINES - numbers.len() as u64..LINES), "the newest, without a gap");
}

/// May write files of 512 KiB each.
#[test]
fn the_child() {
    match std::env::var(ROLE).ok().as_deref() {
        None => return,
        Some("limited") => {}
        Some(role) => panic!("no such role: {role}"),
    }
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let retry = Retry::default().initial_delay(Duration::from_millis(1)).max_attempts(2);
    let logger = logger(&path, Rolling::daily(), retry);
    emit(&logger, LINES);
    let report = logger.shutdown_blocking(LONG).unwrap();
    let numbers = numbers(path.parent().unwrap());
    check(&report, &numbers, LINES);
    let sink = &report.sinks[0];
    assert!(
        sink.dropped.total() == sink.dropped.get(DropReason::RetriesExhausted) && sink.dropped.total() > 0,
        "{report}"
    );
    // The last line that went in is torn.
    let is_full = |name: &String| fs::metadata(path.with_file_name(name)).unwrap().len() == 512 << 10;
    assert!(names(path.parent().unwrap()).iter().any(is_full));
    std::process::exit(0);
}

#[test]
fn a_file_that_may_not_grow_loses_exactly_what_is_counted() {
    let path = folder("limited").join("app.log");
    let child = child_of("rolling::full::the_child", "limited");
    // A limit in units of 1024 bytes; what exceeds it fails, as the signal for it is ignored.
    let script = "ulimit -f 512; trap '' XFSZ; exec \"$0\" \"$@\"";
    let mut limited = Command::new("bash");
    limited.args(["-c", script]).arg(child.get_program()).args(child.get_args());
    limited.env(ROLE, "limited").env(FILE, &path).stdin(std::process::Stdio::null());
    limited.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let (status, stderr) = Running::start(&mut limited).ends();
    assert!(status.success(), "{status}: {stderr}");
}
