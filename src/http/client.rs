//! A service thread: connections to one destination, and one request over them.

use std::error::Error;
use std::fmt;
use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as HyperClient};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::{Connector, Proxy, Within};
use super::resolver::Resolver;
use super::response::HttpResponse;
use crate::sink::Answer;

/// Before the servers of most do, so that a request does not meet a connection that is being closed.
const IDLE: Duration = Duration::from_secs(4);
const CONNECT: Duration = Duration::from_secs(5);

#[cfg(feature = "tls")]
type Secured = hyper_rustls::HttpsConnector<Connector>;
#[cfg(not(feature = "tls"))]
type Secured = Connector;

/// How connections of `https` are secured.
#[cfg(feature = "tls")]
pub(super) type Tls = rustls::ClientConfig;
/// There are none.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub(super) struct Tls;

/// The connections to a destination.
#[derive(Clone)]
pub(super) struct Client {
    hyper: HyperClient<Within<Secured>, Full<Bytes>>,
}

/// A response that was read.
pub(super) struct ReadResponse {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A request without a response.
#[derive(Debug)]
pub(super) struct RequestError {
    what: &'static str,
    /// Without its query.
    url: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.url)
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl ReadResponse {
    /// `secrets`: those of the request.
    pub(super) fn as_response<'a>(&'a self, secrets: &'a [String]) -> HttpResponse<'a> {
        HttpResponse { status: self.status, headers: &self.headers, body: &self.body, secrets }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }
}

impl Client {
    /// `tls`: for URLs with `https`; `timeout`: of a request.
    pub(super) fn new(proxy: Option<Proxy>, tls: &Tls, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new());
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // Before the request's own timeout: until then nothing was sent.
        let connector = Within::new(secured(Connector::new(tcp, proxy), tls), CONNECT.min(timeout / 2));
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(1);
        Client { hyper: builder.build(connector) }
    }

    /// Sends a request, and reads so many bytes of the response.
    ///
    /// # Errors
    /// Returns the answer to a request that has no response: it says whether the request may have arrived.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        response_bytes: usize,
    ) -> Result<ReadResponse, Answer> {
        let url = shown(request.uri());
        let response = self.hyper.request(request).await.map_err(|error| {
            let is_unsent = error.is_connect() || is_handed_back(&error);
            let what = if error.is_connect() { "no connection to" } else { "no response from" };
            let answer = Answer::again(RequestError { what, url: url.clone(), source: error.into() });
            if is_unsent { answer } else { answer.maybe_arrived() }
        })?;
        let (head, body) = response.into_parts();
        let (body, ended) = read(body, response_bytes).await;
        // Another status is known, whatever follows it.
        if let (true, Err(error)) = (head.status.is_success(), ended) {
            let error = RequestError { what: "no whole response from", url, source: error.into() };
            return Err(Answer::again(error).maybe_arrived());
        }
        let is_gzip = head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        let body = if is_gzip { unzipped(&body, response_bytes) } else { body };
        Ok(ReadResponse { status: head.status.as_u16(), headers: head.headers, body })
    }
}

#[cfg(feature = "tls")]
fn secured(connector: Connector, tls: &Tls) -> Secured {
    // HTTP/1.1 is what it offers (ALPN).
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    hyper_rustls::HttpsConnector::from((connector, tls))
}

#[cfg(not(feature = "tls"))]
fn secured(connector: Connector, _: &Tls) -> Secured {
    connector
}

/// The URL, without the query, which may have a secret.
pub(super) fn shown(url: &Uri) -> String {
    let text = url.to_string();
    text.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// Whether the request was given back before anything of it was sent, or the connection had ended before.
fn is_handed_back(error: &legacy::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    source.is_some_and(|error| error.is_canceled() || error.is_closed())
}

/// Reads a body, up to so many bytes; what follows is not waited for. Returns what there is, and whether it ended well.
async fn read(mut body: Incoming, most: usize) -> (Vec<u8>, Result<(), hyper::Error>) {
    let mut read = Vec::new();
    while read.len() < most
        && let Some(frame) = body.frame().await
    {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => read.extend_from_slice(&data[..data.len().min(most - read.len())]),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return (read, Err(error)),
        }
    }
    (read, Ok(()))
}

/// Decompresses as much as can be; what is damaged is left out.
fn unzipped(body: &[u8], most: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    // The part before an error is there.
    GzDecoder::new(body).take(most as u64).read_to_end(&mut plain).map(drop).unwrap_or_default();
    plain
}
