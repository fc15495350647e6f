//! Rolled files become compressed ones, which `gzip` reads.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use logweir::error::Diagnostic;
use logweir::sink::{FileSink, Rolling, SinkErrorKind};
use logweir::{Overflow, Pipeline, Sink, WhenFull, info};

use super::{Clock, DAY, MIDNIGHT, PATIENCE, all_lines, folder, names, open, text, write};
use crate::children::Plain;
use crate::support::{builder, emit_numbers};

/// Of all files of the folder together, as one would look at them: in the order that the shell gives them.
fn zcat(folder: &Path) -> String {
    let output = Command::new("sh").arg("-c").arg("zcat -f app.2*").current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_line_is_in_the_compressed_files_and_the_current_one_once_in_order() {
    const LINES: u64 = 200_000;
    let folder = folder("all");
    let file = FileSink::new(folder.join("app.log")).format(Plain);
    let file = file.rolling(Rolling::daily().max_bytes(100_000).gzip().close_timeout(PATIENCE));
    let pipeline = Pipeline::new(file).when_full(WhenFull::Block).timeout(PATIENCE);
    let logger = builder().overflow(Overflow::Block(PATIENCE)).sink("file", pipeline).start().unwrap();
    (0..LINES).for_each(|number| info!(logger: logger, "line {number}", number));
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.sinks[0].errors), (LINES, 0), "{report}");
    let zcat = zcat(&folder);
    assert!(zcat.lines().eq((0..LINES).map(|number| format!("line {number}"))));
    // A run over midnight has two dates.
    let names = names(&folder);
    let (last, rolled) = names.split_last().unwrap();
    assert!(rolled.len() > 20 && rolled.iter().all(|name| name.ends_with(".log.gz")), "{names:?}");
    assert!(last.ends_with(".log"));
}

#[tokio::test]
async fn what_an_earlier_run_has_left_is_taken_up_at_the_start() {
    let folder = folder("left");
    let gz = folder.join("gz");
    fs::create_dir(&gz).unwrap();
    // Not compressed yet; half compressed; compressed, and not deleted yet; half compressed, and then deleted.
    for (name, text) in [("0001", "one\n"), ("0002", "two\n"), ("0003", "three\n")] {
        fs::write(folder.join(format!("app.2026-11-01.{name}.log")), text).unwrap();
    }
    fs::write(folder.join(".app.2026-11-01.0002.log.gz.partial"), "half").unwrap();
    fs::write(folder.join("app.2026-11-01.0003.log.gz"), "of an earlier try").unwrap();
    fs::write(folder.join(".app.2026-11-01.0004.log.gz.partial"), "half").unwrap();
    fs::remove_dir(gz).unwrap();
    let mut sink = open(&folder, Clock::at(MIDNIGHT).rules(Rolling::daily().gzip()));
    write(&mut sink, ["now"]).await;
    sink.close().await.unwrap();
    let compressed = ["0001", "0002", "0003"].map(|name| format!("app.2026-11-01.{name}.log.gz"));
    assert_eq!(names(&folder), [&compressed[..], &["app.2026-11-24.0001.log".to_owned()]].concat());
    assert_eq!(all_lines(&folder), ["one", "two", "three", "now"]);
}

#[tokio::test]
async fn retention_counts_compressed_files_and_bytes_as_they_are() {
    let folder = folder("retention");
    let clock = Clock::at(MIDNIGHT);
    // Eleven kilobytes a day, that compress to some dozen bytes.
    let line = "x".repeat(10_000);
    let mut sink = open(&folder, clock.rules(Rolling::daily().gzip().keep_files(5)));
    for day in 0..20 {
        clock.set(MIDNIGHT + day * DAY);
        write(&mut sink, [&line]).await;
    }
    sink.close().await.unwrap();
    assert_eq!(names(&folder).len(), 5);
    let kept: u64 = names(&folder).iter().map(|name| fs::metadata(folder.join(name)).unwrap().len()).sum();
    assert!(kept < 12_000, "{kept}");
    // The current file is full, so that there is another one; beside both there is room for what is compressed.
    let rolling = Rolling::daily().gzip().max_bytes(10_001).keep_bytes(2 * 10_001 + 500);
    sink = open(&folder, clock.rules(rolling));
    sink.close().await.unwrap();
    assert_eq!(names(&folder).len(), 5, "compressed, they fit, and the next one is empty");
}

#[cfg(unix)]
#[tokio::test]
async fn a_compressed_file_has_the_permissions_and_the_time_of_the_plain_one() {
    use std::os::unix::fs::PermissionsExt;

    let folder = folder("metadata");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().gzip()));
    let plain = folder.join("app.2026-11-24.0001.log");
    write(&mut sink, ["secret"]).await;
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(MIDNIGHT + 7);
    fs::File::options().append(true).open(&plain).unwrap().set_modified(time).unwrap();
    clock.advance(DAY);
    write(&mut sink, ["next"]).await;
    sink.close().await.unwrap();
    let compressed = folder.join("app.2026-11-24.0001.log.gz");
    let metadata = fs::metadata(&compressed).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert_eq!(metadata.modified().unwrap(), time);
    assert_eq!(text(&compressed), "secret\n");
}

#[test]
fn a_file_that_cannot_be_compressed_stays_the_others_are_and_it_is_counted_and_said() {
    let folder = folder("no-compression");
    // Nobody can write here, not even root.
    fs::create_dir(folder.join(".app.2026-11-24.0001.log.gz.partial")).unwrap();
    let clock = Clock::at(MIDNIGHT);
    let said = Arc::new(Mutex::new(Vec::new()));
    let file = FileSink::new(folder.join("app.log")).format(Plain).rolling(clock.rules(Rolling::daily().gzip()));
    let handler = {
        let said = said.clone();
        move |trouble: &Diagnostic| said.lock().unwrap().push(trouble.to_string())
    };
    let logger = builder().on_error(handler).sink("file", Pipeline::new(file).timeout(PATIENCE)).start().unwrap();
    for day in 0..3 {
        clock.set(MIDNIGHT + day * DAY);
        emit_numbers(&logger, [day]);
        assert!(logger.flush_blocking(PATIENCE).unwrap().complete);
    }
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, sink.dropped.total()), (3, 0));
    assert!(sink.errors_of(SinkErrorKind::Temporary) > 0, "{report}");
    let said = said.lock().unwrap().join("\n");
    assert!(said.contains("sink `file`: cannot compress the log file"), "{said}");
    fs::remove_dir(folder.join(".app.2026-11-24.0001.log.gz.partial")).unwrap();
    let expected = ["app.2026-11-24.0001.log", "app.2026-11-25.0001.log.gz", "app.2026-11-26.0001.log"];
    assert_eq!(names(&folder), expected);
    assert_eq!(all_lines(&folder), ["0", "1", "2"]);
}

#[tokio::test]
async fn behind_files_that_are_compressed_the_next_one_is_begun() {
    let folder = folder("taken");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::by_size(4).gzip());
    let (mut old, mut new) = (open(&folder, clock.rules(Rolling::by_size(4))), open(&folder, rules()));
    // The new one is behind the old one's file, and compresses what it has left.
    write(&mut new, ["n1", "n2", "n3"]).await;
    new.close().await.unwrap();
    let expected = [
        "app.2026-11-24.0001.log",
        "app.2026-11-24.0002.log.gz",
        "app.2026-11-24.0003.log.gz",
        "app.2026-11-24.0004.log",
    ];
    assert_eq!(names(&folder), expected);
    write(&mut old, ["o1", "o2", "o3"]).await;
    old.close().await.unwrap();
    assert_eq!(all_lines(&folder), ["o1", "n1", "n2", "n3", "o2", "o3"]);
}

#[tokio::test]
async fn an_empty_file_beside_its_compressed_one_is_deleted_and_not_compressed() {
    let folder = folder("empty-beside");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().gzip()));
    write(&mut sink, ["one"]).await;
    clock.advance(DAY);
    write(&mut sink, ["two"]).await;
    sink.close().await.unwrap();
    // As left by a process that ended while it looked for a place.
    fs::write(folder.join("app.2026-11-24.0001.log"), "").unwrap();
    clock.advance(DAY);
    write(&mut sink, ["three"]).await;
    sink.close().await.unwrap();
    assert_eq!(all_lines(&folder), ["one", "two", "three"]);
    assert_eq!(names(&folder)[0], "app.2026-11-24.0001.log.gz");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_with_the_name_of_a_file_that_is_made_leads_nobody_astray() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = folder("links");
    let victim = folder.join("victim.txt");
    fs::write(&victim, "precious").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    for name in [".app.2026-11-24.0001.log.gz.partial", "app.2026-11-24.0001.log.gz", "app.2026-11-25.0001.log"] {
        symlink(&victim, folder.join(name)).unwrap();
    }
    symlink(folder.join("made"), folder.join("app.2026-11-26.0001.log")).unwrap();
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().gzip()));
    for line in ["one", "two", "three"] {
        write(&mut sink, [line]).await;
        clock.advance(DAY);
    }
    sink.close().await.unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert!(!folder.join("made").exists());
    assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(folder.join("app.2026-11-25.0001.log")).unwrap().is_symlink(), "it is not ours");
    let own = ["app.2026-11-24.0002.log.gz", "app.2026-11-25.0002.log.gz", "app.2026-11-26.0002.log"];
    assert_eq!(own.map(|name| text(&folder.join(name))), ["one\n", "two\n", "three\n"]);
}

#[test]
fn who_reads_all_files_while_they_are_compressed_sees_no_line_twice() {
    const LINES: u64 = 300_000;
    let folder = folder("read-meanwhile");
    let file = FileSink::new(folder.join("app.log")).format(Plain);
    let file = file.rolling(Rolling::daily().max_bytes(200_000).gzip().close_timeout(PATIENCE));
    let pipeline = Pipeline::new(file).when_full(WhenFull::Block).timeout(PATIENCE);
    let logger = builder().overflow(Overflow::Block(PATIENCE)).sink("file", pipeline).start().unwrap();
    let writing = std::thread::spawn({
        let logger = logger.clone();
        move || (0..LINES).for_each(|number| info!(logger: logger, "line {number}", number))
    });
    let mut looks = 0;
    while !writing.is_finished() {
        // What the shell's pattern gives is not there any more when it is opened, now and then; what is, is there once.
        let output = Command::new("sh").arg("-c").arg("zcat -f app.2*").current_dir(&folder).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with("line ")).collect();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert!(count - lines.len() <= 1, "{} of {count} lines twice", count - lines.len());
        looks += 1;
    }
    writing.join().unwrap();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.sinks[0].delivered, LINES, "{report}");
    println!("looks: {looks}");
    assert!(zcat(&folder).lines().eq((0..LINES).map(|number| format!("line {number}"))));
}

#[tokio::test]
async fn a_whole_copy_whose_source_is_gone_is_kept_and_a_half_one_is_not() {
    let folder = folder("recovered");
    let clock = Clock::at(MIDNIGHT);
    let rules = || clock.rules(Rolling::daily().gzip());
    for (day, line) in ["one", "two", "three"].into_iter().enumerate() {
        clock.set(MIDNIGHT + day as u64 * DAY);
        let mut sink = open(&folder, rules());
        write(&mut sink, [line]).await;
        sink.close().await.unwrap();
    }
    // As a power cut leaves it, if only the deletion of the source was written to disk.
    for day in ["24", "25"] {
        let name = format!("app.2026-11-{day}.0001.log.gz");
        fs::rename(folder.join(&name), folder.join(format!(".{name}.partial"))).unwrap();
    }
    let half = folder.join(".app.2026-11-25.0001.log.gz.partial");
    let bytes = fs::read(&half).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let mut sink = open(&folder, rules());
    sink.close().await.unwrap();
    assert_eq!(all_lines(&folder), ["one", "three"]);
    assert_eq!(names(&folder), ["app.2026-11-24.0001.log.gz", "app.2026-11-26.0001.log"]);
}

#[tokio::test]
async fn a_file_that_a_killed_process_has_left_torn_is_compressed_with_all_its_lines() {
    let folder = folder("torn-compressed");
    let clock = Clock::at(MIDNIGHT);
    let mut sink = open(&folder, clock.rules(Rolling::daily().gzip()));
    write(&mut sink, ["one"]).await;
    fs::write(folder.join("app.2026-11-24.0002.log"), "whole\nto").unwrap();
    clock.advance(DAY);
    write(&mut sink, ["two"]).await;
    sink.close().await.unwrap();
    assert_eq!(zcat(&folder), "one\nwhole\nto\ntwo\n");
    assert!(names(&folder)[1].ends_with(".gz"), "{:?}", names(&folder));
}
