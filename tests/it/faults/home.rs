//! Where a logger of the matrix runs, and who drives it there.

use std::ops::Deref;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logweir::{Builder, Logger, ShutdownReport};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::oneshot;

use crate::support::{PATIENCE, emit_numbers};

/// Where the logger runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Home {
    Own,
    /// A current-thread runtime with a paused clock.
    Paused,
    /// The same in real time.
    Single,
    Workers,
}

impl Home {
    fn runtime(self) -> Option<Runtime> {
        let built = match self {
            Home::Own => return None,
            Home::Paused => runtime::Builder::new_current_thread().enable_all().start_paused(true).build(),
            Home::Single => runtime::Builder::new_current_thread().enable_all().build(),
            Home::Workers => runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        };
        Some(built.unwrap())
    }

    /// Starts it there, and runs it on threads other than the test's, which is outside every runtime.
    pub(super) fn start(self, builder: Builder<'_>) -> Driven {
        let (logger, runtime) = match self.runtime() {
            None => (builder.start().unwrap(), None),
            Some(runtime) => (builder.start_on(runtime.handle()).unwrap(), Some(runtime)),
        };
        let driver = runtime.map(|runtime| {
            let (stop, stopped) = oneshot::channel::<()>();
            (stop, std::thread::spawn(move || drop(runtime.block_on(stopped))))
        });
        Driven { logger, driver }
    }

    /// Starts it there, logs and shuts down.
    pub(super) fn run(self, builder: Builder<'_>, events: u64) -> (Logger, ShutdownReport) {
        let Some(runtime) = self.runtime() else {
            let logger = builder.start().unwrap();
            emit_numbers(&logger, 0..events);
            let report = logger.shutdown_blocking(PATIENCE).unwrap();
            return (logger, report);
        };
        runtime.block_on(async {
            let logger = builder.start_on(&Handle::current()).unwrap();
            emit_numbers(&logger, 0..events);
            let report = logger.shutdown(PATIENCE).await;
            (logger, report)
        })
    }
}

/// A logger, and who runs its runtime if it has none of its own.
pub(super) struct Driven {
    logger: Logger,
    driver: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Deref for Driven {
    type Target = Logger;

    fn deref(&self) -> &Logger {
        &self.logger
    }
}

impl Driven {
    /// Shuts down with a short deadline that begins when so many events are counted as delivered by this sink: what can be
    /// delivered is, however busy the machine.
    pub(super) fn shutdown_late(&self, sink: usize, delivered: u64, deadline: Duration) -> ShutdownReport {
        std::thread::scope(|scope| {
            let whole = scope.spawn(|| self.shutdown_blocking(PATIENCE).unwrap());
            let began = Instant::now();
            while self.stats().sinks[sink].delivered < delivered && began.elapsed() < PATIENCE / 2 {
                std::thread::yield_now();
            }
            let began = Instant::now();
            let report = self.shutdown_blocking(deadline).unwrap();
            assert!(began.elapsed() >= deadline && began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
            assert_eq!(whole.join().unwrap(), report, "the earliest deadline counts for all");
            report
        })
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.driver.take() {
            drop(stop);
            // What failed in it has failed the test already.
            thread.join().unwrap_or_default();
        }
    }
}
