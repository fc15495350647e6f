//! The caller's thread, once: what a spool is to be.

use std::path::PathBuf;
use std::time::Duration;

use crate::sink::Durability;

const DEFAULT_BYTES: u64 = 1 << 30;
const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);
const SEGMENTS: u64 = 16;
const MIN_SEGMENT_BYTES: u64 = 1 << 20;
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// Keeps the events of a pipeline on a disk until they are settled; for [`Pipeline::spool`](crate::Pipeline::spool).
///
/// Each batch is appended to a file before it is offered to the sink. While the sink takes what it gets, nothing is read back;
/// in an outage the events stay on the disk, however long that takes. What a process leaves, the next one delivers first, in
/// order, with the same ids.
///
/// # What survives
/// | | killed process | power cut, kernel crash |
/// |---|---|---|
/// | `Buffered` | every appended event | what the system wrote back by itself, and everything before the last flush |
/// | `SyncInterval` (default: 500 ms) | every appended event | everything that was appended so long before |
/// | `SyncEveryBatch` | every appended event | every appended event |
///
/// A flush and the shutdown wait for the disk in every mode. An event is appended within one flush interval; what was settled
/// shortly before a crash may be delivered again, with the same id.
///
/// # Files
/// Below the directory each sink has one of its name, and each process one in that, which it has locked. A logger that starts
/// takes over those of processes that have ended, of the sinks with the same names; what no sink takes over is reported
/// ([`Diagnostic::SpoolUnclaimed`](crate::error::Diagnostic::SpoolUnclaimed)). Directories have the mode 0700, files 0600. The format is described in `src/spool/layout.rs`.
///
/// # Memory
/// Beside the sink's share of [`Builder::memory_limit`](crate::Builder::memory_limit): at most 8 MiB that the disk may not have
/// yet, the batches of one append (about 1 MiB), and one record that is read.
#[derive(Clone, Debug)]
#[must_use = "a spool does nothing until a pipeline has it"]
pub struct Spool {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) also: Vec<String>,
    pub(crate) is_network_allowed: bool,
}

impl Spool {
    /// Creates a spool in this directory, which several pipelines and processes may share.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let durability = Durability::SyncInterval(DEFAULT_INTERVAL);
        Spool { dir: dir.into(), max_bytes: DEFAULT_BYTES, durability, also: Vec::new(), is_network_allowed: false }
    }

    /// Sets how many bytes the files may have. Default: 1 GiB. Range: 4 MiB or more. When they are full,
    /// [`Pipeline::when_full`](crate::Pipeline::when_full) decides: the oldest events are dropped (`spool_full`), or the new
    /// ones wait in memory.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets when the disk is waited for, apart from a flush and the shutdown. Default: every 500 ms
    /// ([`Durability::SyncInterval`]).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Also takes over what a sink of this name has left: the one this sink had before.
    pub fn also(mut self, sink: &str) -> Self {
        self.also.push(sink.to_owned());
        self
    }

    /// Allows a directory on NFS or SMB. Default: the logger does not start with one, as far as the system tells (Linux and
    /// macOS): there, what was synchronized may not be there after a crash of the other machine, and two processes may get one
    /// lock.
    pub fn allow_network_file_system(mut self) -> Self {
        self.is_network_allowed = true;
        self
    }

    /// The size of a file: of the spool's bytes a sixteenth, at least 1 and at most 64 MiB.
    pub(super) fn segment_bytes(&self) -> u64 {
        (self.max_bytes / SEGMENTS).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)
    }

    /// The fewest bytes of a spool: four files.
    pub(crate) const MIN_BYTES: u64 = 4 * MIN_SEGMENT_BYTES;

    /// The directory of a sink. A name that is none of a file is changed so that it is, and no other's.
    pub(super) fn dir_of(&self, sink: &str) -> PathBuf {
        let mut name = String::new();
        for byte in sink.bytes() {
            let is_plain =
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || byte == b'.' && !name.is_empty();
            if is_plain { name.push(byte.into()) } else { name += &format!("%{byte:02x}") }
        }
        self.dir.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_directory_of_its_own() {
        let spool = Spool::new("s");
        for (sink, dir) in [
            ("http", "s/http"),
            ("a/b", "s/a%2fb"),
            ("..", "s/%2e."),
            ("a.b", "s/a.b"),
            ("ä", "s/%c3%a4"),
            ("%", "s/%25"),
        ] {
            assert_eq!(spool.dir_of(sink), PathBuf::from(dir));
        }
    }

    #[test]
    fn a_file_is_a_sixteenth_within_bounds() {
        for (bytes, segment) in [(4 << 20, 1 << 20), (64 << 20, 4 << 20), (1 << 30, 64 << 20), (1 << 40, 64 << 20)] {
            assert_eq!(Spool::new("s").max_bytes(bytes).segment_bytes(), segment);
        }
    }
}
