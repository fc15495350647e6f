//! What is reported of a sink: diagnostics, the last error and latencies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use logweir::error::Diagnostic;
use logweir::sink::SinkErrorKind;

use crate::support::{Answer, PATIENCE, ScriptedSink, balance, emit_numbers, end, once, start};

use super::{SECOND, brief, one_by_one};

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn handler(&self) -> impl Fn(&Diagnostic) + Send + Sync + 'static {
        let said = self.0.clone();
        move |diagnostic| said.lock().unwrap().push(diagnostic.to_string())
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_once_and_the_next_one_again() {
    use Answer::{Ok, Permanent, Temporary};
    let (said, sink) = (Said::default(), ScriptedSink::new());
    let sink = sink.writes([Ok, Temporary, Temporary, Temporary, Ok, Temporary, Temporary, Permanent, Permanent, Ok]);
    let logger = start(one_by_one().on_error(said.handler()).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..20);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!(report.sinks[0].errors, 7);
    let (busy, broken) =
        ("sink `sink`: the sink failed for now: busy", "sink `sink`: the sink is unusable: broken pipe");
    assert_eq!(said.lines(), [busy, busy, broken]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_error_is_caught_and_it_goes_on_being_called() {
    let calls = Arc::new(Mutex::new(0));
    let handler = {
        let calls = calls.clone();
        move |_: &Diagnostic| {
            *calls.lock().unwrap() += 1;
            panic!("scripted")
        }
    };
    let sink = ScriptedSink::new().writes([Answer::Temporary, Answer::Permanent, Answer::Rejected]);
    let logger = start(one_by_one().on_error(handler).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..10);
    end(&logger, &[("sink", &sink)]).await;
    // Poisoned by the panic, like the count itself: three, and nothing stopped.
    let calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert_eq!((*calls, sink.seen()), (3, 7));
}

#[tokio::test(start_paused = true)]
async fn the_last_error_says_when_and_why_with_its_sources() {
    let sink = ScriptedSink::new().writes([Answer::Permanent]);
    let logger = start(one_by_one().sink("sink", sink.clone())).await;
    assert_eq!((logger.stats().sinks[0].errors, &logger.stats().sinks[0].last_error), (0, &None));
    let before = std::time::SystemTime::now();
    emit_numbers(&logger, 0..2);
    assert!(logger.flush(PATIENCE).await.complete);
    let stats = logger.stats();
    let error = stats.sinks[0].last_error.as_ref().unwrap();
    assert_eq!((error.kind, &*error.message), (SinkErrorKind::Permanent, "the sink is unusable: broken pipe"));
    assert!(before <= error.at && error.at <= std::time::SystemTime::now());
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn latency_percentiles_are_right_to_a_percent_and_can_be_reset() {
    let slow = |millis| Answer::Slow(Duration::from_millis(millis));
    let sink = ScriptedSink::always(slow(10));
    let logger = start(one_by_one().sink("sink", sink.clone())).await;
    assert_eq!(logger.stats().sinks[0].write_p50, None);
    emit_numbers(&logger, 0..95);
    assert!(logger.flush(PATIENCE).await.complete);
    let is = |got: Option<Duration>, millis: f64| {
        let got = got.unwrap().as_secs_f64() * 1000.0;
        // One percent, and the millisecond that tokio's timers are rounded up to.
        assert!((millis * 0.99..=(millis + 1.0) * 1.01).contains(&got), "{got} is not {millis}");
    };
    let stats = logger.stats();
    [stats.sinks[0].write_p50, stats.sinks[0].write_p95, stats.sinks[0].write_p99]
        .into_iter()
        .for_each(|got| is(got, 10.0));

    let sink = sink.writes([slow(500), slow(500), slow(500), slow(500), slow(500)]);
    emit_numbers(&logger, 95..100);
    assert!(logger.flush(PATIENCE).await.complete);
    let stats = logger.stats();
    is(stats.sinks[0].write_p50, 10.0);
    is(stats.sinks[0].write_p99, 500.0);

    logger.reset_latency();
    assert_eq!((logger.stats().sinks[0].write_p50, logger.stats().sinks[0].write_p99), (None, None));
    let sink = sink.writes([slow(200)]);
    emit_numbers(&logger, [100]);
    assert!(logger.flush(PATIENCE).await.complete);
    is(logger.stats().sinks[0].write_p50, 200.0);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn writes_that_were_given_up_are_in_the_percentiles_with_the_time_they_had() {
    for outlives in [false, true] {
        let sink = ScriptedSink::new();
        let sink = if outlives { sink.outliving() } else { sink };
        let logger = start(one_by_one().sink("sink", brief(&sink))).await;
        for round in 0..20 {
            // One in four hangs, and is let go where it outlives its timeout.
            if round % 4 == 0 {
                drop(sink.clone().writes([if outlives { Answer::Gate } else { Answer::Hang }]));
            }
            emit_numbers(&logger, [round]);
            let flush = logger.flush(PATIENCE);
            let release = async {
                tokio::time::sleep(2 * SECOND).await;
                sink.release(usize::from(outlives && round % 4 == 0));
            };
            assert!(tokio::join!(flush, release).0.complete);
        }
        let of_sink = &logger.stats().sinks[0];
        let (p50, p99) = (of_sink.write_p50.unwrap(), of_sink.write_p99.unwrap());
        assert!(p50 < SECOND / 2 && p99 >= SECOND.mul_f64(0.97), "{p50:?} {p99:?}");
        let report = logger.shutdown(PATIENCE).await;
        balance(&report, &[("sink", sink.seen())]);
        assert_eq!((report.sinks[0].delivered, report.sinks[0].unconfirmed), if outlives { (20, 0) } else { (15, 5) });
    }
}
