//! A service thread: the requests of an HTTP sink.

use std::borrow::Cow;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;

use super::client::ReadResponse;
use super::connection::HttpConnection;
use super::error::HttpOptionError;
use super::options::HttpSink;
use super::protocol::HttpProtocol;
use crate::event::{Batch, Record};
use crate::sink::{Acknowledges, Answer, Batching, Duplicates, Encoded, Request, RequestSink, SinkError};

/// What a protocol may append when it ends a body.
const END_BYTES: usize = 64;
/// How long a request waits for events if the program sets nothing.
const LINGER: Duration = Duration::from_secs(1);

impl<P: HttpProtocol> HttpSink<P> {
    async fn attempt(&self, connection: &HttpConnection, body: &Bytes) -> Result<ReadResponse, Answer> {
        let mut request = hyper::Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = connection.url.clone();
        *request.headers_mut() = connection.headers.map.clone();
        let response = connection.client.send(request, self.limits.most_of_a_response()).await?;
        self.sent_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(response)
    }

    /// Appends an event; `Err`: no request can have it, `Ok(false)`: this one has no room for it. What is beside events in a
    /// body may be counted with one: it is too long only if it is that as the first.
    fn append(
        &self,
        open: &mut P::Body,
        record: &Record<'_>,
        (oldest, is_first): (Option<SystemTime>, bool),
        body: &mut Vec<u8>,
    ) -> Result<bool, Cow<'static, str>> {
        let (start, before, room) = (body.len(), *open, self.limits.request_bytes.saturating_sub(END_BYTES));
        let is_too_old = oldest.is_some_and(|oldest| record.timestamp() < oldest);
        let appended = match is_too_old {
            true => Err("it is older than the destination accepts".into()),
            false => self.protocol.event(open, record, body),
        };
        let len = body.len() - start;
        let result = match appended {
            Ok(()) if len > self.limits.event_bytes.min(room) && !is_first => Ok(false),
            Ok(()) if len > self.limits.event_bytes.min(room) => {
                Err(format!("it has {len} bytes, more than the {} of an event", self.limits.event_bytes.min(room))
                    .into())
            }
            Ok(()) => Ok(body.len() <= room),
            Err(reason) => Err(reason),
        };
        if result != Ok(true) {
            body.truncate(start);
            *open = before;
        }
        result
    }

    /// Returns a body as it is sent. Not in `encode`: the limits are those of bodies before that.
    fn compressed(&self, body: &[u8]) -> Bytes {
        if !self.is_compressed {
            return Bytes::copy_from_slice(body);
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        // Memory takes every byte.
        encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default().into()
    }
}

#[async_trait]
impl<P: HttpProtocol> RequestSink for HttpSink<P> {
    fn set_logger(&self, name: &str) {
        self.protocol.set_logger(name);
    }

    fn open(&self) -> Result<(), SinkError> {
        if let Some(error) = &self.invalid {
            return Err(SinkError::permanent(error.clone()));
        }
        if self.limits.request_bytes <= END_BYTES {
            let why = format!("allowed is more than {END_BYTES}");
            let value = self.limits.request_bytes.to_string();
            return Err(SinkError::permanent(HttpOptionError::new("request_bytes", value, &why)));
        }
        self.connect()
    }

    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let oldest = self.limits.oldest.and_then(|age| SystemTime::now().checked_sub(age));
        let mut open = self.protocol.begin(body);
        let (mut encoded, mut appended) = (Encoded::first(0), 0);
        for (index, record) in batch.iter().enumerate() {
            match self.append(&mut open, &record, (oldest, appended == 0), body) {
                Ok(true) => appended += 1,
                Ok(false) if appended > 0 => break,
                // Alone it has no room either.
                Ok(false) => encoded.refused.push((index, "it does not fit into a request".into())),
                Err(reason) => encoded.refused.push((index, reason)),
            }
            encoded.events = index + 1;
            if appended == self.limits.request_events {
                break;
            }
        }
        self.protocol.end(open, body);
        encoded
    }

    async fn send(&self, request: &Request) -> Answer {
        let Some(mut connection) = self.connection() else {
            return Answer::unusable("the sink is not open");
        };
        let body = self.compressed(&request.body);
        let mut response = self.attempt(&connection, &body).await;
        let is_refused = response.as_ref().is_ok_and(|response| matches!(response.status(), 401 | 403));
        if is_refused && self.renew(&mut connection) {
            response = self.attempt(&connection, &body).await;
        }
        match response {
            Ok(response) => {
                let response = response.as_response(&connection.headers.secrets);
                self.protocol.answer(&response, request.batch.len())
            }
            Err(answer) => answer,
        }
    }

    async fn reopen(&self) -> Result<(), SinkError> {
        self.reconnect()
    }

    fn written_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    fn default_timeout(&self) -> Duration {
        self.timeout
    }

    fn default_batching(&self) -> Batching {
        Batching::new(self.limits.request_events, self.limits.request_bytes, LINGER)
    }

    fn acknowledges(&self) -> Acknowledges {
        self.protocol.acknowledges()
    }

    fn duplicates(&self) -> Duplicates {
        self.protocol.duplicates()
    }
}
