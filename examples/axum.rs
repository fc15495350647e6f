//! cargo run --release --features tracing --example axum -- --listen 127.0.0.1:3000 --file logs/axum.json
//!
//! An axum application with `TraceLayer` of `tower-http`, as its users write it: it logs through `tracing` alone, and
//! nothing but the first lines of `run` knows logweir. Every request gives one line in a JSON file: `finished processing
//! request` with status and latency from `TraceLayer`, with the method and path of its span. In another terminal:
//!
//! ```text
//! curl http://127.0.0.1:3000/users/7
//! curl http://127.0.0.1:3000/slow?ms=800
//! curl http://127.0.0.1:3000/fail              # `response failed`, too: two lines
//! curl http://127.0.0.1:3000/metrics           # the logger's metrics, for Prometheus
//! ```
//!
//! `/metrics` is a route of the application: the logger renders the page and takes no port.
//!
//! Ctrl-C stops it: open requests finish, the logger delivers what is pending and reports. What the
//! report says was delivered is the number of lines the file grew by, and if nothing was refused, all that was logged.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "help, errors and the report are for the terminal")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use logweir::bridge::tracing::TracingLayer;
use logweir::format::Json;
use logweir::sink::FileSink;
use logweir::{Logger, Overflow, Pipeline, Prometheus, WhenFull};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::{Level, info, instrument, warn};
use tracing_subscriber::prelude::*;

const HELP: &str = "\
Usage: axum [--listen ADDR] [--file PATH]
  --listen ADDR   where the application listens, default 127.0.0.1:3000 (port 0: a free one)
  --file PATH     the log, one JSON object a line, appended to; default logs/axum.json";

const SHUTDOWN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(None) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => run(options).await.unwrap_or_else(|error| {
            eprintln!("axum: {error}");
            ExitCode::FAILURE
        }),
        Err(error) => {
            eprintln!("axum: {error}\n{HELP}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    // What an application changes: these lines, which were `tracing_subscriber::fmt().json()..init()`.
    let file = Pipeline::new(FileSink::new(&options.file).format(Json::new())).when_full(WhenFull::Block);
    let logger = Logger::builder()
        .name("axum")
        .filter("info,tower_http=info")
        // What is accepted is not evicted by a later event; what finds no place is refused, and the report says so.
        .overflow(Overflow::DropNewest)
        .sink("file", file)
        .prometheus(Prometheus::without_listener())
        .start()
        // The causes too: `{error}` alone has the logger's own words.
        .map_err(|error| format!("{error:?}"))?;
    tracing_subscriber::registry().with(TracingLayer::new(&logger).span_ids(true).filtered()).init();

    let listener = TcpListener::bind(options.listen).await.map_err(|e| format!("--listen {}: {e}", options.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app().merge(metrics(logger.clone()))).with_graceful_shutdown(stopped()).await?;

    let report = logger.shutdown(SHUTDOWN).await;
    println!("{report}");
    let is_whole = report.check().is_ok() && report.sink("file").is_some_and(|file| file.delivered == report.emitted);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The application. It is what it would be with any subscriber.
fn app() -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    Router::new()
        .route("/", get(|| async { "try /users/7, /slow?ms=800, /fail\n" }))
        .route("/users/{id}", get(user))
        .route("/slow", get(slow))
        .route("/fail", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong\n") }))
        .layer(trace)
}

/// The metrics, beside the application's routes. Scrapes are not logged: `TraceLayer` is not around this route.
fn metrics(logger: Logger) -> Router {
    let page = move || async move {
        match logger.render_metrics() {
            Some(page) => ([(CONTENT_TYPE, Prometheus::CONTENT_TYPE)], page).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    Router::new().route("/metrics", get(page))
}

async fn user(Path(id): Path<u32>) -> (StatusCode, String) {
    match load(id).await {
        Some(name) => (StatusCode::OK, format!("{{\"id\":{id},\"name\":\"{name}\"}}\n")),
        None => (StatusCode::NOT_FOUND, "no such user\n".to_owned()),
    }
}

#[instrument]
async fn load(id: u32) -> Option<String> {
    if id > 1000 {
        warn!("no such user");
        return None;
    }
    Some(format!("user-{id}"))
}

#[derive(Deserialize)]
struct Slow {
    ms: Option<u64>,
}

async fn slow(Query(slow): Query<Slow>) -> String {
    let ms = slow.ms.unwrap_or(500).min(60_000);
    info!(ms, upstream = "prices", "waiting");
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("after {ms} ms\n")
}

/// Ends with Ctrl-C, or with SIGTERM where there is one.
async fn stopped() {
    let interrupt = async {
        // Without a handler nothing can stop it but its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

struct Options {
    listen: SocketAddr,
    file: PathBuf,
}

impl Options {
    /// None if help is asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options { listen: ([127, 0, 0, 1], 3000).into(), file: "logs/axum.json".into() };
        while let Some(name) = arguments.next() {
            if matches!(&*name, "-h" | "--help") {
                return Ok(None);
            }
            if !matches!(&*name, "--listen" | "--file") {
                return Err(format!("unknown argument `{name}`"));
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match &*name {
                "--listen" => {
                    let wrong = |_| format!("{name} `{value}`: not an address such as 127.0.0.1:3000");
                    options.listen = value.parse().map_err(wrong)?;
                }
                _ => options.file = value.into(),
            }
        }
        Ok(Some(options))
    }
}
