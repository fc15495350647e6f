use std::thread;
use std::time::Duration;

use super::lines::finish;
use super::{Outcome, SETTLE, Stage, call, warm_up};
use crate::allocations::Count;
use crate::peers::{Error, Peer};

const BURST: u64 = 1000;

/// Of the whole process, so those of the worker too, in steady state: after a warm-up, in bursts of 1000 with pauses in
/// which everything is written.
pub fn run<P: Peer>(stage: &Stage<'_>) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let bursts = stage.effort.allocations() as u64;
    let warm = warm_up(&peer, 10_000);
    thread::sleep(SETTLE);
    let count = Count::begin();
    for _ in 0..bursts {
        (0..BURST).for_each(|number| call(&peer, number));
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(SETTLE);
    let allocations = count.end() as f64 / (bursts * BURST) as f64;
    let (outcome, _) = finish(peer, stage.folder, warm + bursts * BURST)?;
    Ok(Outcome { allocations: Some(allocations), ..outcome })
}
