use std::fs::{File, OpenOptions};
use std::io::BufWriter;

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct Json(WorkerGuard);

impl Peer for Json {
    const ABOUT: About = About {
        name: "tracing-json",
        crates: &["tracing-subscriber", "tracing-appender"],
        format: Format::Json,
        setting: "non_blocking with lossy(false), global subscriber; behind a BufWriter, which its worker flushes when idle",
        queue: Queue::Set,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let (writer, guard) = writer(setup)?;
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(Json(guard))
    }

    fn log(&self, request: &Request<'_>) {
        log(request);
    }

    fn shutdown(self) -> Result<(), Error> {
        drop(self.0);
        Ok(())
    }
}

pub struct Text(WorkerGuard);

impl Peer for Text {
    const ABOUT: About = About {
        name: "tracing-text",
        crates: &["tracing-subscriber", "tracing-appender"],
        format: Format::Text,
        setting: "as tracing-json, in its default format without colours",
        queue: Queue::Set,
        pipe: true,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let (writer, guard) = writer(setup)?;
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(Text(guard))
    }

    fn log(&self, request: &Request<'_>) {
        log(request);
    }

    fn shutdown(self) -> Result<(), Error> {
        drop(self.0);
        Ok(())
    }
}

fn writer(setup: &Setup) -> Result<(NonBlocking, WorkerGuard), Error> {
    let file: File = OpenOptions::new().append(true).create(true).open(&setup.path)?;
    let builder = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(setup.capacity);
    Ok(builder.finish(BufWriter::new(file)))
}

pub(super) fn log(request: &Request<'_>) {
    tracing::info!(
        user_id = request.user_id,
        path = request.path,
        status = request.status,
        elapsed_ms = request.elapsed_ms,
        "request served",
    );
}
