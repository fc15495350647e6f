use flexi_logger::{FileSpec, Logger, LoggerHandle, WriteMode, json_format};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct Async(LoggerHandle);

impl Peer for Async {
    const ABOUT: About = About {
        name: "flexi_logger",
        crates: &["flexi_logger"],
        format: Format::Json,
        setting: "WriteMode::Async with its defaults and json_format; its queue has no bound, so it never blocks nor drops",
        queue: Queue::Unbounded,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let handle = Logger::try_with_str("info")?
            .log_to_file(FileSpec::try_from(&setup.path)?)
            .append()
            .format(json_format)
            .write_mode(WriteMode::Async)
            .start()?;
        Ok(Async(handle))
    }

    fn log(&self, request: &Request<'_>) {
        log::info!(
            user_id = request.user_id,
            path = request.path,
            status = request.status,
            elapsed_ms = request.elapsed_ms;
            "request served"
        );
    }

    fn shutdown(self) -> Result<(), Error> {
        self.0.shutdown();
        Ok(())
    }
}
