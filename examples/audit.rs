//! cargo run --release --example audit --features spool -- --listen 127.0.0.1:3000 --file logs/audit.json --spool spool
//!
//! An HTTP service that answers `GET /pay/N` with 200 only if its audit line is confirmed: the disk has it, in the spool
//! or in the file. Otherwise it answers 503, and the payment does not take place. Whenever the process is killed, each
//! payment that was answered has its line in the file in the end: the next process delivers what the spool has.
//!
//! ```text
//! curl http://127.0.0.1:3000/pay/7
//! ```
//!
//! Ctrl-C or SIGTERM stops it: open requests finish, the logger delivers what is pending and reports.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "help, errors and the report are for the terminal")]

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use logweir::format::Json;
use logweir::sink::{Durability, FileSink};
use logweir::{Level, Logger, Pipeline, Spool, WhenFull, new_event};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const USAGE: &str = "Usage: audit --listen ADDR --file PATH --spool DIR";

/// How long a payment waits for its audit line.
const PATIENCE: Duration = Duration::from_secs(2);
const SHUTDOWN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    run(options).await.unwrap_or_else(|error| {
        eprintln!("audit: {error}");
        ExitCode::FAILURE
    })
}

async fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let listener = TcpListener::bind(options.listen).await?;
    // A full file system refuses payments, and drops none that was answered.
    let file = FileSink::new(options.file).format(Json::new()).durability(Durability::SyncEveryBatch);
    let pipeline = Pipeline::new(file).spool(Spool::new(options.spool)).essential().when_full(WhenFull::DropNewest);
    let logger =
        Logger::builder().name("audit").sink("file", pipeline).start().map_err(|error| format!("{error:?}"))?;
    println!("listening on http://{}", listener.local_addr()?);

    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut stopped = pin!(stop_signal());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stopped => break,
        };
        let (logger, stop) = (logger.clone(), stop.clone());
        tasks.spawn(async move {
            let answer = service_fn(|request| {
                let logger = logger.clone();
                async move { Ok::<_, Infallible>(answer(&request, &logger).await) }
            });
            let mut server = http1::Builder::new();
            let mut connection = pin!(server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer));
            // A client that hangs up has no answer to rely on.
            let _ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
        });
    }
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let report = logger.shutdown(SHUTDOWN).await;
    println!("{report}");
    Ok(if report.check().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn answer(request: &Request<Incoming>, logger: &Logger) -> Response<Full<Bytes>> {
    let payment = request.uri().path().strip_prefix("/pay/").map(str::parse::<u64>);
    let (status, body) = match payment {
        Some(Ok(n)) if request.method() == Method::GET => {
            match logger.emit_confirmed(new_event!(Level::Info, "paid {n}", n), PATIENCE).await {
                Ok(receipt) => (StatusCode::OK, format!("paid {n}: {}\n", receipt.id)),
                Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not paid: {error}\n")),
            }
        }
        _ => (StatusCode::NOT_FOUND, "GET /pay/N\n".to_owned()),
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

struct Options {
    listen: SocketAddr,
    file: PathBuf,
    spool: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
        let (mut listen, mut file, mut spool) = (None, None, None);
        while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
            match &*name {
                "--listen" => listen = Some(value.parse().ok()?),
                "--file" => file = Some(value.into()),
                "--spool" => spool = Some(value.into()),
                _ => return None,
            }
        }
        Some(Options { listen: listen?, file: file?, spool: spool? })
    }
}

/// Ends with the signal that asks the service to stop.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    tokio::signal::ctrl_c().await.unwrap_or_default();
}
