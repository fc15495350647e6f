//! Whoever ends the logger: the books are closed, once, and the report is made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::Shared;
use super::shutdown::Ending;
use crate::context::suppress::Scope;
use crate::dispatch::Desk;
use crate::observe::diagnostics::{self, Diagnostic};
use crate::queue::IntakeBook;
use crate::stats::{DropReason, ShutdownReport, SinkReport, Stats};

/// How long the end of the books waits for callers in the middle of a send: a time slice or a few.
const HALF_SENT_PATIENCE: Duration = Duration::from_millis(100);

impl Shared {
    /// Closes the books, once; everybody gets the same report. Waits for nobody who can be stuck.
    pub(crate) fn finish(&self, ending: Ending) -> Arc<ShutdownReport> {
        let mut desk = self.desk();
        if let Some((report, _)) = &desk.end {
            return report.clone();
        }
        let why = match ending {
            Ending::Orderly | Ending::Deadline => DropReason::Deadline,
            Ending::RuntimeGone => DropReason::RuntimeGone,
            Ending::Panicked => DropReason::Panicked,
        };
        match ending {
            Ending::Orderly | Ending::Deadline => self.queue.close(),
            Ending::RuntimeGone | Ending::Panicked => self.queue.close_worker_gone(),
        }
        self.empty_lanes(&mut desk, why);
        self.stations.iter().for_each(|station| station.seal(why));
        let (stats, intake) = self.books(&mut desk);
        let elapsed = self.shutdown.requested().map_or(Duration::ZERO, |request| request.since.elapsed());
        let timed_out = ending == Ending::Deadline;
        let report = Arc::new(ShutdownReport::new(stats.clone(), self.hooks.failed(), timed_out, elapsed));
        desk.end = Some((report.clone(), why));
        drop(desk);
        self.ended.get_or_init(SystemTime::now);
        self.tell_recorder(&stats, &intake, elapsed);
        self.say_what_was_lost(ending, why, &report);
        self.shutdown.set_done();
        self.bells.progress.notify_waiters();
        report
    }

    /// A recorder of the user's may panic, and may log: whoever ends the logger gets his report all the same.
    fn tell_recorder(&self, stats: &Stats, intake: &IntakeBook, elapsed: Duration) {
        let _scope = Scope::enter();
        let told = catch_unwind(AssertUnwindSafe(|| {
            self.meters.refresh(stats, &intake.passed_by_level);
            self.meters.ended(elapsed.as_secs_f64());
        }));
        if told.is_err() {
            self.diagnostics.report(Diagnostic::CallbackPanicked { callback: "metrics recorder" });
        }
    }

    /// Before the end is made known, so that those who wait for it can wait for this too.
    fn say_what_was_lost(&self, ending: Ending, why: DropReason, report: &ShutdownReport) {
        let lost = |sink: &SinkReport| sink.dropped.get(why) + sink.unconfirmed;
        let lost: u64 = report.sinks.iter().map(lost).sum();
        // Also at a deadline: a task was found to be gone before.
        if self.queue.is_worker_gone() {
            self.diagnostics.report(Diagnostic::WorkerGone { lost });
            if matches!(ending, Ending::RuntimeGone | Ending::Panicked) {
                // Where the logger runs, or ran: nobody else calls the handler any more.
                self.diagnostics.end();
            }
            diagnostics::settle();
        } else if report.timed_out && lost > 0 && self.guarded.load(Ordering::Relaxed) {
            self.diagnostics.report(Diagnostic::ShutdownIncomplete { report: Box::new(report.clone()) });
        }
    }

    /// Settles what is left in the closed lanes. A caller that was interrupted between its permit and its event hides
    /// what is behind it in its lane; it is waited for, but not for ever: it may be stopped in a debugger.
    fn empty_lanes(&self, desk: &mut Desk, why: DropReason) {
        let patience = Instant::now() + HALF_SENT_PATIENCE;
        while !desk.abandon(&self.queue, &self.stations, why) && Instant::now() < patience {
            thread::yield_now();
        }
    }
}
