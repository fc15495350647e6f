//! Every option and call that takes a `Duration`, with zero, one nanosecond and all time.

use std::panic::catch_unwind;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use logweir::sink::{FileSink, Rolling};
use logweir::{Breaker, Builder, DropReason, Logger, Overflow, PanicHook, Pipeline, Retry};
use tokio_util::sync::CancellationToken;

use crate::children::{ROLE, Running, child_of, folder};
use crate::support::{Answer, PATIENCE, ScriptedSink, balance, builder, emit_numbers, number, settle, start};

const VALUES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(1),
    // About where the clocks of operating systems end.
    Duration::from_secs(i64::MAX as u64 - (1 << 40)),
    Duration::from_secs(i64::MAX as u64),
    Duration::MAX,
];

/// A sink that fails twice, so that the waits of its pipeline are used.
fn failing() -> ScriptedSink {
    ScriptedSink::new().writes([Answer::Temporary, Answer::Temporary])
}

/// Sets one option.
type Option = (&'static str, fn(Duration, Pipeline) -> Builder<'static>);

const OPTIONS: &[Option] = &[
    ("flush_interval", |value, sink| builder().flush_interval(value).sink("sink", sink)),
    ("notice_interval", |value, sink| builder().notice_interval(value).sink("sink", sink)),
    ("grace_period", |value, sink| {
        let token = CancellationToken::new();
        token.cancel();
        builder().cancel_on(token).grace_period(value).sink("sink", sink)
    }),
    ("shutdown_timeout", |value, sink| builder().shutdown_timeout(value).sink("sink", sink)),
    ("overflow", |value, sink| builder().overflow(Overflow::Block(value)).sink("sink", sink)),
    ("timeout", |value, sink| builder().sink("sink", sink.timeout(value))),
    ("initial_delay", |value, sink| {
        builder().sink("sink", sink.retry(Retry::default().initial_delay(value).max_delay(Duration::MAX)))
    }),
    ("max_delay", |value, sink| {
        builder().sink("sink", sink.retry(Retry::default().initial_delay(Duration::from_nanos(1)).max_delay(value)))
    }),
    ("max_elapsed", |value, sink| builder().sink("sink", sink.retry(Retry::default().max_elapsed(value)))),
    ("probe_delay", |value, sink| {
        let breaker = Breaker::default().failure_threshold(1).probe_delay(value).max_probe_delay(Duration::MAX);
        builder().sink("sink", sink.breaker(breaker))
    }),
    ("max_probe_delay", |value, sink| {
        let breaker =
            Breaker::default().failure_threshold(1).probe_delay(Duration::from_nanos(1)).max_probe_delay(value);
        builder().sink("sink", sink.breaker(breaker))
    }),
];

#[tokio::test(start_paused = true)]
async fn every_duration_of_an_option_is_refused_by_its_name_or_works() {
    for (name, with) in OPTIONS {
        for value in VALUES {
            let sink = failing();
            let logger = match with(value, Pipeline::new(sink.clone())).start_on(&tokio::runtime::Handle::current()) {
                Ok(logger) => logger,
                Err(error) => {
                    assert!(error.to_string().contains(name), "{name} of {value:?}: {error}");
                    continue;
                }
            };
            emit_numbers(&logger, 0..3);
            drop(logger.flush(Duration::from_secs(1)).await);
            let report = logger.shutdown(PATIENCE).await;
            balance(&report, &[("sink", sink.seen())]);
            let stats = logger.stats();
            assert_eq!(stats.refused.get(DropReason::TaskFailed), 0, "{name} of {value:?}: {stats:?}");
            // An event may be given up for lack of time, and then by a reason that names it.
            let of_sink = &report.sinks[0];
            let given_up = of_sink.dropped.get(DropReason::RetriesExhausted) + of_sink.unconfirmed;
            assert_eq!(of_sink.delivered + given_up + report.refused.total(), 3, "{name} of {value:?}: {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_duration_of_a_call_works() {
    for value in VALUES {
        let sink = ScriptedSink::new().writes([Answer::RetryAfter(value)]);
        let logger = start(builder().sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..3);
        let flushed = logger.flush(value.min(PATIENCE)).await;
        assert!(!flushed.complete || sink.seen() + flushed.sinks[0].lost == 3, "{value:?}: {flushed:?}");
        drop(logger.reopen(value).await);
        drop(logger.shutdown_guard(value));
        let report = logger.shutdown(value).await;
        balance(&report, &[("sink", sink.seen())]);
    }
    // Alone, without a sink that fails.
    for value in VALUES {
        let sink = ScriptedSink::new();
        let logger = start(builder().sink("sink", sink.clone())).await;
        emit_numbers(&logger, 0..3);
        let flushed = logger.flush(value).await;
        settle().await;
        assert!(flushed.complete || value < Duration::from_secs(1), "{value:?}: {flushed:?}");
        logger.set_temporary_filter("trace", value).unwrap();
        settle().await;
        logger.reopen(Duration::MAX).await.unwrap();
        let report = logger.shutdown(Duration::MAX).await;
        balance(&report, &[("sink", 3)]);
    }
}

#[test]
fn every_duration_of_a_rolled_file_is_refused_by_its_name_or_works() {
    let policy = |name, value| match name {
        "keep_age" => Rolling::by_size(1).keep_age(value),
        _ => Rolling::by_size(1).close_timeout(value),
    };
    for name in ["keep_age", "close_timeout"] {
        for value in VALUES {
            let path = folder(&format!("durations-{name}-{}", value.as_nanos())).join("app.log");
            let file = FileSink::new(path).rolling(policy(name, value));
            let logger = match Logger::builder().sink("file", file).start() {
                Ok(logger) => logger,
                Err(error) => {
                    assert!(format!("{error:?}").contains(name), "{name} of {value:?}: {error:?}");
                    continue;
                }
            };
            for n in 0..3 {
                logger.emit(number(n));
                assert!(logger.flush_blocking(PATIENCE).unwrap().complete, "{name} of {value:?}");
            }
            balance(&logger.shutdown_blocking(PATIENCE).unwrap(), &[("file", 3)]);
        }
    }
}

#[test]
fn a_block_of_all_time_waits_on_a_thread_and_gets_its_room() {
    for value in VALUES {
        let sink = ScriptedSink::new();
        let builder = builder().queue_capacity(4).overflow(Overflow::Block(value)).sink("sink", sink.clone());
        let logger = builder.start().unwrap();
        let there = logger.clone();
        thread::spawn(move || (0..100).for_each(|n| there.emit(number(n)))).join().unwrap();
        let report = logger.shutdown_blocking(PATIENCE).unwrap();
        balance(&report, &[("sink", sink.seen())]);
        assert!(value < Duration::from_secs(1) || sink.seen() == 100, "{value:?}: {report}");
    }
}

#[test]
fn a_panic_hook_that_waits_for_all_time_lets_a_caught_panic_be_caught() {
    for value in ["0", "1", "all"] {
        let mut child = Running::start(child_of("limits::durations::the_child", value).stdout(Stdio::null()));
        let (status, text) = child.ends();
        assert!(status.success(), "{value}: {status}: {text}");
    }
}

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let wait = match role.as_str() {
        "all" => Duration::MAX,
        nanos => Duration::from_nanos(nanos.parse().unwrap()),
    };
    let sink = ScriptedSink::new();
    let logger = Logger::builder().sink("sink", sink.clone()).start().unwrap();
    PanicHook::new(&logger).wait(wait).install();
    assert!(catch_unwind(|| panic!("scripted")).is_err());
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    assert_eq!(report.sinks[0].delivered, 1);
    std::process::exit(0);
}
