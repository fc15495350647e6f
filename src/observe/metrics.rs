//! The flush task: refreshes the metrics, as does each thread that renders a page. `start()` registers them; no log call
//! runs this code.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder};

use super::names::NameGuard;
use crate::event::Level;
use crate::stats::labels::{BreakerState, SinkErrorKind};
use crate::stats::{DropReason, SinkStats, Stats};

static METADATA: Metadata<'static> = Metadata::new("logweir", metrics::Level::INFO, Some("logweir"));

/// Registers handles on one recorder, all with the logger's name.
struct Registrar<'a> {
    recorder: &'a dyn Recorder,
    logger: &'a str,
}

impl Registrar<'_> {
    fn key(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Key {
        let labels = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned()));
        let logger = Label::new("logger", self.logger.to_owned());
        Key::from_parts(name, std::iter::once(logger).chain(labels).collect::<Vec<_>>())
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> SharedCounter {
        let counter = self.recorder.register_counter(&self.key(name, labels), &METADATA);
        // A series that appears only with its first loss hides that loss from `rate()`.
        counter.increment(0);
        SharedCounter { counter, published: AtomicU64::new(0) }
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        let gauge = self.recorder.register_gauge(&self.key(name, labels), &METADATA);
        gauge.set(0.0);
        gauge
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.recorder.register_histogram(&self.key(name, labels), &METADATA)
    }
}

/// A counter of the recorder, to which earlier loggers of the same name may have added.
struct SharedCounter {
    counter: Counter,
    /// The part of it that is this logger's.
    published: AtomicU64,
}

impl SharedCounter {
    /// Adds the difference since the last snapshot. `Counter::absolute` would have no effect until the count of this
    /// logger exceeds that of an earlier one.
    fn publish(&self, count: u64) {
        let before = self.published.fetch_max(count, Ordering::Relaxed);
        // Also if there is none: a recorder may forget a series that is not updated.
        self.counter.increment(count.saturating_sub(before));
    }
}

/// Passes the descriptions of the metrics, the `# HELP` texts, to the recorder.
fn describe(recorder: &dyn Recorder) {
    let counters: [(&'static str, &'static str); 16] = [
        ("logweir_events_accepted_total", "Events accepted."),
        ("logweir_events_refused_total", "Events that did not enter the queue."),
        ("logweir_events_evicted_total", "Accepted events that left the queue for a newer one."),
        ("logweir_events_truncated_total", "Events that had a value cut to fit the size limit."),
        ("logweir_events_suppressed_total", "Events logged by the logger's own tasks and sinks, which never enter."),
        ("logweir_events_sampled_total", "Events that `every:` or `at_most:` of their call left out."),
        ("logweir_notices_total", "Notices of losses, and of a sink's recovery, written in band."),
        ("logweir_sink_events_delivered_total", "Events the sink said it has."),
        ("logweir_sink_events_dropped_total", "Events lost on the way to the sink."),
        ("logweir_sink_events_fallback_total", "Events the fallback delivered instead."),
        ("logweir_sink_bytes_written_total", "Bytes written, as the sink counts them."),
        ("logweir_sink_errors_total", "Failed calls of the sink."),
        ("logweir_sink_retries_total", "Writes tried again."),
        ("logweir_sink_spool_recovered_events_total", "Events taken over from the spools of earlier processes."),
        ("logweir_sink_spool_bypassed_events_total", "Events offered from memory, as the spool could not take them."),
        ("logweir_sink_spool_corrupt_events_total", "Events of the spool that could not be read."),
    ];
    for (name, help) in counters {
        recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
    }
    let gauges: [(&'static str, &'static str); 14] = [
        ("logweir_queue_depth", "Events in the queue."),
        ("logweir_queue_capacity", "Events the queue holds at most; 0 once the logger has ended."),
        ("logweir_queue_bytes", "Heap bytes of queued events and living contexts."),
        ("logweir_memory_limit_bytes", "The memory budget."),
        ("logweir_sink_events_unconfirmed", "Events whose write timed out without a result."),
        ("logweir_sink_backlog_events", "Events waiting for the sink."),
        ("logweir_sink_backlog_bytes", "Memory pinned by events waiting for the sink or being written."),
        ("logweir_sink_spool_events", "Events in the spool that are not settled and in no request."),
        ("logweir_sink_spool_bytes", "Bytes of the spool's files."),
        ("logweir_sink_spool_oldest_seconds", "The age of the spool's oldest event, if it is in memory; else 0."),
        ("logweir_spool_unclaimed_bytes", "Bytes in spools that no sink takes over, when the logger started."),
        ("logweir_sink_breaker_state", "The sink's circuit breaker: 0 closed, 1 half-open, 2 open."),
        ("logweir_shutdown_seconds", "How long the shutdown took; 0 before."),
        ("logweir_build_info", "1 while the logger runs; the label has its version."),
    ];
    for (name, help) in gauges {
        recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
    }
    let histograms: [(&'static str, &'static str); 3] = [
        ("logweir_batch_events", "Events in a batch handed to the sinks."),
        ("logweir_delivery_lag_seconds", "From the emission of a batch's oldest event to its delivery."),
        ("logweir_sink_write_seconds", "How long one write of the sink took."),
    ];
    for (name, help) in histograms {
        recorder.describe_histogram(KeyName::from_const_str(name), None, help.into());
    }
}

/// The metric handles of one logger.
pub(crate) struct LoggerMetrics {
    accepted: [SharedCounter; Level::ALL.len()],
    refused: [SharedCounter; DropReason::REFUSED.len()],
    evicted: [SharedCounter; DropReason::EVICTED.len()],
    truncated: SharedCounter,
    suppressed: SharedCounter,
    sampled: SharedCounter,
    notices: SharedCounter,
    queue_depth: Gauge,
    queue_bytes: Gauge,
    /// Gauges that change at the logger's end only.
    constants: [Gauge; 3],
    shutdown_seconds: Gauge,
    pub(crate) batch_events: Histogram,
    sinks: Vec<SinkMetrics>,
    // A std lock: held for one refresh. An older snapshot must not overwrite a newer one.
    publication: Mutex<Publication>,
    // A std lock: held to move the guard. Not in `publication`, which a recorder that hangs holds for ever.
    name: Mutex<Option<NameGuard>>,
    /// The recorder panicked, and has not worked since.
    is_failing: AtomicBool,
}

/// The turn of a thread that refreshes the metrics.
pub(crate) struct Publication {
    /// The logger has ended: another one may have the name, and with it the gauges.
    is_retired: bool,
}

/// The histograms of one sink, recorded as its writes end.
pub(crate) struct SinkHistograms {
    pub(crate) write_seconds: Histogram,
    pub(crate) delivery_lag: Histogram,
}

struct SinkMetrics {
    delivered: SharedCounter,
    dropped: [SharedCounter; DropReason::PER_SINK.len()],
    fallback: SharedCounter,
    unconfirmed: Gauge,
    bytes: SharedCounter,
    errors: [SharedCounter; SinkErrorKind::ALL.len()],
    retries: SharedCounter,
    breaker_state: Gauge,
    backlog_events: Gauge,
    backlog_bytes: Gauge,
    /// Of a sink with a spool.
    spool: Option<SpoolMetrics>,
}

struct SpoolMetrics {
    recovered: SharedCounter,
    bypassed: SharedCounter,
    corrupt: SharedCounter,
    events: Gauge,
    bytes: Gauge,
    oldest: Gauge,
}

/// What the metrics know of a sink before it runs.
pub(crate) struct SinkIdentity {
    pub(crate) name: String,
    pub(crate) has_spool: bool,
}

/// Values that do not change while the logger runs.
pub(crate) struct Limits {
    pub(crate) queue_capacity: usize,
    pub(crate) memory_bytes: usize,
    /// In spools that no sink takes over, when the logger started.
    pub(crate) unclaimed_bytes: u64,
}

impl LoggerMetrics {
    /// Registers everything, so that every series exists from the first scrape on.
    pub(crate) fn register(
        recorder: &dyn Recorder,
        logger: &str,
        limits: &Limits,
        sinks: &[SinkIdentity],
        name: NameGuard,
    ) -> (LoggerMetrics, Vec<SinkHistograms>) {
        describe(recorder);
        let on = Registrar { recorder, logger };
        let constant = |name, labels: &[(&'static str, &str)], value: f64| {
            let gauge = on.gauge(name, labels);
            gauge.set(value);
            gauge
        };
        let constants = [
            constant("logweir_queue_capacity", &[], limits.queue_capacity as f64),
            constant("logweir_memory_limit_bytes", &[], limits.memory_bytes as f64),
            constant("logweir_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ];
        let by_reason = |name, reason: DropReason| on.counter(name, &[("reason", reason.as_str())]);
        if sinks.iter().any(|sink| sink.has_spool) {
            // What is there stays there when the logger ends.
            drop(constant("logweir_spool_unclaimed_bytes", &[], limits.unclaimed_bytes as f64));
        }
        let meters = LoggerMetrics {
            accepted: Level::ALL.map(|level| on.counter("logweir_events_accepted_total", &[("level", level.as_str())])),
            refused: DropReason::REFUSED.map(|reason| by_reason("logweir_events_refused_total", reason)),
            evicted: DropReason::EVICTED.map(|reason| by_reason("logweir_events_evicted_total", reason)),
            truncated: on.counter("logweir_events_truncated_total", &[]),
            suppressed: on.counter("logweir_events_suppressed_total", &[]),
            sampled: on.counter("logweir_events_sampled_total", &[]),
            notices: on.counter("logweir_notices_total", &[]),
            queue_depth: on.gauge("logweir_queue_depth", &[]),
            queue_bytes: on.gauge("logweir_queue_bytes", &[]),
            constants,
            shutdown_seconds: on.gauge("logweir_shutdown_seconds", &[]),
            batch_events: on.histogram("logweir_batch_events", &[]),
            sinks: sinks.iter().map(|sink| SinkMetrics::register(&on, sink)).collect(),
            publication: Mutex::new(Publication { is_retired: false }),
            name: Mutex::new(Some(name)),
            is_failing: AtomicBool::new(false),
        };
        let sink_meters = sinks.iter().map(|sink| SinkHistograms {
            write_seconds: on.histogram("logweir_sink_write_seconds", &[("sink", &sink.name)]),
            delivery_lag: on.histogram("logweir_delivery_lag_seconds", &[("sink", &sink.name)]),
        });
        (meters, sink_meters.collect())
    }

    /// Waits for the turn to refresh.
    #[cfg(feature = "prometheus")]
    pub(crate) fn publication(&self) -> MutexGuard<'_, Publication> {
        self.publication.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn to refresh, if no other thread has it.
    pub(crate) fn try_publication(&self) -> Option<MutexGuard<'_, Publication>> {
        match self.publication.try_lock() {
            Ok(publication) => Some(publication),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Passes a snapshot of the counters to the recorder.
    pub(crate) fn refresh(&self, publication: &Publication, stats: &Stats, passed_by_level: &[u64; Level::ALL.len()]) {
        for (counter, count) in self.accepted.iter().zip(passed_by_level) {
            counter.publish(*count);
        }
        for (counter, reason) in self.refused.iter().zip(DropReason::REFUSED) {
            counter.publish(stats.refused.get(reason));
        }
        for (counter, reason) in self.evicted.iter().zip(DropReason::EVICTED) {
            counter.publish(stats.evicted.get(reason));
        }
        self.truncated.publish(stats.truncated);
        self.suppressed.publish(stats.suppressed);
        self.sampled.publish(stats.sampled);
        let of_links = |sink: &SinkStats| sink.fallbacks.iter().map(|link| link.notices).sum::<u64>();
        self.notices.publish(stats.sinks.iter().map(|sink| sink.notices + of_links(sink)).sum());
        self.sinks.iter().zip(&stats.sinks).for_each(|(sink, report)| sink.refresh_counters(report));
        if !publication.is_retired {
            self.queue_depth.set(stats.queued as f64);
            self.queue_bytes.set(stats.queued_bytes as f64);
            self.sinks.iter().zip(&stats.sinks).for_each(|(sink, report)| sink.refresh_gauges(report));
        }
    }

    /// Sets the gauges of a logger that has ended: those that describe its present state to 0. Those that describe its
    /// result, the unconfirmed events and the time of the shutdown, keep their last value.
    pub(crate) fn retire(&self, publication: &mut Publication, shutdown_seconds: f64) {
        publication.is_retired = true;
        self.shutdown_seconds.set(shutdown_seconds);
        let of_sinks =
            self.sinks.iter().flat_map(|sink| [&sink.breaker_state, &sink.backlog_events, &sink.backlog_bytes]);
        // What the spool has stays there: its gauges keep their last values.
        let gauges = [&self.queue_depth, &self.queue_bytes].into_iter().chain(&self.constants).chain(of_sinks);
        gauges.for_each(|gauge| gauge.set(0.0));
    }

    /// Lets another logger have the name on this recorder.
    pub(crate) fn release_name(&self) {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Returns whether to report how a call of the recorder ended: a panic, once until a call succeeds.
    pub(crate) fn is_new_failure(&self, is_panic: bool) -> bool {
        !self.is_failing.swap(is_panic, Ordering::Relaxed) && is_panic
    }
}

impl SinkMetrics {
    fn register(on: &Registrar<'_>, SinkIdentity { name: sink, has_spool }: &SinkIdentity) -> Self {
        SinkMetrics {
            delivered: on.counter("logweir_sink_events_delivered_total", &[("sink", sink)]),
            dropped: DropReason::PER_SINK.map(|reason| {
                on.counter("logweir_sink_events_dropped_total", &[("sink", sink), ("reason", reason.as_str())])
            }),
            fallback: on.counter("logweir_sink_events_fallback_total", &[("sink", sink)]),
            unconfirmed: on.gauge("logweir_sink_events_unconfirmed", &[("sink", sink)]),
            bytes: on.counter("logweir_sink_bytes_written_total", &[("sink", sink)]),
            errors: SinkErrorKind::ALL
                .map(|kind| on.counter("logweir_sink_errors_total", &[("sink", sink), ("kind", kind.as_str())])),
            retries: on.counter("logweir_sink_retries_total", &[("sink", sink)]),
            breaker_state: on.gauge("logweir_sink_breaker_state", &[("sink", sink)]),
            backlog_events: on.gauge("logweir_sink_backlog_events", &[("sink", sink)]),
            backlog_bytes: on.gauge("logweir_sink_backlog_bytes", &[("sink", sink)]),
            spool: has_spool.then(|| SpoolMetrics {
                recovered: on.counter("logweir_sink_spool_recovered_events_total", &[("sink", sink)]),
                bypassed: on.counter("logweir_sink_spool_bypassed_events_total", &[("sink", sink)]),
                corrupt: on.counter("logweir_sink_spool_corrupt_events_total", &[("sink", sink)]),
                events: on.gauge("logweir_sink_spool_events", &[("sink", sink)]),
                bytes: on.gauge("logweir_sink_spool_bytes", &[("sink", sink)]),
                oldest: on.gauge("logweir_sink_spool_oldest_seconds", &[("sink", sink)]),
            }),
        }
    }

    fn refresh_counters(&self, report: &SinkStats) {
        self.delivered.publish(report.delivered);
        for (counter, reason) in self.dropped.iter().zip(DropReason::PER_SINK) {
            counter.publish(report.dropped.get(reason));
        }
        self.fallback.publish(report.delivered_by_fallback);
        self.bytes.publish(report.written_bytes);
        for (counter, count) in self.errors.iter().zip(report.errors_by_kind) {
            counter.publish(count);
        }
        self.retries.publish(report.retries);
        if let Some(spool) = &self.spool {
            spool.recovered.publish(report.recovered);
            spool.bypassed.publish(report.spool_bypassed);
            spool.corrupt.publish(report.dropped.get(DropReason::SpoolCorrupt));
        }
    }

    fn refresh_gauges(&self, report: &SinkStats) {
        self.unconfirmed.set(report.unconfirmed as f64);
        self.breaker_state.set(match report.breaker {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        });
        self.backlog_events.set(report.backlog as f64);
        self.backlog_bytes.set(report.backlog_bytes as f64);
        if let Some(spool) = &self.spool {
            spool.events.set(report.spooled as f64);
            spool.bytes.set(report.spool_bytes as f64);
            spool.oldest.set(report.spool_age.map_or(0.0, |age| age.as_secs_f64()));
        }
    }
}
