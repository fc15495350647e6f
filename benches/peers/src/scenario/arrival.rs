use std::thread;
use std::time::{Duration, Instant};

use super::lines::finish;
use super::{Outcome, SETTLE, Stage, call, room_for, spin_until, warm_up_burst};
use crate::peers::{Error, Peer};

/// Calls on a fixed schedule, each timed from when it was due. A logger that is slow for a moment makes the next calls
/// late, and that counts: timed from when they started, they would look fast (coordinated omission).
pub fn run<P: Peer>(stage: &Stage<'_>, rate: u64) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let scheduled = (rate as f64 * stage.effort.arrivals().as_secs_f64()) as u64;
    let interval = 1e9 / rate as f64;
    let mut response = room_for(scheduled as usize);
    let warm = (0..20).map(|_| warm_up_burst(&peer)).sum::<u64>();
    thread::sleep(SETTLE);
    let begin = Instant::now();
    for number in 0..scheduled {
        let due = begin + Duration::from_nanos((interval * number as f64) as u64);
        spin_until(due);
        call(&peer, number);
        response.push(due.elapsed().as_nanos() as u64);
    }
    let achieved = scheduled as f64 / begin.elapsed().as_secs_f64();
    let (outcome, _) = finish(peer, stage.folder, warm + scheduled)?;
    Ok(Outcome { achieved: Some(achieved), response: response.into_iter().collect(), ..outcome })
}
