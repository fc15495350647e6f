//! A sink that stops when it is told to: a named pipe in the place of the file, and a thread that reads it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::lines::newlines;
use crate::peers::Error;

/// How long no line may come until it is taken as all there will be.
const QUIET: Duration = Duration::from_millis(500);
/// No line has it. The first divides what was written before the shutdown returned from what was written after; the
/// second ends the reader.
const MARK: u8 = 0;

pub struct Pipe {
    path: PathBuf,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    marks: AtomicU32,
    lines: AtomicU64,
    lines_at_mark: AtomicU64,
}

/// The lines that were written in time, and those that came after.
pub struct Lines {
    pub in_time: u64,
    pub late: u64,
}

impl Pipe {
    pub fn new(path: &Path) -> Result<Self, Error> {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
        // Opened for both, it opens at once and does not end when a writer leaves.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let shared = Arc::new(Shared::default());
        let reader = thread::Builder::new().name("reader".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || read(file, &shared)
        })?;
        Ok(Pipe { path: path.to_owned(), shared, reader })
    }

    /// From here on nothing is read, but for what the reader has begun to read.
    pub fn stop(&self) {
        self.shared.stopped.store(true, SeqCst);
    }

    pub fn go_on(&self) {
        self.shared.stopped.store(false, SeqCst);
        self.reader.thread().unpark();
    }

    /// To be called when the shutdown has just returned: what is in the pipe by now has left the process. Then waits until
    /// `expected` lines were read, or none came for a while.
    pub fn finish(self, expected: u64) -> Result<Lines, Error> {
        let mut writer = OpenOptions::new().write(true).open(&self.path)?;
        writer.write_all(&[MARK])?;
        let (mut last, mut looked) = (self.seen(), Instant::now());
        while last != (1, expected) && looked.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(1));
            let now = self.seen();
            if now != last {
                (last, looked) = (now, Instant::now());
            }
        }
        writer.write_all(&[MARK])?;
        self.reader.join().map_err(|_| "the reader of the pipe panicked")?;
        let in_time = self.shared.lines_at_mark.load(SeqCst);
        Ok(Lines { in_time, late: self.shared.lines.load(SeqCst) - in_time })
    }

    fn seen(&self) -> (u32, u64) {
        (self.shared.marks.load(SeqCst), self.shared.lines.load(SeqCst))
    }
}

fn read(mut file: File, shared: &Shared) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        while shared.stopped.load(SeqCst) {
            thread::park();
        }
        let length = file.read(&mut chunk).expect("a pipe that is open for writing, here too, can be read");
        let mut parts = chunk[..length].split(|byte| *byte == MARK);
        shared.lines.fetch_add(parts.next().map_or(0, newlines), SeqCst);
        for part in parts {
            if shared.marks.fetch_add(1, SeqCst) > 0 {
                return;
            }
            shared.lines_at_mark.store(shared.lines.load(SeqCst), SeqCst);
            shared.lines.fetch_add(newlines(part), SeqCst);
        }
    }
}
