//! The sink's thread: the file that is written to now, and how the next one takes its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Durability;
use super::error::{OpenError, UpkeepError, UpkeepTask};
use super::open::{Identity, Opened, has_a_name};
use super::roller::Roller;
use super::upkeep::Trouble;
use crate::sink::writer::{Admitted, Outlet};

pub(super) struct Target {
    /// Where the file was opened.
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    bytes: u64,
    durability: Durability,
    roller: Option<Roller>,
    trouble: Trouble,
    /// What kept the next file from being opened was said, and still does.
    is_said: bool,
    /// A file that was rolled did not get to the disk.
    unsynced: Option<io::Error>,
}

impl Target {
    /// Opens the file; says whether it ends in the middle of a line.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        mut roller: Option<Roller>,
        trouble: Trouble,
    ) -> Result<(Self, bool), OpenError> {
        let opened = match &mut roller {
            Some(roller) => roller.open(false),
            None => Opened::at(path, durability),
        };
        let Opened { path, file, identity, bytes, torn } =
            opened.map_err(|source| OpenError { path: path.to_owned(), source })?;
        let (is_said, unsynced) = (false, None);
        Ok((Target { path, file, identity, bytes, durability, roller, trouble, is_said, unsynced }, torn))
    }

    /// Looks whether the file still stands where it was opened, and if not opens it again; before each batch. Of another
    /// file, says whether it ends in the middle of a line.
    ///
    /// A file that was moved away is gone on with if there is no other; one that was deleted is not.
    pub(super) fn look(&mut self) -> Result<Option<bool>, OpenError> {
        if self.is_in_place() {
            return Ok(None);
        }
        match self.open_again() {
            Ok(torn) => Ok(Some(torn)),
            Err(error) if has_a_name(&self.file) => {
                self.say(UpkeepTask::Follow, error);
                Ok(None)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    /// Opens the path anew. A file that is rolled and stands in its place goes on.
    pub(super) fn reopen(&mut self) -> Result<Option<bool>, OpenError> {
        if self.roller.is_some() && self.is_in_place() {
            return Ok(None);
        }
        self.open_again().map(Some).map_err(|source| self.error(source))
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

    fn open_again(&mut self) -> io::Result<bool> {
        let opened = match &mut self.roller {
            Some(roller) => roller.open(true)?,
            None => Opened::at(&self.path, self.durability)?,
        };
        Ok(self.replace(opened).0)
    }

    /// Goes on in another file; returns whether that is torn, and the file before.
    fn replace(&mut self, opened: Opened) -> (bool, PathBuf, File) {
        let Opened { path, file, identity, bytes, torn } = opened;
        self.identity = identity;
        self.bytes = bytes;
        self.is_said = false;
        (torn, std::mem::replace(&mut self.path, path), std::mem::replace(&mut self.file, file))
    }

    /// Rolls the file if that is due for a line of so many bytes. Of another file, says whether it is torn.
    fn roll(&mut self, line: u64) -> io::Result<Option<bool>> {
        let Some(roller) = &mut self.roller else { return Ok(None) };
        if !roller.is_due(self.bytes, line) {
            return Ok(None);
        }
        if self.durability != Durability::Buffered
            && let Err(error) = self.file.sync_data()
        {
            // The next look at the disk says so, whichever file it is at: this one's lines were among those.
            self.unsynced = Some(error);
        }
        match roller.roll() {
            Ok(opened) => {
                let (torn, path, before) = self.replace(opened);
                if let Some(roller) = &self.roller {
                    roller.leave(&path, &before);
                }
                Ok(Some(torn))
            }
            Err(error) if has_a_name(&self.file) => {
                self.say(UpkeepTask::Roll, error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reports what is tried again with every batch, once.
    fn say(&mut self, task: UpkeepTask, source: io::Error) {
        if !std::mem::replace(&mut self.is_said, true) {
            self.trouble.say(UpkeepError { task, path: self.path.clone(), source });
        }
    }

    fn error(&self, source: io::Error) -> OpenError {
        OpenError { path: self.path.clone(), source }
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

impl Outlet for Target {
    fn admit(&mut self, start: usize, ends: &[usize]) -> io::Result<Admitted> {
        let line = ends.first().map_or(0, |end| (end - start) as u64);
        let changed = self.roll(line)?;
        let lines = self.roller.as_ref().map_or(ends.len(), |roller| roller.room(self.bytes, start, ends));
        Ok(Admitted { lines, changed })
    }
}
