//! Every series is on the page, with its help and its type.

use std::collections::BTreeSet;

use logweir::info;
use logweir::sink::{MemorySink, NullSink};

use super::{ANY_PORT, LONG, end, expected, quiet, scrape};

#[test]
fn every_series_is_there_from_the_first_scrape_on_and_is_zero() {
    let builder = quiet("first").prometheus(ANY_PORT).sink("a", NullSink).sink("b", NullSink);
    let logger = builder.memory_limit(32 << 20).queue_capacity(1000).lanes(2).start().unwrap();
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
