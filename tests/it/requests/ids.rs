//! The identity of events.

use std::collections::HashSet;

use logweir::sink::{Answer, MemorySink, Verdict};
use logweir::{Event, Level, Pipeline};

use super::{MS, stubborn};
use crate::support::{NEVER, PATIENCE, Reply, ScriptedRequests, ScriptedSink, builder, emit_numbers, start};

fn ids(memory: &MemorySink) -> Vec<(String, String)> {
    memory.events().iter().map(|event| (event.message(), event.id().to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_has_one_id_in_every_sink_attempt_split_and_copy() {
    let answers = [
        Reply::Hang,
        Reply::Says(Answer::again("busy").except(3, Verdict::Delivered)),
        Reply::Says(Answer::rejected("one of them")),
    ];
    let (sink, all, few) = (ScriptedRequests::new().replies(answers), MemorySink::new(), MemorySink::new());
    let logger = start(
        builder()
            .batch_size(5)
            .sink("http", stubborn(sink.clone()).timeout(10 * MS).batching(10, 1 << 20, NEVER))
            .sink("all", all.clone())
            .sink("few", Pipeline::new(few.clone()).level(Level::Error)),
    )
    .await;
    for n in 0..20_u64 {
        let level = if n % 5 == 3 { Level::Error } else { Level::Info };
        logger.emit(Event::new(level, "t", &n.to_string()));
    }
    logger.shutdown(PATIENCE).await.check().unwrap();
    let all = ids(&all);
    let id_of = |number: &str| &all.iter().find(|(message, _)| message == number).unwrap().1;
    assert_eq!(all.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 20, "{all:?}");
    let numbers = all.iter().map(|(_, id)| u128::from_str_radix(id, 16).unwrap());
    assert!(
        numbers.collect::<Vec<_>>().windows(2).all(|pair| pair[1] == pair[0] + 1),
        "in the order of dispatch: {all:?}"
    );
    let few = ids(&few);
    assert_eq!(few.len(), 4);
    assert!(few.iter().all(|(message, id)| id == id_of(message)), "{few:?} of {all:?}");
    assert!(sink.requests().len() > 4);
    for request in sink.requests() {
        for (number, id) in request.numbers.iter().zip(&request.ids) {
            assert_eq!(id, id_of(&number.to_string()), "attempt {} of {number}", request.attempt);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn loggers_have_different_ids_and_notices_have_their_own() {
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let memory = MemorySink::new();
        let failing = ScriptedSink::new().writes([crate::support::Answer::Rejected]);
        let pipeline = Pipeline::new(failing).fallback(Pipeline::new(memory.clone()));
        let logger = start(builder().sink("lossy", pipeline).sink("memory", memory.clone())).await;
        emit_numbers(&logger, [1]);
        logger.shutdown(PATIENCE).await.check().unwrap();
        for (message, id) in ids(&memory) {
            assert_eq!(id.len(), 32);
            // The event is there twice, by its fallback and by the other sink.
            seen.insert((message, id));
        }
    }
    let ids: HashSet<_> = seen.iter().map(|(_, id)| id).collect();
    assert_eq!((seen.len(), ids.len()), (3, 3), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn two_notices_never_have_one_id() {
    let sink = ScriptedRequests::new();
    let logger = start(builder().batch_size(1).notice_interval(MS).sink("sink", Pipeline::new(sink.clone()))).await;
    let sink = sink.says([Answer::rejected("bad").whole(), Answer::delivered(), Answer::rejected("bad").whole()]);
    emit_numbers(&logger, [1]);
    drop(logger.flush(PATIENCE).await);
    tokio::time::sleep(10 * MS).await;
    emit_numbers(&logger, [2]);
    drop(logger.flush(PATIENCE).await);
    logger.shutdown(PATIENCE).await.check().unwrap();
    let ids = sink.notice_ids();
    assert!(ids.len() >= 2, "{:?}", sink.notices());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
}

#[test]
fn an_event_that_no_logger_dispatched_has_the_id_zero() {
    let event = Event::new(Level::Info, "t", "m");
    assert_eq!(logweir::event::Record::from(&event).id().to_string(), "0".repeat(32));
}
