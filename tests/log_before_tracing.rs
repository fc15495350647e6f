//! What `install_log` advises beside a tracing subscriber: one test, in a binary of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::time::Duration;

use logweir::Logger;
use logweir::sink::MemorySink;

#[test]
fn a_subscriber_made_the_default_by_hand_leaves_log_to_the_logger() {
    let memory = MemorySink::new();
    let logger = Logger::builder().sink("memory", memory.clone()).start().unwrap();
    logger.install_log().unwrap();
    tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap();
    log::info!("0");
    let report = logger.shutdown_blocking(Duration::from_secs(10)).unwrap();
    assert_eq!((report.emitted, memory.total()), (1, 1));
}
