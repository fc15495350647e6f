//! The caller's thread: the handle of a logger, under any executor or none.
//!
//! In: calls of `macros`, `bridge` and the program.
//! Out: events, pushed into `queue`; requests for a flush or a shutdown, to `runtime`; requests for a reopen, a sink's
//! filter or a breaker reset, to `pipeline`.
//!
//! Invariants:
//! * `emit` never waits for I/O, a sink or room, unless the policy is `Overflow::Block`.
//! * `async` methods need no tokio runtime. A blocking twin returns an error on a thread of a tokio runtime.
//! * Dropping the last handle requests a shutdown and does not wait for it.
//!
//! Next: `queue`, from which the flush task (`runtime`) drains the event.
//!
//! Add a method of the handle in the file of its topic. Shutdown hooks are added in `shutdown.rs` and run in `runtime`.

mod confirm;
mod emit;
mod error;
mod filters;
mod flush;
mod global;
mod prepare;
mod reopen;
mod shutdown;
#[cfg(test)]
mod tests;
mod wait;
mod weak;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use confirm::{ConfirmError, Receipt};
pub use error::{EmitError, InsideRuntimeError, ReopenError, TryEmitError};
pub use filters::SinkFilterError;
pub use global::global;
pub(crate) use wait::block_on;
pub use weak::WeakLogger;

#[cfg(doc)]
use crate::Builder;
use crate::event::{FieldSet, Level, SharedFields, ToValue};
use crate::runtime::{Host, LoggerCore, State};
use crate::stats::Stats;

/// A handle to a logger: clones are cheap and log to the same queue.
///
/// Created by [`Logger::builder`]. End it with [`Logger::shutdown`], which delivers pending events and reports the
/// final state of every event. Dropping the last handle starts a shutdown in the background without waiting for it. A
/// logger that still runs when the process exits is shut down then, within [`Builder::shutdown_timeout`].
pub struct Logger {
    core: Arc<LoggerCore>,
    context: Option<Arc<SharedFields>>,
}

impl Logger {
    pub(crate) fn new(core: Arc<LoggerCore>) -> Self {
        Logger { core, context: None }
    }

    /// Returns a logger whose events carry one more field, in addition to all of this one's.
    ///
    /// The fields are encoded once, here. If the name exists already, it gets the new value. If the memory for contexts
    /// (at most half of the queue's memory budget) is used up, events of the new logger are refused (`memory`).
    pub fn with(&self, key: &str, value: impl ToValue) -> Logger {
        self.in_context(SharedFields::extend(self.context.as_deref(), key, value.to_value()))
    }

    /// Like [`Logger::with`], but with several fields at once: `logger.with_fields(fields![user = name, attempt])`.
    pub fn with_fields(&self, fields: FieldSet) -> Logger {
        self.in_context(SharedFields::with_fields_over(&fields, self.context.as_deref()))
    }

    pub(crate) fn core(&self) -> &Arc<LoggerCore> {
        &self.core
    }

    fn in_context(&self, context: SharedFields) -> Logger {
        let mut child = self.clone();
        child.context = Some(self.admit_context(context));
        child
    }

    /// Masks the fields to redact and charges the context to the queue's memory budget, if it fits.
    pub(crate) fn admit_context(&self, context: SharedFields) -> Arc<SharedFields> {
        self.core.admit_context(context)
    }

    /// Returns whether an event of this level and target would pass the filter.
    pub fn enabled(&self, level: Level, target: &str) -> bool {
        self.core.filter.allows_target(target, level)
    }

    /// Returns all counters, of the queue and of every sink, at this moment: a consistent snapshot.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Closes the circuit breaker of the sink of this name: its next batch is written at once. Returns whether there is
    /// such a sink.
    pub fn reset_breaker(&self, sink: &str) -> bool {
        let handle = self.core.sinks.iter().find(|handle| handle.name() == sink);
        handle.inspect(|handle| handle.reset_breaker()).is_some()
    }

    /// Begins a new window for the sinks' latency percentiles.
    pub fn reset_latency(&self) {
        self.core.sinks.iter().for_each(|sink| sink.reset_latency());
    }

    /// Returns the address where the metrics are served; `None` without [`Builder::prometheus`], without a listener, and
    /// if an [optional](crate::Prometheus::optional) address could not be bound.
    #[cfg(feature = "prometheus")]
    pub fn prometheus_addr(&self) -> Option<std::net::SocketAddr> {
        self.core.prometheus_addr
    }

    /// Renders the metrics as a page for an endpoint of your own, in the text format of Prometheus; `None` without
    /// [`Builder::prometheus`]. Its content type is [`Prometheus::CONTENT_TYPE`](crate::Prometheus::CONTENT_TYPE).
    ///
    /// Works with and without a listener, and also after the shutdown. Each call takes a snapshot and renders it on the
    /// calling thread, about 0.2 ms for two sinks: it neither waits for the flush task nor delays it. An endpoint that
    /// anyone can reach limits how often it calls this.
    ///
    /// ```
    /// # use logweir::{Logger, Prometheus, sink::NullSink};
    /// let logger =
    ///     Logger::builder().name("shop").prometheus(Prometheus::without_listener()).sink("null", NullSink).start()?;
    /// let page = logger.render_metrics().unwrap_or_default();
    /// assert!(page.contains("logweir_queue_depth{logger=\"shop\"} 0"));
    /// # Ok::<(), logweir::BuildError>(())
    /// ```
    #[cfg(feature = "prometheus")]
    pub fn render_metrics(&self) -> Option<String> {
        self.core.render_metrics()
    }

    /// Returns whether it is running, shutting down or stopped.
    pub fn state(&self) -> State {
        self.core.state()
    }
}

impl Logger {
    /// The logger without its context, and the context.
    #[cfg(feature = "tracing")]
    pub(crate) fn to_parts(&self) -> (Logger, Option<Arc<SharedFields>>) {
        let mut bare = self.clone();
        let context = bare.context.take();
        (bare, context)
    }

    /// The least important level that passes the filter for some target, if any does.
    #[cfg(feature = "tracing")]
    pub(crate) fn lowest_level(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| self.core.filter.may_allow(*level))
    }

    pub(crate) fn host(&self) -> Host {
        self.core.host
    }
}

impl Clone for Logger {
    fn clone(&self) -> Self {
        // Relaxed, as in `Arc`: the new handle is a copy of an existing one.
        self.core.handles.fetch_add(1, Ordering::Relaxed);
        Logger { core: self.core.clone(), context: self.context.clone() }
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        if self.core.handles.fetch_sub(1, Ordering::AcqRel) == 1 && !self.core.is_forked() {
            self.core.shutdown.request_if_none(self.core.shutdown_timeout);
        }
    }
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logger").field("name", &self.core.name).field("context", &self.context).finish_non_exhaustive()
    }
}
