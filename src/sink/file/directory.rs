//! A sink's thread, or the maintenance thread: the files of a rolling sink in their directory.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::pattern::{FileKey, FileKind, NamePattern};

/// The directory of the files, and their name pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LogDir {
    path: PathBuf,
    pattern: NamePattern,
}

/// A file in the directory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FileEntry {
    pub(super) key: FileKey,
    pub(super) kind: FileKind,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Since the Unix epoch.
    pub(super) modified: Duration,
}

impl LogDir {
    pub(super) fn new(path: &Path, pattern: NamePattern) -> Self {
        LogDir { path: path.to_owned(), pattern }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn pattern(&self) -> &NamePattern {
        &self.pattern
    }

    /// The path of the file with this key, of this kind.
    pub(super) fn file(&self, key: FileKey, kind: FileKind) -> PathBuf {
        self.path.join(self.pattern.name(key, kind))
    }

    /// Returns the sink's own files, in the order they were begun; none if the directory does not exist.
    pub(super) fn files(&self) -> io::Result<Vec<FileEntry>> {
        let entries = match fs::read_dir(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((key, kind)) = name.to_str().and_then(|name| self.pattern.parse_name(name)) else { continue };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    let (path, bytes, modified) = (entry.path(), metadata.len(), modified(&metadata));
                    files.push(FileEntry { key, kind, path, bytes, modified });
                }
                // A directory or link of such a name is not ours.
                Ok(_) => {}
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort_unstable_by_key(|file| (file.key, file.kind));
        Ok(files)
    }

    /// Returns the newest key of a file that has lines or may get them.
    pub(super) fn newest(&self) -> io::Result<Option<FileKey>> {
        Ok(self.files()?.iter().rfind(|file| file.kind != FileKind::Partial).map(|file| file.key))
    }
}

fn modified(metadata: &Metadata) -> Duration {
    metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}
