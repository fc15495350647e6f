//! A sink's thread: formats a batch as lines and writes them to a line target.
//!
//! Invariants:
//! * `ends` has one offset for each event in `buffer`, so a count of bytes is a count of events.
//! * While `torn`, the last byte written was not the end of an event: the next byte is a newline.
//! * Once `broken`, nothing is written.

use std::io::{self, Write};
use std::ops::Range;

use super::sharing::Sharing;
use super::{SinkError, SinkErrorKind};
use crate::context::contain::contain;
use crate::event::Batch;
use crate::format::Format;

/// A batch is written in pieces of about this size, so that 512 events of 256 KiB do not need one buffer of 128 MiB.
/// Batches of ordinary events are one piece, hence one write.
const WRITE_CHUNK: usize = 512 << 10;

/// The bytes that stay allocated after a burst. Twice a piece, or the last event of every full piece would make the
/// buffer grow again.
const MAX_KEPT_BYTES: usize = 2 * WRITE_CHUNK;

/// The offsets that stay allocated after a burst.
const MAX_KEPT_ENDS: usize = 1 << 12;

/// The destination of lines.
pub(super) trait LineTarget: Write {
    /// Called before each write: prepares for lines that end at these offsets, the first of which begins at `start`.
    fn prepare(&mut self, _start: usize, ends: &[usize]) -> io::Result<Allowance> {
        Ok(Allowance { lines: ends.len(), stream: StreamState::Same })
    }

    /// Returns who else may write to the destination.
    fn sharing(&self) -> Sharing {
        Sharing::default()
    }
}

/// What the next write may contain.
pub(super) struct Allowance {
    /// The number of lines, from the first; at least one.
    pub(super) lines: usize,
    pub(super) stream: StreamState,
}

/// Whether a destination is still the stream that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// The same stream, where the last write left it.
    Same,
    /// Another stream, which ends in the middle of a line if `torn`.
    New { torn: bool },
}

/// Writes batches as lines and always knows how many events are out.
pub(super) struct LineWriter<W> {
    out: W,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    torn: bool,
    written: u64,
    broken: Option<io::ErrorKind>,
}

impl<W: LineTarget> LineWriter<W> {
    /// Creates a writer whose stream ends in the middle of a line if `torn`.
    pub(super) fn new(out: W, torn: bool) -> Self {
        LineWriter { out, buffer: Vec::new(), ends: Vec::new(), torn, written: 0, broken: None }
    }

    /// Writes the events at `range`. The error's count is a position in the batch: the caller wrote the events before
    /// `range`.
    pub(super) fn write(
        &mut self,
        batch: &Batch,
        range: Range<usize>,
        format: &mut dyn Format,
    ) -> Result<(), SinkError> {
        if let Some(kind) = self.broken {
            return Err(SinkError::permanent(io::Error::from(kind)).with_delivered(range.start));
        }
        let mut next = range.start;
        while next < range.end {
            let formatted = self.fill(batch, next..range.end, format);
            let (events, sent) = self.send();
            next += events;
            self.shrink();
            sent.map_err(|error| self.failed(error).with_delivered(next))?;
            formatted.map_err(|panic| panic.with_delivered(next))?;
        }
        Ok(())
    }

    /// Ends a torn line, so that the output is whole lines.
    pub(super) fn flush(&mut self) -> Result<(), SinkError> {
        if self.broken.is_some() {
            return Ok(());
        }
        let ended = match self.torn {
            true => {
                let _lock = self.out.sharing().lock();
                self.end_torn_line()
            }
            false => Ok(()),
        };
        self.out.sharing().settle();
        ended.map_err(|error| self.failed(error))
    }

    /// Records whether the destination is another stream now.
    pub(super) fn record_state(&mut self, state: StreamState) {
        if let StreamState::New { torn } = state {
            self.torn = torn;
            self.broken = None;
        }
    }

    /// Whether the stream is broken: nothing is written until it is replaced.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether the last write ended in the middle of a line.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    pub(super) fn out(&self) -> &W {
        &self.out
    }

    pub(super) fn out_mut(&mut self) -> &mut W {
        &mut self.out
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Formats events until they fill a piece. If the format panics, the events before it are in the buffer, and the
    /// panic is the error.
    fn fill(&mut self, batch: &Batch, range: Range<usize>, format: &mut dyn Format) -> Result<(), SinkError> {
        self.buffer.clear();
        self.ends.clear();
        let formatted = contain(|| {
            for index in range {
                let record = batch.get(index).expect("the range is within the batch");
                format.format(&record, &mut self.buffer);
                self.ends.push(self.buffer.len());
                if self.buffer.len() >= WRITE_CHUNK {
                    return;
                }
            }
        });
        formatted.map_err(|panicked| {
            self.buffer.truncate(self.ends.last().copied().unwrap_or(0));
            SinkError::panicked(panicked)
        })
    }

    /// Writes the buffer; returns how many of its events are out: all of them unless there is an error.
    fn send(&mut self) -> (usize, io::Result<()>) {
        let mut events = 0;
        let mut lock = self.out.sharing().lock();
        while events < self.ends.len() {
            lock = lock.give_way();
            match self.send_from(events) {
                (out, Ok(())) => events = out,
                failed => return failed,
            }
        }
        (events, Ok(()))
    }

    /// Writes as much as the line target accepts at once, from this event on; returns how many are out then.
    fn send_from(&mut self, event: usize) -> (usize, io::Result<()>) {
        let start = event.checked_sub(1).map_or(0, |before| self.ends[before]);
        if start == self.buffer.len() {
            return (self.ends.len(), Ok(()));
        }
        let lines = match self.prepare(event, start) {
            Ok(lines) => lines,
            Err(error) => return (event, Err(error)),
        };
        let sharing = self.out.sharing();
        let lines = lines.min(sharing.fitting(start, &self.ends[event..]));
        let (mut sent, end) = (start, self.ends[event + lines - 1]);
        while sent < end {
            let piece = sharing.piece(&self.buffer[sent..end]);
            match write_some(&mut self.out, &self.buffer[sent..sent + piece]) {
                Ok(count) => {
                    sent += count;
                    self.written += count as u64;
                }
                Err(error) => return (self.record_progress(sent), Err(error)),
            }
        }
        (event + lines, Ok(()))
    }

    /// Returns how many of the events from this one on may be written at once. The target is then at the end of a line.
    fn prepare(&mut self, event: usize, start: usize) -> io::Result<usize> {
        let ended = self.end_torn_line();
        let Allowance { lines, stream } = self.out.prepare(start, &self.ends[event..])?;
        match stream {
            StreamState::Same => ended?,
            // If the line could not be ended in the old stream, it is ended there later, by who opens it next.
            StreamState::New { .. } => {
                self.record_state(stream);
                self.end_torn_line()?;
            }
        }
        Ok(lines)
    }

    /// Returns how many events `sent` bytes are, and records whether they end in the middle of one.
    fn record_progress(&mut self, sent: usize) -> usize {
        let whole = self.ends.partition_point(|&end| end <= sent);
        let boundary = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.torn = sent > boundary;
        // All but its newline is out, and ending the torn line writes that. Sending the event again would repeat it.
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
        if self.buffer.capacity() > MAX_KEPT_BYTES {
            self.buffer.clear();
            self.buffer.shrink_to(MAX_KEPT_BYTES);
        }
        if self.ends.capacity() > MAX_KEPT_ENDS {
            self.ends.clear();
            self.ends.shrink_to(MAX_KEPT_ENDS);
        }
    }

    fn failed(&mut self, error: io::Error) -> SinkError {
        let cause = error.kind();
        let error = classify(error);
        if error.kind() == SinkErrorKind::Permanent {
            self.broken = Some(cause);
        }
        error
    }
}

/// Makes one write that moves at least a byte.
fn write_some(out: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Permanent if the far end of this stream is closed. All other errors may pass: a disk gets room, a quota is raised, a
/// mount returns; those that do not pass end with the pipeline's retries.
pub(super) fn classify(error: io::Error) -> SinkError {
    match error.kind() {
        // The reader of a pipe or a FIFO, or the peer of a socket, has closed it.
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        // The file behind this handle no longer exists on its server: only a new handle helps.
        | io::ErrorKind::StaleNetworkFileHandle => SinkError::permanent(error),
        _ => SinkError::temporary(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::event::{Event, Level, Record};

    /// The message and a newline; panics on "poison".
    struct Plain;

    impl Format for Plain {
        fn format(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
            let message = record.message().to_string();
            out.extend_from_slice(message.as_bytes());
            assert_ne!(message, "poison");
            out.push(b'\n');
        }
    }

    /// Handles each write according to the script, then accepts everything.
    #[derive(Default)]
    struct Scripted {
        script: VecDeque<Result<usize, io::ErrorKind>>,
        out: Vec<u8>,
        largest: usize,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.largest = self.largest.max(bytes.len());
            let count = self.script.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.out.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl LineTarget for Scripted {}

    fn writer<const N: usize>(script: [Result<usize, io::ErrorKind>; N]) -> LineWriter<Scripted> {
        LineWriter::new(Scripted { script: script.into(), ..Scripted::default() }, false)
    }

    fn batch<const N: usize>(messages: [&str; N]) -> Batch {
        messages.into_iter().map(|message| Event::new(Level::Info, "t", message)).collect()
    }

    fn write(writer: &mut LineWriter<Scripted>, batch: &Batch) -> Result<(), SinkError> {
        writer.write(batch, 0..batch.len(), &mut Plain)
    }

    fn text(writer: &LineWriter<Scripted>) -> &str {
        std::str::from_utf8(&writer.out.out).unwrap()
    }

    const FULL: Result<usize, io::ErrorKind> = Err(io::ErrorKind::StorageFull);

    #[test]
    fn whatever_the_write_stops_at_a_retry_of_the_rest_gives_every_event_once() {
        let batch = batch(["one", "", "three", "four"]);
        let whole = "one\n\nthree\nfour\n";
        for stop in 0..whole.len() {
            // A write of zero bytes is an error of its own.
            let script = if stop == 0 { vec![FULL] } else { vec![Ok(stop), FULL] };
            let mut writer = writer([]);
            writer.out.script = script.into();
            let error = write(&mut writer, &batch).unwrap_err();
            assert_eq!(error.kind(), SinkErrorKind::Temporary, "at {stop}");
            assert_eq!(writer.written(), stop as u64);

            write(&mut writer, &batch.skip(error.delivered())).unwrap();
            let lines: Vec<_> =
                text(&writer).lines().filter(|line| ["one", "", "three", "four"].contains(line)).collect();
            assert_eq!(lines, ["one", "", "three", "four"], "at {stop}: {:?}", text(&writer));
            assert_eq!(writer.written(), writer.out.out.len() as u64);
        }
    }

    #[test]
    fn delivered_counts_the_events_that_are_wholly_out() {
        let batch = batch(["aa", "bb", "cc"]);
        for (sent, delivered) in [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 2), (8, 3)] {
            let error = write(&mut writer([Ok(sent), FULL]), &batch).unwrap_err();
            assert_eq!(error.delivered(), delivered, "after {sent} bytes");
        }
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_event() {
        let mut writer = writer([Ok(5), FULL, FULL]);
        assert_eq!(write(&mut writer, &batch(["first", "second"])).unwrap_err().delivered(), 1);
        assert_eq!(write(&mut writer, &batch(["second"])).unwrap_err().delivered(), 0);
        write(&mut writer, &batch(["second"])).unwrap();
        assert_eq!(text(&writer), "first\nsecond\n");

        let mut writer = self::writer([Ok(8), FULL]);
        assert_eq!(write(&mut writer, &batch(["first", "second"])).unwrap_err().delivered(), 1);
        writer.flush().unwrap();
        writer.flush().unwrap();
        assert_eq!(text(&writer), "first\nse\n");
    }

    #[test]
    fn an_interrupted_or_short_write_goes_on() {
        let mut writer = writer([Err(io::ErrorKind::Interrupted), Ok(2), Err(io::ErrorKind::Interrupted), Ok(1)]);
        write(&mut writer, &batch(["one", "two"])).unwrap();
        assert_eq!(text(&writer), "one\ntwo\n");
    }

    #[test]
    fn a_write_that_moves_nothing_is_a_temporary_error() {
        let error = write(&mut writer([Ok(0)]), &batch(["one"])).unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Temporary, 0));
    }

    #[test]
    fn a_stream_that_is_gone_is_not_written_to_again_until_replaced() {
        let mut writer = writer([Ok(4), Err(io::ErrorKind::BrokenPipe)]);
        let batch = batch(["one", "two"]);
        let error = write(&mut writer, &batch).unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 1));
        let error = write(&mut writer, &batch).unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Permanent, 0));
        assert_eq!(text(&writer), "one\n");

        writer.out = Scripted::default();
        writer.record_state(StreamState::New { torn: false });
        write(&mut writer, &batch).unwrap();
        assert_eq!(text(&writer), "one\ntwo\n");
        assert_eq!(writer.written(), 12);
    }

    #[test]
    fn a_panicking_format_loses_neither_the_events_before_it_nor_their_count() {
        let mut writer = writer([]);
        let batch = batch(["one", "poison", "three"]);
        let error = write(&mut writer, &batch).unwrap_err();
        assert_eq!((error.kind(), error.delivered()), (SinkErrorKind::Panic, 1));
        write(&mut writer, &batch.skip(2)).unwrap();
        assert_eq!(text(&writer), "one\nthree\n");
    }

    #[test]
    fn a_large_batch_goes_out_in_pieces_and_its_buffer_does_not_stay() {
        let long = "x".repeat(WRITE_CHUNK / 2 - 1);
        let batch = batch([long.as_str(); 5]);
        // Two events are a piece; the third piece fails.
        let mut writer = writer([Ok(usize::MAX), Ok(usize::MAX), FULL]);
        assert_eq!(write(&mut writer, &batch).unwrap_err().delivered(), 4);
        assert_eq!(writer.out.largest, WRITE_CHUNK);
        write(&mut writer, &batch.skip(4)).unwrap();
        assert_eq!(text(&writer).lines().count(), 5);

        write(&mut writer, &self::batch(["x".repeat(8 * WRITE_CHUNK).as_str()])).unwrap();
        assert!(writer.buffer.capacity() <= MAX_KEPT_BYTES);
    }
}
