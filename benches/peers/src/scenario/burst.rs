use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::lines::finish;
use super::{Outcome, SETTLE, Stage, timed, warm_up};
use crate::peers::{Error, Peer};

const BURST: u64 = 1000;
const WARM_UP: u64 = 200;

/// Bursts of 1000 calls by each thread, all threads at once. The pause after each lets the queues drain.
pub fn run<P: Peer>(stage: &Stage<'_>, threads: u32, bursts: usize) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let pause = Duration::from_millis(20).max(Duration::from_millis(5) * threads);
    let barrier = Barrier::new(threads as usize);
    let nanos: Vec<Vec<u64>> = thread::scope(|scope| {
        let call = || calls(&peer, bursts, pause, &barrier);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Result<_, _>>()
    })
    .map_err(|_| "a calling thread panicked")?;
    let calls = u64::from(threads) * (WARM_UP + bursts as u64 * BURST);
    let (outcome, _) = finish(peer, stage.folder, calls)?;
    Ok(Outcome { nanos: nanos.into_iter().flatten().collect(), ..outcome })
}

fn calls<P: Peer>(peer: &P, bursts: usize, pause: Duration, barrier: &Barrier) -> Vec<u64> {
    let mut nanos = Vec::with_capacity(bursts * BURST as usize);
    warm_up(peer, WARM_UP);
    thread::sleep(SETTLE);
    for _ in 0..bursts {
        thread::sleep(pause);
        barrier.wait();
        nanos.extend((0..BURST).map(|number| timed(peer, number)));
    }
    nanos
}
