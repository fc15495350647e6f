//! Code that logs where it is called from within a call of the logger: wakers, and tokio's own reports in a build for
//! tokio-console. `tests/e2e/instrumented.sh` runs these with tokio's reports on.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use logweir::sink::NullSink;
use logweir::{Event, Level, Logger, Overflow};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program that may hang; fails if it does.
fn returns(name: &str, program: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        program();
        done.send(()).unwrap_or_default();
    });
    match end.recv_timeout(PATIENCE) {
        Ok(()) => thread.join().unwrap(),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
        Err(RecvTimeoutError::Timeout) => panic!("{name}: no call returned in {PATIENCE:?}"),
    }
}

fn number(number: u64) -> Event {
    Event::new(Level::Info, "test", &number.to_string())
}

/// A waker that asks the logger, and logs.
struct Loud(Logger);

impl Wake for Loud {
    fn wake(self: Arc<Self>) {
        assert!(self.0.stats().check().is_ok());
        self.0.emit(number(1000));
    }
}

#[test]
fn a_waker_that_logs_runs_under_no_lock() {
    for policy in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(Duration::from_millis(1))] {
        returns("wakers", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let builder = Logger::builder().lanes(1).queue_capacity(8).overflow(policy);
            let logger = builder.sink("null", NullSink).start_on(runtime.handle()).unwrap();
            (0..8).for_each(|n| logger.emit(number(n)));
            let waker = Waker::from(Arc::new(Loud(logger.clone())));
            let mut wait = pin!(logger.emit_wait(number(8)));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            (9..100).for_each(|n| logger.emit(number(n)));
            assert!(runtime.block_on(logger.flush(PATIENCE)).complete);
            assert!(matches!(wait.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
            let report = runtime.block_on(logger.shutdown(PATIENCE));
            assert_eq!((report.check(), report.timed_out), (Ok(()), false));
            assert!(report.emitted + report.suppressed > 100, "the waker logged: {report}");
        });
    }
}

/// Tasks that make more events than the logger takes, and use what tokio reports on.
async fn overload(logger: Logger) {
    let (send, receive) = tokio::sync::mpsc::channel::<u64>(4);
    let receive = Arc::new(tokio::sync::Mutex::new(receive));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (logger, send, receive) = (logger.clone(), send.clone(), receive.clone());
            tokio::spawn(async move {
                for n in 0..2000 {
                    tracing::info!(task, n, "overload");
                    logger.emit(number(n));
                    send.send(n).await.unwrap();
                    receive.lock().await.recv().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn overloaded(layer: impl Fn(&Logger) -> Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let builder = Logger::builder().filter("info,runtime=trace").queue_capacity(64);
    let logger = builder.sink("null", NullSink).start().unwrap();
    let subscriber = tracing_subscriber::registry().with(layer(&logger));
    // Of the process: also for tokio's workers.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    runtime.block_on(overload(logger.clone()));
    let report = logger.shutdown_blocking(Duration::from_secs(10)).unwrap();
    assert_eq!((report.check(), report.timed_out), (Ok(()), false), "{report}");
    assert!(report.emitted >= 8 * 2000, "{report}");
}

/// Asks the logger at each report, and logs.
struct Curious(Logger, AtomicU64);

impl<S: tracing::Subscriber> Layer<S> for Curious {
    fn on_event(&self, _: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        self.1.fetch_max(self.0.stats().emitted, Ordering::Relaxed);
        self.0.emit(number(1));
    }

    fn on_enter(&self, _: &tracing::span::Id, _: LayerContext<'_, S>) {
        self.1.fetch_max(self.0.stats().emitted, Ordering::Relaxed);
    }
}

/// One subscriber per process: each of these is a process of its own.
fn in_a_process_of_its_own(test: &str, program: fn()) {
    const ROLE: &str = "LOGWEIR_TEST_INSTRUMENTED";
    static ONE: Mutex<()> = Mutex::new(());
    if std::env::var(ROLE).as_deref() == Ok(test) {
        return returns(test, program);
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test, "--nocapture"]).env(ROLE, test).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_tokio_reports_of_the_loggers_own_channel_stops_no_call() {
    let test = "what_tokio_reports_of_the_loggers_own_channel_stops_no_call";
    in_a_process_of_its_own(test, || overloaded(|logger| Box::new(logger.tracing_layer())));
}

#[test]
fn a_subscriber_that_asks_the_logger_at_each_report_stops_no_call() {
    let test = "a_subscriber_that_asks_the_logger_at_each_report_stops_no_call";
    in_a_process_of_its_own(test, || overloaded(|logger| Box::new(Curious(logger.clone(), AtomicU64::new(0)))));
}
