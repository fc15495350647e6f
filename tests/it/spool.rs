//! Spools on a real disk: what an outage, a restart, a crash and damage cost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod confirm;
mod damage;
mod folders;
mod hung;
mod killed;
mod outage;
mod reader;
mod restart;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir::stats::SinkStats;
use logweir::{Batch, Breaker, Builder, Logger, Pipeline, Retry, Sink, SinkError, Spool, async_trait};

use crate::support::PATIENCE;

/// A directory that is deleted with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("logweir-spool-{}-{name}", std::process::id()));
        fs::remove_dir_all(&dir).unwrap_or_default();
        Folder(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn spool(&self) -> Spool {
        Spool::new(&self.0)
    }

    /// The segments' files, oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if entry.path().extension().is_some_and(|extension| extension == "segment") {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// Retries and probes soon.
fn quick(pipeline: Pipeline) -> Pipeline {
    let ms = Duration::from_millis;
    let pipeline = pipeline.retry(Retry::default().initial_delay(ms(5)).max_delay(ms(10)).max_elapsed(ms(20)));
    pipeline.breaker(Breaker::default().probe_delay(ms(5)).max_probe_delay(ms(10)))
}

/// A logger with one sink, `sink`, that has a spool.
fn builder() -> Builder<'static> {
    crate::support::builder().flush_interval(Duration::from_millis(5))
}

/// A logger with one sink, `sink`, that has a spool.
fn spooled(sink: impl Sink, spool: Spool) -> Builder<'static> {
    builder().sink("sink", quick(Pipeline::new(sink)).spool(spool))
}

/// Starts a logger on the test's runtime.
fn start(builder: Builder<'_>) -> Logger {
    builder.start_on(&tokio::runtime::Handle::current()).unwrap()
}

/// A sink that is unavailable.
struct Unavailable;

#[async_trait]
impl Sink for Unavailable {
    async fn write(&mut self, _: &Batch) -> Result<(), SinkError> {
        Err(SinkError::temporary("unavailable"))
    }
}

/// Ends a logger whose counters must balance; returns those of its sink.
async fn end(logger: &Logger) -> SinkStats {
    let report = logger.shutdown(PATIENCE).await;
    report.check().unwrap();
    assert!(!report.timed_out, "{report}");
    report.sinks[0].clone()
}
