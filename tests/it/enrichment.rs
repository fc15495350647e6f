//! Fields whose values are asked for on the flush side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use logweir::{Logger, info};

use crate::support::{PATIENCE, ScriptedSink, builder, emit_numbers, end, start};

fn shown(sink: &ScriptedSink) -> Vec<String> {
    let fields = |fields: Vec<(String, String)>| fields.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    sink.taken().into_iter().map(|seen| fields(seen.fields).join(" ")).collect()
}

async fn flush(logger: &Logger) {
    assert!(logger.flush(PATIENCE).await.complete);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_asked_for_once_each_time_events_are_handed_out_and_all_of_those_carry_it() {
    let (sink, asked) = (ScriptedSink::new(), Arc::new(AtomicU64::new(0)));
    let asks = asked.clone();
    let enriched = builder().batch_size(2).enrich("turn", "none").enrich("service", "shop");
    let enriched = enriched.enrich_with("turn", move || asks.fetch_add(1, Ordering::Relaxed) + 1);
    let logger = start(enriched.sink("sink", sink.clone())).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0, "there was nothing to hand out");
    emit_numbers(&logger, 0..5);
    flush(&logger).await;
    info!(logger: logger, "5", service = "mine", turn = 0);
    emit_numbers(&logger, 6..7);
    flush(&logger).await;
    flush(&logger).await;
    emit_numbers(&logger, 7..8);
    end(&logger, &[("sink", &sink)]).await;
    let turn = |number: u64| format!("service=shop turn={number}");
    let mut expected = vec![turn(1); 5];
    expected.extend(["service=mine turn=0".to_owned(), turn(2), turn(3)]);
    assert_eq!(shown(&sink), expected);
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_is_reported_and_left_out_and_one_that_logs_or_asks_the_logger_disturbs_nothing() {
    let (sink, said) = (ScriptedSink::new(), Arc::new(Mutex::new(Vec::new())));
    let there: Arc<Mutex<Option<Logger>>> = Arc::default();
    let (errors, asked) = (said.clone(), there.clone());
    let mut turns = 0;
    let enriched = builder()
        .on_error(move |error| errors.lock().unwrap().push(error.to_string()))
        .enrich_with("odd", move || {
            turns += 1;
            assert!(turns % 2 == 1, "an even turn");
            turns
        })
        .enrich_with("accepted", move || {
            let logger = asked.lock().unwrap().clone();
            logger.map(|logger| {
                info!(logger: logger, "out of a callback");
                logger.stats().accepted
            })
        });
    let logger = start(enriched.sink("sink", sink.clone())).await;
    *there.lock().unwrap() = Some(logger.clone());
    for number in 0..3 {
        emit_numbers(&logger, number..=number);
        flush(&logger).await;
    }
    there.lock().unwrap().take();
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(shown(&sink), ["odd=1 accepted=1", "accepted=2", "odd=3 accepted=3"]);
    assert_eq!(*said.lock().unwrap(), ["the callback `enrich_with` panicked"]);
    assert_eq!(report.suppressed, 3);
}
