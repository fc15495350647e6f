//! The global logger is the process's: one test, in a binary of its own.

use std::time::Duration;

use logweir::sink::MemorySink;
use logweir::{DropReason, Level, Logger, info, log};

const PATIENCE: Duration = Duration::from_secs(10);

fn never() -> u8 {
    panic!("evaluated")
}

#[test]
fn macros_use_the_global_logger_which_is_set_once_and_never_dropped() {
    info!("x {a}", a = never(), b = %never());
    log!(Level::Fatal, target: "x", "x", a = never());

    let memory = MemorySink::new();
    let logger = Logger::builder().name("first").sink("memory", memory.clone()).start().unwrap();
    let other = Logger::builder().name("second").sink("memory", MemorySink::new()).start().unwrap();
    logger.set_global().unwrap();
    let handed_back = other.set_global().unwrap_err();
    assert!(format!("{handed_back:?}").contains("second"), "{handed_back:?}");

    info!("0");
    // The global handle keeps it: dropping ours ends nothing.
    let again = logger.clone();
    drop(logger);
    info!("1");
    let report = again.shutdown_blocking(PATIENCE).unwrap();
    report.check().unwrap();
    let messages: Vec<_> = memory.events().iter().map(|captured| captured.message()).collect();
    assert_eq!(messages, ["0", "1"]);
    assert_eq!((report.emitted, report.sinks[0].delivered), (2, 2));

    info!("refused");
    assert_eq!(again.stats().refused.get(DropReason::Closed), 1);
}
