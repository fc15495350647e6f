//! Files that follow each other, by the clock and by their size: which lines are where, and which files stay.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, reason = "a random test prints its seed, a skipped one its reason")]

mod clock;
#[cfg(feature = "gzip")]
mod compressed;
mod failures;
#[cfg(target_os = "linux")]
mod full;
mod kept;
#[cfg(target_os = "linux")]
mod lives;
#[cfg(target_os = "linux")]
mod permissions;
mod restart;
mod shared;
mod size;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use logweir::sink::{FileSink, Rolling};
use logweir::{Batch, Event, Level, Sink};

use crate::children::Plain;

/// 2026-11-24T00:00:00Z, a Tuesday.
pub(crate) const MIDNIGHT: u64 = 1_795_478_400;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// Longer than any upkeep takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands until it is set. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn at(seconds: u64) -> Self {
        Clock(Arc::new(AtomicU64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The policy by this clock, whose files are complete when the sink has closed.
    pub(crate) fn rules(&self, rolling: Rolling) -> Rolling {
        let clock = self.clone();
        rolling.clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.seconds())).close_timeout(PATIENCE)
    }
}

/// An empty folder of the test's own.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rolling").join(test);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => fs::create_dir_all(&folder).unwrap(),
    }
    folder
}

/// An open sink to `app.log` in the folder, whose lines are the messages.
fn open(folder: &Path, rolling: Rolling) -> FileSink {
    let mut sink = FileSink::new(folder.join("app.log")).format(Plain).rolling(rolling);
    sink.open().unwrap();
    sink
}

fn batch<T: ToString>(messages: impl IntoIterator<Item = T>) -> Batch {
    messages.into_iter().map(|message| Event::new(Level::Info, "t", &message.to_string())).collect()
}

async fn write<T: ToString>(sink: &mut FileSink, messages: impl IntoIterator<Item = T>) {
    sink.write(&batch(messages)).await.unwrap();
}

/// The names in a folder, in their order, less the link.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "app.log").collect();
    names.sort();
    names
}

/// The lines of each file of a folder, by its name.
pub(crate) fn lines(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let of = |name: String| (name.clone(), text(&folder.join(name)).lines().map(str::to_owned).collect());
    names(folder).into_iter().map(of).collect()
}

/// What a file says, by `gzip` if it is compressed.
fn text(path: &Path) -> String {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return fs::read_to_string(path).unwrap();
    }
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All lines, in the order of the names.
pub(crate) fn all_lines(folder: &Path) -> Vec<String> {
    lines(folder).into_values().flatten().collect()
}
