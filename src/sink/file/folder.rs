//! A sink's thread: the files of a rolling sink in their directory.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::names::{GZ, Names, PARTIAL, Place, State};
use super::open::or_here;

/// The directory of the files, and their name pattern.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    names: Names,
}

/// A file in the directory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) bytes: u64,
    /// Since the Unix epoch.
    pub(super) modified: Duration,
}

impl Found {
    fn new(place: Place, state: State, metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Found { place, state, bytes: metadata.len(), modified: modified.unwrap_or_default() }
    }
}

impl Folder {
    pub(super) fn new(path: &Path, names: Names) -> Self {
        Folder { path: path.to_owned(), names }
    }

    pub(super) fn path(&self) -> &Path {
        or_here(&self.path)
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The path of the file with this date and number, in this state.
    pub(super) fn file(&self, place: Place, state: State) -> PathBuf {
        let suffix = match state {
            State::Plain => "",
            State::Compressed => GZ,
            State::Partial => PARTIAL,
        };
        self.path.join(self.names.name(place) + suffix)
    }

    /// Returns the sink's own files, in the order they were begun; none if the directory does not exist.
    pub(super) fn files(&self) -> io::Result<Vec<Found>> {
        let entries = match fs::read_dir(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((place, state)) = name.to_str().and_then(|name| self.names.place(name)) else { continue };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push(Found::new(place, state, &metadata)),
                // A directory or link of such a name is not ours.
                Ok(_) => {}
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort_unstable_by_key(|found| (found.place, found.state));
        Ok(files)
    }
}
