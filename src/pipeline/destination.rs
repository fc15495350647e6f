//! A sink task: one sink, and what guards every call of it: the time limit, its panic, what it logs, and its late result.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::action::Charge;
use super::size::RequestSize;
use crate::context::contain::{Panicked, contain, contain_future};
use crate::event::Batch;
use crate::format::plain::CauseChain;
use crate::sink::{Answer, Batching, Duplicates, Encoded, NullSink, Request, RequestSink, SinkAdapter};
use crate::sink::{SinkError, SinkErrorKind};
use crate::stats::LastError;

/// A body that stays allocated after a burst, as a multiple of the one before.
const MAX_KEPT_GROWTH: usize = 2;
/// Below this, any body stays allocated.
const MIN_KEPT_BYTES: usize = 64 << 10;

/// A sink of a pipeline: its own, or a fallback.
pub(crate) struct Destination {
    sink: Arc<dyn RequestSink>,
    timeout: Duration,
    outlives_timeout: bool,
    duplicates: Duplicates,
    /// A request that ends in a panic may have arrived.
    has_requests: bool,
    pub(super) size: RequestSize,
    /// The body of an earlier request, for its memory.
    spare: Vec<u8>,
    /// The last call did not return in its first poll.
    has_awaited: bool,
    /// A call that is still running after its timeout. No other is made before it returns.
    late: Option<LateCall>,
}

/// A call of a sink, apart from requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SinkCall {
    Flush,
    Reopen,
    Close,
}

/// A request, and the memory of its events. A call that sends it owns it, even after its timeout.
pub(super) struct Parcel {
    pub(super) request: Request,
    /// None for what no account has.
    pub(super) _charge: Option<Arc<Charge>>,
}

struct LateCall {
    running: BoxFuture<'static, Answer>,
    /// What it sends.
    parcel: Option<Arc<Parcel>>,
}

/// The end of a call, as far as its time limit let it come.
pub(super) enum Attempt {
    Returned(Reply),
    /// It timed out. If it `is_late`, its answer will come; otherwise its future was dropped.
    TimedOut {
        is_late: bool,
        failure: Failure,
    },
}

/// An answer, whose error is text.
pub(super) struct Reply {
    /// Without its error.
    pub(super) answer: Answer,
    pub(super) failure: Option<Failure>,
}

/// A failed call.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) error: Arc<SinkError>,
    /// Its text, bounded: the error's own code ran where nothing was locked.
    pub(super) text: LastError,
}

/// The first request of a batch.
pub(super) struct Encoding {
    /// How many events of the batch it settles.
    pub(super) events: usize,
    /// The indices of those that no request can have, and why the first cannot be.
    pub(super) refused: Vec<u32>,
    pub(super) reason: Option<Cow<'static, str>>,
    /// What the sink cannot have meant.
    pub(super) fault: Option<String>,
    pub(super) body: Vec<u8>,
}

/// What a sink tells beside its results.
#[derive(Default)]
pub(super) struct Aside {
    /// `None`: it did not say.
    pub(super) written_bytes: Option<u64>,
    /// Errors of its background work.
    pub(super) errors: Vec<Failure>,
}

impl Encoding {
    /// Clamps what a sink reported for a batch of `len` events.
    fn of(encoded: Encoded, len: usize, body: Vec<u8>) -> Self {
        let Encoded { events: said, refused: mut named } = encoded;
        if said == 0 {
            // What no request can have would otherwise be the first of each.
            named.insert(0, (0, "not encoded".into()));
        }
        let events = said.clamp(1, len);
        let mut refused: Vec<(usize, Cow<'static, str>)> = named.clone();
        refused.retain(|(index, _)| *index < events);
        refused.sort_by_key(|(index, _)| *index);
        refused.dedup_by_key(|(index, _)| *index);
        let reason = refused.first().map(|(_, reason)| reason.clone());
        let fault = match () {
            () if said != events => Some(format!("{said} of {len} events encoded")),
            () if refused.len() < named.len() => Some(format!("a refused event twice, or behind the {events} encoded")),
            () => None,
        };
        let refused = refused.into_iter().map(|(index, _)| index as u32).collect();
        Encoding { events, refused, reason, fault, body }
    }
}

impl Failure {
    pub(super) fn new(error: SinkError) -> Self {
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

impl From<Answer> for Reply {
    fn from(mut answer: Answer) -> Self {
        let failure = answer.error.take().map(Failure::new);
        Reply { answer, failure }
    }
}

impl Reply {
    /// Returns the result of a call that is no request.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl SinkCall {
    fn name(self) -> &'static str {
        match self {
            SinkCall::Flush => "flush",
            SinkCall::Reopen => "reopen",
            SinkCall::Close => "close",
        }
    }

    async fn of(self, sink: &dyn RequestSink) -> Answer {
        match self {
            SinkCall::Flush => sink.flush().await,
            SinkCall::Reopen => sink.reopen().await,
            SinkCall::Close => sink.close().await,
        }
        .into()
    }
}

impl Destination {
    /// Creates the destination; `has_requests`: it is not a [`Sink`](crate::sink::Sink) behind its adapter.
    pub(crate) fn new(
        sink: Arc<dyn RequestSink>,
        timeout: Duration,
        batching: Option<Batching>,
        has_requests: bool,
    ) -> Self {
        // A sink that panics here is like one without an answer of its own.
        let outlives_timeout = contain(|| sink.outlives_timeout()).unwrap_or(false);
        let duplicates = contain(|| sink.duplicates()).unwrap_or(Duplicates::Possible);
        let size = RequestSize::new(batching);
        let spare = Vec::new();
        let (has_awaited, late) = (true, None);
        Destination { sink, timeout, outlives_timeout, duplicates, has_requests, size, spare, has_awaited, late }
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

    /// Whether events that may have been delivered at this time may be there twice if they are sent now.
    pub(super) fn may_duplicate(&self, sent_at: Instant) -> bool {
        match self.duplicates {
            Duplicates::Possible => true,
            Duplicates::RemovedWithin(window) => sent_at.elapsed() >= window,
            Duplicates::Removed => false,
        }
    }

    /// Encodes the first request of a batch; a notice is one request, unless the sink divides it.
    pub(super) fn encode(&mut self, batch: &Batch, is_notice: bool) -> Result<Encoding, Failure> {
        let mut body = std::mem::take(&mut self.spare);
        let mut events = if is_notice { batch.len() } else { self.size.first_try(batch) };
        loop {
            body.clear();
            let front = if events < batch.len() { &batch.split_at(events).0 } else { batch };
            let encoded = contain(|| self.sink.encode(front, &mut body))?;
            let settled = encoded.events.clamp(1, front.len());
            let fewer = if is_notice { None } else { self.size.record(settled, body.len()) };
            match fewer {
                Some(fewer) => events = fewer,
                None => {
                    self.size.trim(&mut body);
                    return Ok(Encoding::of(encoded, front.len(), body));
                }
            }
        }
    }

    /// Takes the memory of a body back.
    pub(super) fn recycle(&mut self, body: Vec<u8>) {
        if body.capacity() <= MIN_KEPT_BYTES.max(body.len() * MAX_KEPT_GROWTH) {
            self.spare = body;
        }
    }

    /// Sends a request, which no late call precedes. It ends at the timeout, or with `cut_short`.
    ///
    /// # Cancel safety
    /// If the future is dropped, so is the call's.
    pub(super) async fn send(&mut self, parcel: &Arc<Parcel>, cut_short: impl Future<Output = ()>) -> Attempt {
        let (sink, parcel) = (self.sink.clone(), parcel.clone());
        let sent = parcel.clone();
        // The call itself is inside: a sink written without `async` may panic before there is a future.
        let running = async move { contain_future(async { sink.send(&sent.request).await }).await };
        let has_requests = self.has_requests;
        let answered = move |returned: Result<Answer, Panicked>| match returned {
            Err(panicked) if has_requests => answered(Err(panicked)).maybe_arrived(),
            returned => answered(returned),
        };
        self.run("write", running.map(answered).boxed(), Some(parcel), cut_short).await
    }

    /// Makes a call that is no request; no late one precedes it.
    ///
    /// # Cancel safety
    /// If the future is dropped, so is the call's.
    pub(super) async fn call(&mut self, call: SinkCall) -> Attempt {
        let sink = self.sink.clone();
        let running = async move { contain_future(async { call.of(&*sink).await }).await };
        self.run(call.name(), running.map(answered).boxed(), None, std::future::pending()).await
    }

    async fn run(
        &mut self,
        call: &'static str,
        mut running: BoxFuture<'static, Answer>,
        parcel: Option<Arc<Parcel>>,
        cut_short: impl Future<Output = ()>,
    ) -> Attempt {
        let at_once = poll_fn(|cx| Poll::Ready(running.poll_unpin(cx))).await;
        self.has_awaited = at_once.is_pending();
        let in_time = match at_once {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => tokio::select! {
                biased;
                answer = timeout(self.timeout, &mut running) => answer.ok(),
                () = cut_short => None,
            },
        };
        match in_time {
            Some(answer) => Attempt::Returned(answer.into()),
            None => {
                if self.outlives_timeout {
                    self.late = Some(LateCall { running, parcel });
                } else {
                    // The sink's own future, whose destructor is foreign.
                    contain(|| drop(running)).unwrap_or_default();
                }
                Attempt::TimedOut { is_late: self.outlives_timeout, failure: self.timed_out(call) }
            }
        }
    }

    fn timed_out(&self, call: &str) -> Failure {
        Failure::new(SinkError::timed_out(call, self.timeout))
    }

    pub(super) fn timed_out_in(&self, call: SinkCall) -> Failure {
        self.timed_out(call.name())
    }

    /// Collects what the sink tells beside its results; nothing while it is busy with a late call.
    pub(super) fn aside(&self) -> Aside {
        let mut aside = Aside::default();
        if self.is_late() {
            return aside;
        }
        match contain(|| self.sink.take_error()) {
            Ok(error) => aside.errors.extend(error.map(Failure::new)),
            Err(panicked) => aside.errors.push(panicked.into()),
        }
        match contain(|| self.sink.written_bytes()) {
            Ok(bytes) => aside.written_bytes = Some(bytes),
            Err(panicked) => aside.errors.push(panicked.into()),
        }
        aside
    }

    /// Waits for the answer of the late call, and what it sent. Never returns if there is none. Cancel-safe.
    pub(super) async fn late_result(&mut self) -> (Option<Arc<Parcel>>, Reply) {
        poll_fn(|cx| {
            let Some(late) = &mut self.late else { return Poll::Pending };
            let answer = std::task::ready!(late.running.poll_unpin(cx));
            let parcel = self.late.take().and_then(|late| late.parcel);
            Poll::Ready((parcel, answer.into()))
        })
        .await
    }
}

fn answered(returned: Result<Answer, Panicked>) -> Answer {
    returned.unwrap_or_else(|panicked| Err(SinkError::panicked(panicked)).into())
}

/// A sink's destructor is foreign code too.
impl Drop for Destination {
    fn drop(&mut self) {
        let late = self.late.take();
        contain(|| drop(late)).unwrap_or_default();
        let sink = std::mem::replace(&mut self.sink, Arc::new(SinkAdapter::new(NullSink)));
        contain(|| drop(sink)).unwrap_or_default();
    }
}
