use ftlog::appender::FileAppender;
use ftlog::{LevelFilter, LoggerGuard};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct FtLog(LoggerGuard);

impl Peer for FtLog {
    const ABOUT: About = About {
        name: "ftlog",
        crates: &["ftlog"],
        format: Format::Plain,
        setting: "bounded and blocking when full, its default text with UTC, which it recommends for speed; fields in the message",
        queue: Queue::Set,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let guard = ftlog::builder()
            .max_log_level(LevelFilter::Info)
            .bounded(setup.capacity, true)
            .utc()
            .root(FileAppender::new(&setup.path))
            .try_init()
            .map_err(|error| error.to_string())?;
        Ok(FtLog(guard))
    }

    fn log(&self, request: &Request<'_>) {
        log::info!(
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
