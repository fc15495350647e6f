//! Any thread: requests a flush, which the flush task performs.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::LoggerCore;
use crate::pipeline::Barrier;
use crate::stats::FlushReport;

/// A flush on its way through the dispatcher and the sinks. The callers that request one before it begins share it.
#[derive(Default)]
pub(crate) struct Flush {
    /// One for each sink, set once everything before the flush is dispatched.
    barriers: OnceLock<Box<[Arc<Barrier>]>>,
    /// A caller waits for it, or did.
    is_awaited: AtomicBool,
}

/// One caller's part in a flush.
pub(crate) struct FlushRequest {
    flush: Arc<Flush>,
    /// The end offsets: how many events each lane had accepted at the request.
    end_offsets: Box<[u64]>,
    pub(super) expiry: Arc<Expiry>,
}

/// Set when a caller's timeout has passed on the runtime's clock.
#[derive(Default)]
pub(crate) struct Expiry(OnceLock<()>);

/// The flushes whose events are not dispatched yet, and the callers whose timeouts the flush task does not know yet. A
/// caller that gave up leaves nothing here but a weak pointer, until the flush task runs.
#[derive(Default)]
pub(crate) struct FlushQueue {
    /// The one that the flush task performs.
    begun: Option<Arc<Flush>>,
    next: Option<Arc<Flush>>,
    timeouts: Vec<(Weak<Expiry>, Duration)>,
}

#[cfg(all(test, feature = "log"))]
impl FlushQueue {
    /// Returns how many flushes are not dispatched yet.
    pub(crate) fn known(&self) -> usize {
        usize::from(self.begun.is_some()) + usize::from(self.next.is_some())
    }
}

impl Expiry {
    pub(super) fn expire(&self) {
        self.0.get_or_init(|| ());
    }

    #[cfg(test)]
    pub(super) fn has_expired(&self) -> bool {
        self.0.get().is_some()
    }
}

impl FlushRequest {
    fn is_complete(&self) -> bool {
        self.expiry.0.get().is_some()
            || self.flush.barriers.get().is_some_and(|barriers| barriers.iter().all(|barrier| barrier.is_done()))
    }
}

/// Flushes: the requests, and the flush task's part.
impl LoggerCore {
    fn flushes(&self) -> MutexGuard<'_, FlushQueue> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a flush of everything accepted so far.
    pub(crate) fn request_flush(&self, timeout: Duration) -> FlushRequest {
        let (end_offsets, expiry) = (self.queue.accepted_positions(), Arc::<Expiry>::default());
        let mut flush = Arc::<Flush>::default();
        if !self.shutdown.is_done() {
            let mut flushes = self.flushes();
            flush = flushes.next.get_or_insert_default().clone();
            flushes.timeouts.push((Arc::downgrade(&expiry), timeout));
            drop(flushes);
            flush.is_awaited.store(true, Ordering::Relaxed);
            self.queue.signal().nudge();
        }
        FlushRequest { flush, end_offsets, expiry }
    }

    /// Like [`LoggerCore::request_flush`], but no caller waits.
    pub(crate) fn begin_flush(&self) {
        if !self.shutdown.is_done() {
            self.flushes().next.get_or_insert_default();
            self.queue.signal().nudge();
        }
    }

    /// Returns the flush that is to be performed now, if there is one. It covers all requests so far, but those that came
    /// after it had begun.
    pub(super) fn next_flush(&self) -> Option<Arc<Flush>> {
        let mut flushes = self.flushes();
        if flushes.begun.is_none() {
            flushes.begun = flushes.next.take();
        }
        flushes.begun.clone()
    }

    /// Takes the timeouts of the requests that are new.
    pub(super) fn take_flush_timeouts(&self) -> Vec<(Weak<Expiry>, Duration)> {
        mem::take(&mut self.flushes().timeouts)
    }

    /// Pushes the barriers of the flush that has begun into the sinks. Everything before it is dispatched.
    pub(super) fn push_barriers(&self, flush: &Flush) {
        let is_awaited = flush.is_awaited.load(Ordering::Relaxed);
        flush.barriers.get_or_init(|| self.sinks.iter().map(|sink| sink.push_barrier(is_awaited)).collect());
        self.flushes().begun = None;
        // The sinks may be closed, and have flushed.
        self.notifiers.notify_progress();
    }

    /// Waits until the flush is complete or the logger has stopped. Cancel-safe.
    pub(crate) async fn wait_for_flush(&self, request: &FlushRequest) {
        loop {
            let mut progress = std::pin::pin!(self.notifiers.progress.notified());
            progress.as_mut().enable();
            if request.is_complete() || self.shutdown.is_done() {
                return;
            }
            progress.await;
        }
    }

    pub(crate) fn flush_report(&self, request: &FlushRequest, since: Instant) -> FlushReport {
        let barriers = request.flush.barriers.get();
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
            .map(|(index, sink)| sink.flush_report(barriers.map(|barriers| &*barriers[index])))
            .collect();
        let complete = queued == 0 && sinks.iter().all(|sink| sink.flushed);
        FlushReport { complete, queued, sinks, elapsed: since.elapsed() }
    }
}
