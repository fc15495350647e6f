//! The caller's thread, once: which files the sinks of one logger write to, so that no two share one.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::error::OpenError;
use super::pattern::{FileKind, NamePattern};
use crate::fs::{FileId, parent_dir};

thread_local! {
    /// Those of the logger that is being started on this thread, if one is.
    static CLAIMS: RefCell<Option<Vec<Claim>>> = const { RefCell::new(None) };
}

/// The files of a sink: one, or those of a pattern and the link to them.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// Absolute, and without links as far as it exists. The path of rolled files is a link of ours.
    path: PathBuf,
    pattern: Option<NamePattern>,
    /// The file at a plain path, if there is one: it may have several names.
    id: Option<FileId>,
}

impl Claim {
    fn overlaps(&self, other: &Claim) -> bool {
        let is_same = self.id.is_some_and(|id| cfg!(unix) && other.id == Some(id));
        is_same
            || parent_dir(&self.path) == parent_dir(&other.path)
                && (self.path == other.path
                    || self.is_in(other)
                    || other.is_in(self)
                    || self
                        .pattern
                        .as_ref()
                        .zip(other.pattern.as_ref())
                        .is_some_and(|(one, other)| one.overlaps(other)))
    }

    /// Whether this path is a file of the other's pattern.
    fn is_in(&self, other: &Claim) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let parsed = name.zip(other.pattern.as_ref()).and_then(|(name, pattern)| pattern.parse_name(name));
        parsed.is_some_and(|(_, kind)| kind != FileKind::Partial)
    }
}

/// Opens the sinks of one logger.
pub(crate) fn of_one_logger<T>(open: impl FnOnce() -> T) -> T {
    struct Restore(Option<Vec<Claim>>);

    impl Drop for Restore {
        fn drop(&mut self) {
            CLAIMS.set(self.0.take());
        }
    }

    // A sink may start a logger of its own.
    let _restore = Restore(CLAIMS.replace(Some(Vec::new())));
    open()
}

/// Claims the file at this absolute path, or the files of the pattern; an error if another sink of the logger has them.
/// Devices can be shared.
pub(super) fn claim(path: &Path, pattern: Option<&NamePattern>) -> Result<(), OpenError> {
    let there = fs::metadata(path);
    let is_device = there.as_ref().is_ok_and(|there| !there.is_file() && !there.is_dir());
    let id = there.ok().filter(|there| pattern.is_none() && there.is_file()).map(|there| FileId::of(&there));
    CLAIMS.with_borrow_mut(|claims| {
        let Some(claims) = claims.as_mut().filter(|_| !is_device) else { return Ok(()) };
        let claim = Claim { path: without_links(path, pattern.is_none()), pattern: pattern.cloned(), id };
        if let Some(other) = claims.iter().find(|other| claim.overlaps(other)) {
            let why = match &other.pattern {
                None => "another sink of this logger writes to the same file",
                Some(_) => "the files of another sink of this logger have the same names",
            };
            let source = io::Error::new(io::ErrorKind::AlreadyExists, why);
            return Err(OpenError { path: path.to_owned(), source });
        }
        claims.push(claim);
        Ok(())
    })
}

/// Follows the links in a path, or in its directory, as far as there is one already.
fn without_links(path: &Path, follow: bool) -> PathBuf {
    let skip = usize::from(!follow);
    let resolved = path.ancestors().skip(skip).find_map(|there| {
        let mut resolved = fs::canonicalize(there).ok()?;
        for part in path.strip_prefix(there).ok()?.components() {
            match part {
                Component::ParentDir => {
                    resolved.pop();
                }
                part => resolved.push(part),
            }
        }
        Some(resolved)
    });
    resolved.unwrap_or_else(|| path.to_owned())
}
