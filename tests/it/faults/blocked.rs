//! A sink blocks its thread in `poll`, against the rules, and with it the runtime if that has no other.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::{Batch, DropReason, Overflow, Pipeline, Sink, SinkError, async_trait};
use tokio::sync::Semaphore;

use super::{Driven, Home, MS, at_once, every_home_and_policy};
use crate::support::{PATIENCE, Told, balance, balance_stats, builder, emit_numbers};

const CAPACITY: u64 = 32;
/// In the write that blocks.
const FIRST: u64 = 10;
const DEADLINE: Duration = Duration::from_millis(100);

/// In its first write waits as a sink should until it is told to block, then blocks until it is let go.
struct BlocksInPoll {
    may_block: Arc<Semaphore>,
    blocks: Sender<()>,
    hold: Mutex<Receiver<()>>,
    told: Told,
}

#[async_trait]
impl Sink for BlocksInPoll {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.may_block.acquire().await.unwrap().forget();
        self.blocks.send(()).unwrap_or_default();
        // An error says that the test let go.
        self.hold.lock().unwrap().recv().unwrap_or_default();
        self.told.tell(batch);
        Ok(())
    }
}

/// A logger whose first sink blocks a thread in its first write, while all else of it is at rest.
struct Blocked {
    logger: Driven,
    told: Told,
    beside: Told,
    hold: Sender<()>,
}

impl Blocked {
    fn new(home: Home, policy: Overflow) -> Self {
        let (told, beside, may_block) = (Told::default(), Told::default(), Arc::new(Semaphore::new(0)));
        let ((blocks, is_blocked), (hold, held)) = (mpsc::channel(), mpsc::channel());
        let sink = BlocksInPoll { may_block: may_block.clone(), blocks, hold: Mutex::new(held), told: told.clone() };
        let builder = builder().queue_capacity(CAPACITY as usize).overflow(policy);
        let builder = builder.sink("blocks", Pipeline::new(sink).timeout(10 * PATIENCE));
        let logger = home.start(builder.sink("beside", beside.sink()));
        emit_numbers(&logger, 0..FIRST);
        // When the second sink has flushed, the flush task has nothing left to do.
        while !logger.flush_blocking(20 * MS).unwrap().sinks[1].flushed {}
        may_block.add_permits(Semaphore::MAX_PERMITS / 2);
        is_blocked.recv_timeout(PATIENCE).unwrap();
        Blocked { logger, told, beside, hold }
    }
}

#[test]
fn a_sink_that_blocks_in_poll_for_a_while_loses_nothing() {
    for (home, policy) in every_home_and_policy() {
        println!("{home:?}: {policy:?}");
        let Blocked { logger, told, beside, hold } = Blocked::new(home, policy);
        const ALL: u64 = FIRST + CAPACITY / 2 - 1;
        emit_numbers(&logger, FIRST..ALL);
        let stats = logger.stats();
        balance_stats(&stats, &[("blocks", 0), ("beside", FIRST)]);
        assert_eq!(
            (stats.emitted, stats.accepted, stats.queued, stats.sinks[0].in_flight),
            (ALL, ALL, ALL - FIRST, FIRST)
        );
        drop(hold);
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("blocks", ALL), ("beside", ALL)]);
        assert_eq!((report.emitted, report.accepted, report.timed_out), (ALL, ALL, false));
        let all: Vec<_> = (0..ALL).collect();
        assert_eq!((told.numbers(), beside.numbers()), (all.clone(), all));
    }
}

#[test]
fn a_sink_that_blocks_in_poll_beyond_the_deadline_costs_the_sinks_of_its_thread_what_is_behind_it() {
    at_once(every_home_and_policy(), |(home, policy)| {
        let Blocked { logger, told, beside, hold } = Blocked::new(home, policy);
        // With a thread to spare, no more than nobody takes out meanwhile.
        let (more, too_many) = if home == Home::Workers { (CAPACITY / 2 - 1, 0) } else { (CAPACITY + 5, 5) };
        let kept = more - too_many;
        emit_numbers(&logger, FIRST..FIRST + more);
        let by_beside = if home == Home::Workers { FIRST + kept } else { FIRST };
        // The timer thread keeps the deadline where the logger's own thread cannot.
        let report = logger.shutdown_late(1, by_beside, DEADLINE);
        let seen = [("blocks", 0), ("beside", by_beside)];
        balance(&report, &seen);
        assert_eq!((told.seen(), beside.seen()), (0, by_beside));
        let (evicted, refused) = if policy == Overflow::DropOldest { (too_many, 0) } else { (0, too_many) };
        let lost = (report.evicted.get(DropReason::OverflowOldest), report.refused.get(DropReason::OverflowNewest));
        assert_eq!(lost, (evicted, refused));
        assert_eq!((report.evicted.total(), report.refused.total()), (evicted, refused));
        assert_eq!((report.emitted, report.dispatched, report.queued), (FIRST + more, FIRST + kept, 0));
        assert!(report.timed_out);
        let ends = |at: usize| (report.sinks[at].unconfirmed, report.sinks[at].dropped.get(DropReason::Deadline));
        assert_eq!(ends(0), (FIRST, kept), "what was being written, and what was not");
        assert_eq!(ends(1), (0, FIRST + kept - by_beside));
        // The books are closed: what it does when it is let go changes nothing.
        drop(hold);
        assert_eq!(told.wait_for(FIRST as usize), (0..FIRST).collect::<Vec<_>>());
        balance_stats(&logger.stats(), &seen);
    });
}
