//! A thread the sink owns: lines appended to a file.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SinkError;
use super::blocking::{Blocking, BlockingSink, sink_on_its_thread};
use super::writer::{LineWriter, classify};
use crate::event::Batch;
use crate::format::{Format, Text};

/// Appends events to a file.
///
/// By default it writes [`Text`] without colours, [`Durability::Buffered`]. Missing folders are created. If the file
/// ends in the middle of a line (a crash, a disk that was full), that line is ended before the first event. A batch is
/// one write in the usual case, at the end of the file wherever that is by then, so several processes can share the
/// file.
///
/// After something else moved the file away (logrotate), `reopen` goes on at the path. If that fails, the sink keeps
/// the file it has, and the error is temporary. Truncating the file in place (logrotate's `copytruncate`) needs no
/// `reopen`.
///
/// # Errors
/// A file that cannot be opened is a permanent error whose source is an [`OpenError`]. A full disk, an exhausted quota
/// and other I/O errors are temporary. When the path is a FIFO whose reader left, or the file has gone from its network
/// file server, the error is permanent, and so is every later one until `reopen`.
///
/// An error counts exactly the events whose lines are in the file, so a retry repeats none of them. The one exception
/// is a failed synchronisation with [`Durability::Synced`].
///
/// # Blocking
/// The file is opened on the thread that calls `start()`; opening a FIFO waits there for a reader. All other I/O is on
/// a thread of the sink's own, see [`Blocking`].
///
/// # Examples
/// ```
/// use logweir::sink::{Durability, FileSink};
///
/// let sink = FileSink::new("logs/audit.log").durability(Durability::Flushed);
/// ```
#[must_use = "a sink does nothing until a logger has it"]
#[derive(Debug)]
pub struct FileSink {
    thread: Blocking<FileWriter>,
}

/// What survives a crash.
///
/// | | an event is delivered when | killed process | power cut, kernel crash |
/// |---|---|---|---|
/// | `Buffered` | the operating system has it | every delivered event | what the system wrote back by itself, often all but the last 30 s |
/// | `Flushed` | the operating system has it | every delivered event | also everything before the last flush or shutdown |
/// | `Synced` | the disk has it | every delivered event | every delivered event |
///
/// The disk has what it reported as written (`fdatasync`); a disk that lies about its cache is beyond a logger. On
/// Unix, `Flushed` and `Synced` also bring the names of new files and folders to the disk, where the file system can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing waits for the disk. Every batch is handed to the operating system before its write returns.
    #[default]
    Buffered,
    /// Each flush, hence also a shutdown, waits for the disk.
    Flushed,
    /// Each batch waits for the disk: some milliseconds on a disk without a protected cache. If the disk does not
    /// confirm, none of the batch counts as delivered, although its lines may be there: a retry may repeat them.
    Synced,
}

impl FileSink {
    /// Appends to the file at `path`, which is opened by `start()`. A relative path is relative to the process's
    /// directory at that time, and again at each `reopen`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let writer = FileWriter {
            path: path.into(),
            format: Box::new(Text::new()),
            durability: Durability::default(),
            lines: None,
            regular: false,
        };
        FileSink { thread: Blocking::new(writer).name("logweir-file") }
    }

    /// How events become bytes; default [`Text`] without colours.
    pub fn format(self, format: impl Format) -> Self {
        self.configure(|writer| writer.format = Box::new(format))
    }

    /// What survives a crash; default [`Durability::Buffered`].
    pub fn durability(self, durability: Durability) -> Self {
        self.configure(|writer| writer.durability = durability)
    }

    fn configure(mut self, set: impl FnOnce(&mut FileWriter)) -> Self {
        // A sink that was opened by hand has its writer elsewhere, and is past configuring.
        if let Some(writer) = self.thread.idle_mut() {
            set(writer);
        }
        self
    }
}

sink_on_its_thread!(FileSink, timeout: Duration::from_secs(5));

struct FileWriter {
    path: PathBuf,
    format: Box<dyn Format>,
    durability: Durability,
    /// None until opened.
    lines: Option<LineWriter<File>>,
    /// A device or a FIFO has no end to look at and no disk to wait for.
    regular: bool,
}

impl FileWriter {
    fn open_file(&mut self) -> Result<(), OpenError> {
        let opened =
            Opened::at(&self.path, self.durability).map_err(|source| OpenError { path: self.path.clone(), source })?;
        self.regular = opened.regular;
        match &mut self.lines {
            Some(lines) => lines.replace(opened.file, opened.torn),
            None => self.lines = Some(LineWriter::new(opened.file, opened.torn)),
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), SinkError> {
        match &self.lines {
            Some(lines) if self.regular => lines.out().sync_data().map_err(classify),
            _ => Ok(()),
        }
    }
}

impl BlockingSink for FileWriter {
    fn open(&mut self) -> Result<(), SinkError> {
        self.open_file().map_err(SinkError::permanent)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let lines = self.lines.as_mut().expect("`Blocking` writes only after `open` succeeded");
        let written = lines.write(batch, 0..batch.len(), &mut *self.format);
        let nothing = written.as_ref().is_err_and(|error| error.delivered_count() == 0);
        if self.durability == Durability::Synced && !nothing {
            // Its error takes the place of the write's, for nothing is delivered then.
            self.sync()?;
        }
        written
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if let Some(lines) = &mut self.lines {
            lines.flush()?;
        }
        match self.durability {
            Durability::Buffered => Ok(()),
            Durability::Flushed | Durability::Synced => self.sync(),
        }
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        // The old file first, while it is still at hand. If it cannot be brought to its end, say so, but move on: a
        // full disk is one reason to rotate.
        let flushed = self.flush();
        self.open_file().map_err(SinkError::temporary)?;
        flushed
    }

    fn written_bytes(&self) -> u64 {
        self.lines.as_ref().map_or(0, LineWriter::written)
    }
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// A file ready for the first event.
struct Opened {
    file: File,
    regular: bool,
    torn: bool,
}

impl Opened {
    fn at(path: &Path, durability: Durability) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let created = folder.ancestors().take_while(|folder| !or_here(folder).exists()).count();
        fs::create_dir_all(or_here(folder))?;
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let regular = file.metadata()?.is_file();
        let torn = regular && ends_torn(path)?;
        if regular && durability != Durability::Buffered {
            // The file's name stands in its folder, the name of each new folder in the one above.
            folder.ancestors().take(created + 1).try_for_each(|folder| sync_folder(or_here(folder)))?;
        }
        Ok(Opened { file, regular, torn })
    }
}

/// The folder of a path that names none.
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether there is a last byte, and it is no newline. It takes a handle of its own: the one for appending must not be
/// able to read, or a FIFO would have a reader (us) for ever.
fn ends_torn(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        // We may append to it, but not look: take it to be whole.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        opened => opened?,
    };
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    // Nothing to read: someone has emptied the file in between.
    Ok(file.read(&mut last)? == 1 && last != *b"\n")
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // We may not read the folder, or its file system cannot do this.
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
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A log file could not be opened, or a folder for it not be made.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenError {
    /// The path as it was given.
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
