use std::time::Duration;

use emit::setup::Init;
use emit_file::FileSet;

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct EmitFile(Init<'static, FileSet>);

impl Peer for EmitFile {
    const ABOUT: About = About {
        name: "emit",
        crates: &["emit", "emit_file"],
        format: Format::Json,
        setting: "emit_file::set with its defaults; it has no lossless setting: 10,000 events waiting are thrown away at once",
        queue: Queue::Fixed,
        // It names its files itself.
        pipe: false,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        Ok(EmitFile(emit::setup().emit_to(emit_file::set(&setup.path).spawn()).init()))
    }

    fn log(&self, request: &Request<'_>) {
        emit::info!(
            "request served",
            user_id: request.user_id,
            path: request.path,
            status: request.status,
            elapsed_ms: request.elapsed_ms,
        );
    }

    fn shutdown(self) -> Result<(), Error> {
        match self.0.blocking_flush(PATIENCE) {
            true => Ok(()),
            false => Err("the flush did not end in time".into()),
        }
    }
}
