//! A service thread: the maintenance thread compresses a rolled file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::folder::Folder;
use super::names::{Place, State};
use super::open::{claim, stands_at, sync_folder};

/// The default of the command `nice`: a tenth of a processor that another process uses fully. With the lowest priority,
/// files would pile up on a machine that is always busy.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NICE: i32 = 10;

const CHUNK: usize = 256 << 10;

/// Compresses the file and deletes it. False: another process still writes to it.
pub(super) fn compress(folder: &Folder, place: Place) -> io::Result<bool> {
    let [plain, partial, compressed] =
        [State::Plain, State::Partial, State::Compressed].map(|state| folder.file(place, state));
    let source = match open(&plain) {
        // Another process has compressed or deleted it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        source => source?,
    };
    // Held to the end: it also keeps other processes from the partial file.
    if !claim(&source) || !stands_at(&plain, &source) {
        return Ok(false);
    }
    if source.metadata()?.len() == 0 {
        // Created where a compressed file existed, and abandoned: the compressed file has all lines.
        fs::remove_file(&plain)?;
        return Ok(true);
    }
    let written = write(&source, &partial).and_then(|()| fs::rename(&partial, &compressed));
    if let Err(error) = written {
        // A partial file uses disk space that may be short.
        fs::remove_file(&partial).unwrap_or_default();
        return Err(error);
    }
    // Its name must be on the disk before the only other copy is deleted.
    sync_folder(folder.path())?;
    match fs::remove_file(&plain) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(true),
    }
}

fn write(source: &File, partial: &Path) -> io::Result<()> {
    let metadata = source.metadata()?;
    let out = create(partial)?;
    adopt(&out, &metadata)?;
    let modified = metadata.modified()?;
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut encoder = GzBuilder::new()
        .mtime(seconds.try_into().unwrap_or(0))
        .write(BufWriter::with_capacity(CHUNK, out), Compression::default());
    io::copy(&mut BufReader::with_capacity(CHUNK, source), &mut encoder)?;
    let mut out = encoder.finish()?;
    out.flush()?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.sync_all()?;
    out.set_modified(modified)
}

/// Some file systems lock a file exclusively only if it is writable (NFS).
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))
}

/// Creates a private file: its final permissions are not known yet.
fn create(path: &Path) -> io::Result<File> {
    // Created anew, not truncated: a link of this name would lead to a file that is not ours.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// Gives the copy the owner and the permissions of the file.
fn adopt(copy: &File, metadata: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = copy.metadata()?;
        // Only root may give a file away; any other user owns the file already, or may only read it.
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(copy, Some(metadata.uid()), Some(metadata.gid())).unwrap_or_default();
        }
    }
    copy.set_permissions(metadata.permissions())
}

/// Lowers this thread's priority: from now on other threads get nearly all of the processor.
pub(super) fn step_back() {
    // Outside Linux this is the priority of the whole process.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::setpriority_process(None, NICE).unwrap_or_default();
}
