//! What happens in a child process: one peer, one case, one round. Every scenario is generic over the peer.

mod allocations;
mod arrival;
mod burst;
mod disabled;
mod lines;
mod paced;
mod pipe;
mod shutdown;
mod stall;
mod throughput;

use std::hint::{black_box, spin_loop};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::case::{Case, Effort};
use crate::peers::{Error, Peer, Request, Setup, Visitor};
use crate::stats::Samples;

/// Longer than any peer keeps events before it looks at them, and than it takes to write a few thousand.
const SETTLE: Duration = Duration::from_millis(150);

/// What a child found out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// All calls, the warm-up included.
    pub calls: u64,
    /// Lines that were there when the shutdown had returned.
    pub lines: u64,
    /// Lines that came after that, which a process that ends would have lost.
    pub late: u64,
    /// How long single calls took, in nanoseconds; both clock reads are included.
    pub nanos: Samples,
    /// From when a call was due until it returned.
    pub response: Samples,
    /// Of what the scenario takes as a whole.
    pub seconds: Option<f64>,
    /// Calls a second, where a schedule asks for a number of them.
    pub achieved: Option<f64>,
    /// The most memory the process ever had (`VmHWM`), in KiB.
    pub peak_kib: Option<u64>,
    /// Per event.
    pub allocations: Option<f64>,
    /// Of a disabled call, over an empty loop, in nanoseconds.
    pub disabled: Option<f64>,
}

impl Outcome {
    pub fn lost(&self) -> u64 {
        self.calls.saturating_sub(self.lines)
    }
}

/// Where and how much.
pub struct Stage<'a> {
    pub case: Case,
    pub effort: Effort,
    /// Empty, and this child's own.
    pub folder: &'a Path,
}

impl Stage<'_> {
    fn setup(&self) -> Setup {
        Setup { path: self.folder.join("app.log"), capacity: self.case.capacity(), no_more: self.case == Case::Stall }
    }
}

impl Visitor for &Stage<'_> {
    type Answer = Result<Outcome, Error>;

    fn visit<P: Peer>(self) -> Self::Answer {
        match self.case {
            Case::Burst => burst::run::<P>(self, 1, self.effort.bursts()),
            Case::Paced => paced::run::<P>(self),
            Case::Threads(threads) => burst::run::<P>(self, threads, self.effort.bursts_of_threads()),
            Case::Throughput(threads) => throughput::run::<P>(self, threads),
            Case::Shutdown => shutdown::run::<P>(self),
            Case::Stall => stall::run::<P>(self),
            Case::Allocations => allocations::run::<P>(self),
            Case::Arrival(rate) => arrival::run::<P>(self, rate),
            Case::Disabled => disabled::run(self),
        }
    }
}

/// One call. Not inlined, so that it is a call for everybody, with arguments that nobody knows beforehand.
#[inline(never)]
fn call<P: Peer>(peer: &P, number: u64) {
    let request = Request {
        user_id: black_box(number),
        path: black_box("/api/v1/orders"),
        status: black_box(200),
        elapsed_ms: black_box(12.5),
    };
    peer.log(&request);
}

fn timed<P: Peer>(peer: &P, number: u64) -> u64 {
    let started = Instant::now();
    call(peer, number);
    started.elapsed().as_nanos() as u64
}

/// Room for so many samples, written once: that its memory is touched for the first time is no part of a call.
fn room_for(samples: usize) -> Vec<u64> {
    let mut room = vec![1; samples];
    room.clear();
    room
}

/// Calls that nobody times: what is made on first use is then there.
fn warm_up<P: Peer>(peer: &P, calls: u64) -> u64 {
    (0..calls).for_each(|number| call(peer, number));
    calls
}

/// The same, in a burst that each queue holds, and a pause in which it is drained.
fn warm_up_burst<P: Peer>(peer: &P) -> u64 {
    std::thread::sleep(Duration::from_millis(20));
    warm_up(peer, 1000)
}

/// Returns at `deadline`, or at once when that is over, with the time. Never sleeps, as waking up is late by more than
/// what is measured.
fn spin_until(deadline: Instant) -> Instant {
    loop {
        let now = Instant::now();
        if now >= deadline {
            return now;
        }
        spin_loop();
    }
}
