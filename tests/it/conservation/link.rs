//! A sink that does what its plan says and writes down all that happened to it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir::event::{EventId, Record, Value};
use logweir::sink::{self, Batching, Duplicates, Encoded, Request, RequestSink, SinkErrorKind};
use logweir::{Batch, Level, Logger, Sink, SinkError, State, async_trait};
use tokio::time::Instant;

use super::program::{Answer, Delay, Errors, LinkPlan, Outcome, ms};

/// The size of an encoded event.
const EVENT_BYTES: usize = 10;

/// What happened at a sink and its fallbacks, in this order.
#[derive(Default)]
pub(super) struct Log {
    pub(super) writes: Vec<Write>,
    /// Which of them have answered, in this order.
    pub(super) answers: Vec<usize>,
    /// Notices that a sink has, which are in no book.
    pub(super) notices: Vec<Told>,
    /// From here on every call succeeds at once.
    pub(super) is_healed: bool,
    /// The id of each event, and its time.
    pub(super) events: HashMap<u64, (EventId, u64)>,
    pub(super) wrong: Option<String>,
    /// To see whether the books are closed.
    pub(super) logger: Option<Logger>,
}

pub(super) type SharedLog = Arc<Mutex<Log>>;

pub(super) fn locked(log: &SharedLog) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Write {
    /// 0 is the sink itself.
    pub(super) link: usize,
    pub(super) events: Vec<u64>,
    pub(super) at: Instant,
    /// It takes longer than its timeout.
    pub(super) is_late: bool,
    /// `None`: it was given up, or the books were closed before.
    pub(super) answer: Option<Said>,
}

/// A line of a notice.
pub(super) struct Told {
    /// As in [`Write`].
    pub(super) link: usize,
    /// Whose loss it is: of the sink, or of the queue.
    pub(super) is_sinks: bool,
    pub(super) lost: u64,
}

/// What the sink said before the books were closed.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) outcome: Outcome,
    /// The events that it has.
    pub(super) taken: Vec<u64>,
    /// So many of them it has rejected after all.
    pub(super) unnamed: u64,
    /// The events that it never takes.
    pub(super) rejected: Vec<u64>,
    /// The kind of its error; `None`: there is none.
    pub(super) error: Option<SinkErrorKind>,
    /// What it is to get again may be there.
    pub(super) maybe_arrived: bool,
    /// It said something that cannot be.
    pub(super) is_faulty: bool,
}

impl Write {
    /// The events that the sink said it has.
    pub(super) fn taken(&self) -> &[u64] {
        self.answer.as_ref().map_or(&[], |said| &said.taken)
    }

    fn unnamed(&self) -> u64 {
        self.answer.as_ref().map_or(0, |said| said.unnamed)
    }

    /// The others, apart from those that it never takes.
    pub(super) fn open(&self) -> impl Iterator<Item = u64> {
        let rejected = self.answer.as_ref().map_or(&[][..], |said| &said.rejected);
        self.events.iter().copied().filter(|id| !self.taken().contains(id) && !rejected.contains(id))
    }
}

/// A link of a chain that is a [`Sink`].
pub(super) struct ScriptedLink {
    plan: LinkPlan,
    // What is next; nothing waits under the lock.
    turns: Mutex<Turns>,
    number: usize,
    log: SharedLog,
}

/// A link that is a [`RequestSink`].
pub(super) struct RequestLink(pub(super) ScriptedLink);

struct Turns {
    script: VecDeque<Answer>,
    calls: VecDeque<Delay>,
}

impl ScriptedLink {
    pub(super) fn new(plan: &LinkPlan, number: usize, log: SharedLog) -> Self {
        let turns = Turns { script: plan.script.clone().into(), calls: plan.calls.clone().into() };
        ScriptedLink { plan: plan.clone(), turns: Mutex::new(turns), number, log }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_healed(&self) -> bool {
        locked(&self.log).is_healed
    }

    fn error(&self, text: &'static str) -> ScriptedError {
        ScriptedError(text, self.plan.errors)
    }

    async fn wait(&self, delay: Delay) {
        let timeout = ms(self.plan.timeout);
        let wait = match delay {
            Delay::None => return,
            Delay::InTime => timeout / 2,
            Delay::Late => timeout + timeout / 2,
            Delay::VeryLate => timeout * 7,
            Delay::Never => Duration::MAX,
        };
        if wait == Duration::MAX { std::future::pending().await } else { tokio::time::sleep(wait).await }
    }

    /// What becomes of these events: the plan's answer, or what the poison makes of it.
    fn say(&self, outcome: Outcome, events: &[u64]) -> Said {
        let poison = self.plan.poison.as_ref().filter(|_| outcome == Outcome::Ok);
        let found = poison.and_then(|poison| Some((poison, events.iter().position(|id| id % poison.every == 0)?)));
        let outcome = match found {
            Some((poison, _)) if poison.panics => Outcome::Panic,
            Some((poison, at)) => Outcome::Rejected { delivered: if poison.delivers_before { at } else { 0 } },
            None => outcome,
        };
        let (delivered, error) = match outcome {
            Outcome::Ok => (events.len(), None),
            Outcome::Temporary { delivered, .. } => (delivered, Some(SinkErrorKind::Temporary)),
            Outcome::Rejected { delivered } => (delivered, Some(SinkErrorKind::Rejected)),
            Outcome::Permanent { delivered } => (delivered, Some(SinkErrorKind::Permanent)),
            Outcome::Panic => (0, Some(SinkErrorKind::Panic)),
            Outcome::Named(named) => return named.say(events),
        };
        let taken = events[..delivered.min(events.len())].to_vec();
        let (rejected, is_faulty) = (Vec::new(), false);
        // Whether the request had arrived when it panicked is unknown.
        let maybe_arrived = outcome == Outcome::Panic && self.plan.requests.is_some();
        Said { outcome, taken, unnamed: 0, rejected, error, maybe_arrived, is_faulty }
    }

    /// Takes a request: waits, writes down, answers.
    async fn take(&self, batch: &Batch, is_too_large: bool) -> Said {
        let mut answer = self.turns().script.pop_front().unwrap_or(self.plan.always);
        if self.plan.requests.is_none() && matches!(answer.outcome, Outcome::Named(_)) {
            answer.outcome = Outcome::Ok;
        }
        if self.is_healed() {
            answer = Answer { delay: Delay::None, outcome: Outcome::Ok };
        }
        let is_late = !matches!(answer.delay, Delay::None | Delay::InTime);
        let told = notice(batch, self.number);
        let events = if told.is_some() { Vec::new() } else { number(batch) };
        let mut said = self.say(answer.outcome, &events);
        if told.is_some() {
            said = self.say(answer.outcome.with_nothing_delivered(), &[]);
        } else if is_too_large {
            said = self.say(Outcome::Rejected { delivered: 0 }, &events);
            if events.len() == 1 {
                said.rejected = events.clone();
            }
        }
        let index = {
            let mut log = locked(&self.log);
            if told.is_none() {
                log.see(batch);
            }
            let (link, at) = (self.number, Instant::now());
            log.writes.push(Write { link, events: events.clone(), at, is_late, answer: None });
            log.writes.len() - 1
        };
        self.wait(answer.delay).await;
        let mut log = locked(&self.log);
        if log.logger.as_ref().is_some_and(|logger| !matches!(logger.state(), State::Stopped { .. })) {
            log.writes[index].answer = Some(said.clone());
            log.answers.push(index);
            // What a link writes behind its timeout, the next notice says again.
            if said.outcome == Outcome::Ok && !(is_late && self.number > 0) {
                log.notices.extend(told.into_iter().flatten());
            }
        }
        drop(log);
        said
    }

    fn result(&self, said: &Said) -> Result<(), SinkError> {
        let delivered = said.taken.len();
        match said.outcome {
            Outcome::Ok | Outcome::Named(_) => Ok(()),
            Outcome::Temporary { retry_after: None, .. } => {
                Err(SinkError::temporary(self.error("busy")).with_delivered(delivered))
            }
            Outcome::Temporary { retry_after: Some(after), .. } => {
                Err(SinkError::temporary(self.error("busy")).with_delivered(delivered).with_retry_after(ms(after)))
            }
            Outcome::Rejected { .. } => Err(SinkError::rejected(self.error("poison")).with_delivered(delivered)),
            Outcome::Permanent { .. } => Err(SinkError::permanent(self.error("gone")).with_delivered(delivered)),
            // Without the panic hook, which would print thousands of them.
            Outcome::Panic => resume_unwind(Box::new("scripted")),
        }
    }

    async fn call(&self) {
        let delay = self.turns().calls.pop_front().filter(|_| !self.is_healed()).unwrap_or(Delay::None);
        self.wait(delay).await;
    }
}

impl Log {
    /// How many events each link has. What a link took late, and another had taken before it answered, is the other's; what
    /// it rejected without a name, it has not.
    pub(super) fn taken(&self) -> [u64; 3] {
        let (mut takers, mut taken) = (HashSet::new(), [0; 3]);
        for write in self.answers.iter().map(|index| &self.writes[*index]) {
            let new = write.taken().iter().filter(|id| takers.insert(**id)).count() as u64;
            taken[write.link] += new - write.unnamed().min(new);
        }
        taken
    }

    /// How many events were rejected without a name.
    pub(super) fn rejected_unnamed(&self) -> u64 {
        let mut takers = HashSet::new();
        let of = |index: &usize| {
            let write = &self.writes[*index];
            let new = write.taken().iter().filter(|id| takers.insert(**id)).count() as u64;
            write.unnamed().min(new)
        };
        self.answers.iter().map(of).sum()
    }

    /// Notes who the events are: each has one id, and one time.
    fn see(&mut self, batch: &Batch) {
        for (record, number) in batch.iter().zip(number(batch)) {
            let is = (record.id(), record.timestamp_nanos());
            if *self.events.entry(number).or_insert(is) != is {
                self.wrong = Some(format!("event {number} is another one: {is:?}"));
            }
        }
    }
}

fn told_nothing(batch: &Batch) -> bool {
    notice(batch, 0).is_none()
}

/// The lines of a notice; `None` if it is none.
fn notice(batch: &Batch, link: usize) -> Option<Vec<Told>> {
    let told = |record: Record<'_>| {
        let lost = match record.field("lost") {
            Some(Value::U64(lost)) => lost,
            // Of a recovery.
            _ => 0,
        };
        Told { link, is_sinks: record.field("sink").is_some(), lost }
    };
    let is_notice = batch.iter().all(|record| record.target() == "logweir");
    is_notice.then(|| batch.iter().map(told).collect())
}

pub(super) fn number(batch: &Batch) -> Vec<u64> {
    let parse = |message: String| message.parse().expect("a number");
    batch.iter().map(|record| parse(record.message().to_string())).collect()
}

#[async_trait]
impl Sink for ScriptedLink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let said = self.take(batch, false).await;
        self.result(&said)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.call().await;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), SinkError> {
        self.call().await;
        Ok(())
    }

    fn outlives_timeout(&self) -> bool {
        self.plan.outlives
    }
}

#[async_trait]
impl RequestSink for RequestLink {
    fn encode(&self, batch: &Batch, body: &mut Vec<u8>) -> Encoded {
        if !told_nothing(batch) {
            return Encoded::all(batch);
        }
        let plan = self.0.plan.requests.expect("a plan of requests");
        let mut encoded = Encoded::default();
        for id in number(batch) {
            if plan.refuses(id) {
                let index = encoded.events;
                encoded = encoded.refuse(index, "scripted");
            } else if body.len() >= plan.body.saturating_mul(EVENT_BYTES) {
                break;
            } else {
                body.extend_from_slice(&[0; EVENT_BYTES]);
            }
            encoded.events += 1;
        }
        encoded
    }

    async fn send(&self, request: &Request) -> sink::Answer {
        let link = &self.0;
        let accepts = link.plan.requests.and_then(|plan| plan.accepts).filter(|_| !link.is_healed());
        let is_too_large = accepts.is_some_and(|events| request.body.len() > events * EVENT_BYTES);
        let said = link.take(&request.batch, is_too_large && told_nothing(&request.batch)).await;
        match said.outcome {
            Outcome::Rejected { .. } if is_too_large => sink::Answer::too_large(link.error("413")),
            Outcome::Named(named) => named.answer(&number(&request.batch), |text| link.error(text)),
            _ => link.result(&said).into(),
        }
    }

    async fn flush(&self) -> Result<(), SinkError> {
        self.0.call().await;
        Ok(())
    }

    async fn reopen(&self) -> Result<(), SinkError> {
        self.0.call().await;
        Ok(())
    }

    fn default_batching(&self) -> Batching {
        Batching::DISPATCHED
    }

    fn duplicates(&self) -> Duplicates {
        self.0.plan.requests.map_or(Duplicates::Possible, |plan| plan.duplicates)
    }

    fn outlives_timeout(&self) -> bool {
        self.0.plan.outlives
    }

    /// Its clock is that of the program.
    fn encodes_for_network(&self) -> bool {
        false
    }
}

/// An error that does as its plan says when it is printed.
#[derive(Debug)]
pub(super) struct ScriptedError(&'static str, Errors);

impl fmt::Display for ScriptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Errors::Plain => f.write_str(self.0),
            // Without the panic hook.
            Errors::Panic => resume_unwind(Box::new("scripted")),
            Errors::NeverEnd => loop {
                f.write_str(self.0).unwrap_or_default();
            },
        }
    }
}

impl std::error::Error for ScriptedError {}

/// The event of this number.
pub(super) fn event(id: u64, level: Level, text: usize) -> logweir::Event {
    let event = logweir::Event::new(level, "t", &id.to_string());
    if text == 0 { event } else { event.with("text", "x".repeat(text)) }
}
