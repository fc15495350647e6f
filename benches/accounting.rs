//! What do the books and the metrics cost the caller?
//!
//! cargo bench --bench accounting
//!
//! The same event with four typed fields goes one of two ways. *Full*: `info!` on a logger with one lane, with no metrics
//! and with those that Prometheus scrapes. *Bare*: encoded by the same macro, the clock read, sent into a tokio channel of
//! the same capacity, which a task on a thread of its own empties at the same interval without ever parking in it. What
//! full takes beyond bare is the filter, the choice of the lane, the checks for reserve, bytes and context, the look at
//! the marks that wake the flush task, and whatever accounting and metrics do on the caller's thread.
//!
//! Bursts of 1000, timed as a whole; rounds in turn, medians. The ratios are of the same round, so what disturbs one
//! disturbs the other.
//!
//! Instructions instead of nanoseconds, of the caller alone, to be divided by the number of events:
//!
//! cargo bench --bench accounting --no-run
//! valgrind --tool=callgrind --toggle-collect='accounting::emit_full' target/release/deps/accounting-… --callgrind full 100000
//! valgrind --tool=callgrind --toggle-collect='accounting::emit_bare' target/release/deps/accounting-… --callgrind bare 100000

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use logweir::sink::NullSink;
use logweir::{Builder, Event, Level, Logger, Overflow, info, new_event};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::unconstrained;
use tokio::time::interval;

const CAPACITY: usize = 8192;
/// Shorter than the pause between two bursts: no drain is due in the middle of one that was not before it.
const INTERVAL: Duration = Duration::from_millis(4);
const PAUSE: Duration = Duration::from_millis(5);
const BURST: u64 = 1000;
const BURSTS: usize = 60;
const ROUNDS: usize = 15;
const NEVER: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--callgrind") {
        let events = arguments.get(at + 2).and_then(|events| events.parse().ok()).expect("--callgrind full|bare N");
        return count(&arguments[at + 1], events);
    }
    let (mut bare, mut plain, mut metered) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(measure_bare());
        plain.push(measure_full(full(CAPACITY, INTERVAL)));
        metered.push(measure_full(full(CAPACITY, INTERVAL).prometheus(([127, 0, 0, 1], 0))));
    }
    println!("{:<30} {:>8} {:>10} {:>16}", "", "ns/call", "over bare", "over no metrics");
    for (name, nanos) in [("bare channel", &bare), ("full, no metrics", &plain), ("full, Prometheus", &metered)] {
        let (over_bare, over_plain) = (percent(nanos, &bare), percent(nanos, &plain));
        println!("{name:<30} {:>8.1} {over_bare:>+9.1}% {over_plain:>+15.1}%", median(nanos.clone()));
    }
}

fn full(capacity: usize, interval: Duration) -> Builder<'static> {
    let builder = Logger::builder().lanes(1).queue_capacity(capacity).flush_interval(interval);
    builder.overflow(Overflow::DropNewest).memory_limit(64 * CAPACITY * 128 + 8 * capacity * 128).sink("null", NullSink)
}

#[inline(never)]
fn emit_full(logger: &Logger, number: u64) {
    info!(
        logger: logger,
        "request served",
        user_id = black_box(number),
        path = black_box("/api/v1/orders"),
        status = black_box(200_u64),
        elapsed_ms = black_box(12.5),
    );
}

#[inline(never)]
fn emit_bare(events: &mpsc::Sender<Event>, number: u64) -> bool {
    let event = new_event!(
        Level::Info,
        "request served",
        user_id = black_box(number),
        path = black_box("/api/v1/orders"),
        status = black_box(200_u64),
        elapsed_ms = black_box(12.5),
    );
    black_box(now_nanos());
    events.try_send(event).is_ok()
}

/// The clock as the library reads it.
#[cfg(all(unix, target_pointer_width = "64", not(target_os = "redox")))]
fn now_nanos() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("there is a clock");
    (now.tv_sec() as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec() as u64)
}

#[cfg(not(all(unix, target_pointer_width = "64", not(target_os = "redox"))))]
fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    now.as_nanos() as u64
}

/// Nanoseconds per call: the median of many bursts.
fn bursts(mut emit: impl FnMut(u64)) -> f64 {
    let mut burst = || {
        thread::sleep(PAUSE);
        let started = Instant::now();
        (0..BURST).for_each(&mut emit);
        started.elapsed().as_nanos() as f64 / BURST as f64
    };
    // The first find cold caches.
    (0..5).for_each(|_| {
        burst();
    });
    median((0..BURSTS).map(|_| burst()).collect())
}

fn measure_full(builder: Builder<'_>) -> f64 {
    let logger = builder.start().expect("starts");
    let nanos = bursts(|number| emit_full(&logger, number));
    let report = logger.shutdown_blocking(PATIENCE).expect("outside a runtime");
    report.check().expect("the books balance");
    assert_eq!(report.refused.total(), 0, "nothing is cheaper for being refused");
    nanos
}

fn measure_bare() -> f64 {
    let (events, inbox) = mpsc::channel(CAPACITY);
    let (stop, drain) = drain(inbox);
    let mut refused = 0;
    let nanos = bursts(|number| refused += u64::from(!emit_bare(&events, number)));
    assert_eq!(refused, 0, "nothing is cheaper for being refused");
    drop(stop);
    drain.join().expect("no panic");
    nanos
}

/// Empties the channel as the flush task does, and drops what it takes.
fn drain(mut inbox: mpsc::Receiver<Event>) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, mut stopped) = oneshot::channel();
    let thread = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (mut ticks, mut batch) = (interval(INTERVAL), Vec::with_capacity(512));
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    _ = ticks.tick() => while take(&mut inbox, &mut batch) > 0 {
                        batch.clear();
                    },
                }
            }
        });
    });
    (stop, thread)
}

/// One chunk, without a waker that a caller would have to wake.
fn take(inbox: &mut mpsc::Receiver<Event>, batch: &mut Vec<Event>) -> usize {
    let polled = pin!(unconstrained(poll_fn(|cx| inbox.poll_recv_many(cx, batch, 64))))
        .poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(taken) = polled { taken } else { 0 }
}

/// Calls one of the ways so often and exits; nothing is drained, nobody is woken.
fn count(way: &str, events: u64) {
    let capacity = 4 * events as usize;
    match way {
        "full" => {
            let logger = full(capacity, NEVER).start().expect("starts");
            (0..events).for_each(|number| emit_full(&logger, number));
            assert_eq!(logger.stats().accepted, events);
        }
        "bare" => {
            let (sender, _inbox) = mpsc::channel(capacity);
            assert!((0..events).all(|number| emit_bare(&sender, number)));
        }
        way => panic!("no such way: {way}"),
    }
    std::process::exit(0);
}

/// The median of the ratios of the same rounds, less one.
fn percent(nanos: &[f64], base: &[f64]) -> f64 {
    (median(nanos.iter().zip(base).map(|(nanos, base)| nanos / base).collect()) - 1.0) * 100.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
