//! A sink that does what its plan says and writes down all that happened to it.

use std::collections::VecDeque;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir::event::{Record, Value};
use logweir::{Batch, Level, Logger, Sink, SinkError, State, async_trait};

use super::program::{Answer, Delay, Errors, LinkPlan, Outcome, ms};

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
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) delivered: usize,
    pub(super) outcome: Outcome,
}

impl Write {
    /// The events that the sink said it has.
    pub(super) fn taken(&self) -> &[u64] {
        &self.events[..self.answer.map_or(0, |said| said.delivered)]
    }
}

pub(super) struct ScriptedLink {
    plan: LinkPlan,
    script: VecDeque<Answer>,
    calls: VecDeque<Delay>,
    number: usize,
    log: SharedLog,
}

impl ScriptedLink {
    pub(super) fn new(plan: &LinkPlan, number: usize, log: SharedLog) -> Self {
        let (script, calls) = (plan.script.clone().into(), plan.calls.clone().into());
        ScriptedLink { plan: plan.clone(), script, calls, number, log }
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
        let delivered = match outcome {
            Outcome::Ok => events.len(),
            Outcome::Temporary { delivered, .. }
            | Outcome::Rejected { delivered }
            | Outcome::Permanent { delivered } => delivered.min(events.len()),
            Outcome::Panic => 0,
        };
        Said { delivered, outcome }
    }
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

fn number(batch: &Batch) -> Vec<u64> {
    let parse = |message: String| message.parse().expect("a number");
    batch.iter().map(|record| parse(record.message().to_string())).collect()
}

#[async_trait]
impl Sink for ScriptedLink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut answer = self.script.pop_front().unwrap_or(self.plan.always);
        if self.is_healed() {
            answer = Answer { delay: Delay::None, outcome: Outcome::Ok };
        }
        let is_late = !matches!(answer.delay, Delay::None | Delay::InTime);
        let told = notice(batch, self.number);
        let events = if told.is_some() { Vec::new() } else { number(batch) };
        let mut said = self.say(answer.outcome, &events);
        if told.is_some() {
            said.outcome = said.outcome.with_nothing_delivered();
        }
        let index = {
            let mut log = locked(&self.log);
            log.writes.push(Write { link: self.number, events, is_late, answer: None });
            log.writes.len() - 1
        };
        self.wait(answer.delay).await;
        let mut log = locked(&self.log);
        if log.logger.as_ref().is_some_and(|logger| !matches!(logger.state(), State::Stopped { .. })) {
            log.writes[index].answer = Some(said);
            log.answers.push(index);
            // What a link writes behind its timeout, the next notice says again.
            if said.outcome == Outcome::Ok && !(is_late && self.number > 0) {
                log.notices.extend(told.into_iter().flatten());
            }
        }
        drop(log);
        match said.outcome {
            Outcome::Ok => Ok(()),
            Outcome::Temporary { delivered, retry_after: None } => {
                Err(SinkError::temporary(self.error("busy")).with_delivered(delivered))
            }
            Outcome::Temporary { delivered, retry_after: Some(after) } => {
                Err(SinkError::temporary(self.error("busy")).with_delivered(delivered).with_retry_after(ms(after)))
            }
            Outcome::Rejected { delivered } => Err(SinkError::rejected(self.error("poison")).with_delivered(delivered)),
            Outcome::Permanent { delivered } => Err(SinkError::permanent(self.error("gone")).with_delivered(delivered)),
            // Without the panic hook, which would print thousands of them.
            Outcome::Panic => resume_unwind(Box::new("scripted")),
        }
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        let delay = self.calls.pop_front().filter(|_| !self.is_healed()).unwrap_or(Delay::None);
        self.wait(delay).await;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), SinkError> {
        self.flush().await
    }

    fn outlives_timeout(&self) -> bool {
        self.plan.outlives
    }
}

/// An error that does as its plan says when it is printed.
#[derive(Debug)]
struct ScriptedError(&'static str, Errors);

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
