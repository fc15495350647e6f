//! The caller's thread, once: what is in a spool's directory and no sink takes over.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::FOLDER_PREFIX;
use super::folder::LOCK;
use super::store::SpoolFinding;

/// Returns the folders below the directory of a spool that are in no directory which a sink takes over, or of another
/// version. Those that another process has are its own.
///
/// # Errors
/// Returns an error if a directory cannot be read.
pub(super) fn unclaimed(dir: &Path, claimed: &[PathBuf]) -> io::Result<Vec<SpoolFinding>> {
    let mut found = Vec::new();
    for sink in folders(dir)? {
        let is_claimed = claimed.contains(&sink);
        for folder in folders(&sink)? {
            let is_known = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOLDER_PREFIX));
            if (!is_claimed || !is_known) && !is_in_use(&folder) {
                found.push(SpoolFinding::Unclaimed {
                    bytes: bytes_in(&folder),
                    dir: folder,
                    is_other_version: !is_known,
                });
            }
        }
    }
    Ok(found)
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Whether a process has this folder. The lock is held for a moment: a process that starts then does not take the folder over.
fn is_in_use(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What can be seen of it: it is reported, and nothing is decided by it.
fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
