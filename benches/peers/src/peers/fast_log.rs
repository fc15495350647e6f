use fast_log::Config;

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct FastLog;

impl Peer for FastLog {
    const ABOUT: About = About {
        name: "fast_log",
        crates: &["fast_log"],
        format: Format::Plain,
        setting: "a bounded channel (it blocks when that is full), its default text; it drops fields, so they are in the message",
        // The channel is bounded, but the batches that its first thread hands to the second are not.
        queue: Queue::Unbounded,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let path = setup.path.to_str().ok_or("a path that is not UTF-8")?;
        let config = Config::new().level(log::LevelFilter::Info).chan_len(Some(setup.capacity)).file(path);
        fast_log::init(config)?;
        Ok(FastLog)
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
        log::logger().flush();
        Ok(())
    }
}
