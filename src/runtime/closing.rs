//! The flush task, once: what is left in the closed lanes, and the last part of a shutdown's time.

use std::task::Poll;

use tokio::task::yield_now;

use super::LoggerCore;
use super::shutdown::StopReason;
use crate::dispatch::{Dispatched, NO_WATERMARK};

/// Hands out everything that was accepted before the lanes closed.
pub(super) async fn drain_after_close(shared: &LoggerCore) {
    let LoggerCore { queue, sinks: stations, notifiers: bells, .. } = shared;
    loop {
        let progress = std::future::poll_fn(|cx| {
            let mut is_waiting = false;
            let mut desk = shared.desk();
            desk.begin();
            let progress = desk.dispatch(queue, stations, NO_WATERMARK, |lane, into| {
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
                shared.metrics.batch_events.record(events as f64);
                yield_now().await;
            }
            Dispatched::Blocked => bells.room.notified().await,
            Dispatched::Nothing => break,
        }
    }
    let open = shared.pending_flushes();
    shared.push_barriers(open.iter());
}

/// Tells the sinks when the last fifth of a shutdown's time begins; never ends.
pub(super) async fn start_fallback_phase(shared: &LoggerCore) -> StopReason {
    shared.shutdown.wait_fraction(4, 5).await;
    shared.sinks.iter().for_each(|station| station.begin_endgame());
    std::future::pending().await
}

/// A sink's task is gone: nothing is accepted that would not arrive everywhere. The other sinks get what there is.
pub(super) fn stop_after_task_failure(shared: &LoggerCore) {
    shared.queue.close_worker_gone();
    shared.shutdown.request(shared.shutdown_timeout);
}
