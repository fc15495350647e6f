//! cargo run --example batch_api
//!
//! A sink of one's own for a bulk API over HTTP/1.1 that has a result for each event of a request, as Elasticsearch's `_bulk`
//! has. Its server is in this process: the first time it has no room for some events, and it never accepts a negative one.

#![expect(clippy::print_stdout, reason = "what arrived is for the terminal")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logweir::format::{Format, Json};
use logweir::sink::{Acknowledges, Answer, Batching, Duplicates, Encoded, MemorySink, Request, RequestSink, Verdict};
use logweir::{Batch, Logger, Pipeline, SinkError, async_trait, info};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;

/// The API accepts no larger body.
const MAX_BODY: usize = 256 << 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let api = BulkApi::new(listener.local_addr()?);
    let index = Arc::new(Index::default());
    tokio::spawn(serve(listener, index.clone()));
    let rejected = MemorySink::new();

    let logger = Logger::builder()
        .name("bulk")
        // A request has up to 500 events or 64 KiB, and waits for them for 200 ms.
        .sink("api", Pipeline::new(api).batching(500, 64 << 10, Duration::from_millis(200)).fallback(rejected.clone()))
        .start()?;
    for order in 0..1000_i64 {
        let amount = if order == 123 { -1 } else { order * 7 % 100 };
        info!(logger: logger, "order {order} of {amount}", order, amount);
    }
    let report = logger.shutdown(Duration::from_secs(10)).await;

    println!("the API has {} events of {} requests", index.len(), index.requests.load(Ordering::Relaxed));
    println!("it rejected: {}", rejected.events().iter().map(|event| event.message()).collect::<Vec<_>>().join(", "));
    println!("{report}");
    report.check()?;
    Ok(())
}

/// Sends events to `/_bulk`, each as a line with its id and a line of JSON.
struct BulkApi {
    addr: SocketAddr,
    // A tokio lock: one request at a time uses the connection.
    connection: AsyncMutex<Option<BufStream<TcpStream>>>,
    written: AtomicU64,
}

impl BulkApi {
    fn new(addr: SocketAddr) -> Self {
        BulkApi { addr, connection: AsyncMutex::new(None), written: AtomicU64::new(0) }
    }

    /// Returns the status and the body of the response.
    async fn post(&self, body: &[u8]) -> Result<(u16, String), Unanswered> {
        let mut kept = self.connection.lock().await;
        // Taken out while it is used: if this future is dropped (a timeout) or fails, so is the connection. A late response
        // must not be taken for that of the next request.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => BufStream::new(TcpStream::connect(self.addr).await.map_err(Unanswered::NotSent)?),
        };
        let head = format!("POST /_bulk HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n", self.addr, body.len());
        let exchange = async {
            connection.write_all(head.as_bytes()).await?;
            connection.write_all(body).await?;
            connection.flush().await?;
            read_message(&mut connection).await
        };
        let (status_line, response) = exchange.await.map_err(Unanswered::MaybeArrived)?;
        self.written.fetch_add(body.len() as u64, Ordering::Relaxed);
        *kept = Some(connection);
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, String::from_utf8_lossy(&response).into_owned()))
    }
}

/// Why there is no response.
enum Unanswered {
    NotSent(io::Error),
    MaybeArrived(io::Error),
}

#[async_trait]
impl RequestSink for BulkApi {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let mut json = Json::new();
        for (index, record) in batch.iter().enumerate() {
            let before = body.len();
            body.extend_from_slice(record.id().to_string().as_bytes());
            body.push(b'\n');
            json.format(&record, body);
            if body.len() > MAX_BODY {
                // Where the body was full, the next request begins.
                body.truncate(before);
                return match index {
                    0 => Encoded::first(1).refuse(0, "larger than the API accepts"),
                    _ => Encoded::first(index),
                };
            }
        }
        Encoded::all(batch)
    }

    async fn send(&self, request: &Request) -> Answer {
        let (status, response) = match self.post(&request.body).await {
            Ok(answered) => answered,
            Err(Unanswered::NotSent(error)) => return Answer::again(error),
            Err(Unanswered::MaybeArrived(error)) => return Answer::again(error).maybe_arrived(),
        };
        match status {
            // A line for each event: its status, and why. Without one the event may have arrived.
            200 if response.lines().count() != request.batch.len() => {
                Answer::again("a response without a result for each event").maybe_arrived()
            }
            200 => response.lines().enumerate().fold(Answer::delivered(), |answer, (index, line)| {
                match line.split_once(' ').unwrap_or((line, "")) {
                    // Created, or there already.
                    ("201" | "409", _) => answer,
                    ("429", _) => answer.except(index, Verdict::Again),
                    (_, why) => answer.except(index, Verdict::Rejected(why.to_owned().into())),
                }
            }),
            401 | 403 | 404 => Answer::unusable(format!("status {status}")),
            413 => Answer::too_large("status 413"),
            429 | 503 => Answer::again(format!("status {status}")).retry_after(Duration::from_secs(1)),
            500..=599 => Answer::again(format!("status {status}")).maybe_arrived(),
            _ => Answer::rejected(format!("status {status}")),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        drop(self.connection.lock().await.take());
        Ok(())
    }

    fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn default_batching(&self) -> Batching {
        Batching::new(1024, MAX_BODY, Duration::from_secs(1))
    }

    fn acknowledges(&self) -> Acknowledges {
        Acknowledges::Stored
    }

    fn duplicates(&self) -> Duplicates {
        // The API stores one event of an id.
        Duplicates::Removed
    }
}

/// Reads the first line and the body of an HTTP message with a `content-length`.
async fn read_message(connection: &mut BufStream<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    connection.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().map_err(io::Error::other)?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok((first, body))
}

/// What the server of this example has.
#[derive(Default)]
struct Index {
    events: Mutex<BTreeMap<String, String>>,
    requests: AtomicU64,
}

impl Index {
    fn len(&self) -> usize {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Stores events; returns a line for each.
    fn bulk(&self, body: &str) -> String {
        let is_first = self.requests.fetch_add(1, Ordering::Relaxed) == 0;
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut lines, mut results) = (body.lines(), String::new());
        let full: BTreeSet<usize> = if is_first { (10..20).collect() } else { BTreeSet::new() };
        let mut number = 0;
        while let (Some(id), Some(event)) = (lines.next(), lines.next()) {
            let result = match () {
                () if event.contains("\"amount\":-") => "400 the amount is negative",
                () if full.contains(&number) => "429 no room",
                () if events.contains_key(id) => "409",
                () => {
                    events.insert(id.to_owned(), event.to_owned());
                    "201"
                }
            };
            number += 1;
            writeln!(results, "{result}").expect("text takes any text");
        }
        results
    }
}

/// The other side, for any connection.
async fn serve(listener: TcpListener, index: Arc<Index>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (mut connection, index) = (BufStream::new(stream), index.clone());
        tokio::spawn(async move {
            while let Ok((_, body)) = read_message(&mut connection).await {
                let results = index.bulk(&String::from_utf8_lossy(&body));
                let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{results}", results.len());
                if connection.write_all(response.as_bytes()).await.is_err() || connection.flush().await.is_err() {
                    return;
                }
            }
        });
    }
}
