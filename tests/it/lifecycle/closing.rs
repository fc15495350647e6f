//! Callers that log while the logger closes.

use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::executor::block_on;
use logweir::{DropReason, Event, Level, Logger, Overflow, Pipeline, State, WhenFull};
use tokio::runtime::Handle;

use crate::support::Probe;

use super::{DEADLINE, LONG, SECOND, balanced, dropped, emit, poll_once, quiet};

#[test]
fn what_is_emitted_while_the_logger_shuts_down_is_accepted_or_refused_and_never_lost() {
    for timeout in [LONG, Duration::ZERO] {
        for round in 0..20 {
            let probe = Probe::new();
            let builder = Logger::builder().lanes(2).queue_capacity(256).overflow(Overflow::DropNewest);
            let logger = builder.sink("probe", probe.clone()).start().unwrap();
            let barrier = std::sync::Barrier::new(5);
            let (calls, report) = thread::scope(|scope| {
                let emitters: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            let mut calls = 0;
                            // Until long after the end: every call is counted somewhere.
                            let mut after = 0;
                            while after < 50 {
                                emit(&logger, 10);
                                calls += 10;
                                after += usize::from(matches!(logger.state(), State::Stopped { .. }));
                            }
                            calls
                        })
                    })
                    .collect();
                barrier.wait();
                thread::yield_now();
                let report = logger.shutdown_blocking(timeout).unwrap();
                (emitters.into_iter().map(|emitter| emitter.join().unwrap()).sum::<u64>(), report)
            });
            report.check().unwrap();
            let stats = logger.stats();
            stats.check().unwrap();
            assert_eq!(stats.emitted, calls, "round {round}");
            assert_eq!(stats.queued, 0, "nothing is left behind: {stats:?}");
            assert!(stats.sinks.iter().all(|sink| sink.backlog + sink.in_flight == 0), "{stats:?}");
            assert!(report.emitted <= calls);
            let sink = &report.sinks[0];
            if timeout == LONG {
                assert!(!report.timed_out);
                balanced(&report, &probe);
                assert_eq!(sink.delivered, report.accepted, "round {round}: accepted is delivered");
            } else {
                assert!(sink.delivered <= probe.memory.total());
                assert!(probe.memory.total() <= sink.delivered + sink.unconfirmed, "{report}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_room_when_the_logger_closes_are_refused_at_once() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::new(probe.clone()).timeout(10 * LONG).when_full(WhenFull::Block).backlog_bytes(64 << 10);
    let builder = quiet().lanes(1).queue_capacity(8).batch_size(4).max_event_bytes(1024);
    let logger = builder.sink("stuck", sink).start_on(&Handle::current()).unwrap();
    let event = || Event::new(Level::Info, "t", "fill");
    loop {
        // Every task goes on until it has to wait.
        tokio::time::sleep(SECOND).await;
        let mut accepted = 0;
        while logger.try_emit(event()).is_ok() {
            accepted += 1;
        }
        if accepted == 0 {
            break;
        }
    }
    let full = logger.stats();
    assert_eq!(full.emitted, full.accepted);
    let mut waits = pin!(logger.emit_wait(event()));
    assert!(poll_once(waits.as_mut()).is_pending());
    // Counted nowhere: it was dropped while it waited.
    assert!(logger.emit_wait(event()).now_or_never().is_none());
    let (waited, report) = tokio::join!(waits, logger.shutdown(LONG));
    assert_eq!(waited.unwrap_err().reason(), DropReason::Closed);
    assert_eq!((report.accepted, report.refused.get(DropReason::Closed)), (full.accepted, 1));
    let sink = balanced(&report, &probe);
    assert_eq!(sink.unconfirmed + dropped(&report, DropReason::Deadline), full.accepted);
}

#[test]
fn a_thread_blocked_in_emit_is_let_go_when_the_logger_closes() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::new(probe.clone()).timeout(10 * LONG).when_full(WhenFull::Block).backlog_bytes(64 << 10);
    let builder = Logger::builder().lanes(1).queue_capacity(8).max_event_bytes(1024);
    let logger = builder.overflow(Overflow::Block(10 * LONG)).sink("stuck", sink).start().unwrap();
    let began = Instant::now();
    let report = thread::scope(|scope| {
        // More than queue, desk and backlog hold together.
        scope.spawn(|| emit(&logger, 5000));
        block_on(probe.until(|calls| calls.writes == 1));
        logger.shutdown_blocking(DEADLINE).unwrap()
    });
    assert!(began.elapsed() < LONG);
    balanced(&report, &probe);
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, stats.queued), (5000, 0));
    assert!(stats.refused.get(DropReason::Closed) > 0);
}
