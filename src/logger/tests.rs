//! A test's thread: the handle, under different executors.

use std::pin::pin;
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::event::Event;
use crate::sink::MemorySink;
use crate::stats::DropReason;
use crate::stats::ShutdownReport;
use tokio::task::yield_now;

const PATIENCE: Duration = Duration::from_secs(20);

fn event() -> Event {
    Event::new(Level::Info, "t", "late")
}

fn assert_delivered(report: &ShutdownReport, memory: &MemorySink) {
    assert_eq!(report.check(), Ok(()));
    assert!(!report.timed_out, "{report}");
    assert_eq!((report.accepted, report.sinks[0].delivered, memory.total()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_between_permit_and_publication_at_close_is_delivered_on_a_current_thread_runtime() {
    let memory = MemorySink::new();
    let builder = Logger::builder().lanes(2).sink("memory", memory.clone());
    let logger = builder.start_on(&Handle::current()).expect("a good configuration");
    let permit = logger.core.queue.permit(1);
    let mut shutdown = pin!(logger.shutdown(PATIENCE));
    // A paused clock advances only when no task can run: the flush task has done all it could.
    let early = tokio::time::timeout(Duration::from_secs(1), shutdown.as_mut()).await;
    assert!(early.is_err() && logger.core.queue.is_closed(), "it waits for the event");
    permit.send(event());
    assert_delivered(&shutdown.await, &memory);
}

#[test]
fn an_event_between_permit_and_publication_at_close_is_delivered_on_a_thread_of_the_loggers_own() {
    let memory = MemorySink::new();
    let builder = Logger::builder().lanes(2).sink("memory", memory.clone());
    let logger = builder.start().expect("a good configuration");
    let permit = logger.core.queue.permit(1);
    let report = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| logger.shutdown_blocking(PATIENCE));
        while !logger.core.queue.is_closed() {
            std::thread::yield_now();
        }
        assert!(!shutdown.is_finished());
        permit.send(event());
        shutdown.join().expect("no panic").expect("outside any runtime")
    });
    assert_delivered(&report, &memory);
}

#[cfg(feature = "log")]
#[tokio::test(start_paused = true)]
async fn flushes_that_nobody_waits_for_take_the_room_of_one() {
    let memory = MemorySink::new();
    let builder = Logger::builder().lanes(1).sink("memory", memory.clone());
    let logger = builder.start_on(&Handle::current()).expect("a good configuration");
    let known = || logger.core.flushes.lock().expect("no panic").len();
    for _ in 0..100 {
        logger.emit(event());
        logger.begin_flush();
    }
    assert_eq!((known(), memory.total()), (1, 0));
    memory.wait_for(100, PATIENCE).await.expect("the flush brings them");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((known(), logger.core.pending_flushes().len()), (0, 0));
    let report = logger.shutdown(PATIENCE).await;
    assert_eq!((report.check(), report.sinks[0].delivered), (Ok(()), 100));
}

#[tokio::test(start_paused = true)]
async fn an_event_published_after_the_deadline_is_in_no_report_and_the_books_still_balance() {
    let memory = MemorySink::new();
    let builder = Logger::builder().lanes(1).sink("memory", memory.clone());
    let logger = builder.start_on(&Handle::current()).expect("a good configuration");
    logger.emit(event());
    let permit = logger.core.queue.permit(0);
    let report = logger.shutdown(Duration::from_secs(1)).await;
    assert!(report.timed_out);
    assert_eq!((report.check(), report.accepted, report.sinks[0].delivered), (Ok(()), 1, 1));
    permit.send(event());
    for _ in 0..10 {
        yield_now().await;
    }
    let stats = logger.stats();
    assert_eq!((stats.check(), stats.accepted, stats.queued), (Ok(()), 2, 0));
    assert_eq!(stats.sinks[0].dropped.get(DropReason::Deadline), 1, "and from then on it is counted");
    assert_eq!(logger.shutdown(PATIENCE).await, report);
}
