use std::hint::black_box;

use super::{About, Error, Format, Peer, Queue, Request, Role, Setup};

/// What every figure of a call contains: the two reads of the clock, and the call with its arguments.
pub struct Nothing;

impl Peer for Nothing {
    const ABOUT: About = About {
        name: "(nothing)",
        crates: &[],
        format: Format::Plain,
        setting: "a call that does nothing with its arguments",
        queue: Queue::Unbounded,
        pipe: false,
        role: Role::Control,
    };

    fn start(_: &Setup) -> Result<Self, Error> {
        Ok(Nothing)
    }

    fn log(&self, request: &Request<'_>) {
        black_box((request.user_id, request.path, request.status, request.elapsed_ms));
    }

    fn shutdown(self) -> Result<(), Error> {
        Ok(())
    }
}
