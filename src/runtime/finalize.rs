//! Any thread, once: closes the logger's counters and makes the shutdown report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::LoggerCore;
use super::service_thread::ServiceThread;
use super::shutdown::StopReason;
use crate::observe::diagnostics::{self, Diagnostic};
use crate::pipeline::{Leftovers, SinkLosses};
use crate::queue::IntakeBook;
use crate::stats::{DropReason, ShutdownReport, SinkStats, Stats};

/// What is freed where the counters are closed, in bytes.
const QUICKLY_FREED: usize = 1 << 20;
/// How long `finalize` waits for another thread that refreshes the metrics.
const RECORDER_TIMEOUT: Duration = Duration::from_millis(100);

/// Finalizes the logger on every exit, also when the runtime drops the flush task at an await.
pub(super) struct FinalizeOnDrop {
    pub(super) core: Arc<LoggerCore>,
    pub(super) reason: StopReason,
    /// They end before the counters are closed.
    pub(super) services: Vec<ServiceThread>,
}

impl Drop for FinalizeOnDrop {
    fn drop(&mut self) {
        self.services.clear();
        self.core.finalize(self.reason);
        // From here on no task runs the user's handler.
        self.core.diagnostics.close();
    }
}

/// Frees what the end leaves behind; on a thread of its own, if that takes more than a moment: a caller may wait for the
/// report.
fn discard(leftovers: Leftovers) {
    if leftovers.bytes() > QUICKLY_FREED {
        // Without a thread it takes that moment here.
        thread::Builder::new().name("logweir-free".into()).spawn(move || drop(leftovers)).map(drop).unwrap_or_default();
    }
}

impl LoggerCore {
    /// Closes the counters, once; every caller gets the same report. Never waits for a task or thread that may be
    /// stuck.
    pub(crate) fn finalize(&self, reason: StopReason) -> Arc<ShutdownReport> {
        let mut dispatcher = self.dispatcher();
        if let Some(report) = &dispatcher.end {
            return report.clone();
        }
        let reason_of_loss = match reason {
            StopReason::Completed | StopReason::DeadlineExceeded => DropReason::Deadline,
            StopReason::RuntimeDropped => DropReason::RuntimeDropped,
            StopReason::TaskFailed => DropReason::Panicked,
        };
        match reason {
            StopReason::Completed | StopReason::DeadlineExceeded => self.queue.close(),
            StopReason::RuntimeDropped | StopReason::TaskFailed => self.queue.close_task_failed(),
        }
        let mut leftovers = Leftovers::default();
        let before: Vec<SinkLosses> = self.sinks.iter().map(|sink| sink.losses()).collect();
        dispatcher.discard_all(&self.queue, &self.sinks, reason_of_loss, &mut leftovers);
        self.sinks.iter().for_each(|sink| sink.seal(reason_of_loss, &mut leftovers));
        let (stats, intake) = self.snapshot(&mut dispatcher);
        let elapsed = self.shutdown.requested().map_or(Duration::ZERO, |request| request.at.elapsed());
        // Of a sink that hangs, everything may be in its spool.
        let mut sinks = self.sinks.iter().zip(&before);
        let timed_out =
            reason == StopReason::DeadlineExceeded && !sinks.all(|(sink, before)| sink.has_ended_safely(before));
        let report = Arc::new(ShutdownReport::new(stats.clone(), self.hooks.failed(), timed_out, elapsed));
        dispatcher.end = Some(report.clone());
        drop(dispatcher);
        self.queue.tell_waiters();
        leftovers.wake();
        self.stopped_at.get_or_init(SystemTime::now);
        self.publish_final_metrics(&stats, &intake, elapsed);
        self.metrics.release_name();
        self.stop_services.cancel();
        self.report_final_losses(reason, reason_of_loss, &report);
        self.unregister();
        self.shutdown.set_done();
        self.notifiers.notify_progress();
        discard(leftovers);
        report
    }

    /// The report in a forked child: the counters there are those of a copy that no task continues.
    pub(crate) fn forked_report(&self) -> ShutdownReport {
        ShutdownReport::new(Stats::empty(self.name.clone()), 0, true, Duration::ZERO)
    }

    /// Publishes the last metrics. A recorder of the user's may hang on another thread, which then keeps its turn: the
    /// last values are not published in that case.
    fn publish_final_metrics(&self, stats: &Stats, intake: &IntakeBook, elapsed: Duration) {
        let patience = Instant::now() + RECORDER_TIMEOUT;
        let mut publication = loop {
            match self.metrics.try_publication() {
                Some(publication) => break publication,
                None if Instant::now() >= patience => return,
                None => thread::yield_now(),
            }
        };
        self.call_recorder(|| self.metrics.refresh(&publication, stats, &intake.accepted_by_level));
        self.call_recorder(|| self.metrics.retire(&mut publication, elapsed.as_secs_f64()));
    }

    /// Reports the losses before the end is published, so that callers that wait for the end wait for this report too.
    fn report_final_losses(&self, reason: StopReason, reason_of_loss: DropReason, report: &ShutdownReport) {
        let lost = |sink: &SinkStats| sink.dropped.get(reason_of_loss) + sink.unconfirmed;
        let lost: u64 = report.sinks.iter().map(lost).sum();
        // Also at a deadline: a task may have been found stopped before it.
        if self.queue.is_task_failed() {
            self.diagnostics.report(Diagnostic::TaskFailed { lost });
            if matches!(reason, StopReason::RuntimeDropped | StopReason::TaskFailed) {
                // This is where the logger runs, or ran: no other task calls the handler from here on.
                self.diagnostics.close();
            }
            diagnostics::wait_written(diagnostics::DROP_WAIT);
        } else if report.timed_out && lost > 0 && self.report_losses.load(Ordering::Relaxed) {
            self.diagnostics.report(Diagnostic::ShutdownIncomplete { report: Box::new(report.clone()) });
        }
    }
}
