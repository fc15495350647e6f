//! The page for an endpoint of the service's own.

use logweir::sink::{MemorySink, NullSink};
use logweir::{Prometheus, info};
use tokio::runtime;

use super::{ANY_PORT, LONG, Page, agree, end, quiet, scrape};

#[test]
fn a_logger_without_a_listener_renders_its_page_anew_at_each_call() {
    let memory = MemorySink::new();
    let builder = quiet("rendered").prometheus(Prometheus::without_listener());
    let logger = builder.sink("memory", memory.clone()).start().unwrap();
    assert_eq!(logger.prometheus_addr(), None);
    for count in 1..=3 {
        info!(logger: logger, "x");
        assert!(logger.flush_blocking(LONG).unwrap().complete);
        let page = Page::parse(&logger.render_metrics().unwrap());
        agree(&page, "rendered", &logger.stats());
        let delivered = "logweir_sink_events_delivered_total{logger=\"rendered\",sink=\"memory\"}";
        assert_eq!(page.value(delivered), f64::from(count));
    }
    assert_eq!(end(&logger, &[("memory", &memory)]).accepted, 3);
}

#[test]
fn the_page_is_rendered_also_if_the_flush_task_is_not_polled() {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let builder = quiet("unpolled").on_error(|_| {}).prometheus(Prometheus::without_listener());
    let logger = builder.sink("null", NullSink).start_on(runtime.handle()).unwrap();
    (0..5).for_each(|_| info!(logger: logger, "x"));
    let page = Page::parse(&logger.render_metrics().unwrap());
    assert_eq!(page.value("logweir_queue_depth{logger=\"unpolled\"}"), 5.0);
}

#[test]
fn the_page_is_rendered_beside_a_listener_and_is_none_without_a_recorder_of_the_loggers_own() {
    let logger = quiet("both").prometheus(ANY_PORT).sink("null", NullSink).start().unwrap();
    let (rendered, scraped) = (Page::parse(&logger.render_metrics().unwrap()), scrape(&logger));
    assert_eq!(rendered.samples.keys().collect::<Vec<_>>(), scraped.samples.keys().collect::<Vec<_>>());
    end(&logger, &[]).check().unwrap();
    let logger = quiet("none").sink("null", NullSink).start().unwrap();
    assert_eq!(logger.render_metrics(), None);
    end(&logger, &[]).check().unwrap();
}

#[test]
fn the_page_of_a_logger_that_has_ended_has_its_counts_and_nothing_of_its_present_state() {
    let builder = quiet("ended").prometheus(Prometheus::without_listener());
    let logger = builder.sink("null", NullSink).start().unwrap();
    // Its memory is the queue's until it is dropped.
    let child = logger.with("key", "x".repeat(1000));
    (0..5).for_each(|_| info!(logger: child, "x"));
    end(&logger, &[]).check().unwrap();
    info!(logger: logger, "late");
    let page = Page::parse(&logger.render_metrics().unwrap());
    for (series, expected) in [
        ("events_accepted_total{logger=\"ended\",level=\"info\"}", 5.0),
        ("events_refused_total{logger=\"ended\",reason=\"closed\"}", 1.0),
        ("queue_depth{logger=\"ended\"}", 0.0),
        ("queue_bytes{logger=\"ended\"}", 0.0),
        ("queue_capacity{logger=\"ended\"}", 0.0),
        ("memory_limit_bytes{logger=\"ended\"}", 0.0),
        ("sink_breaker_state{logger=\"ended\",sink=\"null\"}", 0.0),
    ] {
        assert_eq!(page.value(&format!("logweir_{series}")), expected, "{series}");
    }
    assert!(page.value("logweir_shutdown_seconds{logger=\"ended\"}") > 0.0);
    drop(child);
}

#[test]
fn a_page_takes_many_samples_of_histograms_and_has_them_all() {
    let builder = quiet("samples").prometheus(Prometheus::without_listener()).batch_size(1);
    let logger = builder.sink("null", NullSink).start().unwrap();
    (0..1000).for_each(|_| info!(logger: logger, "x"));
    assert!(logger.flush_blocking(LONG).unwrap().complete);
    let page = Page::parse(&logger.render_metrics().unwrap());
    assert_eq!(page.value("logweir_batch_events_count{logger=\"samples\"}"), 1000.0);
    end(&logger, &[]).check().unwrap();
}
