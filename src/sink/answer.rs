//! Anywhere (pure): what a destination answered to a request, for each of its events.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use super::SinkError;
use crate::stats::labels::SinkErrorKind;

/// The result of one [`RequestSink::send`](super::RequestSink::send): one verdict for all events of the request, and
/// exceptions by their index.
///
/// An event has the first verdict that names it: that of [`except`](Answer::except), then the answer's own.
///
/// # Examples
/// A bulk API accepted all but two of the events:
/// ```
/// use logweir::sink::{Answer, Verdict};
///
/// let answer = Answer::delivered()
///     .except(3, Verdict::Again)
///     .except(7, Verdict::Rejected("mapper_parsing_exception".into()));
/// ```
#[derive(Debug)]
#[must_use = "the pipeline settles the events by it"]
pub struct Answer {
    pub(crate) rest: RestVerdict,
    pub(crate) error: Option<SinkError>,
    /// The first so many are delivered, whatever the rest is.
    pub(crate) delivered_first: usize,
    pub(crate) exceptions: Vec<(usize, Verdict)>,
    pub(crate) rejected_unnamed: usize,
    pub(crate) is_whole: bool,
    pub(crate) maybe_arrived: bool,
    pub(crate) retry_after: Option<Duration>,
}

/// The result of one event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination has it: it is never sent again.
    Delivered,
    /// The destination does not have it, and may accept it later.
    Again,
    /// The destination will never accept it, for this reason. It goes to the fallback or is dropped (`rejected`).
    Rejected(Cow<'static, str>),
}

/// The verdict of the events that have none of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestVerdict {
    Delivered,
    /// The same request may succeed later.
    Again,
    /// Some of them are not acceptable; it is unknown which.
    Rejected,
    /// The request is larger than the destination accepts.
    TooLarge,
    /// The sink is unusable; the events wait for it.
    Unusable,
    /// The sink is unusable; the events do not wait for it.
    Failed,
    /// The sink panicked; some of them may be the cause.
    Panicked,
}

impl Answer {
    /// The destination has every event.
    pub fn delivered() -> Self {
        Answer::new(RestVerdict::Delivered, None)
    }

    /// The same request may succeed later: a refused connection, a 503. A failure for the circuit breaker, unless an
    /// event was delivered.
    pub fn again(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Answer::new(RestVerdict::Again, Some(SinkError::temporary(source)))
    }

    /// Some of the events are not acceptable, and the destination did not say which. The request is bisected to find them;
    /// see [`whole`](Answer::whole).
    pub fn rejected(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Answer::new(RestVerdict::Rejected, Some(SinkError::rejected(source)))
    }

    /// The sink is unusable for now, whatever the events are: a 401, a 404. The circuit breaker opens, and the events go to
    /// the fallback or wait until the [`Retry`](crate::Retry) gives them up.
    pub fn unusable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Answer::new(RestVerdict::Unusable, Some(SinkError::permanent(source)))
    }

    /// The request is larger than the destination accepts: a 413. The pipeline halves it and remembers the size; a request
    /// of one event is rejected.
    pub fn too_large(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Answer::new(RestVerdict::TooLarge, Some(SinkError::rejected(source)))
    }

    fn new(rest: RestVerdict, error: Option<SinkError>) -> Self {
        Answer {
            rest,
            error,
            delivered_first: 0,
            exceptions: Vec::new(),
            rejected_unnamed: 0,
            is_whole: false,
            maybe_arrived: false,
            retry_after: None,
        }
    }

    /// Sets the verdict of the event at this index of the request. Of two for one index, the first counts. An index behind
    /// the last event counts as an error of the sink.
    pub fn except(mut self, index: usize, verdict: Verdict) -> Self {
        self.exceptions.push((index, verdict));
        self
    }

    /// Sets how many of the delivered events were rejected after all, if the destination did not say which (OTLP's partial
    /// success). They are dropped (`rejected`), even if an earlier request with them may have arrived. More than there are counts as an error of the sink.
    pub fn rejected_unnamed(mut self, events: usize) -> Self {
        self.rejected_unnamed = events;
        self
    }

    /// Sets why events were rejected, in the destination's words: the sink's last error.
    pub fn because(mut self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.error = Some(SinkError::rejected(reason));
        self
    }

    /// Makes a rejection final for all of its events: the request is not bisected.
    pub fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// Marks the events that are to be sent again ([`again`](Answer::again), [`unusable`](Answer::unusable),
    /// [`Verdict::Again`]) as possibly delivered: the connection ended before the response, a 502. A
    /// repeat counts as `maybe_duplicated`; after the last attempt, they are unconfirmed.
    pub fn maybe_arrived(mut self) -> Self {
        self.maybe_arrived = true;
        self
    }

    /// Sets the wait that the destination asks for (`Retry-After`) before events are sent again, at most 5 min: of an answer
    /// without such events it has no effect, and an [`unusable`](Answer::unusable) sink has the breaker's wait. It is a pause: no
    /// failure for the circuit breaker, and no attempt that the [`Retry`](crate::Retry) counts.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// The answer of a [`Sink`](super::Sink): of an error, the first [`SinkError::delivered`] events are delivered.
impl From<Result<(), SinkError>> for Answer {
    fn from(result: Result<(), SinkError>) -> Self {
        let Err(error) = result else { return Answer::delivered() };
        let rest = match error.kind() {
            SinkErrorKind::Temporary | SinkErrorKind::Timeout => RestVerdict::Again,
            SinkErrorKind::Rejected => RestVerdict::Rejected,
            SinkErrorKind::Permanent => RestVerdict::Failed,
            SinkErrorKind::Panic => RestVerdict::Panicked,
        };
        let (delivered_first, retry_after) = (error.delivered(), error.retry_after());
        Answer { delivered_first, retry_after, ..Answer::new(rest, Some(error)) }
    }
}
