//! A test's thread: tools to test the log calls of an application, and a sink of your own.

// In: a test's logger or sink. Out: captured events to assert on; panics that name a broken rule.
//
// Invariants:
// * Nothing here sleeps in place of a condition: waits end with an event, or with a timeout that fails the test.
// * A capture is not global: tests that run at the same time do not see each other's events.
//
// Next: `builder` and `sink`, which this room uses like any program.
//
// Add a helper for tests of log calls in `capture.rs`; a rule of `Sink` in `conformance`, of `RequestSink` in `requests.rs`.

mod blocking;
mod capture;
mod requests;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::timeout;

use blocking::BlockedPolls;
pub use capture::{Capture, capture, capture_with};
pub use requests::{TestReply, TestServer, request_conformance};

use crate::event::{Batch, Event, Level};
use crate::sink::Sink;
pub use crate::sink::TestConsole;

/// The timeout of each call.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls sinks in every way a pipeline does, and checks that they follow the rules of [`Sink`].
///
/// `make` creates a new sink for each scenario, with a destination that works. The function does not examine the
/// destination: check its content yourself. Needs a tokio runtime.
///
/// # Panics
/// Panics if a rule is broken, with a sentence that names it.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// logweir::testing::conformance(logweir::sink::MemorySink::new).await;
/// # }
/// ```
///
/// # Cancel safety
/// If it is canceled, it leaves sinks that were not closed.
pub async fn conformance<S: Sink>(mut make: impl FnMut() -> S) {
    SinkScenario::open(make(), "a sink that is closed without a write").close().await;
    writes_in_order(SinkScenario::open(make(), "writes, flushes, a close")).await;
    reopens(SinkScenario::open(make(), "reopens between writes")).await;
    cancels(SinkScenario::open(make(), "a write that is cancelled")).await;
}

async fn writes_in_order<S: Sink>(mut course: SinkScenario<S>) {
    course.flush().await;
    for events in [1, 100, 2] {
        course.write(events).await;
    }
    course.flush().await;
    course.flush().await;
    course.write(1).await;
    course.close().await;
}

async fn reopens<S: Sink>(mut course: SinkScenario<S>) {
    course.reopen().await;
    course.write(10).await;
    course.reopen().await;
    course.reopen().await;
    course.write(10).await;
    course.close().await;
}

async fn cancels<S: Sink>(mut course: SinkScenario<S>) {
    course.write(1).await;
    // A pipeline drops the write of a sink that outlives timeouts only at its own end.
    if !course.outlives {
        for events in [1, 100] {
            // Polled once, then dropped at its first `.await`.
            let answer = course.sink.write(&batch(events)).now_or_never();
            course.expect("a write succeeds", answer.unwrap_or(Ok(())));
            course.write(3).await;
        }
        let answer = course.sink.flush().now_or_never();
        course.expect("a flush succeeds", answer.unwrap_or(Ok(())));
        course.write(3).await;
    }
    course.close().await;
}

fn batch(events: usize) -> Batch {
    (0..events).map(|n| Event::new(Level::Info, "conformance", &format!("event {n}")).with("n", n as u64)).collect()
}

/// One scripted life of a sink.
struct SinkScenario<S> {
    sink: S,
    name: &'static str,
    outlives: bool,
    bytes: u64,
    blocked: BlockedPolls,
}

impl<S: Sink> SinkScenario<S> {
    fn open(mut sink: S, name: &'static str) -> Self {
        let answer = sink.open();
        let course = SinkScenario {
            outlives: sink.outlives_timeout(),
            bytes: sink.written_bytes(),
            sink,
            name,
            blocked: BlockedPolls::default(),
        };
        course.expect("`open` succeeds", answer);
        course
    }

    async fn write(&mut self, events: usize) {
        let batch = batch(events);
        let write = in_time(self.name, "write", self.sink.write(&batch));
        let answer = self.blocked.watch(self.name, "write", write).await;
        self.expect("`write` succeeds, also after a call that was cancelled", answer);
        let bytes = self.sink.written_bytes();
        assert!(bytes >= self.bytes, "{}: `written_bytes` is a running total: {bytes} after {}", self.name, self.bytes);
        self.bytes = bytes;
        let outlives = self.sink.outlives_timeout();
        assert!(outlives == self.outlives, "{}: `outlives_timeout` is the same for the sink's whole life", self.name);
    }

    async fn flush(&mut self) {
        let answer = in_time(self.name, "flush", self.sink.flush()).await;
        self.expect("`flush` succeeds, also without a write before it", answer);
    }

    async fn reopen(&mut self) {
        let answer = in_time(self.name, "reopen", self.sink.reopen()).await;
        self.expect("`reopen` succeeds while the destination is where it was", answer);
    }

    async fn close(mut self) {
        let answer = in_time(self.name, "close", self.sink.close()).await;
        self.expect("`close` succeeds, also without a write before it", answer);
    }

    fn expect<E: Debug>(&self, rule: &str, answer: Result<(), E>) {
        assert!(answer.is_ok(), "{}: {rule}: {answer:?}", self.name);
    }
}

async fn in_time<T>(name: &str, call: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(answer) => answer,
        Err(_) => panic!("{name}: `{call}` ends within {PATIENCE:?}"),
    }
}
