//! Any thread: reads the files of a spool, also beside the process that has them.
//!
//! Invariant: nothing is locked, created, changed or deleted.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::FOLDER_PREFIX;
use super::folder::Folder;
use super::fs::{Os, SpoolFs};
use super::positions::Positions;
use super::store::{SpoolProgress, Stored};
use crate::event::stored::restore;
use crate::fs::FsKind;

/// A folder whose process deletes files meanwhile is opened so many times.
const OPEN_TRIES: u32 = 8;

/// Reads one folder of a spool: what one process has appended for one sink.
///
/// Nothing is locked and nothing is written, so it can be used while the process runs; it sees what was appended by the
/// time it was opened. What the process deletes meanwhile is settled; what it has settled since it last wrote that down (at a
/// synchronization, or before it deletes a file) is shown as if it were not. Events are read as they were appended: after the
/// filters, limits and masks of that time.
pub struct SpoolReader {
    sink: String,
    folder: Folder<ReadOnly>,
    /// The position that is read next.
    at: u64,
}

/// A file of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolSegment {
    /// Its path.
    pub path: PathBuf,
    /// The positions of its events.
    pub positions: Range<u64>,
    /// Its size.
    pub bytes: u64,
}

/// What [`SpoolReader::verify`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolCheck {
    /// Records that are whole.
    pub records: u64,
    /// Their events.
    pub events: u64,
    /// Of these: not settled.
    pub outstanding: u64,
    /// Unsettled events that cannot be read, by their positions: the next process counts them as `spool_corrupt`.
    pub corrupt: Vec<Range<u64>>,
}

impl SpoolCheck {
    /// How many unsettled events cannot be read.
    pub fn corrupt_events(&self) -> u64 {
        self.corrupt.iter().map(|range| range.end - range.start).sum()
    }
}

impl SpoolReader {
    /// Opens the folders below the directory of a [`Spool`](crate::Spool), by sink and age.
    ///
    /// # Errors
    /// Returns an error if a directory or a file in it cannot be read.
    ///
    /// # Blocking
    /// Reads the last file of each folder on this thread.
    pub fn open_all(dir: impl AsRef<Path>) -> io::Result<Vec<SpoolReader>> {
        let mut readers = Vec::new();
        for (sink, dir) in folders(dir.as_ref())? {
            let is_known = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDER_PREFIX));
            if let Some(folder) = is_known.then(|| peek(&dir)).transpose()?.flatten() {
                readers.push(SpoolReader { sink, at: folder.progress().frontier, folder });
            }
        }
        Ok(readers)
    }

    /// Returns the folders below the directory of a spool that this version cannot read: those of another one.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be read.
    pub fn unknown(dir: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
        let mut dirs: Vec<PathBuf> = folders(dir.as_ref())?.into_iter().map(|(_, dir)| dir).collect();
        dirs.retain(|dir| dir.file_name().is_none_or(|name| !name.to_string_lossy().starts_with(FOLDER_PREFIX)));
        Ok(dirs)
    }

    /// Returns the name of the sink's directory.
    pub fn sink(&self) -> &str {
        &self.sink
    }

    /// Returns the folder's path.
    pub fn dir(&self) -> &Path {
        self.folder.dir()
    }

    /// Returns the size of its segments in bytes.
    pub fn bytes(&self) -> u64 {
        self.folder.bytes()
    }

    /// Returns the positions of the events that it has or should have, settled ones included.
    pub fn positions(&self) -> Range<u64> {
        self.folder.first_known()..self.folder.next()
    }

    /// Returns what is settled.
    pub fn progress(&self) -> &SpoolProgress {
        self.folder.progress()
    }

    /// Returns how many events are not settled.
    pub fn outstanding(&self) -> u64 {
        self.settled().outstanding()
    }

    fn settled(&self) -> Positions {
        Positions::new(self.folder.progress(), self.folder.next())
    }

    /// Returns its files, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SpoolSegment> {
        self.folder.sealed(false).map(|segment| SpoolSegment {
            path: self.folder.dir().join(segment.name.file()),
            positions: segment.positions(),
            bytes: segment.len,
        })
    }

    /// Reads the next events that are not settled, oldest first, at most 65,536; `None`: there is none. What is damaged is
    /// skipped.
    ///
    /// # Errors
    /// Returns an error if a file cannot be opened.
    ///
    /// # Blocking
    /// Reads on this thread.
    pub fn next_batch(&mut self) -> io::Result<Option<Stored>> {
        let settled = self.settled();
        while let Some((positions, payload)) = self.next_record()? {
            let open: Vec<u32> = settled
                .unsettled(positions.clone())
                .into_iter()
                .flatten()
                .map(|at| (at - positions.start) as u32)
                .collect();
            let Ok(batch) = restore(&payload) else { continue };
            if batch.len() as u64 == positions.end - positions.start && !open.is_empty() {
                let first = positions.start + u64::from(open[0]);
                let batch = if open.len() < batch.len() { batch.pick(&open) } else { batch };
                return Ok(Some(Stored { first, batch }));
            }
        }
        Ok(None)
    }

    fn next_record(&mut self) -> io::Result<Option<(Range<u64>, Vec<u8>)>> {
        let range = self.at..self.folder.next();
        let read = self.folder.read(&ReadOnly, range)?;
        self.at = read.as_ref().map_or(self.folder.next(), |(header, _)| header.positions().end);
        Ok(read.map(|(header, payload)| (header.positions(), payload)))
    }

    /// Reads all of its files, and finds what is damaged.
    ///
    /// # Errors
    /// Returns an error if a file cannot be opened.
    ///
    /// # Blocking
    /// Reads all files on this thread.
    pub fn verify(mut self) -> io::Result<SpoolCheck> {
        let mut check = SpoolCheck::default();
        let mut readable = Vec::new();
        // A segment that cannot be read is no longer one of the folder's.
        let first = self.folder.first_known();
        self.at = first;
        while let Some((positions, payload)) = self.next_record()? {
            if restore(&payload).is_ok_and(|batch| batch.len() as u64 == positions.end - positions.start) {
                check.records += 1;
                check.events += positions.end - positions.start;
                readable.push(positions);
            }
        }
        // Anew: the process may have settled and deleted something meanwhile.
        let now = peek(self.dir())?;
        let progress =
            now.map_or(SpoolProgress { frontier: u64::MAX, settled: Vec::new() }, |now| now.progress().clone());
        let settled = Positions::new(&progress, self.folder.next());
        let open = |range: &Range<u64>| settled.unsettled(range.clone());
        check.outstanding = readable.iter().flat_map(open).map(|range| range.end - range.start).sum();
        let mut next = first;
        let end = self.folder.next();
        for range in readable.into_iter().chain(std::iter::once(end..end)) {
            check.corrupt.extend(open(&(next..range.start)));
            next = range.end;
        }
        Ok(check)
    }
}

impl fmt::Debug for SpoolReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolReader")
            .field("dir", &self.dir())
            .field("positions", &self.positions())
            .finish_non_exhaustive()
    }
}

/// The folders below the directory of a spool, with the names of their sinks' directories.
fn folders(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for sink in fs::read_dir(dir)? {
        let sink = sink?;
        if !sink.file_type()?.is_dir() {
            continue;
        }
        for folder in fs::read_dir(sink.path())? {
            folders.push((sink.file_name().to_string_lossy().into_owned(), folder?.path()));
        }
    }
    folders.sort();
    Ok(folders)
}

/// Opens a folder; `None`: its process has ended, and has deleted it.
fn peek(dir: &Path) -> io::Result<Option<Folder<ReadOnly>>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Folder::adopt(&ReadOnly, dir.to_owned()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => return Ok(None),
            // A segment was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < OPEN_TRIES => {}
            opened => return opened,
        }
    }
}

/// The file system of the operating system, of which nothing is changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOnly;

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read, not written"))
}

impl SpoolFs for ReadOnly {
    type File = File;
    type Lock = ();

    fn kind(&self, dir: &Path) -> io::Result<FsKind> {
        Os.kind(dir)
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Os.list(dir)
    }

    fn open(&self, path: &Path, is_new: bool) -> io::Result<File> {
        if is_new { refused() } else { File::open(path) }
    }

    fn lock(&self, _: &Path) -> io::Result<Option<()>> {
        Ok(Some(()))
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Os.len(file)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Os.read_at(file, buffer, offset)
    }

    fn write_at(&self, _: &File, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn set_len(&self, _: &File, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}
