//! A sink that follows a script and keeps what it was given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir::event::Record;
use logweir::{Batch, Event, Level, Logger, Sink, SinkError, async_trait};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::answer::Unprintable;
use super::{Answer, PATIENCE, is_notice};

/// An event as the sink saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) truncated: bool,
}

impl Seen {
    fn of(record: Record<'_>) -> Self {
        Seen {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.message().to_string(),
            fields: record.fields().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
            truncated: record.is_truncated(),
        }
    }
}

/// Thread-less, so it works under a paused clock. Clones share the script and what was seen.
#[derive(Clone)]
pub(crate) struct ScriptedSink {
    shared: Arc<Shared>,
    outlives: bool,
}

struct Shared {
    state: Mutex<State>,
    gate: Semaphore,
    changed: Notify,
}

struct State {
    writes: VecDeque<Answer>,
    flushes: VecDeque<Answer>,
    reopens: VecDeque<Answer>,
    always: Answer,
    /// The events of each write, whatever became of it.
    attempts: Vec<Vec<Seen>>,
    begun_at: Vec<Instant>,
    /// What the sink said it has.
    taken: Vec<Seen>,
    /// The answers to the next notices; all is well after these.
    notice_answers: VecDeque<Answer>,
    /// Notices it has, and when they came; they are in none of the others.
    notices: Vec<(Instant, Seen)>,
    answered: usize,
    flushed: usize,
    reopened: usize,
    closed: usize,
    noise: Option<Logger>,
}

impl ScriptedSink {
    pub(crate) fn new() -> Self {
        ScriptedSink::always(Answer::Ok)
    }

    /// Answers each write that the script does not provide for in this way.
    pub(crate) fn always(answer: Answer) -> Self {
        let state = State {
            writes: VecDeque::new(),
            flushes: VecDeque::new(),
            reopens: VecDeque::new(),
            always: answer,
            attempts: Vec::new(),
            begun_at: Vec::new(),
            taken: Vec::new(),
            notice_answers: VecDeque::new(),
            notices: Vec::new(),
            answered: 0,
            flushed: 0,
            reopened: 0,
            closed: 0,
            noise: None,
        };
        let shared = Shared { state: Mutex::new(state), gate: Semaphore::new(0), changed: Notify::new() };
        ScriptedSink { shared: Arc::new(shared), outlives: false }
    }

    /// Answers the next writes in this way.
    pub(crate) fn writes<const N: usize>(self, answers: [Answer; N]) -> Self {
        self.state().writes.extend(answers);
        self
    }

    pub(crate) fn notice_answers<const N: usize>(self, answers: [Answer; N]) -> Self {
        self.state().notice_answers.extend(answers);
        self
    }

    pub(crate) fn flushes<const N: usize>(self, answers: [Answer; N]) -> Self {
        self.state().flushes.extend(answers);
        self
    }

    pub(crate) fn reopens<const N: usize>(self, answers: [Answer; N]) -> Self {
        self.state().reopens.extend(answers);
        self
    }

    /// Its writes go on behind a timeout.
    pub(crate) fn outliving(mut self) -> Self {
        self.outlives = true;
        self
    }

    /// Logs one event in each write and flush from now on.
    pub(crate) fn log_to(&self, logger: &Logger) {
        self.state().noise = Some(logger.clone());
    }

    pub(crate) fn be_quiet(&self) {
        let noise = self.state().noise.take();
        drop(noise);
    }

    /// Lets so many calls through the gate.
    pub(crate) fn release(&self, calls: usize) {
        self.shared.gate.add_permits(calls);
    }

    /// Opens the gate for good.
    pub(crate) fn open_gate(&self) {
        self.release(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.state().taken.clone()
    }

    pub(crate) fn seen(&self) -> u64 {
        self.state().taken.len() as u64
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.state().taken.iter().map(|seen| seen.message.clone()).collect()
    }

    /// What the notices say.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.state().notices.iter().map(|(_, notice)| notice.message.clone()).collect()
    }

    /// When the notices came, and how they are made up.
    pub(crate) fn notices_at(&self) -> Vec<(Instant, Seen)> {
        self.state().notices.clone()
    }

    /// The messages as numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.state().taken.iter().map(|seen| seen.message.parse().unwrap()).collect()
    }

    pub(crate) fn batch_sizes(&self) -> Vec<usize> {
        self.state().attempts.iter().map(Vec::len).collect()
    }

    /// The time from each write's beginning to the next one's.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.state().begun_at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The messages of each write as numbers, whatever became of it.
    pub(crate) fn attempted(&self) -> Vec<Vec<u64>> {
        let numbers = |events: &Vec<Seen>| events.iter().map(|seen| seen.message.parse().unwrap()).collect();
        self.state().attempts.iter().map(numbers).collect()
    }

    /// From now on answers each write that the script does not provide for in this way.
    pub(crate) fn turn(&self, answer: Answer) {
        self.state().always = answer;
    }

    pub(crate) fn flushed(&self) -> usize {
        self.state().flushed
    }

    pub(crate) fn reopened(&self) -> usize {
        self.state().reopened
    }

    pub(crate) fn closed(&self) -> usize {
        self.state().closed
    }

    /// Waits until so many writes have begun.
    pub(crate) async fn begun(&self, writes: usize) {
        self.wait(&format!("{writes} writes"), |state| state.attempts.len() >= writes).await;
    }

    /// Waits until it has so many events.
    pub(crate) async fn has(&self, events: usize) {
        self.wait(&format!("{events} events"), |state| state.taken.len() >= events).await;
    }

    async fn wait(&self, what: &str, is_there: impl Fn(&State) -> bool) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if is_there(&self.state()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        let state = self.state();
        let (attempts, taken) = (state.attempts.len(), state.taken.len());
        assert!(waited.is_ok(), "waited for {what}: {attempts} writes have begun, {taken} events are there");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.notify_waiters();
    }

    async fn pass_gate(&self) {
        self.shared.gate.acquire().await.unwrap().forget();
    }

    /// Does as it is told; says how many events are delivered, of those there are.
    async fn act(&self, answer: Answer, events: usize) -> (usize, Result<(), SinkError>) {
        match answer {
            Answer::Ok => (events, Ok(())),
            Answer::Temporary => (0, Err(SinkError::temporary("busy"))),
            Answer::Rejected => (0, Err(SinkError::rejected("poison"))),
            Answer::Permanent => (0, Err(SinkError::permanent("broken pipe"))),
            Answer::Delivered(count) => (count, Err(SinkError::temporary("half way").with_delivered(count))),
            Answer::Hang => std::future::pending().await,
            Answer::Gate => {
                self.pass_gate().await;
                (events, Ok(()))
            }
            Answer::GateThenTemporary => {
                self.pass_gate().await;
                (0, Err(SinkError::temporary("busy")))
            }
            Answer::Slow(time) => {
                tokio::time::sleep(time).await;
                (events, Ok(()))
            }
            Answer::Unprintable => (0, Err(SinkError::temporary(Unprintable { is_endless: false }))),
            Answer::Endless => (0, Err(SinkError::temporary(Unprintable { is_endless: true }))),
            Answer::Panic => panic!("scripted"),
            Answer::RetryAfter(wait) => (0, Err(SinkError::temporary("busy").with_retry_after(wait))),
            Answer::RejectedAfter(count) => (count, Err(SinkError::rejected("half way").with_delivered(count))),
            Answer::Poison(_) | Answer::PanicAt(_) => unreachable!("resolved by the events"),
        }
    }

    async fn write_notice(&self, lines: Vec<Seen>) -> Result<(), SinkError> {
        let answer = self.state().notice_answers.pop_front().unwrap_or(Answer::Ok);
        let (delivered, result) = self.act(answer, lines.len()).await;
        self.change(|state| {
            let now = Instant::now();
            state.notices.extend(lines.into_iter().take(delivered).map(|line| (now, line)));
        });
        result
    }

    fn make_noise(&self) {
        let noise = self.state().noise.clone();
        if let Some(logger) = noise {
            logger.emit(Event::new(Level::Error, "sink", "noise"));
        }
    }
}

#[async_trait]
impl Sink for ScriptedSink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let events: Vec<Seen> = batch.iter().map(Seen::of).collect();
        if is_notice(batch) {
            return self.write_notice(events).await;
        }
        let mut answer = Answer::Ok;
        self.change(|state| {
            state.attempts.push(events.clone());
            state.begun_at.push(Instant::now());
            answer = state.writes.pop_front().unwrap_or_else(|| state.always.clone());
        });
        self.make_noise();
        let (delivered, result) = self.act(answer.of(&events), events.len()).await;
        self.change(|state| {
            state.taken.extend(events.into_iter().take(delivered));
            state.answered += 1;
        });
        result
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.make_noise();
        let answer = self.state().flushes.pop_front().unwrap_or(Answer::Ok);
        let (_, result) = self.act(answer, 0).await;
        self.change(|state| state.flushed += 1);
        result
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.change(|state| state.closed += 1);
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), SinkError> {
        self.change(|state| state.reopened += 1);
        let answer = self.state().reopens.pop_front().unwrap_or(Answer::Ok);
        self.act(answer, 0).await.1
    }

    fn outlives_timeout(&self) -> bool {
        self.outlives
    }
}
