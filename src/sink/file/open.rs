//! A sink's thread: opens files, from a path to a file ready for the first line. At the start, on the caller's thread.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Durability;
use super::error::OpenError;
use crate::fs::{FileId, LockedFile, is_at_path, parent_dir, sync_dir};
use crate::sink::sharing::Sharing;

/// What all files of a sink have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FileOptions {
    pub(super) durability: Durability,
    /// The permission bits of new files. None: those of the file before, or the process's default.
    pub(super) mode: Option<u32>,
}

impl FileOptions {
    /// Refuses permission bits with which the owner could not write the file, or read it to continue it.
    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
        match self.mode {
            Some(mode) if mode & 0o600 != 0o600 || mode > 0o777 => {
                let why =
                    format!("`mode` is {mode:#o}; allowed is 0o600 to 0o777, with reading and writing for the owner");
                Err(OpenError { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidInput, why) })
            }
            _ => Ok(()),
        }
    }
}

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
pub(super) struct OpenedFile {
    pub(super) path: PathBuf,
    /// Shared with the maintenance thread, which may release its lock.
    pub(super) file: Arc<LockedFile>,
    /// None for a device or a FIFO: it has no end to read, no disk to wait for and no path to lose.
    pub(super) id: Option<FileId>,
    pub(super) sharing: Sharing,
    pub(super) bytes: u64,
    /// Whether its last byte is not the end of a line.
    pub(super) torn: bool,
}

impl OpenedFile {
    /// Opens the file at the path, of whatever kind, for appending; creates it, and its directories, if missing. A new
    /// file has the owner and the permissions of the one `before`, unless the sink has its own `mode`.
    ///
    /// With `wait`, a FIFO is waited for until it has a reader; without, it is an error if it has none.
    pub(super) fn at(path: &Path, options: FileOptions, before: Option<&Metadata>, wait: bool) -> io::Result<Self> {
        let there = fs::metadata(path);
        let is_device = there.as_ref().is_ok_and(|there| !there.is_file() && !there.is_dir());
        OpenedFile::new(
            path,
            match there {
                Ok(_) if is_device && !wait => open_now(path)?,
                Ok(_) => OpenOptions::new().append(true).open(path)?,
                Err(_) => create(path, options, before, false)?,
            },
        )
    }

    /// Creates the file, which must not exist.
    pub(super) fn create_new(path: &Path, options: FileOptions, before: Option<&Metadata>) -> io::Result<Self> {
        OpenedFile::new(path, create(path, options, before, true)?)
    }

    /// Opens a file that exists, to continue it. None: it is not for this process alone, or not to be written to.
    pub(super) fn existing(path: &Path) -> Option<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path).ok()?;
        let mut opened = OpenedFile::new(path, file).ok()?;
        let is_own = opened.file.lock_exclusive().is_ok() && is_at_path(path, &opened.file);
        opened.torn = is_own && is_torn(path).ok()?;
        is_own.then_some(opened)
    }

    fn new(path: &Path, file: File) -> io::Result<Self> {
        let (path, metadata) = (path.to_owned(), file.metadata()?);
        let (id, sharing, bytes) = if metadata.is_file() {
            (Some(FileId::of(&metadata)), Sharing::default(), metadata.len())
        } else {
            (None, Sharing::of(&file), 0)
        };
        Ok(OpenedFile { path, file: Arc::new(LockedFile::new(file)), id, sharing, bytes, torn: false })
    }
}

/// Ends a line that was torn by a crash, and keeps the time of the last write; returns whether there was one. The file is
/// locked.
pub(super) fn end_torn_line(path: &Path, mut file: &File) -> io::Result<bool> {
    let is_torn = match is_torn(path) {
        // The file may be appended to, but not read: assume it is whole.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => false,
        is_torn => is_torn?,
    };
    if is_torn {
        let modified = file.metadata()?.modified()?;
        file.write_all(b"\n")?;
        // Only its owner may set it.
        file.set_modified(modified).unwrap_or_default();
    }
    Ok(is_torn)
}

fn create(path: &Path, options: FileOptions, before: Option<&Metadata>, is_new: bool) -> io::Result<File> {
    let dir = parent_dir(path);
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    let mut how = OpenOptions::new();
    // A file that cannot be read may not be lockable (NFS).
    how.read(is_new && cfg!(unix)).append(true).create(!is_new).create_new(is_new);
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        // As `check` demands.
        let mode = options.mode.or(before.map(|before| before.mode() & 0o777 | 0o600));
        how.mode(mode.unwrap_or(0o666));
        mode
    };
    let file = how.open(path)?;
    if let Some(before) = before {
        copy_owner(&file, before);
    }
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask does not apply. If the file system has no permissions, the file is as it can be.
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap_or_default();
        set(path, mode);
        if options.mode.is_some() {
            // All users who may read the files may search new directories.
            missing.iter().for_each(|dir| set(dir, mode | (mode & 0o444) >> 2));
        }
    }
    if options.durability != Durability::Buffered {
        // The file's name is in its directory, the name of each new directory in the one above.
        let synced = dir.ancestors().take(missing.len() + 1).try_for_each(sync_dir);
        if synced.is_err() && is_new {
            // Each later attempt would leave another one.
            fs::remove_file(path).unwrap_or_default();
        }
        synced?;
    }
    Ok(file)
}

/// Gives a file the owner and the group of another one, as far as this process may: only root may give a file away.
#[cfg(unix)]
pub(super) fn copy_owner(file: &File, from: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let has_it = file.metadata().is_ok_and(|own| (own.uid(), own.gid()) == (from.uid(), from.gid()));
    if !has_it {
        let all = fchown(file, Some(from.uid()), Some(from.gid()));
        all.or_else(|_| fchown(file, None, Some(from.gid()))).unwrap_or_default();
    }
}

#[cfg(not(unix))]
pub(super) fn copy_owner(_: &File, _: &Metadata) {}

/// Opens a FIFO or a device without waiting for its other end.
#[cfg(all(unix, target_pointer_width = "64", not(target_os = "redox")))]
fn open_now(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let file = OpenOptions::new().append(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    // From here on a full pipe is waited for, as on a thread of the sink's own.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

#[cfg(not(all(unix, target_pointer_width = "64", not(target_os = "redox"))))]
fn open_now(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Whether there is a last byte that is no newline. It opens a handle of its own: the one for appending may not be
/// readable.
pub(super) fn is_torn(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing to read: another process has truncated the file in between.
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}
