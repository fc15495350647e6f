//! A sink task: one sink, and what guards every call of it: the time limit, its panic, what it logs, and its late result.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::action::InFlightBatch;
use crate::context::contain::{Panicked, contain, contain_future};
use crate::format::plain::CauseChain;
use crate::sink::{Sink, SinkError, SinkErrorKind};
use crate::stats::LastError;

/// A sink of a pipeline: its own, or a fallback.
pub(crate) struct Destination {
    // A tokio lock: a call owns its sink for as long as it runs, even after its timeout. No task ever waits for the
    // lock.
    sink: Arc<Mutex<Box<dyn Sink>>>,
    timeout: Duration,
    outlives_timeout: bool,
    /// The last call did not return in its first poll.
    has_awaited: bool,
    /// A call that is still running after its timeout. No other is made before it returns.
    late: Option<LateCall>,
}

/// A call of a sink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SinkCall {
    Write,
    Flush,
    Reopen,
    Close,
}

struct LateCall {
    running: BoxFuture<'static, Result<(), SinkError>>,
    /// The number of events it writes.
    len: usize,
}

/// The end of a call, as far as its time limit let it come.
pub(super) enum Attempt {
    Returned(Result<(), Failure>),
    /// It timed out. If it `is_late`, its result will come; otherwise its future was dropped.
    TimedOut {
        is_late: bool,
        failure: Failure,
    },
}

/// A failed call.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) error: Arc<SinkError>,
    /// Its text, bounded: the error's own code ran where nothing was locked.
    pub(super) text: LastError,
}

/// What a sink tells beside its results.
#[derive(Default)]
pub(super) struct Aside {
    /// `None`: it is busy, or did not say.
    pub(super) written_bytes: Option<u64>,
    /// Errors of its background work.
    pub(super) errors: Vec<Failure>,
}

impl Failure {
    fn new(error: SinkError) -> Self {
        let text = LastError { kind: error.kind(), message: CauseChain(&error).to_string(), at: SystemTime::now() };
        Failure { error: Arc::new(error), text }
    }

    pub(super) fn kind(&self) -> SinkErrorKind {
        self.error.kind()
    }
}

impl From<Panicked> for Failure {
    fn from(panicked: Panicked) -> Self {
        Failure::new(SinkError::panicked(panicked))
    }
}

/// How many of `len` events a write with this result delivered: the first ones.
pub(super) fn delivered_of(result: &Result<(), Failure>, len: usize) -> usize {
    result.as_ref().map_or_else(|failure| failure.error.delivered().min(len), |()| len)
}

impl SinkCall {
    pub(super) fn name(self) -> &'static str {
        match self {
            SinkCall::Write => "write",
            SinkCall::Flush => "flush",
            SinkCall::Reopen => "reopen",
            SinkCall::Close => "close",
        }
    }
}

impl Destination {
    pub(crate) fn new(sink: Box<dyn Sink>, timeout: Duration) -> Self {
        // A sink that panics here is like one without an answer of its own.
        let outlives_timeout = contain(|| sink.outlives_timeout()).unwrap_or(false);
        Destination { sink: Arc::new(Mutex::new(sink)), timeout, outlives_timeout, has_awaited: true, late: None }
    }

    /// Whether a call is still running after its timeout.
    pub(super) fn is_late(&self) -> bool {
        self.late.is_some()
    }

    /// Whether the last call left other tasks their turn.
    pub(super) fn has_awaited(&self) -> bool {
        self.has_awaited
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes a call, which no late one precedes; `batch` is what a write writes. It ends at the timeout, or with
    /// `cut_short`.
    ///
    /// # Cancel safety
    /// If the future is dropped, so is the call's.
    pub(super) async fn call(
        &mut self,
        call: SinkCall,
        batch: InFlightBatch,
        cut_short: impl Future<Output = ()>,
    ) -> Attempt {
        let (sink, len) = (self.sink.clone(), batch.batch.len());
        // The call itself is inside: a sink written without `async` may panic before there is a future.
        let mut running = async move {
            // All of it, with its charge.
            let batch = batch;
            let mut sink = sink.lock().await;
            let made = contain_future(async {
                match call {
                    SinkCall::Write => sink.write(&batch.batch).await,
                    SinkCall::Flush => sink.flush().await,
                    SinkCall::Reopen => sink.reopen().await,
                    SinkCall::Close => sink.close().await,
                }
            });
            made.await.unwrap_or_else(|panicked| Err(SinkError::panicked(panicked)))
        }
        .boxed();
        let at_once = poll_fn(|cx| Poll::Ready(running.poll_unpin(cx))).await;
        self.has_awaited = at_once.is_pending();
        let in_time = match at_once {
            Poll::Ready(result) => Some(result),
            Poll::Pending => tokio::select! {
                biased;
                result = timeout(self.timeout, &mut running) => result.ok(),
                () = cut_short => None,
            },
        };
        match in_time {
            Some(result) => Attempt::Returned(result.map_err(Failure::new)),
            None if self.outlives_timeout => {
                self.late = Some(LateCall { running, len });
                Attempt::TimedOut { is_late: true, failure: self.timed_out(call) }
            }
            None => {
                contain(|| drop(running)).unwrap_or_default();
                Attempt::TimedOut { is_late: false, failure: self.timed_out(call) }
            }
        }
    }

    pub(super) fn timed_out(&self, call: SinkCall) -> Failure {
        Failure::new(SinkError::timed_out(call.name(), self.timeout))
    }

    /// Asks the sink for its byte count and its background error, unless it is busy with a late call.
    pub(super) fn aside(&self) -> Aside {
        let Ok(mut sink) = self.sink.try_lock() else { return Aside::default() };
        let mut aside = Aside::default();
        match contain(|| sink.take_error()) {
            Ok(error) => aside.errors.extend(error.map(Failure::new)),
            Err(panicked) => aside.errors.push(panicked.into()),
        }
        match contain(|| sink.written_bytes()) {
            Ok(bytes) => aside.written_bytes = Some(bytes),
            Err(panicked) => aside.errors.push(panicked.into()),
        }
        aside
    }

    /// Waits for the result of the late call; returns how many events it was to write. Never returns if there is none.
    /// Cancel-safe.
    pub(super) async fn late_result(&mut self) -> (usize, Result<(), Failure>) {
        poll_fn(|cx| {
            let Some(late) = &mut self.late else { return Poll::Pending };
            let result = std::task::ready!(late.running.poll_unpin(cx));
            let len = late.len;
            self.late = None;
            Poll::Ready((len, result.map_err(Failure::new)))
        })
        .await
    }
}

/// A sink's destructor is foreign code too.
impl Drop for Destination {
    fn drop(&mut self) {
        let late = self.late.take();
        contain(|| drop(late)).unwrap_or_default();
        if let Some(sink) = Arc::get_mut(&mut self.sink) {
            let sink = std::mem::replace(sink.get_mut(), Box::new(crate::sink::NullSink));
            contain(|| drop(sink)).unwrap_or_default();
        }
    }
}
