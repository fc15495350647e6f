//! Any thread: how the tasks of a logger are spawned, and the watchdog of its flush task.

use std::future::Future;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::LoggerCore;
use crate::context::suppress::suppress;
use crate::observe::diagnostics::Diagnostic;
use crate::time::timer;

/// How often the watchdog checks the flush task. A flush task that was not polled in between is reported.
const WATCHDOG_PERIOD: Duration = Duration::from_secs(1);

/// How often the samples of the histograms are sorted into their buckets.
#[cfg(feature = "prometheus")]
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Spawns a task of a logger: owned by a set, its log calls suppressed, aborted with the set. Only the shutdown hooks
/// are spawned elsewhere, because their events are accepted.
pub(super) fn spawn<T: Send + 'static>(set: &mut JoinSet<T>, task: impl Future<Output = T> + Send + 'static) {
    set.spawn(suppress(task));
}

/// The same on another runtime, if one is given.
pub(super) fn spawn_on<T: Send + 'static>(
    set: &mut JoinSet<T>,
    runtime: Option<&Handle>,
    task: impl Future<Output = T> + Send + 'static,
) {
    match runtime {
        Some(runtime) => drop(set.spawn_on(suppress(task), runtime)),
        None => spawn(set, task),
    }
}

/// Makes the timer thread watch the flush task, and take care of the logger's own recorder, until the logger ends; not
/// while the flush task rests.
pub(crate) fn start_timers(core: &Arc<LoggerCore>) -> io::Result<()> {
    let weak = Arc::downgrade(core);
    core.queue.signal().on_resumed(move |rests| {
        // Not in a forked child, which has none of the logger's tasks.
        if let Some(core) = Weak::upgrade(&weak).filter(|core| core.process == std::process::id()) {
            // The timer thread, without which no logger starts, is there.
            run_timers(&core, rests).unwrap_or_default();
        }
    });
    run_timers(core, core.queue.signal().rests())
}

fn run_timers(core: &Arc<LoggerCore>, rests: usize) -> io::Result<()> {
    #[cfg(feature = "prometheus")]
    if core.exporter.is_some() {
        start_upkeep(core, rests)?;
    }
    start_watchdog(core, rests)
}

/// Makes the timer thread check whether the flush task is polled.
fn start_watchdog(core: &Arc<LoggerCore>, rests: usize) -> io::Result<()> {
    let core = Arc::downgrade(core);
    let (mut seen, mut periods) = (u64::MAX, 0_u32);
    timer::every(WATCHDOG_PERIOD, move || {
        let is_watched =
            |core: &Arc<LoggerCore>| core.shutdown.requested().is_none() && core.queue.signal().rests() == rests;
        let Some(core) = Weak::upgrade(&core).filter(is_watched) else { return false };
        let turns = core.heartbeat.load(Ordering::Relaxed);
        periods = if turns == seen { periods + 1 } else { 0 };
        seen = turns;
        // A turn was requested one period ago, and none was taken.
        if periods == 1 {
            core.diagnostics.report(Diagnostic::Stalled { elapsed: WATCHDOG_PERIOD });
        }
        // Still none: a handler that runs on the same runtime is not called either.
        if periods == 2 {
            core.diagnostics.drain_to_stderr();
        }
        core.heartbeat_request.notify_one();
        true
    })
}

/// Makes the timer thread take care of the logger's own recorder.
#[cfg(feature = "prometheus")]
fn start_upkeep(core: &Arc<LoggerCore>, rests: usize) -> io::Result<()> {
    let core = Arc::downgrade(core);
    timer::every(UPKEEP_PERIOD, move || {
        let Some(core) = Weak::upgrade(&core).filter(|core| !core.shutdown.is_done()) else {
            return false;
        };
        core.call_recorder(|| core.exporter.iter().for_each(|exporter| exporter.run_upkeep()));
        core.queue.signal().rests() == rests
    })
}
