//! Any thread: a handle that does not keep its logger running.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Logger;
use crate::event::SharedFields;
use crate::runtime::LoggerCore;

/// A handle that does not keep the logger running.
pub(crate) struct WeakLogger {
    core: Weak<LoggerCore>,
    context: Option<Arc<SharedFields>>,
}

impl WeakLogger {
    /// Returns the logger, unless it has stopped and no handle is left that reads its counters.
    pub(crate) fn upgrade(&self) -> Option<Logger> {
        let core = self.core.upgrade()?;
        // Also if there is no other handle: the shutdown that the last one requested continues, and ours requests the
        // same.
        core.handles.fetch_add(1, Ordering::Relaxed);
        Some(Logger { core, context: self.context.clone() })
    }
}

impl Logger {
    pub(crate) fn downgrade(&self) -> WeakLogger {
        WeakLogger { core: Arc::downgrade(&self.core), context: self.context.clone() }
    }
}
