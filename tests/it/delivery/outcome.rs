//! How a write ends, and what becomes of its batch.

use std::future::Future;
use std::pin::Pin;

use logweir::sink::SinkErrorKind;
use logweir::{Batch, DropReason, Event, Level, Pipeline, Sink, SinkError, async_trait};

use crate::support::{Answer, PATIENCE, ScriptedSink, balance, balance_stats, builder, emit_numbers, end, once, start};

use super::{SECOND, brief, errors, one_by_one};

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_drops_under_its_own_reason() {
    for (answer, reason, kind) in [
        (Answer::Temporary, DropReason::RetriesExhausted, SinkErrorKind::Temporary),
        (Answer::Rejected, DropReason::Rejected, SinkErrorKind::Rejected),
        (Answer::Permanent, DropReason::SinkFailed, SinkErrorKind::Permanent),
        (Answer::Panic, DropReason::Panicked, SinkErrorKind::Panic),
    ] {
        let sink = ScriptedSink::new().writes([Answer::Ok, answer, Answer::Ok]);
        let logger = start(one_by_one().sink("sink", once(sink.clone()))).await;
        emit_numbers(&logger, 0..3);
        let report = end(&logger, &[("sink", &sink)]).await;
        let booked = &report.sinks[0];
        assert_eq!((booked.dropped.get(reason), booked.dropped.total()), (1, 1), "{booked}");
        assert_eq!((booked.errors, errors(booked)), (1, vec![(kind, 1)]));
        assert_eq!(booked.last_error.as_ref().unwrap().kind, kind);
        assert_eq!(sink.numbers(), [0, 2], "the task goes on");
        assert_eq!(sink.closed(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_write_delivered_counts_as_delivered() {
    let sink = ScriptedSink::new().writes([Answer::Delivered(7), Answer::Delivered(0), Answer::Delivered(10)]);
    let logger = start(builder().batch_size(10).sink("sink", once(sink.clone()))).await;
    emit_numbers(&logger, 0..40);
    let report = end(&logger, &[("sink", &sink)]).await;
    assert_eq!((report.sinks[0].delivered, report.sinks[0].dropped.get(DropReason::RetriesExhausted)), (27, 13));
    assert_eq!(sink.numbers(), (0..7).chain(20..40).collect::<Vec<_>>());
    // A sink that claims more than it was given is believed up to what it was given.
    struct Boaster;
    #[async_trait]
    impl Sink for Boaster {
        async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            Err(SinkError::temporary("all of it, and more").with_delivered(batch.len() + 5))
        }
    }
    let logger = start(builder().sink("boaster", Boaster)).await;
    emit_numbers(&logger, 0..3);
    balance(&logger.shutdown(PATIENCE).await, &[("boaster", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_too_long_ends_unconfirmed_and_the_next_begins() {
    let sink = ScriptedSink::new().writes([Answer::Ok, Answer::Hang, Answer::Slow(SECOND / 2)]);
    let logger = start(one_by_one().sink("sink", brief(&sink))).await;
    emit_numbers(&logger, 0..4);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.unconfirmed, booked.delivered, booked.dropped.total()), (1, 3, 0));
    assert_eq!(errors(booked), [(SinkErrorKind::Timeout, 1)]);
    assert!(booked.last_error.as_ref().unwrap().message.contains("`write` within 1s"), "{booked:?}");
    assert_eq!(sink.numbers(), [0, 2, 3]);
    assert_eq!(sink.batch_sizes(), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_outlives_timeouts_gets_no_second_write_before_its_late_answer_which_is_booked() {
    let sink = ScriptedSink::new().writes([Answer::Gate, Answer::GateThenTemporary]).outliving();
    let logger = start(one_by_one().flush_at(Level::Trace).sink("sink", brief(&sink))).await;
    emit_numbers(&logger, 0..4);
    tokio::time::sleep(10 * SECOND).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 0)]);
    assert_eq!((stats.sinks[0].unconfirmed, stats.sinks[0].in_flight, stats.sinks[0].backlog), (1, 0, 3));
    assert_eq!(sink.batch_sizes(), [1], "no second write");
    assert!(!logger.flush(SECOND).await.sinks[0].flushed);
    assert_eq!(sink.flushed(), 0, "nor a flush");

    sink.release(1);
    sink.begun(2).await;
    let stats = logger.stats();
    balance_stats(&stats, &[("sink", 1)]);
    assert_eq!((stats.sinks[0].unconfirmed, stats.sinks[0].in_flight), (0, 1));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((logger.stats().sinks[0].unconfirmed, sink.batch_sizes().len()), (1, 2));

    // The second late answer is a failure: now it is known what became of the event.
    sink.release(1);
    let report = end(&logger, &[("sink", &sink)]).await;
    let booked = &report.sinks[0];
    assert_eq!((booked.unconfirmed, booked.dropped.get(DropReason::RetriesExhausted)), (0, 1));
    assert_eq!(sink.numbers(), [0, 2, 3]);
    assert_eq!(errors(booked), [(SinkErrorKind::Temporary, 1), (SinkErrorKind::Timeout, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_write_is_a_future_is_caught_too() {
    /// Written without `async`: the panic is in the call itself.
    struct Eager(u64);
    impl Sink for Eager {
        fn write<'s, 'b, 'f>(
            &'s mut self,
            batch: &'b Batch,
        ) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'f>>
        where
            's: 'f,
            'b: 'f,
        {
            self.0 += 1;
            assert!(self.0 != 2, "scripted");
            let events = batch.len();
            Box::pin(async move { if events == 1 { Ok(()) } else { Err(SinkError::rejected("one at a time")) } })
        }
    }
    let logger = start(one_by_one().sink("eager", Eager(0))).await;
    emit_numbers(&logger, 0..5);
    let report = logger.shutdown(PATIENCE).await;
    balance(&report, &[("eager", 4)]);
    assert_eq!((report.sinks[0].dropped.get(DropReason::Panicked), report.timed_out), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_fails_panics_or_hangs_is_an_error_of_that_sink_alone() {
    for (answer, kind) in [
        (Answer::Temporary, SinkErrorKind::Temporary),
        (Answer::Panic, SinkErrorKind::Panic),
        (Answer::Hang, SinkErrorKind::Timeout),
    ] {
        let (bad, good) = (ScriptedSink::new().flushes([answer]), ScriptedSink::new());
        let logger = start(builder().sink("bad", brief(&bad)).sink("good", good.clone())).await;
        emit_numbers(&logger, 0..3);
        let report = logger.flush(PATIENCE).await;
        assert!(!report.complete && report.sinks[1].flushed && !report.sinks[0].flushed, "{report:?}");
        assert_eq!(report.sinks[0].error.as_ref().unwrap().kind, kind);
        assert_eq!((report.sinks[0].pending, bad.seen(), good.seen()), (0, 3, 3));
        assert!(logger.flush(PATIENCE).await.complete, "the next one is its own");
        let report = end(&logger, &[("bad", &bad), ("good", &good)]).await;
        assert_eq!(report.sinks[0].errors, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_gets_its_level_and_what_it_does_not_get_is_filtered() {
    let sinks: Vec<_> = Level::ALL.into_iter().map(|level| (level, ScriptedSink::new())).collect();
    let mut builder = builder();
    for (level, sink) in &sinks {
        builder = builder.sink(level.as_str(), Pipeline::new(sink.clone()).level(*level));
    }
    let logger = start(builder).await;
    for round in 0..10 {
        for level in Level::ALL {
            logger.emit(Event::new(level, "t", &(round * 10 + level as u64).to_string()));
        }
    }
    let seen: Vec<_> = sinks.iter().map(|(level, sink)| (level.as_str(), sink)).collect();
    let report = end(&logger, &seen).await;
    for (booked, (level, sink)) in report.sinks.iter().zip(&sinks) {
        assert_eq!((booked.filtered, booked.routed), (*level as u64 * 10, 60 - *level as u64 * 10));
        assert!(sink.taken().iter().all(|seen| seen.level >= *level));
        assert!(sink.numbers().is_sorted());
    }
}
