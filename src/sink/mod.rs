//! A sink task: destinations of events, such as files and the console. Blocking sinks run on a sink's thread.

// In: calls of `pipeline`, one at a time, each with a batch or a request to flush, reopen or close; `open` of
// `builder`, once.
// Out: bytes, which leave the process here; a `SinkError` with the number of delivered events; background errors and
// written bytes, which the pipeline collects after each call.
//
// Invariants:
// * The methods of a sink are never called concurrently.
// * Blocking code has a thread of its own (`thread.rs`), which the process never joins.
// * Lines stay whole beside other writers of a stream (`sharing.rs`, `std_lock.rs`).
// * An error counts exactly the events that are out (`lines.rs`), so a retry repeats none of them.
//
// Next: `format`, which encodes each event; the bytes then leave the process.
//
// Add a sink in a file or folder of its own, export it here, and give it a `type` in `config/sink.rs`.

mod adapter;
mod answer;
mod console;
mod error;
mod file;
mod lines;
mod memory;
mod null;
mod request;
mod sharing;
#[cfg(unix)]
mod std_lock;
mod stream;
#[cfg(feature = "testing")]
mod test_console;
mod thread;

use std::time::Duration;

use async_trait::async_trait;

pub(crate) use adapter::SinkAdapter;
pub(crate) use answer::RestVerdict;
pub use answer::{Answer, Verdict};
pub use console::{Colors, ConsoleSink};
pub use error::SinkError;
pub(crate) use file::of_one_logger;
pub use file::{Durability, FileSink, MaintenanceError, MaintenanceTask, OpenError, Rolling, RollingError, SyncError};
pub use memory::{CapturedEvent, MemorySink, Selection, WaitError};
pub use null::NullSink;
pub use request::{Acknowledges, Batching, Duplicates, Encoded, Request, RequestSink};
pub(crate) use sharing::{PIPE_BUF, write_stderr};
#[cfg(feature = "testing")]
pub use test_console::TestConsole;
pub use thread::{Blocking, BlockingSink};

use crate::event::Batch;
pub use crate::stats::labels::SinkErrorKind;

/// A destination of events: a file, a socket, a service.
///
/// [`RequestSink`] is for a service that takes requests and answers for each event.
///
/// A sink is owned by one task, which never makes two calls at the same time. Use `#[async_trait]`:
///
/// ```
/// use logweir::{Batch, Sink, SinkError, async_trait};
///
/// struct Count(u64);
///
/// #[async_trait]
/// impl Sink for Count {
///     async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
///         self.0 += batch.len() as u64;
///         Ok(())
///     }
/// }
/// ```
///
/// # Blocking
/// `poll` must not block: a sink that blocks there stops every sink of its logger. Wrap blocking code in
/// [`Blocking::new`](crate::sink::Blocking::new), which gives it a thread of its own.
///
/// # Cancel safety
/// If a `write` exceeds the pipeline's timeout, its future is dropped at its current `.await`, unless
/// [`outlives_timeout`](Sink::outlives_timeout). The next call must first bring the stream to a boundary between events
/// (end a torn line, drop a broken connection).
#[async_trait]
pub trait Sink: Send + 'static {
    /// Prepares the sink. Called once by `start()`, on the caller's thread and in the order the sinks were added.
    ///
    /// # Errors
    /// If it fails, `start()` returns a [`BuildError`](crate::BuildError) that names the sink and keeps the error.
    fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Delivers a batch, oldest event first. `Ok` means that every event of it is delivered.
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Flushes everything written so far, to disk if the sink promises that.
    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Flushes and closes the sink. Called once, after the last write.
    async fn close(&mut self) -> Result<(), SinkError> {
        self.flush().await
    }

    /// Reopens the destination after another program moved it away (logrotate).
    async fn reopen(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Returns the bytes written since the sink was created: a running total, read after each write.
    fn written_bytes(&self) -> u64 {
        0
    }

    /// Takes the background error since the last call, if any. Called after each other call. The error is counted and
    /// reported as an error of the sink, but triggers no retry.
    fn take_error(&mut self) -> Option<SinkError> {
        None
    }

    /// Returns the timeout of a call if the pipeline does not set one
    /// ([`Pipeline::timeout`](crate::Pipeline::timeout)). Default: 5 s.
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Returns the size of a write if the pipeline does not set one
    /// ([`Pipeline::batching`](crate::Pipeline::batching)). Default: [`Batching::DISPATCHED`].
    fn default_batching(&self) -> Batching {
        Batching::DISPATCHED
    }

    /// Returns what a delivered event means at this destination. Default: [`Acknowledges::Written`].
    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Written
    }

    /// Returns what the destination does with an event that arrives twice. Default: [`Duplicates::Possible`].
    fn duplicates(&self) -> Duplicates {
        Duplicates::Possible
    }

    /// Returns whether a call keeps running after its timeout, as on a dedicated thread. The pipeline then keeps the
    /// timed-out future, makes no other call meanwhile, and counts the late result.
    fn outlives_timeout(&self) -> bool {
        false
    }
}
