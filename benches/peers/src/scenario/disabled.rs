use std::hint::black_box;
use std::time::{Duration, Instant};

use logweir::sink::NullSink;
use logweir::{Logger, info};

use super::{Outcome, Stage};
use crate::peers::Error;
use crate::stats::median;

const LOOPS: u64 = 200_000;
const TURNS: usize = 101;

/// logweir only: a call of a level that the filter keeps out, less the empty loop around it. Medians of many short turns,
/// one of each after the other, so that what disturbs one disturbs the other.
pub fn run(_: &Stage<'_>) -> Result<Outcome, Error> {
    let logger = Logger::builder().filter("warn").sink("null", NullSink).start()?;
    let (mut empty, mut calls) = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        empty.push(nanos(|number| {
            black_box(number);
        }));
        calls.push(nanos(|number| {
            black_box(number);
            info!(logger: logger, "never", number = number);
        }));
    }
    logger.shutdown_blocking(Duration::from_secs(10))?.check()?;
    let difference = median(calls).zip(median(empty)).map(|(calls, empty)| calls - empty);
    Ok(Outcome { disabled: difference, ..Outcome::default() })
}

fn nanos(body: impl FnMut(u64)) -> f64 {
    let started = Instant::now();
    (0..LOOPS).for_each(body);
    started.elapsed().as_nanos() as f64 / LOOPS as f64
}
