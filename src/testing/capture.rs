//! A test's thread: a logger whose events are there to look at.

use std::fmt;
use std::time::Duration;

use crate::builder::Builder;
use crate::event::Level;
use crate::logger::Logger;
use crate::pipeline::{Pipeline, WhenFull};
use crate::queue::Overflow;
use crate::sink::{CapturedEvent, MemorySink, Selection, WaitError};

/// How long a look may take on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);
/// From the first look of [`Capture::wait_for`] to the next, doubling up to the longest: with a paused clock an hour is
/// looked through in no time.
const FIRST_POLL: Duration = Duration::from_millis(1);
const MAX_POLL: Duration = Duration::from_millis(128);

/// A logger for one test, and what it was given: every level, nothing lost, in the order it was emitted.
///
/// It is no global: tests that run at the same time do not see each other's events. Looking at them waits until all that
/// was emitted before is there, so there is nothing to sleep for; the logger has a thread and a clock of its own, which a
/// runtime's paused clock neither stops nor hurries. Works in a plain test and in one of any runtime.
///
/// ```
/// use logweir::{Level, Logger, testing, warn};
///
/// fn withdraw(logger: &Logger, balance: u32, amount: u32) -> Option<u32> {
///     let left = balance.checked_sub(amount);
///     if left.is_none() {
///         warn!(logger: logger, "cannot withdraw {amount}", amount, balance);
///     }
///     left
/// }
///
/// let logs = testing::capture();
/// assert_eq!(withdraw(logs.logger(), 10, 7), Some(3));
/// assert!(logs.events().is_empty());
///
/// assert_eq!(withdraw(logs.logger(), 10, 11), None);
/// let warning = logs.select().level(Level::Warn).exactly_one();
/// assert_eq!(warning.message(), "cannot withdraw 11");
/// assert_eq!(warning.field("balance").unwrap(), 10_u32);
/// ```
///
/// # Panics
/// If the system has no thread for it.
#[track_caller]
pub fn capture() -> Capture {
    capture_with(Logger::builder().level(Level::Trace).metrics_recorder(&metrics::NoopRecorder))
}

/// As [`capture`], with a builder of yours: to test a filter, an enrichment or what is redacted. It gets one more sink;
/// its overflow policy and its lanes are set so that nothing is lost and the order is kept.
///
/// # Panics
/// If the builder does not start.
#[track_caller]
pub fn capture_with(builder: Builder<'_>) -> Capture {
    let memory = MemorySink::new().capacity(usize::MAX);
    let sink = Pipeline::new(memory.clone()).when_full(WhenFull::Block).timeout(PATIENCE);
    let builder = builder.lanes(1).overflow(Overflow::Block(PATIENCE));
    match builder.sink("capture", sink).start() {
        Ok(logger) => Capture { logger, memory },
        Err(error) => panic!("the logger does not start: {error}"),
    }
}

/// What [`capture`] gives.
#[must_use = "dropped, its logger ends"]
pub struct Capture {
    logger: Logger,
    memory: MemorySink,
}

impl Capture {
    /// The logger; clones of it, and its children, are captured too.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// All that was emitted before the call, oldest first.
    ///
    /// # Blocking
    /// For as long as the logger's thread takes to hand it out: some microseconds.
    ///
    /// # Panics
    /// If that takes half a minute.
    #[track_caller]
    pub fn events(&self) -> Vec<CapturedEvent> {
        self.settle();
        self.memory.events()
    }

    /// The same, to be narrowed down.
    ///
    /// # Panics
    /// As [`events`](Capture::events).
    #[track_caller]
    pub fn select(&self) -> Selection {
        self.settle();
        self.memory.select()
    }

    /// Forgets what was emitted so far.
    ///
    /// # Panics
    /// As [`events`](Capture::events).
    #[track_caller]
    pub fn clear(&self) {
        self.settle();
        self.memory.clear();
    }

    /// Waits until at least `count` events are there, for those that another task or thread is still to log; then all of
    /// them. Needs a tokio runtime with time, whose clock keeps the timeout and may be paused: it then goes on as for a
    /// sleeping task.
    ///
    /// # Errors
    /// There were fewer at the end of the timeout.
    ///
    /// # Cancel safety
    /// Nothing is taken out.
    pub async fn wait_for(&self, count: usize, timeout: Duration) -> Result<Selection, WaitError> {
        let all_there = async {
            let mut pause = FIRST_POLL;
            while self.events().len() < count {
                tokio::time::sleep(pause).await;
                pause = MAX_POLL.min(2 * pause);
            }
        };
        let in_time = tokio::time::timeout(timeout, all_there).await.is_ok();
        let events = self.select();
        if in_time || events.len() >= count {
            return Ok(events);
        }
        Err(WaitError { wanted: count, seen: events.len() })
    }

    #[track_caller]
    fn settle(&self) {
        // On a runtime's thread too: what is waited for runs on a thread of its own.
        let flushed = self.logger.flush_on_current_thread(PATIENCE);
        assert!(flushed.complete, "the events are not there after {PATIENCE:?}: {flushed:?}");
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("events", &self.select()).finish()
    }
}
