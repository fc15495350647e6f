//! Callbacks that hear when the queue fills and when it has emptied.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::error::Diagnostic;
use logweir::{Builder, Logger, Overflow, Pipeline, Pressure, WhenFull};

use crate::support::{Answer, PATIENCE, ScriptedSink, builder, emit_numbers, end, heavy, number, settle, start};

type Heard = Arc<Mutex<Vec<Pressure>>>;

fn listening(builder: Builder<'static>, percent: u8) -> (Builder<'static>, Heard) {
    let heard = Heard::default();
    let hears = heard.clone();
    (builder.on_pressure(percent, move |pressure| hears.lock().unwrap().push(pressure)), heard)
}

fn percents(heard: &Heard) -> Vec<(bool, u8)> {
    heard.lock().unwrap().iter().map(|heard| (matches!(heard, Pressure::Rising { .. }), heard.percent())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fills_is_said_once_and_once_more_when_it_has_emptied() {
    let sink = ScriptedSink::new();
    let (builder, half) = listening(builder().queue_capacity(10), 50);
    let (builder, most) = listening(builder, 90);
    let logger = start(builder.sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..4);
    assert!(logger.flush(PATIENCE).await.complete);
    assert_eq!(percents(&half), []);
    emit_numbers(&logger, 4..10);
    settle().await;
    assert_eq!(percents(&half), [(true, 60), (false, 0)]);
    emit_numbers(&logger, 10..19);
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(percents(&half), [(true, 60), (false, 0), (true, 90), (false, 0)]);
    assert_eq!(percents(&most), [(true, 90), (false, 0)]);
}

#[tokio::test(start_paused = true)]
async fn pressure_lasts_as_long_as_a_sink_holds_everything_up_and_is_noticed_within_an_interval() {
    let sink = ScriptedSink::always(Answer::Gate);
    let waits = Pipeline::new(sink.clone()).when_full(WhenFull::Block).backlog_bytes(1024);
    let interval = Duration::from_millis(100);
    let (builder, heard) = listening(builder().queue_capacity(10).overflow(Overflow::DropNewest), 100);
    let logger = start(builder.flush_interval(interval).max_event_bytes(256).batch_size(1).sink("sink", waits)).await;
    for n in 0.. {
        logger.emit(number(n));
        if logger.stats().refused.total() > 0 {
            break;
        }
        settle().await;
    }
    assert!(percents(&heard).len() <= 1);
    tokio::time::sleep(interval).await;
    assert_eq!(percents(&heard), [(true, 100)]);
    tokio::time::sleep(10 * interval).await;
    assert_eq!(percents(&heard), [(true, 100)]);
    sink.open_gate();
    tokio::time::sleep(interval).await;
    assert_eq!(percents(&heard)[1..], [(false, percents(&heard)[1].1)]);
    assert!(percents(&heard)[1].1 < 50);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn the_account_of_bytes_has_a_pressure_too() {
    let sink = ScriptedSink::new();
    let (builder, heard) = listening(builder().queue_capacity(64).memory_limit(1 << 20).max_event_bytes(200_000), 60);
    let logger = start(builder.sink("sink", sink.clone())).await;
    (0..2).for_each(|n| logger.emit(heavy(n, 180_000)));
    end(&logger, &[("sink", &sink)]).await;
    let percents = percents(&heard);
    assert!(matches!(percents[..], [(true, 60..=100), (false, 0..30)]), "{percents:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_pressure_callback_is_reported_and_what_it_logs_is_suppressed() {
    let sink = ScriptedSink::new();
    let (said, logs) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None::<Logger>)));
    let (says, to) = (said.clone(), logs.clone());
    let builder = builder().queue_capacity(10).on_error(move |trouble| {
        // On a busy machine it may also be said that this one is slow.
        if let Diagnostic::CallbackPanicked { .. } = trouble {
            says.lock().unwrap().push(trouble.to_string());
        }
    });
    let builder = builder.on_pressure(50, move |pressure| {
        to.lock().unwrap().as_ref().unwrap().emit(number(99));
        assert!(matches!(pressure, Pressure::Falling { .. }), "scripted");
    });
    let logger = start(builder.sink("sink", sink.clone())).await;
    *logs.lock().unwrap() = Some(logger.clone());
    emit_numbers(&logger, 0..10);
    settle().await;
    assert_eq!(said.lock().unwrap()[..], ["the callback `on_pressure` panicked"]);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.emitted, logger.stats().suppressed), (10, 2));
    drop(logs.lock().unwrap().take());
}

#[test]
fn a_pressure_of_nothing_or_beyond_full_is_refused_by_name() {
    for percent in [0, 101] {
        let builder = Logger::builder().sink("sink", ScriptedSink::new()).on_pressure(50, |_| {});
        let error = builder.on_pressure(percent, |_| {}).start().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot start logger: `on_pressure` is {percent}; allowed is 1 to 100"));
    }
}
