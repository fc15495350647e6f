//! A sink's thread: standard output and standard error, past the buffers of `std`.

#[cfg(unix)]
use std::fs::File;
use std::io::{self, IsTerminal, Write};

use super::sharing::Sharing;

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        }
    }

    /// The number of columns, if the stream is a terminal.
    #[cfg(feature = "pretty")]
    pub(super) fn columns(self) -> Option<usize> {
        let size = match self {
            Stream::Stdout => terminal_size::terminal_size_of(io::stdout()),
            Stream::Stderr => terminal_size::terminal_size_of(io::stderr()),
        };
        size.map(|(terminal_size::Width(columns), _)| columns.into())
    }

    /// Opens a second descriptor of the stream.
    #[cfg(unix)]
    pub(super) fn duplicate(self) -> io::Result<File> {
        use std::os::fd::AsFd;

        let duplicate = match self {
            Stream::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Stream::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        duplicate.map(File::from)
    }

    /// Opens the stream for writing.
    #[cfg(unix)]
    pub(super) fn open(self) -> io::Result<(Box<dyn Write + Send>, Sharing)> {
        let file = self.duplicate()?;
        let sharing = Sharing::of(&file);
        Ok((Box::new(file), sharing))
    }

    #[cfg(not(unix))]
    pub(super) fn open(self) -> io::Result<(Box<dyn Write + Send>, Sharing)> {
        let stream: Box<dyn Write + Send> = match self {
            Stream::Stdout => Box::new(io::stdout()),
            Stream::Stderr => Box::new(io::stderr()),
        };
        Ok((stream, Sharing::default()))
    }

    /// Whether a write would not wait for the reader. True if that cannot be found out.
    #[cfg(all(unix, target_pointer_width = "64", not(target_os = "redox")))]
    pub(super) fn accepts_bytes(self) -> bool {
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let (stdout, stderr) = (io::stdout(), io::stderr());
        let descriptor = match self {
            Stream::Stdout => stdout.as_fd(),
            Stream::Stderr => stderr.as_fd(),
        };
        poll(&mut [PollFd::new(descriptor, PollFlags::POLLOUT)], PollTimeout::ZERO).map_or(true, |ready| ready > 0)
    }

    #[cfg(all(unix, not(all(target_pointer_width = "64", not(target_os = "redox")))))]
    pub(super) fn accepts_bytes(self) -> bool {
        true
    }
}
