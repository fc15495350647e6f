//! Anywhere: why there is no file, and what went wrong beside the events' way.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A log file could not be opened, or a folder for it not be made.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenError {
    /// The path as it was given; of a file that is rolled, the path of the file itself where there is one.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open log file `{}`", self.path.display())
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// A knob of [`Rolling`](super::Rolling) is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RollingError {
    /// As the method is named.
    pub option: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it may be set to.
    pub allowed: String,
}

impl fmt::Display for RollingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RollingError { option, value, allowed } = self;
        write!(f, "`{option}` is {value}; allowed is {allowed}")
    }
}

impl Error for RollingError {}

/// What was to be done beside writing lines, and cost none that it could not be.
#[derive(Debug)]
#[non_exhaustive]
pub struct MaintenanceError {
    /// What was to be done.
    pub task: MaintenanceTask,
    /// To which file, or in which folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// What is done with files beside writing lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// Beginning the next file, whose time or size had come. The current one goes on.
    Roll,
    /// Going on at the sink's path, where its file no longer stood. The file goes on where it is.
    Follow,
    /// Having the sink's path show where the current file is: something else stands there, and is left alone.
    Link,
    /// Looking through the folder.
    List,
    /// Deleting an old file.
    Delete,
    /// Compressing a rolled file, which stays as it is.
    Compress,
}

impl fmt::Display for MaintenanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.task {
            MaintenanceTask::Roll => write!(f, "cannot roll `{path}`, which goes on"),
            MaintenanceTask::Follow => write!(f, "cannot open `{path}` again, from which the file was moved away"),
            MaintenanceTask::Link => write!(f, "cannot make `{path}` a link to the current log file"),
            MaintenanceTask::List => write!(f, "cannot look through the folder `{path}`"),
            MaintenanceTask::Delete => write!(f, "cannot delete the old log file `{path}`"),
            MaintenanceTask::Compress => write!(f, "cannot compress the log file `{path}`"),
        }
    }
}

impl Error for MaintenanceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
