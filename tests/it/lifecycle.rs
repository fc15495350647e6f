//! Flush, shutdown, the guard, hooks, cancellation, and a logger that ends without being asked.
//!
//! Tests with a paused clock run the logger on their own runtime. Where it has its own thread the bounds are real time,
//! generous, and well below what a broken promise would take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod cancellation;
mod closing;
mod deadline;
mod flush;
mod guard;
mod handles;
mod hooks;
mod runtime_dropped;
mod shutdown;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use logweir::error::Diagnostic;
use logweir::stats::SinkStats;
use logweir::{Builder, DropReason, LevelFilter, Logger, Pipeline, ShutdownReport, info};

use crate::support::Probe;

const SECOND: Duration = Duration::from_secs(1);
/// Nothing that keeps its promise takes as long.
const LONG: Duration = Duration::from_secs(60);
/// What a deadline of 300 ms may take in real time on a machine that is busy with something else.
const IN_TIME: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_millis(300);

/// Only what a test asks for wakes the flush task.
fn quiet() -> Builder<'static> {
    Logger::builder().flush_interval(Duration::from_secs(3600)).flush_at(LevelFilter::Off).lanes(2)
}

fn emit(logger: &Logger, count: usize) {
    (0..count).for_each(|number| info!(logger: logger, "{number}", number));
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// The report of the one sink, after both books were added up and compared with what the sink saw itself.
fn balanced<'a>(report: &'a ShutdownReport, probe: &Probe) -> &'a SinkStats {
    report.check().unwrap();
    let [sink] = &report.sinks[..] else { panic!("one sink: {report}") };
    assert_eq!(sink.delivered, probe.memory.total(), "{report}");
    assert_eq!(sink.unconfirmed, probe.unanswered(), "{report}");
    sink
}

/// The drops of a report's only sink.
fn dropped(report: &ShutdownReport, reason: DropReason) -> u64 {
    let drops = &report.sinks[0].dropped;
    assert_eq!(drops.total(), drops.get(reason), "for this reason alone: {report}");
    drops.get(reason)
}

fn poll_once<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a logger reports of itself.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Vec<String>>>);

impl Trouble {
    fn handler(&self) -> impl Fn(&Diagnostic) + Send + Sync + 'static {
        let lines = self.0.clone();
        move |trouble| lines.lock().unwrap().push(trouble.to_string())
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }
}

/// Adds a hook.
fn hook<F>(logger: &Logger, hook: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    logger.on_shutdown(move || hook().boxed());
}

/// 1 batch delivered, 1 being written, the rest waiting: exact numbers at the deadline.
fn at_the_deadline(report: &ShutdownReport, probe: &Probe) {
    assert!(report.timed_out);
    let sink = balanced(report, probe);
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(report, DropReason::Deadline)), (10, 10, 15), "{report}");
    assert_eq!((report.accepted, report.dispatched, sink.routed), (35, 35, 35));
}

fn hangs_in_its_second_write() -> (Probe, Builder<'static>) {
    let probe = Probe::open_for(1);
    let sink = Pipeline::new(probe.clone()).timeout(10 * LONG);
    (probe, quiet().lanes(1).batch_size(10).sink("stuck", sink))
}
