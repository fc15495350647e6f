use std::thread;
use std::time::Instant;

use super::lines::finish;
use super::{Outcome, Stage, call};
use crate::peers::{Error, Peer};

/// As fast as it goes: from the first call until the shutdown has returned and the file is complete.
pub fn run<P: Peer>(stage: &Stage<'_>, threads: u32) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let each = stage.effort.throughput() / u64::from(threads);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|number| call(&peer, number)));
        }
    });
    let (outcome, complete) = finish(peer, stage.folder, each * u64::from(threads))?;
    let seconds = complete.duration_since(started).as_secs_f64();
    Ok(Outcome { seconds: Some(seconds), ..outcome })
}
