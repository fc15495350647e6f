//! Flush, shutdown, the guard, hooks, cancellation, and a logger that ends without being asked.
//!
//! Tests with a paused clock run the logger on their own runtime. Where it has its own thread the bounds are real time,
//! generous, and well below what a broken promise would take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::is_notice;
use futures::FutureExt;
use futures::executor::block_on;
use logweir::error::Diagnostic;
use logweir::sink::ErrorKind;
use logweir::sink::{MemorySink, NullSink};
use logweir::stats::SinkReport;
use logweir::{
    Backlog, Batch, Builder, DropReason, Event, Health, Level, LevelFilter, Logger, Overflow, Pipeline, ShutdownReport,
    Sink, SinkError, async_trait, error, info,
};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
/// Nothing that keeps its promise takes as long.
const LONG: Duration = Duration::from_secs(60);
/// What a deadline of 300 ms may take in real time on a machine that is busy with something else.
const IN_TIME: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_millis(300);

/// A sink that keeps what it is given, says how far it is, and hangs in the call it is told to.
#[derive(Clone)]
struct Probe {
    memory: MemorySink,
    calls: watch::Sender<Calls>,
    /// A write takes a permit, for as long as there are enough.
    writes: Arc<Semaphore>,
    hangs_in_flush: bool,
    hangs_in_close: bool,
    fails_to_flush: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Calls {
    /// Writes that began, and the events in them.
    writes: usize,
    begun: u64,
    flushes: usize,
    closes: usize,
}

impl Probe {
    fn new() -> Self {
        Probe::open_for(Semaphore::MAX_PERMITS)
    }

    /// Hangs in the write after this many.
    fn open_for(writes: usize) -> Self {
        Probe {
            memory: MemorySink::new().capacity(1 << 20),
            calls: watch::Sender::default(),
            writes: Arc::new(Semaphore::new(writes)),
            hangs_in_flush: false,
            hangs_in_close: false,
            fails_to_flush: Arc::default(),
        }
    }

    fn calls(&self) -> Calls {
        *self.calls.borrow()
    }

    /// Events whose write has not ended.
    fn unanswered(&self) -> u64 {
        self.calls().begun - self.memory.total()
    }

    fn messages(&self) -> Vec<String> {
        self.memory.events().iter().map(|event| event.message()).collect()
    }

    async fn until(&self, reached: impl FnMut(&Calls) -> bool) -> Calls {
        *self.calls.subscribe().wait_for(reached).await.unwrap()
    }
}

#[async_trait]
impl Sink for Probe {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if is_notice(batch) {
            return Ok(());
        }
        self.calls.send_modify(|calls| {
            calls.writes += 1;
            calls.begun += batch.len() as u64;
        });
        self.writes.acquire().await.unwrap().forget();
        self.memory.write(batch).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.calls.send_modify(|calls| calls.flushes += 1);
        if self.hangs_in_flush {
            std::future::pending::<()>().await;
        }
        match self.fails_to_flush.load(Ordering::Relaxed) {
            true => Err(SinkError::temporary(io::Error::other("the disk is full"))),
            false => Ok(()),
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.calls.send_modify(|calls| calls.closes += 1);
        if self.hangs_in_close {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A sink that works a millisecond for each batch. It does not wait: the flush task gets no further meanwhile.
struct Slow(Probe);

#[async_trait]
impl Sink for Slow {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let until = Instant::now() + Duration::from_millis(1);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        self.0.write(batch).await
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.0.flush().await
    }
}

/// A sink that blocks its thread in `poll`, against the rules, until the test lets go of it.
struct BlocksInPoll {
    begun: mpsc::Sender<()>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl BlocksInPoll {
    /// The sink, what says that its write began, and what ends that when dropped.
    fn new() -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (begun, began) = mpsc::channel();
        let (hold, release) = mpsc::channel();
        (BlocksInPoll { begun, release: Mutex::new(release) }, began, hold)
    }
}

#[async_trait]
impl Sink for BlocksInPoll {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        self.begun.send(()).unwrap_or_default();
        // An error says that the test let go.
        self.release.lock().unwrap().recv().unwrap_or_default();
        Ok(())
    }
}

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
fn balanced<'a>(report: &'a ShutdownReport, probe: &Probe) -> &'a SinkReport {
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

// Flush

#[tokio::test(start_paused = true)]
async fn flush_returns_when_all_that_was_accepted_before_it_is_at_the_sink_and_the_sink_has_flushed() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1000);
    let flushed = logger.flush(SECOND).await;
    assert!(flushed.complete, "{flushed:?}");
    assert_eq!((flushed.queued, flushed.sinks[0].pending), (0, 0));
    assert_eq!(probe.messages(), numbers(1000));
    assert_eq!(probe.calls().flushes, 1);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 1000);
}

#[test]
fn flush_is_a_barrier_on_a_logger_with_its_own_thread_too() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    for round in 1..=50 {
        emit(&logger, 100);
        let flushed = logger.flush_blocking(LONG).unwrap();
        assert!(flushed.complete, "{flushed:?}");
        assert_eq!(probe.memory.total(), round * 100);
        assert_eq!(probe.calls().flushes as u64, round);
    }
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 5000);
}

#[test]
fn a_flush_waits_for_what_other_threads_had_emitted_before_it() {
    let probe = Probe::new();
    let logger = quiet().lanes(4).sink("probe", probe.clone()).start().unwrap();
    for round in 1..=20 {
        thread::scope(|scope| {
            (0..4).for_each(|_| {
                scope.spawn(|| emit(&logger, 200));
            })
        });
        assert!(logger.flush_blocking(LONG).unwrap().complete);
        assert_eq!(probe.memory.total(), round * 800);
    }
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 16_000);
}

#[test]
fn the_blocking_twins_refuse_to_block_a_runtime_and_have_begun_nothing() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        assert!(logger.flush_blocking(SECOND).is_err());
        let error = logger.shutdown_blocking(SECOND).unwrap_err();
        assert!(error.to_string().contains("runtime"), "{error}");
    });
    assert_eq!(logger.health(), Health::Running);
    emit(&logger, 1);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_past_a_hung_sink_says_how_much_is_pending_and_where() {
    let (stuck, fine) = (Probe::open_for(0), Probe::new());
    let logger = quiet()
        .batch_size(10)
        .sink("stuck", Pipeline::to(stuck.clone()).timeout(LONG))
        .sink("fine", fine.clone())
        .start_on(&Handle::current())
        .unwrap();
    emit(&logger, 25);
    let began = tokio::time::Instant::now();
    let flushed = logger.flush(SECOND).await;
    let took = began.elapsed();
    assert!(!flushed.complete);
    assert_eq!(flushed.queued, 0);
    let [at_stuck, at_fine] = &flushed.sinks[..] else { panic!("{flushed:?}") };
    assert_eq!((&at_stuck.name[..], at_stuck.flushed, at_stuck.pending), ("stuck", false, 25));
    assert_eq!((&at_fine.name[..], at_fine.flushed, at_fine.pending), ("fine", true, 0));
    assert_eq!(fine.messages(), numbers(25), "the other sink is not held up");
    assert!(SECOND <= took && took < 2 * SECOND, "{took:?}");
    // What comes after the flush is not pending for it.
    emit(&logger, 5);
    assert_eq!((stuck.calls().flushes, fine.calls().flushes), (0, 1));

    stuck.writes.add_permits(100);
    assert!(logger.flush(SECOND).await.complete);
    assert_eq!((stuck.memory.total(), stuck.calls().flushes), (30, 2), "one for each place");
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.sinks[1].delivered), (30, fine.memory.total()));
}

#[test]
fn a_flush_past_a_hung_sink_on_the_loggers_own_thread_returns_in_real_time() {
    let probe = Probe::open_for(0);
    let logger = quiet().sink("stuck", Pipeline::to(probe.clone()).timeout(LONG)).start().unwrap();
    emit(&logger, 7);
    let began = Instant::now();
    let flushed = logger.flush_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert!(!flushed.complete);
    assert_eq!(flushed.queued + flushed.sinks[0].pending, 7, "{flushed:?}");
    probe.writes.add_permits(100);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 7);
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_a_sink_cannot_do_says_why() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    probe.fails_to_flush.store(true, Ordering::Relaxed);
    let flushed = logger.flush(SECOND).await;
    assert!(!flushed.complete && !flushed.sinks[0].flushed);
    assert_eq!(flushed.sinks[0].pending, 0, "the events are delivered all the same");
    let error = flushed.sinks[0].error.as_ref().unwrap();
    assert_eq!(error.kind, ErrorKind::Temporary);
    assert!(error.message.contains("the disk is full"), "{}", error.message);

    probe.fails_to_flush.store(false, Ordering::Relaxed);
    let flushed = logger.flush(SECOND).await;
    assert!(flushed.complete && flushed.sinks[0].error.is_none(), "{flushed:?}");
    let report = logger.shutdown(SECOND).await;
    let sink = balanced(&report, &probe);
    assert_eq!((sink.delivered, sink.errors_of(ErrorKind::Temporary)), (3, 1));
    assert_eq!(trouble.count("the disk is full"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_in_its_flush_is_given_up_after_its_timeout() {
    let probe = Probe { hangs_in_flush: true, ..Probe::new() };
    let logger =
        quiet().sink("probe", Pipeline::to(probe.clone()).timeout(SECOND)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let began = tokio::time::Instant::now();
    let flushed = logger.flush(LONG).await;
    assert_eq!(flushed.sinks[0].error.as_ref().map(|error| error.kind), Some(ErrorKind::Timeout));
    assert!((SECOND..2 * SECOND).contains(&began.elapsed()));
    let report = logger.shutdown(LONG).await;
    assert_eq!(balanced(&report, &probe).delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn concurrent_flushes_all_return_and_share_the_work() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    let flushes = futures::future::join_all((0..200).map(|_| logger.flush(SECOND))).await;
    assert!(flushes.iter().all(|flushed| flushed.complete));
    let flushes = probe.calls().flushes;
    assert!((1..=200).contains(&flushes), "{flushes}");
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 10);
}

#[test]
fn a_flush_ends_while_events_keep_coming() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let logger = Logger::builder().queue_capacity(4096).sink("probe", probe.clone()).start().unwrap();
    let is_over = AtomicBool::new(false);
    let calls: u64 = thread::scope(|scope| {
        let emitters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        emit(&logger, 100);
                        calls += 100;
                    }
                    calls
                })
            })
            .collect();
        let flushes: Vec<_> = (0..20).map(|_| logger.flush_blocking(LONG)).collect();
        is_over.store(true, Ordering::Relaxed);
        let calls = emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum();
        for flushed in flushes {
            let flushed = flushed.unwrap();
            assert!(flushed.complete, "{flushed:?}");
        }
        calls
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(report.emitted, calls);
    balanced(&report, &probe);
}

#[test]
fn a_flush_ends_while_events_come_faster_than_the_sink_takes_them() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let builder = Logger::builder().lanes(2).queue_capacity(4096).batch_size(64);
    let logger = builder.sink("slow", Slow(probe.clone())).start().unwrap();
    let is_over = AtomicBool::new(false);
    let flushed = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    emit(&logger, 100);
                }
            });
        }
        block_on(probe.until(|calls| calls.writes > 10));
        let flushed = logger.flush_blocking(LONG);
        is_over.store(true, Ordering::Relaxed);
        flushed.unwrap()
    });
    assert!(flushed.complete && flushed.elapsed < LONG / 2, "{flushed:?}");
    let report = logger.shutdown_blocking(LONG).unwrap();
    balanced(&report, &probe);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_flush_harms_nothing() {
    let probe = Probe::open_for(0);
    let logger = quiet().sink("stuck", Pipeline::to(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    for _ in 0..300 {
        assert!(logger.flush(LONG).now_or_never().is_none());
    }
    probe.until(|calls| calls.writes == 1).await;
    probe.writes.add_permits(100);
    assert!(logger.flush(SECOND).await.complete);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_the_shutdown_returns_at_once_and_has_nothing_pending() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 5);
    let flushed = logger.flush(Duration::MAX).await;
    assert!(flushed.complete, "everything is delivered, and the sinks are closed: {flushed:?}");
    assert_eq!((flushed.queued, flushed.sinks[0].pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_begun_before_the_shutdown_is_answered_by_it() {
    let probe = Probe::open_for(0);
    let logger = quiet().sink("probe", Pipeline::to(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    let mut flush = pin!(logger.flush(LONG));
    assert!(poll_once(flush.as_mut()).is_pending());
    let mut shutdown = pin!(logger.shutdown(LONG));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.until(|calls| calls.writes == 1).await;
    probe.writes.add_permits(10);
    let (flushed, report) = tokio::join!(flush, shutdown);
    assert!(flushed.complete, "{flushed:?}");
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert!(!report.timed_out);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_sinks_that_cannot_close_is_not_complete() {
    struct CannotClose;
    #[async_trait]
    impl Sink for CannotClose {
        async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
            Ok(())
        }
        async fn close(&mut self) -> Result<(), SinkError> {
            Err(SinkError::temporary(io::Error::other("the last block does not fit")))
        }
    }
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("sink", CannotClose);
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    let report = logger.shutdown(SECOND).await;
    report.check().unwrap();
    assert_eq!(report.sinks[0].last_error.as_ref().map(|error| error.kind), Some(ErrorKind::Temporary));
    let flushed = logger.flush(SECOND).await;
    assert!(!flushed.complete && flushed.sinks[0].error.is_some(), "{flushed:?}");
    assert_eq!(trouble.count("the last block does not fit"), 1);
}

// Shutdown: what is delivered

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_what_is_pending_and_closes_the_sink() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 3000);
    assert_eq!(logger.health(), Health::Running);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(probe.messages(), numbers(3000));
    assert_eq!(balanced(&report, &probe).delivered, 3000);
    assert_eq!((report.timed_out, probe.calls().closes), (false, 1));
    assert!(matches!(logger.health(), Health::Gone { .. }));
    assert!(report.elapsed < LONG);
}

#[test]
fn a_hundred_thousand_queued_events_are_delivered_at_shutdown() {
    let builder = quiet().lanes(1).queue_capacity(1 << 17).memory(128 << 20);
    let logger = builder.sink("null", NullSink).start().unwrap();
    emit(&logger, 100_000);
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    assert_eq!((report.emitted, report.sinks[0].delivered), (100_000, 100_000));
    assert!(!report.timed_out);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_everybody_waits_for_gets_all_of_a_full_queue_at_shutdown() {
    let probe = Probe::open_for(3);
    let sink = Pipeline::to(probe.clone()).when_full(Backlog::Wait).backlog(64 << 10).timeout(LONG);
    let builder = quiet().lanes(1).queue_capacity(4096).max_event_bytes(1024).batch_size(16).sink("probe", sink);
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 4000);
    let mut shutdown = pin!(logger.shutdown(LONG));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.until(|calls| calls.writes == 4).await;
    probe.writes.add_permits(10_000);
    let report = shutdown.await;
    assert_eq!(balanced(&report, &probe).delivered, 4000);
    assert_eq!(probe.messages(), numbers(4000));
}

#[test]
fn what_is_emitted_after_the_shutdown_is_refused_and_counted_in_the_stats() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 2);
    let report = logger.shutdown_blocking(LONG).unwrap();
    emit(&logger, 3);
    let event = || Event::dynamic(Level::Info, "t", "late");
    assert!(matches!(logger.try_emit(event()), Err(logweir::error::TryEmitError::Closed(_))));
    let refused = block_on(logger.emit_wait(event())).unwrap_err();
    assert_eq!(refused.reason(), DropReason::Closed);
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, stats.refused.get(DropReason::Closed)), (6, 4));
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report, "the report is what it was");
    assert_eq!(balanced(&report, &probe).delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_wakes_the_flush_task_also_after_it_waited_for_a_sink() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::to(probe.clone()).when_full(Backlog::Wait).backlog(64 << 10).timeout(LONG);
    let builder = quiet().lanes(1).max_event_bytes(1024).flush_at(Level::Error);
    let logger = builder.sink("probe", sink).start_on(&Handle::current()).unwrap();
    emit(&logger, 2000);
    for round in 1..=3 {
        error!(logger: logger, "urgent");
        // Every task goes on until it has to wait: in the first round for the sink, which has no room for all.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(round == 1, logger.stats().queued > 0, "{:?}", logger.stats());
        if round == 1 {
            error!(logger: logger, "urgent while it waits");
            probe.writes.add_permits(Semaphore::MAX_PERMITS / 2);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(probe.memory.total(), 2001 + round, "at once");
    }
    let report = logger.shutdown(LONG).await;
    assert_eq!(balanced(&report, &probe).delivered, 2004);
}

// Shutdown: hooks

/// Adds a hook.
fn hook<F>(logger: &Logger, hook: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    logger.on_shutdown(move || hook().boxed());
}

#[tokio::test(start_paused = true)]
async fn hooks_run_last_in_first_out_and_what_they_log_is_delivered() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    for name in ["first", "second", "third"] {
        let handle = logger.clone();
        hook(&logger, move || async move {
            info!(logger: handle, "{name}", name);
            tokio::time::sleep(Duration::from_millis(10)).await;
            info!(logger: handle, "end of {name}", name);
            Ok(())
        });
    }
    let report = logger.shutdown(SECOND).await;
    assert_eq!(
        probe.messages(),
        ["third", "end of third", "second", "end of second", "first", "end of first"],
        "one after another"
    );
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks), (6, 0));
}

#[test]
fn what_hooks_log_is_delivered_on_the_loggers_own_thread_too() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let handle = logger.clone();
    hook(&logger, move || async move {
        info!(logger: handle, "0");
        assert!(handle.flush(LONG).await.complete, "a flush works in a hook");
        handle.emit_wait(Event::dynamic(Level::Info, "t", "1")).await?;
        Ok(())
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(probe.messages(), numbers(2));
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks, report.suppressed), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_fail_or_panic_are_counted_and_said_and_stop_no_other() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    let handle = logger.clone();
    hook(&logger, move || async move {
        info!(logger: handle, "0");
        Ok(())
    });
    hook(&logger, || async { Err("no database".into()) });
    hook(&logger, || async { panic!("in its future") });
    logger.on_shutdown(|| panic!("before its future"));
    let report = logger.shutdown(SECOND).await;
    assert_eq!(probe.messages(), numbers(1));
    assert_eq!((balanced(&report, &probe).delivered, report.failed_hooks), (1, 3));
    for part in ["no database", "in its future", "before its future"] {
        assert_eq!(trouble.count(part), 1, "{part}: {:?}", trouble.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_that_hang_leave_half_of_the_time_to_the_delivery() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 5);
    hook(&logger, || async { Ok(()) });
    hook(&logger, std::future::pending);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(10 * SECOND).await;
    assert!((4 * SECOND..=6 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert_eq!((report.timed_out, report.failed_hooks), (false, 2), "the one that hung, and the one behind it");
    assert_eq!(trouble.count("did not end"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_later_earlier_deadline_leaves_half_of_its_time_too() {
    let probe = Probe::new();
    let logger = quiet().on_error(|_| {}).sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    let (hangs, is_hanging) = tokio::sync::oneshot::channel();
    hook(&logger, || async {
        hangs.send(()).unwrap();
        std::future::pending().await
    });
    let mut patient = pin!(logger.shutdown(Duration::MAX));
    assert!(poll_once(patient.as_mut()).is_pending());
    is_hanging.await.unwrap();
    emit(&logger, 5);
    let report = logger.shutdown(10 * SECOND).await;
    assert_eq!(balanced(&report, &probe).delivered, 5);
    assert_eq!((report.timed_out, report.failed_hooks), (false, 1));
    assert_eq!(patient.await, report);
}

#[test]
fn a_hook_that_blocks_the_loggers_thread_does_not_hold_the_deadline_up() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 5);
    let (hold, held) = mpsc::channel::<()>();
    hook(&logger, move || async move {
        held.recv().unwrap_or_default();
        Ok(())
    });
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert_eq!((report.timed_out, report.failed_hooks), (true, 1));
    let sink = balanced(&report, &probe);
    assert_eq!(sink.delivered + dropped(&report, DropReason::Deadline), 5);
    drop(hold);
}

// Shutdown: deadlines

/// 1 batch delivered, 1 being written, the rest waiting: exact numbers at the deadline.
fn at_the_deadline(report: &ShutdownReport, probe: &Probe) {
    assert!(report.timed_out);
    let sink = balanced(report, probe);
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(report, DropReason::Deadline)), (10, 10, 15), "{report}");
    assert_eq!((report.accepted, report.dispatched, sink.routed), (35, 35, 35));
}

fn hangs_in_its_second_write() -> (Probe, Builder<'static>) {
    let probe = Probe::open_for(1);
    let sink = Pipeline::to(probe.clone()).timeout(10 * LONG);
    (probe, quiet().lanes(1).batch_size(10).sink("stuck", sink))
}

#[tokio::test(start_paused = true)]
async fn a_hung_sink_does_not_hold_up_a_shutdown_on_its_runtime_and_the_numbers_are_exact() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 35);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(LONG).await;
    let took = began.elapsed();
    // The deadline is carried from the real clock over to the paused one, less what passed in between.
    assert!(LONG - 5 * SECOND < took && took < LONG + SECOND, "{took:?}");
    at_the_deadline(&report, &probe);
    assert!(report.elapsed < LONG, "in real time it was a moment");
}

#[test]
fn a_hung_sink_does_not_hold_up_a_shutdown_on_its_own_thread_and_the_numbers_are_exact() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
    assert!((DEADLINE..IN_TIME).contains(&report.elapsed));
}

#[tokio::test]
async fn a_hung_sink_does_not_hold_up_a_shutdown_awaited_in_real_time_on_its_runtime() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    let report = logger.shutdown(DEADLINE).await;
    assert!((DEADLINE - Duration::from_millis(5)..IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
}

#[test]
fn a_sink_that_blocks_the_loggers_thread_does_not_hold_up_a_shutdown() {
    let (sink, began, hold) = BlocksInPoll::new();
    let logger = quiet().lanes(1).batch_size(10).sink("blocks", sink).start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    began.recv().unwrap();
    let since = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&since.elapsed()));
    report.check().unwrap();
    assert_eq!((report.emitted, report.accepted, report.timed_out), (35, 35, true));
    assert_eq!((report.sinks[0].delivered, report.sinks[0].unconfirmed), (0, 10));
    assert_eq!(dropped(&report, DropReason::Deadline), 25);
    drop(hold);
}

#[test]
fn a_shutdown_that_was_dropped_bounds_the_others_even_if_the_loggers_thread_is_blocked() {
    let (sink, began, hold) = BlocksInPoll::new();
    let logger = quiet().lanes(1).sink("blocks", sink).start().unwrap();
    emit(&logger, 1);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    began.recv().unwrap();
    assert!(logger.shutdown(DEADLINE).now_or_never().is_none());
    let since = Instant::now();
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert!(since.elapsed() < IN_TIME, "{:?}", since.elapsed());
    report.check().unwrap();
    assert_eq!((report.sinks[0].unconfirmed, report.timed_out), (1, true));
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_in_its_close_does_not_hold_up_a_shutdown() {
    let probe = Probe { hangs_in_close: true, ..Probe::new() };
    let logger =
        quiet().sink("probe", Pipeline::to(probe.clone()).timeout(10 * LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (3, true));
}

#[test]
fn a_deadline_of_zero_is_now() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 100);
    let report = logger.shutdown(Duration::ZERO).now_or_never().expect("it does not wait for anybody");
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!(sink.delivered + sink.unconfirmed + dropped(&report, DropReason::Deadline), 100);
    // The logger's thread may have been faster.
    assert!(report.timed_out || sink.delivered == 100, "{report}");
    assert!(matches!(logger.health(), Health::Gone { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_drops_all_that_waits_on_a_runtime_of_the_users() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    hook(&logger, || async { Ok(()) });
    emit(&logger, 100);
    let report = logger.shutdown(Duration::ZERO).now_or_never().expect("it does not wait for anybody");
    assert_eq!(balanced(&report, &probe).delivered, 0);
    assert_eq!((dropped(&report, DropReason::Deadline), report.failed_hooks), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_shutdown_waits_for_everything() {
    let probe = Probe::open_for(0);
    let logger =
        quiet().sink("slow", Pipeline::to(probe.clone()).timeout(100 * LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    let mut shutdown = pin!(logger.shutdown(Duration::MAX));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    assert_eq!(logger.health(), Health::Draining);
    tokio::time::sleep(50 * LONG).await;
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.writes.add_permits(10);
    let report = shutdown.await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_of_several_callers_counts_for_all_and_all_get_the_same_report() {
    for order in [[LONG, 5 * SECOND, Duration::MAX], [5 * SECOND, LONG, Duration::MAX]] {
        let (probe, builder) = hangs_in_its_second_write();
        let logger = builder.start_on(&Handle::current()).unwrap();
        emit(&logger, 35);
        let began = tokio::time::Instant::now();
        let reports = futures::future::join_all(order.map(|timeout| logger.shutdown(timeout))).await;
        assert!(began.elapsed() < 6 * SECOND, "{:?}", began.elapsed());
        at_the_deadline(&reports[0], &probe);
        assert!(reports.iter().all(|report| *report == reports[0]));
    }
}

#[test]
fn the_earliest_deadline_of_several_threads_counts_for_all() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let began = Instant::now();
    let reports: Vec<_> = thread::scope(|scope| {
        let callers = [Duration::MAX, LONG, DEADLINE].map(|timeout| {
            let logger = &logger;
            scope.spawn(move || logger.shutdown_blocking(timeout).unwrap())
        });
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(began.elapsed() < IN_TIME);
    at_the_deadline(&reports[0], &probe);
    assert!(reports.iter().all(|report| *report == reports[0]));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_goes_on() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 10);
    assert!(logger.shutdown(SECOND).now_or_never().is_none());
    probe.until(|calls| calls.closes == 1).await;
    assert_eq!(probe.messages(), numbers(10));
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[test]
fn a_shutdown_works_under_any_executor() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 10);
    assert!(block_on(logger.flush(LONG)).complete);
    emit(&logger, 10);
    let report = block_on(logger.shutdown(LONG));
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (20, false));
}

#[test]
fn a_deadline_holds_under_any_executor() {
    let (probe, builder) = hangs_in_its_second_write();
    let logger = builder.start().unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    assert!(!block_on(logger.flush(DEADLINE)).complete);
    block_on(probe.until(|calls| calls.writes == 2));
    let report = block_on(logger.shutdown(DEADLINE));
    assert!((2 * DEADLINE..2 * IN_TIME).contains(&began.elapsed()));
    at_the_deadline(&report, &probe);
}

#[test]
fn a_deadline_holds_for_a_logger_on_a_runtime_that_nobody_drives() {
    let (probe, builder) = hangs_in_its_second_write();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logger = builder.start_on(runtime.handle()).unwrap();
    emit(&logger, 35);
    let began = Instant::now();
    let report = logger.shutdown_blocking(DEADLINE).unwrap();
    assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
    assert_eq!((balanced(&report, &probe).unconfirmed, dropped(&report, DropReason::Deadline)), (0, 35));
    drop(runtime);
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report);
}

// Shutdown: callers that go on

#[test]
fn what_is_emitted_while_the_logger_shuts_down_is_accepted_or_refused_and_never_lost() {
    for timeout in [LONG, Duration::ZERO] {
        for round in 0..20 {
            let probe = Probe::new();
            let builder = Logger::builder().lanes(2).queue_capacity(256).overflow(Overflow::DropNewest);
            let logger = builder.sink("probe", probe.clone()).start().unwrap();
            let barrier = std::sync::Barrier::new(5);
            let (calls, report) = thread::scope(|scope| {
                let emitters: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            let mut calls = 0;
                            // Until long after the end: every call is counted somewhere.
                            let mut after = 0;
                            while after < 50 {
                                emit(&logger, 10);
                                calls += 10;
                                after += usize::from(matches!(logger.health(), Health::Gone { .. }));
                            }
                            calls
                        })
                    })
                    .collect();
                barrier.wait();
                thread::yield_now();
                let report = logger.shutdown_blocking(timeout).unwrap();
                (emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum::<u64>(), report)
            });
            report.check().unwrap();
            let stats = logger.stats();
            stats.check().unwrap();
            assert_eq!(stats.emitted, calls, "round {round}");
            assert_eq!(stats.queued, 0, "nothing is left behind: {stats:?}");
            assert!(stats.sinks.iter().all(|sink| sink.backlog + sink.in_flight == 0), "{stats:?}");
            assert!(report.emitted <= calls);
            let sink = &report.sinks[0];
            if timeout == LONG {
                assert!(!report.timed_out);
                balanced(&report, &probe);
                assert_eq!(sink.delivered, report.accepted, "round {round}: accepted is delivered");
            } else {
                assert!(sink.delivered <= probe.memory.total());
                assert!(probe.memory.total() <= sink.delivered + sink.unconfirmed, "{report}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_room_when_the_logger_closes_are_refused_at_once() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::to(probe.clone()).timeout(10 * LONG).when_full(Backlog::Wait).backlog(64 << 10);
    let builder = quiet().lanes(1).queue_capacity(8).batch_size(4).max_event_bytes(1024);
    let logger = builder.sink("stuck", sink).start_on(&Handle::current()).unwrap();
    let event = || Event::dynamic(Level::Info, "t", "fill");
    loop {
        // Every task goes on until it has to wait.
        tokio::time::sleep(SECOND).await;
        let mut accepted = 0;
        while logger.try_emit(event()).is_ok() {
            accepted += 1;
        }
        if accepted == 0 {
            break;
        }
    }
    let full = logger.stats();
    assert_eq!(full.emitted, full.accepted);
    let mut waits = pin!(logger.emit_wait(event()));
    assert!(poll_once(waits.as_mut()).is_pending());
    // Counted nowhere: it was dropped while it waited.
    assert!(logger.emit_wait(event()).now_or_never().is_none());
    let (waited, report) = tokio::join!(waits, logger.shutdown(LONG));
    assert_eq!(waited.unwrap_err().reason(), DropReason::Closed);
    assert_eq!((report.accepted, report.refused.get(DropReason::Closed)), (full.accepted, 1));
    let sink = balanced(&report, &probe);
    assert_eq!(sink.unconfirmed + dropped(&report, DropReason::Deadline), full.accepted);
}

#[test]
fn a_thread_blocked_in_emit_is_let_go_when_the_logger_closes() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::to(probe.clone()).timeout(10 * LONG).when_full(Backlog::Wait).backlog(64 << 10);
    let builder = Logger::builder().lanes(1).queue_capacity(8).max_event_bytes(1024);
    let logger = builder.overflow(Overflow::Block(10 * LONG)).sink("stuck", sink).start().unwrap();
    let began = Instant::now();
    let report = thread::scope(|scope| {
        // More than queue, desk and backlog hold together.
        scope.spawn(|| emit(&logger, 5000));
        block_on(probe.until(|calls| calls.writes == 1));
        logger.shutdown_blocking(DEADLINE).unwrap()
    });
    assert!(began.elapsed() < LONG);
    balanced(&report, &probe);
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, stats.queued), (5000, 0));
    assert!(stats.refused.get(DropReason::Closed) > 0);
}

// The guard

#[test]
fn a_guard_waits_for_the_delivery_when_it_is_dropped() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    emit(&logger, 10);
    drop(guard);
    assert_eq!(probe.messages(), numbers(10));
    assert!(matches!(logger.health(), Health::Gone { .. }));
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!(balanced(&report, &probe).delivered, 10);
}

#[test]
fn a_guard_waits_inside_any_runtime_and_while_unwinding() {
    let runtimes = [
        runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    ];
    for runtime in runtimes {
        for panics in [false, true] {
            let probe = Probe::new();
            let logger = quiet().sink("probe", probe.clone()).start().unwrap();
            let handle = logger.clone();
            let task = runtime.spawn(async move {
                let _guard = handle.shutdown_guard(LONG);
                emit(&handle, 10);
                if panics {
                    std::panic::resume_unwind(Box::new("unwinds"));
                }
            });
            assert_eq!(runtime.block_on(task).is_err(), panics);
            let report = logger.shutdown_blocking(LONG).unwrap();
            assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
        }
    }
}

#[test]
fn a_guard_dropped_on_a_worker_of_the_loggers_own_runtime_waits_and_the_logger_goes_on() {
    for workers in [1, 2] {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        for _ in 0..10 {
            let probe = Probe::new();
            let logger = quiet().sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
            let handle = logger.clone();
            let began = Instant::now();
            let task = runtime.spawn(async move {
                let _guard = handle.shutdown_guard(LONG);
                emit(&handle, 10);
            });
            runtime.block_on(task).unwrap();
            assert!(began.elapsed() < LONG / 2);
            let report = logger.shutdown_blocking(LONG).unwrap();
            assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
        }
    }
}

#[test]
fn a_guard_dropped_in_a_local_task_waits_too() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
    let local = tokio::task::LocalSet::new();
    let handle = logger.clone();
    let task = local.spawn_local(async move {
        let _guard = handle.shutdown_guard(LONG);
        emit(&handle, 10);
    });
    runtime.block_on(local.run_until(task)).unwrap();
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

#[test]
fn a_guard_on_the_one_thread_the_logger_runs_on_ends_it_at_once_and_says_so() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let report = runtime.block_on(async {
        let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
        let logger = builder.start_on(&Handle::current()).unwrap();
        let guard = logger.shutdown_guard(LONG);
        emit(&logger, 10);
        drop(guard);
        assert!(matches!(logger.health(), Health::Gone { .. }));
        logger.shutdown(LONG).await
    });
    assert!(began.elapsed() < LONG / 2);
    drop(runtime);
    assert_eq!((balanced(&report, &probe).delivered, dropped(&report, DropReason::Deadline)), (0, 10));
    assert_eq!(trouble.count("cannot wait"), 1, "{:?}", trouble.lines());
    assert_eq!(trouble.count("dropped 10"), 1, "{:?}", trouble.lines());
}

#[test]
fn a_guard_whose_time_is_over_says_what_was_lost() {
    let is_heard_when_the_guard_is_gone = || {
        let (probe, builder) = hangs_in_its_second_write();
        let (said, says) = mpsc::channel();
        let on_error = move |trouble: &Diagnostic| {
            if let Diagnostic::ShutdownIncomplete { report } = trouble {
                said.send(report.clone()).unwrap_or_default();
            }
        };
        let logger = builder.on_error(on_error).start().unwrap();
        emit(&logger, 35);
        assert!(!logger.flush_blocking(Duration::from_millis(1)).unwrap().complete);
        block_on(probe.until(|calls| calls.writes == 2));
        let began = Instant::now();
        drop(logger.shutdown_guard(DEADLINE));
        assert!((DEADLINE..IN_TIME).contains(&began.elapsed()));
        says.try_recv().map(|report| at_the_deadline(&report, &probe)).is_ok()
    };
    // Said before the drop returns, since the process may end then; but the guard waits for the handler's thread only a
    // moment, and this machine may be busy with something else.
    assert!((0..10).any(|_| is_heard_when_the_guard_is_gone()));
}

#[test]
fn a_guard_after_a_shutdown_does_nothing() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    let report = logger.shutdown_blocking(LONG).unwrap();
    drop(guard);
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report);
    assert_eq!(balanced(&report, &probe).delivered, 0);
}

// Cancellation

#[tokio::test(start_paused = true)]
async fn after_the_cancellation_the_logger_accepts_flushes_at_once_and_at_every_interval_and_ends_after_its_grace() {
    let probe = Probe::new();
    let token = CancellationToken::new();
    let builder = Logger::builder().flush_interval(SECOND).cancel_on(token.clone()).grace(10 * SECOND);
    let logger = builder.sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!((probe.memory.total(), probe.calls().flushes), (1, 0), "without a reason nothing is flushed");

    emit(&logger, 1);
    token.cancel();
    let began = tokio::time::Instant::now();
    probe.until(|calls| calls.flushes == 1).await;
    assert_eq!(probe.memory.total(), 2);
    assert!(began.elapsed() < SECOND / 10, "at once");
    assert_eq!(logger.health(), Health::Running);
    for flushes in 2..=6 {
        emit(&logger, 1);
        let calls = probe.until(|calls| calls.flushes >= flushes).await;
        assert_eq!(calls.begun, flushes as u64 + 1, "what came in since is in this flush");
    }
    assert!((4 * SECOND..=6 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    emit(&logger, 1);
    probe.until(|calls| calls.closes == 1).await;
    assert!((10 * SECOND..=11 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    let report = logger.shutdown(LONG).await;
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (8, false));
}

#[tokio::test(start_paused = true)]
async fn after_its_grace_the_logger_has_the_shutdown_timeout() {
    let probe = Probe::open_for(0);
    let token = CancellationToken::new();
    let builder = quiet().cancel_on(token.clone()).grace(10 * SECOND).shutdown_timeout(4 * SECOND);
    let logger = builder.sink("stuck", Pipeline::to(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    token.cancel();
    probe.until(|calls| calls.writes == 1).await;
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(logger.health(), Health::Draining);
    tokio::time::sleep(4 * SECOND).await;
    assert!(matches!(logger.health(), Health::Gone { .. }));
    let report = logger.shutdown(Duration::MAX).await;
    assert_eq!((balanced(&report, &probe).unconfirmed, report.timed_out), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_grace_to_be_over() {
    let probe = Probe::new();
    let token = CancellationToken::new();
    token.cancel();
    let builder = quiet().cancel_on(token);
    let logger = builder.sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 3);
    let began = tokio::time::Instant::now();
    let report = logger.shutdown(LONG).await;
    assert!(began.elapsed() < SECOND);
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (3, false));
}

#[test]
fn under_load_a_cancelled_logger_still_flushes_at_every_interval() {
    let probe = Probe::new();
    drop(probe.memory.clone().capacity(0));
    let token = CancellationToken::new();
    let builder = Logger::builder().lanes(2).queue_capacity(64).flush_interval(Duration::from_millis(5));
    let logger = builder.cancel_on(token.clone()).grace(10 * LONG).sink("slow", Slow(probe.clone())).start().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    emit(&logger, 100);
                }
            });
        }
        token.cancel();
        let flushed = block_on(async {
            tokio::select! {
                _ = probe.until(|calls| calls.flushes >= 20) => true,
                () = timer(LONG) => false,
            }
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(flushed, "{:?}", probe.calls());
    });
    let report = logger.shutdown_blocking(LONG).unwrap();
    balanced(&report, &probe);
}

/// Ends after this much real time, under any executor.
async fn timer(after: Duration) {
    let (over, is_over) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        thread::sleep(after);
        over.send(()).unwrap_or_default();
    });
    is_over.await.unwrap_or_default();
}

// Loggers that end without being asked

#[test]
fn the_last_handle_dropped_ends_the_logger_in_the_background_and_it_delivers() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let child = logger.with("request", 7).clone();
    emit(&logger, 10);
    drop(logger);
    assert_eq!(probe.calls().closes, 0, "a clone is left");
    emit(&child, 1);
    drop(child);
    let calls = block_on(probe.until(|calls| calls.closes == 1));
    assert_eq!((calls.begun, probe.memory.total()), (11, 11));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_dropped_gives_a_hung_sink_the_shutdown_timeout() {
    let probe = Probe::open_for(0);
    let builder = quiet().shutdown_timeout(3 * SECOND);
    let logger = builder.sink("stuck", Pipeline::to(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    drop(logger);
    let writes = probe.writes.clone();
    // The sink is dropped with its task, and its semaphore with it.
    drop(probe);
    let began = tokio::time::Instant::now();
    while Arc::strong_count(&writes) > 1 {
        tokio::time::sleep(SECOND / 10).await;
    }
    assert!((2 * SECOND..=4 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
}

fn on_a_runtime_of_its_own(builder: Builder<'_>) -> (Runtime, Logger) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logger = builder.start_on(runtime.handle()).unwrap();
    (runtime, logger)
}

/// The books of a logger whose runtime is gone.
fn of_a_dropped_runtime(logger: &Logger, probe: &Probe, trouble: &Trouble) -> ShutdownReport {
    assert!(matches!(logger.health(), Health::Gone { .. }), "{:?}", logger.health());
    let before = logger.stats();
    before.check().unwrap();
    emit(logger, 3);
    assert_eq!(logger.stats().refused.get(DropReason::WorkerGone), 3);
    let began = Instant::now();
    assert!(logger.flush_blocking(Duration::MAX).unwrap().queued == 0);
    let report = logger.shutdown_blocking(Duration::MAX).unwrap();
    assert!(began.elapsed() < IN_TIME, "at once");
    assert_eq!((report.refused.total(), report.timed_out), (0, false));
    balanced(&report, probe);
    assert_eq!(trouble.count("a task of the logger is gone"), 1, "{:?}", trouble.lines());
    report
}

#[test]
fn a_runtime_dropped_under_the_logger_is_counted_and_said_once() {
    let (probe, builder) = hangs_in_its_second_write();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(builder.on_error(trouble.handler()));
    runtime.block_on(async {
        emit(&logger, 25);
        assert!(!logger.flush(Duration::from_millis(1)).await.complete);
        probe.until(|calls| calls.writes == 2).await;
        // These stay in the queue.
        emit(&logger, 10);
    });
    drop(runtime);
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(&report, DropReason::RuntimeGone)), (10, 10, 15));
    assert_eq!(trouble.count("25 deliveries"), 1, "{:?}", trouble.lines());
}

#[test]
fn a_runtime_dropped_before_it_ever_ran_the_logger_is_counted_and_said_too() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(quiet().on_error(trouble.handler()).sink("probe", probe.clone()));
    emit(&logger, 4);
    drop(runtime);
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    assert_eq!(dropped(&report, DropReason::RuntimeGone), 4);
}

#[test]
fn a_runtime_that_was_gone_before_the_logger_started_is_said_too() {
    let probe = Probe::new();
    let trouble = Trouble::default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let builder = quiet().on_error(trouble.handler()).sink("probe", probe.clone());
    let logger = builder.start_on(&handle).unwrap();
    let report = of_a_dropped_runtime(&logger, &probe, &trouble);
    assert_eq!(report.accepted, 0);
}

#[test]
fn a_runtime_dropped_during_the_shutdown_ends_it() {
    let (probe, builder) = hangs_in_its_second_write();
    let trouble = Trouble::default();
    let (runtime, logger) = on_a_runtime_of_its_own(builder.on_error(trouble.handler()));
    runtime.block_on(async {
        emit(&logger, 35);
        assert!(logger.shutdown(Duration::MAX).now_or_never().is_none());
        probe.until(|calls| calls.writes == 2).await;
    });
    let report = thread::scope(|scope| {
        let caller = scope.spawn(|| logger.shutdown_blocking(Duration::MAX).unwrap());
        drop(runtime);
        caller.join().unwrap()
    });
    let sink = balanced(&report, &probe);
    assert_eq!((sink.delivered, sink.unconfirmed, dropped(&report, DropReason::RuntimeGone)), (10, 10, 15));
}

#[test]
fn a_logger_with_its_own_thread_survives_the_runtime_it_was_started_in() {
    let probe = Probe::new();
    let runtime = Runtime::new().unwrap();
    let logger = runtime.block_on(async { quiet().sink("probe", probe.clone()).start().unwrap() });
    emit(&logger, 5);
    drop(runtime);
    emit(&logger, 5);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
}

// Starting

#[test]
fn a_runtime_without_timers_is_refused() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let error = Logger::builder().sink("null", NullSink).start_on(runtime.handle()).unwrap_err();
    assert_eq!(error.knob(), Some("start_on"));
    assert!(error.to_string().contains("enable_time"), "{error}");
}

// Trouble

#[test]
fn a_logger_that_is_not_polled_for_a_second_says_so() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (probe, (said, says), (hold, release)) = (Probe::new(), mpsc::channel(), mpsc::channel::<()>());
    let release = Mutex::new(release);
    // The flush task calls it, and stands still in it; the handler is called on the other worker meanwhile.
    let builder = quiet().lanes(1).queue_capacity(10).on_pressure(50, move |_| {
        release.lock().unwrap().recv().unwrap_or_default();
    });
    let builder = builder.on_error(move |trouble| {
        if let Diagnostic::Stalled { since } = trouble {
            said.send(*since).unwrap_or_default();
        }
    });
    let logger = builder.sink("probe", probe.clone()).start_on(runtime.handle()).unwrap();
    emit(&logger, 10);
    let since = says.recv_timeout(LONG).unwrap();
    assert!(since >= SECOND);
    assert_eq!((logger.stats().queued, probe.memory.total()), (10, 0), "it still stands");
    drop(hold);
    let report = logger.shutdown_blocking(LONG).unwrap();
    assert_eq!((balanced(&report, &probe).delivered, report.timed_out), (10, false));
    assert!(says.try_recv().is_err(), "once");
}
