//! A test's thread: a child process that is killed at every call of the file system it makes, and what it leaves on a real
//! disk.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::disk::{Disk, SpoolLimits};
use super::super::fs::{Os, SpoolFs};
use super::super::positions::Positions;
use super::super::store::SpoolProgress;
use crate::fs::FsKind;

const DIR: &str = "LOGWEIR_TEST_CHILD_SPOOL";
const CALL: &str = "LOGWEIR_TEST_CHILD_CALL";
const LIMITS: SpoolLimits = SpoolLimits { max_bytes: 64 << 10, segment_bytes: 2 << 10 };
const ROUNDS: u64 = 10;

/// The file system of the operating system, in which a call kills the process: before it, or half way if it writes.
#[derive(Clone)]
struct Killing {
    calls: Arc<AtomicU64>,
    at: u64,
    is_half: bool,
}

fn kill() -> ! {
    #[cfg(all(unix, feature = "signal"))]
    signal_hook::low_level::raise(9).unwrap();
    std::process::abort()
}

impl Killing {
    /// Counts a call; kills the process if it is the one, unless it is to be done half way.
    fn call(&self, writes: bool) -> bool {
        let is_it = self.calls.fetch_add(1, Ordering::Relaxed) == self.at;
        if is_it && !(writes && self.is_half) {
            kill()
        }
        is_it
    }
}

impl SpoolFs for Killing {
    type File = <Os as SpoolFs>::File;
    type Lock = <Os as SpoolFs>::Lock;

    fn kind(&self, dir: &Path) -> io::Result<FsKind> {
        Os.kind(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(false);
        Os.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(false);
        Os.list(dir)
    }

    fn open(&self, path: &Path, is_new: bool) -> io::Result<Self::File> {
        self.call(false);
        Os.open(path, is_new)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        self.call(false);
        Os.lock(path)
    }

    fn len(&self, file: &Self::File) -> io::Result<u64> {
        self.call(false);
        Os.len(file)
    }

    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(false);
        Os.read_at(file, buffer, offset)
    }

    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.call(true) {
            Os.write_at(file, &bytes[..bytes.len() / 2], offset)?;
            kill()
        }
        Os.write_at(file, bytes, offset)
    }

    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()> {
        self.call(false);
        Os.set_len(file, len)
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        self.call(false);
        Os.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(false);
        Os.sync_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(false);
        Os.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(false);
        Os.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(false);
        Os.remove_dir(dir)
    }
}

/// The records of a spool, which are settled in order: of each its number and some bytes.
struct Records<F: SpoolFs> {
    disk: Disk<F>,
    next: u64,
}

impl<F: SpoolFs> Records<F> {
    fn open(fs: F, dir: &Path, next: u64) -> Self {
        Records { disk: Disk::open(fs, &[dir.to_owned()], LIMITS).unwrap(), next }
    }

    fn append(&mut self, count: u64) {
        let record = |number: u64| {
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(300, number as u8);
            (1, payload)
        };
        self.disk.append((self.next..self.next + count).map(record).collect()).unwrap();
        self.next += count;
    }

    /// Settles all before this number.
    fn settle(&mut self, number: u64) {
        let frontier = self.disk.next() - (self.next - number);
        self.disk.advance(SpoolProgress { frontier, settled: Vec::new() });
        self.disk.clean().unwrap();
    }

    /// The numbers of those that are not settled.
    fn read(&mut self) -> Vec<u64> {
        let settled = Positions::new(self.disk.progress(), self.disk.next());
        let (mut at, mut numbers) = (settled.progress().frontier, Vec::new());
        while let Some((there, payload)) = self.disk.read(at..self.disk.next()).unwrap() {
            numbers.push(u64::from_le_bytes(payload[..8].try_into().unwrap()));
            at = there.end;
        }
        numbers
    }
}

fn say(text: &str, number: u64) {
    let mut out = io::stdout();
    writeln!(out, "{text} {number}").and_then(|()| out.flush()).unwrap();
}

/// Appends, synchronizes, settles and begins anew, until it is killed.
#[test]
fn the_child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let at = std::env::var(CALL).unwrap();
    let (at, half) = at.split_once(' ').unwrap();
    let fs = Killing { calls: Arc::default(), at: at.parse().unwrap(), is_half: half == "half" };
    let mut records = Records::open(fs.clone(), &dir, 0);
    for round in 1..=ROUNDS {
        records.append(3);
        say("appended", records.next);
        if round == ROUNDS / 2 {
            drop(records.disk);
            records = Records {
                disk: Disk::open(fs.clone(), std::slice::from_ref(&dir), LIMITS).unwrap(),
                next: records.next,
            };
        }
        say("settling", round * 2);
        records.settle(round * 2);
        if round % 2 == 0 {
            records.disk.sync().unwrap();
            say("kept", round * 2);
        }
    }
    say("settling", records.next);
    records.settle(records.next);
    records.disk.end().unwrap();
    say("ended", fs.calls.load(Ordering::Relaxed));
}

/// Runs the child; returns what it has said, and whether it has ended.
fn run(dir: &Path, call: u64, how: &str) -> (Vec<(String, u64)>, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "spool::tests::killed::the_child", "--nocapture"]);
    child.env(DIR, dir).env(CALL, format!("{call} {how}")).stdin(Stdio::null()).stderr(Stdio::null());
    let output = child.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().filter_map(|line| {
        let (what, number) = line.split_once(' ')?;
        Some((what.to_owned(), number.parse().ok()?))
    });
    let said: Vec<(String, u64)> =
        said.filter(|(what, _)| ["appended", "settling", "kept", "ended"].contains(&&**what)).collect();
    (said, output.status.success())
}

#[test]
fn whichever_call_of_the_file_system_a_process_is_killed_at_what_it_has_appended_is_found_in_order() {
    let dir = std::env::temp_dir().join(format!("logweir-killed-calls-{}", std::process::id()));
    let mut killed = 0;
    for (call, how) in (0..).flat_map(|call| [(call, "before"), (call, "half")]) {
        fs::remove_dir_all(&dir).unwrap_or_default();
        let (said, has_ended) = run(&dir, call, how);
        let last = |what: &str| said.iter().rev().find(|(said, _)| said == what).map_or(0, |(_, number)| *number);
        let (appended, settling, kept) = (last("appended"), last("settling"), last("kept"));
        let found = Records::open(Os, &dir, 0).read();
        if has_ended {
            assert_eq!(found, [0_u64; 0], "after an orderly end, of {} calls", last("ended"));
            break;
        }
        killed += 1;
        let context = format!("killed at call {call}, {how}: {said:?}, found {found:?}");
        assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{context}");
        assert!((settling..appended).all(|number| found.contains(&number)), "{context}");
        // The append that was killed may be there, and what was settled after the last synchronization.
        assert!(found.iter().all(|number| (kept..appended + 3).contains(number)), "{context}");
    }
    fs::remove_dir_all(&dir).unwrap_or_default();
    assert!(killed > 100, "killed {killed} times");
}
