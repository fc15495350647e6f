use logforth::append::asynchronous::AsyncBuilder;
use logforth::append::file::FileBuilder;
use logforth::layout::JsonLayout;

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

pub struct Async;

impl Peer for Async {
    const ABOUT: About = About {
        name: "logforth",
        crates: &["logforth"],
        format: Format::Json,
        setting: "the Async appender with overflow_block (its default), bounded, over its File appender with JsonLayout",
        queue: Queue::Set,
        // It insists on creating its file.
        pipe: false,
        role: Role::Peer,
    };

    fn start(setup: &Setup) -> Result<Self, Error> {
        let folder = setup.path.parent().ok_or("a file without a folder")?;
        let name = setup.path.file_name().and_then(|name| name.to_str()).ok_or("a file without a name")?;
        let file = FileBuilder::new(folder, name).layout(JsonLayout::default()).build()?;
        let queue = AsyncBuilder::new("logforth")
            .buffered_lines_limit(Some(setup.capacity))
            .overflow_block()
            .append(file)
            .build();
        logforth::starter_log::builder().dispatch(|dispatch| dispatch.append(queue)).try_apply()?;
        log::set_max_level(log::LevelFilter::Info);
        Ok(Async)
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
        log::logger().flush();
        Ok(())
    }
}
