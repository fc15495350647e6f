use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use super::lines::finish;
use super::{Outcome, SETTLE, Stage, room_for, timed, warm_up};
use crate::peers::{Error, Peer};

const BURST: u64 = 1000;
/// Bursts of all threads together before the timed ones: as many calls as the queue has places, so that each has been used.
const WARM_UP: u32 = 17;

/// Bursts of 1000 calls by each thread, all threads at once. The pause after each lets the queues drain.
pub fn run<P: Peer>(stage: &Stage<'_>, threads: u32, bursts: usize) -> Result<Outcome, Error> {
    let peer = P::start(&stage.setup())?;
    let pause = Duration::from_millis(20).max(Duration::from_millis(5) * threads);
    let gate = Gate { threads: u64::from(threads), arrived: AtomicU64::new(0) };
    let warm = WARM_UP.div_ceil(threads) as usize;
    let nanos: Vec<Vec<u64>> = thread::scope(|scope| {
        let call = || calls(&peer, warm, bursts, pause, &gate);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Result<_, _>>()
    })
    .map_err(|_| "a calling thread panicked")?;
    let calls = u64::from(threads) * (warm + bursts) as u64 * BURST;
    let (outcome, _) = finish(peer, stage.folder, calls)?;
    Ok(Outcome { nanos: nanos.into_iter().flatten().collect(), ..outcome })
}

fn calls<P: Peer>(peer: &P, warm: usize, bursts: usize, pause: Duration, gate: &Gate) -> Vec<u64> {
    let mut nanos = room_for(bursts * BURST as usize);
    for _ in 0..warm {
        thread::sleep(pause);
        gate.pass();
        warm_up(peer, BURST);
    }
    thread::sleep(SETTLE);
    for _ in 0..bursts {
        thread::sleep(pause);
        gate.pass();
        nanos.extend((0..BURST).map(|number| timed(peer, number)));
    }
    nanos
}

/// Opens when all threads are there. They wait for it awake: a thread that has to be woken first would begin when the
/// others are through with their burst, and the threads would never meet.
struct Gate {
    threads: u64,
    arrived: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        let number = self.arrived.fetch_add(1, SeqCst);
        let all = (number / self.threads + 1) * self.threads;
        while self.arrived.load(SeqCst) < all {
            thread::yield_now();
        }
    }
}
