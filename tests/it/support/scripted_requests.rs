//! A destination of requests that follows a script and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir::sink::{Answer, Batching, Duplicates, Encoded, Request, RequestSink};
use logweir::{Batch, SinkError, async_trait};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::{PATIENCE, is_notice};

/// What the destination does with a request.
pub(crate) enum Reply {
    Says(Answer),
    /// Never answers.
    Hang,
    /// Waits for [`ScriptedRequests::release`], then says this.
    Gate(Answer),
    Panic,
}

/// A request as the destination saw it.
#[derive(Clone, Debug)]
pub(crate) struct SeenRequest {
    pub(crate) numbers: Vec<u64>,
    pub(crate) ids: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) attempt: u32,
    pub(crate) at: Instant,
    pub(crate) thread: Option<String>,
}

/// Thread-less, so it works under a paused clock. Clones share the script and what was seen.
#[derive(Clone)]
pub(crate) struct ScriptedRequests {
    shared: Arc<Shared>,
    /// The bytes of a body that a request may have.
    body_limit: usize,
    /// A number that no request can have.
    refuses: Option<u64>,
    /// A number that `encode` panics at.
    panics_at: Option<u64>,
    encodes_nothing: bool,
    hangs_in_reopen: bool,
    duplicates: Duplicates,
    outlives: bool,
    encodes_for_network: bool,
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    /// The largest body the destination accepts; larger ones get a 413.
    most: Option<usize>,
    requests: Vec<SeenRequest>,
    notices: Vec<String>,
    notice_ids: Vec<String>,
    /// The number of events of each call of `encode`, and of those it encoded.
    encoded: Vec<(usize, usize)>,
    reopened: usize,
}

struct Shared {
    state: Mutex<State>,
    gate: Semaphore,
    changed: Notify,
}

impl ScriptedRequests {
    pub(crate) fn new() -> Self {
        let shared = Shared { state: Mutex::default(), gate: Semaphore::new(0), changed: Notify::new() };
        ScriptedRequests {
            shared: Arc::new(shared),
            body_limit: usize::MAX,
            refuses: None,
            panics_at: None,
            encodes_nothing: false,
            hangs_in_reopen: false,
            duplicates: Duplicates::Possible,
            outlives: false,
            encodes_for_network: false,
        }
    }

    /// Replies to the next requests in this way; all that follow are delivered.
    pub(crate) fn replies(self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.state().replies.extend(replies);
        self
    }

    pub(crate) fn says(self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.replies(answers.into_iter().map(Reply::Says))
    }

    pub(crate) fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    pub(crate) fn refuses(mut self, number: u64) -> Self {
        self.refuses = Some(number);
        self
    }

    pub(crate) fn panics_at(mut self, number: u64) -> Self {
        self.panics_at = Some(number);
        self
    }

    pub(crate) fn encodes_nothing(mut self) -> Self {
        self.encodes_nothing = true;
        self
    }

    pub(crate) fn with_hanging_reopen(mut self) -> Self {
        self.hangs_in_reopen = true;
        self
    }

    pub(crate) fn with_duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    pub(crate) fn outliving(mut self) -> Self {
        self.outlives = true;
        self
    }

    pub(crate) fn on_the_network(mut self) -> Self {
        self.encodes_for_network = true;
        self
    }

    /// From now on bodies of more bytes get a 413.
    pub(crate) fn accept_at_most(&self, bytes: usize) {
        self.state().most = Some(bytes);
    }

    pub(crate) fn release(&self, requests: usize) {
        self.shared.gate.add_permits(requests);
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.state().requests.clone()
    }

    /// The numbers of each request, whatever became of it.
    pub(crate) fn attempted(&self) -> Vec<Vec<u64>> {
        self.state().requests.iter().map(|request| request.numbers.clone()).collect()
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.state().requests.iter().map(|request| request.numbers.len()).collect()
    }

    /// The time from each request to the next one.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.state().requests.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
    }

    pub(crate) fn notices(&self) -> Vec<String> {
        self.state().notices.clone()
    }

    pub(crate) fn notice_ids(&self) -> Vec<String> {
        self.state().notice_ids.clone()
    }

    pub(crate) fn encoded(&self) -> Vec<(usize, usize)> {
        self.state().encoded.clone()
    }

    pub(crate) fn reopened(&self) -> usize {
        self.state().reopened
    }

    /// Waits until so many requests have begun.
    pub(crate) async fn begun(&self, requests: usize) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.state().requests.len() >= requests {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "waited for {requests} requests: {:?} have begun", self.attempted());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Reply {
        let text = |batch: &Batch| batch.iter().map(|record| record.message().to_string()).collect::<Vec<_>>();
        let mut state = self.state();
        let reply = state.replies.pop_front();
        if is_notice(&request.batch) {
            state.notices.extend(text(&request.batch));
            state.notice_ids.extend(request.batch.iter().map(|record| record.id().to_string()));
            return reply.unwrap_or(Reply::Says(Answer::delivered()));
        }
        state.requests.push(SeenRequest {
            numbers: text(&request.batch).iter().map(|text| text.parse().unwrap()).collect(),
            ids: request.batch.iter().map(|record| record.id().to_string()).collect(),
            body: request.body.clone(),
            attempt: request.attempt,
            at: Instant::now(),
            thread: std::thread::current().name().map(str::to_owned),
        });
        if state.most.is_some_and(|most| request.body.len() > most) {
            return Reply::Says(Answer::too_large("413"));
        }
        reply.unwrap_or(Reply::Says(Answer::delivered()))
    }
}

#[async_trait]
impl RequestSink for ScriptedRequests {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        assert!(body.is_empty(), "a body begins empty");
        let mut encoded = Encoded::first(0);
        if self.encodes_nothing {
            return encoded;
        }
        for record in batch.iter() {
            let line = format!("{}\n", record.message());
            assert_ne!(self.panics_at.map(|number| number.to_string()).as_deref(), Some(line.trim_end()), "scripted");
            let is_refused = self.refuses.is_some_and(|number| line.trim_end() == number.to_string());
            if !is_refused {
                if encoded.events > 0 && body.len() + line.len() > self.body_limit {
                    break;
                }
                body.extend_from_slice(line.as_bytes());
            } else {
                let next = encoded.events;
                encoded = encoded.refuse(next, "no request can have it");
            }
            encoded.events += 1;
        }
        self.state().encoded.push((batch.len(), encoded.events));
        encoded
    }

    async fn send(&self, request: &Request) -> Answer {
        let reply = self.answer(request);
        self.shared.changed.notify_waiters();
        match reply {
            Reply::Says(answer) => answer,
            Reply::Hang => std::future::pending().await,
            Reply::Gate(answer) => {
                self.shared.gate.acquire().await.unwrap().forget();
                answer
            }
            Reply::Panic => panic!("scripted"),
        }
    }

    async fn reopen(&self) -> Result<(), SinkError> {
        self.state().reopened += 1;
        if self.hangs_in_reopen {
            std::future::pending().await
        }
        Ok(())
    }

    fn default_batching(&self) -> Batching {
        Batching::DISPATCHED
    }

    fn duplicates(&self) -> Duplicates {
        self.duplicates
    }

    fn outlives_timeout(&self) -> bool {
        self.outlives
    }

    fn encodes_for_network(&self) -> bool {
        self.encodes_for_network
    }
}
