use std::fs::OpenOptions;
use std::io::BufWriter;
use std::sync::Mutex;

use slog::{Drain, Logger, info, o};
use slog_async::{AsyncGuard, OverflowStrategy};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct SlogAsync {
    logger: Logger,
    guard: AsyncGuard,
}

impl Peer for SlogAsync {
    const ABOUT: About = About {
        name: "slog-async",
        crates: &["slog", "slog-async", "slog-json"],
        format: Format::Json,
        setting: "OverflowStrategy::Block, slog-json with its default keys, into a BufWriter; its guard joins the worker",
        queue: Queue::Set,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let file = OpenOptions::new().append(true).create(true).open(&setup.path)?;
        let json = Mutex::new(slog_json::Json::default(BufWriter::new(file))).fuse();
        let (drain, guard) = slog_async::Async::new(json)
            .chan_size(setup.capacity)
            .overflow_strategy(OverflowStrategy::Block)
            .build_with_guard();
        Ok(SlogAsync { logger: Logger::root(drain.fuse(), o!()), guard })
    }

    fn log(&self, request: &Request<'_>) {
        info!(
            self.logger,
            "request served";
            "user_id" => request.user_id,
            "path" => request.path,
            "status" => request.status,
            "elapsed_ms" => request.elapsed_ms,
        );
    }

    fn shutdown(self) -> Result<(), Error> {
        drop(self.logger);
        drop(self.guard);
        Ok(())
    }
}
