use std::num::NonZeroUsize;
use std::sync::Arc;

use spdlog::formatter::JsonFormatter;
use spdlog::sink::{AsyncPoolSink, FileSink, OverflowPolicy};
use spdlog::{Logger, ThreadPool, info};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct AsyncPool {
    logger: Logger,
    pool: Arc<ThreadPool>,
}

impl Peer for AsyncPool {
    const ABOUT: About = About {
        name: "spdlog-rs",
        crates: &["spdlog-rs"],
        format: Format::Json,
        setting: "AsyncPoolSink with OverflowPolicy::Block (its default) over a FileSink with JsonFormatter",
        queue: Queue::Set,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let capacity = NonZeroUsize::new(setup.capacity).ok_or("a queue of nothing")?;
        let pool = ThreadPool::builder().capacity(capacity).build_arc()?;
        let file = FileSink::builder().path(&setup.path).formatter(JsonFormatter::new()).build_arc()?;
        let sink = AsyncPoolSink::builder()
            .sink(file)
            .thread_pool(Arc::clone(&pool))
            .overflow_policy(OverflowPolicy::Block)
            .build_arc()?;
        Ok(AsyncPool { logger: Logger::builder().sink(sink).build()?, pool })
    }

    fn log(&self, request: &Request<'_>) {
        info!(logger: self.logger, "request served", kv: {
            user_id = request.user_id,
            path = request.path,
            status = request.status,
            elapsed_ms = request.elapsed_ms,
        });
    }

    /// The pool joins its thread when the last handle goes, and the file is flushed with the last event that knows it.
    fn shutdown(self) -> Result<(), Error> {
        drop(self.logger);
        drop(self.pool);
        Ok(())
    }
}
