//! A sink that stops when it is told to: a named pipe in the place of the file, and a thread that reads it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::lines::newlines;
use crate::peers::Error;

const QUIET: Duration = Duration::from_millis(500);
/// Ends the reader. No line has it.
const END: u8 = 0;

pub struct Pipe {
    path: PathBuf,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    lines: AtomicU64,
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
        self.shared.stopped.store(true, Relaxed);
    }

    pub fn go_on(&self) {
        self.shared.stopped.store(false, Relaxed);
        self.reader.thread().unpark();
    }

    pub fn lines(&self) -> u64 {
        self.shared.lines.load(Relaxed)
    }

    /// Waits until `expected` lines were read, or none came for a while. Returns how many.
    pub fn finish(self, expected: u64) -> Result<u64, Error> {
        let (mut last, mut looked) = (self.lines(), Instant::now());
        while last < expected && looked.elapsed() < QUIET {
            thread::sleep(Duration::from_millis(1));
            let now = self.lines();
            if now != last {
                (last, looked) = (now, Instant::now());
            }
        }
        OpenOptions::new().write(true).open(&self.path)?.write_all(&[END])?;
        self.reader.join().map_err(|_| "the reader of the pipe panicked")?;
        Ok(self.shared.lines.load(Relaxed))
    }
}

fn read(mut file: File, shared: &Shared) {
    let mut chunk = vec![0; 64 << 10];
    loop {
        while shared.stopped.load(Relaxed) {
            thread::park();
        }
        let length = file.read(&mut chunk).expect("a pipe that is open for writing, here too, can be read");
        shared.lines.fetch_add(newlines(&chunk[..length]), Relaxed);
        if chunk[..length].contains(&END) {
            return;
        }
    }
}
