//! A sink's thread: which other writers a descriptor has, and how lines stay whole among theirs.
//!
//! Invariants:
//! * On a pipe, a FIFO, a socket and a terminal, a line of at most [`PIPE_BUF`] bytes is in one write of at most
//!   [`PIPE_BUF`] bytes, which no other process can cut.
//! * While lines are written to a stream that `println!` or `eprintln!` may use, this thread has their locks, in one
//!   order. A lock that the application never releases is not waited for.

use std::fs::File;
#[cfg(unix)]
use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use super::std_lock::{StdLockGuard, std_lock};
#[cfg(unix)]
use super::stream::Stream;

/// The longest write to a pipe that other writers cannot cut: 4,096 bytes on Linux, the 512 bytes of POSIX elsewhere.
pub(crate) const PIPE_BUF: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 4096 } else { 512 };

/// How long the locks are kept before other writers get a turn.
const TURN: Duration = Duration::from_millis(10);

/// Who else may write to an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    /// Whether a write of more than [`PIPE_BUF`] bytes can be cut by another writer.
    in_pieces: bool,
    /// Whether the file is also standard output, and whether it is also standard error.
    stdout: bool,
    stderr: bool,
}

impl Sharing {
    /// Asks the system once what the file is. Regular files and `/dev/null` need no care: each write is atomic there.
    #[cfg(unix)]
    pub(super) fn of(file: &File) -> Self {
        use std::io::IsTerminal;
        use std::os::unix::fs::{FileTypeExt, MetadataExt};

        let Ok(own) = file.metadata() else { return Sharing::default() };
        let kind = own.file_type();
        let is_null = || std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == own.rdev());
        if !(kind.is_fifo() || kind.is_socket() || kind.is_char_device() && !is_null()) {
            return Sharing::default();
        }
        let is = |stream: Stream| {
            // A terminal has several names.
            file.is_terminal() && stream.is_terminal()
                || stream.duplicate().and_then(|stream| stream.metadata()).is_ok_and(|stream| {
                    (stream.dev(), stream.ino(), stream.rdev()) == (own.dev(), own.ino(), own.rdev())
                })
        };
        Sharing { in_pieces: true, stdout: is(Stream::Stdout), stderr: is(Stream::Stderr) }
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &File) -> Self {
        Sharing::default()
    }

    /// Returns how many of the lines that end at these offsets belong in one write; at least one.
    pub(super) fn fitting(self, start: usize, ends: &[usize]) -> usize {
        if self.in_pieces { ends.partition_point(|&end| end - start <= PIPE_BUF).max(1) } else { ends.len() }
    }

    /// Returns how many of these bytes belong in one write: an event of several lines is cut between them only.
    pub(super) fn piece(self, bytes: &[u8]) -> usize {
        if !self.in_pieces || bytes.len() <= PIPE_BUF {
            return bytes.len();
        }
        let (head, tail) = bytes.split_at(PIPE_BUF);
        match head.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None => tail.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |newline| PIPE_BUF + newline + 1),
        }
    }

    /// Makes `println!` and `eprintln!` wait, if they use this file.
    pub(super) fn lock(self) -> SharingLock {
        SharingLock::acquire(self)
    }

    /// Waits, for a moment at most, until `println!` and `eprintln!` need not wait any more.
    pub(super) fn settle(self) {
        #[cfg(unix)]
        {
            if self.stdout {
                std_lock(Stream::Stdout).settle();
            }
            if self.stderr {
                std_lock(Stream::Stderr).settle();
            }
        }
    }
}

/// The locks of the standard streams that a file is, as far as the application releases them.
pub(super) struct SharingLock {
    sharing: Sharing,
    since: Option<Instant>,
    #[cfg(unix)]
    _locks: [Option<StdLockGuard>; 2],
}

impl SharingLock {
    fn acquire(sharing: Sharing) -> Self {
        #[cfg(unix)]
        let _locks = [(sharing.stdout, Stream::Stdout), (sharing.stderr, Stream::Stderr)]
            .map(|(shares, stream)| if shares { std_lock(stream).acquire() } else { None });
        let since = (sharing.stdout || sharing.stderr).then(Instant::now);
        SharingLock {
            sharing,
            since,
            #[cfg(unix)]
            _locks,
        }
    }

    /// Gives other writers a turn if the locks are held for long. Called between two lines.
    pub(super) fn give_way(self) -> Self {
        match self.since {
            Some(since) if since.elapsed() >= TURN => {
                let sharing = self.release();
                SharingLock::acquire(sharing)
            }
            _ => self,
        }
    }

    fn release(self) -> Sharing {
        self.sharing
    }
}

/// Writes whole lines to standard error, past its buffers and whatever else is written there.
///
/// Each line has at most [`PIPE_BUF`] bytes. An error means that standard error is closed or full: there is no place
/// left to report that.
#[cfg(unix)]
pub(crate) fn write_stderr(lines: &[u8]) {
    use std::io::Write;

    let Ok(mut file) = Stream::Stderr.duplicate() else { return };
    let sharing = Sharing::of(&file);
    let lock = sharing.lock();
    let mut rest = lines;
    while !rest.is_empty() {
        match file.write(&rest[..sharing.piece(rest)]) {
            Ok(count) if count > 0 => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            _ => break,
        }
    }
    drop(lock);
    sharing.settle();
}

#[cfg(not(unix))]
pub(crate) fn write_stderr(lines: &[u8]) {
    use std::io::Write;

    std::io::stderr().write_all(lines).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Sharing = Sharing { in_pieces: true, stdout: false, stderr: false };

    #[test]
    fn as_many_lines_as_fit_are_one_write_and_a_longer_line_is_one_by_itself() {
        let ends = [10, PIPE_BUF, PIPE_BUF + 1, 3 * PIPE_BUF];
        assert_eq!(SHARED.fitting(0, &ends), 2);
        assert_eq!(SHARED.fitting(PIPE_BUF, &ends[2..]), 1);
        assert_eq!(SHARED.fitting(PIPE_BUF + 1, &ends[3..]), 1);
        assert_eq!(Sharing::default().fitting(0, &ends), 4);
    }

    #[test]
    fn an_event_of_several_lines_is_cut_between_them() {
        let bytes = |lengths: &[usize]| {
            lengths.iter().flat_map(|&length| [vec![b'x'; length - 1], vec![b'\n']].concat()).collect::<Vec<_>>()
        };
        assert_eq!(SHARED.piece(&bytes(&[PIPE_BUF])), PIPE_BUF);
        assert_eq!(SHARED.piece(&bytes(&[100, 200, PIPE_BUF])), 300);
        assert_eq!(SHARED.piece(&bytes(&[PIPE_BUF + 5, 200])), PIPE_BUF + 5);
        assert_eq!(SHARED.piece(&vec![b'x'; 2 * PIPE_BUF]), 2 * PIPE_BUF);
        assert_eq!(Sharing::default().piece(&bytes(&[100, PIPE_BUF])), 100 + PIPE_BUF);
    }
}
