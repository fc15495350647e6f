//! A sink's thread: the active file, and how the next one replaces it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Durability;
use super::error::{MaintenanceError, MaintenanceTask, OpenError};
use super::open::{Identity, Opened, has_a_name};
use super::roller::Roller;
use super::upkeep::Trouble;
use crate::sink::lines::{Allowance, LineTarget, StreamState};
use crate::sink::sharing::Sharing;

pub(super) struct Target {
    /// The path at which the file was opened.
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    sharing: Sharing,
    bytes: u64,
    durability: Durability,
    roller: Option<Roller>,
    trouble: Trouble,
    /// The errors that were reported and persist.
    said: Said,
    /// The error of syncing a previous file to disk.
    unsynced: Option<io::Error>,
}

#[derive(Clone, Copy, Default)]
struct Said {
    roll: bool,
    follow: bool,
}

impl Target {
    /// Opens the file; returns whether it ends in the middle of a line.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        mut roller: Option<Roller>,
        trouble: Trouble,
    ) -> Result<(Self, bool), OpenError> {
        let Opened { path, file, identity, sharing, bytes, torn } = match &mut roller {
            Some(roller) => roller.open(roller.now(), false)?,
            None => Opened::at(path, durability).map_err(|source| OpenError { path: path.to_owned(), source })?,
        };
        let (said, unsynced) = (Said::default(), None);
        Ok((Target { path, file, identity, sharing, bytes, durability, roller, trouble, said, unsynced }, torn))
    }

    /// Checks before each batch whether the path still names the open file, and reopens it if not.
    ///
    /// If there is no other file, a moved file is continued; a deleted one is not.
    pub(super) fn look(&mut self) -> Result<StreamState, OpenError> {
        if self.is_in_place() {
            self.said.follow = false;
            return Ok(StreamState::Same);
        }
        match self.open_again() {
            Ok(state) => Ok(state),
            Err(error) => self.go_on(MaintenanceTask::Follow, error),
        }
    }

    /// Opens the path anew. A rolled file that is still in place continues, unless it is broken.
    pub(super) fn reopen(&mut self, is_gone: bool) -> Result<StreamState, OpenError> {
        if let Some(roller) = &mut self.roller {
            roller.point();
        }
        if self.roller.is_some() && !is_gone && self.is_in_place() {
            return Ok(StreamState::Same);
        }
        self.open_again()
    }

    /// Waits until the disk has the file.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(error) = self.unsynced.take() {
            return Err(error);
        }
        if self.identity.is_some() { self.file.sync_data() } else { Ok(()) }
    }

    pub(super) fn close(&mut self) {
        if let Some(roller) = &self.roller {
            roller.close();
        }
    }

    fn is_in_place(&mut self) -> bool {
        let Some(own) = self.identity else { return true };
        match fs::metadata(&self.path) {
            Ok(metadata) if Identity::of(&metadata) == own => {
                // Other processes may write to it too.
                self.bytes = metadata.len();
                true
            }
            _ => false,
        }
    }

    fn open_again(&mut self) -> Result<StreamState, OpenError> {
        let opened = match &mut self.roller {
            Some(roller) => roller.open(roller.now(), true)?,
            None => Opened::at(&self.path, self.durability)
                .map_err(|source| OpenError { path: self.path.clone(), source })?,
        };
        let (torn, ..) = self.replace(opened);
        Ok(StreamState::New { torn })
    }

    /// Continues in another file; returns whether that is torn, and the previous file.
    fn replace(&mut self, opened: Opened) -> (bool, PathBuf, File) {
        if self.durability != Durability::Buffered
            && let Err(error) = self.sync()
        {
            // The next sync returns it, whichever file it is for: this file's lines were among those.
            self.unsynced = Some(error);
        }
        let Opened { path, file, identity, sharing, bytes, torn } = opened;
        self.identity = identity;
        self.sharing = sharing;
        self.bytes = bytes;
        self.said = Said::default();
        (torn, std::mem::replace(&mut self.path, path), std::mem::replace(&mut self.file, file))
    }

    /// Rolls the file if a line of this many bytes requires it.
    fn roll(&mut self, line: u64) -> Result<StreamState, OpenError> {
        let Some(roller) = &mut self.roller else { return Ok(StreamState::Same) };
        let now = roller.now();
        if !roller.is_due(now, self.bytes, line) {
            return Ok(StreamState::Same);
        }
        match roller.roll(now) {
            Ok(opened) => {
                let (torn, path, before) = self.replace(opened);
                if let Some(roller) = &self.roller {
                    roller.leave(&path, &before);
                }
                Ok(StreamState::New { torn })
            }
            Err(error) => self.go_on(MaintenanceTask::Roll, error),
        }
    }

    /// Keeps the current file, as there is no other, if it still has a name. Reports that once, although each batch
    /// tries again.
    fn go_on(&mut self, task: MaintenanceTask, error: OpenError) -> Result<StreamState, OpenError> {
        if !has_a_name(&self.file, &self.path) {
            return Err(error);
        }
        let said = if task == MaintenanceTask::Roll { &mut self.said.roll } else { &mut self.said.follow };
        if !std::mem::replace(said, true) {
            self.trouble.say(MaintenanceError { task, path: self.path.clone(), source: error.source });
        }
        Ok(StreamState::Same)
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LineTarget for Target {
    fn prepare(&mut self, start: usize, ends: &[usize]) -> io::Result<Allowance> {
        let line = ends.first().map_or(0, |close| (close - start) as u64);
        const TORN: StreamState = StreamState::New { torn: true };
        let mut stream = StreamState::Same;
        // A file that another process began may be full already. A torn line is ended by the caller, before the next
        // line.
        while stream != TORN
            && let state @ StreamState::New { .. } = self.roll(line).map_err(io::Error::other)?
        {
            stream = state;
        }
        let bytes = self.bytes + u64::from(stream == TORN);
        // While no other file can be opened, all lines go to this one: line by line, each would be an attempt.
        let roller = self.roller.as_ref().filter(|_| !self.said.roll);
        let lines = roller.map_or(ends.len(), |roller| roller.room(bytes, start, ends));
        Ok(Allowance { lines, stream })
    }

    fn sharing(&self) -> Sharing {
        self.sharing
    }
}
