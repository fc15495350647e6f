//! A sink's thread or a service thread: advisory locks on whole files.

use std::fs::File;
#[cfg(unix)]
use std::fs::TryLockError;
use std::io::{self, Write};
use std::ops::Deref;

/// The result of an attempt to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Held,
    /// Another process, or another handle of this one, has a lock that excludes this one.
    Busy,
    /// The file system has no locks.
    #[cfg_attr(not(unix), expect(dead_code, reason = "no lock is taken there"))]
    Unsupported,
}

/// An open file that may be locked. Dropping it releases the lock, even if a child process has inherited the descriptor
/// and with it the lock.
///
/// On Windows a lock would keep readers out, so none is taken: an attempt always succeeds.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    pub(crate) fn new(file: File) -> Self {
        LockedFile(file)
    }

    /// Tries to take the lock that excludes every other one. If it fails, a shared lock of this handle may be lost.
    pub(crate) fn lock_exclusive(&self) -> Lock {
        #[cfg(unix)]
        return outcome(self.0.try_lock());
        #[cfg(not(unix))]
        return Lock::Held;
    }

    /// Tries to take, or to go down to, a lock that excludes exclusive ones only.
    pub(crate) fn lock_shared(&self) -> Lock {
        #[cfg(unix)]
        return outcome(self.0.try_lock_shared());
        #[cfg(not(unix))]
        return Lock::Held;
    }

    /// Releases the lock, if there is one.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        // Without locks there is nothing to release.
        self.0.unlock().unwrap_or_default();
    }
}

#[cfg(unix)]
fn outcome(result: Result<(), TryLockError>) -> Lock {
    match result {
        Ok(()) => Lock::Held,
        Err(TryLockError::Error(error)) if is_unsupported(&error) => Lock::Unsupported,
        // Another error may pass: until then the file is not for this process.
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Lock::Busy,
    }
}

#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    /// No locks available; of a handle that cannot be locked, as a read-only one on NFS.
    const ENOLCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 37 } else { 77 };
    const EBADF: i32 = 9;
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
        || matches!(error.raw_os_error(), Some(ENOLCK | EBADF))
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Write for LockedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        self.release();
    }
}
