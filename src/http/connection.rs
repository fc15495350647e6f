//! The caller's thread, once, and a service thread: from an HTTP sink's options to what a request needs.

use std::sync::{Arc, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper_util::client::proxy::matcher::Matcher;

use super::client::Client;
use super::client::Tls;
use super::connect::Proxy;
use super::error::HttpOptionError;
use super::options::{Authorization, HttpSink, ProxyChoice};
use super::protocol::{HttpHead, HttpProtocol};
use super::secret::Secret;
use crate::sink::SinkError;

/// Shorter ones are no secrets, and are part of many words.
const SHORTEST_SECRET: usize = 4;

/// A destination that requests can be sent to.
#[derive(Clone)]
pub(super) struct HttpConnection {
    pub(super) client: Client,
    pub(super) proxy: Option<Proxy>,
    pub(super) url: Uri,
    pub(super) headers: Arc<Headers>,
}

/// The headers of each request.
#[derive(PartialEq)]
pub(super) struct Headers {
    pub(super) map: HeaderMap,
    /// The secrets among them.
    pub(super) secrets: Vec<String>,
}

impl<P: HttpProtocol> HttpSink<P> {
    /// Checks the options, and makes the connections possible.
    pub(super) fn connect(&self) -> Result<(), SinkError> {
        let url = self.checked_url().map_err(SinkError::permanent)?;
        let proxy = self.proxy_to(&url).map_err(SinkError::permanent)?;
        let tls = self.tls_to(&url).map_err(SinkError::permanent)?;
        let headers = Arc::new(self.read_headers(&url, proxy.as_ref())?);
        self.set_connection(HttpConnection {
            client: Client::new(proxy.clone(), &tls, self.timeout),
            proxy,
            url,
            headers,
        });
        Ok(())
    }

    /// Makes new connections, with the secrets of now.
    pub(super) fn reconnect(&self) -> Result<(), SinkError> {
        let Some(connection) = self.connection() else { return Ok(()) };
        let headers = Arc::new(self.read_headers(&connection.url, connection.proxy.as_ref())?);
        let tls = self.tls_to(&connection.url).map_err(SinkError::permanent)?;
        let client = Client::new(connection.proxy.clone(), &tls, self.timeout);
        self.set_connection(HttpConnection { client, headers, ..connection });
        Ok(())
    }

    fn checked_url(&self) -> Result<Uri, HttpOptionError> {
        let wrong = |why: &str| HttpOptionError::new("url", without_secrets(&self.url), why);
        let url: Uri = self.url.parse().map_err(|error| wrong(&format!("it is no URL: {error}")))?;
        check_authority(&url).map_err(wrong)?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
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
                check_authority(&parsed).map_err(wrong)?;
                if parsed.scheme_str() != Some("http") {
                    return Err(wrong("allowed is `http`"));
                }
                Matcher::builder().all(proxy.clone()).build()
            }
        };
        let Some(found) = matcher.intercept(url) else { return Ok(None) };
        if found.uri().scheme_str() != Some("http") {
            let value = found.uri().scheme_str().unwrap_or_default().to_owned();
            let why = "the scheme of a proxy; allowed is `http`, and `no_proxy` goes without one";
            return Err(HttpOptionError::new("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY", value, why));
        }
        Ok(Some(Proxy { url: found.uri().clone(), authorization: found.basic_auth().cloned() }))
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
            secrets.push(text.clone());
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
        // As they are sent too.
        secrets.extend(authorization.iter().filter_map(|value| Some(value.split_once(' ')?.1.to_owned())));
        let of_proxy = proxy.and_then(|proxy| proxy.authorization.as_ref()?.to_str().ok());
        secrets.extend(of_proxy.and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
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

    pub(super) fn connection(&self) -> Option<HttpConnection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: HttpConnection) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    /// Reads the secrets anew; returns whether they have changed.
    pub(super) fn renew(&self, connection: &mut HttpConnection) -> bool {
        let Ok(headers) = self.read_headers(&connection.url, connection.proxy.as_ref()) else { return false };
        let has_changed = headers != *connection.headers;
        connection.headers = Arc::new(headers);
        self.set_connection(connection.clone());
        has_changed
    }
}

/// Whether the part between `//` and the path is a host, and perhaps a port: a password with `#` or `?` ends it elsewhere.
fn check_authority(url: &Uri) -> Result<(), &'static str> {
    let authority = url.authority().ok_or("it has no host")?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let behind_ipv6 = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    match behind_ipv6.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => Err("its port is no number from 0 to 65535"),
        _ => Ok(()),
    }
}

/// A URL as a message may show it.
pub(super) fn without_secrets(url: &str) -> String {
    let cut = |url: &str| url.split(['?', '#']).next().unwrap_or_default().to_owned();
    match url.rsplit_once('@').map(|(before, host)| (before, cut(host))) {
        Some((before, host)) => format!(
            "{}***@{host}",
            before.split_inclusive("//").next().filter(|it| it.ends_with("//")).unwrap_or_default()
        ),
        // What is behind a `:` that is no port may be a password too.
        None => match url.parse::<Uri>() {
            Ok(parsed) if check_authority(&parsed).is_err() => "***".to_owned(),
            _ => cut(url),
        },
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
