//! A sink's thread: the active file, how the next one replaces it, and what the disk has of it.
//!
//! Invariants:
//! * A rolled file is locked exclusively while it is written to. A plain one has a shared lock from its first batch on, and
//!   a line that was torn before is ended only under an exclusive one.
//! * After a failed synchronization, every later one fails until the file is left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::Durability;
use super::error::{MaintenanceError, MaintenanceTask, OpenError, SyncError};
use super::maintenance::BackgroundErrors;
use super::open::{FileOptions, OpenedFile, end_torn_line, is_torn};
use super::roller::Roller;
use crate::fs::{FileId, Lock, LockedFile, is_at_path, is_gone, is_linked};
use crate::sink::lines::{Allowance, LineTarget, StreamState};
use crate::sink::sharing::Sharing;

/// Attempts to share a file that another process has for itself, and the pause between them.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct ActiveFile {
    /// The path at which the file was opened.
    path: PathBuf,
    file: LockedFile,
    id: Option<FileId>,
    sharing: Sharing,
    bytes: u64,
    options: FileOptions,
    roller: Option<Roller>,
    /// Whether the file needs no further lock until it is left.
    is_locked: bool,
    is_closed: bool,
    /// The torn lines that it has ended, with a byte each.
    ended_lines: u64,
    errors: BackgroundErrors,
    /// The errors that were reported and persist.
    reported: Reported,
    synced: Synced,
}

#[derive(Clone, Copy, Default)]
struct Reported {
    roll: bool,
    follow: bool,
}

/// What the disk has confirmed.
#[derive(Default)]
struct Synced {
    /// The events written since the last synchronization that succeeded, at most.
    unconfirmed: u64,
    /// How many of them a flush has reported.
    reported: u64,
    failed: Option<io::Error>,
    /// The error of a file that was left before a flush could report it.
    left: Option<SyncError>,
}

impl ActiveFile {
    /// Opens the file; returns whether it ends in the middle of a line.
    pub(super) fn open(
        path: &Path,
        options: FileOptions,
        mut roller: Option<Roller>,
        errors: BackgroundErrors,
    ) -> Result<(Self, bool), OpenError> {
        let opened = match &mut roller {
            Some(roller) => roller.open_first(None)?,
            None => open_plain(path, options, None, true)?,
        };
        let OpenedFile { path, file, id, sharing, bytes, torn } = opened;
        let is_locked = roller.is_some() || id.is_none();
        let (reported, synced) = (Reported::default(), Synced::default());
        let is_closed = false;
        Ok((
            ActiveFile {
                path,
                file,
                id,
                sharing,
                bytes,
                options,
                roller,
                is_locked,
                is_closed,
                ended_lines: 0,
                errors,
                reported,
                synced,
            },
            torn,
        ))
    }

    /// Checks before each batch whether the path still names the open file, and reopens it if not.
    ///
    /// If there is no other file, a moved file is continued; a deleted one is not. `is_torn`: the last write ended in the
    /// middle of a line.
    pub(super) fn check_path(&mut self, is_torn: bool) -> Result<StreamState, OpenError> {
        let is_released = self.roller.as_ref().is_some_and(|roller| !roller.begin_batch());
        let is_reopened = std::mem::take(&mut self.is_closed) || is_released;
        if !is_reopened && self.is_in_place() {
            self.reported.follow = false;
            return Ok(if is_torn { self.check_torn_line() } else { self.lock_plain() });
        }
        match self.open_again() {
            Ok(state) => Ok(state),
            Err(error) if is_reopened => {
                // The lock was released: another process may be writing to the file.
                self.is_closed = true;
                Err(error)
            }
            Err(error) => self.keep_current(MaintenanceTask::Follow, error),
        }
    }

    /// Opens the path anew. A rolled file that is still in place continues, unless it is broken.
    pub(super) fn reopen(&mut self, is_broken: bool) -> Result<StreamState, OpenError> {
        if let Some(roller) = &mut self.roller {
            roller.reopen();
        }
        if self.roller.is_some() && !is_broken && self.is_in_place() {
            return Ok(StreamState::Same);
        }
        self.open_again()
    }

    /// Opens the path anew, without waiting for the reader of a FIFO.
    pub(super) fn open_again(&mut self) -> Result<StreamState, OpenError> {
        let before = self.file.metadata().ok().filter(fs::Metadata::is_file);
        let opened = match &mut self.roller {
            Some(roller) => roller.open_first(before.as_ref())?,
            None => open_plain(&self.path, self.options, before.as_ref(), false)?,
        };
        let torn = opened.torn;
        self.replace(opened);
        Ok(match self.lock_plain() {
            StreamState::Same => StreamState::New { torn },
            new => new,
        })
    }

    /// Returns the bytes written besides lines.
    pub(super) fn ended_lines(&self) -> u64 {
        self.ended_lines
    }

    /// Opens a FIFO again, whose reader has left and returned. None: there is no reader, or it is no FIFO.
    pub(super) fn open_fifo(&mut self) -> Option<StreamState> {
        // What a path like `/dev/fd/3` leads to may be another file by now.
        let is_same = || Some(FileId::of(&self.file.metadata().ok()?) == FileId::of(&fs::metadata(&self.path).ok()?));
        let is_fifo = self.id.is_none() && (is_same() == Some(true) || is_fifo(&self.path));
        if is_fifo { self.open_again().ok() } else { None }
    }

    /// Called after each batch.
    pub(super) fn end_batch(&self) {
        if let Some(roller) = &self.roller {
            roller.end_batch();
        }
    }

    /// Waits until the disk has the last batch, also if it went to several files.
    pub(super) fn sync_batch(&mut self) -> io::Result<()> {
        let synced = self.sync_file();
        self.synced.left.take().map_or(synced, |left| Err(left.source))
    }

    /// Waits until the disk has what was written to this file since the last call.
    fn sync_file(&mut self) -> io::Result<()> {
        if self.id.is_none() {
            return Ok(());
        }
        match self.file.sync_data() {
            Ok(()) => {
                if self.synced.failed.is_none() {
                    self.synced.unconfirmed = 0;
                }
                Ok(())
            }
            Err(error) => {
                self.synced.failed = Some(copy(&error));
                Err(error)
            }
        }
    }

    /// Waits until the disk has everything that this sink has written.
    pub(super) fn sync(&mut self) -> Result<(), SyncError> {
        // If it fails, the error is kept.
        self.sync_file().unwrap_or_default();
        if let Some(left) = self.synced.left.take() {
            return Err(left);
        }
        self.synced.reported = self.synced.unconfirmed;
        self.sync_error().map_or(Ok(()), Err)
    }

    pub(super) fn close(&mut self) {
        if let Some(roller) = &mut self.roller {
            if is_empty(&self.path, &self.file) {
                roller.remove_empty(&self.path);
            }
            roller.close();
            self.is_closed = true;
        }
        self.is_locked = self.roller.is_some() || self.id.is_none();
        self.file.release();
    }

    fn sync_error(&self) -> Option<SyncError> {
        let Synced { unconfirmed, failed, .. } = &self.synced;
        failed.as_ref().map(|error| SyncError {
            path: self.path.clone(),
            unconfirmed: *unconfirmed,
            source: copy(error),
        })
    }

    fn is_in_place(&mut self) -> bool {
        let Some(own) = self.id else { return true };
        match fs::metadata(&self.path) {
            Ok(there) if FileId::of(&there) == own => {
                // It may have been truncated.
                self.bytes = there.len();
                true
            }
            // What cannot be looked at, as in a directory that may not be searched any more, is assumed to be in place.
            Err(error) if !is_gone(&error) => is_linked(&self.file, &self.path),
            _ => false,
        }
    }

    /// Before the first batch to a plain file: ends a torn line, if no other process has the file, and shares the file.
    fn lock_plain(&mut self) -> StreamState {
        if self.is_locked {
            return StreamState::Same;
        }
        if self.file.lock_exclusive() != Lock::Held {
            self.is_locked = self.lock_shared();
            return StreamState::Same;
        }
        let ended = end_torn_line(&self.path, &self.file);
        self.is_locked = self.lock_shared();
        self.ended_lines += u64::from(matches!(ended, Ok(true)));
        StreamState::New { torn: ended.is_err() && is_torn(&self.path).unwrap_or(false) }
    }

    /// Another process has the file for itself for a moment only, while it looks for a torn line.
    fn lock_shared(&self) -> bool {
        (0..LOCK_TRIES).any(|attempt| {
            if attempt > 0 {
                thread::sleep(LOCK_PAUSE);
            }
            self.file.lock_shared() != Lock::Busy
        })
    }

    /// Whether a line that this sink has left torn in a plain file is still the last one.
    fn check_torn_line(&self) -> StreamState {
        // What is no file is not opened here: that could wait for its other end.
        let is_mended = self.id.is_some() && matches!(is_torn(&self.path), Ok(false));
        if is_mended { StreamState::New { torn: false } } else { StreamState::Same }
    }

    /// Continues in another file; returns the previous one and its path.
    fn replace(&mut self, opened: OpenedFile) -> (PathBuf, LockedFile) {
        if self.options.durability != Durability::Buffered {
            // If it fails, the next flush reports it, whichever file it is for: this file's lines were among those.
            let is_failed = self.sync_file().is_err();
            // After each batch, an earlier failure was that of its write, and its events were written again.
            let is_every_batch = self.options.durability == Durability::SyncEveryBatch;
            if is_failed || !is_every_batch && self.synced.unconfirmed > self.synced.reported {
                self.synced.left = self.sync_error().or(self.synced.left.take());
            }
            self.synced = Synced { left: self.synced.left.take(), ..Synced::default() };
        }
        let OpenedFile { path, file, id, sharing, bytes, torn: _ } = opened;
        (self.id, self.sharing, self.bytes) = (id, sharing, bytes);
        self.is_locked = self.roller.is_some() || id.is_none();
        self.reported = Reported::default();
        (std::mem::replace(&mut self.path, path), std::mem::replace(&mut self.file, file))
    }

    /// Begins the next file if a line of this many bytes requires it.
    fn roll(&mut self, line: u64) -> Result<StreamState, OpenError> {
        let Some(roller) = &mut self.roller else { return Ok(StreamState::Same) };
        let now = roller.current_period();
        if !roller.should_roll(now, self.bytes, line) {
            return Ok(StreamState::Same);
        }
        let before = self.file.metadata().map_err(|source| OpenError { path: self.path.clone(), source })?;
        match roller.open_next(now, &mut self.path, &before) {
            Ok(opened) => {
                let (path, file) = self.replace(opened);
                if is_empty(&path, &file) {
                    // If that fails, only an empty file is left.
                    fs::remove_file(path).unwrap_or_default();
                }
                Ok(StreamState::New { torn: false })
            }
            Err(error) => self.keep_current(MaintenanceTask::Roll, error),
        }
    }

    /// Keeps the current file, as there is no other, if it still has a name. Reports that once, although each batch
    /// tries again.
    fn keep_current(&mut self, task: MaintenanceTask, error: OpenError) -> Result<StreamState, OpenError> {
        if !is_linked(&self.file, &self.path) {
            return Err(error);
        }
        let reported = if task == MaintenanceTask::Roll { &mut self.reported.roll } else { &mut self.reported.follow };
        if !std::mem::replace(reported, true) {
            self.errors.push(MaintenanceError { task, path: self.path.clone(), source: error.source });
        }
        Ok(StreamState::Same)
    }
}

fn open_plain(
    path: &Path,
    options: FileOptions,
    before: Option<&fs::Metadata>,
    wait: bool,
) -> Result<OpenedFile, OpenError> {
    OpenedFile::at(path, options, before, wait).map_err(|source| OpenError { path: path.to_owned(), source })
}

/// Whether there is a FIFO at the path itself.
#[cfg(unix)]
fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_fifo(_: &Path) -> bool {
    false
}

/// Whether an empty file is at its path: another file there is not to be deleted.
fn is_empty(path: &Path, file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == 0) && is_at_path(path, file)
}

/// A second error of the same cause.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

impl Write for ActiveFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if self.bytes == 0
            && count > 0
            && let Some(roller) = &self.roller
        {
            // The file counts from now on.
            roller.maintain();
        }
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LineTarget for ActiveFile {
    fn prepare(&mut self, start: usize, ends: &[usize]) -> io::Result<Allowance> {
        let line = ends.first().map_or(0, |end| (end - start) as u64);
        let stream = self.roll(line).map_err(io::Error::other)?;
        // While no other file can be opened, all lines go to this one: line by line, each would be an attempt.
        let roller = self.roller.as_ref().filter(|_| !self.reported.roll);
        let lines = roller.map_or(ends.len(), |roller| roller.lines_that_fit(self.bytes, start, ends));
        self.synced.unconfirmed += lines as u64;
        Ok(Allowance { lines, stream })
    }

    fn sharing(&self) -> Sharing {
        self.sharing
    }
}
