//! Anywhere (pure): the error of a failed sink call.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::context::contain::{Panicked, contain};
use crate::format::plain::write_debug;
use crate::stats::labels::SinkErrorKind;

/// The error of a failed [`Sink`](super::Sink) call, by what to do next.
///
/// * [`temporary`](SinkError::temporary): the same write may work later;
/// * [`rejected`](SinkError::rejected): these events are not acceptable, others may be;
/// * [`permanent`](SinkError::permanent): the sink itself is unusable.
pub struct SinkError {
    kind: SinkErrorKind,
    /// Always there, until it is dropped or taken.
    source: Option<Box<dyn Error + Send + Sync>>,
    delivered: usize,
    retry_after: Option<Duration>,
    is_background: bool,
}

impl SinkError {
    /// Creates an error that a retry may resolve: a full disk, a refused connection, a 503.
    pub fn temporary(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        SinkError::new(SinkErrorKind::Temporary, source.into())
    }

    /// Creates an error for events that are not acceptable, while others may be: a 400, a record too large.
    pub fn rejected(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        SinkError::new(SinkErrorKind::Rejected, source.into())
    }

    /// Creates an error for an unusable sink: a closed pipe, a 401.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        SinkError::new(SinkErrorKind::Permanent, source.into())
    }

    pub(crate) fn new(kind: SinkErrorKind, source: Box<dyn Error + Send + Sync>) -> Self {
        SinkError { kind, source: Some(source), delivered: 0, retry_after: None, is_background: false }
    }

    /// Creates the error of a background task, which cost no event.
    pub(crate) fn background(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut error = SinkError::temporary(source);
        error.is_background = true;
        error
    }

    /// Creates the error of a sink, or its format, that panicked.
    pub(crate) fn panicked(panicked: Panicked) -> Self {
        SinkError::new(SinkErrorKind::Panic, panicked.0.into())
    }

    /// Creates the error of a call that timed out.
    pub(crate) fn timed_out(call: &str, waited: Duration) -> Self {
        SinkError::new(SinkErrorKind::Timeout, format!("no answer to `{call}` within {waited:?}").into())
    }

    /// Sets how many events of the batch, from its start, were delivered despite the error. They are never sent again.
    #[must_use = "returns the error with the count"]
    pub fn with_delivered(mut self, count: usize) -> Self {
        self.delivered = count;
        self
    }

    /// Sets the wait before a retry that the destination requests (`Retry-After`), at most 5 min; [`Retry`](crate::Retry) says
    /// what it means. Only a temporary error is retried.
    #[must_use = "returns the error with the wait"]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns what to report: of a background task its cause alone, as the sink did not fail.
    pub(crate) fn reported(&self) -> &(dyn Error + 'static) {
        if self.is_background { self.source().unwrap_or(self) } else { self }
    }

    /// Returns the cause alone.
    pub(crate) fn into_source(mut self) -> Box<dyn Error + Send + Sync> {
        self.source.take().unwrap_or_else(|| "no cause".into())
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> SinkErrorKind {
        self.kind
    }

    /// Returns how many events of the batch, from its start, were delivered.
    pub fn delivered(&self) -> usize {
        self.delivered
    }

    /// Returns the minimum wait before a retry that the destination requests.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// Like `Display`, with the sources.
impl fmt::Debug for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_debug(self, f)
    }
}

/// The kind alone; the cause is the [`source`](Error::source).
impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SinkErrorKind::Temporary => "the sink failed for now",
            SinkErrorKind::Rejected => "the sink rejected the events",
            SinkErrorKind::Permanent => "the sink is unusable",
            SinkErrorKind::Timeout => "the sink did not answer in time",
            SinkErrorKind::Panic => "the sink panicked",
        })
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The cause is foreign: its destructor may panic, on whichever task has the error last.
impl Drop for SinkError {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            contain(|| drop(source)).unwrap_or_default();
        }
    }
}
