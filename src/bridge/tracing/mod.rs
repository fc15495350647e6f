//! The caller's thread: a layer for `tracing_subscriber::registry()`, by which call sites of `tracing` log here.
//!
//! A program that logs through `tracing` changes the lines that set logging up, and not a single call:
//!
//! ```
//! use std::time::Duration;
//! use logweir::Logger;
//! use logweir::sink::MemorySink;
//! use tracing_subscriber::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = MemorySink::new();
//! let logger = Logger::builder().filter("info,hyper=warn").sink("memory", memory.clone()).start()?;
//! let subscriber = tracing_subscriber::registry().with(logger.tracing_layer());
//! # tracing::subscriber::with_default(subscriber, || {
//! // In a program: `subscriber.init()`. Its call sites stay as they are.
//!
//! let request = tracing::info_span!("request", id = 7);
//! request.in_scope(|| tracing::info!(status = 200, "answered in {} ms", 12));
//! # });
//!
//! let report = logger.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.accepted, 1);
//! let event = &memory.events()[0];
//! assert_eq!(event.message(), "answered in 12 ms");
//! let fields: Vec<_> = event.fields().map(|(name, value)| format!("{name}={value}")).collect();
//! assert_eq!(fields, ["status=200", "span=request", "spans=request", "id=7"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//! An event has the level, target, module, file and line of its call site, which are read once for each call site. Its
//! message is text, formatted straight into the event; an event without one has its name as the message, if the call
//! gave a name. Values keep their types, bytes and errors with their sources included. But `tracing` makes an `f32` an
//! `f64`: a float with a fraction that is exactly an `f32` is written with the digits of one, `0.1` for `0.1_f32`. A
//! layer cannot tell `%value` from `?value`: both become [`Value::Debug`](crate::Value::Debug). An absent value (`None`,
//! `Empty`) is no field. The first of two fields of one name wins.
//!
//! Records of the `log` crate that come through `tracing-log` (which `init` of `tracing-subscriber` installs by
//! default) keep their own target, module, file and line.
//!
//! # Spans
//! An event carries the fields of the span it is in, and of that span's parents: `tracing`'s own scope, with explicit
//! parents and `parent: None`. The order is from the root to the leaf. Of equal names the nearest field has the plain
//! one, the event's own first of all. No other is lost: a span's field that the event or an inner span also has is
//! `span.field`, `span` being the name of its span. In `control{addr=A}: new connection addr=B` the fields are `addr=B`
//! and `control.addr=A`. If another field has that name too, `_` is appended until none has (for an event's own fields,
//! up to eight times). Three more fields name the spans:
//!
//! | field | value |
//! |---|---|
//! | `span` | the name of the span the event is in |
//! | `spans` | the names from the root to it, `request:charge:retry` |
//! | `span.id` | the registry's number of it, with [`TracingLayer::span_ids`]; reused after it was closed |
//!
//! A span's own field of one of these names replaces it. The fields of the logger that made the layer
//! ([`Logger::with`]) come before all others, and are in every event; a nearer field of the same name overrides them.
//!
//! Fields are encoded once, when the span is opened or `record`ed, and merged once for all events in a span; after a
//! `record` in the same tree of spans, once more. An event has the fields at the moment it was emitted: later records
//! do not change it. The memory of the merged fields is the [context](Logger::with)'s: it counts in the queue's
//! account, and if that is used up, the events are refused (`memory`).
//!
//! # Traces of OpenTelemetry
//! With the feature `opentelemetry`, an event carries `trace_id` and `span_id` (hexadecimal text) of the OpenTelemetry
//! span that is active where it is logged: that of `tracing-opentelemetry`'s layer for the span that was entered, or
//! any other that was attached. An event with an explicit parent carries the ids of earlier events in that span, if
//! there are any: a request for its ids could start a span whose own parent is not set yet. For the same reason the
//! event of opening a span has none.
//!
//! # Which filter decides?
//! The logger's filter decides, as a [per-layer filter](LoggerFilter) for this layer alone; [`Logger::set_filter`]
//! replaces it. A filter you add (`.with_filter(..)`) decides too. Other layers get the events that their own filters
//! pass. An excluded span counts as absent: its children have its parents, and an event in it is in the nearest span
//! entered around it.
//!
//! The logger's filter has targets and levels. If you need directives of spans and fields (`[request{user=ada}]=debug`),
//! use `EnvFilter` of `tracing-subscriber` (its feature `env-filter`) instead: the layer that [`Logger::tracing_layer`]
//! returns has the logger's filter already, so let that pass everything. It also decides for events that do not come
//! through the layer, such as those of this crate's macros.
//!
//! ```
//! use logweir::{Level, Logger, sink::MemorySink};
//! use tracing_subscriber::{EnvFilter, prelude::*};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logger = Logger::builder().filter(Level::Trace).sink("memory", MemorySink::new()).start()?;
//! let layer = logger.tracing_layer().with_filter(EnvFilter::from_default_env());
//! let subscriber = tracing_subscriber::registry().with(layer);
//! # drop(subscriber);
//! # Ok(())
//! # }
//! ```
//!
//! # What does it cost?
//! A disabled call site costs about a nanosecond. An event that passes costs the time of `tracing`, then that of the
//! encoding and the queue, as with the macros of this crate; outside spans there is no allocation while the fields fit
//! about 94 bytes. In a span it takes one more reference count; the first event in it, and the first one after a
//! `record`, builds the context. `cargo bench --features tracing --bench tracing` prints the figures beside those of
//! `tracing-subscriber`'s JSON.
//!
//! # Does it keep the logger running?
//! Yes, like any handle. A global subscriber is never dropped, and then the logger ends only by [`Logger::shutdown`];
//! later events are refused (`closed`) and counted.
//!
//! # What do sinks log?
//! Events that a sink logs through the layer while it works are suppressed and counted, as through every other way in.
//! See [`suppress`](crate::suppress()).

mod filter;
mod layer;
mod otel;
mod site;
mod spans;
mod visit;

use std::fmt;
use std::sync::Arc;

use tracing_subscriber::filter::Filtered;

pub use filter::LoggerFilter;
use spans::LayerId;

use crate::event::SharedFields;
use crate::logger::Logger;

impl Logger {
    /// Returns a layer for `tracing_subscriber::registry()` with the logger's filter: events and spans of `tracing` go
    /// to this logger, with its context. [`bridge::tracing`](crate::bridge::tracing) describes what they become, and
    /// the cost.
    ///
    /// `S` is the subscriber it is put on, which the compiler knows. [`TracingLayer`] has options.
    ///
    /// ```no_run
    /// use tracing_subscriber::prelude::*;
    ///
    /// let logger = logweir::Logger::builder().sink("console", logweir::sink::ConsoleSink::stdout()).start()?;
    /// tracing_subscriber::registry().with(logger.tracing_layer()).init();
    /// # Ok::<(), logweir::BuildError>(())
    /// ```
    pub fn tracing_layer<S>(&self) -> Filtered<TracingLayer, LoggerFilter, S> {
        TracingLayer::new(self).filtered()
    }
}

/// The layer itself, for other options than those of [`Logger::tracing_layer`].
///
/// Set its options, then add the logger's filter with [`filtered`](TracingLayer::filtered):
///
/// ```
/// # use logweir::{Logger, sink::NullSink};
/// use logweir::bridge::tracing::{SpanEvents, TracingLayer};
/// use tracing_subscriber::prelude::*;
///
/// # let logger = Logger::builder().sink("null", NullSink).start()?;
/// let layer = TracingLayer::new(&logger).span_events(SpanEvents::Close).filtered();
/// let subscriber = tracing_subscriber::registry().with(layer);
/// # Ok::<(), logweir::BuildError>(())
/// ```
///
/// Without the filter it is a layer like any other: the logger still excludes events, but every call site runs up to
/// that check, and spans are kept that the filter would exclude. For subscribers that know no per-layer filters.
#[must_use = "a layer does nothing until a subscriber has it"]
pub struct TracingLayer {
    /// Without its context, so that it leaves an event the one it has.
    logger: Logger,
    /// The logger's context, below those of spans.
    base: Option<Arc<SharedFields>>,
    id: LayerId,
    span_events: SpanEvents,
    span_ids: bool,
}

/// The events that report the spans themselves. Default: none.
///
/// They have the level, target and place of the span, and its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanEvents {
    /// None.
    #[default]
    None,
    /// `span opened`, with the fields the span was opened with.
    Open,
    /// `span closed`, with the fields it has in the end, and in milliseconds (floats) `busy_ms`, the time it was
    /// entered, and `idle_ms`, the time it was open and not entered. Costs a reading of the clock at each enter and
    /// exit.
    Close,
    /// Both.
    OpenAndClose,
}

impl TracingLayer {
    /// Creates a layer that logs to this logger, with its context, without events of spans and without span ids.
    pub fn new(logger: &Logger) -> Self {
        let (logger, base) = logger.to_parts();
        TracingLayer { logger, base, id: LayerId::next(), span_events: SpanEvents::None, span_ids: false }
    }

    /// Sets which events report the spans themselves. Default: [`SpanEvents::None`].
    pub fn span_events(mut self, events: SpanEvents) -> Self {
        self.span_events = events;
        self
    }

    /// Sets whether events carry the registry's number of the span they are in, as `span.id`. Default: `false`. It
    /// tells spans of one name apart while they are open, and is reused later.
    pub fn span_ids(mut self, on: bool) -> Self {
        self.span_ids = on;
        self
    }

    /// Adds the logger's filter as the per-layer filter of the layer. `S` is the subscriber it is put on.
    pub fn filtered<S>(self) -> Filtered<TracingLayer, LoggerFilter, S> {
        let filter = LoggerFilter::new(self.logger.clone());
        Filtered::new(self, filter)
    }
}

impl fmt::Debug for TracingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingLayer")
            .field("logger", &self.logger)
            .field("context", &self.base)
            .field("span_events", &self.span_events)
            .field("span_ids", &self.span_ids)
            .finish_non_exhaustive()
    }
}
