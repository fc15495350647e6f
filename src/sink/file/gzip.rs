//! The upkeep's thread: a rolled file becomes a compressed one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::folder::Folder;
use super::names::{Place, State};
use super::open::{claim, stands_at, sync_folder};

/// What the command `nice` gives if it is told nothing: a tenth of a processor that somebody else wants all of. With the
/// lowest one files would pile up on a machine that is always busy.
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
    // Held to the end: it keeps others from the partial file, too.
    if !claim(&source) || !stands_at(&plain, &source) {
        return Ok(false);
    }
    if source.metadata()?.len() == 0 {
        // Begun where a compressed file stood, and given up there: that one has all lines.
        fs::remove_file(&plain)?;
        return Ok(true);
    }
    let written = write(&source, &partial).and_then(|()| fs::rename(&partial, &compressed));
    if let Err(error) = written {
        // What is half done takes room that somebody may be short of.
        fs::remove_file(&partial).unwrap_or_default();
        return Err(error);
    }
    // Its name is to be on the disk before the only other copy goes.
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

/// To be locked for one alone, some file systems want it to be writable (NFS).
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path))
}

/// For nobody else until it is known who may read it.
fn create(path: &Path) -> io::Result<File> {
    // Made anew, not emptied: a link of this name would lead to somebody else's file.
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
        // Only root may give a file away; whoever is not owns the file already, or may only read it.
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            fchown(copy, Some(metadata.uid()), Some(metadata.gid())).unwrap_or_default();
        }
    }
    copy.set_permissions(metadata.permissions())
}

/// From now on others that want the processor have nearly all of it.
pub(super) fn step_back() {
    // Elsewhere than on Linux this is the priority of the whole process.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::setpriority_process(None, NICE).unwrap_or_default();
}
