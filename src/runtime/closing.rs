//! The flush task, once: drains the closed lanes, and starts the last part of a shutdown's time.

use std::task::Poll;

use tokio::task::yield_now;

use super::LoggerCore;
use super::shutdown::StopReason;
use crate::dispatch::{Dispatched, NO_WATERMARK};

/// Dispatches everything that was accepted before the lanes closed.
pub(super) async fn drain_after_close(core: &LoggerCore) {
    let LoggerCore { queue, sinks, notifiers, .. } = core;
    loop {
        let progress = std::future::poll_fn(|cx| {
            let mut is_waiting = false;
            let mut dispatcher = core.dispatcher();
            dispatcher.begin();
            let progress = dispatcher.dispatch(queue, sinks, NO_WATERMARK, |lane, into| {
                match queue.poll_drain_closed(lane, cx, into) {
                    Poll::Ready(taken) => taken,
                    Poll::Pending => {
                        is_waiting = true;
                        0
                    }
                }
            });
            if progress == Dispatched::Nothing && is_waiting { Poll::Pending } else { Poll::Ready(progress) }
        })
        .await;
        match progress {
            Dispatched::Batch(events) => {
                core.metrics.batch_events.record(events as f64);
                yield_now().await;
            }
            Dispatched::Blocked => notifiers.room.notified().await,
            Dispatched::Nothing => break,
        }
    }
    let open = core.pending_flushes();
    core.push_barriers(open.iter());
}

/// Starts the sinks' fallback phase when the last fifth of a shutdown's time begins; never ends.
pub(super) async fn start_fallback_phase(core: &LoggerCore) -> StopReason {
    core.shutdown.wait_fraction(4, 5).await;
    core.sinks.iter().for_each(|sink| sink.begin_endgame());
    std::future::pending().await
}

/// Closes the queue after a sink task stopped: the logger accepts no event that would not reach every sink. The other
/// sinks get the events accepted so far.
pub(super) fn stop_after_task_failure(core: &LoggerCore) {
    core.queue.close_task_failed();
    core.shutdown.request(core.shutdown_timeout);
}
