//! What one process leaves, the next one delivers.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};

use logweir::event::EventId;
use logweir::{Batch, Pipeline, Sink, SinkError, async_trait};

use super::{Folder, Unavailable, builder, end, quick, spooled, start};
use crate::support::{PATIENCE, ScriptedSink, emit_numbers, number};

/// Keeps the id of each event, by its message.
#[derive(Clone, Default)]
struct Ids(Arc<Mutex<HashMap<String, EventId>>>, bool);

#[async_trait]
impl Sink for Ids {
    async fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let ids = batch.iter().map(|record| (record.message().to_string(), record.id()));
        self.0.lock().unwrap().extend(ids);
        if self.1 { Ok(()) } else { Err(SinkError::temporary("unavailable")) }
    }
}

#[tokio::test]
async fn what_is_spooled_at_an_orderly_end_is_what_the_next_process_recovers_and_delivers_first() {
    let folder = Folder::new("restart");
    let logger = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&logger, 0..500);
    let first = end(&logger).await;
    assert_eq!((first.routed, first.spooled, first.dropped.total(), first.unconfirmed), (500, 500, 0, 0), "{first}");
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), folder.spool()));
    assert_eq!(logger.stats().sinks[0].recovered, 500);
    emit_numbers(&logger, 500..600);
    let second = end(&logger).await;
    assert_eq!((second.recovered, second.routed, second.delivered, second.spooled), (500, 100, 600, 0), "{second}");
    assert_eq!(sink.numbers(), (0..600).collect::<Vec<_>>());
    assert_eq!(folder.segments(), [] as [std::path::PathBuf; 0], "all is delivered, and nothing is left");
}

#[tokio::test]
async fn an_event_keeps_its_id_in_the_next_process() {
    let folder = Folder::new("ids");
    let before = Ids::default();
    let logger = start(spooled(before.clone(), folder.spool()));
    emit_numbers(&logger, 0..3);
    assert_eq!(end(&logger).await.spooled, 3);
    let after = Ids(Arc::default(), true);
    let logger = start(spooled(after.clone(), folder.spool()));
    assert_eq!(end(&logger).await.delivered, 3);
    let (before, after) = (before.0.lock().unwrap(), after.0.lock().unwrap());
    assert!(!before.is_empty() && before.iter().all(|(message, id)| after[message] == *id), "{before:?} {after:?}");
}

#[tokio::test]
async fn what_several_processes_left_is_delivered_in_their_order() {
    let folder = Folder::new("several");
    for process in 0..4 {
        let logger = start(spooled(Unavailable, folder.spool()));
        emit_numbers(&logger, process * 10..process * 10 + 10);
        let left = end(&logger).await;
        assert_eq!((left.recovered, left.spooled), (process * 10, process * 10 + 10));
    }
    let sink = ScriptedSink::new();
    let logger = start(spooled(sink.clone(), folder.spool()));
    assert_eq!(end(&logger).await.delivered, 40);
    assert_eq!(sink.numbers(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_process_that_runs_keeps_what_it_has() {
    let folder = Folder::new("locked");
    let one = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&one, 0..5);
    assert!(one.flush(PATIENCE).await.complete);
    let sink = ScriptedSink::new();
    let other = start(spooled(sink.clone(), folder.spool()));
    emit_numbers(&other, 5..7);
    assert_eq!(end(&other).await.delivered, 2);
    assert_eq!(end(&one).await.spooled, 5);
    assert_eq!(sink.numbers(), [5, 6]);
}

#[tokio::test]
async fn what_a_sink_of_another_name_left_is_taken_over_by_its_name_only() {
    let folder = Folder::new("names");
    let logger = start(builder().sink("old/name", quick(Pipeline::new(Unavailable)).spool(folder.spool())));
    emit_numbers(&logger, 0..5);
    assert_eq!(end(&logger).await.spooled, 5);
    let logger = start(spooled(ScriptedSink::new(), folder.spool()));
    assert_eq!(end(&logger).await.recovered, 0);
    let logger = start(spooled(ScriptedSink::new(), folder.spool().also("old/name")));
    assert_eq!(end(&logger).await.delivered, 5);
}

#[tokio::test]
async fn what_another_version_left_stops_no_start_and_is_left_alone() {
    let folder = Folder::new("version");
    let other = folder.path().join("sink/v2-0000000000000000");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("data"), "of another version").unwrap();
    let logger = start(spooled(ScriptedSink::new(), folder.spool()));
    emit_numbers(&logger, 0..3);
    assert_eq!(end(&logger).await.delivered, 3);
    assert_eq!(fs::read_to_string(other.join("data")).unwrap(), "of another version");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("modes");
    let logger = start(spooled(Unavailable, folder.spool()));
    emit_numbers(&logger, 0..3);
    assert_eq!(end(&logger).await.spooled, 3);
    let file = folder.segments().remove(0);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap()), mode(folder.path())), (0o600, 0o700, 0o700));
}

#[tokio::test]
async fn a_spool_that_is_too_small_is_no_spool() {
    let folder = Folder::new("small");
    let error = spooled(ScriptedSink::new(), folder.spool().max_bytes(1000)).start().unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    let text = text.join(": ");
    assert!(text.contains("max_bytes") && text.contains("1000") && text.contains("4194304"), "{text}");
}

#[tokio::test]
async fn what_an_earlier_process_left_is_masked_by_the_rules_of_now() {
    let folder = Folder::new("masked");
    let logger = start(spooled(Unavailable, folder.spool()).enrich("token", "secret-1"));
    let event = || number(1).with("password", "secret-2").with("user", "ada");
    logger.with("api_key", "secret-3").emit(event());
    logger.emit(event());
    assert_eq!(end(&logger).await.spooled, 2);
    let sink = logweir::sink::MemorySink::new();
    let masking = spooled(sink.clone(), folder.spool()).redact(["password", "token", "api_key"]);
    let logger = start(masking);
    assert_eq!(end(&logger).await.delivered, 2);
    let events = sink.events();
    for event in &events {
        let shown = event.fields().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert!(!shown.concat().contains("secret") && shown.contains(&"user=ada".into()), "{shown:?}");
        assert!(event.field("token").is_some() && event.field("password").is_some(), "{shown:?}");
    }
    assert!(events[0].field("api_key").is_some());
}
