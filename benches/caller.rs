//! What does a log call cost its caller?
//!
//! cargo bench --bench caller
//!
//! One event with four typed fields, in bursts of 1000 from 1, 4 and 16 threads, and one per 50 µs from 1 and 4. Each call is
//! timed on its own; both clock reads are included and their cost is printed beside. Each logger is warm: it has had as
//! many calls before, from as many threads, so that no memory is touched for the first time. Rounds of all cases are
//! interleaved; the figures are medians of the rounds. The logger delivers to a null sink; what it dropped stands beside.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use logweir::sink::NullSink;
use logweir::{Logger, Overflow, info};

const BURST: usize = 1000;
const PACE: Duration = Duration::from_micros(50);
const CALLS: usize = 20_000;
const ROUNDS: usize = 7;

#[derive(Clone, Copy)]
enum Shape {
    Burst,
    Paced,
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let cases = [(Shape::Burst, 1), (Shape::Burst, 4), (Shape::Burst, 16), (Shape::Paced, 1), (Shape::Paced, 4)];
    let mut figures: Vec<Vec<[u64; 3]>> = cases.iter().map(|_| Vec::new()).collect();
    let mut lost = 0;
    for _ in 0..ROUNDS {
        for ((shape, threads), figures) in cases.iter().zip(&mut figures) {
            let logger =
                Logger::builder().overflow(Overflow::DropNewest).sink("null", NullSink).start().expect("starts");
            measure(&logger, Shape::Burst, *threads);
            let mut nanos = measure(&logger, *shape, *threads);
            nanos.sort_unstable();
            figures.push([500, 990, 999].map(|permille| nanos[nanos.len() * permille / 1000]));
            let report = logger.shutdown_blocking(Duration::from_secs(10)).expect("outside a runtime");
            report.check().expect("the books balance");
            lost += report.refused.total() + report.evicted.total();
        }
    }
    println!("two clock reads: {} ns", clock_pair());
    println!("{:<28} {:>8} {:>8} {:>8}", "ns per call", "p50", "p99", "p99.9");
    for ((shape, threads), figures) in cases.iter().zip(figures) {
        let name = match shape {
            Shape::Burst => "bursts of 1000",
            Shape::Paced => "one per 50 µs",
        };
        let [p50, p99, p999] = [0, 1, 2].map(|at| median(figures.iter().map(|figure| figure[at]).collect()));
        println!("{:<28} {p50:>8} {p99:>8} {p999:>8}", format!("{name}, {threads} thread(s)"));
    }
    println!("not accepted in all rounds: {lost}");
    println!("disabled level: {:.2} ns over an empty loop", disabled());
}

fn measure(logger: &Logger, shape: Shape, threads: usize) -> Vec<u64> {
    let barrier = Barrier::new(threads);
    let per_thread = CALLS / threads;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| call(logger, shape, per_thread, &barrier))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    })
}

fn call(logger: &Logger, shape: Shape, calls: usize, barrier: &Barrier) -> Vec<u64> {
    // Written once before: its memory is there.
    let mut nanos = vec![1; calls];
    nanos.clear();
    barrier.wait();
    let mut next = Instant::now();
    for number in 0..calls {
        match shape {
            Shape::Burst if number % BURST == 0 => std::thread::sleep(Duration::from_millis(5)),
            Shape::Burst => {}
            Shape::Paced => {
                next += PACE;
                while Instant::now() < next {
                    std::hint::spin_loop();
                }
            }
        }
        let started = Instant::now();
        emit(logger, number as u64);
        nanos.push(started.elapsed().as_nanos() as u64);
    }
    nanos
}

#[inline(never)]
fn emit(logger: &Logger, number: u64) {
    info!(
        logger: logger,
        "request served",
        user_id = black_box(number),
        path = black_box("/api/v1/orders"),
        status = black_box(200_u64),
        elapsed_ms = black_box(12.5),
    );
}

fn clock_pair() -> u64 {
    let nanos = (0..10_001).map(|_| {
        let started = Instant::now();
        started.elapsed().as_nanos() as u64
    });
    median(nanos.collect())
}

/// Nanoseconds per call of a level that the filter keeps out, less those of the loop around it: medians of many short
/// rounds in turn, so that what disturbs one disturbs the other.
fn disabled() -> f64 {
    const LOOPS: u64 = 200_000;
    const TURNS: usize = 201;
    let logger = Logger::builder().filter("warn").sink("null", NullSink).start().expect("starts");
    let (mut empty, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        empty.push(timed(LOOPS, |number| {
            black_box(number);
        }));
        calls.push(timed(LOOPS, |number| {
            black_box(number);
            info!(logger: logger, "never", number = number);
        }));
    }
    let median = |times: Vec<Duration>| median(times.iter().map(|time| time.as_nanos() as u64).collect()) as f64;
    (median(calls) - median(empty)) / LOOPS as f64
}

fn timed(loops: u64, mut body: impl FnMut(u64)) -> Duration {
    let started = Instant::now();
    (0..loops).for_each(&mut body);
    started.elapsed()
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
