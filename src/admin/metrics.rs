//! A service thread: a recorder of the logger's own, served as `/metrics` by a task on the logger's runtime.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::context::suppress::suppress;
use crate::runtime::LoggerCore;

/// Without upkeep the exporter keeps every histogram sample until the next scrape, which may never come.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// More scrapers than usual; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 16;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After an `accept` that failed for lack of descriptors, an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The text format's version 0.0.4, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
const CONTENT_TYPE_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// 100 µs to 10 s: a file's write to a pipeline's timeout.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const EVENTS_BUCKETS: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

/// A bound listener and the recorder it will serve.
pub(crate) struct Exporter {
    listener: TcpListener,
    recorder: PrometheusRecorder,
}

impl Exporter {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        // Histograms without buckets are rendered as summaries, which cannot be aggregated.
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_events".into()), &EVENTS_BUCKETS))
            .map_err(io::Error::other)?;
        Ok(Exporter { listener, recorder: builder.build_recorder() })
    }

    pub(crate) fn recorder(&self) -> &PrometheusRecorder {
        &self.recorder
    }

    pub(crate) fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Passes the listener to the current runtime.
    ///
    /// # Panics
    /// Panics if that runtime has no I/O driver.
    pub(crate) fn register(self) -> io::Result<Server> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        Ok(Server { listener, handle: self.recorder.handle() })
    }
}

/// A listener that belongs to a runtime.
pub(crate) struct Server {
    listener: tokio::net::TcpListener,
    handle: PrometheusHandle,
}

impl Server {
    /// Serves until dropped. The connections belong to this future and end with it.
    pub(crate) async fn run(self, core: Weak<LoggerCore>) {
        let page = Arc::new(Page { handle: self.handle, core });
        let mut connections = JoinSet::new();
        let mut upkeep = interval(UPKEEP_INTERVAL);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(suppress(serve(TokioIo::new(stream), page.clone())));
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
                _ = upkeep.tick() => page.handle.run_upkeep(),
            }
        }
    }
}

struct Page {
    handle: PrometheusHandle,
    core: Weak<LoggerCore>,
}

impl Page {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if request.uri().path() != "/metrics" {
            *response.status_mut() = StatusCode::NOT_FOUND;
            *response.body_mut() = "the metrics are at /metrics\n".into();
        } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        } else {
            if let Some(core) = self.core.upgrade() {
                core.refresh_metrics();
            }
            response.headers_mut().insert(CONTENT_TYPE, CONTENT_TYPE_TEXT);
            *response.body_mut() = self.handle.render().into();
        }
        response
    }
}

async fn serve(stream: TokioIo<tokio::net::TcpStream>, page: Arc<Page>) {
    let service = service_fn(move |request| {
        let response = page.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(stream, service);
    // A scraper that disconnects in the middle has no effect on the logger.
    connection.await.unwrap_or_default();
}
