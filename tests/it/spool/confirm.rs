//! What a receipt is worth, on a real disk.

use std::time::Duration;

use futures::FutureExt;
use logweir::{Confirmation, DropReason, Pipeline};

use super::{Folder, Unavailable, builder, end, quick, spooled, start};
use crate::support::{PATIENCE, ScriptedSink, emit_numbers, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_confirmed_is_what_the_next_process_delivers_if_the_sink_is_unavailable() {
    let folder = Folder::new("receipts");
    let logger = start(spooled(Unavailable, folder.spool()));
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let logger = logger.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let receipt = logger.emit_confirmed(number(task * 20 + n), PATIENCE).await.unwrap();
                    assert_eq!(receipt.sinks, [("sink".to_owned(), Confirmation::Synced)]);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(end(&logger).await.spooled, 64 * 20);
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), folder.spool()));
    assert_eq!(end(&logger).await.recovered, 64 * 20);
    let mut numbers = sink.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..64 * 20).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_part_of_a_full_spool_is_dropped_that_has_a_confirmed_event() {
    let folder = Folder::new("held");
    let spool = || folder.spool().max_bytes(4 << 20);
    let pipeline = |sink| quick(Pipeline::new(sink)).spool(spool()).essential().backlog_bytes(256 << 10);
    let logger = start(
        builder()
            .max_event_bytes(8 << 10)
            .sink("sink", pipeline(ScriptedSink::always(crate::support::Answer::Temporary))),
    );
    // The sink has a request with the first of these: that part stays in any case.
    let mut next = 0;
    while folder.segments().len() < 2 {
        (next..next + 50).for_each(|n| logger.emit(number(n).with("text", "x".repeat(2000))));
        next += 50;
        assert!(logger.flush(PATIENCE).await.complete);
    }
    let confirmed = next;
    logger.emit_confirmed(number(confirmed), PATIENCE).await.unwrap();
    next += 1;
    while logger.stats().sinks[0].dropped.get(DropReason::SpoolFull) < 1000 {
        for _ in 0..50 {
            logger.emit(number(next).with("text", "x".repeat(2000)));
            next += 1;
        }
        assert!(logger.flush(Duration::from_millis(20)).await.sinks[0].error.is_none());
    }
    let ended = logger.shutdown(Duration::from_secs(1)).await;
    ended.check().unwrap();
    let sink = ScriptedSink::new();
    let logger = start(builder().max_event_bytes(8 << 10).sink("sink", pipeline(sink.clone())));
    let recovered = logger.stats().sinks[0].recovered;
    assert_eq!(end(&logger).await.delivered, recovered);
    let numbers = sink.numbers();
    assert!(numbers.contains(&confirmed) && numbers.is_sorted());
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_an_event_like_any_other() {
    let folder = Folder::new("dropped");
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), folder.spool()));
    assert!(logger.emit_confirmed(number(0), PATIENCE).now_or_never().is_none());
    emit_numbers(&logger, 1..3);
    assert_eq!(end(&logger).await.delivered, 3);
    assert_eq!(sink.numbers(), [0, 1, 2]);
}
