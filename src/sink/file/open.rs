//! A sink's thread: opens files, from a path to a file ready for the first line. At the start, on the caller's thread.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use super::Durability;
use super::error::OpenError;
use crate::fs::{FileId, LockedFile, or_current_dir, parent_dir, sync_dir};
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
    pub(super) file: LockedFile,
    /// None for a device or a FIFO: it has no end to read, no disk to wait for and no path to lose.
    pub(super) id: Option<FileId>,
    pub(super) sharing: Sharing,
    pub(super) bytes: u64,
    /// Whether its last byte is not the end of a line.
    pub(super) torn: bool,
}

impl OpenedFile {
    /// Opens the file at the path, of whatever kind, for appending; creates it, and its directories, if missing.
    ///
    /// With `wait`, a FIFO is waited for until it has a reader; without, it is an error if it has none.
    pub(super) fn at(path: &Path, options: FileOptions, wait: bool) -> io::Result<Self> {
        let kind = fs::metadata(path).map(|there| there.file_type());
        let is_fifo = kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir());
        let file = if is_fifo && !wait { open_now(path)? } else { create(path, options, None)? };
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok(OpenedFile::new(path, file, &metadata)) } else { Ok(OpenedFile::device(path, file)) }
    }

    /// Creates the file, with the owner and the permissions of the one `before`, unless the sink has its own `mode`.
    pub(super) fn create_new(path: &Path, options: FileOptions, before: Option<&Metadata>) -> io::Result<Self> {
        let file = create(path, options, Some(before))?;
        let metadata = file.metadata()?;
        Ok(OpenedFile::new(path, file, &metadata))
    }

    /// Opens a file that exists, to continue it. A file that cannot be read may not be lockable (NFS).
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        Ok(OpenedFile::new(path, file, &metadata))
    }

    fn new(path: &Path, file: File, metadata: &Metadata) -> Self {
        let (id, bytes) = (Some(FileId::of(metadata)), metadata.len());
        let (file, sharing) = (LockedFile::new(file), Sharing::default());
        OpenedFile { path: path.to_owned(), file, id, sharing, bytes, torn: false }
    }

    fn device(path: &Path, file: File) -> Self {
        let sharing = Sharing::of(&file);
        OpenedFile { path: path.to_owned(), file: LockedFile::new(file), id: None, sharing, bytes: 0, torn: false }
    }

    /// Checks whether the file ends in the middle of a line. No other process may be writing to it.
    pub(super) fn find_torn_line(&mut self) -> io::Result<()> {
        self.torn = is_torn(&self.path)?;
        Ok(())
    }

    /// Ends a line that was torn by a crash, and keeps the time of the last write.
    pub(super) fn end_torn_line(&mut self) -> io::Result<()> {
        self.find_torn_line()?;
        if self.torn {
            let modified = self.file.metadata()?.modified()?;
            self.file.write_all(b"\n")?;
            self.file.set_modified(modified)?;
        }
        Ok(())
    }
}

/// Opens a file to lock it. Some file systems lock a file exclusively only if it is writable (NFS).
pub(super) fn open_to_lock(path: &Path) -> io::Result<LockedFile> {
    let file = OpenOptions::new().read(true).write(true).open(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Err(error),
        _ => File::open(path),
    });
    file.map(LockedFile::new)
}

/// Creates a file, or opens one that exists. `new`: the file must not exist; it gets the permissions of another one.
fn create(path: &Path, options: FileOptions, new: Option<Option<&Metadata>>) -> io::Result<File> {
    let FileOptions { durability, mode } = options;
    let (is_new, before) = (new.is_some(), new.flatten());
    let dir = parent_dir(path);
    let missing = dir.ancestors().take_while(|dir| !or_current_dir(dir).exists()).count();
    if missing > 0 {
        create_dirs(dir, mode)?;
    }
    let mut options = OpenOptions::new();
    options.read(is_new && cfg!(unix)).append(true).create(!is_new).create_new(is_new);
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        let mode = mode.or(before.map(|before| before.mode() & 0o7777));
        options.mode(mode.unwrap_or(0o666));
        mode
    };
    let is_there = !is_new && fs::symlink_metadata(path).is_ok();
    let file = options.open(path)?;
    if !is_there {
        if let Some(before) = before {
            copy_owner(&file, before);
        }
        #[cfg(unix)]
        if let Some(mode) = mode {
            use std::os::unix::fs::PermissionsExt;
            // The process's mask does not apply. If the file system has no such permissions, the file is as it can be.
            file.set_permissions(fs::Permissions::from_mode(mode)).unwrap_or_default();
        }
        if durability != Durability::Buffered {
            // The file's name is in its directory, the name of each new directory in the one above.
            dir.ancestors().take(missing + 1).try_for_each(|dir| sync_dir(or_current_dir(dir)))?;
        }
    }
    Ok(file)
}

/// New directories may be searched by all users who may read the files.
fn create_dirs(dir: &Path, mode: Option<u32>) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(mode | (mode & 0o444) >> 2);
    }
    #[cfg(not(unix))]
    let _ignored = mode;
    builder.recursive(true).create(or_current_dir(dir))
}

/// Gives a file the owner of another one. Only root may give a file away; any other user owns the file already, or may
/// only read it.
pub(super) fn copy_owner(file: &File, from: &Metadata) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let has_it = file.metadata().is_ok_and(|own| (own.uid(), own.gid()) == (from.uid(), from.gid()));
        if !has_it {
            fchown(file, Some(from.uid()), Some(from.gid())).unwrap_or_default();
        }
    }
    #[cfg(not(unix))]
    let _ignored = (file, from);
}

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
    let mut file = match File::open(path) {
        // The file may be appended to, but not read: assume it is whole.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        opened => opened?,
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing to read: another process has truncated the file in between.
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}
