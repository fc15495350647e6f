//! cargo run --release --example service -- --listen 127.0.0.1:3000 --metrics 127.0.0.1:9464 --file logs/service.json
//!
//! A small HTTP service that logs every request once, to the console and to a JSON file (the options above are the
//! defaults). In another terminal:
//!
//! ```text
//! curl http://127.0.0.1:3000/                  # what there is
//! curl http://127.0.0.1:3000/users/7
//! curl http://127.0.0.1:3000/slow?ms=800
//! curl http://127.0.0.1:3000/fail              # its log line has the error and its cause
//! curl http://127.0.0.1:9464/metrics
//! ```
//!
//! Ctrl-C or SIGTERM stops it: open requests finish, the logger delivers what is pending and reports. The file is
//! lossless, so `requests served` is what the report says was delivered to it, and the lines it grew by.
//!
//! With `--otlp URL` (and the feature `otlp`) the request log also goes to a collector, such as
//! `http://127.0.0.1:4318/v1/logs`.
//!
//! With `--spool DIR` (and the feature `spool`) the collector's events, or without a collector the file's, are also in a spool
//! until they are there: what a process that is killed leaves, the next one delivers first.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "help, errors and the report are for the terminal")]

use std::convert::Infallible;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use logweir::format::Json;
use logweir::sink::{ConsoleSink, FileSink};
use logweir::stats::SinkStats;
use logweir::{Level, Logger, Overflow, Pipeline, ShutdownReport, WhenFull, debug, err, new_event};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const HELP: &str = "\
Usage: service [--listen ADDR] [--metrics ADDR] [--file PATH] [--otlp URL] [--spool DIR]
  --listen ADDR   where the service listens, default 127.0.0.1:3000 (port 0: a free one)
  --metrics ADDR  where Prometheus scrapes it, default 127.0.0.1:9464
  --file PATH     the request log, one JSON object a line, appended to; default logs/service.json
  --otlp URL      a collector that gets the request log too; needs the feature `otlp`
  --spool DIR     keeps the collector's events, or else the file's, until they are there; needs the feature `spool`";

/// For requests that are open when the signal comes.
const DRAIN: Duration = Duration::from_secs(5);
/// For the logger after that.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// After an `accept` that failed for want of descriptors, trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    match Options::parse(std::env::args_os().skip(1)) {
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => run(options).await.unwrap_or_else(|error| {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }),
        Err(error) => {
            eprintln!("service: {error}\n{HELP}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let stopped = stop_signal()?;
    let listener =
        TcpListener::bind(options.listen).await.map_err(|error| format!("--listen {}: {error}", options.listen))?;
    let stop = CancellationToken::new();
    // Requests begin at `Info`; the service's own lines are `Debug`, so the file is the request log and no more.
    let file = Pipeline::new(FileSink::new(&options.file).format(Json::new())).level(Level::Info);
    let (file, collector) = options.spooled(file);
    let builder = Logger::builder()
        .name("service")
        .filter("debug")
        // What `emit_wait` has accepted is not evicted by a later event, as it could be under `DropOldest`.
        .overflow(Overflow::DropNewest)
        // Nobody reading the terminal costs lines on the terminal alone.
        .sink("console", Pipeline::new(ConsoleSink::stdout()).when_full(WhenFull::DropOldest))
        .sink("file", file.when_full(WhenFull::Block));
    let builder = match collector {
        Some(collector) => builder.sink("collector", collector),
        None => builder,
    };
    let logger = builder
        .cancel_on(stop.clone())
        .prometheus(options.metrics)
        .start()
        // The causes too: `{error}` alone has the logger's own words.
        .map_err(|error| format!("{error:?}"))?;
    let metrics = logger.prometheus_addr().ok_or("no metrics")?;
    debug!(logger: logger, "listening on http://{http}, metrics on http://{metrics}/metrics",
        http = %listener.local_addr()?, metrics = %metrics, file = %options.file.display());

    let service = Arc::new(Service::new(logger.clone(), stop));
    let signal = service.accept(listener, stopped).await;
    debug!(logger: logger, "{signal}: no new requests, open ones have {seconds} s", signal, seconds = DRAIN.as_secs());
    service.drain().await;

    let report = logger.shutdown(SHUTDOWN).await;
    println!("{report}");
    Ok(service.conclude(&report))
}

/// Everything a request needs.
struct Service {
    logger: Logger,
    stop: CancellationToken,
    /// Connections and requests.
    tasks: TaskTracker,
    requests: AtomicU64,
    served: AtomicU64,
}

impl Service {
    fn new(logger: Logger, stop: CancellationToken) -> Self {
        let (requests, served) = (AtomicU64::new(0), AtomicU64::new(0));
        Service { logger, stop, tasks: TaskTracker::new(), requests, served }
    }

    /// Takes connections until the signal, which it returns.
    async fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        stopped: impl Future<Output = &'static str>,
    ) -> &'static str {
        let mut stopped = pin!(stopped);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                signal = &mut stopped => return signal,
            };
            match accepted {
                Ok((stream, remote)) => {
                    self.tasks.spawn(self.clone().connection(stream, remote));
                }
                Err(error) => {
                    debug!(logger: self.logger, "cannot accept", error = err(&error));
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        let answer = service_fn(|request| {
            let work = self.clone().answer(request, remote);
            // A task of its own: hyper drops this future when the client hangs up, and the request is logged all the
            // same. Its panics are caught inside, and nobody aborts it.
            let task = self.tasks.spawn(work);
            async { Ok::<_, Infallible>(task.await.unwrap_or_default()) }
        });
        // The timer bounds how long a client may take to send a request's head.
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                // Idle connections end at once, busy ones after their answer.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(logger: self.logger, "connection broken", remote = %remote, error = err(&error));
        }
    }

    /// Answers a request and logs it, exactly once.
    async fn answer(self: Arc<Self>, request: Request<Incoming>, remote: SocketAddr) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let id = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let logger = self.logger.with("request_id", id);
        let routed = AssertUnwindSafe(route(&request, &logger)).catch_unwind().await;
        let answer = routed.unwrap_or_else(|_| Answer::failed("the handler panicked".into()));

        let level = match answer.status.as_u16() {
            ..400 => Level::Info,
            400..500 => Level::Warn,
            _ => Level::Error,
        };
        let mut line = new_event!(
            level,
            "{method} {path} {status}",
            method = request.method().as_str(),
            path = request.uri().path(),
            status = answer.status.as_u16(),
            elapsed_ms = start.elapsed().as_micros() as f64 / 1000.0,
            bytes = answer.body.len(),
            remote = %remote,
        );
        if let Some(error) = &answer.error {
            line = line.with("error", err(&**error));
        }
        match logger.emit_wait(line).await {
            Ok(()) => self.served.fetch_add(1, Ordering::Relaxed),
            // Closed: the request outlasted the drain, and `conclude` says so.
            Err(_) => 0,
        };
        answer.into_response()
    }

    async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            debug!(logger: self.logger, "{open} connections and requests are still open, leaving them", open = self.tasks.len());
        }
    }

    /// Compares what was served with what was delivered.
    fn conclude(&self, report: &ShutdownReport) -> ExitCode {
        let (requests, served) = (self.requests.load(Ordering::Relaxed), self.served.load(Ordering::Relaxed));
        // With a spool: those that are in it count too, and those of an earlier process do not.
        let kept = |sink: &SinkStats| (sink.delivered + sink.spooled).saturating_sub(sink.recovered);
        let delivered = report.sink("file").map_or(0, kept);
        println!("requests served: {served}");
        if requests != served {
            println!("requests cut off: {}", requests - served);
        }
        if delivered != served || report.check().is_err() {
            println!("MISMATCH: {served} requests were logged, the file has {delivered}");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

/// The service's business.
async fn route(request: &Request<Incoming>, logger: &Logger) -> Answer {
    if request.method() != Method::GET {
        return Answer::new(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/" => Answer::ok("try /users/7, /slow?ms=800, /fail, /panic\n"),
        "/slow" => slow(request.uri().query(), logger).await,
        "/fail" => Answer::failed(Box::new(StoreError(io::Error::from(io::ErrorKind::ConnectionRefused)))),
        "/panic" => panic!("this handler always panics"),
        path => match path.strip_prefix("/users/").map(str::parse::<u32>) {
            Some(Ok(id @ 1..=1000)) => Answer::ok(format!("{{\"id\":{id},\"name\":\"user-{id}\"}}\n")),
            Some(_) => Answer::new(StatusCode::NOT_FOUND, "no such user\n"),
            None => Answer::new(StatusCode::NOT_FOUND, "no such page\n"),
        },
    }
}

async fn slow(query: Option<&str>, logger: &Logger) -> Answer {
    let asked = query.and_then(|query| query.strip_prefix("ms=")).map(str::parse::<u64>);
    let Ok(ms @ 0..=60_000) = asked.unwrap_or(Ok(500)) else {
        return Answer::new(StatusCode::BAD_REQUEST, "ms is 0 to 60000\n");
    };
    debug!(logger: logger, "waiting for {upstream}", upstream = "prices", ms);
    sleep(Duration::from_millis(ms)).await;
    Answer::ok(format!("after {ms} ms\n"))
}

struct Answer {
    status: StatusCode,
    body: Bytes,
    /// For the log, not for the client.
    error: Option<Box<dyn Error + Send + Sync>>,
}

impl Answer {
    fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Answer { status, body: body.into(), error: None }
    }

    fn ok(body: impl Into<Bytes>) -> Self {
        Answer::new(StatusCode::OK, body)
    }

    fn failed(error: Box<dyn Error + Send + Sync>) -> Self {
        Answer { error: Some(error), ..Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong\n") }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        response
    }
}

/// What `/fail` fails with.
#[derive(Debug)]
struct StoreError(io::Error);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the store did not answer")
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

struct Options {
    listen: SocketAddr,
    metrics: SocketAddr,
    file: PathBuf,
    #[cfg(feature = "otlp")]
    otlp: Option<String>,
    #[cfg(feature = "spool")]
    spool: Option<PathBuf>,
}

impl Options {
    /// None if help is asked for.
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let mut options = Options {
            listen: ([127, 0, 0, 1], 3000).into(),
            metrics: ([127, 0, 0, 1], 9464).into(),
            file: "logs/service.json".into(),
            #[cfg(feature = "otlp")]
            otlp: None,
            #[cfg(feature = "spool")]
            spool: None,
        };
        while let Some(name) = arguments.next() {
            let name = name.to_string_lossy();
            if matches!(&*name, "-h" | "--help") {
                return Ok(None);
            }
            if name == "--spool" && !cfg!(feature = "spool") {
                return Err("--spool needs the feature `spool`".into());
            }
            if name == "--otlp" && !cfg!(feature = "otlp") {
                return Err("--otlp needs the feature `otlp`".into());
            }
            if !matches!(&*name, "--listen" | "--metrics" | "--file" | "--otlp" | "--spool") {
                return Err(format!("unknown argument `{name}`"));
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match &*name {
                "--listen" => options.listen = address(&name, &value)?,
                "--metrics" => options.metrics = address(&name, &value)?,
                #[cfg(feature = "otlp")]
                "--otlp" => options.otlp = Some(value.to_string_lossy().into_owned()),
                #[cfg(feature = "spool")]
                "--spool" => options.spool = Some(value.into()),
                _ => options.file = value.into(),
            }
        }
        Ok(Some(options))
    }

    /// The collector's pipeline, if there is one. It has the spool, or the file's has it.
    fn spooled(&self, file: Pipeline) -> (Pipeline, Option<Pipeline>) {
        let spooled = |pipeline: Pipeline| match self {
            #[cfg(feature = "spool")]
            Options { spool: Some(dir), .. } => pipeline.spool(logweir::Spool::new(dir)),
            _ => pipeline,
        };
        #[cfg(feature = "otlp")]
        if let Some(url) = &self.otlp {
            use logweir::IntoPipeline;
            use logweir::http::{HttpSink, Otlp};

            let collector = HttpSink::new(url, Otlp::new()).into_pipeline().level(Level::Info);
            return (file, Some(spooled(collector)));
        }
        (spooled(file), None)
    }
}

fn address(name: &str, value: &OsString) -> Result<SocketAddr, String> {
    let value = value.to_string_lossy();
    value.parse().map_err(|_| format!("{name} `{value}`: not an address such as 127.0.0.1:3000"))
}

/// Ends with the signal that asks the service to stop, and names it. The handlers are there when this returns.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    Ok(async {
        // Without a handler nothing can stop the service but its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    })
}
