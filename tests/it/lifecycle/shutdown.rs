//! What a shutdown delivers.

use std::pin::pin;
use std::time::Duration;

use futures::executor::block_on;
use logweir::sink::NullSink;
use logweir::{DropReason, Event, Level, Pipeline, State, WhenFull, error};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::support::Probe;

use super::{LONG, SECOND, balanced, emit, numbers, poll_once, quiet};

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_what_is_pending_and_closes_the_sink() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start_on(&Handle::current()).unwrap();
    emit(&logger, 3000);
    assert_eq!(logger.state(), State::Running);
    let report = logger.shutdown(SECOND).await;
    assert_eq!(probe.messages(), numbers(3000));
    assert_eq!(balanced(&report, &probe).delivered, 3000);
    assert_eq!((report.timed_out, probe.calls().closes), (false, 1));
    assert!(matches!(logger.state(), State::Stopped { .. }));
    assert!(report.elapsed < LONG);
}

#[test]
fn a_hundred_thousand_queued_events_are_delivered_at_shutdown() {
    let builder = quiet().lanes(1).queue_capacity(1 << 17).memory_limit(128 << 20);
    let logger = builder.sink("null", NullSink).start().unwrap();
    emit(&logger, 100_000);
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    assert_eq!((report.emitted, report.sinks[0].delivered), (100_000, 100_000));
    assert!(!report.timed_out);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_everybody_waits_for_gets_all_of_a_full_queue_at_shutdown() {
    let probe = Probe::open_for(3);
    let sink = Pipeline::new(probe.clone()).when_full(WhenFull::Block).backlog_bytes(64 << 10).timeout(LONG);
    let builder = quiet().lanes(1).queue_capacity(4096).max_event_bytes(1024).batch_size(16).sink("probe", sink);
    let logger = builder.start_on(&Handle::current()).unwrap();
    emit(&logger, 4000);
    let mut shutdown = pin!(logger.shutdown(LONG));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    probe.until(|calls| calls.writes == 4).await;
    probe.writes.add_permits(10_000);
    let report = shutdown.await;
    assert_eq!(balanced(&report, &probe).delivered, 4000);
    assert_eq!(probe.messages(), numbers(4000));
}

#[test]
fn what_is_emitted_after_the_shutdown_is_refused_and_counted_in_the_stats() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    emit(&logger, 2);
    let report = logger.shutdown_blocking(LONG).unwrap();
    emit(&logger, 3);
    let event = || Event::new(Level::Info, "t", "late");
    assert!(matches!(logger.try_emit(event()), Err(logweir::error::TryEmitError::Closed(_))));
    let refused = block_on(logger.emit_wait(event())).unwrap_err();
    assert_eq!(refused.reason(), DropReason::Closed);
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, stats.refused.get(DropReason::Closed)), (6, 4));
    assert_eq!(logger.shutdown_blocking(LONG).unwrap(), report, "the report is what it was");
    assert_eq!(balanced(&report, &probe).delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn an_urgent_event_wakes_the_flush_task_also_after_it_waited_for_a_sink() {
    let probe = Probe::open_for(0);
    let sink = Pipeline::new(probe.clone()).when_full(WhenFull::Block).backlog_bytes(64 << 10).timeout(LONG);
    let builder = quiet().lanes(1).max_event_bytes(1024).flush_at(Level::Error);
    let logger = builder.sink("probe", sink).start_on(&Handle::current()).unwrap();
    emit(&logger, 2000);
    for round in 1..=3 {
        error!(logger: logger, "urgent");
        // Every task goes on until it has to wait: in the first round for the sink, which has no room for all.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(round == 1, logger.stats().queued > 0, "{:?}", logger.stats());
        if round == 1 {
            error!(logger: logger, "urgent while it waits");
            probe.writes.add_permits(Semaphore::MAX_PERMITS / 2);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(probe.memory.total(), 2001 + round, "at once");
    }
    let report = logger.shutdown(LONG).await;
    assert_eq!(balanced(&report, &probe).delivered, 2004);
}
