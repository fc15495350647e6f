//! What a scrape shows, where it is served, and what it has in common with the report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod books;
mod hostile;
mod listener;
mod names;
mod recorder;
mod rendered;
mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use logweir::sink::MemorySink;
use logweir::sink::SinkErrorKind;
use logweir::{
    Batch, Builder, DropReason, Level, LevelFilter, Logger, ShutdownReport, Sink, SinkError, Stats, async_trait,
};

use crate::support::is_notice;

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
    for reason in ["overflow_newest", "memory", "shed", "closed", "task_failed"] {
        add("events_refused_total", format!(",reason=\"{reason}\""));
    }
    for reason in ["overflow_oldest", "memory"] {
        add("events_evicted_total", format!(",reason=\"{reason}\""));
    }
    for sink in sinks {
        for name in ["events_delivered", "events_fallback", "bytes_written", "retries"] {
            add(&format!("sink_{name}_total"), format!(",sink=\"{sink}\""));
        }
        for name in ["events_unconfirmed", "backlog_events", "backlog_bytes", "breaker_state"] {
            add(&format!("sink_{name}"), format!(",sink=\"{sink}\""));
        }
        let reasons = "backlog_full rejected sink_failed retries_exhausted breaker_open panicked deadline runtime_dropped spool_full spool_corrupt";
        for reason in reasons.split(' ') {
            add("sink_events_dropped_total", format!(",sink=\"{sink}\",reason=\"{reason}\""));
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
            ("events_delivered_total", sink.delivered),
            ("events_fallback_total", sink.delivered_by_fallback),
            ("events_unconfirmed", sink.unconfirmed),
            ("bytes_written_total", sink.written_bytes),
            ("backlog_events", sink.backlog),
            ("backlog_bytes", sink.backlog_bytes),
        ] {
            assert_eq!(of(&format!("logweir_sink_{metric}{{{labels}}}")), booked, "{metric} of {labels}");
        }
        for reason in DropReason::PER_SINK {
            let series = format!("logweir_sink_events_dropped_total{{{labels},reason=\"{reason}\"}}");
            assert_eq!(of(&series), sink.dropped.get(reason), "{series}");
        }
        for kind in SinkErrorKind::ALL {
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
