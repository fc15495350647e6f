//! A sink's thread: runs blocking sinks, so that they block no runtime.
//!
//! Invariants:
//! * At most one request has no answer: a call first waits for the answer that a dropped call did not take.
//! * The thread is never joined, and it waits for the sink only: a sink that blocks forever costs one thread, but never
//!   delays the exit of the process.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{Acknowledges, Sink, SinkError};
use crate::context::contain::contain;
use crate::event::Batch;

/// A sink whose calls block their thread: a file, a pipe, a database driver without `async`.
///
/// It has the same contract as [`Sink`], without `async`. [`Blocking::new`] makes a [`Sink`] of it:
///
/// ```
/// use std::io::Write;
/// use logweir::sink::BlockingSink;
/// use logweir::Blocking;
/// use logweir::{Batch, SinkError};
///
/// struct Lines<W>(W);
///
/// impl<W: Write + Send + 'static> BlockingSink for Lines<W> {
///     fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
///         for (index, record) in batch.iter().enumerate() {
///             writeln!(self.0, "{}", record.message()).map_err(|e| SinkError::temporary(e).with_delivered(index))?;
///         }
///         Ok(())
///     }
/// }
///
/// let sink = Blocking::new(Lines(std::io::sink())).name("lines");
/// # let _: &dyn logweir::Sink = &sink;
/// ```
pub trait BlockingSink: Send + 'static {
    /// Prepares the sink. Called once, on the thread that calls `start()`, before the sink moves to its own thread.
    ///
    /// # Errors
    /// If it fails, `start()` fails, like with [`Sink::open`].
    fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Delivers a batch, oldest event first. `Ok` means that every event of it is delivered.
    ///
    /// # Errors
    /// Returns a [`SinkError`] whose kind decides what happens next, with the number of events delivered despite it.
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Flushes everything written so far, to disk if the sink promises that.
    ///
    /// # Errors
    /// Returns the error that prevented it.
    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Closes the sink. Called once, after the last write. Default: flushes.
    ///
    /// # Errors
    /// Like [`flush`](BlockingSink::flush).
    fn close(&mut self) -> Result<(), SinkError> {
        self.flush()
    }

    /// Reopens the destination after another program moved it away (logrotate).
    ///
    /// # Errors
    /// Returns the error that prevented it.
    fn reopen(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Returns the bytes written since the sink was created: a running total, read after each call.
    fn written_bytes(&self) -> u64 {
        0
    }

    /// Takes the background error since the last call, if any. Called after each other call, like [`Sink::take_error`].
    fn take_error(&mut self) -> Option<SinkError> {
        None
    }

    /// Returns what a delivered event means at this destination. Asked before the sink is opened. Default:
    /// [`Acknowledges::Written`].
    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Written
    }
}

/// Gives a [`BlockingSink`] a thread of its own, which makes a [`Sink`] of it.
///
/// The thread starts in [`open`](Sink::open). It is detached: neither dropping the `Blocking` nor the end of the
/// process ever waits for it, however long the sink blocks. Each call costs one message to the thread and one back,
/// whatever the size of the batch.
///
/// A panic in the sink is an error of kind [`Panic`](super::SinkErrorKind::Panic), and the thread continues. Log calls
/// made on the thread are suppressed, so a sink whose own libraries log cannot feed itself.
///
/// If dropped without [`close`](Sink::close), the sink is dropped on its thread as soon as its current call returns.
///
/// # Cancel safety
/// A call whose future is dropped continues to its end. The next call first waits for it, so order is kept and nothing
/// is written twice; the result of the dropped call is lost. If a call is dropped during that wait, it never begins.
/// [`outlives_timeout`](Sink::outlives_timeout) is true, so a pipeline does not drop a call that exceeds its timeout.
#[must_use = "a sink does nothing until a logger has it"]
pub struct Blocking<S> {
    name: String,
    /// The sink, until it is opened.
    idle: Option<S>,
    requests: Option<Sender<ThreadCall>>,
    /// The answer the last call waits for; still present at the next call if the future was dropped.
    pending: Option<oneshot::Receiver<Result<(), SinkError>>>,
    status: Arc<SharedStatus>,
    /// What the sink said before it was opened.
    acknowledged: Acknowledges,
}

/// The sink's state besides its answers, updated before each answer.
#[derive(Default)]
struct SharedStatus {
    written: AtomicU64,
    // A std lock: held to move one error.
    trouble: Mutex<Option<SinkError>>,
}

impl SharedStatus {
    /// Asks the sink, apart from its call: what that delivered stays so if one of these panics.
    fn update(&self, sink: &mut impl BlockingSink) {
        // One that was not taken yet must not get lost.
        let is_free = self.error().is_none();
        let asked = contain(|| {
            self.written.store(sink.written_bytes(), Ordering::Relaxed);
            if is_free { sink.take_error() } else { None }
        });
        if let Some(error) = asked.unwrap_or_else(|panicked| Some(SinkError::panicked(panicked))) {
            self.error().get_or_insert(error);
        }
    }

    fn error(&self) -> MutexGuard<'_, Option<SinkError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: BlockingSink> Blocking<S> {
    /// Creates a sink that runs on a thread named `logweir-sink`.
    pub fn new(sink: S) -> Self {
        let written = contain(|| sink.written_bytes()).unwrap_or(0);
        let status = Arc::new(SharedStatus { written: AtomicU64::new(written), ..SharedStatus::default() });
        let (name, acknowledged) = ("logweir-sink".to_owned(), Acknowledges::Written);
        Blocking { name, idle: Some(sink), requests: None, pending: None, status, acknowledged }
    }

    /// Names the thread. Default: `logweir-sink`. Linux shows the first 15 bytes. Zero bytes are removed.
    pub fn name(mut self, name: &str) -> Self {
        // A name with a zero byte makes `spawn` panic.
        self.name = name.replace('\0', "");
        self
    }

    /// The sink while it has not been opened, for builders that wrap it.
    pub(super) fn unopened_mut(&mut self) -> Option<&mut S> {
        self.idle.as_mut()
    }

    pub(super) fn start(&mut self) -> Result<(), SinkError> {
        self.acknowledged = self.acknowledges();
        if let Some(sink) = &mut self.idle {
            sink.open()?;
        }
        let Some(sink) = self.idle.take() else { return Ok(()) };
        let (requests, inbox) = mpsc::channel();
        let status = Arc::clone(&self.status);
        thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || run_thread(sink, &inbox, &status))
            .map_err(|error| SinkError::permanent(ThreadError::Spawn(error)))?;
        self.requests = Some(requests);
        Ok(())
    }

    pub(super) async fn call(&mut self, command: Command) -> Result<(), SinkError> {
        // The answer to a dropped call: its caller does not need the result, only the order still matters.
        drop(self.answer().await);
        let Some(requests) = &self.requests else { return Err(SinkError::permanent(ThreadError::NotOpen)) };
        let (answer, pending) = oneshot::channel();
        if requests.send(ThreadCall { command, answer }).is_err() {
            return Err(SinkError::permanent(ThreadError::Gone));
        }
        self.pending = Some(pending);
        self.answer().await.unwrap_or(Ok(()))
    }

    async fn answer(&mut self) -> Option<Result<(), SinkError>> {
        let answer = self.pending.as_mut()?.await;
        self.pending = None;
        Some(answer.unwrap_or_else(|_| Err(SinkError::permanent(ThreadError::Gone))))
    }

    pub(super) fn acknowledges(&self) -> Acknowledges {
        self.idle.as_ref().map_or(self.acknowledged, |sink| sink.acknowledges())
    }

    pub(super) fn written(&self) -> u64 {
        self.status.written.load(Ordering::Relaxed)
    }

    pub(super) fn take_error(&self) -> Option<SinkError> {
        self.status.error().take()
    }
}

impl<S> fmt::Debug for Blocking<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("name", &self.name)
            .field("open", &self.requests.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: BlockingSink> Sink for Blocking<S> {
    fn open(&mut self) -> Result<(), SinkError> {
        self.start()
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.call(Command::Write(batch.clone())).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.call(Command::Flush).await
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.call(Command::Close).await
    }

    async fn reopen(&mut self) -> Result<(), SinkError> {
        self.call(Command::Reopen).await
    }

    fn written_bytes(&self) -> u64 {
        self.written()
    }

    fn take_error(&mut self) -> Option<SinkError> {
        Blocking::take_error(self)
    }

    fn acknowledges(&self) -> Acknowledges {
        Blocking::acknowledges(self)
    }

    fn outlives_timeout(&self) -> bool {
        true
    }
}

/// Implements [`Sink`] for a type whose field `thread` is a [`Blocking`].
macro_rules! sink_on_its_thread {
    ($sink:ty, timeout: $timeout:expr) => {
        #[::async_trait::async_trait]
        impl $crate::sink::Sink for $sink {
            fn open(&mut self) -> Result<(), $crate::sink::SinkError> {
                self.thread.start()
            }

            async fn write(&mut self, batch: &$crate::event::Batch) -> Result<(), $crate::sink::SinkError> {
                self.thread.call($crate::sink::thread::Command::Write(batch.clone())).await
            }

            async fn flush(&mut self) -> Result<(), $crate::sink::SinkError> {
                self.thread.call($crate::sink::thread::Command::Flush).await
            }

            async fn close(&mut self) -> Result<(), $crate::sink::SinkError> {
                self.thread.call($crate::sink::thread::Command::Close).await
            }

            async fn reopen(&mut self) -> Result<(), $crate::sink::SinkError> {
                self.thread.call($crate::sink::thread::Command::Reopen).await
            }

            fn written_bytes(&self) -> u64 {
                self.thread.written()
            }

            fn take_error(&mut self) -> Option<$crate::sink::SinkError> {
                self.thread.take_error()
            }

            fn default_timeout(&self) -> ::std::time::Duration {
                $timeout
            }

            fn acknowledges(&self) -> $crate::sink::Acknowledges {
                self.thread.acknowledges()
            }

            fn outlives_timeout(&self) -> bool {
                true
            }
        }
    };
}
pub(super) use sink_on_its_thread;

struct ThreadCall {
    command: Command,
    answer: oneshot::Sender<Result<(), SinkError>>,
}

pub(super) enum Command {
    Write(Batch),
    Flush,
    Close,
    Reopen,
}

/// The thread's main loop.
fn run_thread<S: BlockingSink>(mut sink: S, requests: &Receiver<ThreadCall>, status: &SharedStatus) {
    crate::context::suppress::mark_thread();
    while let Ok(ThreadCall { command, answer }) = requests.recv() {
        let result = contain(|| match &command {
            Command::Write(batch) => sink.write(batch),
            Command::Flush => sink.flush(),
            Command::Close => sink.close(),
            Command::Reopen => sink.reopen(),
        });
        let result = result.unwrap_or_else(|panicked| Err(SinkError::panicked(panicked)));
        status.update(&mut sink);
        // Before the answer: the caller may rely on the batch's memory being freed.
        drop(command);
        if answer.send(result).is_err() {
            // The receiver lives as long as the `Blocking`, which was dropped.
            return;
        }
    }
}

#[derive(Debug)]
enum ThreadError {
    NotOpen,
    Gone,
    Spawn(io::Error),
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThreadError::NotOpen => "the sink was not opened",
            ThreadError::Gone => "the sink's thread is gone",
            ThreadError::Spawn(_) => "cannot start the sink's thread",
        })
    }
}

impl Error for ThreadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ThreadError::Spawn(error) => Some(error),
            ThreadError::NotOpen | ThreadError::Gone => None,
        }
    }
}
