//! A sink's thread or a service thread: advisory locks on whole files.

#[cfg(unix)]
use std::fs::TryLockError;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::Path;

use super::identity::is_at_path;

/// An open file that may be locked. Dropping it releases the lock, even if a child process has inherited the descriptor
/// and with it the lock.
///
/// On Windows a lock would keep readers out, so none is taken: an attempt always succeeds.
///
/// # Errors
/// `WouldBlock`: another process, or another handle of this one, has a lock that excludes this one. `Unsupported`: the file
/// system has no locks.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    pub(crate) fn new(file: File) -> Self {
        LockedFile(file)
    }

    /// Opens a file that exists and locks it, to delete, rename or rewrite it. `NotFound` also if it was replaced
    /// meanwhile.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        // Some file systems lock a file exclusively only if it is writable (NFS).
        let opened = OpenOptions::new().read(true).append(true).open(path);
        let file = LockedFile(match opened {
            Err(error) if error.kind() != io::ErrorKind::NotFound => File::open(path)?,
            opened => opened?,
        });
        file.lock_exclusive()?;
        if is_at_path(path, &file) { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Tries to take the lock that excludes every other one. If it fails, a shared lock of this handle may be lost.
    pub(crate) fn lock_exclusive(&self) -> io::Result<()> {
        #[cfg(unix)]
        self.0.try_lock().map_err(error)?;
        Ok(())
    }

    /// Tries to take, or to go down to, a lock that excludes exclusive ones only.
    pub(crate) fn lock_shared(&self) -> io::Result<()> {
        #[cfg(unix)]
        self.0.try_lock_shared().map_err(error)?;
        Ok(())
    }

    /// Releases the lock, if there is one.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        // Without locks there is nothing to release.
        self.0.unlock().unwrap_or_default();
    }
}

/// Whether another process has the lock.
pub(crate) fn is_busy(locked: &io::Result<()>) -> bool {
    locked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(unix)]
fn error(error: TryLockError) -> io::Error {
    /// No locks available; of a handle that cannot be locked, as a read-only one on NFS.
    const ENOLCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 37 } else { 77 };
    const EBADF: i32 = 9;
    let is_unsupported = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
            || matches!(error.raw_os_error(), Some(ENOLCK | EBADF))
    };
    match error {
        TryLockError::Error(error) if is_unsupported(&error) => io::ErrorKind::Unsupported.into(),
        // Another error may pass: until then the file is not for this process.
        TryLockError::WouldBlock | TryLockError::Error(_) => io::ErrorKind::WouldBlock.into(),
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        self.release();
    }
}
