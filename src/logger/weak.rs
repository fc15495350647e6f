//! Any thread: a handle that does not keep its logger running.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Logger;
use crate::event::SharedFields;
use crate::runtime::LoggerCore;

/// A handle that does not keep its logger running; made by [`Logger::downgrade`].
#[derive(Clone)]
pub struct WeakLogger {
    core: Weak<LoggerCore>,
    context: Option<Arc<SharedFields>>,
}

impl WeakLogger {
    /// Returns the logger, unless it has stopped and no handle is left that reads its counters.
    #[must_use = "returns the logger"]
    pub fn upgrade(&self) -> Option<Logger> {
        let core = self.core.upgrade()?;
        // Also if there is no other handle: the shutdown that the last one requested continues, and ours requests the
        // same.
        core.handles.fetch_add(1, Ordering::Relaxed);
        Some(Logger { core, context: self.context.clone() })
    }
}

impl std::fmt::Debug for WeakLogger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakLogger").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Logger {
    /// Returns a handle that does not keep the logger running, for what the logger itself keeps: a shutdown hook, a
    /// callback, a sink. With a `Logger` in one of these, dropping all other handles would not end it.
    #[must_use = "returns the handle"]
    pub fn downgrade(&self) -> WeakLogger {
        WeakLogger { core: Arc::downgrade(&self.core), context: self.context.clone() }
    }
}
