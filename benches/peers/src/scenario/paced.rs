use std::thread;
use std::time::{Duration, Instant};

use super::lines::finish;
use super::{Outcome, SETTLE, Stage, room_for, spin_until, timed, warm_up_burst};
use crate::peers::{Error, Peer};

const PACE: Duration = Duration::from_micros(50);

/// One call per 50 µs. A call that takes longer does not make the next ones come sooner after each other.
pub fn run<P: Peer>(stage: &Stage<'_>) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let timed_calls = stage.effort.paced();
    let mut nanos = room_for(timed_calls);
    let warm = (0..20).map(|_| warm_up_burst(&peer)).sum::<u64>();
    thread::sleep(SETTLE);
    let mut next = Instant::now();
    for number in 0..timed_calls as u64 {
        next = spin_until(next) + PACE;
        nanos.push(timed(&peer, number));
    }
    let (outcome, _) = finish(peer, stage.folder, warm + timed_calls as u64)?;
    Ok(Outcome { nanos: nanos.into_iter().collect(), ..outcome })
}
