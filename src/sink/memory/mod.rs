//! A sink task: the sink that keeps events in memory. No thread and no I/O, so it works under a paused clock.

mod captured;
mod selection;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

pub use captured::CapturedEvent;
pub use selection::Selection;

use super::{Sink, SinkError};
use crate::event::Batch;

/// Keeps the newest events in memory, to examine them in a test or to show them on a page.
///
/// Clones share the store: give one to the logger and keep the other. It keeps the newest 65,536 events unless
/// [`capacity`](MemorySink::capacity) sets another number: 8 MiB, and more for events longer than about 94 bytes. The
/// sink has that memory in addition to the logger's own.
///
/// # Examples
/// ```
/// use logweir::sink::MemorySink;
/// use logweir::{Batch, Event, Level, Sink};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = MemorySink::new();
/// let mut sink = memory.clone();
/// sink.write(&Batch::from_iter([Event::new(Level::Info, "shop", "order paid").with("order", 7)])).await?;
///
/// let events = memory.wait_for(1, Duration::from_secs(5)).await?;
/// assert_eq!(events[0].message(), "order paid");
/// assert_eq!(events[0].field("order").map(|order| order.to_string()), Some("7".to_owned()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "a sink does nothing until a logger has it"]
pub struct MemorySink {
    shared: Arc<SharedStore>,
}

#[derive(Default)]
struct SharedStore {
    // A std lock: held for a few copies, never across an await.
    store: Mutex<Store>,
    written: Notify,
}

struct Store {
    events: VecDeque<CapturedEvent>,
    capacity: usize,
    total: u64,
}

impl Default for Store {
    fn default() -> Self {
        Store { events: VecDeque::new(), capacity: 65_536, total: 0 }
    }
}

impl Store {
    fn trim(&mut self) {
        let excess = self.events.len().saturating_sub(self.capacity);
        self.events.drain(..excess);
    }
}

impl MemorySink {
    /// Creates an empty store for the newest 65,536 events.
    pub fn new() -> Self {
        MemorySink::default()
    }

    /// Sets how many of the newest events are kept, for all clones. Default: 65,536. With 0, events are only counted.
    pub fn capacity(self, events: usize) -> Self {
        let mut store = self.store();
        store.capacity = events;
        store.trim();
        drop(store);
        self
    }

    /// Returns the kept events, oldest first.
    pub fn events(&self) -> Vec<CapturedEvent> {
        self.store().events.iter().cloned().collect()
    }

    /// Returns the kept events for further selection: `memory.select().level(Level::Warn).field("user", "ada").one()`.
    pub fn select(&self) -> Selection {
        Selection::of(self.events())
    }

    /// Returns how many events are kept.
    pub fn len(&self) -> usize {
        self.store().events.len()
    }

    /// Returns whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many events were ever written, kept or not.
    pub fn total(&self) -> u64 {
        self.store().total
    }

    /// Removes the kept events. [`total`](MemorySink::total) stays.
    pub fn clear(&self) {
        // Dropped outside the lock, whatever the cost of dropping their values.
        let events = std::mem::take(&mut self.store().events);
        drop(events);
    }

    /// Waits until `count` events were ever written, then returns the kept ones.
    ///
    /// Events written before the call count, and so do those [cleared](MemorySink::clear) or pushed out: after `clear`,
    /// wait for `total() + n`. With a timeout of zero it does not wait.
    ///
    /// The timeout is tokio's time when a tokio runtime is current (so a paused clock works), otherwise real time,
    /// measured by a thread that ends with the wait.
    ///
    /// # Errors
    /// Returns an error with the number of events if fewer were written within `timeout`.
    ///
    /// # Panics
    /// Panics in a tokio runtime without a timer (`Builder::enable_time`).
    ///
    /// # Cancel safety
    /// Nothing is lost: it takes nothing out of the store.
    pub async fn wait_for(&self, count: usize, timeout: Duration) -> Result<Vec<CapturedEvent>, WaitError> {
        let reached = self.wait_until(count as u64);
        let in_time = if tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::timeout(timeout, reached).await.is_ok()
        } else {
            // Dropping the sender ends the timer's thread.
            let (_waiting, expired) = spawn_timer(timeout);
            tokio::select! {
                biased;
                () = reached => true,
                _ = expired => false,
            }
        };
        let store = self.store();
        if in_time || store.total >= count as u64 {
            return Ok(store.events.iter().cloned().collect());
        }
        Err(WaitError { wanted: count, seen: store.total.try_into().unwrap_or(usize::MAX) })
    }

    async fn wait_until(&self, total: u64) {
        loop {
            // Before the check: it is notified of every write from here on, polled or not.
            let written = self.shared.written.notified();
            if self.total() >= total {
                return;
            }
            written.await;
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // A panic under the lock can only come from an allocation; the store is consistent between any two steps.
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store();
        f.debug_struct("MemorySink")
            .field("len", &store.events.len())
            .field("capacity", &store.capacity)
            .field("total", &store.total)
            .finish()
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let mut store = self.store();
        // Only events that stay are copied.
        let newest = batch.len().saturating_sub(store.capacity);
        store.events.extend(batch.iter().skip(newest).map(CapturedEvent::of));
        store.total += batch.len() as u64;
        store.trim();
        drop(store);
        self.shared.written.notify_waiters();
        Ok(())
    }
}

/// The receiver completes after `timeout`. Dropping the sender ends the thread earlier.
fn spawn_timer(timeout: Duration) -> (mpsc::Sender<()>, oneshot::Receiver<()>) {
    let (waiting, waited_for) = mpsc::channel();
    let (expire, expired) = oneshot::channel();
    // Detached. If there is no thread, `expire` is dropped with the closure, and the wait ends at once.
    let thread = thread::Builder::new().name("logweir-timer".to_owned()).spawn(move || {
        // There is never a message: `recv` ends by time or with the wait, and `expire` is dropped after it.
        let ended = waited_for.recv_timeout(timeout);
        drop((ended, expire));
    });
    drop(thread);
    (waiting, expired)
}

/// The error of [`MemorySink::wait_for`] when its timeout expires.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitError {
    /// How many events were waited for.
    pub wanted: usize,
    /// How many events were ever written.
    pub seen: usize,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waited for {} events, {} were written in time", self.wanted, self.seen)
    }
}

/// Like `Display`.
impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for WaitError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Level, SharedFields, Value};

    #[tokio::test]
    async fn a_captured_event_keeps_the_loggers_enrichment() {
        let enrichment = Arc::new(SharedFields::extend(None, "service", Value::Str("checkout")));
        let event = Event::new(Level::Info, "t", "m").with("user", "ann");
        let mut memory = MemorySink::new();
        memory.write(&Batch::new(Arc::new([event]), Some(enrichment), EventId::ZERO)).await.unwrap();
        let captured = &memory.events()[0];
        assert_eq!(captured.field("service"), Some(Value::Str("checkout")));
        assert_eq!(captured.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["user", "service"]);
    }
}
