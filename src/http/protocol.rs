//! A sink task: a vendor's protocol, as [`HttpSink`](super::HttpSink) sends it.

use std::borrow::Cow;
use std::time::Duration;

use super::response::HttpResponse;
use crate::event::Record;
use crate::sink::{Acknowledges, Answer, Duplicates};

/// The most bytes of a response that are read, if the protocol does not say otherwise.
const RESPONSE_BYTES: usize = 64 << 10;
const REQUEST_BYTES: usize = 1 << 20;
const REQUEST_EVENTS: usize = 2048;
const MAX_REQUEST_BYTES: usize = 128 << 20;

/// A vendor's protocol: how events become the body of a request, and what a response says about each of them.
///
/// It is a value without connections: [`HttpSink`](super::HttpSink) sends what it encodes. All methods but
/// [`event`](HttpProtocol::event) have defaults.
///
/// ```
/// use std::borrow::Cow;
///
/// use logweir::event::Record;
/// use logweir::http::{HttpHead, HttpProtocol};
///
/// /// Messages, one on each line.
/// struct Messages;
///
/// impl HttpProtocol for Messages {
///     type Body = ();
///
///     fn head(&self, head: &mut HttpHead) {
///         head.set("content-type", "text/plain; charset=utf-8");
///     }
///
///     fn event(&self, _: &mut (), record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>> {
///         body.extend_from_slice(record.message().to_string().as_bytes());
///         body.push(b'\n');
///         Ok(())
///     }
/// }
/// ```
pub trait HttpProtocol: Send + Sync + 'static {
    /// What an unfinished body needs beside its bytes; `()` if nothing. It is copied before each event, and taken back with the
    /// bytes of an event that does not fit.
    type Body: Copy + Default;

    /// Sets the headers that every request has, and its path.
    fn head(&self, _head: &mut HttpHead) {}

    /// Returns the limits of a request.
    fn limits(&self) -> HttpLimits {
        HttpLimits::default()
    }

    /// Begins a body, which is empty.
    fn begin(&self, _body: &mut Vec<u8>) -> Self::Body {
        Self::Body::default()
    }

    /// Appends an event.
    ///
    /// # Errors
    /// Returns why no request can have it: it is rejected, and whatever was appended of it is removed.
    fn event(&self, open: &mut Self::Body, record: &Record<'_>, body: &mut Vec<u8>) -> Result<(), Cow<'static, str>>;

    /// Ends a body, with at most 64 bytes more.
    fn end(&self, _open: Self::Body, _body: &mut Vec<u8>) {}

    /// Returns the results of a request's events, of which there are so many, by their indices in it. Default: those of the
    /// [status](HttpResponse::answer).
    fn answer(&self, response: &HttpResponse<'_>, _events: usize) -> Answer {
        response.answer()
    }

    /// Returns what a delivered event means. Default: [`Acknowledges::Accepted`].
    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Accepted
    }

    /// Returns what the destination does with an event that arrives twice. Default: [`Duplicates::Possible`].
    fn duplicates(&self) -> Duplicates {
        Duplicates::Possible
    }

    /// Tells the name of the logger, if the program has given it one. Called at most once, before everything else.
    fn set_logger(&self, _name: &str) {}
}

/// What a protocol sets of every request.
#[derive(Debug, Default)]
pub struct HttpHead {
    pub(super) path: Cow<'static, str>,
    pub(super) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl HttpHead {
    /// Sets what is appended to the path of the sink's URL, such as `/_bulk`, and the query. Default: nothing.
    pub fn append_path(&mut self, path: impl Into<Cow<'static, str>>) {
        self.path = path.into();
    }

    /// Sets a header. One of the sink's with this name has precedence.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        let name = name.into();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
    }
}

/// The limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a protocol returns its limits"]
pub struct HttpLimits {
    pub(super) request_events: usize,
    pub(super) request_bytes: usize,
    pub(super) event_bytes: usize,
    pub(super) response_bytes: Option<usize>,
    pub(super) oldest: Option<Duration>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            request_events: REQUEST_EVENTS,
            request_bytes: REQUEST_BYTES,
            event_bytes: usize::MAX,
            response_bytes: None,
            oldest: None,
        }
    }
}

impl HttpLimits {
    pub(super) fn most_of_a_response(self) -> usize {
        self.response_bytes.unwrap_or(RESPONSE_BYTES)
    }

    /// A request has at most so many events. Default: 2,048.
    pub fn request_events(self, events: usize) -> Self {
        HttpLimits { request_events: events.max(1), ..self }
    }

    /// A body has at most so many bytes, before it is compressed; no more than 128 MiB. Default: 1 MiB. An event that is longer
    /// alone is rejected.
    pub fn request_bytes(self, bytes: usize) -> Self {
        HttpLimits { request_bytes: bytes.min(MAX_REQUEST_BYTES), ..self }
    }

    /// An event has at most so many bytes in a body; a longer one is rejected. Default: as many as a body has.
    pub fn event_bytes(self, bytes: usize) -> Self {
        HttpLimits { event_bytes: bytes, ..self }
    }

    /// So many bytes of a response are read, after decompression. Default: as many as the protocol says, or 64 KiB.
    pub fn response_bytes(self, bytes: usize) -> Self {
        HttpLimits { response_bytes: Some(bytes), ..self }
    }

    /// Older events are rejected before a request is spent on them. Default: none are.
    pub fn oldest(self, age: Duration) -> Self {
        HttpLimits { oldest: Some(age), ..self }
    }
}
