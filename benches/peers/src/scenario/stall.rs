use std::thread;
use std::time::{Duration, Instant};

use super::pipe::{Lines, Pipe};
use super::{Outcome, SETTLE, Stage, call, spin_until, warm_up};
use crate::peers::{Error, Peer};

const PACE: Duration = Duration::from_micros(20);
/// On the schedule.
const CALLS: u32 = 75_000;
/// After which of them the sink stalls.
const STALLS_AFTER: u32 = 15_000;
const STALL: Duration = Duration::from_secs(1);

/// A call is due every 20 µs, for 1.5 s; after 0.3 s nobody reads the pipe for a second. Calls that a blocked caller
/// could not make in time are made as soon as it can; how late they are is in the response time. With room for 16,384 events
/// a lossless logger must block for two thirds of a second, whatever it is; one without a bound, or that drops, need not.
pub fn run<P: Peer>(stage: &Stage<'_>) -> Result<Outcome, Error> {
    let setup = stage.setup();
    let pipe = Pipe::new(&setup.path)?;
    let peer = P::start(&setup)?;
    let warm = warm_up(&peer, 200);
    thread::sleep(SETTLE);
    let mut nanos = Vec::with_capacity(CALLS as usize);
    let mut response = Vec::with_capacity(CALLS as usize);
    thread::scope(|scope| {
        let begin = Instant::now();
        for number in 0..CALLS {
            if number == STALLS_AFTER {
                pipe.stop();
                let pipe = &pipe;
                scope.spawn(move || {
                    thread::sleep(STALL);
                    pipe.go_on();
                });
            }
            let due = begin + PACE * number;
            let started = spin_until(due);
            call(&peer, u64::from(number));
            let ended = Instant::now();
            nanos.push((ended - started).as_nanos() as u64);
            response.push((ended - due).as_nanos() as u64);
        }
    });
    peer.shutdown()?;
    let calls = warm + u64::from(CALLS);
    let Lines { in_time, late } = pipe.finish(calls)?;
    let (nanos, response) = (nanos.into_iter().collect(), response.into_iter().collect());
    Ok(Outcome { calls, lines: in_time, late, nanos, response, ..Outcome::default() })
}
