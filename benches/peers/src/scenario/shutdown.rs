use std::time::Instant;

use super::pipe::{Lines, Pipe};
use super::{Outcome, Stage, call};
use crate::peers::{Error, Peer};

const QUEUED: u64 = 100_000;

/// Nobody reads until all calls are made, so that they are all queued, save what fits into the pipe.
pub fn run<P: Peer>(stage: &Stage<'_>) -> Result<Outcome, Error> {
    let setup = stage.setup();
    let pipe = Pipe::new(&setup.path)?;
    pipe.stop();
    let peer = P::start(&setup)?;
    (0..QUEUED).for_each(|number| call(&peer, number));
    pipe.go_on();
    let started = Instant::now();
    peer.shutdown()?;
    let seconds = started.elapsed().as_secs_f64();
    let Lines { in_time, late } = pipe.finish(QUEUED)?;
    Ok(Outcome { calls: QUEUED, lines: in_time, late, seconds: Some(seconds), ..Outcome::default() })
}
