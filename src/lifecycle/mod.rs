//! How a process ends.

mod guard;
mod panic_hook;
#[cfg(all(unix, feature = "signal"))]
mod signal;

pub use guard::ShutdownGuard;
pub use panic_hook::PanicHook;
