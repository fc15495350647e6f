//! Sinks of requests, good and bad ones, against a server over TCP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use logweir::sink::{Answer, Encoded, Request, RequestSink, Verdict};
use logweir::testing::{TestReply, TestServer, request_conformance};
use logweir::{Batch, SinkError, async_trait};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;

/// The rule that a sink breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    NamesAnEventTwice,
    NamesAnEventThatIsNotThere,
    RejectsMoreThanThereAre,
    /// Says that all is well before the server does.
    DoesNotWait,
    /// Says that all is well whatever the server says.
    IgnoresResults,
    /// Its connection is used again after a request that was abandoned.
    KeepsConnection,
    Blocks,
    /// Its bodies differ from one call to the next.
    EncodesTheTime,
    EncodesNothing,
    /// Leaves out an event without a word.
    ForgetsAnEvent,
    /// Bodies have what the answer does not mention.
    RefusesBehindTheBody,
    DoesNotOpen,
    DoesNotClose,
}

/// A body is one message a line, and an empty line; the response one line with a letter for each event.
struct Lines {
    addr: SocketAddr,
    connection: AsyncMutex<Option<BufStream<TcpStream>>>,
    flaw: Flaw,
    calls: AtomicUsize,
}

impl Lines {
    async fn exchange(&self, body: &[u8]) -> std::io::Result<String> {
        let mut kept = self.connection.lock().await;
        // Taken out while it is used: if this future is dropped, so is the connection.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => BufStream::new(TcpStream::connect(self.addr).await?),
        };
        let mut response = String::new();
        if self.flaw == Flaw::KeepsConnection {
            let connection = kept.insert(connection);
            connection.write_all(body).await?;
            connection.flush().await?;
            connection.read_line(&mut response).await?;
            return Ok(response);
        }
        connection.write_all(body).await?;
        connection.flush().await?;
        if self.flaw == Flaw::DoesNotWait {
            return Ok("d".repeat(body.len()));
        }
        connection.read_line(&mut response).await?;
        if response.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        *kept = Some(connection);
        Ok(response)
    }
}

#[async_trait]
impl RequestSink for Lines {
    fn open(&self) -> Result<(), SinkError> {
        if self.flaw == Flaw::DoesNotOpen { Err(SinkError::permanent("no")) } else { Ok(()) }
    }

    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        let mut events = 0;
        for record in batch.iter().take(500) {
            events += 1;
            if self.flaw == Flaw::ForgetsAnEvent && events == 3 {
                continue;
            }
            body.extend_from_slice(record.message().to_string().as_bytes());
            body.push(b'\n');
        }
        if self.flaw == Flaw::EncodesTheTime {
            body.extend_from_slice(self.calls.fetch_add(1, Ordering::Relaxed).to_string().as_bytes());
        }
        body.push(b'\n');
        match self.flaw {
            Flaw::EncodesNothing => Encoded::first(0),
            Flaw::RefusesBehindTheBody => Encoded::first(events).refuse(events, "no"),
            _ => Encoded::first(events),
        }
    }

    async fn send(&self, request: &Request) -> Answer {
        if self.flaw == Flaw::Blocks {
            std::thread::sleep(Duration::from_millis(150));
        }
        let response = match self.exchange(&request.body).await {
            Ok(response) => response,
            Err(error) => return Answer::again(error).maybe_arrived(),
        };
        if response.starts_with("unavailable") {
            return Answer::again("unavailable");
        }
        let mut answer = Answer::delivered();
        for (index, letter) in response.trim().chars().enumerate().take(request.batch.len()) {
            let verdict = match letter {
                _ if self.flaw == Flaw::IgnoresResults => continue,
                'a' => Verdict::Again,
                'r' => Verdict::Rejected("as told".into()),
                _ => continue,
            };
            if self.flaw == Flaw::NamesAnEventTwice {
                answer = answer.except(index, verdict.clone());
            }
            answer = answer.except(index, verdict);
        }
        match self.flaw {
            Flaw::NamesAnEventThatIsNotThere => answer.except(request.batch.len(), Verdict::Again),
            Flaw::RejectsMoreThanThereAre => answer.rejected_unnamed(request.batch.len() + 1),
            _ => answer,
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        if self.flaw == Flaw::DoesNotClose { Err(SinkError::temporary("no")) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Served {
    replies: VecDeque<TestReply>,
    stored: Vec<String>,
}

struct LineServer {
    addr: SocketAddr,
    served: Arc<Mutex<Served>>,
    flaw: Flaw,
}

fn locked(served: &Mutex<Served>) -> MutexGuard<'_, Served> {
    served.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LineServer {
    async fn start(flaw: Flaw) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = Arc::new(Mutex::new(Served::default()));
        let all = served.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(BufStream::new(stream), all.clone()));
            }
        });
        LineServer { addr, served, flaw }
    }
}

async fn serve(mut connection: BufStream<TcpStream>, served: Arc<Mutex<Served>>) {
    loop {
        let mut events = Vec::new();
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end() {
                "" => break,
                line => events.push(line.to_owned()),
            }
        }
        let response = answer(&events, &mut locked(&served));
        let Some(response) = response else {
            // Until the client closes the connection.
            return drop(connection.read_line(&mut String::new()).await);
        };
        let sent = connection.write_all(response.as_bytes()).await;
        if sent.is_err() || connection.flush().await.is_err() {
            return;
        }
    }
}

/// Stores what is to be stored; `None`: there is no answer.
fn answer(events: &[String], served: &mut Served) -> Option<String> {
    let (letter, indices) = match served.replies.pop_front() {
        Some(TestReply::Silent) => return None,
        Some(TestReply::Unavailable) => return Some("unavailable\n".to_owned()),
        Some(TestReply::Again(indices)) => ('a', indices),
        Some(TestReply::Reject(indices)) => ('r', indices),
        _ => ('d', Vec::new()),
    };
    let mut letters = String::new();
    for (index, event) in events.iter().enumerate() {
        let is_named = indices.contains(&index);
        letters.push(if is_named { letter } else { 'd' });
        if !is_named {
            served.stored.push(event.clone());
        }
    }
    Some(letters + "\n")
}

impl TestServer for LineServer {
    type Sink = Lines;

    fn sink(&mut self) -> Lines {
        Lines { addr: self.addr, connection: AsyncMutex::new(None), flaw: self.flaw, calls: AtomicUsize::new(0) }
    }

    fn reply(&mut self, reply: TestReply) {
        locked(&self.served).replies.push_back(reply);
    }

    fn take_stored(&mut self) -> Vec<String> {
        std::mem::take(&mut locked(&self.served).stored)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_of_requests_that_keeps_the_rules_passes() {
    request_conformance(LineServer::start(Flaw::None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_rule_of_a_sink_of_requests_is_named() {
    let flaws = [
        (Flaw::NamesAnEventTwice, "two verdicts for event"),
        (Flaw::NamesAnEventThatIsNotThere, "a verdict for event 500 of 500"),
        (Flaw::RejectsMoreThanThereAre, "rejected 501 events of 500"),
        (Flaw::DoesNotWait, "what is reported as delivered was acknowledged by the server"),
        (Flaw::IgnoresResults, "what is reported as delivered was acknowledged by the server"),
        (Flaw::KeepsConnection, "Unavailable: every event is to be sent again"),
        (Flaw::Blocks, "`send` leaves its thread to others while it waits"),
        (Flaw::EncodesTheTime, "the same batch has the same body"),
        (Flaw::EncodesNothing, "a request has 1 to 20 events, not 0"),
        (Flaw::ForgetsAnEvent, "what is reported as delivered was acknowledged by the server"),
        (Flaw::RefusesBehindTheBody, "a refused event is named once, and is among the 20 encoded"),
        (Flaw::DoesNotOpen, "`open` succeeds"),
        (Flaw::DoesNotClose, "`close` succeeds"),
    ];
    for (flaw, said) in flaws {
        let tried = request_conformance(LineServer::start(flaw).await);
        let payload = AssertUnwindSafe(tried).catch_unwind().await.expect_err(&format!("{flaw:?} passes"));
        let complaint = payload.downcast_ref::<String>().unwrap();
        assert!(complaint.contains(said), "{flaw:?}: {complaint}");
    }
}
