//! What `start` refuses, and how.

use std::time::Duration;

use logweir::sink::{FileSink, NullSink};
use logweir::{Builder, Logger, Pipeline};
use tokio::runtime::Handle;

use crate::support::ScriptedSink;

/// The runtime made for the logger is then dropped inside the caller's, where tokio does not let anybody wait.
#[tokio::test]
async fn a_refused_start_inside_a_runtime_is_an_error_and_no_panic() {
    let knob = Logger::builder().sink("null", NullSink).lanes(0).start().expect_err("no lanes");
    assert_eq!(knob.to_string(), "cannot start logger: `lanes` is 0; allowed is 1 to 64");

    let folder = std::env::temp_dir();
    let sink = Logger::builder().sink("file", FileSink::new(&folder)).start().expect_err("a folder is no file");
    assert!(format!("{sink:?}").contains(&folder.display().to_string()), "{sink:?}");
}

#[tokio::test]
async fn a_wrong_knob_is_named_with_its_value_and_what_is_allowed() {
    let sink = ScriptedSink::new;
    let good = || Logger::builder().lanes(1);
    let with = || good().sink("sink", sink());
    let wrong: Vec<(Builder<'_>, &str, &str, &str)> = vec![
        (good(), "sink", "none", "at least one"),
        (with().lanes(0), "lanes", "0", "1 to 64"),
        (with().lanes(65), "lanes", "65", "1 to 64"),
        (with().queue_capacity(0), "queue_capacity", "0", "1 to "),
        (with().queue_capacity(1 << 20), "queue_capacity", "1048576", "at most 131072"),
        (with().lanes(4).memory_limit(1 << 20), "queue_capacity", "8192", "at most 512"),
        (with().batch_size(0), "batch_size", "0", "1 to 65536"),
        (with().batch_size(65_537), "batch_size", "65537", "1 to 65536"),
        (with().max_event_bytes(255), "max_event_bytes", "255", "256 to"),
        (with().max_event_bytes(32 << 20), "max_event_bytes", "33554432", "256 to"),
        (with().flush_interval(Duration::ZERO), "flush_interval", "0ns", "1ms to 3600s"),
        (with().flush_interval(Duration::from_secs(3601)), "flush_interval", "3601s", "1ms to 3600s"),
        (with().sink("sink", sink()), "sink", "`sink`", "differ"),
        (good().sink("", sink()), "sink", "``", "not empty"),
        (with().name(""), "name", "empty", "not empty"),
        (good().sink("s", Pipeline::new(sink()).timeout(Duration::ZERO)), "timeout", "0 (sink `s`)", "more than zero"),
        (
            good().sink("s", Pipeline::new(sink()).backlog_bytes((32 << 20) + 1)),
            "backlog_bytes",
            "33554433",
            "at most 33554432",
        ),
        (with().sink("s", Pipeline::new(sink()).backlog_bytes(usize::MAX)), "backlog_bytes", "", "at most"),
        (good().sink("s", Pipeline::new(sink()).backlog_bytes(0)), "backlog_bytes", "0 (sink `s`)", "at least 512"),
        // All of the sinks' half is asked for: nothing is left for the other sink.
        (
            with().sink("s", Pipeline::new(sink()).backlog_bytes(32 << 20)),
            "backlog_bytes",
            "0 (sink `sink`)",
            "at least 512",
        ),
        (with().filter("info,app=loud"), "filter", "app=loud", "trace, debug"),
        (with().filter(""), "filter", "", "[target][=level]"),
    ];
    for (builder, knob, value, allowed) in wrong {
        let error = builder.start_on(&Handle::current()).unwrap_err();
        assert_eq!(error.option(), Some(knob), "{error}");
        let said = format!("{error:?}");
        assert!(said.contains(knob) && said.contains(value) && said.contains(allowed), "{said}");
    }
}

#[tokio::test]
async fn two_backlogs_that_overflow_a_sum_are_refused_too() {
    let huge = || Pipeline::new(ScriptedSink::new()).backlog_bytes(usize::MAX);
    let error = Logger::builder().sink("a", huge()).sink("b", huge()).start_on(&Handle::current()).unwrap_err();
    assert_eq!(error.option(), Some("backlog_bytes"));
}

#[tokio::test]
async fn a_sink_that_cannot_be_opened_ends_the_start_and_is_named() {
    struct Locked;
    #[logweir::async_trait]
    impl logweir::Sink for Locked {
        fn open(&mut self) -> Result<(), logweir::SinkError> {
            Err(logweir::SinkError::permanent("no key"))
        }
        async fn write(&mut self, _: &logweir::Batch) -> Result<(), logweir::SinkError> {
            Ok(())
        }
    }
    let error = Logger::builder().sink("safe", Locked).start_on(&Handle::current()).unwrap_err();
    assert_eq!(error.option(), Some("sink"));
    assert!(error.to_string().contains("`safe`"), "{error}");
    assert_eq!(format!("{error:?}"), "cannot start logger: sink `safe`: no key");
}

#[test]
fn a_runtime_without_timers_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = Logger::builder().sink("sink", ScriptedSink::new()).start_on(runtime.handle()).unwrap_err();
    assert_eq!(error.option(), Some("start_on"));
    assert!(error.to_string().contains("enable_time"), "{error}");
}
