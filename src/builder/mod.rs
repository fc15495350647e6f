//! The caller's thread, once: every option with its default and bounds, checked together by `start`.
//!
//! In: calls of the program, or of `config` for a configuration file.
//! Out: a logger: its shared core, and the parts of its flush task and sink tasks.
//!
//! Invariants:
//! * Nothing is checked or opened before `start`; but `filter_from_env` reads the environment, and `start` reports what it skipped.
//! * If `start` fails, no logger runs and opened sinks are dropped.
//! * `plan.rs` decides whether the options fit together; it opens nothing.
//!
//! Next: `runtime`, which runs the flush task on a thread of its own or on the runtime of the program.
//!
//! Add an option here, with its default in `Builder::new`, its bounds in `plan.rs`, and its key in `config/settings.rs`
//! and `config/example.toml`.

mod error;
mod open;
mod plan;
mod start;
#[cfg(all(test, feature = "config"))]
mod tests;

use std::thread;
use std::time::Duration;

use metrics::Recorder;
use tokio_util::sync::CancellationToken;

pub use error::BuildError;

#[cfg(feature = "prometheus")]
use crate::admin::Prometheus;
use crate::dispatch::Enricher;
use crate::event::{Level, LevelFilter, Pattern, SharedFields, ToValue};
use crate::filter::{EnvFilterError, Filter, FilterFromEnv, ParseFilterError};
use crate::observe::diagnostics::{Diagnostic, Handler};
use crate::pipeline::{IntoPipeline, Pipeline};
use crate::queue::Overflow;
use crate::runtime::{Pressure, PressureMonitor};
#[cfg(doc)]
use crate::{Logger, Sink};

const DEFAULT_LANES: usize = 4;

/// Configures a logger; created by [`Logger::builder`].
///
/// [`start`](Builder::start) checks all options. It reports the first invalid option with its value and the valid ones.
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<'r> {
    name: Option<String>,
    filter: Result<Filter, ParseFilterError>,
    /// What was skipped of the variables that `filter` and the sinks' filters are from.
    skipped: Option<EnvFilterError>,
    skipped_of_sinks: Vec<EnvFilterError>,
    queue_capacity: usize,
    lanes: usize,
    memory_limit: usize,
    max_event_bytes: usize,
    batch_size: usize,
    flush_interval: Duration,
    flush_at: LevelFilter,
    notice_interval: Duration,
    overflow: Overflow,
    reserve: (LevelFilter, usize), // the level, and the percent of each lane
    pressure_monitors: Vec<PressureMonitor>,
    on_error: Option<Handler>,
    enrichment: Option<SharedFields>,
    enrichers: Vec<Enricher>,
    redacted: Result<Vec<Pattern>, String>,
    sinks: Vec<(String, Pipeline)>,
    cancel: Option<CancellationToken>,
    grace_period: Duration,
    shutdown_timeout: Duration,
    recorder: Option<&'r dyn Recorder>,
    #[cfg(feature = "prometheus")]
    prometheus: Option<Prometheus>,
}

impl<'r> Builder<'r> {
    pub(crate) fn new() -> Self {
        Builder {
            name: None,
            filter: Ok(Filter::from(Level::Info)),
            skipped: None,
            skipped_of_sinks: Vec::new(),
            queue_capacity: 8192,
            lanes: thread::available_parallelism().map_or(DEFAULT_LANES, |cores| cores.get().min(DEFAULT_LANES)),
            memory_limit: 64 << 20,
            max_event_bytes: 256 << 10,
            batch_size: 512,
            flush_interval: Duration::from_millis(100),
            flush_at: Level::Error.into(),
            notice_interval: Duration::from_secs(1),
            overflow: Overflow::default(),
            reserve: (LevelFilter::Trace, 0),
            pressure_monitors: Vec::new(),
            on_error: None,
            enrichment: None,
            enrichers: Vec::new(),
            redacted: Ok(Vec::new()),
            sinks: Vec::new(),
            cancel: None,
            grace_period: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            recorder: None,
            #[cfg(feature = "prometheus")]
            prometheus: None,
        }
    }

    /// Sets the logger's name: used as the `logger` label of its metrics and as the prefix of its diagnostics. Default:
    /// `logweir` for the first unnamed logger of the process, `logweir-2` for the second, and so on.
    ///
    /// Two running loggers on one metrics recorder must have different names; an unnamed one gets a name that is free.
    /// When a logger has ended, another one can have its name, and the counters continue.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets which events pass, by target and level: text in the grammar of [`Filter`], a `Filter`, a [`Level`] or a
    /// [`LevelFilter`]. Default: `info`. If a directive is invalid, [`start`](Builder::start) returns an error. The last
    /// call to `filter`, [`level`](Builder::level) or [`filter_from_env`](Builder::filter_from_env) wins.
    pub fn filter<F>(self, filter: F) -> Self
    where
        F: TryInto<Filter>,
        F::Error: Into<ParseFilterError>,
    {
        self.set_filter(filter.try_into().map_err(Into::into))
    }

    fn set_filter(mut self, filter: Result<Filter, ParseFilterError>) -> Self {
        self.filter = filter;
        self.skipped = None;
        self
    }

    /// Takes the filter from the environment, now: from `LOGWEIR_LOG`, or else from `RUST_LOG`. If neither is set, or
    /// they are blank, the previous filter stays: `.filter("info").filter_from_env()` is `info` by default.
    ///
    /// A variable that other programs share never stops or silences this one. Directives that are not supported, or
    /// wrong, are skipped, and reported once when the logger starts
    /// ([`Diagnostic::FilterSkipped`](crate::error::Diagnostic::FilterSkipped)); the rest applies, and targets that it
    /// does not name keep the previous filter's level. If no directive can be used, the previous filter stays.
    pub fn filter_from_env(mut self) -> Self {
        let before = self.filter.clone().unwrap_or(Filter::from(Level::Info));
        let FilterFromEnv { filter, skipped } = Filter::from_env_over(&before);
        if let Some(filter) = filter {
            self = self.set_filter(Ok(filter));
        }
        self.skipped = skipped.or(self.skipped);
        self
    }

    /// Adds what `config` skipped of variables, to be reported by `start`.
    #[cfg(feature = "config")]
    pub(crate) fn skipped(mut self, error: EnvFilterError, is_of_sink: bool) -> Self {
        if is_of_sink {
            self.skipped_of_sinks.push(error);
        } else {
            self.skipped = Some(error);
        }
        self
    }

    /// Sets the least important level that passes, whatever the target. Default: `Info`. The last call to `level`,
    /// [`filter`](Builder::filter) or [`filter_from_env`](Builder::filter_from_env) wins.
    pub fn level(self, level: Level) -> Self {
        self.set_filter(Ok(Filter::from(level)))
    }

    /// Sets how many events each lane holds. Default: 8192. Range: 1 to 16,777,216.
    ///
    /// All lanes together, at 128 bytes per event, may take at most half of the queue's memory.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events;
        self
    }

    /// Sets the number of lanes over which the callers' threads are spread. Default: the number of cores, at most 4. Range: 1
    /// to 64.
    ///
    /// Each lane has its own lock and capacity, and evicts its own oldest event. One lane makes the overflow policy exact for
    /// all threads together, but lets them contend.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// Sets the memory limit in bytes. Default: 64 MiB.
    ///
    /// Half is for the queue: the lanes, then spilled bytes and contexts. The other half is for the sinks' backlogs, in
    /// equal shares or as set by [`Pipeline::backlog_bytes`]. Shares are never lent.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets the maximum size of an event's fields in bytes. Default: 256 KiB. Range: 256 bytes to what contexts, which may
    /// hold half of the queue's bytes beside its lanes, leave. In a longer event the longest text value is truncated, and a
    /// field whose name takes over a quarter of the limit is omitted; the event is flagged and counted as `truncated`. A value
    /// that a macro formats is written no further than this limit.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Sets the maximum number of events in one [`Sink::write`]. Default: 512. Range: 1 to 65,536.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.batch_size = events;
        self
    }

    /// Sets the time within which accepted events reach every sink's backlog, as long as the logger's runtime is
    /// polled. Default: 100 ms. Range: 1 ms to 1 h. After ten intervals without an event, and with nothing left to deliver,
    /// the logger sleeps until the next event or request; metrics keep their values.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Sets the level from which events wake the flush task at once. Default: `Error`. `LevelFilter::Off` for none.
    pub fn flush_at(mut self, level: impl Into<LevelFilter>) -> Self {
        self.flush_at = level.into();
        self
    }

    /// Sets the policy for an event when the queue is full. Default: [`Overflow::DropOldest`].
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }

    /// Reserves this part of each lane, rounded up, for events of `level` and above. Default: none. Range: 0 to 90
    /// percent.
    ///
    /// If only the reserve is left, an event below the level is refused (`shed`) under every overflow policy: it
    /// neither evicts nor blocks. [`Logger::try_emit`] returns it, [`Logger::emit_wait`] waits until its part of the
    /// lane has room. Events of the level and above use all of the lane; if it is full, the overflow policy applies.
    /// Callers that log at the very same moment may each take a slot of the reserve. In a lane with few slots, one
    /// stays for all events.
    pub fn reserve(mut self, level: Level, percent: u8) -> Self {
        self.reserve = (level.into(), percent.into());
        self
    }

    /// Calls `callback` when the queue has filled to `percent` ([`Pressure::Rising`]), and when it has then fallen
    /// below half of that ([`Pressure::Falling`]): once for each transition. Default: none. Range: 1 to 100 percent.
    /// Each call adds a callback.
    ///
    /// The fullest lane decides, or the memory for spilled bytes and contexts if that is fuller. Pressure is sampled on
    /// every dispatch, so a short peak may be missed, and a transition is seen at most one
    /// [`flush_interval`](Builder::flush_interval) late. Callers pay nothing.
    ///
    /// The callback runs on the logger's runtime, between two batches. It must not block; events it logs are
    /// suppressed, and a panic is caught and reported.
    pub fn on_pressure(mut self, percent: u8, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Self {
        self.pressure_monitors.push(PressureMonitor::new(percent, callback));
        self
    }

    /// Sets the handler for the logger's own errors. Default: at most ten lines per second on standard error.
    ///
    /// It runs on the logger's runtime and must not block; events it logs are suppressed.
    pub fn on_error(mut self, handler: impl Fn(&Diagnostic) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(handler));
        self
    }

    /// Sets the minimum time between notices in a sink. Default: 1 s. Range: 1 ms or more. `None` or `Duration::MAX`
    /// disables notices.
    ///
    /// Losses also appear in the log itself: each sink gets a line (target `logweir`, level `Warn`) with the number and
    /// reasons of events lost in the queue since the last notice, and lost on the way to this sink. A sink's own losses
    /// are also reported to its fallback. If the circuit breaker had opened, both are notified when the sink has
    /// recovered. Notices are created in the pipeline: no filter or level excludes them, the queue cannot lose them,
    /// and only [`SinkStats::notices`](crate::stats::SinkStats::notices) counts them. If a notice cannot be written,
    /// its counts move to the next one, and the interval doubles (up to 1024×). The last notice is written when the
    /// sink closes. A sink gets no notice while its breaker is open, nor in the last fifth of a shutdown if it has a
    /// fallback.
    pub fn notice_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.notice_interval = interval.into().unwrap_or(Duration::MAX);
        self
    }

    /// Adds a field to every event that has no field of that name, neither its own nor in its context. It costs callers
    /// nothing: sinks add it when they read the event.
    pub fn enrich(mut self, key: &str, value: impl ToValue) -> Self {
        self.enrichment = Some(SharedFields::extend(self.enrichment.as_ref(), key, value.to_value()));
        self
    }

    /// Like [`enrich`](Builder::enrich), but with a value that changes. The flush task calls `value` once per dispatch
    /// (at the [`flush_interval`](Builder::flush_interval), or sooner when it is woken) and adds the result to all
    /// events of that dispatch. So the value is that of the dispatch, not of the moment an event was logged.
    /// [Notices](Builder::notice_interval) do not have it.
    ///
    /// It takes precedence over an `enrich` of the same key, and over an earlier `enrich_with`.
    ///
    /// `value` runs on the logger's runtime. It must not block; events it logs are suppressed. A panic is caught and
    /// reported, and the field is then omitted.
    pub fn enrich_with<V: ToValue>(mut self, key: &str, value: impl FnMut() -> V + Send + 'static) -> Self {
        self.enrichers.push(Enricher::new(key, value));
        self
    }

    /// Hides the values of fields by name: `***` replaces them, in the field and in the message. Default: nothing is
    /// hidden. Calls add up.
    ///
    /// A pattern is a name, with `*` for any text at its beginning, its end or both: `password`, `auth*`, `*_token`,
    /// `*secret*`. It is compared, ignoring ASCII case, with the whole name and with each part of a dotted one, or several
    /// adjacent parts: `password` also hides `user.password`, `password.value` and `a.password.b`, and `http.cookie` also
    /// hides `request.http.cookie`. No other character separates parts: `password` hides neither `password-hash` nor
    /// `old_password`; `*password*` does. If a pattern has no name, or a `*` elsewhere, [`start`](Builder::start) returns
    /// an error.
    ///
    /// It applies to every field of every event, from every source: a log call, [`Event::with`](crate::Event::with), a
    /// [`scope`](crate::scope()), [`Logger::with`], [`enrich`](Builder::enrich). The values are replaced on the
    /// caller's side, before the queue, so that no sink, no fallback and no copy of the memory has them. Names known
    /// when a log call compiles are checked once per call site, the others for each event.
    ///
    /// Redaction does not look inside text: neither a message that was formatted before it was logged, nor a value, nor
    /// the keys of a JSON value. Use [`Sensitive`](crate::Sensitive) there, which hides values by type.
    ///
    /// ```
    /// # use logweir::{Logger, info, sink::MemorySink};
    /// # let memory = MemorySink::new();
    /// let logger = Logger::builder().redact(["password", "authorization", "*_token"]).sink("memory", memory.clone()).start()?;
    /// info!(logger: logger, "{user} with {password}", user = "ada", password = "hunter2", api_token = 7);
    /// # logger.shutdown_blocking(std::time::Duration::from_secs(5))?;
    /// assert_eq!(memory.events()[0].message(), "ada with ***");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact<P: AsRef<str>>(mut self, names: impl IntoIterator<Item = P>) -> Self {
        for name in names {
            let Ok(patterns) = &mut self.redacted else { break };
            match Pattern::parse(name.as_ref()) {
                Some(pattern) => patterns.push(pattern),
                None => self.redacted = Err(name.as_ref().to_owned()),
            }
        }
        self
    }

    /// Checks that the options set so far fit together.
    #[cfg(feature = "config")]
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        plan::Plan::check(self).map(drop)
    }

    /// Adds a [`Sink`], a [`RequestSink`](crate::sink::RequestSink) or a [`Pipeline`] to one. Names are the label `sink` of the metrics and must be unique.
    pub fn sink<Kind>(mut self, name: &str, sink: impl IntoPipeline<Kind>) -> Self {
        self.sinks.push((name.to_owned(), sink.into_pipeline()));
        self
    }

    /// Follows a service's cancellation token. The tasks of the service write their last events after the cancellation,
    /// so the logger continues to accept, flushes its sinks at once and at every interval, and shuts down when
    /// [`Logger::shutdown`] is called or [`Builder::grace_period`] is over.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Sets how long the logger waits for [`Logger::shutdown`] after the cancellation. Default: 10 s.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_period = grace;
        self
    }

    /// Sets the deadline of an implicit shutdown: after the grace period, when the last handle is dropped, or when the
    /// process exits ([`exit`](crate::exit())). Default: 5 s. [`Duration::ZERO`]: events that are pending then are lost.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Registers the metrics on a recorder of yours. Default: the global recorder that is installed at `start`, if any.
    ///
    /// The flush task refreshes the metrics once a second. If the recorder panics in that, it is reported once. When the
    /// logger ends, its gauges are set to 0, except `logweir_sink_events_unconfirmed` and `logweir_shutdown_seconds`.
    /// Counters and histograms keep their values, and continue from there if a logger of the same name starts.
    pub fn metrics_recorder(mut self, recorder: &'r dyn Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Registers the metrics on a recorder that only this logger has, and serves them at `http://ADDR/metrics` until the
    /// sinks are closed. Takes an address, or a [`Prometheus`], which describes the endpoint and its limits. For an endpoint
    /// of your own, see [`Logger::render_metrics`].
    ///
    /// # Errors
    /// An address that cannot be bound is an error of [`start`](Builder::start), unless it is
    /// [optional](Prometheus::optional).
    #[cfg(feature = "prometheus")]
    pub fn prometheus(mut self, endpoint: impl Into<Prometheus>) -> Self {
        self.prometheus = Some(endpoint.into());
        self
    }
}
