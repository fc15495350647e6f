//! A logger whose last handle is dropped ends in the background.

use std::sync::Arc;

use futures::executor::block_on;
use logweir::Pipeline;
use tokio::runtime::Handle;

use crate::support::Probe;

use super::{LONG, SECOND, emit, quiet};

#[test]
fn the_last_handle_dropped_ends_the_logger_in_the_background_and_it_delivers() {
    let probe = Probe::new();
    let logger = quiet().sink("probe", probe.clone()).start().unwrap();
    let child = logger.with("request", 7).clone();
    emit(&logger, 10);
    drop(logger);
    assert_eq!(probe.calls().closes, 0, "a clone is left");
    emit(&child, 1);
    drop(child);
    let calls = block_on(probe.until(|calls| calls.closes == 1));
    assert_eq!((calls.begun, probe.memory.total()), (11, 11));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_dropped_gives_a_hung_sink_the_shutdown_timeout() {
    let probe = Probe::open_for(0);
    let builder = quiet().shutdown_timeout(3 * SECOND);
    let logger =
        builder.sink("stuck", Pipeline::new(probe.clone()).timeout(LONG)).start_on(&Handle::current()).unwrap();
    emit(&logger, 1);
    drop(logger);
    let writes = probe.writes.clone();
    // The sink is dropped with its task, and its semaphore with it.
    drop(probe);
    let began = tokio::time::Instant::now();
    while Arc::strong_count(&writes) > 1 {
        tokio::time::sleep(SECOND / 10).await;
    }
    assert!((2 * SECOND..=4 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
}
