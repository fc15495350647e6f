//! The caller's thread: delivers, then exits the process.

use std::process;

use tokio::runtime::Handle;

use super::guard::block_in_place_or_here;
use crate::runtime::{Ending, is_forked_from_loggers};

/// Ends the process with this exit code, after every running logger has delivered its events: each within its own
/// [`shutdown_timeout`](crate::Builder::shutdown_timeout), all at once.
///
/// ```no_run
/// # let listen = || Err::<(), _>("the address is in use");
/// if let Err(error) = listen() {
///     logweir::error!("cannot listen: {error}", error);
///     logweir::exit(1);
/// }
/// ```
///
/// [`std::process::exit`] delivers too, by the exit hook. This function also delivers where the hook cannot: on a worker
/// of a multi-threaded runtime that a logger runs on ([`Builder::start_on`](crate::Builder::start_on)). Events that were
/// not delivered in time are reported on standard error, or to [`Builder::on_error`](crate::Builder::on_error).
///
/// The exit is [`std::process::exit`]: nothing unwinds. In a forked child it delivers nothing, reports that, and exits.
///
/// # Blocking
/// At most the longest shutdown timeout and a second for the reports, on any thread, also of a runtime. A logger that
/// makes no progress while this thread waits ends at once, and its pending events are lost: on the logger's own thread,
/// and on the current-thread runtime that it runs on. On a thread of a sink the wait is at most 500 ms.
pub fn exit(code: i32) -> ! {
    if is_forked_from_loggers() {
        process::exit(code);
    }
    let ending = Ending::begin();
    let is_on_worker = tokio::task::try_id().is_some();
    match Handle::try_current() {
        Ok(runtime) if is_on_worker && ending.has_multi_thread_logger_on(&runtime) => {
            block_in_place_or_here(|| ending.block());
        }
        _ => ending.block(),
    }
    ending.conclude();
    process::exit(code)
}
