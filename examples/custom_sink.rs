//! cargo run --example custom_sink
//!
//! Two sinks of one's own: an `async` one that sends JSON lines over TCP and waits for the receipt (its server is in this
//! process), and a blocking one on a thread of its own.

#![expect(clippy::print_stdout, reason = "what arrived is for the terminal")]

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use logweir::Blocking;
use logweir::format::{Format, Json};
use logweir::sink::BlockingSink;
use logweir::{Batch, Level, Logger, Pipeline, Sink, SinkError, async_trait, info, warn};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let collector = Collector::new(listener.local_addr()?);
    let server: JoinHandle<io::Result<Vec<String>>> = tokio::spawn(collect(listener));
    let path = std::env::temp_dir().join("logweir-custom-sink.tsv");

    let logger = Logger::builder()
        .name("custom")
        .sink("collector", Pipeline::new(collector).timeout(Duration::from_secs(2)))
        .sink("alarms", Pipeline::new(Blocking::new(Alarms::new(path.clone())).name("alarms")).level(Level::Warn))
        .start()?;
    for sensor in 1..=4 {
        let meters = 1.5 * f64::from(sensor);
        info!(logger: logger, "sensor {sensor} reads {meters:.1} m", sensor, meters);
        if meters > 5.0 {
            warn!(logger: logger, "sensor {sensor} is over its mark", sensor, meters);
        }
    }
    let report = logger.shutdown(Duration::from_secs(5)).await;

    println!("the collector received:");
    for line in server.await?? {
        println!("  {line}");
    }
    println!("{} holds:", path.display());
    for line in std::fs::read_to_string(&path)?.lines() {
        println!("  {line}");
    }
    println!("{report}");
    report.check()?;
    Ok(())
}

/// Sends each batch as JSON lines and an empty line, and takes the server's count as the receipt.
struct Collector {
    addr: SocketAddr,
    connection: Option<BufStream<TcpStream>>,
    format: Json,
    buffer: Vec<u8>,
    written: u64,
}

impl Collector {
    fn new(addr: SocketAddr) -> Self {
        Collector { addr, connection: None, format: Json::new(), buffer: Vec::new(), written: 0 }
    }

    async fn send(&mut self, count: usize) -> io::Result<()> {
        // Taken out while it is used: if this future is dropped (a timeout) or fails, so is the connection, and with it
        // the half of a batch that the server may have read. The next call begins anew.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufStream::new(TcpStream::connect(self.addr).await?),
        };
        connection.write_all(&self.buffer).await?;
        connection.flush().await?;
        let mut receipt = String::new();
        connection.read_line(&mut receipt).await?;
        if receipt.trim().parse() != Ok(count) {
            return Err(io::Error::other(format!("{count} lines sent, the receipt is {receipt:?}")));
        }
        self.written += self.buffer.len() as u64;
        self.connection = Some(connection);
        Ok(())
    }
}

#[async_trait]
impl Sink for Collector {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.buffer.clear();
        for record in batch.iter() {
            self.format.format(&record, &mut self.buffer);
        }
        self.buffer.push(b'\n');
        // Nothing of the batch counts as delivered without the receipt, and trying again may help.
        self.send(batch.len()).await.map_err(SinkError::temporary)
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        match self.connection.take() {
            Some(mut connection) => connection.shutdown().await.map_err(SinkError::temporary),
            None => Ok(()),
        }
    }

    fn written_bytes(&self) -> u64 {
        self.written
    }
}

/// The other side, for one connection.
async fn collect(listener: TcpListener) -> io::Result<Vec<String>> {
    let mut connection = BufStream::new(listener.accept().await?.0);
    let (mut received, mut batch) = (Vec::new(), Vec::new());
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await? == 0 {
            return Ok(received);
        }
        match line.trim_end() {
            "" => {
                connection.write_all(format!("{}\n", batch.len()).as_bytes()).await?;
                connection.flush().await?;
                received.append(&mut batch);
            }
            line => batch.push(line.to_owned()),
        }
    }
}

/// Tab-separated values. Its calls may block: they run on the thread that [`Blocking`] gives it.
struct Alarms {
    path: PathBuf,
    file: Option<File>,
}

impl Alarms {
    fn new(path: PathBuf) -> Self {
        Alarms { path, file: None }
    }

    fn file(&mut self) -> Result<&mut File, SinkError> {
        self.file.as_mut().ok_or_else(|| SinkError::permanent("the file is not open"))
    }
}

impl BlockingSink for Alarms {
    fn open(&mut self) -> Result<(), SinkError> {
        // An error here is what `start` returns.
        self.file = Some(File::create(&self.path).map_err(SinkError::permanent)?);
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let file = self.file()?;
        for (index, record) in batch.iter().enumerate() {
            let sensor = record.field("sensor").map(|sensor| sensor.to_string()).unwrap_or_default();
            // What came before the failure is delivered, and is not sent again.
            writeln!(file, "{}\t{sensor}\t{}", record.level(), record.message())
                .map_err(|error| SinkError::temporary(error).with_delivered(index))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.file()?.sync_data().map_err(SinkError::temporary)
    }
}
