//! A sink's thread: prints events where `cargo test` captures them.

use std::fmt;
use std::time::Duration;

use super::SinkError;
use super::thread::{Blocking, BlockingSink, sink_on_its_thread};
use crate::context::contain::contain;
use crate::event::Batch;
use crate::format::{Format, Text};

/// Prints events where `cargo test` captures them: a test that passes is quiet, one that fails shows its log.
///
/// A [`ConsoleSink`](crate::sink::ConsoleSink) writes to standard output itself, which the test harness cannot capture.
/// This sink prints with [`print!`] on a thread that the test's thread starts, and the harness captures what such threads
/// print. By default it writes [`Text`] without color.
///
/// The test must start the logger itself and keep a [guard](crate::Logger::shutdown_guard), also when it panics: the
/// harness shows what is printed before the test ends.
///
/// # Limits
/// The lines belong to the test whose thread starts the logger. The lines of a global logger that several tests share are
/// shown with the test that starts it, or lost if that has ended: give each test a logger of its own, or run each test in
/// a process of its own (`cargo nextest`). With `--nocapture` all lines are printed.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use logweir::testing::TestConsole;
/// use logweir::{Logger, info};
///
/// // In a test:
/// let logger = Logger::builder().sink("test", TestConsole::new()).start().unwrap();
/// let _guard = logger.shutdown_guard(Duration::from_secs(5));
/// info!(logger: logger, "shown if an assertion below fails");
/// ```
#[must_use = "a sink does nothing until a logger has it"]
#[derive(Debug)]
pub struct TestConsole {
    thread: Blocking<TestPrinter>,
}

impl TestConsole {
    /// Creates a sink that prints [`Text`] without color.
    pub fn new() -> Self {
        let printer = TestPrinter { format: Box::new(Text::new()), line: Vec::new(), written: 0 };
        TestConsole { thread: Blocking::new(printer).name("logweir-test") }
    }

    /// Sets how events become bytes. Default: [`Text`] without color.
    pub fn format(mut self, format: impl Format) -> Self {
        // After the sink was opened by hand, its printer is on the thread and cannot be configured.
        if let Some(printer) = self.thread.unopened_mut() {
            printer.format = Box::new(format);
        }
        self
    }
}

impl Default for TestConsole {
    fn default() -> Self {
        TestConsole::new()
    }
}

sink_on_its_thread!(TestConsole, timeout: Duration::from_secs(5));

struct TestPrinter {
    format: Box<dyn Format>,
    line: Vec<u8>,
    written: u64,
}

impl BlockingSink for TestPrinter {
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        for (index, record) in batch.iter().enumerate() {
            self.line.clear();
            let line = &mut self.line;
            contain(|| self.format.format(&record, line))
                .map_err(|panicked| SinkError::panicked(panicked).with_delivered(index))?;
            // Without a capture `print!` writes to standard output, and panics if that is closed.
            #[expect(clippy::print_stdout, reason = "the test harness captures nothing else")]
            contain(|| print!("{}", String::from_utf8_lossy(&self.line)))
                .map_err(|panicked| SinkError::panicked(panicked).with_delivered(index))?;
            self.written += self.line.len() as u64;
        }
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.written
    }
}

impl fmt::Debug for TestPrinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPrinter").field("written", &self.written).finish_non_exhaustive()
    }
}
