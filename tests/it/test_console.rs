//! The console for tests, under the test harness: this binary again, whose output is captured as in any `cargo test`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::Command;

use logweir::testing::{TestConsole, conformance};
use logweir::{Logger, ShutdownGuard, info};

use crate::children::{LONG, ROLE};

/// Runs these tests as a child does that captures their output; returns whether they passed, and what it printed.
fn harness(role: &str, options: &[&str]) -> (bool, String) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg("test_console::the_child").args(options).env(ROLE, role);
    let output = child.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing goes past the capture");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn is_child() -> Option<String> {
    std::env::var(ROLE).ok()
}

fn start() -> (Logger, ShutdownGuard) {
    let logger = Logger::builder().sink("test", TestConsole::new()).start().unwrap();
    let guard = logger.shutdown_guard(LONG);
    (logger, guard)
}

/// What the test logs, and how it ends.
fn log(role: &str, logger: &Logger, test: &str) {
    (0..3).for_each(|number| info!(logger: logger, "line {number} of {test}", number, test));
    assert_ne!(role, "fails", "the test fails");
}

#[test]
fn the_child_of_a_plain_test() {
    let Some(role) = is_child() else { return };
    let (logger, _guard) = start();
    log(&role, &logger, "plain");
}

#[tokio::test]
async fn the_child_on_a_runtime_of_one_thread() {
    let Some(role) = is_child() else { return };
    let (logger, _guard) = start();
    log(&role, &logger, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_on_a_runtime_of_many_threads() {
    let Some(role) = is_child() else { return };
    // Started by a worker of the runtime, and used by another task.
    let (logger, _guard) = tokio::spawn(async { start() }).await.unwrap();
    let logs = logger.clone();
    tokio::spawn(async move { log("passes", &logs, "many") }).await.unwrap();
    assert_ne!(role, "fails", "the test fails");
}

#[test]
fn a_test_that_passes_is_quiet() {
    let (passed, printed) = harness("passes", &[]);
    assert!(passed && printed.contains("3 passed"), "{printed}");
    assert!(!printed.contains("line "), "{printed}");
}

#[test]
fn a_test_that_fails_shows_its_own_log_and_no_other() {
    let (passed, printed) = harness("fails", &[]);
    assert!(!passed && printed.contains("3 failed"), "{printed}");
    let children =
        [("of_a_plain_test", "plain"), ("on_a_runtime_of_one_thread", "one"), ("on_a_runtime_of_many_threads", "many")];
    for (child, test) in children {
        let shown = printed.split(&format!("---- test_console::the_child_{child} stdout ----\n")).nth(1).unwrap();
        let shown = shown.split("\n---- ").next().unwrap().split("\nfailures:\n").next().unwrap();
        let lines: Vec<_> = shown.lines().filter_map(|line| Some(&line[line.find("line ")?..])).collect();
        let expected: Vec<_> = (0..3).map(|number| format!("line {number} of {test}")).collect();
        let whole = lines.iter().zip(&expected).all(|(line, expected)| line.starts_with(expected.as_str()));
        assert!(lines.len() == expected.len() && whole, "{child}: {lines:?} in {shown}");
    }
}

#[test]
fn without_a_capture_the_lines_are_printed() {
    let (passed, printed) = harness("passes", &["--nocapture"]);
    assert!(passed, "{printed}");
    assert_eq!(printed.matches("line ").count(), 9, "{printed}");
}

#[tokio::test]
async fn the_console_for_tests_keeps_the_rules_of_sinks() {
    conformance(TestConsole::new).await;
}
