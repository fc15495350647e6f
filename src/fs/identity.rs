//! A sink's thread or a service thread: which file a path names.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// Distinguishes a file from another one at the same path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }

    /// On other systems, any file at the path is assumed to be the one.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &Metadata) -> Self {
        FileId {}
    }
}

/// Whether the path names this file, and not a link to it.
pub(crate) fn is_at_path(path: &Path, file: &File) -> bool {
    let own = file.metadata().map(|metadata| FileId::of(&metadata));
    let there = fs::symlink_metadata(path).map(|metadata| metadata.is_file().then(|| FileId::of(&metadata)));
    matches!((own, there), (Ok(own), Ok(Some(there))) if own == there)
}

/// Whether this error of a path means that nothing is there. A directory that may not be searched, for example, is no
/// such error.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether the file still has a name: what is written to it is not lost.
#[cfg(unix)]
pub(crate) fn is_linked(file: &File, _: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

#[cfg(not(unix))]
pub(crate) fn is_linked(_: &File, path: &Path) -> bool {
    path.exists()
}

/// The directory of an absolute path.
pub(crate) fn parent_dir(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
