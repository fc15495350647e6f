//! Notices: losses are said where people read, outside the queue, the filters and the books.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::time::Duration;

use logweir::{Breaker, Builder, Level, Logger, Overflow, Pipeline, Retry};

use crate::support::{Answer, PATIENCE, ScriptedSink, balance_stats, builder, emit_numbers, end, once, settle, start};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A lane of four places, handed out every 100 ms.
fn narrow() -> Builder<'static> {
    builder().queue_capacity(4).flush_interval(100 * MS)
}

/// An event at a time, at once.
fn one_by_one() -> Builder<'static> {
    builder().batch_size(1).flush_at(Level::Trace)
}

fn queue_lost(count: u64) -> String {
    format!("{count} events lost in the queue")
}

fn sink_lost(count: u64) -> String {
    format!("{count} events lost on the way to sink sink")
}

#[tokio::test(start_paused = true)]
async fn a_loss_in_the_queue_is_said_in_every_sink_past_every_filter_and_in_no_book() {
    let (all, errors) = (ScriptedSink::new(), ScriptedSink::new());
    let logger = start(
        narrow()
            .filter("logweir=off,info")
            .enrich("service", "checkout")
            .sink("all", all.clone())
            .sink("errors", Pipeline::new(errors.clone()).level(Level::Error)),
    )
    .await;
    emit_numbers(&logger, 0..10);
    tokio::time::sleep(200 * MS).await;
    for sink in [&all, &errors] {
        assert_eq!(sink.notices(), [queue_lost(6)]);
        let (_, notice) = sink.notices_at().remove(0);
        assert_eq!((notice.level, notice.target.as_str()), (Level::Warn, "logweir"));
        let fields: Vec<_> = notice.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("lost", "6"), ("overflow_oldest", "6"), ("service", "checkout")]);
    }
    // Neither emitted nor routed nor delivered.
    let report = end(&logger, &[("all", &all), ("errors", &errors)]).await;
    assert_eq!((report.emitted, report.dispatched), (10, 4));
    let booked: Vec<_> = report.sinks.iter().map(|sink| (sink.delivered, sink.filtered, sink.notices)).collect();
    assert_eq!(booked, [(4, 0, 1), (0, 4, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_sinks_loss_is_said_there_and_in_its_fallback_and_nowhere_else() {
    let (sink, fallback, other) = (ScriptedSink::new(), ScriptedSink::new(), ScriptedSink::new());
    let sink = sink.writes([Answer::Rejected]);
    // What the sink rejects the fallback does not take either.
    let fallback = fallback.writes([Answer::Rejected]);
    let pipeline = once(sink.clone()).fallback(fallback.clone());
    let logger = start(one_by_one().sink("sink", pipeline).sink("other", other.clone())).await;
    emit_numbers(&logger, 0..3);
    settle().await;
    let said = [sink_lost(1)];
    assert_eq!((sink.notices(), fallback.notices(), other.notices()), (said.to_vec(), said.to_vec(), vec![]));
    let report = end(&logger, &[("sink", &sink), ("other", &other)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.notices, booked.fallbacks[0].notices, report.sinks[1].notices), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn notices_come_at_most_once_a_second_and_the_last_one_by_a_timer() {
    let sink = ScriptedSink::new();
    let logger = start(narrow().sink("sink", sink.clone())).await;
    // Six are lost in each 100 ms, for 2.5 s.
    for _ in 0..25 {
        emit_numbers(&logger, 0..10);
        tokio::time::sleep(100 * MS).await;
    }
    // And then all is quiet.
    tokio::time::sleep(10 * SECOND).await;
    let notices = sink.notices_at();
    let times: Vec<_> = notices.iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SECOND), "{times:?}");
    let lost: Vec<u64> = notices.iter().map(|(_, notice)| notice.fields[0].1.parse().unwrap()).collect();
    assert_eq!((lost.len(), lost.iter().sum::<u64>()), (4, 150), "{lost:?}");
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.notices().len(), 4, "nothing was left to say");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_cannot_be_written_gives_its_counts_to_the_next() {
    for answer in [Answer::Temporary, Answer::Rejected, Answer::Permanent, Answer::Panic, Answer::Hang] {
        let sink = ScriptedSink::new().notice_answers([answer.clone(), answer.clone()]);
        let pipeline = once(sink.clone()).timeout(SECOND);
        let logger = start(narrow().sink("sink", pipeline)).await;
        emit_numbers(&logger, 0..10);
        tokio::time::sleep(SECOND).await;
        emit_numbers(&logger, 0..5);
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(sink.notices(), [queue_lost(7)], "{answer:?}");
        let report = end(&logger, &[("sink", &sink)]).await;
        let booked = &report.sinks[0];
        assert_eq!((booked.notices, booked.errors, booked.delivered), (1, 2, 8), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_back_says_how_long_it_was_unavailable_and_what_became_of_its_events() {
    let (sink, fallback) = (ScriptedSink::always(Answer::Temporary), ScriptedSink::new());
    let breaker = Breaker::default().failure_threshold(1).probe_delay(SECOND).max_probe_delay(SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(Retry::never()).breaker(breaker).fallback(fallback.clone());
    let logger = start(one_by_one().sink("http", pipeline)).await;
    // One event every 500 ms for 42 s, to the fallback; the first and the probes fail.
    for number in 0..84 {
        emit_numbers(&logger, [number]);
        tokio::time::sleep(500 * MS).await;
    }
    sink.turn(Answer::Ok);
    assert_eq!((sink.notices(), fallback.notices()), (vec![], vec![]), "nothing is lost");
    emit_numbers(&logger, [84]);
    settle().await;
    let said = ["sink http was unavailable for 42 s: 84 events to the fallback, 0 lost"];
    assert_eq!(
        (sink.notices(), fallback.notices()),
        (said.map(String::from).to_vec(), said.map(String::from).to_vec())
    );
    end(&logger, &[("http", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_fallback_a_recovery_says_what_was_lost_meanwhile() {
    let sink = ScriptedSink::new().writes([Answer::Permanent, Answer::Permanent]);
    let breaker = Breaker::default().probe_delay(200 * MS);
    let pipeline = Pipeline::new(sink.clone()).retry(Retry::never()).breaker(breaker);
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, [0]);
    settle().await;
    assert_eq!(sink.notices(), [""; 0], "nothing is written to a sink whose breaker is open");
    tokio::time::sleep(200 * MS).await;
    emit_numbers(&logger, [1]);
    settle().await;
    tokio::time::sleep(500 * MS).await;
    emit_numbers(&logger, [2]);
    settle().await;
    let back = sink.notices_at();
    let words: Vec<_> = back.iter().map(|(_, notice)| notice.message.as_str()).collect();
    assert_eq!(words.len(), 2);
    assert!(words[0].starts_with("sink sink was unavailable for 0.7") && words[0].ends_with(" s: 2 events lost"));
    assert_eq!(words[1], sink_lost(2));
    assert_eq!(back[1].1.fields[2], ("sink_failed".to_owned(), "2".to_owned()));
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn while_a_sink_hangs_its_fallbacks_readers_are_told_of_its_losses() {
    let (sink, fallback) = (ScriptedSink::always(Answer::Gate).outliving(), ScriptedSink::new());
    let fallback = fallback.writes([Answer::Ok, Answer::Rejected]);
    let pipeline = Pipeline::new(sink.clone()).timeout(SECOND).fallback(fallback.clone());
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..4);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((sink.notices(), fallback.notices()), (vec![], vec![sink_lost(1)]));
    balance_stats(&logger.stats(), &[("sink", 0)]);
    sink.open_gate();
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.notices().len(), 2, "it is back, and what it lost: {:?}", sink.notices());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_of_is_said_before_the_sink_closes() {
    let sink = ScriptedSink::new();
    let logger = start(builder().queue_capacity(4).overflow(Overflow::DropNewest).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..10);
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.notices(), [queue_lost(6)]);
    assert_eq!(sink.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_changes_nothing_of_what_its_sink_is_asked_for() {
    // A failing notice is no failure of the breaker's, a written one no success.
    let sink = ScriptedSink::new().notice_answers([Answer::Temporary]);
    let breaker = Breaker::default().failure_threshold(2).probe_delay(SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(Retry::never()).breaker(breaker);
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    sink.turn(Answer::Temporary);
    emit_numbers(&logger, [0]);
    settle().await;
    assert_eq!(logger.stats().sinks[0].breaker_opened, 0, "one write failed, and a notice");
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(sink.notices().len(), 1);
    emit_numbers(&logger, [1]);
    settle().await;
    let stats = logger.stats();
    assert_eq!((stats.sinks[0].breaker_opened, stats.sinks[0].retries), (1, 0), "two in a row: {stats:?}");
    sink.turn(Answer::Ok);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn notices_can_be_turned_off_and_an_interval_of_nothing_is_refused() {
    let sink = ScriptedSink::new();
    let logger = start(narrow().notice_interval(Duration::MAX).sink("sink", sink.clone())).await;
    emit_numbers(&logger, 0..10);
    tokio::time::sleep(10 * SECOND).await;
    end(&logger, &[("sink", &sink)]).await;
    assert_eq!(sink.notices(), [""; 0]);
    let refused = Logger::builder().notice_interval(Duration::ZERO).sink("sink", ScriptedSink::new()).start();
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("notice_interval") && error.contains("1ms or more"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_hangs_holds_up_a_flush_no_longer_than_its_timeout() {
    let sink = ScriptedSink::new().notice_answers([Answer::Hang]);
    let logger = start(narrow().sink("sink", once(sink.clone()).timeout(2 * SECOND))).await;
    emit_numbers(&logger, 0..10);
    // The notice is being written when the flush comes; it has its time and no more.
    tokio::time::sleep(150 * MS).await;
    assert!(logger.flush(PATIENCE).await.complete);
    end(&logger, &[("sink", &sink)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_hangs_at_notices_holds_up_a_healthy_sink_ever_more_seldom_and_not_its_close() {
    let sink = ScriptedSink::new().writes([Answer::Rejected]);
    // Neither takes the poison; from then on the fallback hangs.
    let fallback = ScriptedSink::new().writes([Answer::Rejected]).notice_answers([const { Answer::Hang }; 20]);
    let pipeline = once(sink.clone()).fallback(Pipeline::new(fallback.clone()).timeout(5 * SECOND));
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    emit_numbers(&logger, [0]);
    // An hour, in which it is asked after 0, 2, 4, 8, .. seconds of 5 each.
    tokio::time::sleep(3600 * SECOND).await;
    let errors = logger.stats().sinks[0].fallbacks[0].errors;
    assert!((10..=13).contains(&errors), "asked {errors} times");
    emit_numbers(&logger, 1..4);
    // The last notice hangs too, once, behind the close of the sink.
    let report = logger.shutdown(3 * SECOND).await;
    assert_eq!((report.sinks[0].delivered, sink.closed(), report.timed_out), (3, 1, true));
}

#[tokio::test(start_paused = true)]
async fn an_outage_begins_with_the_failure_that_led_to_it() {
    let sink = ScriptedSink::new().writes([Answer::Ok, Answer::Rejected]);
    let breaker = Breaker::default().failure_threshold(2).probe_delay(SECOND);
    let pipeline = Pipeline::new(sink.clone()).retry(Retry::never()).breaker(breaker);
    let logger = start(one_by_one().sink("sink", pipeline)).await;
    // A poison is no failure of the sink's, whatever comes hours later.
    emit_numbers(&logger, 0..2);
    tokio::time::sleep(3600 * SECOND).await;
    sink.turn(Answer::Temporary);
    emit_numbers(&logger, 2..4);
    tokio::time::sleep(20 * SECOND).await;
    sink.turn(Answer::Ok);
    emit_numbers(&logger, [4]);
    settle().await;
    end(&logger, &[("sink", &sink)]).await;
    let said = sink.notices();
    assert!(said.contains(&"sink sink was unavailable for 20 s: 2 events lost".to_owned()), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_at_its_last_notice_is_closed_after_one_timeout() {
    let sink = ScriptedSink::new().notice_answers([const { Answer::Hang }; 3]);
    let pipeline = once(sink.clone()).timeout(2 * SECOND);
    let logger = start(builder().queue_capacity(4).sink("sink", pipeline)).await;
    emit_numbers(&logger, 0..10);
    let report = logger.shutdown(3 * SECOND).await;
    assert_eq!((report.sinks[0].delivered, report.sinks[0].errors, report.timed_out), (4, 1, false));
    assert_eq!(sink.closed(), 1);
}
