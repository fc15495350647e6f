//! Anywhere (pure): errors of opening, configuring and maintaining files.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::format::plain::{Foreign, write_debug};

/// The error of opening a log file, or of creating a directory for it.
#[non_exhaustive]
pub struct OpenError {
    /// The path as given; for a rolled file, the path of the file itself if there is one.
    pub path: PathBuf,
    /// The operating system's error.
    pub source: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open log file `{}`", Foreign(self.path.display()))
    }
}

/// The error of a synchronization that failed, now or before: the disk may not have what was written.
///
/// It lasts until the file is left: the system may have dropped what it could not write, so that a later
/// synchronization succeeds without it.
#[non_exhaustive]
pub struct SyncError {
    /// The file.
    pub path: PathBuf,
    /// How many events were written to it since the last synchronization that succeeded, at most. They count as
    /// delivered, and are unconfirmed: a power failure may lose them.
    pub unconfirmed: u64,
    /// The operating system's error.
    pub source: io::Error,
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyncError { path, unconfirmed, .. } = self;
        write!(f, "cannot synchronize log file `{}`: {unconfirmed} events are unconfirmed", Foreign(path.display()))
    }
}

/// An invalid option of [`Rolling`](super::Rolling).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollingError {
    /// The name of the method.
    pub option: &'static str,
    /// The invalid value.
    pub value: String,
    /// The valid values.
    pub allowed: String,
}

impl fmt::Display for RollingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RollingError { option, value, allowed } = self;
        write!(f, "`{option}` is {}; allowed is {allowed}", Foreign(value))
    }
}

/// The error of a background task, which cost no line.
#[non_exhaustive]
pub struct MaintenanceError {
    /// The task.
    pub task: MaintenanceTask,
    /// Its file or directory.
    pub path: PathBuf,
    /// The operating system's error.
    pub source: io::Error,
}

/// A background task besides writing lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// Beginning the next file, when the current one is full or its period is over. The current one continues.
    Roll,
    /// Opening the sink's path again, when it no longer names the open file. The sink continues in the open file.
    Follow,
    /// Pointing the sink's path to the current file: the path exists and is not a symlink, and stays unchanged.
    Link,
    /// Reading the directory.
    List,
    /// Deleting an old file.
    Delete,
    /// Compressing a rolled file, which stays unchanged.
    Compress,
    /// Locking a file: on a file system without locks nothing is deleted or compressed.
    Lock,
    /// The run of the maintenance thread, which panicked. The next run tries again.
    Maintain,
}

impl fmt::Display for MaintenanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Foreign(self.path.display());
        match self.task {
            MaintenanceTask::Roll => write!(f, "cannot begin the file after `{path}`, which continues"),
            MaintenanceTask::Follow => write!(f, "cannot open `{path}` again, from which the file was moved away"),
            MaintenanceTask::Link => write!(f, "cannot make `{path}` a link to the current log file"),
            MaintenanceTask::List => write!(f, "cannot list the directory `{path}`"),
            MaintenanceTask::Delete => write!(f, "cannot delete the old log file `{path}`"),
            MaintenanceTask::Compress => write!(f, "cannot compress the log file `{path}`"),
            MaintenanceTask::Lock => {
                write!(f, "cannot lock files in `{path}`, so nothing there is deleted or compressed")
            }
            MaintenanceTask::Maintain => write!(f, "cannot delete or compress files in `{path}` for now"),
        }
    }
}

macro_rules! errors {
    ($($error:ident: $source:expr;)+) => {$(
        /// Like `Display`, with the sources.
        impl fmt::Debug for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_debug(self, f)
            }
        }

        impl Error for $error {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                let source: fn(&Self) -> Option<&io::Error> = $source;
                Some(source(self)?)
            }
        }
    )+};
}

errors! {
    OpenError: |error| Some(&error.source);
    SyncError: |error| Some(&error.source);
    MaintenanceError: |error| Some(&error.source);
    RollingError: |_| None;
}
