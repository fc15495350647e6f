//! A sink that keeps what it is given and hangs or fails where a test tells it to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use logweir::sink::MemorySink;
use logweir::{Batch, Sink, SinkError, async_trait};
use tokio::sync::{Semaphore, watch};

use super::is_notice;

/// A sink that keeps what it is given, says how far it is, and hangs in the call it is told to.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) memory: MemorySink,
    pub(crate) calls: watch::Sender<Calls>,
    /// A write takes a permit, for as long as there are enough.
    pub(crate) writes: Arc<Semaphore>,
    pub(crate) hangs_in_flush: bool,
    pub(crate) hangs_in_close: bool,
    pub(crate) fails_to_flush: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calls {
    /// Writes that began, and the events in them.
    pub(crate) writes: usize,
    pub(crate) begun: u64,
    pub(crate) flushes: usize,
    pub(crate) closes: usize,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Probe::open_for(Semaphore::MAX_PERMITS)
    }

    /// Hangs in the write after this many.
    pub(crate) fn open_for(writes: usize) -> Self {
        Probe {
            memory: MemorySink::new().capacity(1 << 20),
            calls: watch::Sender::default(),
            writes: Arc::new(Semaphore::new(writes)),
            hangs_in_flush: false,
            hangs_in_close: false,
            fails_to_flush: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> Calls {
        *self.calls.borrow()
    }

    /// Events whose write has not ended.
    pub(crate) fn unanswered(&self) -> u64 {
        self.calls().begun - self.memory.total()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.memory.events().iter().map(|event| event.message()).collect()
    }

    pub(crate) async fn until(&self, reached: impl FnMut(&Calls) -> bool) -> Calls {
        *self.calls.subscribe().wait_for(reached).await.unwrap()
    }
}

#[async_trait]
impl Sink for Probe {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if is_notice(batch) {
            return Ok(());
        }
        self.calls.send_modify(|calls| {
            calls.writes += 1;
            calls.begun += batch.len() as u64;
        });
        self.writes.acquire().await.unwrap().forget();
        self.memory.write(batch).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.calls.send_modify(|calls| calls.flushes += 1);
        if self.hangs_in_flush {
            std::future::pending::<()>().await;
        }
        match self.fails_to_flush.load(Ordering::Relaxed) {
            true => Err(SinkError::temporary(io::Error::other("the disk is full"))),
            false => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.calls.send_modify(|calls| calls.closes += 1);
        if self.hangs_in_close {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A sink that works a millisecond for each batch. It does not wait: the flush task gets no further meanwhile.
pub(crate) struct Slow(pub(crate) Probe);

#[async_trait]
impl Sink for Slow {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        self.0.write(batch).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.0.flush().await
    }
}
