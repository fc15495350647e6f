//! A test's thread: the example of a configuration has the builder's defaults.

use super::*;
use crate::config::tests::whole_example;
use crate::config::{Config, SinkRegistry};
use crate::pipeline::{Breaker, Retry};
use crate::sink::{Batching, ConsoleSink, FileSink, NullSink};

fn example<'r>() -> Builder<'r> {
    let config = Config::from_toml(&whole_example()).expect("the example");
    config.builder(&SinkRegistry::new()).expect("no type of our own")
}

#[test]
fn the_example_of_a_configuration_shows_the_builders_defaults() {
    // Every option is checked: a new one does not compile here until it is added.
    let Builder {
        name: _,
        filter,
        skipped: _,
        skipped_of_sinks: _,
        queue_capacity,
        lanes,
        memory_limit,
        max_event_bytes,
        batch_size,
        flush_interval,
        flush_at,
        notice_interval,
        overflow,
        reserve: _,
        pressure_monitors: _,
        on_error: _,
        enrichment: _,
        enrichers: _,
        redacted: _,
        sinks: _,
        cancel: _,
        grace_period,
        shutdown_timeout,
        recorder: _,
        #[cfg(feature = "prometheus")]
            prometheus: _,
    } = example();
    let default = Builder::new();
    assert_eq!(filter.ok(), default.filter.ok());
    assert_eq!(queue_capacity, default.queue_capacity);
    assert_eq!(lanes, DEFAULT_LANES, "where there are so many cores");
    assert_eq!((memory_limit, max_event_bytes), (default.memory_limit, default.max_event_bytes));
    assert_eq!((batch_size, flush_interval), (default.batch_size, default.flush_interval));
    assert_eq!((flush_at, notice_interval), (default.flush_at, default.notice_interval));
    assert_eq!(overflow, default.overflow);
    assert_eq!((grace_period, shutdown_timeout), (default.grace_period, default.shutdown_timeout));
}

#[test]
fn the_example_of_a_configuration_shows_the_pipelines_defaults() {
    let sinks = example().sinks;
    let (_, file) = sinks.iter().find(|(name, _)| name == "file").unwrap();
    let Pipeline { filter, timeout, when_full, retry, breaker, fallback, .. } = file;
    let default = Pipeline::new(FileSink::new("x"));
    assert_eq!(filter.as_ref().ok(), default.filter.as_ref().ok());
    assert_eq!((*timeout, *when_full), (default.timeout, default.when_full));
    let Retry { initial_delay, max_delay, max_elapsed, max_attempts: _, seed: _ } = retry;
    assert_eq!(
        (*initial_delay, *max_delay, *max_elapsed),
        (default.retry.initial_delay, default.retry.max_delay, default.retry.max_elapsed)
    );
    assert_eq!(*breaker, default.breaker);
    assert_eq!(fallback.as_ref().map(|link| link.timeout), Some(Pipeline::new(ConsoleSink::stderr()).timeout));
}

/// A different value for each key, so that none can be mistaken for another.
const EVERY_KEY: &str = "
    name = 'shop'
    filter = 'debug'
    queue_capacity = 1001
    lanes = 3
    memory_limit = '33MiB'
    max_event_bytes = '3KiB'
    batch_size = 17
    flush_interval = '23ms'
    flush_at = 'off'
    notice_interval = '29s'
    overflow.block = '31ms'
    reserve = { level = 'error', percent = '37%' }
    enrich.shard = 41
    redact = ['password', '*_token']
    grace_period = '43s'
    shutdown_timeout = '47s'
    [sinks.mine]
    type = 'null'
    filter = 'shop=warn'
    timeout = '53s'
    batching = { events = 103, bytes = '3KiB', linger = '107ms' }
    backlog_bytes = '4MiB'
    when_full = 'block'
    retry = { initial_delay = '59ms', max_delay = '61s', max_elapsed = '67s', max_attempts = 71, seed = 73 }
    breaker = { failure_threshold = 79, probe_delay = '83ms', max_probe_delay = '89s' }
    fallback = { type = 'null', timeout = '97s', batching = { events = 109, bytes = '5KiB', linger = '0s' }, fallback = { type = 'null', timeout = '101s' } }
";

#[test]
fn every_key_of_a_configuration_reaches_its_own_knob() {
    let builder = Config::from_toml(EVERY_KEY).unwrap().builder(&SinkRegistry::new()).unwrap();
    let (seconds, millis) = (Duration::from_secs, Duration::from_millis);
    assert_eq!((builder.name.as_deref(), builder.filter.ok()), (Some("shop"), "debug".parse().ok()));
    assert_eq!((builder.queue_capacity, builder.lanes), (1001, 3));
    assert_eq!((builder.memory_limit, builder.max_event_bytes, builder.batch_size), (33 << 20, 3 << 10, 17));
    assert_eq!((builder.flush_interval, builder.notice_interval), (millis(23), seconds(29)));
    assert_eq!((builder.flush_at, builder.overflow), (LevelFilter::Off, Overflow::Block(millis(31))));
    assert_eq!(builder.reserve, (LevelFilter::Error, 37));
    let enrichment = builder.enrichment.unwrap();
    assert_eq!(enrichment.field("shard"), Some(41.to_value()));
    assert_eq!(builder.redacted.map(|patterns| patterns.len()), Ok(2));
    assert_eq!((builder.grace_period, builder.shutdown_timeout), (seconds(43), seconds(47)));

    let (name, pipeline) = &builder.sinks[0];
    assert_eq!((name.as_str(), pipeline.filter.clone()), ("mine", "shop=warn".parse()));
    assert_eq!((pipeline.timeout, pipeline.backlog_bytes), (seconds(53), Some(4 << 20)));
    let size = |pipeline: &Pipeline| pipeline.batching.within(usize::MAX);
    assert_eq!(size(pipeline), Some(Batching::new(103, 3 << 10, millis(107))));
    assert_eq!(size(pipeline.fallback.as_ref().unwrap()), Some(Batching::new(109, 5 << 10, millis(0))));
    assert_eq!(pipeline.when_full, crate::pipeline::WhenFull::Block);
    let retry = Retry::default()
        .initial_delay(millis(59))
        .max_delay(seconds(61))
        .max_elapsed(seconds(67))
        .max_attempts(71)
        .seed(73);
    assert_eq!(pipeline.retry, retry);
    assert_eq!(
        pipeline.breaker,
        Breaker::default().failure_threshold(79).probe_delay(millis(83)).max_probe_delay(seconds(89))
    );
    let link = pipeline.fallback.as_ref().unwrap();
    let last = link.fallback.as_ref().unwrap();
    assert_eq!((link.timeout, last.timeout, last.fallback.is_none()), (seconds(97), seconds(101), true));
}

#[test]
fn policies_that_are_switched_off_are_switched_off() {
    let text = "notice_interval = 'never'\nlevel = 'warn'\n
        sinks.a = { type = 'null', retry = 'never', breaker = 'never', level = 'error' }";
    let builder = Config::from_toml(text).unwrap().builder(&SinkRegistry::new()).unwrap();
    assert_eq!((builder.notice_interval, builder.filter.ok()), (Duration::MAX, Some(Level::Warn.into())));
    let (_, pipeline) = &builder.sinks[0];
    assert_eq!((&pipeline.retry, &pipeline.breaker), (&Retry::never(), &Breaker::never()));
    assert_eq!(pipeline.filter, Ok(Level::Error.into()));
}

#[test]
fn a_key_that_is_absent_leaves_what_a_builder_or_a_registered_sink_has() {
    let registered =
        || Pipeline::new(NullSink).timeout(Duration::from_secs(7)).retry(Retry::never()).level(Level::Warn);
    let sinks = SinkRegistry::new().register("mine", move |(): ()| Ok::<_, std::io::Error>(registered()));
    let config = Config::from_toml("sinks.mine = { type = 'mine', breaker = 'never' }").unwrap();
    let builder: Builder<'_> = config.builder(&sinks).unwrap();
    let (_, pipeline) = &builder.sinks[0];
    assert_eq!((pipeline.timeout, &pipeline.retry), (Duration::from_secs(7), &Retry::never()));
    assert_eq!((&pipeline.breaker, pipeline.backlog_bytes), (&Breaker::never(), None));
    assert_eq!(pipeline.filter, registered().filter);
    assert_eq!(builder.queue_capacity, Builder::new().queue_capacity);
}
