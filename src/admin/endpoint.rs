//! A service thread: `/metrics` over HTTP, on a thread with a runtime of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep, sleep_until};

use super::activity::{Activity, longest_idle};
use super::page::{Page, PageSource, panic_error};
use super::stream::WatchedStream;
use crate::observe::diagnostics::Diagnostic;
use crate::runtime::{BoxError, DetachedRuntime, LoggerCore, ServiceThread};

/// More scrapers than usual.
const MAX_CONNECTIONS: usize = 16;
/// Of a request's head, and of answers that the client has not read, less the last one. A scraper's head takes 300 bytes.
const MAX_BUFFER: usize = 16 << 10;
/// After an `accept` that failed for lack of descriptors, an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Polls between two checks of the sockets. The runtime's 61 would make a new connection wait for several rounds of
/// those that are always ready.
const POLLS_PER_CHECK: u32 = 8;

/// Connections that wait to be accepted. A client that finds the queue full tries again after a second.
const BACKLOG: u32 = 1024;

/// A bound listener, and the runtime that will serve it.
pub(crate) struct Endpoint {
    runtime: DetachedRuntime,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Endpoint {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(POLLS_PER_CHECK)
            .build()
            .map(DetachedRuntime::new)?;
        let listener = {
            let _inside = runtime.get().enter();
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // On Unix: a restart finds the port free at once. Elsewhere it would share the port with another process.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)?
        };
        Ok(Endpoint { addr: listener.local_addr()?, listener, runtime })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves the metrics of this logger until it ends.
    ///
    /// # Errors
    /// Returns an error if the operating system cannot spawn the thread.
    pub(crate) fn start(self, core: &Arc<LoggerCore>) -> io::Result<ServiceThread> {
        let Endpoint { runtime, listener, addr } = self;
        let source = LoggerPage { core: Arc::downgrade(core), addr };
        let supervisor = source.clone();
        let stop = core.stop_services.clone();
        let stopped = stop.clone();
        ServiceThread::spawn("logweir-metrics", stop, move || {
            let serve = async move {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => {}
                    () = accept(listener, Arc::new(Page::new(source))) => {}
                }
            };
            supervise(|| runtime.get().block_on(serve), |error| supervisor.report(error));
        })
    }
}

/// Reports a panic of this work.
fn supervise(work: impl FnOnce(), report: impl FnOnce(BoxError)) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        report(panic_error(&*payload));
    }
}

/// The page of a logger, which it does not keep alive.
#[derive(Clone)]
struct LoggerPage {
    core: Weak<LoggerCore>,
    addr: SocketAddr,
}

impl PageSource for LoggerPage {
    fn render(&self) -> Option<String> {
        self.core.upgrade()?.render_metrics()
    }

    fn report(&self, error: BoxError) {
        if let Some(core) = self.core.upgrade() {
            core.diagnostics.report(Diagnostic::MetricsUnavailable { addr: self.addr, error });
        }
    }
}

/// Accepts connections until dropped; they end with it.
async fn accept<S: PageSource>(listener: TcpListener, page: Arc<Page<S>>) {
    let mut connections = Connections::default();
    loop {
        let stream = tokio::select! {
            () = connections.ended() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        connections.make_room().await;
        connections.open(stream, page.clone());
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: Vec<OpenConnection>,
    /// Notified when one of them may give way to another.
    replaceable: Arc<Notify>,
}

struct OpenConnection {
    id: Id,
    task: AbortHandle,
    activity: Arc<Activity>,
}

impl Connections {
    fn open<S: PageSource>(&mut self, stream: TcpStream, page: Arc<Page<S>>) {
        let activity = Activity::new(self.replaceable.clone());
        let task = self.tasks.spawn(serve(stream, activity.clone(), page));
        self.open.push(OpenConnection { id: task.id(), task, activity });
    }

    /// Waits until a connection has ended; never returns without connections. Cancel-safe.
    async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.retain(|connection| connection.id != id);
    }

    /// Waits until there is room for another connection: at most the grace of a new one, because one that is idle gives
    /// way.
    async fn make_room(&mut self) {
        while self.open.len() >= MAX_CONNECTIONS {
            match longest_idle(self.open.iter().map(|connection| &*connection.activity)) {
                Some(position) => self.open.remove(position).task.abort(),
                None => {
                    let replaceable = self.replaceable.clone();
                    tokio::select! {
                        () = self.ended() => {}
                        () = replaceable.notified() => {}
                    }
                }
            }
        }
    }
}

/// Answers the requests of one connection, one at a time.
async fn serve<S: PageSource>(stream: TcpStream, activity: Arc<Activity>, page: Arc<Page<S>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let when = activity.requested();
        let (activity, page) = (&activity, &page);
        async move {
            sleep_until(when).await;
            let mut response = page.answer(request.method(), request.uri().path());
            if activity.is_last_answer() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let stream = TokioIo::new(WatchedStream { stream, activity: activity.clone() });
    // `activity` has the timeouts.
    let connection =
        http1::Builder::new().header_read_timeout(None).max_buf_size(MAX_BUFFER).serve_connection(stream, service);
    tokio::select! {
        biased;
        // A scraper that disconnects in the middle has no effect on the logger.
        ended = connection => ended.unwrap_or_default(),
        () = activity.expired() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_endpoints_thread_is_reported() {
        let mut reported = Vec::new();
        supervise(|| {}, |error| reported.push(error.to_string()));
        assert!(reported.is_empty());
        supervise(|| panic!("scripted"), |error| reported.push(error.to_string()));
        assert!(reported.len() == 1 && reported[0].contains("scripted"), "{reported:?}");
    }
}
