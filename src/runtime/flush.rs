//! Any thread asks for a flush; the flush task serves it.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::LoggerCore;
use crate::pipeline::{Barrier, Station};
use crate::stats::FlushReport;

/// A flush on its way through the desk and the pipelines.
pub(crate) struct FlushRequest {
    /// What each lane had accepted when it was asked for.
    pub(crate) positions: Box<[u64]>,
    pub(crate) timeout: Duration,
    /// Somebody waits for it. Otherwise it has done its work once the sinks have their barriers.
    is_awaited: bool,
    /// One for each sink, once everything before it is handed out.
    barriers: OnceLock<Box<[Barrier]>>,
    /// Its time passed on the runtime's clock.
    expired: OnceLock<()>,
}

impl FlushRequest {
    pub(crate) fn has_barriers(&self) -> bool {
        self.barriers.get().is_some()
    }

    pub(crate) fn expire(&self) {
        self.expired.get_or_init(|| ());
    }

    fn is_complete(&self, sinks: &[Arc<Station>]) -> bool {
        let is_flushed =
            |barriers: &[Barrier]| sinks.iter().zip(barriers).all(|(sink, barrier)| sink.is_flushed(*barrier));
        self.expired.get().is_some() || self.barriers.get().is_some_and(|barriers| is_flushed(barriers))
    }
}

/// Flushes, from both sides.
impl LoggerCore {
    /// Asks the flush task for a flush of everything accepted so far.
    pub(crate) fn request_flush(&self, timeout: Duration) -> Arc<FlushRequest> {
        let request = Arc::new(self.request(timeout, true));
        if !self.shutdown.is_done() {
            self.flushes.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            self.queue.signal().nudge();
        }
        request
    }

    /// As [`LoggerCore::ask_flush`], for a caller that does not wait.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        if self.shutdown.is_done() {
            return;
        }
        let request = Arc::new(self.request(Duration::MAX, false));
        {
            let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
            // It covers the one before: callers may ask faster than the flush task answers.
            flushes.retain(|other| other.is_awaited);
            flushes.push(request);
        }
        self.queue.signal().nudge();
    }

    fn request(&self, timeout: Duration, is_awaited: bool) -> FlushRequest {
        FlushRequest {
            positions: self.queue.accepted_positions(),
            timeout,
            is_awaited,
            barriers: OnceLock::new(),
            expired: OnceLock::new(),
        }
    }

    /// The flushes that are still on their way; those that are over, or that nobody waits for any more, are forgotten.
    pub(crate) fn pending_flushes(&self) -> Vec<Arc<FlushRequest>> {
        let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.retain(|request| match request.is_awaited {
            true => Arc::strong_count(request) > 1 && !request.is_complete(&self.sinks),
            false => !request.has_barriers(),
        });
        flushes.clone()
    }

    /// Everything before these flushes is handed out: now the sinks are to flush.
    pub(crate) fn push_barriers<'a>(&self, requests: impl Iterator<Item = &'a Arc<FlushRequest>>) {
        for request in requests {
            request.barriers.get_or_init(|| self.sinks.iter().map(|sink| sink.set_barrier()).collect());
        }
    }

    /// Ends when the flush is over, or the logger is. Cancel-safe.
    pub(crate) async fn wait_for_flush(&self, request: &FlushRequest) {
        loop {
            let mut progress = std::pin::pin!(self.notifiers.progress.notified());
            progress.as_mut().enable();
            if request.is_complete(&self.sinks) || self.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }

    pub(crate) fn flush_report(&self, request: &FlushRequest, since: Instant) -> FlushReport {
        let barriers = request.barriers.get();
        // Events that are at the desk have left the lanes: without barriers they are counted with it.
        let queued = match barriers {
            Some(_) => 0,
            None => {
                let dispatcher = self.dispatcher();
                self.queue.before(&request.positions) + dispatcher.queued()
            }
        };
        let sinks: Vec<_> = self
            .sinks
            .iter()
            .enumerate()
            .map(|(index, sink)| sink.flush_report(barriers.map(|barriers| barriers[index])))
            .collect();
        let complete = queued == 0 && sinks.iter().all(|sink| sink.flushed);
        FlushReport { complete, queued, sinks, elapsed: since.elapsed() }
    }
}
