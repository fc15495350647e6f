//! A service thread: in place of `gzip.rs` in builds without it, where files are not compressed.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::directory::LogDir;
use super::pattern::FileKey;

pub(super) fn compress(_: &LogDir, _: FileKey) -> io::Result<()> {
    Ok(())
}

/// Deletes half a copy, left behind by a build that compresses.
pub(super) fn recover(_: &LogDir, _: FileKey, partial: &Path) -> io::Result<()> {
    fs::remove_file(partial)
}

pub(super) fn begun(_: &Path) -> Option<Duration> {
    None
}

pub(super) fn lower_priority() {}
