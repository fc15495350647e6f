//! Anywhere (pure): what a response says by its status, and how long its sender asks to wait.
//!
//! Source: RFC 9110 (statuses, section 15; `Retry-After`, 10.2.3; dates, 5.6.7) and RFC 6585 (429).

use std::fmt;
use std::time::Duration;

use hyper::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::sink::Answer;

/// How long a destination that has too much to do is left in peace, if it does not say how long (429).
const TOO_MANY: Duration = Duration::from_secs(1);
/// Of a body that explains an error.
const SHOWN_CHARS: usize = 256;
const READ_BYTES: usize = 4 << 10;

/// A response: its status, headers and body.
#[derive(Clone, Copy)]
pub struct HttpResponse<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// What the request had that no message shows, if the response repeats it.
    pub(super) secrets: &'a [String],
}

/// What a status says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusClass {
    /// 2xx: the events are accepted.
    Success,
    /// 408, 425, 429 and 5xx: the same request may succeed later.
    Temporary,
    /// 3xx, 401, 403, 404, 405 and 407: no request will succeed until someone changes something.
    Unusable,
    /// 413: the request is too large.
    TooLarge,
    /// Other 4xx: something in it is not acceptable.
    Rejected,
}

/// The error of a response.
#[derive(Debug)]
struct StatusError {
    status: u16,
    /// Where a redirect leads to, without its query.
    location: Option<String>,
    /// The beginning of the body, if it is text.
    explanation: String,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the destination answered {}", self.status)?;
        if let Some(reason) = hyper::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason())
        {
            write!(f, " {reason}")?;
        }
        if let Some(location) = &self.location {
            write!(f, ", which leads to {location}: redirects are not followed")?;
        }
        if !self.explanation.is_empty() {
            write!(f, ": {}", self.explanation)?;
        }
        Ok(())
    }
}

impl std::error::Error for StatusError {}

impl<'a> HttpResponse<'a> {
    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the body, decompressed, as far as the protocol's limit.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns what the status says.
    pub fn class(&self) -> StatusClass {
        match self.status {
            200..=299 => StatusClass::Success,
            408 | 425 | 429 => StatusClass::Temporary,
            300..=399 | 401 | 403 | 404 | 405 | 407 => StatusClass::Unusable,
            413 => StatusClass::TooLarge,
            400..=499 => StatusClass::Rejected,
            _ => StatusClass::Temporary,
        }
    }

    /// Returns the error that the status is: with the beginning of the body.
    pub fn error(&self) -> Box<dyn std::error::Error + Send + Sync> {
        let location = (300..400).contains(&self.status).then(|| self.header("location")).flatten();
        let location = location.map(|location| location.split(['?', '#']).next().unwrap_or_default().to_owned());
        // Masked first: a secret may be where it is cut.
        let text = self.masked(&String::from_utf8_lossy(&self.body[..self.body.len().min(READ_BYTES)]));
        let explanation = text.trim().chars().take(SHOWN_CHARS).collect::<String>();
        let explanation = explanation.trim_end_matches('\u{fffd}').to_owned();
        let location = location.map(|location| self.masked(&location));
        Box::new(StatusError { status: self.status, location, explanation })
    }

    /// Returns a text of the response as a message may show it: without the secrets of the request.
    pub fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(&**secret, "***"))
    }

    /// Returns how long the destination asks to wait: seconds, or a date, which is taken relative to the response's own.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            return value.parse().ok().map(Duration::from_secs);
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let date = self.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        until.duration_since(date.unwrap_or_else(std::time::SystemTime::now)).ok()
    }

    /// Returns the results of the request's events by the status alone.
    ///
    /// A destination that answered 408, 500, 502 or 504, or another status from 500 on except 503, may have the events: they
    /// are sent again, and counted as possible duplicates.
    pub fn answer(&self) -> Answer {
        let answer = match self.class() {
            StatusClass::Success => return Answer::delivered(),
            StatusClass::Temporary => Answer::again(self.error()),
            StatusClass::Unusable => return Answer::unusable(self.error()),
            StatusClass::TooLarge => return Answer::too_large(self.error()),
            StatusClass::Rejected => return Answer::rejected(self.error()),
        };
        let answer = match self.retry_after().or((self.status == 429).then_some(TOO_MANY)) {
            Some(wait) => answer.retry_after(wait),
            None => answer,
        };
        if matches!(self.status, 425 | 429 | 503) { answer } else { answer.maybe_arrived() }
    }
}

/// Without the headers and the body, which may have secrets.
impl fmt::Debug for HttpResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}
