//! Disks that fail: what is synchronized, and what each failed step of a file's life costs.
//!
//! A child writes lines under a shim (`disk/shim.c`), which logs its calls and makes some fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, reason = "a test says why it is skipped, and a child tells its parent")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use logweir::sink::{Durability, FileSink, Rolling, SinkErrorKind, SyncError};
use logweir::{Batch, Event, Level, Sink};

use crate::children::{Plain, ROLE, child_of};
use crate::rolling::{Clock, MIDNIGHT, folder};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const ENOLCK: i32 = 37;
const EDQUOT: i32 = 122;
/// A short write.
const SHORT: i32 = 0;
const FOLDER: &str = "LOGWEIR_TEST_FOLDER";

/// The shim, built once. None: there is no C compiler.
fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let shim = SHIM.get_or_init(|| {
        let shim = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/disk/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).args(["-ldl", "-lpthread"]);
        let built = cc.output().ok()?;
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(shim)
    });
    if shim.is_none() {
        println!("skipped: no C compiler");
    }
    shim.as_deref()
}

/// What a child printed, line by line, and the calls that the shim has seen.
struct Run {
    said: Vec<String>,
    calls: Vec<(String, String, i32)>,
}

impl Run {
    /// How often a call was made on files of this name.
    fn count(&self, call: &str, name: &str) -> usize {
        self.calls.iter().filter(|(made, of, _)| made == call && of.contains(name)).count()
    }
}

/// Runs a child in a role, in a folder, with these faults.
fn run(role: &str, folder: &Path, faults: &str) -> Option<Run> {
    let (shim, log) = (shim()?, folder.with_extension("calls"));
    fs::write(&log, "").unwrap();
    let output = child_of("disk::the_child", role)
        .env("LD_PRELOAD", shim)
        .env("SHIM_DIR", folder)
        .env("SHIM_LOG", &log)
        .env("SHIM_FAULTS", faults)
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{faults}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    // What the test harness says comes first, on the same line.
    let said = said.lines().map(|line| line.split("... ").last().unwrap().to_owned()).collect();
    let parse = |line: &str| {
        // The name of a file that was deleted has a space.
        let (call, rest) = line.split_once(' ').unwrap();
        let (name, result) = rest.rsplit_once(' ').unwrap();
        (call.to_owned(), name.to_owned(), result.parse().unwrap())
    };
    let text = fs::read_to_string(&log).unwrap();
    // The exit of the child may have cut the last line.
    let calls = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(parse).collect();
    Some(Run { said, calls })
}

fn batch(messages: &[String]) -> Batch {
    messages.iter().map(|message| Event::new(Level::Info, "t", message)).collect()
}

fn file(durability: Durability) -> FileSink {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    FileSink::new(folder.join("app.log")).format(Plain).durability(durability)
}

/// Writes these lines one by one, with a second attempt for each; prints each that is delivered.
async fn write_all(sink: &mut FileSink, lines: std::ops::Range<usize>) {
    for number in lines {
        let line = format!("line {number:04} end");
        let messages = [line.clone()];
        for _ in 0..2 {
            let error = match sink.write(&batch(&messages)).await {
                Ok(()) => {
                    println!("delivered {line}");
                    break;
                }
                Err(error) => error,
            };
            assert_eq!(error.kind(), SinkErrorKind::Temporary, "{error:?}");
            if error.delivered() == 1 {
                println!("delivered {line}");
                break;
            }
        }
    }
}

async fn flush(sink: &mut FileSink) {
    match sink.flush().await {
        Ok(()) => println!("flushed"),
        Err(error) => {
            let source = error.source().unwrap().downcast_ref::<SyncError>().unwrap();
            println!("unconfirmed {}", source.unconfirmed);
        }
    }
}

#[tokio::test]
async fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    println!();
    let rolled = || Rolling::by_size(60).close_timeout(Duration::from_secs(60));
    match role.as_str() {
        "plain" => {
            let mut sink = file(Durability::SyncOnFlush);
            sink.open().unwrap();
            write_all(&mut sink, 0..2).await;
            flush(&mut sink).await;
            write_all(&mut sink, 2..3).await;
            flush(&mut sink).await;
            flush(&mut sink).await;
            sink.reopen().await.unwrap_or_default();
            flush(&mut sink).await;
        }
        "rolled" => {
            let mut sink = file(Durability::SyncOnFlush).rolling(rolled());
            sink.open().unwrap();
            write_all(&mut sink, 0..10).await;
            flush(&mut sink).await;
            flush(&mut sink).await;
            sink.close().await.unwrap_or_default();
        }
        "every batch" => {
            let mut sink = file(Durability::SyncEveryBatch).rolling(rolled());
            sink.open().unwrap();
            write_all(&mut sink, 0..10).await;
        }
        "two files" => {
            let mut sink = file(Durability::SyncEveryBatch).rolling(rolled());
            sink.open().unwrap();
            let lines: Vec<_> = (0..6).map(|number| format!("line {number:04} end")).collect();
            let error = sink.write(&batch(&lines)).await.unwrap_err();
            println!("failed {}", error.delivered());
        }
        "life" => {
            // A fault at the start is an error of it, and costs nothing.
            let rolled = rolled();
            #[cfg(feature = "gzip")]
            let rolled = rolled.gzip();
            let mut sink = file(Durability::SyncOnFlush).rolling(rolled.clone());
            if sink.open().is_ok() {
                write_all(&mut sink, 0..12).await;
                sink.close().await.unwrap_or_default();
            }
            let mut sink = file(Durability::SyncOnFlush).rolling(rolled);
            sink.open().unwrap();
            write_all(&mut sink, 12..24).await;
            sink.flush().await.unwrap_or_default();
            sink.close().await.unwrap_or_default();
        }
        "new directories" => {
            let path = std::env::var_os("SHIM_DIR").unwrap();
            let path = Path::new(&path).join("one/two/app.log");
            let mut sink = FileSink::new(path).durability(Durability::SyncOnFlush);
            sink.open().unwrap();
        }
        #[cfg(feature = "gzip")]
        "full disk" => {
            let mut sink = file(Durability::Buffered).rolling(rolled());
            sink.open().unwrap();
            write_all(&mut sink, 0..20).await;
            sink.close().await.unwrap();
            let mut sink = file(Durability::Buffered).rolling(rolled().gzip());
            sink.open().unwrap();
            sink.close().await.unwrap();
            let said = std::iter::from_fn(|| sink.take_error()).filter_map(|error| Some(error.source()?.to_string()));
            said.for_each(|said| println!("said {said}"));
        }
        "stuck" => {
            let mut sink = file(Durability::Buffered).rolling(rolled());
            sink.open().unwrap();
            write_all(&mut sink, 0..20).await;
            sink.close().await.unwrap();
            let mut sink = file(Durability::Buffered).rolling(rolled().keep_files(2));
            sink.open().unwrap();
            sink.close().await.unwrap();
        }
        "no locks" => {
            let clock = Clock::at(MIDNIGHT);
            let rules = || clock.rules(Rolling::by_size(60).keep_files(2));
            for start in 0..2 {
                let mut sink = file(Durability::Buffered).rolling(rules());
                sink.open().unwrap();
                write_all(&mut sink, start * 10..start * 10 + 10).await;
                sink.close().await.unwrap();
                let said = sink.take_error().map(|error| format!("{:?}", error.source().unwrap()));
                println!("said {}", said.unwrap_or_default());
            }
        }
        role => panic!("no such role: {role}"),
    }
    std::process::exit(0);
}

/// The lines of each file, by its name.
fn lines(folder: &Path) -> BTreeMap<String, Vec<String>> {
    crate::rolling::lines(folder)
}

#[test]
fn after_a_failed_synchronization_every_flush_fails_until_the_file_is_left() {
    let folder = folder("disk-plain");
    let Some(run) = run("plain", &folder, &format!("fdatasync:app.log:2:1:{EIO}")) else { return };
    let said: Vec<_> =
        run.said.iter().filter(|line| line.contains("flushed") || line.contains("unconfirmed")).collect();
    // One event came after the first flush. The reopening flushes too.
    assert_eq!(said, ["flushed", "unconfirmed 1", "unconfirmed 1", "flushed"]);
}

#[test]
fn every_file_that_was_written_to_is_synchronized_before_a_flush_succeeds() {
    let folder = folder("disk-rolled");
    let Some(run) = run("rolled", &folder, "none") else { return };
    let files = lines(&folder);
    assert!(files.len() > 2, "{files:?}");
    for name in files.keys() {
        assert!(run.count("fdatasync", name) > 0, "{name}: {:?}", run.calls);
    }
    assert_eq!(run.said.iter().filter(|line| *line == "flushed").count(), 2);
}

#[test]
fn the_failed_synchronization_of_a_file_that_is_left_fails_the_next_flush_and_no_other() {
    let folder = folder("disk-left");
    let Some(run) = run("rolled", &folder, &format!("fdatasync:0002:1:1:{EIO}")) else { return };
    let said: Vec<_> = run.said.iter().filter(|line| !line.starts_with("delivered") && !line.is_empty()).collect();
    let said: Vec<_> =
        said.into_iter().filter(|line| line.contains("flushed") || line.contains("unconfirmed")).collect();
    assert_eq!(said, ["unconfirmed 4", "flushed"]);
    for name in lines(&folder).keys() {
        assert!(run.count("fdatasync", name) > 0, "{name}: the others are synchronized all the same");
    }
}

#[test]
fn each_batch_and_the_name_of_each_new_file_is_synchronized_if_every_batch_is_to_be() {
    let folder = folder("disk-batches");
    let Some(run) = run("every batch", &folder, "none") else { return };
    let names: Vec<_> = lines(&folder).into_keys().collect();
    for name in &names {
        let of = |call: &str| run.count(call, name);
        assert!(of("fdatasync") >= of("write") && of("write") > 0, "{name}: {:?}", run.calls);
    }
    let folder_name = folder.file_name().unwrap().to_str().unwrap();
    assert!(run.count("fsync", folder_name) >= names.len(), "{:?}", run.calls);
}

#[test]
fn the_name_of_each_new_directory_is_synchronized_too() {
    let folder = folder("disk-directories");
    let Some(run) = run("new directories", &folder, "none") else { return };
    let own = folder.file_name().unwrap().to_str().unwrap();
    for name in [own, "one", "two"] {
        assert_eq!(run.count("fsync", name), 1, "{name}: {:?}", run.calls);
    }
}

#[cfg(feature = "gzip")]
#[test]
fn on_a_full_disk_one_file_is_tried_and_the_others_wait() {
    let folder = folder("disk-full");
    let faults = format!("create:gz.partial:1:1000:{ENOSPC}");
    let Some(run) = run("full disk", &folder, &faults) else { return };
    assert!(lines(&folder).len() > 3, "several wait for their compression");
    let said: Vec<_> = run.said.iter().filter(|line| line.starts_with("said ")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn behind_a_file_that_cannot_be_deleted_none_is_deleted() {
    let folder = folder("disk-stuck");
    let Some(run) = run("stuck", &folder, &format!("unlink:0002.log:1:1000:{EIO}")) else { return };
    let left: Vec<_> = lines(&folder).into_keys().filter(|name| !name.starts_with("app.log")).collect();
    assert!(!left[0].contains("0001") && left[0].contains("0002") && left.len() == 4, "{left:?}");
    assert!(run.calls.iter().all(|(call, name, _)| call != "unlink" || !name.contains("0003")), "{:?}", run.calls);
}

#[test]
fn a_batch_that_goes_to_two_files_is_not_delivered_if_the_first_cannot_be_synchronized() {
    let folder = folder("disk-two");
    let Some(run) = run("two files", &folder, &format!("fdatasync:0001:1:1:{EIO}")) else { return };
    assert!(run.said.iter().any(|line| line == "failed 0"), "{:?}", run.said);
}

#[test]
fn whichever_step_fails_every_delivered_line_is_there_once_and_in_order() {
    if shim().is_none() {
        return;
    }
    let mut failed = 0;
    let steps = [
        ("write", &[EIO, ENOSPC, EDQUOT, SHORT][..], 26),
        ("create", &[EIO, ENOSPC], 12),
        ("flock", &[EIO], 30),
        ("fdatasync", &[EIO, ENOSPC], 9),
        ("fsync", &[EIO], 20),
        ("unlink", &[EIO], 8),
        ("rename", &[EIO, ENOSPC], 4),
        ("symlink", &[EIO], 6),
    ];
    for (call, errors, most) in steps {
        for (turn, first) in (1..=most).enumerate() {
            let error = errors[turn % errors.len()];
            let folder = folder("disk-steps");
            let faults = format!("{call}:*:{first}:1:{error}");
            let run = run("life", &folder, &faults).unwrap();
            failed += run.calls.iter().filter(|(made, _, result)| made == call && *result != 0).count();
            let delivered: Vec<_> = run.said.iter().filter_map(|line| line.strip_prefix("delivered ")).collect();
            // A link that could not be deleted leads to a file that is there anyway.
            let of_files = lines(&folder).into_iter().filter(|(name, _)| !name.starts_with('.'));
            let there: Vec<_> = of_files.flat_map(|(_, lines)| lines).collect();
            let whole: Vec<_> =
                there.iter().filter(|line| line.starts_with("line ") && line.ends_with(" end")).collect();
            assert_eq!(whole, delivered, "{faults}");
            assert!(there.iter().all(|line| !line.is_empty()), "{faults}: a blank line");
            // A short write or a full disk leaves a part of one line.
            assert!(there.len() - whole.len() <= 1, "{faults}: {there:?}");
            let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            let is_left = |name: &std::ffi::OsString| name.to_str().unwrap().starts_with('.');
            assert!(call == "unlink" || !left.iter().any(is_left), "{faults}: {left:?}");
        }
    }
    assert!(failed > 60, "{failed}");
}

#[test]
fn without_locks_nothing_is_deleted_each_start_begins_a_file_and_that_is_said_once() {
    let folder = folder("disk-locks");
    let Some(run) = run("no locks", &folder, &format!("flock:*:1:100000:{ENOLCK}")) else { return };
    let delivered: Vec<_> = run.said.iter().filter_map(|line| line.strip_prefix("delivered ")).collect();
    assert_eq!(delivered.len(), 20);
    assert_eq!(crate::rolling::all_lines(&folder), delivered);
    let said: Vec<_> = run.said.iter().filter_map(|line| line.strip_prefix("said ")).collect();
    assert!(said.iter().all(|said| said.contains("cannot lock files in")), "{said:?}");
    let files = lines(&folder);
    let second = files.values().position(|lines| lines.contains(&"line 0010 end".to_owned())).unwrap();
    assert_eq!(files.values().nth(second).unwrap()[0], "line 0010 end", "a file of its own");
}
