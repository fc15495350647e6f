//! What a scrape shows, where it is served, and what it has in common with the report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use logweir::sink::ErrorKind;
use logweir::sink::{MemorySink, NullSink};
use logweir::{
    Batch, Builder, DropReason, Level, LevelFilter, Logger, Pipeline, ShutdownReport, Sink, SinkError, Stats,
    async_trait, info, log,
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::runtime;

use crate::support::{is_notice, once};

const LONG: Duration = Duration::from_secs(60);
const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// One request; the status line, the head in lower case, and the body.
fn request(addr: SocketAddr, method: &str, path: &str) -> io::Result<(String, String, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LONG))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let (status, head) = head.split_once("\r\n").expect("a status line");
    Ok((status.to_owned(), head.to_lowercase(), body.to_owned()))
}

fn scrape(logger: &Logger) -> Page {
    let (status, head, body) = request(logger.prometheus_addr().unwrap(), "GET", "/metrics").unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    Page::parse(&body)
}

/// A scraped page: what each family is, and the value of each series.
struct Page {
    helps: BTreeSet<String>,
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn parse(body: &str) -> Self {
        let mut page = Page { helps: BTreeSet::new(), types: BTreeMap::new(), samples: BTreeMap::new() };
        for line in body.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help text");
                assert!(!text.is_empty() && page.helps.insert(name.to_owned()), "one help each: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none(), "one type each: {line}");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let value = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
                assert!(page.samples.insert(sorted(series), value).is_none(), "each series once: {line}");
            }
        }
        page
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.samples.get(&sorted(series));
        *value.unwrap_or_else(|| panic!("no series {series} in {:#?}", self.samples))
    }

    /// The family of a sample: for a histogram's parts, the histogram.
    fn family(&self, series: &str) -> String {
        let name = series.split('{').next().unwrap_or_default();
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        let histogram = parts.into_iter().find(|base| self.types.get(*base).is_some_and(|kind| kind == "histogram"));
        histogram.unwrap_or(name).to_owned()
    }
}

/// A series with its labels in the order of their names.
fn sorted(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let mut labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

/// Every counter and gauge of a logger with these sinks, and its histograms.
fn expected(logger: &str, sinks: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut series = BTreeSet::new();
    let mut add =
        |name: &str, labels: String| series.insert(sorted(&format!("logweir_{name}{{logger=\"{logger}\"{labels}}}")));
    for name in ["events_truncated_total", "events_suppressed_total", "events_sampled_total", "notices_total"] {
        add(name, String::new());
    }
    for name in ["queue_depth", "queue_capacity", "queue_bytes", "memory_limit_bytes", "shutdown_seconds"] {
        add(name, String::new());
    }
    add("build_info", format!(",version=\"{}\"", env!("CARGO_PKG_VERSION")));
    for level in ["trace", "debug", "info", "warn", "error", "fatal"] {
        add("events_accepted_total", format!(",level=\"{level}\""));
    }
    for reason in ["overflow_newest", "bytes", "shed", "closed", "worker_gone"] {
        add("events_refused_total", format!(",reason=\"{reason}\""));
    }
    for reason in ["overflow_oldest", "bytes"] {
        add("events_evicted_total", format!(",reason=\"{reason}\""));
    }
    for sink in sinks {
        for name in ["delivered_events", "fallback_events", "written_bytes", "retries"] {
            add(&format!("sink_{name}_total"), format!(",sink=\"{sink}\""));
        }
        for name in ["unconfirmed_events", "backlog_events", "backlog_bytes", "breaker_state"] {
            add(&format!("sink_{name}"), format!(",sink=\"{sink}\""));
        }
        let reasons = "backlog_full rejected sink_failed retries_exhausted breaker_open panicked deadline runtime_gone";
        for reason in reasons.split(' ') {
            add("sink_dropped_events_total", format!(",sink=\"{sink}\",reason=\"{reason}\""));
        }
        for kind in ["temporary", "rejected", "permanent", "timeout", "panic"] {
            add("sink_errors_total", format!(",sink=\"{sink}\",kind=\"{kind}\""));
        }
    }
    let mut histograms = BTreeSet::from([format!("logweir_batch_events_count{{logger=\"{logger}\"}}")]);
    for sink in sinks {
        for name in ["delivery_lag_seconds", "sink_write_seconds"] {
            histograms.insert(sorted(&format!("logweir_{name}_count{{logger=\"{logger}\",sink=\"{sink}\"}}")));
        }
    }
    (series, histograms)
}

/// Compares every counter and gauge of the page with the books.
fn agree(page: &Page, name: &str, stats: &Stats) {
    let of = |series: &str| page.value(series) as u64;
    for (reasons, drops, metric) in
        [(&DropReason::REFUSED[..], &stats.refused, "refused"), (&DropReason::EVICTED[..], &stats.evicted, "evicted")]
    {
        for reason in reasons {
            let series = format!("logweir_events_{metric}_total{{logger=\"{name}\",reason=\"{reason}\"}}");
            assert_eq!(of(&series), drops.get(*reason), "{series}");
        }
    }
    let levels = Level::ALL
        .map(|level| of(&format!("logweir_events_accepted_total{{logger=\"{name}\",level=\"{}\"}}", level.as_str())));
    assert_eq!(levels.iter().sum::<u64>(), stats.accepted - stats.queued, "counted as they leave the queue");
    assert_eq!(of(&format!("logweir_queue_depth{{logger=\"{name}\"}}")), stats.queued);
    assert_eq!(of(&format!("logweir_events_suppressed_total{{logger=\"{name}\"}}")), stats.suppressed);
    assert_eq!(of(&format!("logweir_events_sampled_total{{logger=\"{name}\"}}")), stats.sampled);
    assert_eq!(of(&format!("logweir_events_truncated_total{{logger=\"{name}\"}}")), stats.truncated);
    for sink in &stats.sinks {
        let labels = format!("logger=\"{name}\",sink=\"{}\"", sink.name);
        for (metric, booked) in [
            ("delivered_events_total", sink.delivered),
            ("fallback_events_total", sink.fallback),
            ("unconfirmed_events", sink.unconfirmed),
            ("written_bytes_total", sink.bytes),
            ("backlog_events", sink.backlog),
            ("backlog_bytes", sink.backlog_bytes),
        ] {
            assert_eq!(of(&format!("logweir_sink_{metric}{{{labels}}}")), booked, "{metric} of {labels}");
        }
        for reason in DropReason::PER_SINK {
            let series = format!("logweir_sink_dropped_events_total{{{labels},reason=\"{reason}\"}}");
            assert_eq!(of(&series), sink.dropped.get(reason), "{series}");
        }
        for kind in ErrorKind::ALL {
            let series = format!("logweir_sink_errors_total{{{labels},kind=\"{kind}\"}}");
            assert_eq!(of(&series), sink.errors_of(kind), "{series}");
        }
    }
}

/// Rejects, or fails, what it is told to by the message; says it wrote 10 bytes an event.
#[derive(Clone)]
struct Choosy {
    memory: MemorySink,
    bytes: u64,
}

#[async_trait]
impl Sink for Choosy {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        match batch.get(0).unwrap().message().to_string().as_str() {
            "reject" => return Err(SinkError::rejected("poison")),
            "fail" => return Err(SinkError::temporary("busy")),
            "break" => return Err(SinkError::permanent("gone")),
            "panic" => panic!("a bug in the sink"),
            "hang" => std::future::pending::<()>().await,
            _ => {}
        }
        if !is_notice(batch) {
            self.bytes += 10 * batch.len() as u64;
        }
        self.memory.write(batch).await
    }

    fn written_bytes(&self) -> u64 {
        self.bytes
    }
}

fn quiet(name: &str) -> Builder<'static> {
    Logger::builder()
        .name(name)
        .level(Level::Trace)
        .flush_interval(Duration::from_secs(3600))
        .flush_at(LevelFilter::Off)
}

fn end(logger: &Logger, sinks: &[(&str, &MemorySink)]) -> ShutdownReport {
    let report = logger.shutdown_blocking(LONG).unwrap();
    report.check().unwrap();
    for (name, memory) in sinks {
        let sink = report.sink(name).unwrap();
        assert_eq!(sink.delivered + sink.notices, memory.total(), "{report}");
    }
    report
}

#[test]
fn every_series_is_there_from_the_first_scrape_on_and_is_zero() {
    let builder = quiet("first").prometheus(ANY_PORT).sink("a", NullSink).sink("b", NullSink);
    let logger = builder.memory(32 << 20).queue_capacity(1000).lanes(2).start().unwrap();
    let page = scrape(&logger);
    let (series, histograms) = expected("first", &["a", "b"]);
    let plain = page.samples.keys().filter(|series| page.types[&page.family(series)] != "histogram");
    assert_eq!(plain.cloned().collect::<BTreeSet<_>>(), series);
    let counts = page.samples.keys().filter(|series| page.types[&page.family(series)] == "histogram");
    let counts = counts.filter(|series| series.contains("_count{")).cloned();
    assert_eq!(counts.collect::<BTreeSet<_>>(), histograms);
    for (series, value) in &page.samples {
        let constant = match series.split('{').next().unwrap() {
            "logweir_queue_capacity" => 2000.0,
            "logweir_memory_limit_bytes" => f64::from(32 << 20),
            "logweir_build_info" => 1.0,
            _ => 0.0,
        };
        assert_eq!(*value, constant, "{series}");
    }
    end(&logger, &[]).check().unwrap();
}

#[test]
fn every_sample_has_help_and_type_and_histograms_have_buckets() {
    let memory = MemorySink::new();
    let logger = quiet("types").prometheus(ANY_PORT).sink("memory", memory.clone()).start().unwrap();
    info!(logger: logger, "x");
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let page = scrape(&logger);
    for series in page.samples.keys() {
        let family = page.family(series);
        assert!(page.helps.contains(&family), "{series} has no help");
        let kind = &page.types[&family][..];
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{series} is a {kind}");
        assert_eq!(kind == "counter", family.ends_with("_total"), "{series} is a {kind}");
        if kind == "histogram" {
            let labels = series.split_once('{').unwrap().1.trim_end_matches('}');
            let labels: Vec<_> = labels.split(',').filter(|label| !label.starts_with("le=")).collect();
            let buckets: Vec<_> = page
                .samples
                .iter()
                .filter(|(other, _)| other.starts_with(&format!("{family}_bucket{{")))
                .filter(|(other, _)| labels.iter().all(|label| other.contains(label)))
                .collect();
            assert!(buckets.len() > 5, "{series}: {buckets:?}");
            let infinite = buckets.iter().find(|(series, _)| series.contains("le=\"+Inf\"")).unwrap();
            assert_eq!(*infinite.1, page.value(&format!("{family}_count{{{}}}", labels.join(","))), "{series}");
        }
    }
    assert_eq!(page.value("logweir_batch_events_sum{logger=\"types\"}"), 1.0);
    for name in ["delivery_lag_seconds", "sink_write_seconds"] {
        assert_eq!(page.value(&format!("logweir_{name}_count{{logger=\"types\",sink=\"memory\"}}")), 1.0);
    }
    end(&logger, &[("memory", &memory)]).check().unwrap();
}

#[test]
fn a_scrape_agrees_with_the_books_after_every_kind_of_work() {
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let memory = MemorySink::new();
    let builder = quiet("work").on_error(|_| {}).prometheus(ANY_PORT).lanes(1).max_event_bytes(256);
    let logger = builder
        .sink("choosy", once(choosy.clone()).timeout(Duration::from_millis(50)))
        .sink("warnings", Pipeline::to(memory.clone()).level(Level::Warn))
        .start()
        .unwrap();
    for what in ["reject", "fail", "break", "panic", "hang", "fine"] {
        for level in Level::ALL {
            log!(level, logger: logger, "{what}", what);
        }
        assert!(logger.flush_blocking(LONG).unwrap().complete);
    }
    let long = "x".repeat(1000);
    for _ in 0..5 {
        info!(logger: logger, target: "t", every: 5, "long", long);
    }
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.accepted, stats.truncated, stats.sampled), (37, 1, 4));
    let sink = &stats.sinks[0];
    assert_eq!((sink.delivered, sink.unconfirmed, sink.bytes), (7, 6, 70));
    for reason in [DropReason::Rejected, DropReason::RetriesExhausted, DropReason::SinkFailed, DropReason::Panicked] {
        assert_eq!(sink.dropped.get(reason), 6, "{reason}");
    }
    // What is rejected, or panics, is searched by halves: all six, three, one, two, one, one; then it is clear.
    for (kind, errors) in ErrorKind::ALL.into_iter().zip([1, 6, 1, 1, 6]) {
        assert_eq!(sink.errors_of(kind), errors, "{kind}: {sink:?}");
    }
    assert_eq!((stats.sinks[1].delivered, stats.sinks[1].filtered), (18, 19));
    let page = scrape(&logger);
    agree(&page, "work", &stats);
    for level in Level::ALL {
        let series = format!("logweir_events_accepted_total{{logger=\"work\",level=\"{}\"}}", level.as_str());
        assert_eq!(page.value(&series), if level == Level::Info { 7.0 } else { 6.0 }, "{series}");
    }
    let report = end(&logger, &[("choosy", &choosy.memory), ("warnings", &memory)]);
    assert_eq!((report.accepted, report.sinks[0].delivered), (37, 7));
}

#[test]
fn two_loggers_of_one_process_are_both_scraped_each_on_its_port() {
    let loggers = ["one", "two"].map(|name| {
        let memory = MemorySink::new();
        let logger = quiet(name).prometheus(ANY_PORT).sink("memory", memory.clone()).start().unwrap();
        (name, logger, memory)
    });
    for (count, (_, logger, _)) in (1..).zip(&loggers) {
        (0..count * 10).for_each(|_| info!(logger: logger, "x"));
        assert!(logger.flush_blocking(LONG).unwrap().complete);
    }
    assert_ne!(loggers[0].1.prometheus_addr(), loggers[1].1.prometheus_addr());
    for (count, (name, logger, memory)) in (1..).zip(&loggers) {
        let page = scrape(logger);
        agree(&page, name, &logger.stats());
        let delivered =
            page.value(&format!("logweir_sink_delivered_events_total{{logger=\"{name}\",sink=\"memory\"}}"));
        assert_eq!(delivered, f64::from(count * 10));
        let ours = format!("logger=\"{name}\"");
        assert!(page.samples.keys().all(|series| series.contains(&ours)), "nothing of the other one");
        assert_eq!(end(logger, &[("memory", memory)]).accepted, count as u64 * 10);
    }
}

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
        (name, quiet(name).metrics(&recorder).sink("memory", memory.clone()).start().unwrap(), memory)
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

/// A recorder that logs each time a counter is set.
struct Loud(Arc<OnceLock<Logger>>);

impl metrics::CounterFn for Loud {
    fn increment(&self, _: u64) {}
    fn absolute(&self, _: u64) {
        if let Some(logger) = self.0.get() {
            info!(logger: logger, "a counter was set");
        }
    }
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
    let builder = Logger::builder().flush_interval(Duration::from_millis(100)).metrics(&loud);
    let logger = builder.sink("memory", memory.clone()).start_on(&runtime::Handle::current()).unwrap();
    assert!(loud.0.set(logger.clone()).is_ok());
    info!(logger: logger, "one");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stats = logger.stats();
    stats.check().unwrap();
    assert_eq!((stats.emitted, memory.total()), (1, 1));
    assert!(stats.suppressed > 100, "each second, each counter: {}", stats.suppressed);
    let report = logger.shutdown(LONG).await;
    report.check().unwrap();
    assert_eq!((report.emitted, report.sinks[0].delivered), (1, memory.total()));
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let addr = taken.local_addr().unwrap();
    let error = quiet("late").prometheus(addr).sink("null", NullSink).start().unwrap_err();
    assert_eq!(error.knob(), Some("prometheus"));
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::AddrInUse));
}

#[test]
fn the_port_is_free_again_when_the_shutdown_has_returned() {
    let mut addr = SocketAddr::from(ANY_PORT);
    for _ in 0..10 {
        let logger = quiet("again").prometheus(addr).sink("null", NullSink).start().unwrap();
        addr = logger.prometheus_addr().unwrap();
        assert_ne!(addr.port(), 0);
        drop(scrape(&logger));
        end(&logger, &[]).check().unwrap();
        let refused = TcpStream::connect(addr).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_listener_answers_only_what_it_is_for() {
    let logger = quiet("http").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let status = |method, path| request(addr, method, path).unwrap();
    for path in ["/", "/metrics/", "/favicon.ico"] {
        assert_eq!(status("GET", path).0, "HTTP/1.1 404 Not Found", "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let (status, head, _) = status(method, "/metrics");
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    let (head, _, body) = status("HEAD", "/metrics");
    assert_eq!((head.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(status("GET", "/metrics?name=x").0, "HTTP/1.1 200 OK");
    end(&logger, &[]).check().unwrap();
}

#[test]
fn connections_that_say_nothing_do_not_hold_up_a_scrape_or_the_shutdown() {
    let logger = quiet("idle").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let addr = logger.prometheus_addr().unwrap();
    let idle: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    drop(scrape(&logger));
    let report = end(&logger, &[]);
    assert!(!report.timed_out && report.elapsed < LONG / 2);
    drop(idle);
}

#[test]
fn a_scrape_while_a_sink_hangs_shows_the_backlog() {
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let builder = quiet("stuck").prometheus(ANY_PORT).on_error(|_| {}).lanes(1).batch_size(1);
    let logger = builder.sink("stuck", Pipeline::to(choosy.clone()).timeout(10 * LONG)).start().unwrap();
    (0..5).for_each(|_| info!(logger: logger, "hang"));
    let pending = |sink: &logweir::stats::SinkFlush| sink.pending;
    while logger.flush_blocking(Duration::from_millis(10)).unwrap().sinks.iter().map(pending).sum::<u64>() < 5 {}
    while logger.stats().sinks[0].in_flight == 0 {
        std::thread::yield_now();
    }
    let page = scrape(&logger);
    assert_eq!(page.value("logweir_sink_backlog_events{logger=\"stuck\",sink=\"stuck\"}"), 4.0);
    agree(&page, "stuck", &logger.stats());
    let report = logger.shutdown_blocking(Duration::ZERO).unwrap();
    report.check().unwrap();
    let sink = &report.sinks[0];
    assert_eq!((sink.delivered, sink.unconfirmed, sink.dropped.get(DropReason::Deadline)), (0, 1, 4));
    assert_eq!(choosy.memory.total(), 0);
}

#[test]
fn both_recorders_at_once_are_refused() {
    let recorder = DebuggingRecorder::new();
    let error = quiet("two").prometheus(ANY_PORT).metrics(&recorder).sink("null", NullSink).start().unwrap_err();
    assert_eq!(error.knob(), Some("metrics"));
}

#[test]
fn a_runtime_without_io_is_refused_for_the_listener() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let builder = quiet("no io").prometheus(ANY_PORT).sink("null", NullSink);
    let error = builder.start_on(runtime.handle()).unwrap_err();
    assert_eq!(error.knob(), Some("start_on"));
    assert!(error.to_string().contains("enable_io"), "{error}");
    // Timers are enough for a logger without it.
    let logger = quiet("time").sink("null", NullSink).start_on(runtime.handle()).unwrap();
    info!(logger: logger, "x");
    let report = runtime.block_on(logger.shutdown(LONG));
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered, report.timed_out), (1, false));
}

#[test]
fn a_logger_on_a_runtime_of_the_users_is_scraped_too() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let memory = MemorySink::new();
    let builder = quiet("guest").prometheus(ANY_PORT).sink("memory", memory.clone());
    let logger = builder.start_on(runtime.handle()).unwrap();
    (0..3).for_each(|_| info!(logger: logger, "x"));
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    agree(&scrape(&logger), "guest", &logger.stats());
    let addr = logger.prometheus_addr().unwrap();
    assert_eq!(end(&logger, &[("memory", &memory)]).accepted, 3);
    assert!(TcpStream::connect(addr).is_err(), "closed with the logger, not with the runtime");
}

#[cfg(feature = "serde")]
#[test]
fn stats_and_reports_are_the_same_numbers_as_json() {
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let logger = quiet("json").on_error(|_| {}).lanes(1).sink("choosy", choosy.clone()).start().unwrap();
    for what in ["reject", "fine"] {
        info!(logger: logger, "{what}", what);
        assert!(logger.flush_blocking(LONG).unwrap().complete);
    }
    let stats = logger.stats();
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&stats).unwrap()).unwrap();
    assert_eq!((json["emitted"].as_u64(), json["queued"].as_u64()), (Some(stats.emitted), Some(0)));
    let flushed = serde_json::to_value(logger.flush_blocking(LONG).unwrap()).unwrap();
    assert_eq!((flushed["complete"].as_bool(), flushed["queued"].as_u64()), (Some(true), Some(0)));
    let report = end(&logger, &[("choosy", &choosy.memory)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["logger"], "json");
    for (key, value) in [("emitted", 2), ("accepted", 2), ("dispatched", 2), ("truncated", 0), ("failed_hooks", 0)] {
        assert_eq!(json[key].as_u64(), Some(value), "{key}: {json}");
    }
    assert_eq!((json["timed_out"].as_bool(), &json["refused"]), (Some(false), &serde_json::json!({})));
    let sink = &json["sinks"][0];
    assert_eq!(sink["dropped"], serde_json::json!({ "rejected": 1 }));
    assert_eq!(
        (sink["delivered"].as_u64(), sink["bytes"].as_u64(), sink["errors"].as_u64()),
        (Some(1), Some(10), Some(1))
    );
    assert_eq!((&sink["last_error"]["kind"], sink["name"].as_str()), (&serde_json::json!("rejected"), Some("choosy")));
}
