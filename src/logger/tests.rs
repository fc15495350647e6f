//! A test's thread: the handle, under different executors.

use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::event::Event;
use crate::sink::MemorySink;

const PATIENCE: Duration = Duration::from_secs(20);

fn event() -> Event {
    Event::new(Level::Info, "t", "late")
}

#[cfg(feature = "log")]
#[tokio::test(start_paused = true)]
async fn flushes_that_nobody_waits_for_take_the_room_of_one() {
    let memory = MemorySink::new();
    let builder = Logger::builder().lanes(1).sink("memory", memory.clone());
    let logger = builder.start_on(&Handle::current()).expect("a good configuration");
    let known = || logger.core.flushes.lock().expect("no panic").known();
    for _ in 0..100 {
        logger.emit(event());
        logger.begin_flush();
    }
    assert_eq!((known(), memory.total()), (1, 0));
    memory.wait_for(100, PATIENCE).await.expect("the flush brings them");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(known(), 0);
    let report = logger.shutdown(PATIENCE).await;
    assert_eq!((report.check(), report.sinks[0].delivered), (Ok(()), 100));
}

#[tokio::test(start_paused = true)]
async fn an_idle_logger_sleeps_until_the_next_event_or_request() {
    let turns = |logger: &Logger| logger.core.heartbeat.load(std::sync::atomic::Ordering::Relaxed);
    let memory = MemorySink::new();
    let logger = Logger::builder().sink("memory", memory.clone()).start_on(&Handle::current()).expect("good");
    for round in 1..=3_u64 {
        logger.emit(event());
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(memory.total(), round, "within an interval");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!logger.core.queue.signal().rests().is_multiple_of(2), "it rests");
        let before = turns(&logger);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        // The watchdog may have asked once more, in real time.
        assert!(turns(&logger) <= before + 1, "{} turns in an hour", turns(&logger) - before);
    }
    assert!(logger.flush(PATIENCE).await.complete);
    assert!(logger.core.queue.signal().rests().is_multiple_of(2), "a request ends the rest");
    let report = logger.shutdown(PATIENCE).await;
    assert_eq!((report.check(), report.sinks[0].delivered), (Ok(()), 3));
}

#[tokio::test(start_paused = true)]
async fn a_logger_with_a_sink_that_hangs_does_not_rest() {
    struct Hangs;

    #[async_trait::async_trait]
    impl crate::Sink for Hangs {
        async fn write(&mut self, _: &crate::Batch) -> Result<(), crate::SinkError> {
            std::future::pending().await
        }
    }

    let logger = Logger::builder().sink("hangs", Hangs).start_on(&Handle::current()).expect("good");
    logger.emit(event());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(logger.core.queue.signal().rests(), 0);
}
