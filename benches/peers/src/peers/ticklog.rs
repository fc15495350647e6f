use ticklog::{Backpressure, FileSink, Guard};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

// Its macros look for these by name. `configure!` makes them, too, but where only the crate's root finds them.
macro_rules! __ticklog_max_level {
    () => {
        ticklog::Level::Info
    };
}
macro_rules! __ticklog_backpressure {
    () => {
        Backpressure::Block
    };
}

pub struct TickLog(Guard);

impl Peer for TickLog {
    const ABOUT: About = About {
        name: "ticklog",
        crates: &["ticklog"],
        format: Format::Plain,
        setting: "Backpressure::Block, which spins; 1 MiB per thread, formatted by its thread; fields in the message",
        queue: Queue::Fixed,
        pipe: true,
        role: Role::Bound,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let guard = ticklog::configure! {
            sink: FileSink::new(&setup.path)?,
            backpressure: Backpressure::Block,
        }?;
        Ok(TickLog(guard))
    }

    fn log(&self, request: &Request<'_>) {
        ticklog::info!(
            "request served user_id={} path={} status={} elapsed_ms={}",
            request.user_id,
            request.path,
            request.status,
            request.elapsed_ms
        );
    }

    fn shutdown(self) -> Result<(), Error> {
        drop(self.0);
        Ok(())
    }
}
