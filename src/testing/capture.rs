//! A test's thread: a logger whose events a test can examine.

use std::fmt;
use std::time::Duration;

use crate::builder::Builder;
use crate::event::Level;
use crate::logger::Logger;
use crate::pipeline::{Pipeline, WhenFull};
use crate::queue::Overflow;
use crate::sink::{CapturedEvent, MemorySink, Selection, WaitError};

/// How long a check may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause between the checks of [`Capture::wait_for`]; it doubles up to the longest: with a paused clock an
/// hour passes in no time.
const FIRST_POLL: Duration = Duration::from_millis(1);
const MAX_POLL: Duration = Duration::from_millis(128);

/// Returns a logger for one test, with its events: every level, nothing lost, in the order of emission.
///
/// It is not global: tests that run at the same time do not see each other's events. Reading the events waits until all
/// events emitted before are there, so a test needs no sleep. The logger has a thread and a clock of its own, which the
/// paused clock of a runtime neither stops nor advances. Works in a plain test and in one of any runtime.
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
/// Panics if the system provides no thread for it.
#[track_caller]
pub fn capture() -> Capture {
    capture_with(Logger::builder().level(Level::Trace).metrics_recorder(&metrics::NoopRecorder))
}

/// Like [`capture`], but with your own builder: to test a filter, an enrichment or redaction. It gets one more sink;
/// its overflow policy and its lanes are set so that nothing is lost and the order is kept.
///
/// # Panics
/// Panics if the builder does not start.
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

/// The result of [`capture`].
#[must_use = "dropped, its logger ends"]
pub struct Capture {
    logger: Logger,
    memory: MemorySink,
}

impl Capture {
    /// Returns the logger; its clones and its children are captured too.
    pub fn logger(&self) -> &Logger {
        &self.logger
    }

    /// Returns all events emitted before the call, oldest first.
    ///
    /// # Blocking
    /// For as long as the logger's thread takes to dispatch them: some microseconds.
    ///
    /// # Panics
    /// Panics if that takes half a minute.
    #[track_caller]
    pub fn events(&self) -> Vec<CapturedEvent> {
        self.settle();
        self.memory.events()
    }

    /// Returns the same events for further selection.
    ///
    /// # Panics
    /// Like [`events`](Capture::events).
    #[track_caller]
    pub fn select(&self) -> Selection {
        self.settle();
        self.memory.select()
    }

    /// Removes all events emitted so far.
    ///
    /// # Panics
    /// Like [`events`](Capture::events).
    #[track_caller]
    pub fn clear(&self) {
        self.settle();
        self.memory.clear();
    }

    /// Waits until at least `count` events are there, for events that another task or thread has yet to log; then
    /// returns all of them. Needs a tokio runtime with time, whose clock measures the timeout and may be paused: it
    /// then advances as for a sleeping task.
    ///
    /// # Errors
    /// Returns an error if there were fewer when the timeout expired.
    ///
    /// # Cancel safety
    /// It takes nothing out.
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
        // On a runtime's thread too: the logger runs on a thread of its own.
        let flushed = self.logger.flush_on_current_thread(PATIENCE);
        assert!(flushed.complete, "the events are not there after {PATIENCE:?}: {flushed:?}");
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("events", &self.select()).finish()
    }
}
