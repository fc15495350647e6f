//! The flush task, once: what is left in the closed lanes, and the last part of a shutdown's time.

use std::task::Poll;

use tokio::task::yield_now;

use super::Shared;
use super::shutdown::Ending;
use crate::dispatch::{NO_CUT, Progress};

/// Hands out everything that was accepted before the lanes closed.
pub(super) async fn drain_closed(shared: &Shared) {
    let Shared { queue, stations, bells, .. } = shared;
    loop {
        let progress = std::future::poll_fn(|cx| {
            let mut is_waiting = false;
            let mut desk = shared.desk();
            desk.begin();
            let progress =
                desk.hand_out(queue, stations, NO_CUT, |lane, into| match queue.poll_drain_closed(lane, cx, into) {
                    Poll::Ready(taken) => taken,
                    Poll::Pending => {
                        is_waiting = true;
                        0
                    }
                });
            if progress == Progress::Idle && is_waiting { Poll::Pending } else { Poll::Ready(progress) }
        })
        .await;
        match progress {
            Progress::HandedOut(events) => {
                shared.meters.batch_events.record(events as f64);
                yield_now().await;
            }
            Progress::Blocked => bells.room.notified().await,
            Progress::Idle => break,
        }
    }
    let open = shared.open_flushes();
    shared.set_barriers(open.iter());
}

/// Tells the sinks when the last fifth of a shutdown's time begins; never ends.
pub(super) async fn endgame(shared: &Shared) -> Ending {
    shared.shutdown.wait_part_here(4, 5).await;
    shared.stations.iter().for_each(|station| station.begin_endgame());
    std::future::pending().await
}

/// A sink's task is gone: nothing is accepted that would not arrive everywhere. The other sinks get what there is.
pub(super) fn lose_task(shared: &Shared) {
    shared.queue.close_worker_gone();
    shared.shutdown.request(shared.shutdown_timeout);
}
