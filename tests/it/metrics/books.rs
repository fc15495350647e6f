//! A scrape and the report have the same numbers.

use std::time::Duration;

use logweir::sink::MemorySink;
use logweir::sink::SinkErrorKind;
use logweir::{DropReason, Level, Pipeline, info, log};

use crate::support::once;

use super::{ANY_PORT, Choosy, LONG, agree, end, quiet, scrape};

#[test]
fn a_scrape_agrees_with_the_books_after_every_kind_of_work() {
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let memory = MemorySink::new();
    let builder = quiet("work").on_error(|_| {}).prometheus(ANY_PORT).lanes(1).max_event_bytes(256);
    let logger = builder
        .sink("choosy", once(choosy.clone()).timeout(Duration::from_millis(50)))
        .sink("warnings", Pipeline::new(memory.clone()).level(Level::Warn))
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
    assert_eq!((sink.delivered, sink.unconfirmed, sink.written_bytes), (7, 6, 70));
    for reason in [DropReason::Rejected, DropReason::RetriesExhausted, DropReason::SinkFailed, DropReason::Panicked] {
        assert_eq!(sink.dropped.get(reason), 6, "{reason}");
    }
    // What is rejected, or panics, is searched by halves: all six, three, one, two, one, one; then it is clear.
    for (kind, errors) in SinkErrorKind::ALL.into_iter().zip([1, 6, 1, 1, 6]) {
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
            page.value(&format!("logweir_sink_events_delivered_total{{logger=\"{name}\",sink=\"memory\"}}"));
        assert_eq!(delivered, f64::from(count * 10));
        let ours = format!("logger=\"{name}\"");
        assert!(page.samples.keys().all(|series| series.contains(&ours)), "nothing of the other one");
        assert_eq!(end(logger, &[("memory", memory)]).accepted, count as u64 * 10);
    }
}

#[test]
fn a_scrape_while_a_sink_hangs_shows_the_backlog() {
    let choosy = Choosy { memory: MemorySink::new(), bytes: 0 };
    let builder = quiet("stuck").prometheus(ANY_PORT).on_error(|_| {}).lanes(1).batch_size(1);
    let logger = builder.sink("stuck", Pipeline::new(choosy.clone()).timeout(10 * LONG)).start().unwrap();
    (0..5).for_each(|_| info!(logger: logger, "hang"));
    let pending = |sink: &logweir::stats::SinkFlushReport| sink.pending;
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
        (sink["delivered"].as_u64(), sink["written_bytes"].as_u64(), sink["errors"].as_u64()),
        (Some(1), Some(10), Some(1))
    );
    assert_eq!((&sink["last_error"]["kind"], sink["name"].as_str()), (&serde_json::json!("rejected"), Some("choosy")));
    // Seconds are numbers, kinds are keys, moments are text.
    assert_eq!(sink["errors_by_kind"], serde_json::json!({ "rejected": 1 }));
    let book = &report.sinks[0];
    for (key, time) in [
        ("write_p50_seconds", book.write_p50),
        ("write_p95_seconds", book.write_p95),
        ("write_p99_seconds", book.write_p99),
    ] {
        assert_eq!(sink[key].as_f64(), time.map(|time| time.as_secs_f64()), "{key}: {sink}");
    }
    assert_eq!(json["elapsed_seconds"].as_f64(), Some(report.elapsed.as_secs_f64()));
    assert!(flushed["elapsed_seconds"].is_f64(), "{flushed}");
    let at = sink["last_error"]["at"].as_str().unwrap();
    assert!(is_rfc_3339(at), "{at}");
    let stopped = serde_json::to_value(logger.state()).unwrap();
    assert!(is_rfc_3339(stopped["stopped"]["at"].as_str().unwrap()), "{stopped}");
    let all = format!("{json}{flushed}{stopped}{}", serde_json::to_string(&stats).unwrap());
    assert!(!all.contains("nanos") && !all.contains("secs_since_epoch"), "{all}");
}

/// A moment of this century in UTC: `2026-11-27T14:00:00.000000000Z`.
#[cfg(feature = "serde")]
fn is_rfc_3339(text: &str) -> bool {
    let pattern = "20dd-dd-ddTdd:dd:dd.dddddddddZ";
    let fits = |(c, p): (char, char)| if p == 'd' { c.is_ascii_digit() } else { c == p };
    text.len() == pattern.len() && text.chars().zip(pattern.chars()).all(fits)
}
