//! The caller's thread, once: the options of an HTTP sink.

use std::fmt;
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::connection::{HttpConnection, without_secrets};
use super::error::HttpOptionError;
use super::protocol::{HttpLimits, HttpProtocol};
use super::secret::Secret;

/// Of a request, if the program sets nothing.
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
    pub(super) protocol: P,
    pub(super) url: String,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) authorization: Option<Authorization>,
    pub(super) is_compressed: bool,
    pub(super) limits: HttpLimits,
    pub(super) timeout: Duration,
    pub(super) proxy: ProxyChoice,
    #[cfg(feature = "tls")]
    pub(super) tls: super::tls::TlsOptions,
    /// An option that cannot be, for `start` to return.
    pub(super) invalid: Option<HttpOptionError>,
    pub(super) connection: Mutex<Option<HttpConnection>>,
    pub(super) sent_bytes: AtomicU64,
}

/// Which proxy is on the way.
pub(super) enum ProxyChoice {
    Environment,
    None,
    Url(String),
}

/// How requests are authorized.
pub(super) enum Authorization {
    Bearer(Secret),
    Basic(String, Secret),
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

    /// Sets the limits of a request, in the place of the protocol's; how much is read of a response only if that is set.
    #[must_use = "returns the sink with the limits"]
    pub fn limits(mut self, limits: HttpLimits) -> Self {
        let response_bytes = limits.response_bytes.or(self.limits.response_bytes);
        self.limits = HttpLimits { response_bytes, ..limits };
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
}

impl<P> fmt::Debug for HttpSink<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink").field("url", &without_secrets(&self.url)).finish_non_exhaustive()
    }
}
