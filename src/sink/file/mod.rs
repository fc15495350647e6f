//! A sink's thread: appends lines to a file, or to one file after another.
//!
//! In: batches and requests of `sink/thread.rs`.
//! Out: lines in files; background errors of rolling and maintenance.
//!
//! Invariants:
//! * Events are never written to a file that no path names.
//! * A rolled file is written to by the one process that has it locked.
//! * An error counts exactly the events whose lines are in the file.
//! * Deletion and compression run on a maintenance thread and never delay a write.
//!
//! `open.rs` opens, `active.rs` replaces the active file, `roller.rs` chooses the next one, `maintenance.rs` deletes and
//! compresses what `retention.rs` tells, `claims.rs` keeps two sinks from one file. Add an option of rolling in
//! `rolling.rs` and `config/rolling.rs`.
//!
//! Next: `fs`, then the file system.

mod active;
mod claims;
mod directory;
mod durability;
mod error;
mod granularity;
#[cfg_attr(not(feature = "gzip"), path = "no_gzip.rs")]
mod gzip;
mod maintenance;
mod open;
mod pattern;
mod retention;
mod roller;
mod rolling;

use std::fmt;
use std::io;
use std::path::{self, PathBuf};
use std::time::Duration;

pub(crate) use claims::of_one_logger;
pub use durability::Durability;
pub use error::{MaintenanceError, MaintenanceTask, OpenError, RollingError, SyncError};
pub use rolling::Rolling;

use self::active::ActiveFile;
use self::claims::claim;
use self::directory::LogDir;
use self::maintenance::BackgroundErrors;
use self::open::{FileOptions, check_path};
use self::roller::Roller;
use super::lines::{LineWriter, classify};
use super::thread::{Blocking, BlockingSink, sink_on_its_thread};
use super::{Acknowledges, SinkError};
use crate::event::Batch;
use crate::format::{Format, Text};
use crate::fs::parent_dir;

/// Appends events to a file.
///
/// By default it writes [`Text`] without color, [`Durability::Buffered`]. Missing directories are created. A FIFO, a
/// terminal or another device gets whole lines in smaller writes, as from a [`ConsoleSink`](crate::sink::ConsoleSink).
///
/// Several processes can share the file: a batch is usually one write, at the current end of the file. If the file ends in
/// the middle of a line (after a crash or a full disk) and no other process has it open, that line is ended before the
/// first event. While others have it open, it is not: a process that dies in the middle of a write leaves part of a line,
/// and the next line of another process follows on the same line.
///
/// No two sinks of a logger may have the same file.
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
/// If the file cannot be opened at the start, or another sink of the logger has it, the error is permanent and its source is
/// an [`OpenError`]. If it cannot be synchronized, the source of a flush's error is a [`SyncError`]. A full disk,
/// an exhausted quota and other I/O errors are temporary. If the file was removed on its network file server, the error
/// is permanent, and so is every later one until `reopen`. If the path is a FIFO whose reader has closed it, the error is
/// permanent, but each later write first checks whether there is a reader again.
///
/// An error counts exactly the events whose lines are in the file, so a retry repeats none of them. The one exception
/// is a failed synchronization with [`Durability::SyncEveryBatch`].
///
/// # Blocking
/// The file is opened on the thread that calls `start()`; opening a FIFO waits there for a reader, `reopen` does not. All
/// other I/O is on a thread of the sink's own, see [`Blocking`].
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

impl FileSink {
    /// Creates a sink that appends to the file at `path`, which is opened by `start()`. A relative path is relative to
    /// the process's working directory at that time, also after the process changes it.
    ///
    /// The path is taken as it is, so one that begins with `~/` or has a `${NAME}` in it is an error of `start()`: such
    /// names are expanded by a shell, or in a configuration file, but not here. For a
    /// directory called `~`, write `./~/`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let writer = FileWriter {
            path: path.into(),
            format: Box::new(Text::new()),
            options: FileOptions::default(),
            rolling: None,
            errors: BackgroundErrors::default(),
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
        self.configure(|writer| writer.options.durability = durability)
    }

    /// Sets the permission bits of the files that the sink creates, whatever the process's mask is. Default: those of the
    /// file before, for a rolled one; else 0o666 less the mask. Range: 0o600 to 0o777, with reading and writing for the
    /// owner.
    ///
    /// Compressed files have the bits, and the owner if possible, of their source. New directories can be searched by
    /// all users who may read the files. A file that exists keeps its bits.
    #[cfg(unix)]
    pub fn mode(self, mode: u32) -> Self {
        self.configure(|writer| writer.options.mode = Some(mode))
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
    options: FileOptions,
    rolling: Option<Rolling>,
    errors: BackgroundErrors,
    /// None until opened.
    lines: Option<LineWriter<ActiveFile>>,
}

impl FileWriter {
    /// Opens the file, or the first of several.
    fn start(&mut self) -> Result<(ActiveFile, bool), SinkError> {
        check_path(&self.path).and_then(|()| self.options.check(&self.path)).map_err(SinkError::permanent)?;
        let pattern = self.rolling.as_ref().map(|policy| policy.check(&self.path)).transpose();
        let pattern = pattern.map_err(SinkError::permanent)?;
        // Once: the process may change its working directory.
        let absolute = path::absolute(&self.path);
        let failed = |source: io::Error| SinkError::permanent(OpenError { path: self.path.clone(), source });
        self.path = absolute.map_err(failed)?;
        claim(&self.path, pattern.as_ref()).map_err(SinkError::permanent)?;
        let roller = match self.rolling.clone().zip(pattern) {
            Some((policy, pattern)) => {
                let dir = LogDir::new(parent_dir(&self.path), pattern);
                let roller = Roller::start(&self.path, policy, dir, self.options, &self.errors);
                Some(roller.map_err(SinkError::permanent)?)
            }
            None => None,
        };
        ActiveFile::open(&self.path, self.options, roller, self.errors.clone()).map_err(SinkError::permanent)
    }

    /// Ends a line that the last write left torn, if the file is still as that left it.
    fn end_torn_line(&mut self) -> Result<(), SinkError> {
        let Some(lines) = self.lines.as_mut() else { return Ok(()) };
        if !lines.is_torn() {
            return lines.flush();
        }
        let state = lines.out_mut().check_path(true).map_err(SinkError::temporary);
        let ended = state.and_then(|state| {
            lines.record_state(state);
            lines.flush()
        });
        lines.out_mut().end_batch();
        ended
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.lines.as_mut().map_or(Ok(()), |lines| lines.out_mut().sync().map_err(SinkError::temporary))
    }

    fn write_batch(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let lines = self.lines.as_mut().expect("`Blocking` writes only after `open` succeeded");
        let is_torn = lines.is_torn();
        let state = lines.out_mut().check_path(is_torn).map_err(SinkError::temporary)?;
        lines.record_state(state);
        if lines.is_broken()
            && let Some(state) = lines.out_mut().open_fifo()
        {
            lines.record_state(state);
        }
        let written = lines.write(batch, 0..batch.len(), &mut *self.format);
        let nothing = written.as_ref().is_err_and(|error| error.delivered() == 0);
        if self.options.durability == Durability::SyncEveryBatch && !nothing {
            // Its error replaces the write's, because nothing is delivered then.
            lines.out_mut().sync_batch().map_err(classify)?;
        }
        written
    }
}

impl BlockingSink for FileWriter {
    fn open(&mut self) -> Result<(), SinkError> {
        #[cfg(feature = "spool")]
        if let Durability::SyncInterval(interval) = self.options.durability {
            let allowed = "a file sink allows `Buffered`, `SyncOnFlush` and `SyncEveryBatch`";
            return Err(SinkError::permanent(format!("`durability` is `SyncInterval({interval:?})`; {allowed}")));
        }
        let (active, torn) = self.start()?;
        self.lines = Some(LineWriter::new(active, torn));
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let written = self.write_batch(batch);
        if let Some(lines) = &mut self.lines {
            lines.out_mut().end_batch();
        }
        written
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let ended = self.end_torn_line();
        // Also if a torn line cannot be ended: all whole lines must be on the disk.
        let synced = match self.options.durability {
            Durability::Buffered => Ok(()),
            _ => self.sync(),
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
            let is_broken = lines.is_broken();
            let state = lines.out_mut().reopen(is_broken).map_err(SinkError::temporary)?;
            lines.record_state(state);
        }
        flushed
    }

    fn written_bytes(&self) -> u64 {
        self.lines.as_ref().map_or(0, |lines| lines.written() + lines.out().ended_lines())
    }

    fn take_error(&mut self) -> Option<SinkError> {
        self.errors.take()
    }

    fn acknowledges(&self) -> Acknowledges {
        match self.options.durability {
            Durability::SyncEveryBatch => Acknowledges::Stored,
            _ => Acknowledges::Written,
        }
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("options", &self.options)
            .field("rolling", &self.rolling)
            .finish_non_exhaustive()
    }
}
