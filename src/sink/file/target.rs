//! The sink's thread: the file that is written to now, and how the next one takes its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Durability;
use super::error::{MaintenanceError, MaintenanceTask, OpenError};
use super::open::{Identity, Opened, has_a_name};
use super::roller::Roller;
use super::upkeep::Trouble;
use crate::sink::lines::{Allowance, LineTarget};

pub(super) struct Target {
    /// Where the file was opened.
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    bytes: u64,
    durability: Durability,
    roller: Option<Roller>,
    trouble: Trouble,
    /// What could not be done, was said, and still cannot.
    said: Said,
    /// A file that was left did not get to the disk.
    unsynced: Option<io::Error>,
}

#[derive(Clone, Copy, Default)]
struct Said {
    roll: bool,
    follow: bool,
}

impl Target {
    /// Opens the file; says whether it ends in the middle of a line.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        mut roller: Option<Roller>,
        trouble: Trouble,
    ) -> Result<(Self, bool), OpenError> {
        let Opened { path, file, identity, bytes, torn } = match &mut roller {
            Some(roller) => roller.open(roller.now(), false)?,
            None => Opened::at(path, durability).map_err(|source| OpenError { path: path.to_owned(), source })?,
        };
        let (said, unsynced) = (Said::default(), None);
        Ok((Target { path, file, identity, bytes, durability, roller, trouble, said, unsynced }, torn))
    }

    /// Looks whether the file still stands where it was opened, and if not opens it again; before each batch. Of another
    /// file, says whether it ends in the middle of a line.
    ///
    /// A file that was moved away is gone on with if there is no other; one that was deleted is not.
    pub(super) fn look(&mut self) -> Result<Option<bool>, OpenError> {
        if self.is_in_place() {
            self.said.follow = false;
            return Ok(None);
        }
        match self.open_again() {
            Ok(torn) => Ok(Some(torn)),
            Err(error) => self.go_on(MaintenanceTask::Follow, error),
        }
    }

    /// Opens the path anew. A file that is rolled and stands in its place goes on, unless it is of no use any more.
    pub(super) fn reopen(&mut self, is_gone: bool) -> Result<Option<bool>, OpenError> {
        if let Some(roller) = &mut self.roller {
            roller.point();
        }
        if self.roller.is_some() && !is_gone && self.is_in_place() {
            return Ok(None);
        }
        self.open_again().map(Some)
    }

    /// Waits until the disk has it.
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
                // Others may write to it too.
                self.bytes = metadata.len();
                true
            }
            _ => false,
        }
    }

    fn open_again(&mut self) -> Result<bool, OpenError> {
        let opened = match &mut self.roller {
            Some(roller) => roller.open(roller.now(), true)?,
            None => Opened::at(&self.path, self.durability)
                .map_err(|source| OpenError { path: self.path.clone(), source })?,
        };
        Ok(self.replace(opened).0)
    }

    /// Goes on in another file; returns whether that is torn, and the file before.
    fn replace(&mut self, opened: Opened) -> (bool, PathBuf, File) {
        if self.durability != Durability::Buffered
            && let Err(error) = self.sync()
        {
            // The next look at the disk says so, whichever file it is at: this one's lines were among those.
            self.unsynced = Some(error);
        }
        let Opened { path, file, identity, bytes, torn } = opened;
        self.identity = identity;
        self.bytes = bytes;
        self.said = Said::default();
        (torn, std::mem::replace(&mut self.path, path), std::mem::replace(&mut self.file, file))
    }

    /// Rolls the file if that is due for a line of so many bytes. Of another file, says whether it is torn.
    fn roll(&mut self, line: u64) -> Result<Option<bool>, OpenError> {
        let Some(roller) = &mut self.roller else { return Ok(None) };
        let now = roller.now();
        if !roller.is_due(now, self.bytes, line) {
            return Ok(None);
        }
        match roller.roll(now) {
            Ok(opened) => {
                let (torn, path, before) = self.replace(opened);
                if let Some(roller) = &self.roller {
                    roller.leave(&path, &before);
                }
                Ok(Some(torn))
            }
            Err(error) => self.go_on(MaintenanceTask::Roll, error),
        }
    }

    /// There is no other file. This one will do if it can be found; that is said once, though tried with every batch.
    fn go_on(&mut self, task: MaintenanceTask, error: OpenError) -> Result<Option<bool>, OpenError> {
        if !has_a_name(&self.file, &self.path) {
            return Err(error);
        }
        let said = if task == MaintenanceTask::Roll { &mut self.said.roll } else { &mut self.said.follow };
        if !std::mem::replace(said, true) {
            self.trouble.say(MaintenanceError { task, path: self.path.clone(), source: error.source });
        }
        Ok(None)
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
        let mut changed = None;
        // What another process has begun may be as good as full. A torn line is record_shutdown by whoever asks, before the next.
        while changed != Some(true)
            && let Some(torn) = self.roll(line).map_err(io::Error::other)?
        {
            changed = Some(torn);
        }
        let bytes = self.bytes + u64::from(changed == Some(true));
        // While no other file can be had, all goes to this one: line by line, each would be a try.
        let roller = self.roller.as_ref().filter(|_| !self.said.roll);
        let lines = roller.map_or(ends.len(), |roller| roller.room(bytes, start, ends));
        Ok(Allowance { lines, changed })
    }
}
