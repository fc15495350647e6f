//! Recorders of the user's, and the one that is installed globally.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use logweir::sink::{MemorySink, NullSink};
use logweir::{Logger, info};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::runtime;

use super::{ANY_PORT, LONG, Page, agree, end, expected, quiet, sorted};

/// The values of a recorder's counters and gauges by series.
fn snapshot(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let metrics = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let (_, key) = key.into_parts();
        let labels: Vec<_> = key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => return None,
        };
        Some((sorted(&format!("{}{{{}}}", key.name(), labels.join(","))), value))
    });
    metrics.collect()
}

#[test]
fn the_label_logger_tells_two_loggers_on_one_recorder_of_the_users_apart() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let loggers = ["left", "right"].map(|name| {
        let memory = MemorySink::new();
        (name, quiet(name).metrics_recorder(&recorder).sink("memory", memory.clone()).start().unwrap(), memory)
    });
    for (count, (_, logger, _)) in (1..).zip(&loggers) {
        (0..count).for_each(|_| info!(logger: logger, "x"));
    }
    let reports: Vec<_> = loggers.iter().map(|(_, logger, memory)| end(logger, &[("memory", memory)])).collect();
    let values = snapshot(&snapshotter);
    for (count, ((name, logger, _), report)) in (1..).zip(loggers.iter().zip(&reports)) {
        assert_eq!(report.accepted, count);
        let page = Page { helps: BTreeSet::new(), types: BTreeMap::new(), samples: values.clone() };
        agree(&page, name, &logger.stats());
        assert!(page.value(&format!("logweir_shutdown_seconds{{logger=\"{name}\"}}")) > 0.0);
        assert_eq!(logger.prometheus_addr(), None);
    }
}

#[test]
fn nothing_global_is_touched() {
    let logger = quiet("alone").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let recorder = DebuggingRecorder::new();
    // A recorder of this thread's shows what `start` would register on the one that is there.
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!("mine").increment(1);
        let own = quiet("own").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
        end(&own, &[]).check().unwrap();
    });
    let seen = snapshotter.snapshot().into_vec();
    assert_eq!(seen.len(), 1, "{seen:?}");
    end(&logger, &[]).check().unwrap();
}

#[test]
fn without_a_recorder_of_its_own_a_logger_registers_on_the_one_that_is_there() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let logger = metrics::with_local_recorder(&recorder, || quiet("found").sink("null", NullSink).start().unwrap());
    info!(logger: logger, "x");
    assert_eq!(end(&logger, &[]).accepted, 1);
    let values = snapshot(&snapshotter);
    assert_eq!(values[&sorted("logweir_events_accepted_total{logger=\"found\",level=\"info\"}")], 1.0);
    let (series, _) = expected("found", &["null"]);
    assert_eq!(values.into_keys().collect::<BTreeSet<_>>(), series);
}

/// A recorder that logs each time a counter is refreshed.
struct Loud(Arc<OnceLock<Logger>>);

impl metrics::CounterFn for Loud {
    fn increment(&self, _: u64) {
        if let Some(logger) = self.0.get() {
            info!(logger: logger, "a counter was refreshed");
        }
    }
    fn absolute(&self, _: u64) {}
}

impl metrics::Recorder for Loud {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Loud(self.0.clone())))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_recorder_logs_as_the_flush_task_brings_it_up_to_date_does_not_enter() {
    let memory = MemorySink::new();
    let loud = Loud(Arc::default());
    let builder = Logger::builder().flush_interval(Duration::from_millis(100)).metrics_recorder(&loud);
    let logger = builder.sink("memory", memory.clone()).start_on(&runtime::Handle::current()).unwrap();
    assert!(loud.0.set(logger.clone()).is_ok());
    for second in 0..10 {
        info!(logger: logger, "one", second);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, memory.total()), (10, 10));
    assert!(stats.suppressed > 100, "each second, each counter: {}", stats.suppressed);
    let report = logger.shutdown(LONG).await;
    report.check().unwrap();
    assert_eq!((report.emitted, report.sinks[0].delivered), (10, memory.total()));
}

#[test]
fn both_recorders_at_once_are_refused() {
    let recorder = DebuggingRecorder::new();
    let error =
        quiet("two").prometheus(ANY_PORT).metrics_recorder(&recorder).sink("null", NullSink).start().unwrap_err();
    assert_eq!(error.option(), Some("metrics_recorder"));
}
