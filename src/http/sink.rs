//! A service thread: events to a destination over HTTP.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::{Method, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::client::{Client, ReadResponse, Tls};
use super::connect::Proxy;
use super::error::HttpOptionError;
use super::protocol::{HttpHead, HttpLimits, HttpProtocol};
use super::secret::Secret;
use crate::event::{Batch, Record};
use crate::sink::{Acknowledges, Answer, Batching, Duplicates, Encoded, Request, RequestSink, SinkError};

/// What a protocol may append when it ends a body.
const END_BYTES: usize = 64;
/// How long a request waits for events if the program sets nothing.
const LINGER: Duration = Duration::from_secs(1);
/// The same of a request's timeout.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends events over HTTP/1.1, in the protocol of a vendor: [`Otlp`](super::Otlp), [`JsonLines`](super::JsonLines),
/// [`JsonArray`](super::JsonArray), or one of your own ([`HttpProtocol`]).
///
/// The destination need not be there when the logger starts. What a request's failure means is decided in one place:
///
/// | failure | the events | may have arrived |
/// |---|---|---|
/// | no address, no connection | are sent again | no |
/// | an error after the connection was there, a response cut off, the timeout | are sent again | yes |
/// | 408, 500, 502, 504 and other statuses from 500 on | are sent again | yes |
/// | 425, 429, 503 | are sent again, after `Retry-After` (429: at least 1 s) | no |
/// | 401, 403 | secrets are read anew and the request repeated once; then the sink is unusable | no |
/// | 3xx, 404, 405, 407 | the sink is unusable: the breaker opens, and they wait for it | no |
/// | 413 | the request is halved | no |
/// | other 4xx | are rejected; the request is bisected to find them | no |
///
/// Events that may have arrived and are sent again count as `maybe_duplicated`.
pub struct HttpSink<P> {
    protocol: P,
    url: String,
    headers: Vec<(String, Secret)>,
    authorization: Option<Authorization>,
    is_compressed: bool,
    limits: HttpLimits,
    timeout: Duration,
    proxy: ProxyChoice,
    #[cfg(feature = "tls")]
    tls: super::tls::TlsOptions,
    /// What is wrong with it, for `start` to return.
    invalid: Option<HttpOptionError>,
    connection: Mutex<Option<Connection>>,
    sent_bytes: AtomicU64,
}

/// Which proxy is on the way.
enum ProxyChoice {
    Environment,
    None,
    Url(String),
}

enum Authorization {
    Bearer(Secret),
    Basic(String, Secret),
}

#[derive(Clone)]
struct Connection {
    client: Client,
    proxy: Option<Proxy>,
    tls: Tls,
    url: Uri,
    headers: Arc<Headers>,
}

/// The headers of each request.
#[derive(PartialEq)]
struct Headers {
    map: HeaderMap,
    /// The secrets among them.
    secrets: Vec<String>,
}

impl<P: HttpProtocol> HttpSink<P> {
    /// Creates a sink for this URL, `http://HOST[:PORT]/PATH`, which is checked when the logger starts.
    pub fn new(url: impl Into<String>, protocol: P) -> Self {
        HttpSink {
            limits: protocol.limits(),
            protocol,
            url: url.into(),
            headers: Vec::new(),
            authorization: None,
            is_compressed: true,
            timeout: TIMEOUT,
            proxy: ProxyChoice::Environment,
            #[cfg(feature = "tls")]
            tls: super::tls::TlsOptions::default(),
            invalid: None,
            connection: Mutex::new(None),
            sent_bytes: AtomicU64::new(0),
        }
    }

    /// Adds a header to every request. One of the protocol with this name is replaced; `content-length`, `host` and
    /// `transfer-encoding` are refused when the logger starts.
    #[must_use = "returns the sink with the header"]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Authorizes requests by a token (RFC 6750).
    #[must_use = "returns the sink with the token"]
    pub fn bearer_auth(mut self, token: impl Into<Secret>) -> Self {
        self.authorization = Some(Authorization::Bearer(token.into()));
        self
    }

    /// Authorizes requests by a name and a password (RFC 7617).
    #[must_use = "returns the sink with the password"]
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.authorization = Some(Authorization::Basic(user.into(), password.into()));
        self
    }

    /// Sets whether bodies are compressed (`content-encoding: gzip`). Default: yes.
    #[must_use = "returns the sink with the compression"]
    pub fn gzip(mut self, is_compressed: bool) -> Self {
        self.is_compressed = is_compressed;
        self
    }

    /// Sets the limits of a request, in the place of the protocol's.
    #[must_use = "returns the sink with the limits"]
    pub fn limits(mut self, limits: HttpLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends requests through this proxy, `http://[USER:PASSWORD@]HOST[:PORT]`. Default: the one that `HTTP_PROXY`,
    /// `HTTPS_PROXY` or `ALL_PROXY` names when the logger starts, unless `NO_PROXY` has the destination's host; variables in
    /// lower case count too.
    ///
    /// A proxy gets requests of `http` as a whole, and forwards the bytes of `https` (`CONNECT`).
    #[must_use = "returns the sink with the proxy"]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }

    /// Connects to the destination itself, whatever the environment says.
    #[must_use = "returns the sink without a proxy"]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::None;
        self
    }

    /// Trusts the certificates in this file (PEM) alone, in the place of the system's.
    #[cfg(feature = "tls")]
    #[must_use = "returns the sink with the certificates"]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(path.into());
        self
    }

    /// Shows the destination this certificate, and proves it by the key (files in PEM).
    #[cfg(feature = "tls")]
    #[must_use = "returns the sink with the certificate"]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// Accepts every certificate, also an expired one, of another host, or an attacker's: for a test.
    #[cfg(feature = "tls")]
    #[must_use = "returns the sink without a check"]
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.tls.accepts_invalid = true;
        self
    }

    #[cfg(feature = "otlp")]
    pub(super) fn timeout(self, timeout: Duration) -> Self {
        HttpSink { timeout, ..self }
    }

    #[cfg(feature = "otlp")]
    pub(super) fn invalid(self, error: HttpOptionError) -> Self {
        HttpSink { invalid: Some(error), ..self }
    }

    #[cfg(all(test, feature = "otlp"))]
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn checked_url(&self) -> Result<Uri, HttpOptionError> {
        let wrong = |why: &str| HttpOptionError::new("url", without_secrets(&self.url), why);
        let url: Uri = self.url.parse().map_err(|error| wrong(&format!("it is no URL: {error}")))?;
        let authority = url.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a name or a password; `basic_auth` sets them"));
        }
        let mut head = HttpHead::default();
        self.protocol.head(&mut head);
        let url = match &*head.path {
            "" => url,
            path if url.query().is_some() => {
                return Err(wrong(&format!("it has a query, and the protocol appends `{path}`")));
            }
            path => format!("{}{path}", url.to_string().trim_end_matches('/'))
                .parse()
                .map_err(|error| wrong(&format!("with `{path}` it is no URL: {error}")))?,
        };
        match url.scheme_str() {
            Some("http") => Ok(url),
            Some("https") if cfg!(feature = "tls") => Ok(url),
            Some("https") => Err(wrong("`https` needs the feature `tls`")),
            _ => Err(wrong("allowed are `http` and `https`")),
        }
    }

    /// The proxy on the way to this URL.
    fn proxy_to(&self, url: &Uri) -> Result<Option<Proxy>, HttpOptionError> {
        let matcher = match &self.proxy {
            ProxyChoice::None => return Ok(None),
            ProxyChoice::Environment => Matcher::from_env(),
            ProxyChoice::Url(proxy) => {
                let wrong = |why: &str| HttpOptionError::new("proxy", without_secrets(proxy), why);
                let parsed: Uri = proxy.parse().map_err(|error| wrong(&format!("it is no URL: {error}")))?;
                if parsed.scheme_str() != Some("http") {
                    return Err(wrong("allowed is `http`"));
                }
                Matcher::builder().all(proxy.clone()).build()
            }
        };
        let found = matcher.intercept(url);
        Ok(found.map(|found| Proxy { url: found.uri().clone(), authorization: found.basic_auth().cloned() }))
    }

    #[cfg(feature = "tls")]
    fn tls_to(&self, url: &Uri) -> Result<Tls, HttpOptionError> {
        if url.scheme_str() == Some("https") { self.tls.config() } else { super::tls::unused() }
    }

    #[cfg(not(feature = "tls"))]
    fn tls_to(&self, _: &Uri) -> Result<Tls, HttpOptionError> {
        Ok(Tls)
    }

    /// Reads all secrets.
    fn read_headers(&self, url: &Uri, proxy: Option<&Proxy>) -> Result<Headers, SinkError> {
        let mut head = HttpHead::default();
        self.protocol.head(&mut head);
        let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
        let mut read = |secret: &Secret| {
            let text = secret.read().map_err(SinkError::permanent)?;
            secrets.extend(Some(text.clone()).filter(|text| !text.is_empty()));
            Ok::<_, SinkError>(text)
        };
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("logweir/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in head.headers {
            set_header(&mut headers, &name, &value, false)?;
        }
        for (name, secret) in &self.headers {
            set_header(&mut headers, name, &read(secret)?, true)?;
        }
        let authorization = match &self.authorization {
            None => None,
            Some(Authorization::Bearer(token)) => Some(format!("Bearer {}", read(token)?)),
            Some(Authorization::Basic(user, password)) => {
                let encoded = STANDARD.encode(format!("{user}:{}", read(password)?));
                Some(format!("Basic {encoded}"))
            }
        };
        if let Some(value) = authorization {
            set_header(&mut headers, AUTHORIZATION.as_str(), &value, true)?;
        }
        // Through a tunnel it is the connection's.
        if let Some(value) = proxy.and_then(|proxy| proxy.authorization.clone())
            && url.scheme_str() == Some("http")
        {
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        if self.is_compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Headers { map: headers, secrets })
    }

    fn connection(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: Connection) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    /// Reads the secrets anew; returns whether they have changed.
    fn renew(&self, connection: &mut Connection) -> bool {
        let Ok(headers) = self.read_headers(&connection.url, connection.proxy.as_ref()) else { return false };
        let has_changed = headers != *connection.headers;
        connection.headers = Arc::new(headers);
        self.set_connection(connection.clone());
        has_changed
    }

    async fn attempt(&self, connection: &Connection, body: &Bytes) -> Result<ReadResponse, Answer> {
        let mut request = hyper::Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = connection.url.clone();
        *request.headers_mut() = connection.headers.map.clone();
        let response = connection.client.send(request, self.limits.response_bytes).await?;
        self.sent_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(response)
    }

    /// Appends an event; `Err`: no request can have it, `Ok(false)`: this one has no room for it.
    fn append(
        &self,
        open: &mut P::Body,
        record: &Record<'_>,
        oldest: Option<SystemTime>,
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

/// A URL as a message may show it.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        Some((before, host)) => format!(
            "{}***@{host}",
            before.split_inclusive("//").next().filter(|it| it.ends_with("//")).unwrap_or_default()
        ),
        None => url.to_owned(),
    }
}

fn set_header(headers: &mut HeaderMap, name: &str, value: &str, is_secret: bool) -> Result<(), SinkError> {
    let wrong = |why: &str| SinkError::permanent(HttpOptionError::new("header", name.to_owned(), why));
    let key = HeaderName::try_from(name).map_err(|_| wrong("it is no name of a header"))?;
    if ["content-length", "host", "transfer-encoding"].contains(&key.as_str()) {
        return Err(wrong("it is set by the client"));
    }
    // Without the value, which may be a secret.
    let mut value =
        HeaderValue::try_from(value).map_err(|_| wrong("its value has characters that no header can have"))?;
    value.set_sensitive(is_secret);
    headers.insert(key, value);
    Ok(())
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
        let url = self.checked_url().map_err(SinkError::permanent)?;
        if self.limits.request_bytes <= END_BYTES {
            let why = format!("allowed is more than {END_BYTES}");
            let value = self.limits.request_bytes.to_string();
            return Err(SinkError::permanent(HttpOptionError::new("request_bytes", value, &why)));
        }
        let proxy = self.proxy_to(&url).map_err(SinkError::permanent)?;
        let tls = self.tls_to(&url).map_err(SinkError::permanent)?;
        let headers = Arc::new(self.read_headers(&url, proxy.as_ref())?);
        self.set_connection(Connection { client: Client::new(proxy.clone(), &tls), proxy, tls, url, headers });
        Ok(())
    }

    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let oldest = self.limits.oldest.and_then(|age| SystemTime::now().checked_sub(age));
        let mut open = self.protocol.begin(body);
        let (mut encoded, mut appended) = (Encoded::first(0), 0);
        for (index, record) in batch.iter().enumerate() {
            match self.append(&mut open, &record, oldest, body) {
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
        let Some(connection) = self.connection() else { return Ok(()) };
        let headers = Arc::new(self.read_headers(&connection.url, connection.proxy.as_ref())?);
        let client = Client::new(connection.proxy.clone(), &connection.tls);
        self.set_connection(Connection { client, headers, ..connection });
        Ok(())
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

impl<P> fmt::Debug for HttpSink<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink").field("url", &without_secrets(&self.url)).finish_non_exhaustive()
    }
}
