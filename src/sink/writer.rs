//! A thread the sink owns: a batch becomes lines, and the lines become bytes that are out.
//!
//! Invariants:
//! * `ends` holds one offset for each event in `buffer`, so that a count of bytes is a count of events;
//! * while `torn`, the last byte that went out was not the end of an event: the next one is a newline;
//! * once `gone`, nothing is written.

use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ErrorKind, SinkError};
use crate::event::Batch;
use crate::format::Format;

/// A batch is written in pieces of about this size, so that 512 events of 256 KiB do not become one buffer of 128 MiB.
/// Batches of ordinary events are one piece, hence one write.
const PIECE: usize = 512 << 10;

/// What stays allocated after a burst. Twice a piece, or the last event of every full piece would make it grow again.
const KEPT_BYTES: usize = 2 * PIECE;

/// How many offsets stay allocated after a burst.
const KEPT_ENDS: usize = 1 << 12;

/// Writes batches as lines and knows, whatever happens, how many events are out.
pub(super) struct LineWriter<W> {
    out: W,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    torn: bool,
    written: u64,
    gone: Option<io::ErrorKind>,
}

impl<W: Write> LineWriter<W> {
    /// A writer whose stream ends in the middle of a line if `torn`.
    pub(super) fn new(out: W, torn: bool) -> Self {
        LineWriter { out, buffer: Vec::new(), ends: Vec::new(), torn, written: 0, gone: None }
    }

    /// Writes the events at `range`. The error's count is a position in the batch: the events before `range` are the
    /// caller's, who wrote them.
    pub(super) fn write(
        &mut self,
        batch: &Batch,
        range: Range<usize>,
        format: &mut dyn Format,
    ) -> Result<(), SinkError> {
        if let Some(kind) = self.gone {
            return Err(SinkError::permanent(io::Error::from(kind)).delivered(range.start));
        }
        let mut next = range.start;
        while next < range.end {
            let formatted = self.fill(batch, next..range.end, format);
            let (events, sent) = self.send();
            next += events;
            self.shrink();
            sent.map_err(|error| self.failed(error).delivered(next))?;
            formatted.map_err(|panic| panic.delivered(next))?;
        }
        Ok(())
    }

    /// Ends a torn line, so that what is out is whole lines.
    pub(super) fn flush(&mut self) -> Result<(), SinkError> {
        if self.gone.is_some() {
            return Ok(());
        }
        self.end_torn_line().map_err(|error| self.failed(error))
    }

    /// Goes on with another stream. The total of bytes stays.
    pub(super) fn replace(&mut self, out: W, torn: bool) {
        self.out = out;
        self.torn = torn;
        self.gone = None;
    }

    pub(super) fn out(&self) -> &W {
        &self.out
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Formats events until they make a piece. If the format panics, those before are in the buffer, and the panic is
    /// the error.
    fn fill(&mut self, batch: &Batch, range: Range<usize>, format: &mut dyn Format) -> Result<(), SinkError> {
        self.buffer.clear();
        self.ends.clear();
        let formatted = catch_unwind(AssertUnwindSafe(|| {
            for index in range {
                let record = batch.get(index).expect("the range is within the batch");
                format.write(&record, &mut self.buffer);
                self.ends.push(self.buffer.len());
                if self.buffer.len() >= PIECE {
                    return;
                }
            }
        }));
        formatted.map_err(|payload| {
            self.buffer.truncate(self.ends.last().copied().unwrap_or(0));
            SinkError::panicked(payload)
        })
    }

    /// Writes the buffer; returns how many of its events are out, all of them unless there is an error.
    fn send(&mut self) -> (usize, io::Result<()>) {
        if self.buffer.is_empty() {
            return (self.ends.len(), Ok(()));
        }
        if let Err(error) = self.end_torn_line() {
            return (0, Err(error));
        }
        let mut sent = 0;
        while sent < self.buffer.len() {
            match write_some(&mut self.out, &self.buffer[sent..]) {
                Ok(count) => {
                    sent += count;
                    self.written += count as u64;
                }
                Err(error) => return (self.stopped_at(sent), Err(error)),
            }
        }
        (self.ends.len(), Ok(()))
    }

    /// How many events `sent` bytes are, and whether they end in the middle of one.
    fn stopped_at(&mut self, sent: usize) -> usize {
        let whole = self.ends.partition_point(|&end| end <= sent);
        let boundary = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.torn = sent > boundary;
        // All but its newline is out, and ending the torn line writes that. To send the event again would repeat it.
        let lacks_newline = self.torn && self.ends.get(whole) == Some(&(sent + 1)) && self.buffer[sent] == b'\n';
        whole + usize::from(lacks_newline)
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.torn {
            self.written += write_some(&mut self.out, b"\n")? as u64;
            self.torn = false;
        }
        Ok(())
    }

    fn shrink(&mut self) {
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES);
        }
        if self.ends.capacity() > KEPT_ENDS {
            self.ends.clear();
            self.ends.shrink_to(KEPT_ENDS);
        }
    }

    fn failed(&mut self, error: io::Error) -> SinkError {
        let cause = error.kind();
        let error = classify(error);
        if error.kind() == ErrorKind::Permanent {
            self.gone = Some(cause);
        }
        error
    }
}

/// One write that moves at least a byte.
fn write_some(out: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Permanent if the far end of this stream is gone. All else may pass: a disk gets room, a quota is raised, a mount
/// comes back; and what does not pass ends with the pipeline's patience.
pub(super) fn classify(error: io::Error) -> SinkError {
    match error.kind() {
        // The reader of a pipe or a FIFO, or the peer of a socket, has left.
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        // The file behind this handle no longer exists on its server: only a new handle helps.
        | io::ErrorKind::StaleNetworkFileHandle => SinkError::permanent(error),
        _ => SinkError::temporary(error),
    }
}
