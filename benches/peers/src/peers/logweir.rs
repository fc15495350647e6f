use std::thread;
use std::time::Duration;

use logweir::format::Json;
use logweir::sink::FileSink;
use logweir::{Logger, Overflow, Pipeline, WhenFull, info};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

const PATIENCE: Duration = Duration::from_secs(60);
/// What the builder takes by itself, the number of cores, but no more than this.
const MOST_LANES: usize = 4;
/// Bytes an event takes in the queue.
const EVENT: usize = 128;
/// From here on events are kept for one thread, in one lane, as 100,000 would not fit in a part of them.
const ONE_LANE: usize = 100_000;

pub struct Lossless(Logger);

impl Peer for Lossless {
    const ABOUT: About = About {
        name: "logweir",
        crates: &["logweir"],
        format: Format::Json,
        setting: "Overflow::Block and WhenFull::Block make it lossless; the capacity is divided among its lanes, and the rest is its default",
        queue: Queue::Set,
        pipe: true,
        role: Role::Ours,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        Ok(Lossless(lossless(setup)?))
    }

    fn log(&self, request: &Request<'_>) {
        log(&self.0, request);
    }

    fn shutdown(self) -> Result<(), Error> {
        shutdown(&self.0)
    }
}

pub struct AsItComes(Logger);

impl Peer for AsItComes {
    const ABOUT: About = About {
        name: "logweir-default",
        crates: &["logweir"],
        format: Format::Json,
        setting: "as it comes: when it is full the oldest event makes room, and is counted",
        queue: Queue::Fixed,
        pipe: true,
        role: Role::OursByDefault,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        Ok(AsItComes(Logger::builder().sink("file", FileSink::new(&setup.path).format(Json::new())).start()?))
    }

    fn log(&self, request: &Request<'_>) {
        log(&self.0, request);
    }

    fn shutdown(self) -> Result<(), Error> {
        shutdown(&self.0)
    }
}

pub struct ThroughTracing(Logger);

impl Peer for ThroughTracing {
    const ABOUT: About = About {
        name: "logweir-tracing",
        crates: &["logweir"],
        format: Format::Json,
        setting: "as logweir; called through the macros of `tracing`, with its layer on a registry as the global subscriber",
        queue: Queue::Set,
        pipe: true,
        role: Role::OursThroughTracing,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let logger = lossless(setup)?;
        tracing::subscriber::set_global_default(registry().with(logger.tracing_layer()))?;
        Ok(ThroughTracing(logger))
    }

    fn log(&self, request: &Request<'_>) {
        super::tracing::log(request);
    }

    fn shutdown(self) -> Result<(), Error> {
        shutdown(&self.0)
    }
}

fn lossless(setup: &Setup) -> Result<Logger, Error> {
    let lanes = match setup.capacity {
        ONE_LANE.. => 1,
        _ => thread::available_parallelism().map_or(MOST_LANES, |cores| cores.get().min(MOST_LANES)),
    };
    let file = Pipeline::new(FileSink::new(&setup.path).format(Json::new())).when_full(WhenFull::Block);
    let builder = Logger::builder().lanes(lanes).overflow(Overflow::Block(PATIENCE));
    let builder = if setup.no_more {
        // What the queue is drained into counts, too.
        let backlog = setup.capacity / 4;
        let queue = setup.capacity - backlog;
        // The others have one queue, so it is one lane here.
        builder
            .lanes(1)
            .queue_capacity(queue)
            .max_event_bytes(64 << 10)
            .sink("file", file.backlog_bytes(backlog * EVENT))
    } else {
        // Half of half the budget is what the empty lanes may take.
        let memory = (64 << 20).max(setup.capacity * EVENT * 4);
        builder.queue_capacity(setup.capacity / lanes).memory_limit(memory).sink("file", file)
    };
    Ok(builder.start()?)
}

fn log(logger: &Logger, request: &Request<'_>) {
    info!(
        logger: logger,
        "request served",
        user_id = request.user_id,
        path = request.path,
        status = request.status,
        elapsed_ms = request.elapsed_ms,
    );
}

fn shutdown(logger: &Logger) -> Result<(), Error> {
    let report = logger.shutdown_blocking(PATIENCE)?;
    report.check()?;
    Ok(())
}
