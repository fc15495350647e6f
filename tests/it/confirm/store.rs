//! What a spool's store has, confirms; and nothing else does.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use logweir::error::ConfirmError;
use logweir::sink::NullSink;
use logweir::spool::{AppendError, Recovered, SpoolProgress, SpoolStore, Stored};
use logweir::{Batch, Confirmation, Overflow, Pipeline, SinkError, WhenFull, async_trait};

use super::{SOON, end, sinks};
use crate::support::{
    Answer, PATIENCE, ScriptedRequests, ScriptedSink, builder, emit_numbers, number, once, settle, start, until,
};

/// A store in memory whose calls fail as scripted.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    records: Vec<(u64, Batch)>,
    next: u64,
    synced: u64,
    syncs: usize,
    reads: usize,
    failing_appends: usize,
    failing_syncs: usize,
    /// Each holds one synchronization until it is closed.
    gates: VecDeque<Arc<tokio::sync::Semaphore>>,
    /// Holds the next append.
    append_gate: Option<Arc<tokio::sync::Semaphore>>,
}

impl Kept {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing_appends(self, calls: usize) -> Self {
        self.shelf().failing_appends = calls;
        self
    }

    fn failing_syncs(self, calls: usize) -> Self {
        self.shelf().failing_syncs = calls;
        self
    }

    /// Holds the next synchronization; returns what ends the hold.
    fn gate(&self) -> Arc<tokio::sync::Semaphore> {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        self.shelf().gates.push_back(gate.clone());
        gate
    }
}

#[async_trait]
impl SpoolStore for Kept {
    fn open(&self, _: &str) -> Result<Recovered, SinkError> {
        Ok(Recovered::default())
    }

    async fn append(&self, batches: &[Batch]) -> Result<(), AppendError> {
        let gate = self.shelf().append_gate.take();
        if let Some(gate) = gate {
            drop(gate.acquire().await);
        }
        let mut shelf = self.shelf();
        if shelf.failing_appends > 0 {
            shelf.failing_appends -= 1;
            return Err(AppendError::Failed(SinkError::temporary("scripted")));
        }
        for batch in batches {
            let first = shelf.next;
            shelf.records.push((first, batch.clone()));
            shelf.next += batch.len() as u64;
        }
        Ok(())
    }

    async fn read(&self, positions: Range<u64>) -> Result<Option<Stored>, SinkError> {
        let mut shelf = self.shelf();
        shelf.reads += 1;
        let found = shelf.records.iter().find(|(first, batch)| first + batch.len() as u64 > positions.start);
        Ok(found.map(|(first, batch)| Stored { first: *first, batch: batch.clone() }))
    }

    fn advance(&self, _: SpoolProgress) {}

    async fn sync(&self) -> Result<(), SinkError> {
        let (covered, gate) = {
            let mut shelf = self.shelf();
            (shelf.next, shelf.gates.pop_front())
        };
        if let Some(gate) = gate {
            drop(gate.acquire().await);
        }
        let mut shelf = self.shelf();
        shelf.syncs += 1;
        if shelf.failing_syncs > 0 {
            shelf.failing_syncs -= 1;
            return Err(SinkError::temporary("scripted"));
        }
        shelf.synced = shelf.synced.max(covered);
        Ok(())
    }
}

fn spooled(sink: ScriptedSink, store: &Kept) -> logweir::Builder<'static> {
    builder().sink("sink", once(sink).spool_store(store.clone()))
}

#[tokio::test]
async fn an_event_is_confirmed_in_an_outage_once_the_store_has_synchronized_it() {
    let store = Kept::default();
    let gate = store.gate();
    let logger = start(spooled(ScriptedSink::always(Answer::Temporary), &store)).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    until(&logger, |sink| sink.spooled > 0).await;
    assert!((&mut confirmed).now_or_never().is_none(), "it is appended, and not synchronized");
    gate.close();
    let receipt = confirmed.await.unwrap();
    assert_eq!(sinks(&receipt), [("sink", Confirmation::Synced)]);
    assert_eq!(store.shelf().synced, 1);
    end(&logger).await;
}

#[tokio::test]
async fn all_that_come_during_a_synchronization_share_the_next_one() {
    let store = Kept::default();
    let gate = store.gate();
    let logger = start(spooled(ScriptedSink::always(Answer::Temporary), &store)).await;
    let first = tokio::spawn({
        let logger = logger.clone();
        async move { logger.emit_confirmed(number(0), PATIENCE).await }
    });
    until(&logger, |sink| sink.spooled > 0).await;
    let others: Vec<_> = (1..100)
        .map(|n| {
            let logger = logger.clone();
            tokio::spawn(async move { logger.emit_confirmed(number(n), PATIENCE).await })
        })
        .collect();
    until(&logger, |sink| sink.spooled >= 100).await;
    gate.close();
    assert!(first.await.unwrap().is_ok());
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(store.shelf().syncs, 2);
    end(&logger).await;
}

#[tokio::test(start_paused = true)]
async fn a_synchronization_that_fails_confirms_nothing_and_is_repeated() {
    let store = Kept::default().failing_syncs(2);
    let logger = start(spooled(ScriptedSink::always(Answer::Temporary), &store)).await;
    assert!(logger.emit_confirmed(number(1), PATIENCE).await.is_ok());
    let (syncs, synced) = {
        let shelf = store.shelf();
        (shelf.syncs, shelf.synced)
    };
    assert_eq!((syncs, synced), (3, 1));
    end(&logger).await;
}

#[tokio::test]
async fn a_sink_that_is_quicker_than_the_disk_does_not_confirm_in_its_place() {
    let store = Kept::default();
    let gate = store.gate();
    let logger = start(spooled(ScriptedSink::new(), &store)).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    until(&logger, |sink| sink.delivered > 0).await;
    assert!((&mut confirmed).now_or_never().is_none(), "it is written, which confirms nothing");
    gate.close();
    assert_eq!(sinks(&confirmed.await.unwrap()), [("sink", Confirmation::Synced)]);
    end(&logger).await;
}

#[tokio::test]
async fn what_is_offered_from_memory_is_confirmed_by_its_destination_or_not_at_all() {
    let logger = start(spooled(ScriptedSink::new(), &Kept::default().failing_appends(1))).await;
    let unknown = ConfirmError::Unconfirmed { sink: "sink".into() };
    assert_eq!(logger.emit_confirmed(number(1), PATIENCE).await, Err(unknown));
    end(&logger).await;
    let pipeline = Pipeline::new(ScriptedRequests::new()).spool_store(Kept::default().failing_appends(1));
    let logger = start(builder().sink("sink", pipeline)).await;
    let receipt = logger.emit_confirmed(number(1), PATIENCE).await.unwrap();
    assert_eq!(sinks(&receipt), [("sink", Confirmation::Delivered)]);
    end(&logger).await;
}

#[tokio::test]
async fn a_flush_that_begins_before_an_append_confirms_nothing_of_it() {
    let store = Kept::default();
    let (first, second) = (store.gate(), store.gate());
    let logger = start(spooled(ScriptedSink::always(Answer::Temporary), &store)).await;
    let mut flushed = Box::pin(logger.flush(PATIENCE));
    assert!((&mut flushed).now_or_never().is_none());
    while store.shelf().gates.len() > 1 {
        tokio::task::yield_now().await;
    }
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    while !store.shelf().gates.is_empty() {
        tokio::task::yield_now().await;
    }
    first.close();
    assert!(flushed.await.complete);
    assert!((&mut confirmed).now_or_never().is_none());
    second.close();
    assert!(confirmed.await.is_ok());
    end(&logger).await;
}

#[tokio::test]
async fn a_sink_without_a_spool_is_not_waited_for_if_none_is_essential() {
    let two = spooled(ScriptedSink::always(Answer::Temporary), &Kept::default()).sink("other", NullSink);
    let logger = start(two).await;
    assert_eq!(sinks(&logger.emit_confirmed(number(1), PATIENCE).await.unwrap()), [("sink", Confirmation::Synced)]);
    end(&logger).await;
    let essential = Pipeline::new(ScriptedRequests::new().replies([crate::support::Reply::Hang])).essential();
    let both = spooled(ScriptedSink::new(), &Kept::default()).sink("other", essential);
    let logger = start(both).await;
    let late = ConfirmError::TimedOut { pending: vec!["other".into()] };
    assert_eq!(logger.emit_confirmed(number(1), SOON).await, Err(late));
    logger.shutdown(SOON).await.check().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_sink_has_from_memory_is_not_confirmed_by_an_append_that_ends_late() {
    let store = Kept::default();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    store.shelf().append_gate = Some(gate.clone());
    let sink = ScriptedSink::new().writes([Answer::Gate]);
    let pipeline = once(sink.clone()).spool_store(store.clone()).timeout(std::time::Duration::from_secs(10));
    let logger = start(builder().sink("sink", pipeline)).await;
    let mut confirmed = Box::pin(logger.emit_confirmed(number(1), PATIENCE));
    assert!((&mut confirmed).now_or_never().is_none());
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert_eq!((sink.attempted().len(), logger.stats().sinks[0].spool_bypassed), (1, 1));
    gate.close();
    settle().await;
    assert!(logger.flush(std::time::Duration::ZERO).await.sinks[0].pending > 0);
    settle().await;
    assert!((&mut confirmed).now_or_never().is_none(), "the spool does not keep it");
    sink.open_gate();
    assert_eq!(confirmed.await, Err(ConfirmError::Unconfirmed { sink: "sink".into() }));
    end(&logger).await;
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_the_disk_do_not_have_read_back_what_it_has() {
    let store = Kept::default();
    let sink = ScriptedSink::new().writes([Answer::Gate]);
    let pipeline = once(sink.clone()).spool_store(store.clone()).when_full(WhenFull::Block).backlog_bytes(64 << 10);
    let builder = builder().overflow(Overflow::Block(PATIENCE)).memory_limit(4 << 20).max_event_bytes(8 << 10);
    let logger = start(builder.sink("sink", pipeline)).await;
    for first in [0, 50, 100, 150] {
        emit_numbers(&logger, first..first + 50);
        drop(logger.flush(std::time::Duration::ZERO).await);
        settle().await;
    }
    until(&logger, |sink| sink.spooled + sink.in_flight == 200).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    store.shelf().append_gate = Some(gate.clone());
    // More than the memory has room for.
    emit_numbers(&logger, 200..900);
    drop(logger.flush(std::time::Duration::ZERO).await);
    settle().await;
    let waiting = logger.stats().sinks[0].clone();
    assert!(waiting.backlog > 200 && waiting.backlog < 700, "{waiting}");
    sink.open_gate();
    until(&logger, |sink| sink.delivered == 200).await;
    let reads = store.shelf().reads;
    gate.close();
    end(&logger).await;
    assert_eq!(reads, 0);
    assert!(sink.numbers().into_iter().eq(0..900));
}
