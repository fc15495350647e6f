//! The real channel under all policies at once: threads that log, flush, look at the books and close, at random.
//!
//! Two seconds of short rounds; `LOGWEIR_TEST_SECONDS` asks for more. Each round is given by its seed, which a
//! failure names; the schedule is the machine's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::executor::block_on;
use logweir::{
    Batch, DropReason, Event, Level, Logger, Overflow, Pipeline, ShutdownReport, Sink, SinkError, Value, WhenFull,
    async_trait, new_event,
};

use crate::support::{PATIENCE, balance, balance_stats, count, is_notice};

const PRODUCERS: usize = 4;
const EVENTS: u64 = 300;
/// Longer than anything here takes on a machine that is busy with something else.
const STUCK: Duration = Duration::from_secs(30);

#[test]
fn the_books_equal_what_the_sink_saw_whatever_threads_do_at_once() {
    let until = Instant::now() + Duration::from_secs(count("LOGWEIR_TEST_SECONDS", 2).into());
    let alive = watchdog();
    let mut totals = [0; 4];
    for seed in 1.. {
        let report = std::panic::catch_unwind(|| Round::new(seed).run());
        let report = report.unwrap_or_else(|_| panic!("the round of seed {seed} failed"));
        let kinds = [report.dispatched, report.evicted.total(), report.refused.total()];
        totals.iter_mut().zip(kinds).for_each(|(total, count)| *total += count);
        totals[3] += report.refused.get(DropReason::Closed);
        alive.send(seed).unwrap();
        if Instant::now() >= until {
            assert!(totals.iter().all(|total| *total > 0), "delivered, evicted, refused, closed: {totals:?}");
            return;
        }
    }
}

/// Ends the process if no round ends for too long: a thread that hangs cannot be failed in any other way.
fn watchdog() -> Sender<u64> {
    let (alive, rounds) = channel();
    thread::spawn(move || {
        let mut last = 0;
        loop {
            match rounds.recv_timeout(STUCK) {
                Ok(seed) => last = seed,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // Not `eprintln`, which the test's capture would keep to itself.
                    let text = format!("stress: no progress for {STUCK:?} after the round of seed {last}\n");
                    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
                    std::process::abort();
                }
            }
        }
    });
    alive
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Keeps what it was given, by producer. Clones share it.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<[Vec<u64>; PRODUCERS]>>);

impl Ledger {
    fn seen(&self) -> u64 {
        self.0.lock().unwrap().iter().map(|numbers| numbers.len() as u64).sum()
    }

    fn has(&self, producer: usize, number: u64) -> bool {
        self.0.lock().unwrap()[producer].binary_search(&number).is_ok()
    }
}

#[async_trait]
impl Sink for Ledger {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if is_notice(batch) {
            return Ok(());
        }
        let mut ledger = self.0.lock().unwrap();
        for record in batch.iter() {
            let field = |name| match record.field(name) {
                Some(Value::U64(number)) => number,
                other => panic!("{name} is {other:?}"),
            };
            ledger[field("producer") as usize].push(field("number"));
        }
        Ok(())
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Round {
    seed: u64,
    overflow: Overflow,
    ledger: Ledger,
    logger: Logger,
    /// Calls so far, for whoever closes at one of them.
    calls: AtomicU64,
}

/// What one producer knows of its events by what the calls said.
#[derive(Default)]
struct Known {
    emitted: u64,
    accepted: HashSet<u64>,
    not_accepted: HashSet<u64>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let overflow = match random.below(4) {
            0 => Overflow::DropOldest,
            1 => Overflow::DropNewest,
            2 => Overflow::Block(Duration::from_micros(random.below(1000))),
            _ => Overflow::Block(Duration::MAX),
        };
        let ledger = Ledger::default();
        let mut pipeline = Pipeline::new(ledger.clone());
        if random.below(2) == 0 {
            pipeline = pipeline.when_full(WhenFull::Block).backlog_bytes(4 << 10);
        }
        let logger = Logger::builder()
            .lanes(1 + random.below(3) as usize)
            .queue_capacity(1 + random.below(4) as usize)
            .batch_size(1 + random.below(8) as usize)
            // A handful of long events fills the account.
            .memory_limit(32 << 10)
            .max_event_bytes(2 << 10)
            .flush_interval(Duration::from_millis(1 + random.below(10)))
            .overflow(overflow)
            .on_error(|_| {})
            .sink("ledger", pipeline)
            .start()
            .unwrap();
        Round { seed, overflow, ledger, logger, calls: AtomicU64::new(0) }
    }

    fn run(&self) -> ShutdownReport {
        let is_over = AtomicBool::new(false);
        let (known, report) = thread::scope(|scope| {
            let spawn = |producer| scope.spawn(move || self.produce(producer));
            let producers: Vec<_> = (0..PRODUCERS).map(spawn).collect();
            scope.spawn(|| self.watch(&is_over));
            // Also where something here panics, or the scope waits for ever.
            let _over = Over(&is_over);
            let report = self.close();
            (producers.into_iter().map(|producer| producer.join().unwrap()).collect::<Vec<_>>(), report)
        });
        self.compare(&known);
        report
    }

    /// Flushes and looks at the books until the round is over.
    fn watch(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            self.logger.stats().check().unwrap();
            assert_eq!(self.logger.flush_blocking(PATIENCE).unwrap().queued, 0);
        }
    }

    /// Closes at a call of the producers, the last at the latest.
    fn close(&self) -> ShutdownReport {
        let at = Random::new(!self.seed).below(PRODUCERS as u64 * EVENTS);
        while self.calls.load(Ordering::Relaxed) < at {
            thread::yield_now();
        }
        let report = self.logger.shutdown_blocking(PATIENCE).unwrap();
        assert!(!report.timed_out, "{report}");
        assert_eq!(report.queued, 0, "{report}");
        balance(&report, &[("ledger", self.ledger.seen())]);
        report
    }

    fn produce(&self, producer: usize) -> Known {
        let mut random = Random::new(self.seed * 31 + producer as u64 + 1);
        let mut known = Known::default();
        for number in 0..EVENTS {
            let event = numbered(producer, number, &mut random);
            let (is_emitted, is_accepted) = self.call(event, &mut random);
            known.emitted += u64::from(is_emitted);
            match is_accepted {
                Some(true) => known.accepted.insert(number),
                Some(false) => known.not_accepted.insert(number),
                None => false,
            };
            self.calls.fetch_add(1, Ordering::Relaxed);
            if is_accepted == Some(true) && self.is_final() && random.below(20) == 0 {
                let flush = self.logger.flush_blocking(PATIENCE).unwrap();
                assert!(!flush.complete || self.ledger.has(producer, number), "{producer}, {number}: {flush:?}");
            }
        }
        known
    }

    /// One of the ways in; says whether the event counts as emitted, and whether it was accepted, if the call tells.
    fn call(&self, event: Event, random: &mut Random) -> (bool, Option<bool>) {
        match random.below(8) {
            0 => match self.logger.try_emit(event) {
                Ok(()) => (true, Some(true)),
                Err(_) => (false, Some(false)),
            },
            1 => (true, Some(block_on(self.logger.emit_wait(event)).is_ok())),
            // Cancelled if it has to wait.
            2 => match self.logger.emit_wait(event).now_or_never() {
                Some(result) => (true, Some(result.is_ok())),
                None => (false, Some(false)),
            },
            _ => {
                self.logger.emit(event);
                (true, None)
            }
        }
    }

    /// Whether an accepted event stays in the queue.
    fn is_final(&self) -> bool {
        self.overflow != Overflow::DropOldest
    }

    /// The books, against what the sink and the callers saw.
    fn compare(&self, known: &[Known]) {
        let stats = self.logger.stats();
        balance_stats(&stats, &[("ledger", self.ledger.seen())]);
        let emitted: u64 = known.iter().map(|known| known.emitted).sum();
        assert_eq!((stats.emitted, stats.queued, stats.queued_bytes), (emitted, 0, 0), "{stats:?}");
        let lost = stats.evicted.total() + stats.refused.total();
        assert_eq!(emitted - self.ledger.seen(), lost, "every loss is counted: {stats:?}");
        let is_lossless = self.overflow == Overflow::Block(Duration::MAX);
        let reasons: Vec<_> = stats.refused.iter().map(|(reason, _)| reason).collect();
        assert!(!is_lossless || reasons.iter().all(|reason| *reason == DropReason::Closed), "{stats:?}");
        assert!(!self.is_final() || stats.evicted.total() == 0, "{stats:?}");
        for (numbers, known) in self.ledger.0.lock().unwrap().iter().zip(known) {
            assert!(numbers.is_sorted_by(|a, b| a < b), "each once and in order: {numbers:?}");
            assert!(
                numbers.iter().all(|number| !known.not_accepted.contains(number)),
                "delivered, though not accepted"
            );
            let numbers: HashSet<_> = numbers.iter().copied().collect();
            assert!(!self.is_final() || known.accepted.is_subset(&numbers), "accepted, and lost");
        }
    }
}

/// Mostly short, some long, few urgent.
fn numbered(producer: usize, number: u64, random: &mut Random) -> Event {
    let event = match random.below(20) {
        0 => new_event!(Level::Error, "numbered", producer, number),
        _ => new_event!(Level::Info, "numbered", producer, number),
    };
    if random.below(10) == 0 { event.with("text", "x".repeat(100 + random.below(1500) as usize)) } else { event }
}
