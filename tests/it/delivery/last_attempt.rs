//! When a logger ends, a pipeline that waits tries again: what a sink could take is not lost to a wait.

use std::path::Path;
use std::time::Duration;

use logweir::format::Json;
use logweir::sink::{FileSink, Rolling};
use logweir::{Breaker, BreakerState, DropReason, Level, Logger, Pipeline, Retry, info};
use tokio::time::{Instant, sleep};

use crate::children::folder;
use crate::support::{Answer, PATIENCE, ScriptedSink, balance, builder, emit_numbers, end, settle, start};

use super::SECOND;

/// Lets the sink fail for this long, with an event each second, then be well for two seconds.
async fn outage(logger: &Logger, sink: &ScriptedSink, seconds: u64) {
    for number in 0..seconds {
        emit_numbers(logger, [number]);
        sleep(SECOND).await;
    }
    sink.turn(Answer::Ok);
    sleep(2 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_ended_before_the_shutdown_loses_nothing_however_long_it_was() {
    for answer in [Answer::Temporary, Answer::RetryAfter(30 * SECOND), Answer::Hang] {
        for seconds in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 115] {
            let sink = ScriptedSink::always(answer.clone());
            let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
            outage(&logger, &sink, seconds).await;
            let before = Instant::now();
            let report = logger.shutdown(5 * SECOND).await;
            balance(&report, &[("sink", seconds)]);
            assert_eq!(sink.numbers(), (0..seconds).collect::<Vec<_>>(), "{answer:?} for {seconds} s: {report}");
            // A write that hangs has its timeout.
            let most = if matches!(answer, Answer::Hang) { 5 * SECOND } else { settle_time() };
            assert!(!report.timed_out && before.elapsed() <= most, "{answer:?}, {seconds} s: {:?}", before.elapsed());
        }
    }
}

/// The test spends some real time, by which the clock of the deadline runs.
fn settle_time() -> Duration {
    Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_ends_during_the_shutdown_loses_nothing_if_a_tenth_of_the_time_is_left() {
    for answer in [Answer::Temporary, Answer::RetryAfter(30 * SECOND)] {
        for tenths in 0..9_u32 {
            let sink = ScriptedSink::always(answer.clone());
            let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
            emit_numbers(&logger, 0..10);
            sleep(60 * SECOND).await;
            let heals = async {
                sleep(SECOND * tenths).await;
                sink.turn(Answer::Ok);
            };
            let (report, ()) = tokio::join!(logger.shutdown(10 * SECOND), heals);
            balance(&report, &[("sink", 10)]);
            assert!(!report.timed_out, "{answer:?}, well after {tenths} s: {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_unusable_is_tried_again_when_the_logger_ends() {
    let sink = ScriptedSink::new().writes([Answer::Permanent]);
    let logger = start(builder().flush_at(Level::Trace).sink("sink", sink.clone())).await;
    emit_numbers(&logger, [0]);
    settle().await;
    assert_eq!(logger.stats().sinks[0].breaker, BreakerState::Open);
    emit_numbers(&logger, [1]);
    // The events of the end come behind the request for it.
    let weak = logger.downgrade();
    logger.on_shutdown(move || {
        Box::pin(async move {
            weak.upgrade().iter().for_each(|logger| emit_numbers(logger, [2]));
            Ok(())
        })
    });
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("sink", 2)]);
    assert_eq!((sink.numbers(), report.sinks[0].dropped.get(DropReason::SinkFailed)), (vec![1, 2], 1));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stays_down_is_tried_a_few_times_and_the_deadline_holds() {
    let sink = ScriptedSink::always(Answer::Temporary);
    let never_again = Retry::default().initial_delay(3600 * SECOND).max_delay(3600 * SECOND).max_elapsed(7200 * SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(never_again).breaker(Breaker::default().failure_threshold(2));
    let logger = start(builder().flush_at(Level::Trace).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..10);
    sleep(SECOND).await;
    let before = Instant::now();
    let report = logger.shutdown(16 * SECOND).await;
    balance(&report, &[("sink", 0)]);
    assert_eq!((report.timed_out, report.sinks[0].dropped.get(DropReason::Deadline)), (true, 10));
    assert!(before.elapsed() <= 16 * SECOND + settle_time(), "{:?}", before.elapsed());
    // At the request; the breaker then asks for a probe each second, then after 2, 4 and 8; near the end after a half of
    // the remaining time.
    let attempts = sink.batch_sizes().len();
    assert!((5..=12).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_reset_while_its_write_is_under_way_ends_no_later_wait() {
    let sink = ScriptedSink::new().writes([Answer::GateThenTemporary]);
    let wait = Retry::default().initial_delay(8 * SECOND).max_delay(8 * SECOND).seed(3);
    let logger = start(builder().flush_at(Level::Trace).sink("sink", Pipeline::new(sink.clone()).retry(wait))).await;
    emit_numbers(&logger, [0]);
    sink.begun(1).await;
    assert!(logger.reset_breaker("sink"));
    sink.release(1);
    sink.begun(2).await;
    let pause = sink.pauses()[0];
    let expected = (8 * SECOND).mul_f64(fastrand::Rng::with_seed(3).f64());
    assert!(pause >= expected, "{pause:?} instead of {expected:?}");
    end(&logger, &[("sink", &sink)]).await;
}

fn lines(folder: &Path) -> usize {
    let text = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path()).unwrap_or_default();
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| text(entry.unwrap()));
    texts.map(|text| text.matches("during the outage").count()).sum()
}

#[test]
fn a_folder_that_was_away_and_can_be_there_again_before_the_shutdown_has_every_line() {
    let root = folder("a-folder-that-was-away");
    let folder = root.join("logs");
    // A new file for each batch.
    let file = FileSink::new(folder.join("service.log")).format(Json::new()).rolling(Rolling::by_size(1));
    let logger = Logger::builder()
        .flush_interval(Duration::from_millis(5))
        .on_error(|_| {})
        .sink("file", Pipeline::new(file).breaker(Breaker::default().failure_threshold(2)))
        .start()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    // Nor can a new folder be made there.
    std::fs::write(&folder, "in the way").unwrap();
    let mut logged = 0;
    while logger.stats().sinks[0].breaker != BreakerState::Open {
        assert!(logged < 10_000, "the sink never fails: {:?}", logger.stats());
        info!(logger: logger, "during the outage");
        logged += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(&folder).unwrap();
    let report = logger.shutdown_blocking(PATIENCE).unwrap();
    balance(&report, &[("file", logged)]);
    assert_eq!(lines(&folder) as u64, logged, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_request_for_the_end_that_changes_nothing_ends_no_wait() {
    let sink = ScriptedSink::always(Answer::Temporary);
    let wait =
        Retry::default().initial_delay(3600 * SECOND).max_delay(3600 * SECOND).max_elapsed(7200 * SECOND).seed(3);
    let pipeline = Pipeline::new(sink.clone()).retry(wait).breaker(Breaker::never());
    let logger = start(builder().flush_at(Level::Trace).shutdown_timeout(60 * SECOND).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..3);
    let weak = logger.downgrade();
    drop(logger);
    settle().await;
    let attempts = sink.batch_sizes().len();
    for _ in 0..20 {
        // Each is the last handle that is dropped.
        drop(weak.upgrade());
        settle().await;
    }
    assert_eq!(sink.batch_sizes().len(), attempts);
}
