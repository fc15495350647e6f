//! Any thread: how a process ends, by a guard, a call, a signal or a panic.
//!
//! In: drops of a [`ShutdownGuard`], calls of [`exit()`], signals, panics.
//! Out: shutdowns, flushes and reopens, requested from `logger`; for a panic, an event; reports to `observe`.
//!
//! Invariants:
//! * Each of these waits at most the time it is configured with.
//! * Handlers of signals and panics hold the logger weakly: they do not keep it running.
//! * In the panic hook no code of the user runs: a second panic there would abort the process.
//!
//! Next: `logger`, then `runtime`, which ends the logger, also in the exit hook of the process.
//!
//! Add another way in which a process ends in a file of its own. Shutdown hooks are `Logger::on_shutdown`, in `logger`.

mod exit;
mod guard;
mod panic_hook;
#[cfg(all(unix, feature = "signal"))]
mod signal;

pub use exit::exit;
pub use guard::ShutdownGuard;
pub use panic_hook::PanicHook;
#[cfg(all(unix, feature = "signal"))]
pub use signal::Signal;
