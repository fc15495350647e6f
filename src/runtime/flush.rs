//! Any thread: requests a flush, which the flush task performs.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::LoggerCore;
use crate::pipeline::{Barrier, Station};
use crate::stats::FlushReport;

/// A flush on its way through the dispatcher and the pipelines.
pub(crate) struct FlushRequest {
    /// The end offsets: how many events each lane had accepted at the request.
    pub(crate) end_offsets: Box<[u64]>,
    pub(crate) timeout: Duration,
    /// A caller waits for it. A flush without one is done once the sinks have their barriers.
    is_awaited: bool,
    /// One for each sink, set once everything before the flush is dispatched.
    barriers: OnceLock<Box<[Barrier]>>,
    /// Set when its timeout has passed on the runtime's clock.
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

/// Flushes: the requests, and the flush task's part.
impl LoggerCore {
    /// Requests a flush of everything accepted so far.
    pub(crate) fn request_flush(&self, timeout: Duration) -> Arc<FlushRequest> {
        let request = Arc::new(self.request(timeout, true));
        if !self.shutdown.is_done() {
            self.flushes.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            self.queue.signal().nudge();
        }
        request
    }

    /// Like [`LoggerCore::request_flush`], but the caller does not wait.
    #[cfg(feature = "log")]
    pub(crate) fn begin_flush(&self) {
        if self.shutdown.is_done() {
            return;
        }
        let request = Arc::new(self.request(Duration::MAX, false));
        {
            let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
            // It covers the one before: callers may request flushes faster than the flush task performs them.
            flushes.retain(|other| other.is_awaited);
            flushes.push(request);
        }
        self.queue.signal().nudge();
    }

    fn request(&self, timeout: Duration, is_awaited: bool) -> FlushRequest {
        FlushRequest {
            end_offsets: self.queue.accepted_positions(),
            timeout,
            is_awaited,
            barriers: OnceLock::new(),
            expired: OnceLock::new(),
        }
    }

    /// Returns the pending flushes; forgets those that are complete or that no caller waits for any more.
    pub(crate) fn pending_flushes(&self) -> Vec<Arc<FlushRequest>> {
        let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        flushes.retain(|request| match request.is_awaited {
            true => Arc::strong_count(request) > 1 && !request.is_complete(&self.sinks),
            false => !request.has_barriers(),
        });
        flushes.clone()
    }

    /// Pushes the barriers of these flushes into the sinks. Everything before the flushes is dispatched.
    pub(crate) fn push_barriers<'a>(&self, requests: impl Iterator<Item = &'a Arc<FlushRequest>>) {
        for request in requests {
            request.barriers.get_or_init(|| self.sinks.iter().map(|sink| sink.set_barrier()).collect());
        }
    }

    /// Waits until the flush is complete or the logger has stopped. Cancel-safe.
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
        // Events held by the dispatcher have left the lanes: without barriers they are counted too.
        let queued = match barriers {
            Some(_) => 0,
            None => {
                let dispatcher = self.dispatcher();
                self.queue.before(&request.end_offsets) + dispatcher.queued()
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
