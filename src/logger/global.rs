//! Any thread: the logger used by macros without a `logger:` argument.

use std::sync::OnceLock;

use super::Logger;

static GLOBAL: OnceLock<Logger> = OnceLock::new();

/// Returns the logger that [`Logger::set_global`] set: the one that macros without a `logger:` argument use. `None`
/// before that call.
///
/// Events that need another context than a macro's can be logged through it, and it can be shut down and read by code
/// that has no handle:
///
/// ```
/// if let Some(logger) = logweir::global() {
///     println!("{} events so far", logger.stats().emitted);
/// }
/// ```
#[inline]
pub fn global() -> Option<&'static Logger> {
    GLOBAL.get()
}

impl Logger {
    /// Sets the logger used by macros without a `logger:` argument. Earlier calls are ignored and not counted.
    ///
    /// The global handle is never dropped: such a logger ends by [`Logger::shutdown`], or when the process exits.
    /// [`global`](crate::global()) returns it.
    ///
    /// # Errors
    /// Returns the logger if a global one is already set.
    pub fn set_global(&self) -> Result<(), Logger> {
        GLOBAL.set(self.clone())
    }
}
