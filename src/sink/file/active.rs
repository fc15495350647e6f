//! A sink's thread: the active file, how the next one replaces it, and what the disk has of it.
//!
//! Invariants:
//! * A rolled file is locked exclusively while it is written to. A plain one has a shared lock from its first batch on, and
//!   a line that was torn before is ended only under an exclusive one.
//! * After a failed synchronization, every later one fails until the file is left.

use std::fs;
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::Durability;
use super::error::{MaintenanceError, MaintenanceTask, OpenError, SyncError};
use super::maintenance::BackgroundErrors;
use super::open::{FileOptions, OpenedFile, end_torn_line, is_torn};
use super::roller::Roller;
use crate::fs::{FileId, LockedFile, is_at_path, is_busy, is_gone, is_linked};
use crate::sink::lines::{Allowance, LineTarget, StreamState};
use crate::sink::sharing::Sharing;

/// Attempts to share a file that another process has for itself, and the pause between them.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct ActiveFile {
    current: OpenedFile,
    options: FileOptions,
    roller: Option<Roller>,
    /// Whether the file needs no further lock until it is left.
    is_locked: bool,
    /// The torn lines that it has ended, with a byte each.
    ended_lines: u64,
    errors: BackgroundErrors,
    /// Whether these errors were reported, and persist.
    is_roll_reported: bool,
    is_follow_reported: bool,
    synced: Synced,
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
        let current = match &mut roller {
            Some(roller) => roller.open_first(None)?,
            None => open_plain(path, options, None, true)?,
        };
        let torn = current.torn;
        let mut active = ActiveFile {
            is_locked: roller.is_some() || current.id.is_none(),
            current,
            options,
            roller,
            ended_lines: 0,
            errors,
            is_roll_reported: false,
            is_follow_reported: false,
            synced: Synced::default(),
        };
        active.end_batch();
        Ok((active, torn))
    }

    /// Checks before each batch whether the path still names the open file, and reopens it if not.
    ///
    /// If there is no other file, a moved file is continued; a deleted one is not. `is_torn`: the last write ended in the
    /// middle of a line.
    pub(super) fn check_path(&mut self, is_torn: bool) -> Result<StreamState, OpenError> {
        let is_released = self.roller.as_mut().is_some_and(|roller| !roller.begin_batch());
        if !is_released && self.is_in_place() {
            self.is_follow_reported = false;
            return Ok(if is_torn { self.check_torn_line() } else { self.lock_plain() });
        }
        match self.open_again() {
            // Without its lock, another process may be writing to the file.
            Err(error) if !is_released => self.keep_current(MaintenanceTask::Follow, error),
            opened => opened,
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
        let opened = self.open_again();
        self.end_batch();
        opened
    }

    /// Opens the path anew, without waiting for the reader of a FIFO.
    pub(super) fn open_again(&mut self) -> Result<StreamState, OpenError> {
        let before = self.current.file.metadata().ok().filter(fs::Metadata::is_file);
        let opened = match &mut self.roller {
            Some(roller) => roller.open_first(before.as_ref())?,
            None => open_plain(&self.current.path, self.options, before.as_ref(), false)?,
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
        let OpenedFile { path, file, id, .. } = &self.current;
        let is_same = || Some(FileId::of(&file.metadata().ok()?) == FileId::of(&fs::metadata(path).ok()?));
        let is_fifo = id.is_none() && (is_same() == Some(true) || is_fifo(path));
        if is_fifo { self.open_again().ok() } else { None }
    }

    /// Called after each batch.
    pub(super) fn end_batch(&mut self) {
        if let Some(roller) = &mut self.roller {
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
        if self.current.id.is_none() {
            return Ok(());
        }
        match self.current.file.sync_data() {
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
            if is_empty(&self.current) {
                roller.remove_empty(&self.current.path);
            }
            roller.close();
        }
        self.is_locked = self.roller.is_some() || self.current.id.is_none();
        self.current.file.release();
    }

    fn sync_error(&self) -> Option<SyncError> {
        let Synced { unconfirmed, failed, .. } = &self.synced;
        failed.as_ref().map(|error| SyncError {
            path: self.current.path.clone(),
            unconfirmed: *unconfirmed,
            source: copy(error),
        })
    }

    fn is_in_place(&mut self) -> bool {
        let OpenedFile { path, file, id, bytes, .. } = &mut self.current;
        let Some(own) = *id else { return true };
        match fs::metadata(&*path) {
            Ok(there) if FileId::of(&there) == own => {
                // It may have been truncated.
                *bytes = there.len();
                true
            }
            // What cannot be looked at, as in a directory that may not be searched any more, is assumed to be in place.
            Err(error) if !is_gone(&error) => is_linked(file, path),
            _ => false,
        }
    }

    /// Before the first batch to a plain file: ends a torn line, if no other process has the file, and shares the file.
    fn lock_plain(&mut self) -> StreamState {
        if self.is_locked {
            return StreamState::Same;
        }
        let OpenedFile { path, file, .. } = &self.current;
        if file.lock_exclusive().is_err() {
            self.is_locked = lock_shared(file);
            return StreamState::Same;
        }
        let ended = end_torn_line(path, file);
        self.is_locked = lock_shared(file);
        self.ended_lines += u64::from(matches!(ended, Ok(true)));
        StreamState::New { torn: ended.is_err() && is_torn(path).unwrap_or(false) }
    }

    /// Whether a line that this sink has left torn in a plain file is still the last one.
    fn check_torn_line(&self) -> StreamState {
        // What is no file is not opened here: that could wait for its other end.
        let is_mended = self.current.id.is_some() && matches!(is_torn(&self.current.path), Ok(false));
        if is_mended { StreamState::New { torn: false } } else { StreamState::Same }
    }

    /// Continues in another file; returns the previous one.
    fn replace(&mut self, opened: OpenedFile) -> OpenedFile {
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
        self.is_locked = self.roller.is_some() || opened.id.is_none();
        (self.is_roll_reported, self.is_follow_reported) = (false, false);
        mem::replace(&mut self.current, opened)
    }

    /// Begins the next file if a line of this many bytes requires it.
    fn roll(&mut self, line: u64) -> Result<StreamState, OpenError> {
        let Some(roller) = &mut self.roller else { return Ok(StreamState::Same) };
        let now = roller.current_period();
        let OpenedFile { path, file, bytes, .. } = &mut self.current;
        if !roller.should_roll(now, *bytes, line) {
            return Ok(StreamState::Same);
        }
        let before = file.metadata().map_err(|source| OpenError { path: path.clone(), source })?;
        match roller.open_next(now, path, &before) {
            Ok(opened) => {
                let left = self.replace(opened);
                if is_empty(&left) {
                    // If that fails, only an empty file is left.
                    fs::remove_file(left.path).unwrap_or_default();
                }
                Ok(StreamState::New { torn: false })
            }
            Err(error) => self.keep_current(MaintenanceTask::Roll, error),
        }
    }

    /// Keeps the current file, as there is no other, if it still has a name. Reports that once, although each batch
    /// tries again.
    fn keep_current(&mut self, task: MaintenanceTask, error: OpenError) -> Result<StreamState, OpenError> {
        let OpenedFile { path, file, .. } = &self.current;
        if !is_linked(file, path) {
            return Err(error);
        }
        let is_roll = task == MaintenanceTask::Roll;
        let is_reported = if is_roll { &mut self.is_roll_reported } else { &mut self.is_follow_reported };
        if !mem::replace(is_reported, true) {
            self.errors.push(MaintenanceError { task, path: path.clone(), source: error.source });
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

/// Another process has the file for itself for a moment only, while it looks for a torn line.
fn lock_shared(file: &LockedFile) -> bool {
    (0..LOCK_TRIES).any(|attempt| {
        if attempt > 0 {
            thread::sleep(LOCK_PAUSE);
        }
        !is_busy(&file.lock_shared())
    })
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
fn is_empty(OpenedFile { path, file, .. }: &OpenedFile) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.len() == 0) && is_at_path(path, file)
}

/// A second error of the same cause.
fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

impl Write for ActiveFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = (&**self.current.file).write(bytes)?;
        if self.current.bytes == 0
            && count > 0
            && let Some(roller) = &self.roller
        {
            // The file counts from now on.
            roller.maintain();
        }
        self.current.bytes += count as u64;
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
        let roller = self.roller.as_ref().filter(|_| !self.is_roll_reported);
        let lines = roller.map_or(ends.len(), |roller| roller.lines_that_fit(self.current.bytes, start, ends));
        self.synced.unconfirmed += lines as u64;
        Ok(Allowance { lines, stream })
    }

    fn sharing(&self) -> Sharing {
        self.current.sharing
    }
}
