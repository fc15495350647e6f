//! The example of a configuration says what the builder does without it.

use super::*;
use crate::config::tests::whole_example;
use crate::config::{Config, Sinks};
use crate::pipeline::{Breaker, Retry};
use crate::sink::{ConsoleSink, FileSink, NullSink};

fn example<'r>() -> Builder<'r> {
    let config = Config::from_toml(&whole_example()).expect("the example");
    config.builder(&Sinks::new()).expect("no type of our own")
}

#[test]
fn the_example_of_a_configuration_shows_the_builders_defaults() {
    // Every knob is looked at: a new one does not compile here until someone has.
    let Builder {
        name: _,
        filter,
        queue_capacity,
        lanes,
        memory,
        max_event_bytes,
        batch_size,
        flush_interval,
        flush_at,
        notice_interval,
        overflow,
        reserve: _,
        gauges: _,
        on_error: _,
        enrichment: _,
        enrichers: _,
        redacted: _,
        sinks: _,
        cancel: _,
        grace,
        shutdown_timeout,
        recorder: _,
        #[cfg(feature = "prometheus")]
            prometheus: _,
    } = example();
    let default = Builder::new();
    assert_eq!(filter.ok(), default.filter.ok());
    assert_eq!(queue_capacity, default.queue_capacity);
    assert_eq!(lanes, DEFAULT_LANES, "where there are so many cores");
    assert_eq!((memory, max_event_bytes), (default.memory, default.max_event_bytes));
    assert_eq!((batch_size, flush_interval), (default.batch_size, default.flush_interval));
    assert_eq!((flush_at, notice_interval), (default.flush_at, default.notice_interval));
    assert_eq!(overflow, default.overflow);
    assert_eq!((grace, shutdown_timeout), (default.grace, default.shutdown_timeout));
}

#[test]
fn the_example_of_a_configuration_shows_the_pipelines_defaults() {
    let sinks = example().sinks;
    let (_, file) = sinks.iter().find(|(name, _)| name == "file").unwrap();
    let Pipeline { sink: _, filter, timeout, when_full, backlog_bytes: _, retry, breaker, on_breaker: _, fallback } =
        file;
    let default = Pipeline::to(FileSink::new("x"));
    assert_eq!(filter.as_ref().ok(), default.filter.as_ref().ok());
    assert_eq!((*timeout, *when_full), (default.timeout, default.when_full));
    let Retry { initial, cap, max_age, max_attempts: _, seed: _ } = retry;
    assert_eq!((*initial, *cap, *max_age), (default.retry.initial, default.retry.cap, default.retry.max_age));
    assert_eq!(*breaker, default.breaker);
    assert_eq!(fallback.as_ref().map(|link| link.timeout), Some(Pipeline::to(ConsoleSink::stderr()).timeout));
}

#[test]
fn a_key_that_is_absent_leaves_what_a_builder_or_a_registered_sink_has() {
    let registered = || Pipeline::to(NullSink).timeout(Duration::from_secs(7)).retry(Retry::never()).level(Level::Warn);
    let sinks = Sinks::new().register("mine", move |(): ()| Ok::<_, std::io::Error>(registered()));
    let config = Config::from_toml("sinks.mine = { type = 'mine', breaker = 'never' }").unwrap();
    let builder: Builder<'_> = config.builder(&sinks).unwrap();
    let (_, pipeline) = &builder.sinks[0];
    assert_eq!((pipeline.timeout, &pipeline.retry), (Duration::from_secs(7), &Retry::never()));
    assert_eq!((&pipeline.breaker, pipeline.backlog_bytes), (&Breaker::never(), None));
    assert_eq!(pipeline.filter, registered().filter);
    assert_eq!(builder.queue_capacity, Builder::new().queue_capacity);
}
