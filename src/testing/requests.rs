//! A test's thread: calls a sink of requests in every way a pipeline does, against a server that the test controls.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::blocking::BlockedPolls;
use crate::event::{Batch, Event, Level};
use crate::pipeline::Ruling;
use crate::sink::{Encoded, Request, RequestSink};

/// The time that a request which the server does not answer is waited for.
const SILENCE: Duration = Duration::from_millis(200);
/// The timeout of each other call.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server of a sink of requests, as [`request_conformance`] controls it.
pub trait TestServer: Send {
    /// The sink under test.
    type Sink: RequestSink;

    /// Creates a sink to this server.
    fn sink(&mut self) -> Self::Sink;

    /// Sets what the server does with the next request, once. Without that, it stores all events and reports this.
    fn reply(&mut self, reply: TestReply);

    /// Returns the messages of the events that it has acknowledged as stored, with repeats, since the last call.
    fn take_stored(&mut self) -> Vec<String>;

    /// Returns whether its protocol has a result for each event. Default: yes. If not, [`TestReply::Again`] and
    /// [`TestReply::Reject`] are left out.
    fn answers_for_each_event(&self) -> bool {
        true
    }
}

/// What a [`TestServer`] does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TestReply {
    /// Stores all but the events at these indices of the request, and says that they may be sent again.
    Again(Vec<usize>),
    /// Stores all but the events at these indices, and says that they are not acceptable.
    Reject(Vec<usize>),
    /// Stores nothing, and says that it is not available for now.
    Unavailable,
    /// Reads the request, stores nothing and never answers.
    Silent,
}

/// Calls a [`RequestSink`] in every way a pipeline does, and checks that it follows the rules.
///
/// Each event's message is `event` and a number. Needs a tokio runtime with timers; it waits 200 ms of its time for the
/// request that the server does not answer.
///
/// # Panics
/// Panics if a rule is broken, with a sentence that names it.
///
/// # Cancel safety
/// If it is canceled, it leaves sinks that were not closed.
pub async fn request_conformance<T: TestServer>(mut server: T) {
    encodes(&server.sink());
    divides(&mut server).await;
    if server.answers_for_each_event() {
        settles_each_event(&mut server).await;
    }
    reports_no_success_without_one(&mut server).await;
    survives_dropped_futures(&mut server).await;
    reopens(&mut server).await;
}

/// A body depends on its events alone.
fn encodes<S: RequestSink>(sink: &S) {
    const NAME: &str = "encoding";
    let batch = batch(0, 20, 10);
    let encode = |batch: &Batch| {
        let mut body = Vec::new();
        (sink.encode(batch, &mut body), body)
    };
    let (first, body) = encode(&batch);
    check_encoded(NAME, &first, &batch);
    assert_eq!(encode(&batch), (first, body), "{NAME}: the same batch has the same body");
    let (front, _) = encode(&batch.split_at(1).0);
    assert_eq!(front.events, 1, "{NAME}: a batch of one event is one request");
}

/// Every event of a batch that is larger than a request is in exactly one.
async fn divides<T: TestServer>(server: &mut T) {
    let mut scenario = RequestScenario::open(server, "a batch that is larger than a request");
    let mut rest = batch(0, 3000, 1000);
    let all = messages(&rest);
    let mut refused = Vec::new();
    while !rest.is_empty() {
        let (request, left) = scenario.encode(&rest);
        refused.extend(request.refused);
        if !request.request.batch.is_empty() {
            let ruling = scenario.send(&request.request).await;
            assert!(ruling.open.is_empty(), "{}: the server stores it, and nothing is sent again", scenario.name);
        }
        rest = left;
    }
    let mut there = scenario.stored.clone();
    there.extend(refused.into_iter().map(|message| (message, 1)));
    let all: BTreeMap<String, usize> = all.into_iter().map(|message| (message, 1)).collect();
    assert!(there == all, "{}: each event is in one request, or refused", scenario.name);
    scenario.close().await;
}

/// What the server says of an event is what the answer says of it.
async fn settles_each_event<T: TestServer>(server: &mut T) {
    for indices in [vec![0], vec![3, 0, 7], vec![9], (0..10).rev().collect()] {
        let mut scenario = RequestScenario::open(server, "results for each event");
        let (request, _) = scenario.encode(&batch(0, 10, 10));
        let request = request.request;
        let named: Vec<usize> = indices.iter().copied().filter(|index| *index < request.batch.len()).collect();
        let all = messages(&request.batch);
        let expected = sorted(named.iter().map(|index| all[*index].clone()).collect());

        scenario.server.reply(TestReply::Again(named.clone()));
        let ruling = scenario.send(&request).await;
        let again = sorted(messages(&ruling.open));
        assert_eq!(again, expected, "{}: what the server has not stored is sent again", scenario.name);
        let (rest, _) = scenario.encode(&ruling.open);
        let ruling = scenario.send(&rest.request).await;
        assert!(ruling.open.is_empty() && ruling.rejected.is_empty(), "{}: the retry is stored", scenario.name);

        scenario.stored.clear();
        scenario.server.reply(TestReply::Reject(named.clone()));
        let ruling = scenario.send(&request).await;
        assert!(ruling.open.is_empty(), "{}: what the server rejects is not sent again: {ruling:?}", scenario.name);
        let is_named = sorted(messages(&ruling.rejected)) == expected;
        let is_counted = ruling.rejected.is_empty() && ruling.rejected_unnamed == named.len();
        assert!(is_named || is_counted, "{}: the rejected events are named, or counted: {ruling:?}", scenario.name);
        scenario.close().await;
    }
}

/// Nothing is reported as delivered that the server has not acknowledged.
async fn reports_no_success_without_one<T: TestServer>(server: &mut T) {
    let mut scenario = RequestScenario::open(server, "a server that is not available, or does not answer");
    let (request, _) = scenario.encode(&batch(0, 10, 10));
    let request = request.request;
    for reply in [TestReply::Unavailable, TestReply::Silent, TestReply::Unavailable] {
        scenario.server.reply(reply.clone());
        let waits = if reply == TestReply::Silent { SILENCE } else { PATIENCE };
        match timeout(waits, scenario.sink.send(&request)).await {
            Ok(answer) => {
                let ruling = Ruling::of(&answer, &request.batch);
                let kept = ruling.open.len() == request.batch.len();
                assert!(kept, "{}: {reply:?}: every event is to be sent again: {answer:?}", scenario.name);
            }
            Err(_) => assert_eq!(reply, TestReply::Silent, "{}: `send` ends within {PATIENCE:?}", scenario.name),
        }
    }
    let ruling = scenario.send(&request).await;
    assert!(ruling.open.is_empty(), "{}: once it answers, a request succeeds", scenario.name);
    scenario.close().await;
}

/// A request that is abandoned anywhere does not harm the next one.
async fn survives_dropped_futures<T: TestServer>(server: &mut T) {
    let mut scenario = RequestScenario::open(server, "a request that is abandoned");
    if !scenario.sink.outlives_timeout() {
        for polls in 1..20 {
            let (request, _) = scenario.encode(&batch(0, 5, 100));
            let abandoned = poll_times(scenario.sink.send(&request.request), polls).await;
            drop(abandoned);
            drop(scenario.server.take_stored());
            let (request, _) = scenario.encode(&batch(5, 5, 100));
            let ruling = scenario.send_beside(&request.request, |message| number(message) < 5).await;
            assert!(ruling.open.is_empty(), "{}: the next request succeeds", scenario.name);
        }
    }
    scenario.close().await;
}

async fn reopens<T: TestServer>(server: &mut T) {
    let mut scenario = RequestScenario::open(server, "reopens between requests");
    for _ in 0..3 {
        let reopened = timeout(PATIENCE, scenario.sink.reopen()).await;
        assert!(matches!(reopened, Ok(Ok(()))), "{}: `reopen` succeeds: {reopened:?}", scenario.name);
        let (request, _) = scenario.encode(&batch(0, 10, 10));
        drop(scenario.send(&request.request).await);
        let flushed = timeout(PATIENCE, scenario.sink.flush()).await;
        assert!(matches!(flushed, Ok(Ok(()))), "{}: `flush` succeeds: {flushed:?}", scenario.name);
    }
    scenario.close().await;
}

/// Polls a future so many times at most.
async fn poll_times<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// One scripted life of a sink of requests.
struct RequestScenario<'a, T: TestServer> {
    server: &'a mut T,
    sink: T::Sink,
    name: &'static str,
    /// How often the server has stored each event.
    stored: BTreeMap<String, usize>,
    blocked: BlockedPolls,
}

/// A request, and the messages of the events that it cannot have.
struct EncodedRequest {
    request: Request,
    refused: Vec<String>,
}

impl<'a, T: TestServer> RequestScenario<'a, T> {
    fn open(server: &'a mut T, name: &'static str) -> Self {
        let sink = server.sink();
        let opened = sink.open();
        assert!(opened.is_ok(), "{name}: `open` succeeds: {opened:?}");
        drop(server.take_stored());
        RequestScenario { server, sink, name, stored: BTreeMap::new(), blocked: BlockedPolls::default() }
    }

    /// Encodes the first request of a batch; returns it, and the rest.
    fn encode(&self, batch: &Batch) -> (EncodedRequest, Batch) {
        let mut body = Vec::new();
        let encoded = self.sink.encode(batch, &mut body);
        check_encoded(self.name, &encoded, batch);
        let (front, rest) = batch.split_at(encoded.events);
        let is_refused = |index: &u32| encoded.refused.iter().any(|(refused, _)| *refused == *index as usize);
        let (refused, kept): (Vec<u32>, Vec<u32>) = (0..front.len() as u32).partition(is_refused);
        let request = Request::new(front.pick(&kept), body);
        (EncodedRequest { request, refused: messages(&front.pick(&refused)) }, rest)
    }

    async fn send(&mut self, request: &Request) -> Ruling {
        self.send_beside(request, |_| false).await
    }

    /// Sends a request. The server may store others beside it, of requests that were abandoned.
    async fn send_beside(&mut self, request: &Request, is_other: impl Fn(&str) -> bool) -> Ruling {
        let name = self.name;
        let answer = self.blocked.watch(name, "send", timeout(PATIENCE, self.sink.send(request))).await;
        let Ok(answer) = answer else { panic!("{name}: `send` ends within {PATIENCE:?}") };
        let ruling = Ruling::of(&answer, &request.batch);
        if let Some(fault) = &ruling.fault {
            panic!("{name}: an answer is about the events of its request: {fault}");
        }
        let mut stored = self.server.take_stored();
        stored.retain(|message| !is_other(message));
        let left = messages(&ruling.open).into_iter().chain(messages(&ruling.rejected)).collect::<Vec<_>>();
        let mut reported = messages(&request.batch);
        reported.retain(|message| !left.contains(message));
        let is_stored = reported.iter().filter(|message| stored.contains(message)).count();
        assert_eq!(
            is_stored, ruling.delivered,
            "{name}: what is reported as delivered was acknowledged by the server: {answer:?}"
        );
        assert_eq!(
            stored.len(),
            is_stored,
            "{name}: what the server acknowledged is reported as delivered: {answer:?}"
        );
        stored.into_iter().for_each(|message| *self.stored.entry(message).or_default() += 1);
        ruling
    }

    async fn close(self) {
        let closed = timeout(PATIENCE, self.sink.close()).await;
        assert!(matches!(closed, Ok(Ok(()))), "{}: `close` succeeds: {closed:?}", self.name);
    }
}

fn check_encoded(name: &str, encoded: &Encoded, batch: &Batch) {
    let Encoded { events, refused } = encoded;
    assert!((1..=batch.len()).contains(events), "{name}: a request has 1 to {} events, not {events}", batch.len());
    for (number, (index, _)) in refused.iter().enumerate() {
        let is_once = refused[..number].iter().all(|(other, _)| other != index);
        assert!(
            index < events && is_once,
            "{name}: a refused event is named once, and is among the {events} encoded: {index}"
        );
    }
}

/// Events whose text has so many bytes.
fn batch(first: u64, events: u64, bytes: usize) -> Batch {
    let text = "x".repeat(bytes);
    let event =
        |n: u64| Event::new(Level::Info, "conformance", &format!("event {n}")).with("n", n).with("text", text.as_str());
    (first..first + events).map(event).collect()
}

fn messages(batch: &Batch) -> Vec<String> {
    batch.iter().map(|record| record.message().to_string()).collect()
}

fn number(message: &str) -> u64 {
    message.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

fn sorted(mut messages: Vec<String>) -> Vec<String> {
    messages.sort();
    messages
}
