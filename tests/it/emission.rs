//! What an emitting call evaluates, and where its event goes.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use logweir::sink::MemorySink;
use logweir::{Level, Logger, debug, error, fatal, info, log, trace, warn};

const PATIENCE: Duration = Duration::from_secs(10);

/// A logger that refuses `Trace`, and what it delivered.
struct Rig {
    logger: Logger,
    memory: MemorySink,
}

impl Deref for Rig {
    type Target = Logger;

    fn deref(&self) -> &Logger {
        &self.logger
    }
}

fn logger() -> Rig {
    let memory = MemorySink::new();
    let logger = Logger::builder().level(Level::Debug).sink("memory", memory.clone()).start().expect("a good config");
    Rig { logger, memory }
}

/// Ends the logger; the messages it delivered.
fn messages(rig: &Rig) -> Vec<String> {
    let report = rig.shutdown_blocking(PATIENCE).expect("outside a runtime");
    report.check().expect("the books balance");
    assert_eq!(report.sinks[0].delivered, rig.memory.total());
    rig.memory.events().iter().map(|captured| captured.message()).collect()
}

#[test]
fn each_macro_emits_its_level() {
    let logger = logger();
    trace!(logger: logger, "x");
    debug!(logger: logger, "x");
    info!(logger: logger, "x");
    warn!(logger: logger, "x");
    error!(logger: logger, "x");
    fatal!(logger: logger, "x");
    log!(Level::Error, logger: logger, "x");
    log!(logger: logger, Level::Info, target: "t", "x");
    assert_eq!(messages(&logger).len(), 7);
    let levels: Vec<Level> = logger.memory.events().iter().map(|captured| captured.level()).collect();
    use Level::{Debug, Error, Fatal, Info, Warn};
    assert_eq!(levels, [Debug, Info, Warn, Error, Fatal, Error, Info]);
}

#[test]
fn a_logger_is_taken_from_whatever_holds_it_and_not_moved() {
    struct Service {
        logger: Rig,
    }
    impl Service {
        fn run(&self) {
            info!(logger: self.logger, "field");
            info!(logger: self.logger(), "method");
        }
        fn logger(&self) -> &Logger {
            &self.logger
        }
    }
    let service = Service { logger: logger() };
    service.run();
    assert_eq!(messages(&service.logger), ["field", "method"]);

    let shared = Arc::new(logger());
    info!(logger: shared, "arc");
    info!(logger: &shared, "reference to arc");
    info!(logger: *shared, "place");
    info!(logger: Arc::clone(&shared), "temporary");
    assert_eq!(messages(&shared), ["arc", "reference to arc", "place", "temporary"]);

    let cell = Rc::new(RefCell::new(logger()));
    info!(logger: cell.borrow(), "guard");
    let mut boxed = Box::new(logger());
    let exclusive = &mut *boxed;
    info!(logger: exclusive, "exclusive");
    assert_eq!(messages(exclusive), ["exclusive"]);
    assert_eq!(messages(&cell.borrow()), ["guard"]);
}

#[test]
fn the_logger_comes_first_then_the_level_then_the_fields_each_once() {
    let (logger, order) = (logger(), RefCell::new(Vec::new()));
    let say = |what| order.borrow_mut().push(what);
    log!(
        { say("level"); Level::Info },
        target: "t",
        logger: { say("logger"); &logger },
        "{b} {a} {a}",
        a = { say("a"); 1 },
        b = %{ say("b"); 2 },
    );
    assert_eq!(*order.borrow(), ["logger", "level", "a", "b"]);
    assert_eq!(messages(&logger), ["2 1 1"]);
}

#[test]
fn fields_of_an_event_the_filter_refuses_are_not_evaluated() {
    let (logger, count) = (logger(), Cell::new(0));
    let touch = || count.set(count.get() + 1);
    trace!(logger: logger, "{a}", a = { touch(); 1 }, b = %{ touch(); 2 });
    assert_eq!(count.get(), 0);
    debug!(logger: logger, "{a}", a = { touch(); 1 }, b = %{ touch(); 2 });
    assert_eq!(count.get(), 2);
    assert_eq!(messages(&logger), ["1"]);
}

#[test]
fn a_value_may_log_to_the_same_logger() {
    struct Logs<'a>(&'a Logger);
    impl std::fmt::Display for Logs<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info!(logger: self.0, "inner");
            f.write_str("shown")
        }
    }
    let logger = logger();
    info!(logger: logger, "outer {a}", a = %Logs(&logger));
    assert_eq!(messages(&logger), ["inner", "outer shown"]);
}

#[test]
fn a_value_that_panics_emits_nothing() {
    struct Panics;
    impl std::fmt::Display for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("mine")
        }
    }
    let logger = logger();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| info!(logger: logger, "x", a = %Panics)));
    assert!(caught.is_err());
    assert_eq!(messages(&logger), [""; 0]);
}
