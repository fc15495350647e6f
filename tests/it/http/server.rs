//! A server that answers as scripted, and writes down what it was sent.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What follows a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// This status, with these lines of the head and this body.
    Status(u16, &'static str, Vec<u8>),
    /// The connection ends before a byte of a response.
    Reset,
    /// It ends in the middle of the body of this status.
    Cut(u16),
    /// Bytes that are no response.
    Garbage,
    /// A 200 that comes byte by byte.
    Slow,
    /// A 200 after an informational response, behind which the connection ends.
    Informational,
    /// Nothing, ever.
    Silence,
}

pub(super) fn status(status: u16) -> Reply {
    Reply::Status(status, "", Vec::new())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body, decompressed.
    pub(super) fn plain(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            Some("gzip") => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut plain).unwrap();
                plain
            }
            other => {
                assert_eq!(other, None);
                self.body.clone()
            }
        }
    }

    /// The messages of its lines, which are JSON objects.
    pub(super) fn messages(&self) -> Vec<String> {
        let plain = String::from_utf8(self.plain()).unwrap();
        let message = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["message"].as_str().unwrap().to_owned()
        };
        plain.lines().map(message).collect()
    }
}

#[derive(Default)]
struct Log {
    replies: VecDeque<Reply>,
    received: Vec<Received>,
    connections: usize,
}

/// Runs until it is dropped. Behind the last reply it answers 200.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Server::start_at("127.0.0.1:0".parse().unwrap(), replies).await
    }

    pub(super) async fn start_at(addr: SocketAddr, replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log { replies: replies.into_iter().collect(), ..Log::default() }));
        let shared = log.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().unwrap().connections += 1;
                let log = shared.clone();
                connections.spawn(async move { serve(stream, &log).await });
            }
        });
        Server { addr, log, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/logs", self.addr)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.log().received.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.log().connections
    }

    /// The messages that came, whatever the answer; without notices.
    pub(super) fn messages(&self) -> Vec<String> {
        let all = self.received().into_iter().flat_map(|received| received.messages());
        all.filter(|message| message.parse::<u64>().is_ok()).collect()
    }
}

/// Reads a request; `None`: the connection has ended.
async fn read(stream: &mut TcpStream) -> Option<Received> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 8192]);
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
        }
    };
    let mut received =
        Received { head: String::from_utf8(bytes[..head].to_vec()).unwrap(), body: bytes.split_off(head) };
    let len: usize = received.header("content-length").unwrap().parse().unwrap();
    while received.body.len() < len {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.body.extend_from_slice(&buffer[..read]),
        }
    }
    assert_eq!(received.body.len(), len);
    Some(received)
}

async fn serve(mut stream: TcpStream, log: &Mutex<Log>) {
    while let Some(received) = read(&mut stream).await {
        let reply = {
            let mut log = log.lock().unwrap();
            log.received.push(received);
            log.replies.pop_front().unwrap_or_else(|| status(200))
        };
        let bytes = match &reply {
            Reply::Status(status, head, body) => {
                let mut bytes =
                    format!("HTTP/1.1 {status} x\r\n{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
                bytes.extend_from_slice(body);
                bytes
            }
            Reply::Reset => Vec::new(),
            Reply::Cut(status) => format!("HTTP/1.1 {status} x\r\ncontent-length: 10\r\n\r\nhalf").into_bytes(),
            Reply::Garbage => b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec(),
            Reply::Slow => b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\nok".to_vec(),
            Reply::Informational => b"HTTP/1.1 103 x\r\nlink: a\r\n\r\n".to_vec(),
            Reply::Silence => std::future::pending().await,
        };
        let pieces: Vec<&[u8]> = if matches!(reply, Reply::Slow) { bytes.chunks(1).collect() } else { vec![&bytes] };
        for piece in pieces {
            if stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if !matches!(reply, Reply::Status(..) | Reply::Slow) {
            return;
        }
    }
}
