//! A sink task (async sinks) or a thread the sink owns (blocking ones): where bytes leave the process.

mod console;
mod error;
mod file;
mod lines;
mod memory;
mod null;
mod thread;

use std::time::Duration;

use async_trait::async_trait;

pub use console::{Colors, ConsoleSink};
pub use error::SinkError;
pub use file::{Durability, FileSink, MaintenanceError, MaintenanceTask, OpenError, Rolling, RollingError};
pub use memory::{CapturedEvent, MemorySink, Selection, WaitError};
pub use null::NullSink;
pub use thread::{Blocking, BlockingSink};

use crate::event::Batch;
pub use crate::stats::labels::SinkErrorKind;

/// Where events go: a file, a socket, a service.
///
/// A sink is owned by one task; its methods are never called at the same time. Use `#[async_trait]`:
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
/// `poll` must not block: a sink that does stops every sink of its logger. Wrap blocking code in
/// [`Blocking::new`](crate::sink::Blocking::new), which gives it a thread of its own.
///
/// # Cancel safety
/// A `write` that takes longer than the pipeline's timeout is dropped at whatever `.await` it is at, unless
/// [`outlives_timeout`](Sink::outlives_timeout). The next call must first bring the stream to a boundary between
/// events (end a torn line, drop a broken connection).
#[async_trait]
pub trait Sink: Send + 'static {
    /// Makes the sink ready. Called once by `start()`, on the caller's thread and in the order the sinks were added.
    ///
    /// # Errors
    /// An error ends `start()` with a [`BuildError`](crate::BuildError) that names the sink and keeps the error.
    fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Delivers a batch, oldest event first. `Ok` means that every event of it is delivered.
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Brings everything written so far as far as the sink promises (to the disk, say).
    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Called once, after the last write.
    async fn close(&mut self) -> Result<(), SinkError> {
        self.flush().await
    }

    /// Opens the destination again after something else moved it away (logrotate).
    async fn reopen(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Bytes written since the sink was made: a running total, read after each write.
    fn written_bytes(&self) -> u64 {
        0
    }

    /// Trouble that cost no event, since this was asked last: asked after each call, counted and reported as an error of
    /// the sink's, and nothing else comes of it.
    fn take_error(&mut self) -> Option<SinkError> {
        None
    }

    /// How long a call may take if its pipeline is not told otherwise ([`Pipeline::timeout`](crate::Pipeline::timeout)).
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Whether a write goes on behind a timeout, as it does on a thread. The pipeline then keeps the timed-out future,
    /// writes nothing else meanwhile, and books its late answer.
    fn outlives_timeout(&self) -> bool {
        false
    }
}
