//! Anywhere (pure): how a logger offers its metrics to Prometheus.

use std::net::SocketAddr;

use crate::observe::exporter;
#[cfg(doc)]
use crate::{Builder, Logger, error::Diagnostic};

/// How a logger offers its metrics to Prometheus; for [`Builder::prometheus`], which also takes an address alone.
///
/// Each has a recorder that only its logger registers on. With an address, the metrics are served at
/// `http://ADDRESS/metrics` by a thread of their own, `logweir-metrics`: it never keeps the process alive, and ends
/// with its logger. Neither the logger's thread nor a runtime of yours takes part.
///
/// # Limits of the endpoint
/// Whatever its clients do, they cost no event, and a scrape that behaves gets its answer:
///
/// * At most 16 connections are open. A further one takes the place of the connection that has been idle longest.
/// * A request must arrive within 5 s, its answer must be read within 10 s, an idle connection is closed after 45 s and
///   any connection after 60 s. After 30 s, an answer asks the client to reconnect.
/// * A connection gets at most one answer every 10 ms.
/// * A rendered page is shared for 200 ms: counters and gauges of a scrape are at most that old.
///
/// The endpoint has neither encryption nor authentication; its addresses are for trusted networks.
///
/// ```
/// use logweir::{Logger, Prometheus, sink::NullSink};
///
/// // The logger starts also if another process has the port.
/// let endpoint = Prometheus::new(([127, 0, 0, 1], 9464)).optional();
/// let logger = Logger::builder().prometheus(endpoint).sink("null", NullSink).start()?;
/// # logger.shutdown_blocking(std::time::Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a setting has no effect until `Builder::prometheus`"]
pub struct Prometheus {
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) is_optional: bool,
}

impl Prometheus {
    /// The content type of the page: version 0.0.4 of the text format.
    pub const CONTENT_TYPE: &str = exporter::CONTENT_TYPE;

    /// Serves the metrics at this address. Port 0 takes a free one, see [`Logger::prometheus_addr`].
    pub fn new(addr: impl Into<SocketAddr>) -> Self {
        Prometheus { addr: Some(addr.into()), is_optional: false }
    }

    /// Serves nothing: the page is rendered by [`Logger::render_metrics`] alone, for a service that has an endpoint of its
    /// own. Takes no port and no thread.
    pub fn without_listener() -> Self {
        Prometheus { addr: None, is_optional: false }
    }

    /// Starts the logger also if the address cannot be bound. That is reported as a
    /// [`Diagnostic::MetricsUnavailable`], and [`Logger::prometheus_addr`] returns `None`; the address is not tried
    /// again. Default: it is an error of [`Builder::start`].
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

impl<A: Into<SocketAddr>> From<A> for Prometheus {
    fn from(addr: A) -> Self {
        Prometheus::new(addr)
    }
}
