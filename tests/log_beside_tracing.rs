//! The bridge that a tracing subscriber installs is the process's: one test, in a binary of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::error::Error;

use logweir::Logger;
use logweir::sink::NullSink;
use tracing_subscriber::util::SubscriberInitExt;

#[test]
fn beside_a_tracing_subscriber_with_a_bridge_of_its_own_the_error_says_what_to_do() {
    tracing_subscriber::registry().init();
    let before = log::max_level();
    let logger = Logger::builder().sink("null", NullSink).start().unwrap();
    let error = logger.install_log().unwrap_err();
    let said = error.to_string();
    for what in
        ["tracing_subscriber's `init()`", "`tracing::subscriber::set_global_default`", "leave `install_log` out"]
    {
        assert!(said.contains(what), "{said}");
    }
    assert!(error.source().is_some_and(|source| source.is::<log::SetLoggerError>()));
    assert_eq!(log::max_level(), before, "nothing has changed");
}
