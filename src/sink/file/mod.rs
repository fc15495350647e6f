//! A sink's thread: appends lines to a file, or to one file after another.
//!
//! In: batches and requests of `sink/thread.rs`.
//! Out: lines in files; background errors of rolling and maintenance.
//!
//! Invariants:
//! * Events are never written to a file that no path names.
//! * An error counts exactly the events whose lines are in the file.
//! * Deletion and compression run on a maintenance thread and never delay a write.
//!
//! `open.rs` opens, `target.rs` replaces the active file, `roller.rs` chooses the next one, `upkeep.rs` deletes and
//! compresses. Add an option of rolling in `rolling.rs` and `config/rolling.rs`.
//!
//! Next: the file system.

mod error;
mod folder;
#[cfg(feature = "gzip")]
mod gzip;
mod names;
mod open;
mod period;
mod retention;
mod roller;
mod rolling;
mod target;
mod upkeep;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{MaintenanceError, MaintenanceTask, OpenError, RollingError};
pub use rolling::Rolling;

use self::folder::Folder;
use self::open::{check_path, folder_of};
use self::roller::Roller;
use self::target::Target;
use self::upkeep::Trouble;
use super::SinkError;
use super::lines::{LineWriter, classify};
use super::thread::{Blocking, BlockingSink, sink_on_its_thread};
use crate::event::Batch;
use crate::format::{Format, Text};

/// Appends events to a file.
///
/// By default it writes [`Text`] without color, [`Durability::Buffered`]. Missing directories are created. If the file
/// ends in the middle of a line (after a crash or a full disk), that line is ended before the first event. A batch is
/// usually one write, at the current end of the file, so several processes can share the file. A FIFO, a terminal or
/// another device gets whole lines in smaller writes, as from a [`ConsoleSink`](crate::sink::ConsoleSink).
///
/// Before each batch, the sink checks that its path still names the open file. If another program moved the file away
/// (logrotate) or deleted it, perhaps with its directory, the sink continues in a new file at the path; `reopen` does
/// so at once. If that fails, the sink continues in a moved file, and returns a temporary error for a deleted one:
/// events are never written to an unlinked file. (Lines written between the deletion and the next batch are lost with
/// the file.) Truncating the file in place (logrotate's `copytruncate`) needs no `reopen`. On systems without inodes
/// (Windows), only a missing file is noticed.
///
/// [`rolling`](FileSink::rolling) begins another file by time or size, and deletes and compresses old ones.
///
/// # Errors
/// If the file cannot be opened at the start, the error is permanent and its source is an [`OpenError`]. A full disk,
/// an exhausted quota and other I/O errors are temporary. If the path is a FIFO whose reader has closed it, or the file
/// was removed on its network file server, the error is permanent, and so is every later one until `reopen`.
///
/// An error counts exactly the events whose lines are in the file, so a retry repeats none of them. The one exception
/// is a failed synchronization with [`Durability::SyncEveryBatch`].
///
/// # Blocking
/// The file is opened on the thread that calls `start()`; opening a FIFO waits there for a reader. All other I/O is on
/// a thread of the sink's own, see [`Blocking`].
///
/// # Examples
/// ```
/// use logweir::sink::{Durability, FileSink};
///
/// let sink = FileSink::new("logs/audit.log").durability(Durability::SyncOnFlush);
/// ```
#[must_use = "a sink does nothing until a logger has it"]
#[derive(Debug)]
pub struct FileSink {
    thread: Blocking<FileWriter>,
}

/// What survives a crash.
///
/// | | an event is delivered when | killed process | power cut, kernel crash |
/// |---|---|---|---|
/// | `Buffered` | the operating system has it | every delivered event | what the system wrote back by itself, often all but the last 30 s |
/// | `SyncOnFlush` | the operating system has it | every delivered event | also everything before the last flush or shutdown |
/// | `SyncEveryBatch` | the disk has it | every delivered event | every delivered event |
///
/// The disk has what it reported as written (`fdatasync`); the logger cannot detect a disk that misreports its cache.
/// On Unix, `SyncOnFlush` and `SyncEveryBatch` also write the names of new files and directories to disk, if the file
/// system can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Does not wait for the disk. Every batch is passed to the operating system before its write returns.
    #[default]
    Buffered,
    /// Waits for the disk at each flush, hence also at shutdown.
    SyncOnFlush,
    /// Waits for the disk after each batch: some milliseconds on a disk without a protected cache. If the disk does not
    /// confirm, no event of the batch counts as delivered, although its lines may be there: a retry may repeat them.
    SyncEveryBatch,
}

impl FileSink {
    /// Creates a sink that appends to the file at `path`, which is opened by `start()`. A relative path is relative to
    /// the process's working directory at that time, and again at each `reopen`.
    ///
    /// The path is taken as it is, so one that begins with `~/` or has a `${NAME}` in it is an error of `start()`: such
    /// names are expanded by a shell, or in a configuration file, but not here. For a
    /// directory called `~`, write `./~/`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let writer = FileWriter {
            path: path.into(),
            format: Box::new(Text::new()),
            durability: Durability::default(),
            rolling: None,
            trouble: Trouble::default(),
            lines: None,
        };
        FileSink { thread: Blocking::new(writer).name("logweir-file") }
    }

    /// Sets how events become bytes. Default: [`Text`] without color.
    pub fn format(self, format: impl Format) -> Self {
        self.configure(|writer| writer.format = Box::new(format))
    }

    /// Sets what survives a crash. Default: [`Durability::Buffered`].
    pub fn durability(self, durability: Durability) -> Self {
        self.configure(|writer| writer.durability = durability)
    }

    /// Begins another file by time or size. Default: all events go to the one file at the path.
    pub fn rolling(self, policy: Rolling) -> Self {
        self.configure(|writer| writer.rolling = Some(policy))
    }

    fn configure(mut self, set: impl FnOnce(&mut FileWriter)) -> Self {
        // After the sink was opened by hand, its writer is on the thread and cannot be configured.
        if let Some(writer) = self.thread.unopened_mut() {
            set(writer);
        }
        self
    }
}

sink_on_its_thread!(FileSink, timeout: Duration::from_secs(5));

struct FileWriter {
    path: PathBuf,
    format: Box<dyn Format>,
    durability: Durability,
    rolling: Option<Rolling>,
    trouble: Trouble,
    /// None until opened.
    lines: Option<LineWriter<Target>>,
}

impl FileWriter {
    fn roller(&self) -> Result<Option<Roller>, SinkError> {
        let Some(policy) = self.rolling.clone() else { return Ok(None) };
        let names = policy.check(&self.path).map_err(SinkError::permanent)?;
        let folder = Folder::new(folder_of(&self.path), names);
        let roller = Roller::start(&self.path, policy, folder, self.durability, &self.trouble);
        roller.map(Some).map_err(SinkError::permanent)
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.lines.as_mut().map_or(Ok(()), |lines| lines.out_mut().sync().map_err(classify))
    }
}

impl BlockingSink for FileWriter {
    fn open(&mut self) -> Result<(), SinkError> {
        check_path(&self.path).map_err(SinkError::permanent)?;
        let roller = self.roller()?;
        let opened = Target::open(&self.path, self.durability, roller, self.trouble.clone());
        let (target, torn) = opened.map_err(SinkError::permanent)?;
        self.lines = Some(LineWriter::new(target, torn));
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let lines = self.lines.as_mut().expect("`Blocking` writes only after `open` succeeded");
        let state = lines.out_mut().look().map_err(SinkError::temporary)?;
        lines.record_state(state);
        let written = lines.write(batch, 0..batch.len(), &mut *self.format);
        let nothing = written.as_ref().is_err_and(|error| error.delivered() == 0);
        if self.durability == Durability::SyncEveryBatch && !nothing {
            // Its error replaces the write's, because nothing is delivered then.
            self.sync()?;
        }
        written
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let ended = self.lines.as_mut().map_or(Ok(()), LineWriter::flush);
        // Also if a torn line cannot be ended: all whole lines must be on the disk.
        let synced = match self.durability {
            Durability::Buffered => Ok(()),
            Durability::SyncOnFlush | Durability::SyncEveryBatch => self.sync(),
        };
        ended.and(synced)
    }

    fn close(&mut self) -> Result<(), SinkError> {
        let flushed = self.flush();
        if let Some(lines) = &mut self.lines {
            lines.out_mut().close();
        }
        flushed
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        // First the old file, while it is open. If its flush fails, return the error, but continue with the new file: a
        // full disk is one reason to rotate.
        let flushed = self.flush();
        if let Some(lines) = &mut self.lines {
            let is_gone = lines.is_gone();
            let state = lines.out_mut().reopen(is_gone).map_err(SinkError::temporary)?;
            lines.record_state(state);
        }
        flushed
    }

    fn written_bytes(&self) -> u64 {
        self.lines.as_ref().map_or(0, LineWriter::written)
    }

    fn take_error(&mut self) -> Option<SinkError> {
        self.trouble.take()
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .field("rolling", &self.rolling)
            .finish_non_exhaustive()
    }
}
