//! How a process ends, and what has arrived then: by the exit hook, `logweir::exit`, guards, in children of `fork`.
//!
//! The ways out of `main` are those of the example `exits`. The other children are this test binary again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(clippy::print_stderr, reason = "a child tells its parent")]

mod ended_thread;
#[cfg(target_os = "linux")]
mod fork;
mod places;
mod ways;

use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::children::{FILE, ROLE, Running, child_of};

fn child(role: &str, file: &Path) -> Command {
    let mut child = child_of("exits::the_child", role);
    child.env(FILE, file).env("RUST_BACKTRACE", "0");
    child
}

/// How the child of this role ends, and its standard error.
fn end_of(role: &str, file: &Path) -> (ExitStatus, String) {
    Running::start(&mut child(role, file)).ends()
}

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let code = match role.split_once(' ').unwrap_or((&role, "")) {
        ("thread-local", _) => ended_thread::in_a_thread_local(),
        ("atexit", _) => ended_thread::in_atexit(),
        #[cfg(feature = "opentelemetry")]
        ("otel", first) => ended_thread::with_opentelemetry(first),
        #[cfg(target_os = "linux")]
        ("fork", _) => fork::forks(),
        #[cfg(target_os = "linux")]
        ("fork-own", _) => fork::starts_its_own(),
        ("place", place) => places::exits_in(place),
        ("late", guard) => places::logs_late(guard),
        ("handler", _) => places::with_a_handler(),
        (role, _) => panic!("no such role: {role}"),
    };
    // What `main` does when it returns.
    std::process::exit(code);
}
