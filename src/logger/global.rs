//! Any thread: the logger of macro calls that name none.

use std::sync::OnceLock;

use super::Logger;

static GLOBAL: OnceLock<Logger> = OnceLock::new();

/// The logger the macros use when they are given none.
#[doc(hidden)]
#[inline]
pub fn global() -> Option<&'static Logger> {
    GLOBAL.get()
}

impl Logger {
    /// Makes this the logger of macro calls that name none. Calls before it do nothing and count nothing.
    ///
    /// The global handle is never dropped: such a logger ends only by [`Logger::shutdown`].
    ///
    /// # Errors
    /// Hands the logger back if there is a global one already.
    pub fn set_global(&self) -> Result<(), Logger> {
        GLOBAL.set(self.clone())
    }
}
