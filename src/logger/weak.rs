//! Any thread: a handle that does not keep its logger running.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::Logger;
use crate::event::SharedFields;
use crate::runtime::LoggerCore;

/// A handle that does not keep the logger running.
pub(crate) struct WeakLogger {
    shared: Weak<LoggerCore>,
    context: Option<Arc<SharedFields>>,
}

impl WeakLogger {
    /// The logger, unless it has ended and nobody asks for its books any more.
    pub(crate) fn upgrade(&self) -> Option<Logger> {
        let shared = self.shared.upgrade()?;
        // Also if there is no other handle: the shutdown that the last one asked for goes on, and ours asks for the same.
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Some(Logger { shared, context: self.context.clone() })
    }
}

impl Logger {
    pub(crate) fn downgrade(&self) -> WeakLogger {
        WeakLogger { shared: Arc::downgrade(&self.shared), context: self.context.clone() }
    }
}
