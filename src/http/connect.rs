//! A service thread: ways to a destination: straight, through a proxy that forwards requests, or through one that forwards bytes.

use std::error::Error;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::resolver::Resolver;

type Tcp = TokioIo<TcpStream>;
type ConnectError = Box<dyn Error + Send + Sync>;

/// A proxy, and what it asks for.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) url: Uri,
    pub(super) authorization: Option<HeaderValue>,
}

/// Connects to the host of a URL, or to the proxy on the way.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    proxy: Option<Proxy>,
}

impl Connector {
    pub(super) fn new(tcp: HttpConnector<Resolver>, proxy: Option<Proxy>) -> Self {
        Connector { tcp, proxy }
    }
}

impl Service<Uri> for Connector {
    type Response = HttpStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        let Some(Proxy { url: proxy, authorization }) = self.proxy.clone() else {
            let connecting = tcp.call(url);
            return Box::pin(async move { Ok(HttpStream { tcp: connecting.await?, is_proxied: false }) });
        };
        if url.scheme_str() == Some("https") {
            let tunnel = Tunnel::new(proxy, tcp);
            let mut tunnel = authorization.into_iter().fold(tunnel, Tunnel::with_auth);
            let connecting = tunnel.call(url);
            return Box::pin(async move { Ok(HttpStream { tcp: connecting.await?, is_proxied: false }) });
        }
        let connecting = tcp.call(proxy);
        Box::pin(async move { Ok(HttpStream { tcp: connecting.await?, is_proxied: true }) })
    }
}

/// A connector whose connections are there within a time, or not at all: look-up, proxy and TLS included.
#[derive(Clone)]
pub(super) struct Within<C> {
    connector: C,
    limit: Duration,
}

impl<C> Within<C> {
    pub(super) fn new(connector: C, limit: Duration) -> Self {
        Within { connector, limit }
    }
}

impl<C> Service<Uri> for Within<C>
where
    C: Service<Uri, Error = ConnectError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (connecting, limit) = (self.connector.call(url), self.limit);
        Box::pin(async move {
            let late = |_| ConnectError::from(format!("it is not there within {limit:?}"));
            timeout(limit, connecting).await.map_err(late)?
        })
    }
}

/// A connection. Requests through a proxy that reads them have the whole URL.
pub(super) struct HttpStream {
    tcp: Tcp,
    is_proxied: bool,
}

impl HttpStream {
    fn tcp(self: Pin<&mut Self>) -> Pin<&mut Tcp> {
        Pin::new(&mut self.get_mut().tcp)
    }
}

impl Connection for HttpStream {
    fn connected(&self) -> Connected {
        self.tcp.connected().proxy(self.is_proxied)
    }
}

impl Read for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read(cx, buffer)
    }
}

impl Write for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tcp().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp().poll_write_vectored(cx, parts)
    }
}
