//! A sink task: destinations that take requests, and answer for each event of one.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;

use super::{Answer, SinkError};
use crate::event::Batch;

/// A destination that takes requests over the network: a bulk API, a collector, a stream.
///
/// The pipeline decides how many events a request has, when it is sent and what follows; the sink turns events into a body,
/// sends it, and reports the result of each event. [`Sink`](super::Sink) is the simpler trait, for everything else.
///
/// ```
/// use logweir::sink::{Answer, Encoded, Request, RequestSink};
/// use logweir::{Batch, async_trait};
///
/// struct Lines;
///
/// #[async_trait]
/// impl RequestSink for Lines {
///     fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
///         for record in batch.iter() {
///             body.extend_from_slice(record.message().to_string().as_bytes());
///             body.push(b'\n');
///         }
///         Encoded::all(batch)
///     }
///
///     async fn send(&self, request: &Request) -> Answer {
///         // Sends `request.body`, and reads the response.
///         Answer::delivered()
///     }
/// }
/// ```
///
/// # Where it runs
/// On a thread of the logger's, `logweir-net`, whatever runtime the logger runs on: to encode and to compress megabytes
/// there delays no other sink. What a request sink logs, or spawns on that thread's runtime, is suppressed.
#[async_trait]
pub trait RequestSink: Send + Sync + 'static {
    /// Tells the name of the logger, if the program has given it one ([`Builder::name`](crate::Builder::name)). Called at most
    /// once, before [`open`](RequestSink::open).
    fn set_logger(&self, _name: &str) {}

    /// Prepares the sink. Called once by `start()`, on the caller's thread and in the order the sinks were added.
    ///
    /// # Errors
    /// If it fails, `start()` returns a [`BuildError`](crate::BuildError) that names the sink and keeps the error.
    fn open(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Encodes as many events from the front of `batch` as one request may have, into `body`, which is empty. Returns how
    /// many those are.
    ///
    /// Must depend on `batch` alone, without I/O: the pipeline may call it again with fewer events, and it keeps the body for
    /// all attempts.
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded;

    /// Sends a request, and returns the results of its events.
    ///
    /// # Cancel safety
    /// If it exceeds the pipeline's timeout, its future is dropped at its current `.await`, unless
    /// [`outlives_timeout`](RequestSink::outlives_timeout). The request may have arrived then, and its connection must not be
    /// used again.
    async fn send(&self, request: &Request) -> Answer;

    /// Waits until everything sent so far is as safe as the sink [acknowledges](RequestSink::acknowledges).
    async fn flush(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Flushes and closes the sink. Called once, after the last request.
    async fn close(&self) -> Result<(), SinkError> {
        self.flush().await
    }

    /// Makes new connections, and reads credentials anew.
    async fn reopen(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Returns the bytes written since the sink was created: a running total, read after each request.
    fn written_bytes(&self) -> u64 {
        0
    }

    /// Takes the background error since the last call, if any. Called after each other call. The error is counted and
    /// reported as an error of the sink, but triggers no retry.
    fn take_error(&self) -> Option<SinkError> {
        None
    }

    /// Returns the timeout of a call if the pipeline does not set one
    /// ([`Pipeline::timeout`](crate::Pipeline::timeout)). Default: 10 s.
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Returns the size of requests if the pipeline does not set one
    /// ([`Pipeline::batching`](crate::Pipeline::batching)). Default: 2,048 events, 1 MiB, a linger of 1 s.
    fn default_batching(&self) -> Batching {
        Batching::new(2048, 1 << 20, Duration::from_secs(1))
    }

    /// Returns what a delivered event means at this destination. Default: [`Acknowledges::Accepted`].
    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Accepted
    }

    /// Returns what the destination does with an event that arrives twice. Default: [`Duplicates::Possible`].
    fn duplicates(&self) -> Duplicates {
        Duplicates::Possible
    }

    /// Returns how many requests may be open at once, at most. Default: 1. This version sends one at a time, whatever the
    /// limit.
    fn max_requests(&self) -> usize {
        1
    }

    /// Returns whether the sink encodes for the network: its pipeline then runs on the thread `logweir-net`. Default: yes. A
    /// sink that returns `false` runs beside the others. In a test with a paused clock it should: the thread has a clock of its
    /// own, which is not paused.
    fn encodes_for_network(&self) -> bool {
        true
    }

    /// Returns whether a call keeps running after its timeout, as on a thread of its own. The pipeline then keeps the
    /// timed-out future, sends no other request meanwhile, and counts the late result.
    fn outlives_timeout(&self) -> bool {
        false
    }
}

/// A request: events, and their encoded form.
#[derive(Debug)]
pub struct Request {
    /// The events in the body, oldest first. Each has its id ([`Record::id`](crate::event::Record::id)), the same in every
    /// attempt.
    pub batch: Batch,
    /// What [`RequestSink::encode`] wrote for them.
    pub body: Vec<u8>,
    /// In how many requests its events were, with this one: 1 for the first attempt.
    pub attempt: u32,
}

impl Request {
    /// Creates a first attempt, to test a sink with.
    pub fn new(batch: Batch, body: Vec<u8>) -> Self {
        Request { batch, body, attempt: 1 }
    }
}

/// How much of a batch a body has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the pipeline cuts the batch by it"]
pub struct Encoded {
    /// How many events from the front of the batch are settled by this request: those in the body, and the refused ones.
    /// At least 1; 0 counts as 1, and more than the batch has as all of it.
    pub events: usize,
    /// Events among them that no request can have, by their index in the batch, with the reason. They are not in the body;
    /// they go to the fallback or are dropped (`rejected`).
    pub refused: Vec<(usize, Cow<'static, str>)>,
}

impl Encoded {
    /// The body has the whole batch.
    pub fn all(batch: &Batch) -> Self {
        Encoded::first(batch.len())
    }

    /// The body has the first so many events.
    pub fn first(events: usize) -> Self {
        Encoded { events, refused: Vec::new() }
    }

    /// Adds an event that no request can have, by its index in the batch.
    pub fn refuse(mut self, index: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        self.refused.push((index, reason.into()));
        self
    }
}

/// What a delivered event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Acknowledges {
    /// The operating system has it: a console, a socket, a file that is not synced.
    Written,
    /// The destination said that it has it: an HTTP 2xx.
    Accepted,
    /// The destination said that it is stored: a synced file, an acknowledged stream, a bulk 201.
    Stored,
}

/// What a destination does with an event that arrives twice, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Duplicates {
    /// It stores both.
    Possible,
    /// It stores the first, if the second comes within this time.
    RemovedWithin(Duration),
    /// It stores the first.
    Removed,
}

/// How many events a request has, and how long it waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) linger: Duration,
}

impl Batching {
    /// As the flush task dispatches them: each dispatched batch is a request of its own, at once. The default of
    /// [`Sink`](super::Sink).
    pub const DISPATCHED: Batching = Batching { events: usize::MAX, bytes: usize::MAX, linger: Duration::ZERO };

    /// A request has at most `events` events and `bytes` bytes, and waits for them no longer than `linger`; see
    /// [`Pipeline::batching`](crate::Pipeline::batching).
    pub const fn new(events: usize, bytes: usize, linger: Duration) -> Self {
        Batching { events, bytes, linger }
    }
}
