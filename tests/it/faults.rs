//! The fault matrix: every fault, under every policy, wherever the logger runs, ends in the same exact counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stdout, reason = "a row that fails is to be known")]

mod blocked;
mod format;
mod stopped_caller;
mod home;

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::Duration;

use logweir::{Breaker, DropReason, Overflow, Pipeline, Retry, ShutdownReport, WhenFull};

use home::{Driven, Home};

use crate::support::{Answer, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers};

const MS: Duration = Duration::from_millis(1);

/// Where a caller or a sink blocks the only thread, nothing moves; a runtime with another thread continues.
fn every_home_and_policy() -> Vec<(Home, Overflow)> {
    let policies = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(MS)];
    [Home::Own, Home::Single, Home::Workers]
        .into_iter()
        .flat_map(|home| policies.map(|policy| (home, policy)))
        .collect()
}
const EVENTS: u64 = 20;
/// Half of the events.
const BATCH: usize = 10;
/// Four batches, as they are charged; a batch takes a quarter of an account at most.
const NARROW: usize = 4 * BATCH * 128;

struct Fault {
    name: &'static str,
    /// The first answers, then this one for ever.
    first: &'static [Answer],
    always: Answer,
    outlives: bool,
    /// Short, unless the test must not see a probe.
    probe_after: Duration,
    // What becomes of twenty events in two batches, without a fallback.
    delivered: u64,
    dropped: &'static [(DropReason, u64)],
    unconfirmed: u64,
    maybe_duplicated: u64,
    writes: usize,
}

const FINE: Fault = Fault {
    name: "fine",
    first: &[],
    always: Answer::Ok,
    outlives: false,
    probe_after: Duration::from_millis(2),
    delivered: EVENTS,
    dropped: &[],
    unconfirmed: 0,
    maybe_duplicated: 0,
    writes: 2,
};

/// Written at most three times, given 10 ms each; the breaker opens at the third failure in a row.
const FAULTS: &[Fault] = &[
    FINE,
    Fault {
        name: "temporary for ever",
        always: Answer::Temporary,
        delivered: 0,
        dropped: &[(DropReason::RetriesExhausted, 20)],
        writes: 6,
        ..FINE
    },
    Fault {
        name: "unprintable for ever",
        always: Answer::Unprintable,
        delivered: 0,
        dropped: &[(DropReason::RetriesExhausted, 20)],
        writes: 6,
        ..FINE
    },
    Fault { name: "endless errors, then fine", first: &[Answer::Endless, Answer::Endless], writes: 4, ..FINE },
    Fault { name: "temporary, then fine", first: &[Answer::Temporary, Answer::Temporary], writes: 4, ..FINE },
    Fault {
        name: "rejected",
        always: Answer::Rejected,
        delivered: 0,
        dropped: &[(DropReason::Rejected, 20)],
        // Ten, five, two, one, one; three, one: then it is clear.
        writes: 14,
        ..FINE
    },
    Fault {
        name: "poison in the middle",
        always: Answer::Poison(&[5, 14]),
        delivered: 18,
        dropped: &[(DropReason::Rejected, 2)],
        // 0-9, 0-4, 5-9, 5-6, 5, 6, 7-9; 10-19, 10-14, 10-11, 12-14, 12, 13-14, 13, 14, 15-19.
        writes: 16,
        ..FINE
    },
    Fault {
        name: "permanent",
        always: Answer::Permanent,
        probe_after: Duration::from_secs(3600),
        delivered: 0,
        dropped: &[(DropReason::SinkFailed, 10), (DropReason::BreakerOpen, 10)],
        writes: 1,
        ..FINE
    },
    Fault { name: "partial", first: &[Answer::Delivered(4), Answer::Delivered(5)], writes: 4, ..FINE },
    Fault {
        name: "partial, then rejected",
        first: &[Answer::Delivered(4), Answer::RejectedAfter(5)],
        delivered: 19,
        always: Answer::Poison(&[9]),
        dropped: &[(DropReason::Rejected, 1)],
        writes: 3,
        ..FINE
    },
    Fault { name: "slow", always: Answer::Slow(Duration::from_millis(3)), ..FINE },
    Fault {
        name: "hang",
        always: Answer::Hang,
        delivered: 0,
        unconfirmed: 20,
        maybe_duplicated: 40,
        writes: 6,
        ..FINE
    },
    Fault { name: "hang, then fine", first: &[Answer::Hang], maybe_duplicated: 10, writes: 3, ..FINE },
    Fault {
        name: "panic",
        always: Answer::Panic,
        delivered: 0,
        dropped: &[(DropReason::Panicked, 20)],
        writes: 14,
        ..FINE
    },
    Fault {
        name: "panic in the middle",
        always: Answer::PanicAt(&[5, 14]),
        delivered: 18,
        dropped: &[(DropReason::Panicked, 2)],
        writes: 16,
        ..FINE
    },
    Fault { name: "patience", first: &[Answer::RetryAfter(Duration::from_millis(5))], writes: 3, ..FINE },
    Fault { name: "late", first: &[Answer::Slow(Duration::from_millis(250))], outlives: true, ..FINE },
];

impl Fault {
    fn sink(&self) -> ScriptedSink {
        let sink = self
            .first
            .iter()
            .fold(ScriptedSink::always(self.always.clone()), |sink, answer| sink.writes([answer.clone()]));
        if self.outlives { sink.outliving() } else { sink }
    }

    fn pipeline(&self, sink: &ScriptedSink) -> Pipeline {
        let retry = Retry::default().initial_delay(MS).max_delay(MS).max_attempts(3);
        let breaker =
            Breaker::default().failure_threshold(3).probe_delay(self.probe_after).max_probe_delay(self.probe_after);
        Pipeline::new(sink.clone()).timeout(10 * MS).retry(retry).breaker(breaker)
    }

    /// What it takes is mostly time in which nothing runs.
    fn waits(&self) -> bool {
        self.outlives || matches!(self.always, Answer::Hang)
    }

    fn lost(&self) -> u64 {
        self.dropped.iter().map(|(_, events)| events).sum::<u64>() + self.unconfirmed
    }

    /// Without a fallback, to the last write.
    fn check(&self, report: &ShutdownReport, sink: &ScriptedSink) {
        let booked = &report.sinks[0];
        assert_eq!(
            (booked.delivered, booked.delivered_by_fallback, booked.unconfirmed),
            (self.delivered, 0, self.unconfirmed)
        );
        assert_eq!(booked.dropped.iter().collect::<Losses>(), self.dropped.iter().copied().collect::<Losses>());
        assert_eq!((booked.maybe_duplicated, sink.batch_sizes().len()), (self.maybe_duplicated, self.writes));
        assert!(sink.numbers().is_sorted(), "{:?}", sink.numbers());
    }

    /// With a fallback that works: nothing is lost, and nothing is at both.
    fn check_fallback(&self, report: &ShutdownReport, sink: &ScriptedSink, fallback: &ScriptedSink) {
        let booked = &report.sinks[0];
        assert_eq!((booked.dropped.total(), booked.unconfirmed), (0, 0), "{booked}");
        assert_eq!(booked.delivered_by_fallback, fallback.seen());
        // Of one that answers late, what waits behind the first answer.
        let by_fallback = if self.outlives { BATCH as u64 } else { self.lost() };
        assert_eq!((booked.delivered, booked.delivered_by_fallback), (EVENTS - by_fallback, by_fallback));
        let all: BTreeSet<_> = sink.numbers().into_iter().chain(fallback.numbers()).collect();
        assert_eq!(all.len() as u64, EVENTS, "each once");
        assert!(sink.numbers().is_sorted() && fallback.numbers().is_sorted());
    }
}

type Losses = std::collections::HashMap<DropReason, u64>;

/// Runs rows that mostly wait at the same time, each on a thread that has its name.
fn at_once<R: fmt::Debug + Send>(rows: impl IntoIterator<Item = R>, run: impl Fn(R) + Sync) {
    thread::scope(|scope| {
        for row in rows {
            let (name, run) = (format!("{row:?}"), &run);
            thread::Builder::new().name(name).spawn_scoped(scope, move || run(row)).unwrap();
        }
    });
}

/// Runs the rows that wait at the same time, and behind them the others one by one: their writes are given 10 ms, which
/// must not pass while another row has the processor.
fn each<R: fmt::Debug + Send>(rows: Vec<R>, waits: impl Fn(&R) -> bool, run: impl Fn(R) + Sync) {
    let (waiting, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(waits);
    at_once(waiting, &run);
    for row in others {
        println!("{row:?}");
        run(row);
    }
}

#[derive(Clone, Copy)]
struct Row {
    home: Home,
    fault: &'static Fault,
    overflow: Overflow,
    waits: bool,
    has_fallback: bool,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { home, fault, overflow, waits, has_fallback } = self;
        write!(f, "{home:?}: {}, {overflow:?}, waits: {waits}, fallback: {has_fallback}", fault.name)
    }
}

fn every_fault_under_every_policy(home: Home) {
    let mut rows = Vec::new();
    for fault in FAULTS {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Block(PATIENCE)] {
            for waits in [false, true] {
                rows.extend([false, true].map(|has_fallback| Row { home, fault, overflow, waits, has_fallback }));
            }
        }
    }
    each(rows, |row| row.fault.waits(), Row::run);
}

impl Row {
    fn run(self) {
        let Row { home, fault, overflow, waits, has_fallback } = self;
        let (sink, fallback, beside) = (fault.sink(), ScriptedSink::new(), ScriptedSink::new());
        let mut pipeline = fault.pipeline(&sink);
        if waits {
            pipeline = pipeline.when_full(WhenFull::Block).backlog_bytes(NARROW);
        }
        if has_fallback {
            pipeline = pipeline.fallback(fallback.clone());
        }
        let builder = builder().batch_size(BATCH).overflow(overflow).max_event_bytes(512);
        let (logger, report) = home.run(builder.sink("faulty", pipeline).sink("beside", beside.clone()), EVENTS);
        let seen = [("faulty", sink.seen()), ("beside", EVENTS)];
        balance(&report, &seen);
        balance_stats(&logger.stats(), &seen);
        assert_eq!((report.emitted, report.accepted, report.timed_out), (EVENTS, EVENTS, false));
        assert_eq!(beside.numbers(), (0..EVENTS).collect::<Vec<_>>(), "another sink's trouble is not its own");
        assert_eq!(sink.closed(), 1);
        if has_fallback {
            fault.check_fallback(&report, &sink, &fallback);
        } else {
            fault.check(&report, &sink);
        }
    }
}

#[test]
fn every_fault_ends_in_exact_counts_on_a_thread_of_the_loggers_own() {
    every_fault_under_every_policy(Home::Own);
}

#[test]
fn every_fault_ends_in_exact_counts_on_a_runtime_with_one_thread() {
    every_fault_under_every_policy(Home::Paused);
}

#[test]
fn every_fault_ends_in_exact_counts_on_a_runtime_with_several_threads() {
    every_fault_under_every_policy(Home::Workers);
}

#[test]
fn a_faulty_sink_that_is_waited_for_loses_nothing_of_a_backlog_that_does_not_fit() {
    let all = 12 * BATCH as u64;
    let faults = || FAULTS.iter().filter(|fault| fault.delivered == 0 || fault.lost() == 0);
    let rows = [Home::Own, Home::Paused, Home::Workers].into_iter().flat_map(|home| {
        let overflow = Overflow::DropOldest;
        faults().map(move |fault| Row { home, fault, overflow, waits: true, has_fallback: false })
    });
    each(
        rows.collect(),
        |row| row.fault.waits(),
        |Row { home, fault, overflow, .. }| {
            let (sink, beside) = (fault.sink(), ScriptedSink::new());
            let pipeline = fault.pipeline(&sink).when_full(WhenFull::Block).backlog_bytes(NARROW);
            let builder = builder().batch_size(BATCH).overflow(overflow).max_event_bytes(512);
            let (_, report) = home.run(builder.sink("faulty", pipeline).sink("beside", beside.clone()), all);
            balance(&report, &[("faulty", sink.seen()), ("beside", all)]);
            let booked = &report.sinks[0];
            assert_eq!((booked.routed, booked.dropped.get(DropReason::BacklogFull)), (all, 0));
            assert_eq!(booked.delivered, if fault.lost() == 0 { all } else { 0 }, "{booked}");
            assert!(sink.numbers().is_sorted());
        },
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_overflows_before_a_faulty_sink_counts_each_loss_once() {
    for fault in FAULTS.iter().filter(|fault| fault.delivered == 0) {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
            let sink = fault.sink();
            let builder = builder().queue_capacity(BATCH).batch_size(BATCH).overflow(overflow);
            let logger = crate::support::start(builder.sink("faulty", fault.pipeline(&sink))).await;
            // Nothing is handed out meanwhile: this runtime has one thread.
            emit_numbers(&logger, 0..EVENTS);
            let report = logger.shutdown(PATIENCE).await;
            balance(&report, &[("faulty", 0)]);
            let half = EVENTS / 2;
            let (evicted, refused) = if overflow == Overflow::DropOldest { (half, 0) } else { (0, half) };
            assert_eq!((report.evicted.total(), report.refused.total()), (evicted, refused));
            let booked = &report.sinks[0];
            assert_eq!((booked.routed, booked.dropped.total() + booked.unconfirmed), (half, half));
            assert_eq!(booked.dropped.iter().next(), fault.dropped.first().map(|(reason, _)| (*reason, half)));
            let first = if overflow == Overflow::DropOldest { half } else { 0 };
            assert_eq!(sink.attempted()[0], (first..first + half).collect::<Vec<_>>());
        }
    }
}
