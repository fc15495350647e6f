//! Programs as plain data, and how they are drawn.

use logweir::sink::Duplicates;
use logweir::{Breaker, Level, LevelFilter, Overflow, Retry, WhenFull};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::time::Duration;

/// A logger, what its sinks do, what its callers do, and how it ends. Times are milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) config: Config,
    pub(super) sinks: Vec<SinkPlan>,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) lanes: usize,
    pub(super) capacity: usize,
    pub(super) batch_size: usize,
    pub(super) overflow: Overflow,
    /// For events of this level and above, in percent of each lane.
    pub(super) reserve: Option<(Level, u8)>,
    /// Bytes over what the lanes need.
    pub(super) memory: usize,
    /// Bytes of a field that is computed for each dispatch; 0: there is none.
    pub(super) enrichment: usize,
    pub(super) flush_interval: u64,
    pub(super) flush_at: LevelFilter,
}

#[derive(Clone, Debug)]
pub(super) struct SinkPlan {
    pub(super) level: Level,
    /// `WhenFull::Block`.
    pub(super) waits: bool,
    pub(super) backlog: Option<usize>,
    pub(super) batching: Option<BatchPlan>,
    pub(super) retry: RetryPlan,
    pub(super) breaker: BreakerPlan,
    /// The sink itself, then its fallbacks.
    pub(super) links: Vec<LinkPlan>,
    pub(super) spool: Option<SpoolPlan>,
}

/// What the store of a spool does.
#[derive(Clone, Debug)]
pub(super) struct SpoolPlan {
    /// The unsettled events that it has room for.
    pub(super) room: u64,
    /// What can be removed as a whole has this many batches.
    pub(super) part: usize,
    pub(super) policy: WhenFull,
    pub(super) appends: Vec<StoreAnswer>,
    pub(super) reads: Vec<StoreAnswer>,
    pub(super) syncs: Vec<StoreAnswer>,
    /// It forgets what was not made durable, between two lives.
    pub(super) crashes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StoreAnswer {
    pub(super) delay: Delay,
    pub(super) outcome: StoreOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StoreOutcome {
    Ok,
    Fail,
    /// The batch is deleted.
    Lose,
}

/// Events and time of a request; it may have as many bytes as there can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPlan {
    pub(super) events: usize,
    pub(super) linger: u64,
}

#[derive(Clone, Debug)]
pub(super) struct RetryPlan {
    pub(super) initial: u64,
    pub(super) cap: u64,
    pub(super) max_age: u64,
    pub(super) max_attempts: Option<u32>,
    pub(super) seed: u64,
}

impl RetryPlan {
    pub(super) fn policy(&self) -> Retry {
        let retry =
            Retry::default().initial_delay(ms(self.initial)).max_delay(ms(self.cap)).max_elapsed(ms(self.max_age));
        let retry = retry.seed(self.seed);
        self.max_attempts.map_or(retry.clone(), |most| retry.max_attempts(most))
    }
}

#[derive(Clone, Debug)]
pub(super) struct BreakerPlan {
    /// `None`: never.
    pub(super) failures: Option<u32>,
    pub(super) probe_after: u64,
    pub(super) cap: u64,
}

impl BreakerPlan {
    pub(super) fn policy(&self) -> Breaker {
        let breaker =
            self.failures.map_or_else(Breaker::never, |failures| Breaker::default().failure_threshold(failures));
        breaker.probe_delay(ms(self.probe_after)).max_probe_delay(ms(self.cap))
    }
}

#[derive(Clone, Debug)]
pub(super) struct LinkPlan {
    pub(super) timeout: u64,
    pub(super) outlives: bool,
    /// It is a `RequestSink`.
    pub(super) requests: Option<RequestPlan>,
    pub(super) poison: Option<Poison>,
    /// The answers to the first writes.
    pub(super) script: Vec<Answer>,
    /// The answer to all that follow.
    pub(super) always: Answer,
    /// How long the first calls that carry no events take; later ones take no time.
    pub(super) calls: Vec<Delay>,
    pub(super) errors: Errors,
}

/// What a destination of requests does beside its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestPlan {
    pub(super) duplicates: Duplicates,
    /// The events of a body, at most.
    pub(super) body: usize,
    /// The events of a body that is not too large.
    pub(super) accepts: Option<usize>,
    /// No request can have every so many-th event.
    pub(super) refuses: Option<u64>,
}

impl RequestPlan {
    pub(super) fn refuses(&self, id: u64) -> bool {
        self.refuses.is_some_and(|every| id % every == 1)
    }
}

/// What the errors of a sink do when they are printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Errors {
    Plain,
    Panic,
    /// They continue writing.
    NeverEnd,
}

/// Every so many-th event is not acceptable, whatever the script says.
#[derive(Clone, Debug)]
pub(super) struct Poison {
    pub(super) every: u64,
    pub(super) panics: bool,
    /// What came before it in the batch is delivered.
    pub(super) delivers_before: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) delay: Delay,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Delay {
    None,
    /// Half of the timeout.
    InTime,
    /// The timeout and a half.
    Late,
    /// Seven timeouts.
    VeryLate,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Ok,
    Temporary {
        delivered: usize,
        retry_after: Option<u64>,
    },
    Rejected {
        delivered: usize,
    },
    Permanent {
        delivered: usize,
    },
    Panic,
    /// Of a destination of requests: each event has its own result.
    Named(Named),
}

/// The results are drawn by the seed and the event; those that are not have the result of the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) seed: u64,
    pub(super) rest: Rest,
    /// So many of the delivered ones are rejected after all.
    pub(super) unnamed: usize,
    pub(super) maybe_arrived: bool,
    pub(super) retry_after: Option<u64>,
    /// It names an event that is not there.
    pub(super) is_faulty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rest {
    Delivered,
    Again,
    Unusable,
    /// Rejected, as a whole.
    Whole,
}

impl Outcome {
    pub(super) fn with_nothing_delivered(self) -> Self {
        match self {
            Outcome::Temporary { retry_after, .. } => Outcome::Temporary { delivered: 0, retry_after },
            Outcome::Rejected { .. } => Outcome::Rejected { delivered: 0 },
            Outcome::Permanent { .. } => Outcome::Permanent { delivered: 0 },
            Outcome::Named(_) => Outcome::Ok,
            Outcome::Ok | Outcome::Panic => self,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Several events in a row, by one of the handles.
    Emit {
        what: What,
        count: usize,
    },
    TryEmit(What),
    /// Cancelled after so long.
    EmitWait {
        what: What,
        patience: u64,
    },
    /// By another task, which goes on behind this one.
    EmitWaitBehind(What),
    /// Canceled if there is no room; else its result is looked at in the end.
    EmitConfirmed(What),
    /// On another thread, while this one waits: another lane.
    EmitElsewhere(What),
    Flush(u64),
    /// By another task, which waits while this one continues.
    FlushBehind(u64),
    /// Of every sink; given up after so long.
    Reopen(u64),
    /// From here on every sink is well.
    Heal,
    /// Asked for, and given up after so long.
    FlushDropped {
        timeout: u64,
        patience: u64,
    },
    Advance(u64),
    /// A child of the handle at this place, with so many bytes of context.
    With {
        parent: usize,
        bytes: usize,
    },
    DropChild(usize),
    ResetBreaker(usize),
    SetFilter(LevelFilter),
    Stats,
    /// Asked for, and not waited for.
    BeginShutdown(u64),
}

#[derive(Clone, Debug)]
pub(super) struct What {
    pub(super) level: Level,
    /// Bytes of text it carries; more than a few dozen are on the heap.
    pub(super) text: usize,
    /// The logger itself at 0, else a child, if there is one.
    pub(super) handle: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Shutdown(u64),
    /// With all the time in the world; a second, if a sink may never answer.
    Complete,
    /// The runtime is dropped under the logger.
    RuntimeGone,
}

impl Program {
    /// Whether a shutdown without a deadline comes to an end.
    pub(super) fn can_complete(&self) -> bool {
        let never = |link: &LinkPlan| {
            let mut delays =
                link.script.iter().chain([&link.always]).map(|answer| answer.delay).chain(link.calls.clone());
            link.outlives && delays.any(|delay| delay == Delay::Never)
        };
        !self.sinks.iter().any(|sink| never(&sink.links[0]))
    }
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn program() -> impl Strategy<Value = Program> {
    let end = prop_oneof![
        1 => Just(End::Shutdown(0)),
        2 => select(vec![200, 1000, 3000]).prop_map(End::Shutdown),
        2 => select(vec![20_000, 100_000]).prop_map(End::Shutdown),
        4 => Just(End::Complete),
        1 => Just(End::RuntimeGone),
    ];
    let parts = (config(), vec(sink(), 1..=3), vec(step(), 4..40), end);
    parts.prop_map(|(config, sinks, steps, end)| Program { config, sinks, steps, end })
}

fn config() -> impl Strategy<Value = Config> {
    let overflow =
        select(vec![Overflow::DropOldest, Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(ms(50))]);
    let flush_at = select(vec![LevelFilter::Trace, LevelFilter::Error, LevelFilter::Error, LevelFilter::Off]);
    let capacity = prop_oneof![1 => 1..=4_usize, 2 => 5..=64_usize];
    let batch_size = prop_oneof![1 => 1..=3_usize, 2 => 4..=32_usize];
    let memory = select(vec![16 << 10, 16 << 10, 256 << 10]);
    let flush_interval = select(vec![50, 200, 1000, 60_000]);
    let reserve = proptest::option::weighted(0.3, (select(Level::ALL.to_vec()), 1..=90_u8));
    let enrichment = select(vec![0, 0, 8, 600]);
    (1..=3_usize, capacity, batch_size, overflow, reserve, memory, flush_interval, flush_at, enrichment).prop_map(
        |(lanes, capacity, batch_size, overflow, reserve, memory, flush_interval, flush_at, enrichment)| Config {
            lanes,
            capacity,
            batch_size,
            overflow,
            reserve,
            memory,
            enrichment,
            flush_interval,
            flush_at,
        },
    )
}

fn sink() -> impl Strategy<Value = SinkPlan> {
    let level = prop_oneof![2 => Just(Level::Trace), 1 => level()];
    let links = prop_oneof![
        3 => vec(link(), 1),
        2 => vec(link(), 2),
        1 => vec(link(), 3),
    ];
    let backlog = proptest::option::weighted(0.4, select(vec![512, 1024, 2048]));
    let batching = (1..40_usize, select(vec![0, 100, 3000])).prop_map(|(events, linger)| BatchPlan { events, linger });
    let batching = proptest::option::weighted(0.3, batching);
    (level, proptest::bool::weighted(0.25), backlog, batching, retry(), breaker(), links).prop_map(
        |(level, waits, backlog, batching, retry, breaker, links)| SinkPlan {
            level,
            waits,
            backlog,
            batching,
            retry,
            breaker,
            links,
            spool: None,
        },
    )
}

/// Programs whose sinks have spools, most of them.
pub(super) fn spooled_program() -> impl Strategy<Value = Program> {
    (program(), vec(proptest::option::weighted(0.8, spool()), 3)).prop_map(|(mut program, spools)| {
        for (sink, spool) in program.sinks.iter_mut().zip(spools) {
            sink.spool = spool;
        }
        program
    })
}

fn spool() -> impl Strategy<Value = SpoolPlan> {
    let room = select(vec![u64::MAX, u64::MAX, 30, 5]);
    let policy = select(vec![WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block]);
    let scripts = (vec(store_answer(), 0..6), vec(store_answer(), 0..6), vec(store_answer(), 0..3));
    (room, 1..4_usize, policy, scripts, any::<bool>()).prop_map(
        |(room, part, policy, (appends, reads, syncs), crashes)| SpoolPlan {
            room,
            part,
            policy,
            appends,
            reads,
            syncs,
            crashes,
        },
    )
}

fn store_answer() -> impl Strategy<Value = StoreAnswer> {
    (delay(), 0..8_usize).prop_map(|(delay, outcome)| {
        let outcome = match outcome {
            0..6 => StoreOutcome::Ok,
            6 => StoreOutcome::Fail,
            _ => StoreOutcome::Lose,
        };
        StoreAnswer { delay, outcome }
    })
}

fn retry() -> impl Strategy<Value = RetryPlan> {
    let bounds = (select(vec![50, 200]), select(vec![400, 2000]), select(vec![100, 1000, 4000]));
    (bounds, proptest::option::of(1..=4_u32), any::<u64>()).prop_map(|((initial, cap, max_age), max_attempts, seed)| {
        RetryPlan { initial, cap, max_age, max_attempts, seed }
    })
}

fn breaker() -> impl Strategy<Value = BreakerPlan> {
    (proptest::option::weighted(0.8, 1..=4_u32), select(vec![50, 400]), select(vec![400, 2000]))
        .prop_map(|(failures, probe_after, cap)| BreakerPlan { failures, probe_after, cap })
}

fn link() -> impl Strategy<Value = LinkPlan> {
    let poison = (2..40_u64, any::<bool>(), any::<bool>()).prop_map(|(every, panics, delivers_before)| Poison {
        every,
        panics,
        delivers_before,
    });
    let poison = proptest::option::weighted(0.15, poison);
    let always = prop_oneof![4 => Just(Answer { delay: Delay::None, outcome: Outcome::Ok }), 1 => answer()];
    let calls = prop_oneof![4 => Just(Vec::new()), 1 => vec(delay(), 1..3)];
    let timeout = select(vec![50, 200, 1000]);
    let errors = select(vec![Errors::Plain, Errors::Plain, Errors::Panic, Errors::NeverEnd]);
    let answers = (vec(answer(), 0..8), always);
    let requests = proptest::option::weighted(0.4, requests());
    (timeout, proptest::bool::weighted(0.3), requests, poison, answers, calls, errors).prop_map(
        |(timeout, outlives, requests, poison, (script, always), calls, errors)| LinkPlan {
            timeout,
            outlives,
            requests,
            poison,
            script,
            always,
            calls,
            errors,
        },
    )
}

fn requests() -> impl Strategy<Value = RequestPlan> {
    let duplicates = select(vec![
        Duplicates::Possible,
        Duplicates::Possible,
        Duplicates::Removed,
        Duplicates::RemovedWithin(ms(120)),
        Duplicates::RemovedWithin(ms(5000)),
    ]);
    let body = select(vec![usize::MAX, usize::MAX, 1, 3, 10]);
    let accepts = proptest::option::weighted(0.25, select(vec![0, 1, 2, 7, 20]));
    let refuses = proptest::option::weighted(0.2, 2..30_u64);
    (duplicates, body, accepts, refuses).prop_map(|(duplicates, body, accepts, refuses)| RequestPlan {
        duplicates,
        body,
        accepts,
        refuses,
    })
}

// From here on numbers are drawn and mapped: there are hundreds in a program, and in a debug build a strategy that chooses
// between strategies would take more time than the program.

fn answer() -> impl Strategy<Value = Answer> {
    (delay(), 0..18_usize, 0..60_usize, 0..9_usize, any::<u64>()).prop_map(
        |(delay, outcome, delivered, patience, seed)| {
            let delivered = delivered.saturating_sub(20);
            let retry_after = [None, Some(10), Some(300), Some(5000)].get(patience).copied().flatten();
            let outcome = match outcome {
                0..4 => Outcome::Ok,
                4..8 => Outcome::Temporary { delivered, retry_after },
                8..10 => Outcome::Rejected { delivered },
                10 => Outcome::Permanent { delivered },
                11 => Outcome::Panic,
                _ => Outcome::Named(Named {
                    seed,
                    rest: [Rest::Delivered, Rest::Delivered, Rest::Delivered, Rest::Again, Rest::Unusable, Rest::Whole]
                        [outcome - 12],
                    unnamed: if seed % 5 == 0 { delivered } else { 0 },
                    maybe_arrived: seed % 3 == 0,
                    retry_after,
                    is_faulty: seed % 7 == 0,
                }),
            };
            Answer { delay, outcome }
        },
    )
}

fn delay() -> impl Strategy<Value = Delay> {
    (0..11_usize).prop_map(|delay| match delay {
        0..6 => Delay::None,
        6..8 => Delay::InTime,
        8 => Delay::Late,
        9 => Delay::VeryLate,
        _ => Delay::Never,
    })
}

fn step() -> impl Strategy<Value = Step> {
    (0..140_usize, what(), 0..1000_usize).prop_map(|(kind, what, number)| {
        let one_of = |of: [u64; 3]| of[number % 3];
        match kind {
            0..40 => Step::Emit { what, count: 1 + number / 43 },
            40..48 => Step::TryEmit(what),
            48..56 => Step::EmitWait { what, patience: one_of([1, 60, 2000]) },
            56..60 => Step::EmitWaitBehind(what),
            60..64 if number % 2 == 0 => Step::EmitElsewhere(what),
            60..64 => Step::EmitConfirmed(what),
            136..138 => Step::EmitConfirmed(what),
            64..72 => Step::Flush(one_of([1, 300, 5000])),
            72..76 => Step::FlushDropped { timeout: one_of([100, 100, 5000]), patience: one_of([1, 60, 60]) },
            76..92 => Step::Advance(1 + number as u64 / 10),
            92..108 => Step::Advance(100 + number as u64),
            108..116 => Step::With { parent: what.handle, bytes: one_of([5, 100, 400]) as usize },
            116..120 => Step::DropChild(what.handle),
            120..124 => Step::ResetBreaker(number % 3),
            124..128 => Step::SetFilter(
                [LevelFilter::Trace, LevelFilter::Trace, LevelFilter::Warn, LevelFilter::Off][number % 4],
            ),
            129..131 => Step::FlushBehind(one_of([1, 300, 5000])),
            131..134 => Step::Reopen(one_of([1, 60, 2000])),
            134 => Step::Heal,
            // Rare: what comes after it is refused.
            128 => Step::BeginShutdown(one_of([0, 300, 60_000])),
            _ => Step::Stats,
        }
    })
}

fn what() -> impl Strategy<Value = What> {
    (0..Level::ALL.len(), 0..420_usize, 0..16_usize).prop_map(|(level, text, handle)| {
        let text = match text {
            0..240 => text / 4,
            240..360 => 80 + (text - 240) * 2,
            _ => 3000,
        };
        What { level: Level::ALL[level], text, handle: handle.saturating_sub(12) }
    })
}

fn level() -> impl Strategy<Value = Level> {
    select(Level::ALL.to_vec())
}
