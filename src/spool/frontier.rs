//! A spool's thread: the file with what is settled of a folder.
//!
//! It is written before it is needed and never before what it settles: one that is too old costs duplicates.

use std::io;
use std::path::Path;

use super::fs::SpoolFs;
use super::layout::{self, SLOT_BYTES};
use super::store::SpoolProgress;

/// The file's name.
pub(super) const FRONTIER: &str = "frontier";

pub(super) struct Frontier<F: SpoolFs> {
    file: Option<F::File>,
    /// Of the slot that was written last.
    number: u64,
    /// What it has.
    written: Option<SpoolProgress>,
    is_synced: bool,
    /// The disk has its name.
    is_named: bool,
}

impl<F: SpoolFs> Default for Frontier<F> {
    fn default() -> Self {
        Frontier { file: None, number: 0, written: None, is_synced: true, is_named: false }
    }
}

impl<F: SpoolFs> Frontier<F> {
    /// Opens the file in a directory, if there is one, and reads what is settled; `None`: neither slot is valid.
    pub(super) fn open(fs: &F, dir: &Path) -> io::Result<(Self, Option<SpoolProgress>)> {
        let file = match fs.open(&dir.join(FRONTIER), false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Frontier::default(), None)),
            Err(error) => return Err(error),
        };
        let mut slots = Vec::new();
        for slot in 0..2 {
            let mut bytes = vec![0; SLOT_BYTES as usize];
            let len = fs.read_at(&file, &mut bytes, slot * SLOT_BYTES)?;
            slots.extend(layout::read_slot(&bytes[..len]));
        }
        let (number, progress) = slots.into_iter().max_by_key(|(number, _)| *number).unzip();
        Ok((Frontier { file: Some(file), number: number.unwrap_or(0), ..Frontier::default() }, progress))
    }

    /// Writes what is settled, if that has changed.
    pub(super) fn write(&mut self, fs: &F, dir: &Path, progress: &SpoolProgress) -> io::Result<()> {
        if self.written.as_ref() == Some(progress) {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(fs.open(&dir.join(FRONTIER), true)?);
            self.is_named = false;
        }
        let Some(file) = &self.file else { return Ok(()) };
        let number = self.number + 1;
        fs.write_at(file, &layout::slot(number, progress), number % 2 * SLOT_BYTES)?;
        (self.number, self.written, self.is_synced) = (number, Some(progress.clone()), false);
        Ok(())
    }

    /// Waits until the disk has what was written.
    pub(super) fn sync(&mut self, fs: &F, dir: &Path) -> io::Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| !self.is_synced) {
            // What a synchronization that fails was to write is written again.
            fs.sync(file).inspect_err(|_| self.written = None)?;
            if !self.is_named {
                fs.sync_dir(dir)?;
            }
            (self.is_synced, self.is_named) = (true, true);
        }
        Ok(())
    }
}
