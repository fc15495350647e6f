//! Any thread that opens files: from a path to a file that is ready for the first line.

#[cfg(unix)]
use std::fs::TryLockError;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::thread;
#[cfg(unix)]
use std::time::Duration;

use super::Durability;

/// How often a lock is tried for, and what is between: 20 ms in all.
#[cfg(unix)]
const CLAIMS: u32 = 20;
#[cfg(unix)]
const CLAIM_PAUSE: Duration = Duration::from_millis(1);

/// A file ready for the first event.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// A device or a FIFO has no end to look at, no disk to wait for and no place to lose: it has none.
    pub(super) identity: Option<Identity>,
    pub(super) bytes: u64,
    /// Whether its last byte is not the end of a line.
    pub(super) torn: bool,
}

impl Opened {
    /// Opens the file for appending; makes it, and its folders, where it is missing.
    pub(super) fn at(path: &Path, durability: Durability) -> io::Result<Self> {
        Opened::with(OpenOptions::new().append(true).create(true), path, durability)
    }

    /// As [`at`](Opened::at), to be [shared](share): of a file that cannot be read the lock may not be had (NFS).
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
            // The file's name stands in its folder, the name of each new folder in the one above.
            folder.ancestors().take(created + 1).try_for_each(|folder| sync_folder(or_here(folder)))?;
        }
        let identity = regular.then(|| Identity::of(&metadata));
        Ok(Opened { path: path.to_owned(), file, identity, bytes: metadata.len(), torn })
    }
}

/// Tells a file from another one that stands at the same path.
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

    /// Elsewhere a file that is there is taken to be the one.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Identity {}
    }
}

/// Lets everybody know that the file is written to, for as long as the handle is open. False: somebody has it for himself.
/// Where the file system has no locks, there is nobody to tell.
#[cfg(unix)]
pub(super) fn share(file: &File) -> bool {
    !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Takes the file for this handle alone, for as long as that is open. False: somebody writes to it, or has it for himself.
///
/// A child process that is just being made has all our locks, until it is a program of its own. That is waited for.
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

/// On Windows a lock that is shared keeps everybody from writing, its owner included.
#[cfg(not(unix))]
pub(super) fn share(_: &File) -> bool {
    true
}

#[cfg(not(unix))]
pub(super) fn claim(_: &File) -> bool {
    true
}

/// Whether the file stands at this path, and not a link to it.
pub(super) fn stands_at(path: &Path, file: &File) -> bool {
    let own = file.metadata().map(|metadata| Identity::of(&metadata));
    let there = fs::symlink_metadata(path).map(|metadata| metadata.is_file().then(|| Identity::of(&metadata)));
    matches!((own, there), (Ok(own), Ok(Some(there))) if own == there)
}

/// Whether the file can still be found by some name: what is written to it is not lost.
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

/// The folder of a path that names none.
pub(super) fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether there is a last byte, and it is no newline. It takes a handle of its own: the one for appending must not be
/// able to read, or a FIFO would have a reader (us) for ever.
fn ends_torn(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        // We may append to it, but not look: take it to be whole.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        opened => opened?,
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing to read: someone has emptied the file in between.
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}

#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // We may not read the folder, or its file system cannot do this.
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
