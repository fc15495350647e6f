//! A service thread: the maintenance thread compresses a rolled file.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

use super::directory::LogDir;
use super::open::{copy_owner, is_torn};
use super::pattern::{FileKey, FileKind};
use crate::fs::{LockedFile, sync_dir};

/// The default of the command `nice`: a tenth of a processor that another process uses fully. With the lowest priority,
/// files would pile up on a machine that is always busy.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NICE: i32 = 10;

const CHUNK: usize = 256 << 10;

/// The subfield of a gzip header's extra field (RFC 1952, 2.3.1.1) that tells when the file was begun: its two
/// identifying bytes and its length, before nanoseconds since the Unix epoch.
const BEGUN: [u8; 4] = [b'L', b'W', 8, 0];

/// Compresses the file and deletes it.
pub(super) fn compress(dir: &LogDir, key: FileKey) -> io::Result<()> {
    let [plain, partial, compressed] =
        [FileKind::Plain, FileKind::Partial, FileKind::Compressed].map(|kind| dir.file(key, kind));
    // Held to the end: it also keeps other processes from the partial file.
    let source = LockedFile::at(&plain)?;
    if source.metadata()?.len() == 0 {
        // There may be a compressed file, which has all lines.
        return fs::remove_file(&plain);
    }
    let written = write(&source, is_torn(&plain)?, &partial).and_then(|()| sync_dir(dir.path()));
    if let Err(error) = written.and_then(|()| fs::rename(&partial, &compressed)) {
        // A partial file uses disk space that may be short.
        fs::remove_file(&partial).unwrap_or_default();
        return Err(error);
    }
    // At once, so that hardly a reader finds the lines in both. If only this step survives a power cut, the whole copy
    // still has its other name.
    fs::remove_file(&plain)?;
    sync_dir(dir.path())
}

/// Takes care of a partial file whose source was deleted: renames it if it is whole, or else deletes it.
pub(super) fn recover(dir: &LogDir, key: FileKey, partial: &Path) -> io::Result<()> {
    let file = BufReader::with_capacity(CHUNK, File::open(partial)?);
    match io::copy(&mut GzDecoder::new(file), &mut io::sink()) {
        Ok(_) => fs::rename(partial, dir.file(key, FileKind::Compressed)),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                fs::remove_file(partial)
            }
            _ => Err(error),
        },
    }
}

/// Returns when the lines of a compressed file were begun, if its header tells.
pub(super) fn begun(compressed: &Path) -> Option<Duration> {
    let decoder = GzDecoder::new(File::open(compressed).ok()?);
    let nanos = decoder.header()?.extra()?.strip_prefix(&BEGUN)?.first_chunk()?;
    Some(Duration::from_nanos(u64::from_le_bytes(*nanos)))
}

/// Writes the copy. A line that was torn by a crash is ended in it: the lines of the next file follow when all are read
/// together.
fn write(source: &File, is_torn: bool, partial: &Path) -> io::Result<()> {
    let metadata = source.metadata()?;
    let out = create(partial)?;
    copy_owner(&out, &metadata);
    // Without permissions of its own, a file system gives all files the same.
    out.set_permissions(metadata.permissions()).unwrap_or_default();
    let modified = metadata.modified()?;
    let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut encoder = GzBuilder::new()
        .mtime(seconds.try_into().unwrap_or(0))
        .extra(begun_field(&metadata))
        .write(BufWriter::with_capacity(CHUNK, out), Compression::default());
    io::copy(&mut BufReader::with_capacity(CHUNK, source), &mut encoder)?;
    if is_torn {
        encoder.write_all(b"\n")?;
    }
    let mut out = encoder.finish()?;
    out.flush()?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    out.set_modified(modified)?;
    out.sync_all()
}

fn begun_field(metadata: &Metadata) -> Vec<u8> {
    let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanos = created.and_then(|since| u64::try_from(since.as_nanos()).ok());
    nanos.map_or(Vec::new(), |nanos| [&BEGUN[..], &nanos.to_le_bytes()].concat())
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

/// Lowers this thread's priority: from now on other threads get nearly all of the processor.
pub(super) fn lower_priority() {
    // Outside Linux this is the priority of the whole process.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::setpriority_process(None, NICE).unwrap_or_default();
}
