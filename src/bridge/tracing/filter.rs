//! The caller's thread: the logger's filter, as a per-layer filter of `tracing`.

use std::fmt;

use tracing_core::subscriber::Interest;
use tracing_core::{LevelFilter, Metadata, Subscriber, callsite};
use tracing_subscriber::layer::{Context, Filter};

use super::site::{self, Site};
use crate::event::Level;
use crate::logger::Logger;

/// The logger's filter as a per-layer filter: [`Logger::tracing_layer`] has it already.
///
/// It decides for its own layer alone. Each call site of `tracing` caches the decision, so a disabled one costs about a
/// nanosecond if no other layer wants it either; [`Logger::set_filter`] makes every call site request it again.
pub struct LoggerFilter {
    logger: Logger,
}

impl LoggerFilter {
    pub(super) fn new(logger: Logger) -> Self {
        // Call sites of `tracing` must not use the decisions of the filter before.
        logger.on_filter_change(callsite::rebuild_interest_cache);
        LoggerFilter { logger }
    }
}

impl<S: Subscriber> Filter<S> for LoggerFilter {
    /// Called if another layer's decision on the same call site changes from call to call.
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        match Site::known(metadata) {
            Some(known) => match known.callsite() {
                Some(callsite) => self.logger.__enabled(callsite, known.level),
                // The record's own target is not known yet; the layer checks it later.
                None => true,
            },
            None => self.logger.enabled(site::level(metadata.level()), metadata.target()),
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if site::is_log_record(metadata) {
            // One call site for all records of a level, whatever their targets.
            Interest::sometimes()
        } else if self.logger.enabled(site::level(metadata.level()), metadata.target()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.logger.lowest_level() {
            Some(Level::Trace) => LevelFilter::TRACE,
            Some(Level::Debug) => LevelFilter::DEBUG,
            Some(Level::Info) => LevelFilter::INFO,
            Some(Level::Warn) => LevelFilter::WARN,
            Some(Level::Error) => LevelFilter::ERROR,
            // `Fatal` alone passes, and `tracing` has nothing that important.
            Some(Level::Fatal) | None => LevelFilter::OFF,
        })
    }
}

impl fmt::Debug for LoggerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggerFilter").field("logger", &self.logger).finish()
    }
}
