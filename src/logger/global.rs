//! Any thread: the logger used by macros without a `logger:` argument.

use std::sync::OnceLock;

use super::Logger;

static GLOBAL: OnceLock<Logger> = OnceLock::new();

/// The logger used by macros without a `logger:` argument.
#[doc(hidden)]
#[inline]
pub fn global() -> Option<&'static Logger> {
    GLOBAL.get()
}

impl Logger {
    /// Sets the logger used by macros without a `logger:` argument. Earlier calls are ignored and not counted.
    ///
    /// The global handle is never dropped: such a logger ends only by [`Logger::shutdown`].
    ///
    /// # Errors
    /// Returns the logger if a global one is already set.
    pub fn set_global(&self) -> Result<(), Logger> {
        GLOBAL.set(self.clone())
    }
}
