//! The flush task, once: drains the closed lanes, and starts the last part of a shutdown's time.

use std::time;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::LoggerCore;
use super::shutdown::StopReason;
use crate::dispatch::{Departed, Dispatched, NO_WATERMARK, announce};

/// Dispatches everything that was accepted before the lanes closed.
pub(super) async fn drain_after_close(core: &LoggerCore) {
    let LoggerCore { queue, sinks, notifiers, .. } = core;
    let mut departed = Departed::default();
    loop {
        let progress = {
            let mut dispatcher = core.dispatcher();
            dispatcher.begin(None);
            let take = |lane, chunk: &mut _| queue.take(lane, u64::MAX, chunk);
            dispatcher.dispatch(queue, sinks, NO_WATERMARK, take, &mut departed)
        };
        announce(queue, sinks, &mut departed);
        match progress {
            Dispatched::Batch(events) => {
                core.metrics.batch_events.record(events as f64);
                yield_now().await;
            }
            Dispatched::Blocked => notifiers.sink_ready.notified().await,
            Dispatched::Nothing => break,
        }
    }
    while let Some(flush) = core.next_flush() {
        core.push_barriers(&flush);
    }
}

/// Starts the sinks' fallback phase when the last fifth of a shutdown's time begins; never ends.
pub(super) async fn start_fallback_phase(core: &LoggerCore) -> StopReason {
    core.shutdown.wait_fraction(4, 5).await;
    core.sinks.iter().for_each(|sink| sink.begin_fallback_phase());
    std::future::pending().await
}

/// Tells the sinks how much time they have, from the first request for a shutdown on, and whenever a later one changes that;
/// never ends.
pub(super) async fn share_deadline(core: &LoggerCore) -> StopReason {
    let mut known = None;
    loop {
        let changed = core.shutdown.changed();
        let request = core.shutdown.requested();
        let now = request.map(|request| request.deadline);
        // Not for a request that changes nothing: sinks that wait would attempt again.
        if let Some(request) = request.filter(|_| known != now) {
            known = now;
            let deadline = request.deadline.and_then(|deadline| {
                // The runtime's clock may be paused, so the remaining time is carried over, not the instant.
                Instant::now().checked_add(deadline.saturating_duration_since(time::Instant::now()))
            });
            core.sinks.iter().for_each(|sink| sink.begin_drain(deadline));
        }
        changed.await;
    }
}

/// Closes the queue after a sink task stopped: the logger accepts no event that would not reach every sink. The other
/// sinks get the events accepted so far.
pub(super) fn stop_after_task_failure(core: &LoggerCore) {
    core.queue.close_task_failed();
    core.shutdown.request_if_none(core.shutdown_timeout);
}
