//! A sink's thread or a service thread: writes the names in a directory to disk.

use std::io;
use std::path::Path;

/// Waits until the disk has the names in the directory, if the file system can.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    match std::fs::File::open(dir).and_then(|dir| dir.sync_all()) {
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
pub(crate) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
