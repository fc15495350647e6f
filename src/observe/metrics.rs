//! The flush task: refreshes the metrics, as does each scrape. `start()` registers them; no caller's thread runs this
//! code.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder};

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

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        let counter = self.recorder.register_counter(&self.key(name, labels), &METADATA);
        // A series that appears only with its first loss hides that loss from `rate()`.
        counter.absolute(0);
        counter
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

/// Passes the descriptions of the metrics, the `# HELP` texts, to the recorder.
fn describe(recorder: &dyn Recorder) {
    let counters: [(&'static str, &'static str); 13] = [
        ("logweir_events_accepted_total", "Events accepted, counted when they leave the queue."),
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
    ];
    for (name, help) in counters {
        recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
    }
    let gauges: [(&'static str, &'static str); 10] = [
        ("logweir_queue_depth", "Events in the queue."),
        ("logweir_queue_capacity", "Events the queue holds at the most."),
        ("logweir_queue_bytes", "Heap bytes of queued events and living contexts."),
        ("logweir_memory_limit_bytes", "The memory budget."),
        ("logweir_sink_events_unconfirmed", "Events whose write was given up without an answer."),
        ("logweir_sink_backlog_events", "Events waiting for the sink."),
        ("logweir_sink_backlog_bytes", "Memory pinned by events waiting for the sink or being written."),
        ("logweir_sink_breaker_state", "The sink's circuit breaker: 0 closed, 1 half-open, 2 open."),
        ("logweir_shutdown_seconds", "How long the shutdown took; 0 before."),
        ("logweir_build_info", "1; the label says which version runs."),
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
    accepted: [Counter; Level::ALL.len()],
    refused: [Counter; DropReason::REFUSED.len()],
    evicted: [Counter; DropReason::EVICTED.len()],
    truncated: Counter,
    suppressed: Counter,
    sampled: Counter,
    notices: Counter,
    queue_depth: Gauge,
    queue_bytes: Gauge,
    shutdown_seconds: Gauge,
    pub(crate) batch_events: Histogram,
    sinks: Vec<SinkMetrics>,
}

/// The histograms of one sink, recorded as its writes end.
pub(crate) struct SinkHistograms {
    pub(crate) write_seconds: Histogram,
    pub(crate) delivery_lag: Histogram,
}

struct SinkMetrics {
    delivered: Counter,
    dropped: [Counter; DropReason::PER_SINK.len()],
    fallback: Counter,
    unconfirmed: Gauge,
    bytes: Counter,
    errors: [Counter; SinkErrorKind::ALL.len()],
    retries: Counter,
    breaker_state: Gauge,
    backlog_events: Gauge,
    backlog_bytes: Gauge,
}

/// Values that do not change while the logger runs.
pub(crate) struct Limits {
    pub(crate) queue_capacity: usize,
    pub(crate) memory_bytes: usize,
}

impl LoggerMetrics {
    /// Registers everything, so that every series exists from the first scrape on.
    pub(crate) fn register(
        recorder: &dyn Recorder,
        logger: &str,
        limits: &Limits,
        sinks: &[String],
    ) -> (LoggerMetrics, Vec<SinkHistograms>) {
        describe(recorder);
        let on = Registrar { recorder, logger };
        on.gauge("logweir_queue_capacity", &[]).set(limits.queue_capacity as f64);
        on.gauge("logweir_memory_limit_bytes", &[]).set(limits.memory_bytes as f64);
        on.gauge("logweir_build_info", &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        let by_reason = |name, reason: DropReason| on.counter(name, &[("reason", reason.as_str())]);
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
            shutdown_seconds: on.gauge("logweir_shutdown_seconds", &[]),
            batch_events: on.histogram("logweir_batch_events", &[]),
            sinks: sinks.iter().map(|sink| SinkMetrics::register(&on, sink)).collect(),
        };
        let sink_meters = sinks.iter().map(|sink| SinkHistograms {
            write_seconds: on.histogram("logweir_sink_write_seconds", &[("sink", sink)]),
            delivery_lag: on.histogram("logweir_delivery_lag_seconds", &[("sink", sink)]),
        });
        (meters, sink_meters.collect())
    }

    /// Sets every counter and gauge to a snapshot of the counters.
    pub(crate) fn refresh(&self, stats: &Stats, passed_by_level: &[u64; Level::ALL.len()]) {
        for (counter, count) in self.accepted.iter().zip(passed_by_level) {
            counter.absolute(*count);
        }
        for (counter, reason) in self.refused.iter().zip(DropReason::REFUSED) {
            counter.absolute(stats.refused.get(reason));
        }
        for (counter, reason) in self.evicted.iter().zip(DropReason::EVICTED) {
            counter.absolute(stats.evicted.get(reason));
        }
        self.truncated.absolute(stats.truncated);
        self.suppressed.absolute(stats.suppressed);
        self.sampled.absolute(stats.sampled);
        let of_links = |sink: &SinkStats| sink.fallbacks.iter().map(|link| link.notices).sum::<u64>();
        self.notices.absolute(stats.sinks.iter().map(|sink| sink.notices + of_links(sink)).sum());
        self.queue_depth.set(stats.queued as f64);
        self.queue_bytes.set(stats.queued_bytes as f64);
        for (counts, report) in self.sinks.iter().zip(&stats.sinks) {
            counts.refresh(report);
        }
    }

    pub(crate) fn record_shutdown(&self, seconds: f64) {
        self.shutdown_seconds.set(seconds);
    }
}

impl SinkMetrics {
    fn register(on: &Registrar<'_>, sink: &str) -> Self {
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
        }
    }

    fn refresh(&self, report: &SinkStats) {
        self.delivered.absolute(report.delivered);
        for (counter, reason) in self.dropped.iter().zip(DropReason::PER_SINK) {
            counter.absolute(report.dropped.get(reason));
        }
        self.fallback.absolute(report.delivered_by_fallback);
        self.unconfirmed.set(report.unconfirmed as f64);
        self.bytes.absolute(report.written_bytes);
        for (counter, count) in self.errors.iter().zip(report.errors_by_kind) {
            counter.absolute(count);
        }
        self.retries.absolute(report.retries);
        self.breaker_state.set(match report.breaker {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        });
        self.backlog_events.set(report.backlog as f64);
        self.backlog_bytes.set(report.backlog_bytes as f64);
    }
}
