//! Loggers that share a recorder: one after the other under one name, or at the same time under different names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use logweir::error::Diagnostic;
use logweir::sink::{FileSink, MemorySink, NullSink};
use logweir::{Logger, info};
use metrics::{Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::runtime;

use super::{ANY_PORT, Choosy, LONG, Page, end, quiet};

/// A recorder of the user's. The debugging recorder would forget its counts at each snapshot.
fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

fn page(recorder: &PrometheusRecorder) -> Page {
    Page::parse(&recorder.handle().render())
}

#[test]
fn counters_continue_when_a_logger_follows_another_of_its_name_on_one_recorder() {
    let recorder = self::recorder();
    // The handles live on: what counts is that their logger has ended.
    let mut ended: Vec<Logger> = Vec::new();
    let mut total = 0;
    for count in [1000, 10, 0, 3000] {
        let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
        let builder = quiet("again").on_error(|_| {}).metrics_recorder(&recorder);
        let logger = builder.sink("choosy", choosy.clone()).start().unwrap();
        let page = self::page(&recorder);
        assert!(page.value("logweir_queue_capacity{logger=\"again\"}") > 0.0);
        assert_eq!(page.value("logweir_shutdown_seconds{logger=\"again\"}"), 0.0);
        (0..count).for_each(|_| info!(logger: logger, "fine"));
        total += end(&logger, &[("choosy", &choosy.memory)]).accepted;
        ended.push(logger);

        let page = self::page(&recorder);
        let value = |series: &str| page.value(&format!("logweir_{series}"));
        assert_eq!(value("events_accepted_total{logger=\"again\",level=\"info\"}"), total as f64);
        assert_eq!(value("sink_events_delivered_total{logger=\"again\",sink=\"choosy\"}"), total as f64);
        assert_eq!(value("sink_bytes_written_total{logger=\"again\",sink=\"choosy\"}"), 10.0 * total as f64);
        // The state of a logger that has ended.
        assert_eq!(value("queue_depth{logger=\"again\"}") + value("queue_capacity{logger=\"again\"}"), 0.0);
        assert_eq!(value(&format!("build_info{{logger=\"again\",version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 0.0);
        assert!(value("shutdown_seconds{logger=\"again\"}") > 0.0);
    }
    assert_eq!(total, 4010);
}

#[test]
fn a_second_running_logger_of_one_name_on_one_recorder_is_refused_and_changes_nothing() {
    let recorder = self::recorder();
    let start = || quiet("twin").metrics_recorder(&recorder).sink("null", NullSink).start();
    let first = start().unwrap();
    (0..3).for_each(|_| info!(logger: first, "x"));
    let before = page(&recorder).samples;
    let error = quiet("twin").metrics_recorder(&recorder).sink("null", NullSink).start().unwrap_err();
    assert_eq!(error.option(), Some("name"));
    let said = error.to_string();
    let here = concat!(file!(), ":");
    assert!(said.contains("`twin`") && said.matches(here).count() == 2, "{said}");
    assert_eq!(page(&recorder).samples, before);
    // Neither another name nor another recorder is in the way, nor is a recorder of the logger's own or none at all.
    let other = PrometheusBuilder::new().build_recorder();
    for beside in [
        quiet("sister").metrics_recorder(&recorder).sink("null", NullSink).start().unwrap(),
        quiet("twin").metrics_recorder(&other).sink("null", NullSink).start().unwrap(),
        quiet("twin").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap(),
        quiet("twin").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap(),
        quiet("twin").sink("null", NullSink).start().unwrap(),
        quiet("twin").sink("null", NullSink).start().unwrap(),
    ] {
        end(&beside, &[]).check().unwrap();
    }
    assert_eq!(end(&first, &[]).accepted, 3);
    end(&start().unwrap(), &[]).check().unwrap();
}

#[test]
fn a_name_is_free_again_however_its_logger_ended_or_did_not_start() {
    let recorder = self::recorder();
    let quiet = || quiet("phoenix").on_error(|_| {}).metrics_recorder(&recorder);
    let missing = FileSink::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml/no/folder"));
    assert_eq!(quiet().sink("file", missing).start().unwrap_err().option(), Some("sink"));
    // Its runtime is dropped.
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let dropped = quiet().sink("null", NullSink).start_on(runtime.handle()).unwrap();
    drop(runtime);
    // Its last handle is dropped: it ends in the background.
    let logger = quiet().sink("null", NullSink).start().unwrap();
    drop((dropped, logger));
    let until = Instant::now() + LONG;
    let logger = loop {
        match quiet().sink("null", NullSink).start() {
            Ok(logger) => break logger,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    // Its sink hangs at the deadline.
    end(&logger, &[]).check().unwrap();
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let logger = quiet().sink("choosy", choosy).start().unwrap();
    info!(logger: logger, "hang");
    assert!(logger.shutdown_blocking(Duration::from_millis(10)).unwrap().timed_out);
    end(&quiet().sink("null", NullSink).start().unwrap(), &[]).check().unwrap();
}

#[test]
fn unnamed_loggers_on_one_recorder_have_names_of_their_own() {
    let recorder = self::recorder();
    let start = |name: Option<String>| {
        let builder = Logger::builder().metrics_recorder(&recorder).sink("null", NullSink);
        name.iter().fold(builder, |builder, name| builder.name(name)).start().unwrap()
    };
    let first = start(None);
    let number: usize = first.stats().logger.strip_prefix("logweir-").map_or(1, |number| number.parse().unwrap());
    // Names as the next unnamed loggers would have them.
    let given: Vec<_> = (number + 1..number + 20).map(|number| start(Some(format!("logweir-{number}")))).collect();
    let unnamed: Vec<_> = (0..5).map(|_| start(None)).collect();
    let loggers = || std::iter::once(&first).chain(&given).chain(&unnamed);
    let mut names: Vec<_> = loggers().map(|logger| logger.stats().logger).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    loggers().for_each(|logger| end(logger, &[]).check().unwrap());
}

/// A recorder with a bug: its gauge for the depth of the queue panics, or hangs until the test lets it return.
#[derive(Clone)]
struct Buggy {
    calls: Arc<AtomicUsize>,
    hangs: Option<Arc<Mutex<Receiver<()>>>>,
}

impl Buggy {
    fn panics() -> Self {
        Buggy { calls: Arc::default(), hangs: None }
    }

    fn hangs() -> (Self, Sender<()>) {
        let (release, hang) = channel();
        (Buggy { calls: Arc::default(), hangs: Some(Arc::new(Mutex::new(hang))) }, release)
    }
}

impl GaugeFn for Buggy {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, _: f64) {
        // The first call is that of `start`.
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return;
        }
        match &self.hangs {
            // An error says that the test is over.
            Some(hang) => hang.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap_or_default(),
            None => panic!("scripted"),
        }
    }
}

impl Recorder for Buggy {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == "logweir_queue_depth" { Gauge::from_arc(Arc::new(self.clone())) } else { Gauge::noop() }
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_at_every_refresh_is_reported_once_and_the_logger_continues() {
    let reports = Arc::new(AtomicUsize::new(0));
    let reported = reports.clone();
    let (buggy, memory) = (Buggy::panics(), MemorySink::new());
    let builder = Logger::builder().metrics_recorder(&buggy).on_error(move |error| {
        assert!(matches!(error, Diagnostic::CallbackPanicked { callback: "metrics recorder" }), "{error}");
        reported.fetch_add(1, Ordering::Relaxed);
    });
    let logger = builder.sink("memory", memory.clone()).start_on(&runtime::Handle::current()).unwrap();
    for second in 0..10 {
        info!(logger: logger, "x", second);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(buggy.calls.load(Ordering::Relaxed) > 5, "refreshed each second");
    let report = logger.shutdown(LONG).await;
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, memory.total()), (10, 10));
    assert_eq!(reports.load(Ordering::Relaxed), 1);
}

#[test]
fn a_recorder_that_hangs_holds_up_no_shutdown() {
    let (buggy, release) = Buggy::hangs();
    let builder = Logger::builder().name("hung").metrics_recorder(&buggy).on_error(|_| {});
    let logger = builder.flush_interval(Duration::from_millis(1)).sink("null", NullSink).start().unwrap();
    let until = Instant::now() + LONG;
    while buggy.calls.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < until, "it is refreshed each second");
        std::thread::yield_now();
    }
    let report = logger.shutdown_blocking(Duration::from_millis(100)).unwrap();
    assert!(report.timed_out && report.elapsed < Duration::from_secs(1), "{report}");
    drop(release);
}
