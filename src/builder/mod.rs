//! The caller's thread, once: every knob with its default and bounds, checked together by `start`.

mod error;
mod plan;
mod start;
#[cfg(all(test, feature = "config"))]
mod tests;

use std::thread;
use std::time::Duration;

use metrics::Recorder;
use tokio_util::sync::CancellationToken;

pub use error::BuildError;
use error::FilterError;

#[cfg(feature = "prometheus")]
use crate::admin::Prometheus;
use crate::dispatch::Enricher;
use crate::event::{Level, LevelFilter, Pattern, SharedFields, ToValue};
use crate::filter::Filter;
use crate::observe::diagnostics::{Diagnostic, Handler};
use crate::pipeline::Pipeline;
use crate::queue::{Overflow, Reserve};
use crate::runtime::{Pressure, PressureMonitor};
#[cfg(doc)]
use crate::{Logger, Sink};

const DEFAULT_LANES: usize = 4;

/// Configures a logger; made by [`Logger::builder`].
///
/// Nothing is checked before [`start`](Builder::start), which names the wrong knob, its value and what is allowed.
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<'r> {
    name: Option<String>,
    filter: Result<Filter, FilterError>,
    queue_capacity: usize,
    lanes: usize,
    memory_limit: usize,
    max_event_bytes: usize,
    batch_size: usize,
    flush_interval: Duration,
    flush_at: LevelFilter,
    notice_interval: Duration,
    overflow: Overflow,
    reserve: Reserve,
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
            queue_capacity: 8192,
            lanes: thread::available_parallelism().map_or(DEFAULT_LANES, |cores| cores.get().min(DEFAULT_LANES)),
            memory_limit: 64 << 20,
            max_event_bytes: 256 << 10,
            batch_size: 512,
            flush_interval: Duration::from_millis(100),
            flush_at: Level::Error.into(),
            notice_interval: Duration::from_secs(1),
            overflow: Overflow::default(),
            reserve: Reserve::NONE,
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

    /// Sets the logger's name: the label `logger` of its metrics, and the signature of its own errors. Default: `logweir`
    /// for the first unnamed logger of the process, `logweir-2` for the second, and so on.
    ///
    /// Two running loggers on one metrics recorder must have different names; an unnamed one gets a name that is free.
    /// When a logger has ended, another one can have its name, and the counters continue.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Which events pass, by target and level, in the grammar of [`Filter`]. Default: `info`. Of this,
    /// [`Builder::level`] and [`Builder::filter_from_env`] the last call counts.
    pub fn filter(mut self, filter: &str) -> Self {
        self.filter = filter.parse().map_err(FilterError::Text);
        self
    }

    /// Takes the filter from the environment, now: from `LOGWEIR_LOG`, or else from `RUST_LOG`. If neither is set, or they
    /// are blank, what was set before stays: `.filter("info").filter_from_env()` is `info` by default. A wrong directive
    /// is an error of [`start`](Builder::start), which names the variable too.
    pub fn filter_from_env(mut self) -> Self {
        match Filter::from_env() {
            Ok(Some(filter)) => self.filter = Ok(filter),
            Ok(None) => {}
            Err(error) => self.filter = Err(FilterError::Environment(error)),
        }
        self
    }

    /// The least important level that passes, whatever the target. Default: `Info`.
    pub fn level(mut self, level: Level) -> Self {
        self.filter = Ok(Filter::from(level));
        self
    }

    /// How many events each lane holds. Default: 8192; 1 to 16,777,216.
    ///
    /// All lanes together, at 128 bytes an event, may take half of the queue's memory at the most.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events;
        self
    }

    /// Over how many channels the callers' threads are spread. Default: the number of cores, at most 4; 1 to 64.
    ///
    /// Each lane has its own capacity and evicts its own oldest event. One lane makes the overflow policy exact for all
    /// threads together, and lets them contend.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// The memory budget in bytes. Default: 64 MiB.
    ///
    /// Half is the queue's: the lanes, then spilled bytes and contexts. The other half is the sinks' backlogs', in
    /// equal shares or as [`Pipeline::backlog_bytes`] says. Shares are never lent.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// The most bytes an event's fields may take. Default: 256 KiB; 256 at the least. Of a longer event the longest
    /// text value is cut, and a field whose name takes over a quarter of them is left out; the event is flagged and counted as
    /// `truncated`.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// The most events in one [`Sink::write`]. Default: 512; 1 to 65,536.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.batch_size = events;
        self
    }

    /// Accepted events reach every sink's backlog within this time, as long as the logger's runtime is polled.
    /// Default: 100 ms; 1 ms to 1 h.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Events of this level and above wake the flush task at once. Default: `Error`; `LevelFilter::Off` for none.
    pub fn flush_at(mut self, level: impl Into<LevelFilter>) -> Self {
        self.flush_at = level.into();
        self
    }

    /// What happens to an event that finds the queue full. Default: [`Overflow::DropOldest`].
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }

    /// Keeps this part of each lane, rounded up, for events of `level` and above. Default: none; 0 to 90 percent.
    ///
    /// An event below the level that finds only the reserve left is refused (`shed`) under every overflow policy:
    /// it neither evicts nor blocks. [`Logger::try_emit`] hands it back, [`Logger::emit_wait`] waits until its part of
    /// the lane has room. The others use all of the lane, and what happens to one that finds it full is the policy's.
    /// Callers that log at the very same moment may take a place of the reserve each. Of a lane with few places one
    /// stays for every event.
    pub fn reserve(mut self, level: Level, percent: u8) -> Self {
        self.reserve = Reserve { level: level.into(), percent: percent.into() };
        self
    }

    /// Calls `callback` when the queue has filled to `percent` ([`Pressure::Rising`]), and when it has then fallen below
    /// half of that ([`Pressure::Falling`]): once for each crossing. Default: none; 1 to 100 percent; each call adds one.
    ///
    /// What counts is the fullest lane, or the memory for spilled bytes and contexts if that is fuller. The flush task
    /// looks whenever it hands out, so a peak between two looks may pass unseen, and one is seen a
    /// [`flush_interval`](Builder::flush_interval) late at the most. The caller pays nothing.
    ///
    /// Runs on the logger's runtime, between two batches: it must not block, what it logs is suppressed, and a panic is
    /// caught and reported.
    pub fn on_pressure(mut self, percent: u8, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Self {
        self.pressure_monitors.push(PressureMonitor::new(percent, callback));
        self
    }

    /// What to do with trouble of the logger itself. Default: at most ten lines a second on standard error.
    ///
    /// Runs on the logger's runtime; it must not block, and what it logs is suppressed.
    pub fn on_error(mut self, handler: impl Fn(&Diagnostic) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(handler));
        self
    }

    /// The least time from one notice in a sink to the next. Default: 1 s; 1 ms or more; `Duration::MAX` for none.
    ///
    /// Losses are announced where people read: each sink gets a line (target `logweir`, level `Warn`) that says how many
    /// events the queue lost since the last one and why, and how many were lost on the way to this sink. A sink's own
    /// losses are announced to its fallback too, and both are told when a sink is available again whose circuit breaker
    /// had opened. Notices are made in the pipeline: no filter or level keeps them out, the queue cannot lose them, and
    /// they are in no book but [`SinkStats::notices`](crate::stats::SinkStats::notices). One that cannot be written is
    /// made up for by the next, after twice the time, and again twice, up to 1024 times. The last one comes as the sink
    /// closes. A sink is told nothing while its breaker is open, nor in the last fifth of a shutdown if it has a fallback.
    pub fn notice_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.notice_interval = interval.into().unwrap_or(Duration::MAX);
        self
    }

    /// A field that every event carries, unless it or its context has one of that name. Costs the caller nothing: it is
    /// added when sinks read.
    pub fn enrich(mut self, key: &str, value: impl ToValue) -> Self {
        self.enrichment = Some(SharedFields::extend(self.enrichment.as_ref(), key, value.to_value()));
        self
    }

    /// As [`enrich`](Builder::enrich), with a value that changes: `value` is asked on the flush side, once each time events
    /// are handed out (at the [`flush_interval`](Builder::flush_interval), or sooner when the flush task is woken), and all
    /// of those events carry the answer. So it is the value at the hand-out, and not of the moment each was logged in.
    /// [Notices](Builder::notice_interval) go without.
    ///
    /// It goes before an `enrich` of the same key, and before an earlier `enrich_with`.
    ///
    /// Runs on the logger's runtime: it must not block, what it logs is suppressed, and a panic is caught and reported;
    /// the field is then left out.
    pub fn enrich_with<V: ToValue>(mut self, key: &str, value: impl FnMut() -> V + Send + 'static) -> Self {
        self.enrichers.push(Enricher::new(key, value));
        self
    }

    /// Hides the values of fields by name: in their place stands `***`, in the field and where the message shows it.
    /// Default: nothing is hidden. Each call adds to what the others said.
    ///
    /// A pattern is a name, with `*` for anything at its beginning, its end or both: `password`, `auth*`, `*_token`,
    /// `*secret*`. It is compared with the whole name and, of a dotted one, with the last part (`password` hides
    /// `user.password` too), in any ASCII case. A pattern without a name, or with a `*` elsewhere, is an error of
    /// [`start`](Builder::start).
    ///
    /// It holds for every field of every event, whoever named it: a log call, [`Event::with`](crate::Event::with), a
    /// [`scope`](crate::scope()), [`Logger::with`], [`enrich`](Builder::enrich). The values are replaced on the caller's
    /// side, before the queue, so that no sink, no fallback and no copy of the memory has them. Names that are known when a
    /// log call compiles are looked at once for each call site, the others for each event.
    ///
    /// It does not search texts: neither a message that was formatted before it was logged, nor a value, nor the keys
    /// inside a JSON value. There [`Sensitive`](crate::Sensitive) hides what its type says.
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

    /// Whether the knobs fit together so far.
    #[cfg(feature = "config")]
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        plan::Plan::check(self).map(drop)
    }

    /// Adds a sink, or a [`Pipeline`] to one. Names are the label `sink` of the metrics and must differ.
    pub fn sink(mut self, name: &str, sink: impl Into<Pipeline>) -> Self {
        self.sinks.push((name.to_owned(), sink.into()));
        self
    }

    /// Follows a service's cancellation: the tasks of the service write their last lines then, so the logger goes on
    /// accepting, flushes its sinks at once and at every interval, and shuts down when [`Logger::shutdown`] is called
    /// or [`Builder::grace_period`] is over.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// How long the logger waits for [`Logger::shutdown`] after the cancellation. Default: 10 s.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_period = grace;
        self
    }

    /// The time for a shutdown that nobody called with one: after the grace, or when the last handle was dropped.
    /// Default: 5 s.
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
