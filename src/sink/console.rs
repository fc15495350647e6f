//! A sink's thread: lines on standard output and standard error.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::SinkError;
use super::lines::{LineTarget, LineWriter};
use super::sharing::Sharing;
use super::stream::Stream;
use super::thread::{Blocking, BlockingSink, sink_on_its_thread};
use crate::event::{Batch, Level};
#[cfg(feature = "pretty")]
use crate::format::Pretty;
use crate::format::{Format, Text};

/// Writes events to standard output, standard error or both.
///
/// By default it writes [`Text`], in color if [`Colors::Auto`] finds a terminal that wants it.
///
/// On Unix it writes to a duplicate of the descriptor. A line begun with `print!` stays in the standard library's buffer
/// and may appear after later events. On other systems it writes through [`std::io::stdout`]; if a write fails halfway
/// there, counts may be one event off.
///
/// # Other writers
/// On Unix, lines stay whole beside `println!`, `eprintln!`, other loggers, child processes and the logger's own reports,
/// also if standard output and standard error are the same stream (`2>&1`):
///
/// | stream | a line of at most `PIPE_BUF` bytes (4,096 on Linux, 512 elsewhere) | a longer line |
/// |---|---|---|
/// | pipe, FIFO | whole, with any other writers | whole among the writers of this process; another process can cut it |
/// | socket, terminal, other device | as on a pipe; another process can cut it only if the system takes a part of it | as on a pipe |
/// | regular file | whole if it is open for appending or shares its offset (`>>`, `2>&1`); `eprintln!` writes a line in parts, which an event may separate | the same |
/// | `/dev/null` | | |
///
/// Except on files and `/dev/null`, the locks of [`std::io::stdout`] and [`std::io::stderr`] are held while lines are
/// written, for about 10 ms at a time unless the reader stops. If the application holds one of these locks for more than
/// 100 ms while the stream accepts bytes, the sink writes without it until it is released. Nothing is lost, but a line
/// that the application writes in parts may be cut. A panic message of more than 512 bytes and a backtrace are written
/// by the standard library without the lock. If the process ends while the sink writes, the standard library does not
/// print a text without a newline that is still in its buffer: shut the logger down before.
///
/// In a test, use `testing::TestConsole`: `cargo test` does not capture this sink.
///
/// # Errors
/// When the reader of the pipe has exited (`service | head`), the error is permanent, and so is every later one;
/// nothing panics. A program that restores the default action of SIGPIPE (Rust ignores it) is killed by the signal
/// instead. Other errors are temporary.
///
/// # Blocking
/// The sink writes on its own thread, see [`Blocking`]: a pipe or a terminal that is not read blocks that thread and
/// nothing else. If another program made the descriptor non-blocking, the thread retries every millisecond.
///
/// # Examples
/// ```
/// use logweir::Level;
/// use logweir::sink::{Colors, ConsoleSink};
///
/// let sink = ConsoleSink::stdout().stderr_from(Level::Warn).colors(Colors::Never);
/// ```
#[must_use = "a sink does nothing until a logger has it"]
#[derive(Debug)]
pub struct ConsoleSink {
    thread: Blocking<ConsoleWriter>,
}

/// Whether a [`ConsoleSink`] writes its default format in color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Colors {
    /// In color if the stream is a terminal, `NO_COLOR` is unset or empty (<https://no-color.org>) and `TERM` is not
    /// `dumb`; `start()` checks this once for each stream. The terminal must understand escape sequences, as all do
    /// except the old Windows console.
    #[default]
    Auto,
    /// Always, whatever the stream is.
    Always,
    /// Never.
    Never,
}

impl ConsoleSink {
    /// Creates a sink that writes to standard output.
    pub fn stdout() -> Self {
        ConsoleSink::to(Stream::Stdout)
    }

    /// Creates a sink that writes to standard error.
    pub fn stderr() -> Self {
        ConsoleSink::to(Stream::Stderr)
    }

    fn to(stream: Stream) -> Self {
        let console = ConsoleWriter {
            route: Route { below: stream, stderr_from: None },
            colors: Colors::default(),
            lines: ConsoleFormat::One,
            format: None,
            stdout: None,
            stderr: None,
        };
        ConsoleSink { thread: Blocking::new(console).name("logweir-console") }
    }

    /// Sends events of this level and above to standard error, whichever stream the others use. Default: all use the
    /// same stream.
    ///
    /// Each stream keeps its order. On a terminal that shows both, the order between them is also kept.
    pub fn stderr_from(self, level: Level) -> Self {
        self.configure(|console| console.route.stderr_from = Some(level))
    }

    /// Makes [`Pretty`](crate::format::Pretty) the default format: several lines per event, in the width that the
    /// terminal has at `start()`, or 100 columns if there is no terminal. Needs the feature `pretty`.
    ///
    /// # Examples
    /// ```
    /// use logweir::sink::ConsoleSink;
    ///
    /// let sink = ConsoleSink::stderr().pretty();
    /// ```
    #[cfg(feature = "pretty")]
    pub fn pretty(self) -> Self {
        self.configure(|console| console.lines = ConsoleFormat::Several)
    }

    /// Sets how events become bytes. Default: [`Text`]. [`colors`](ConsoleSink::colors) applies to the default only.
    pub fn format(self, format: impl Format) -> Self {
        self.configure(|console| console.format = Some(Box::new(format)))
    }

    /// Sets whether the default format is in color. Default: [`Colors::Auto`].
    pub fn colors(self, colors: Colors) -> Self {
        self.configure(|console| console.colors = colors)
    }

    fn configure(mut self, set: impl FnOnce(&mut ConsoleWriter)) -> Self {
        // After the sink was opened by hand, its writer is on the thread and cannot be configured.
        if let Some(console) = self.thread.unopened_mut() {
            set(console);
        }
        self
    }
}

sink_on_its_thread!(ConsoleSink, timeout: Duration::from_secs(1));

#[derive(Clone, Copy, Debug)]
struct Route {
    below: Stream,
    stderr_from: Option<Level>,
}

impl Route {
    fn stream(self, level: Level) -> Stream {
        if self.stderr_from.is_some_and(|from| level >= from) { Stream::Stderr } else { self.below }
    }

    /// The end and the stream of the run of events that starts at `start` and uses one stream.
    fn run(self, batch: &Batch, start: usize) -> Option<(usize, Stream)> {
        let mut streams = (start..batch.len()).filter_map(|index| Some(self.stream(batch.get(index)?.level())));
        let stream = streams.next()?;
        Some((start + 1 + streams.take_while(|&other| other == stream).count(), stream))
    }
}

/// How many lines an event has in the default format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConsoleFormat {
    One,
    #[cfg(feature = "pretty")]
    Several,
}

struct ConsoleWriter {
    route: Route,
    colors: Colors,
    lines: ConsoleFormat,
    /// None: each stream's own.
    format: Option<Box<dyn Format>>,
    stdout: Option<ConsoleStream>,
    stderr: Option<ConsoleStream>,
}

struct ConsoleStream {
    lines: LineWriter<ConsoleOutput>,
    /// One per stream: only one of the streams may be a terminal.
    format: Box<dyn Format>,
}

impl ConsoleStream {
    fn open(stream: Stream, colors: Colors, lines: ConsoleFormat) -> Result<Self, SinkError> {
        let (out, sharing) = stream.open().map_err(|source| SinkError::permanent(ConsoleError { stream, source }))?;
        Ok(ConsoleStream {
            lines: LineWriter::new(ConsoleOutput { out, sharing }, false),
            format: lines.format(colors.on(stream), stream),
        })
    }
}

impl ConsoleFormat {
    #[cfg_attr(not(feature = "pretty"), expect(unused_variables, reason = "only `Pretty` has a width"))]
    fn format(self, colors: bool, stream: Stream) -> Box<dyn Format> {
        match self {
            ConsoleFormat::One => Box::new(Text::new().colors(colors)),
            #[cfg(feature = "pretty")]
            ConsoleFormat::Several => {
                let format = Pretty::new().colors(colors);
                Box::new(stream.columns().into_iter().fold(format, Pretty::width))
            }
        }
    }
}

impl BlockingSink for ConsoleWriter {
    fn open(&mut self) -> Result<(), SinkError> {
        if self.route.below == Stream::Stdout {
            self.stdout = Some(ConsoleStream::open(Stream::Stdout, self.colors, self.lines)?);
        }
        if self.route.below == Stream::Stderr || self.route.stderr_from.is_some() {
            self.stderr = Some(ConsoleStream::open(Stream::Stderr, self.colors, self.lines)?);
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        // Run by run: the delivered events are the beginning of the batch, whichever stream fails.
        let mut start = 0;
        while let Some((end, stream)) = self.route.run(batch, start) {
            let output = match stream {
                Stream::Stdout => self.stdout.as_mut(),
                Stream::Stderr => self.stderr.as_mut(),
            };
            let ConsoleStream { lines, format } = output.expect("`open` opened every stream the route names");
            lines.write(batch, start..end, &mut **self.format.as_mut().unwrap_or(format))?;
            start = end;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        [&mut self.stdout, &mut self.stderr].into_iter().flatten().try_for_each(|stream| stream.lines.flush())
    }

    fn written_bytes(&self) -> u64 {
        [&self.stdout, &self.stderr].into_iter().flatten().map(|stream| stream.lines.written()).sum()
    }
}

impl fmt::Debug for ConsoleWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("route", &self.route).field("colors", &self.colors).finish_non_exhaustive()
    }
}

impl Colors {
    fn on(self, stream: Stream) -> bool {
        match self {
            Colors::Always => true,
            Colors::Never => false,
            Colors::Auto => {
                stream.is_terminal() && wanted(env::var_os("NO_COLOR").as_deref(), env::var_os("TERM").as_deref())
            }
        }
    }
}

fn wanted(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// An open stream. Waits if another program made it non-blocking.
struct ConsoleOutput {
    out: Box<dyn Write + Send>,
    sharing: Sharing,
}

impl Write for ConsoleOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
                written => {
                    // A descriptor has nothing to flush; `Stdout` has, if the format does not end in a newline.
                    let count = written?;
                    self.out.flush()?;
                    return Ok(count);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl LineTarget for ConsoleOutput {
    fn sharing(&self) -> Sharing {
        self.sharing
    }
}

#[derive(Debug)]
struct ConsoleError {
    stream: Stream,
    source: io::Error,
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stream {
            Stream::Stdout => "cannot use standard output",
            Stream::Stderr => "cannot use standard error",
        })
    }
}

impl Error for ConsoleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    /// Is not ready twice before each byte.
    struct Busy(u32);

    impl Write for Busy {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0.is_multiple_of(3) { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_is_not_ready_is_waited_for() {
        let mut lines = LineWriter::new(ConsoleOutput { out: Box::new(Busy(0)), sharing: Sharing::default() }, false);
        let batch: Batch = [Event::new(Level::Info, "t", "m")].into_iter().collect();
        lines.write(&batch, 0..1, &mut Text::new()).unwrap();
        assert!(lines.written() > 1);
    }

    #[test]
    fn no_color_counts_unless_empty_and_a_dumb_terminal_gets_no_colours() {
        let wanted =
            |no_color: Option<&str>, term: Option<&str>| super::wanted(no_color.map(OsStr::new), term.map(OsStr::new));
        assert!(wanted(None, Some("xterm")));
        assert!(wanted(None, None));
        assert!(wanted(Some(""), None));
        assert!(!wanted(Some("0"), Some("xterm")));
        assert!(!wanted(None, Some("dumb")));
    }

    #[test]
    fn a_batch_splits_into_runs_of_events_that_go_one_way() {
        use Level::{Error, Info, Warn};
        let batch: Batch =
            [Info, Info, Warn, Error, Info].map(|level| Event::new(level, "t", "m")).into_iter().collect();
        let runs = |route: Route| {
            let mut start = 0;
            std::iter::from_fn(|| {
                let (end, stream) = route.run(&batch, start)?;
                start = end;
                Some((end, stream))
            })
            .collect::<Vec<_>>()
        };
        let split = Route { below: Stream::Stdout, stderr_from: Some(Warn) };
        assert_eq!(runs(split), [(2, Stream::Stdout), (4, Stream::Stderr), (5, Stream::Stdout)]);
        assert_eq!(runs(Route { stderr_from: None, ..split }), [(5, Stream::Stdout)]);
    }
}
