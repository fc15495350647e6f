//! A sink's thread: opens files, from a path to a file ready for the first line. At the start, on the caller's thread.

#[cfg(unix)]
use std::fs::TryLockError;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
#[cfg(unix)]
use std::thread;
#[cfg(unix)]
use std::time::Duration;

use super::{Durability, OpenError};
use crate::sink::sharing::Sharing;

/// Attempts to get a lock, and the pause between them: 20 ms in total.
#[cfg(unix)]
const CLAIMS: u32 = 20;
#[cfg(unix)]
const CLAIM_PAUSE: Duration = Duration::from_millis(1);

/// Refuses a path that is meant to be expanded: it would make a directory called `~` or `${HOME}`.
pub(super) fn check_path(path: &Path) -> Result<(), OpenError> {
    let fail = |why: &str| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, why);
        Err(OpenError { path: path.to_owned(), source })
    };
    if path.components().next() == Some(Component::Normal("~".as_ref())) {
        return fail(
            "`~` is not expanded; pass the path of the home directory, or write `./~` for a directory called `~`",
        );
    }
    if has_variable(&path.to_string_lossy()) {
        return fail("`${NAME}` is not expanded; pass the value of the variable");
    }
    Ok(())
}

/// Whether the text has a `${NAME}`.
pub(super) fn has_variable(text: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut named = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    named.any(|(name, _)| !name.is_empty() && name.chars().all(is_of_name))
}

/// A file ready for the first event.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// None for a device or a FIFO: it has no end to read, no disk to wait for and no path to lose.
    pub(super) identity: Option<Identity>,
    pub(super) sharing: Sharing,
    pub(super) bytes: u64,
    /// Whether its last byte is not the end of a line.
    pub(super) torn: bool,
}

impl Opened {
    /// Opens the file for appending; creates it, and its directories, if missing.
    pub(super) fn at(path: &Path, durability: Durability) -> io::Result<Self> {
        Opened::with(OpenOptions::new().append(true).create(true), path, durability)
    }

    /// Like [`at`](Opened::at), for a file to be [shared](share): a file that cannot be read may not be lockable
    /// (NFS).
    pub(super) fn to_share(path: &Path, durability: Durability) -> io::Result<Self> {
        Opened::with(OpenOptions::new().read(cfg!(unix)).append(true).create(true), path, durability)
    }

    fn with(options: &OpenOptions, path: &Path, durability: Durability) -> io::Result<Self> {
        let folder = folder_of(path);
        let created = folder.ancestors().take_while(|folder| !or_here(folder).exists()).count();
        fs::create_dir_all(or_here(folder))?;
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        let regular = metadata.is_file();
        let torn = regular && ends_torn(path)?;
        if regular && durability != Durability::Buffered {
            // The file's name is in its directory, the name of each new directory in the one above.
            folder.ancestors().take(created + 1).try_for_each(|folder| sync_folder(or_here(folder)))?;
        }
        let identity = regular.then(|| Identity::of(&metadata));
        let sharing = Sharing::of(&file);
        Ok(Opened { path: path.to_owned(), file, identity, sharing, bytes: metadata.len(), torn })
    }
}

/// Distinguishes a file from another one at the same path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    /// On other systems, any file at the path is assumed to be the one.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Identity {}
    }
}

/// Takes a shared lock, which marks the file as being written, for as long as the handle is open. False: another
/// process has it locked exclusively. True if the file system has no locks.
#[cfg(unix)]
pub(super) fn share(file: &File) -> bool {
    !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Takes an exclusive lock, for as long as the handle is open. False: another process writes to the file, or has it
/// locked.
///
/// A child process that is just being forked has all our locks until it executes its program. The attempts wait for
/// that.
#[cfg(unix)]
pub(super) fn claim(file: &File) -> bool {
    for _ in 0..CLAIMS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(CLAIM_PAUSE),
            _ => return true,
        }
    }
    false
}

/// On Windows a shared lock prevents every process from writing, its owner included.
#[cfg(not(unix))]
pub(super) fn share(_: &File) -> bool {
    true
}

#[cfg(not(unix))]
pub(super) fn claim(_: &File) -> bool {
    true
}

/// Whether the path names this file, and not a link to it.
pub(super) fn stands_at(path: &Path, file: &File) -> bool {
    let own = file.metadata().map(|metadata| Identity::of(&metadata));
    let there = fs::symlink_metadata(path).map(|metadata| metadata.is_file().then(|| Identity::of(&metadata)));
    matches!((own, there), (Ok(own), Ok(Some(there))) if own == there)
}

/// Whether the file still has a name: what is written to it is not lost.
#[cfg(unix)]
pub(super) fn has_a_name(file: &File, _: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

#[cfg(not(unix))]
pub(super) fn has_a_name(_: &File, path: &Path) -> bool {
    path.exists()
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The directory of a path that names none.
pub(super) fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether there is a last byte that is no newline. It opens a handle of its own: the one for appending must not be
/// readable, or a FIFO would always have a reader (this process).
fn ends_torn(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        // The file may be appended to, but not read: assume it is whole.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        opened => opened?,
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing to read: another process has truncated the file in between.
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}

#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // The directory is not readable, or its file system does not support this.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
