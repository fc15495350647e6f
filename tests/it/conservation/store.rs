//! A store of a spool that does what its plan says, and is still there when its logger is not.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir::spool::{AppendError, Recovered, SpoolProgress, SpoolStore, Stored};
use logweir::{Batch, SinkError, async_trait};

use super::link::number;
use super::program::{Delay, SpoolPlan, StoreAnswer, StoreOutcome, ms};

/// A store, which its owner keeps from one life to the next.
#[derive(Clone)]
pub(super) struct ScriptedStore {
    shelf: Arc<Mutex<Shelf>>,
    /// Held by an append: a synchronization comes after those that were called before it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

pub(super) struct Shelf {
    plan: SpoolPlan,
    /// Of the pipeline's own sink.
    timeout: Duration,
    appends: VecDeque<StoreAnswer>,
    reads: VecDeque<StoreAnswer>,
    syncs: VecDeque<StoreAnswer>,
    records: BTreeMap<u64, Batch>,
    /// The event at each position, also if it is settled and its record gone.
    appended: BTreeMap<u64, u64>,
    next: u64,
    progress: SpoolProgress,
    /// The position up to which everything is durable, and the progress that is.
    durable: (u64, SpoolProgress),
    /// It answers at once, and well.
    pub(super) is_healed: bool,
    /// Events that were lost.
    pub(super) lost: u64,
    pub(super) failed_appends: u64,
    /// Appends that took longer than their timeout.
    pub(super) late_appends: u64,
    pub(super) found_full: u64,
    pub(super) wrong: Option<String>,
    /// Events that a synchronization has covered.
    pub(super) synced: HashSet<u64>,
}

impl ScriptedStore {
    pub(super) fn new(plan: &SpoolPlan, timeout: u64) -> Self {
        let shelf = Shelf {
            plan: plan.clone(),
            timeout: ms(timeout),
            appends: plan.appends.clone().into(),
            reads: plan.reads.clone().into(),
            syncs: plan.syncs.clone().into(),
            records: BTreeMap::new(),
            appended: BTreeMap::new(),
            next: 0,
            progress: SpoolProgress::default(),
            durable: (0, SpoolProgress::default()),
            is_healed: false,
            lost: 0,
            failed_appends: 0,
            late_appends: 0,
            found_full: 0,
            wrong: None,
            synced: HashSet::new(),
        };
        ScriptedStore { shelf: Arc::new(Mutex::new(shelf)), turn: Arc::default() }
    }

    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, delay: Delay) {
        let timeout = self.shelf().timeout;
        match delay {
            Delay::None => {}
            Delay::InTime => tokio::time::sleep(timeout / 2).await,
            Delay::Late => tokio::time::sleep(timeout + timeout / 2).await,
            Delay::VeryLate => tokio::time::sleep(timeout * 7).await,
            Delay::Never => std::future::pending().await,
        }
    }
}

impl Shelf {
    fn next_answer(&mut self, script: impl Fn(&mut Shelf) -> &mut VecDeque<StoreAnswer>) -> StoreAnswer {
        let well = StoreAnswer { delay: Delay::None, outcome: StoreOutcome::Ok };
        let is_healed = self.is_healed;
        script(self).pop_front().filter(|_| !is_healed).unwrap_or(well)
    }

    fn is_settled(progress: &SpoolProgress, position: u64) -> bool {
        position < progress.frontier || progress.settled.iter().any(|range| range.contains(&position))
    }

    /// How many events are not settled.
    pub(super) fn unsettled(&self) -> u64 {
        (0..self.next).filter(|position| !Self::is_settled(&self.progress, *position)).count() as u64
    }

    /// Parts that can be removed: all but the last one.
    fn parts(&self) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let firsts: Vec<u64> = self.records.keys().copied().collect();
        let firsts: Vec<u64> = firsts.into_iter().filter(|first| self.is_wanted(*first, &self.progress)).collect();
        for part in firsts.chunks(self.plan.part) {
            let last = part[part.len() - 1];
            parts.push(part[0]..last + self.records[&last].len() as u64);
        }
        parts.pop();
        parts
    }

    /// Whether an event of a record is not settled.
    fn is_wanted(&self, first: u64, progress: &SpoolProgress) -> bool {
        (first..first + self.records[&first].len() as u64).any(|position| !Self::is_settled(progress, position))
    }

    /// The unsettled events, by their numbers, in the order of their positions.
    pub(super) fn left(&self) -> Vec<u64> {
        let mut events = Vec::new();
        for (first, batch) in &self.records {
            let positions = (*first..).zip(number(batch));
            let left = positions.filter(|(position, _)| !Self::is_settled(&self.progress, *position));
            events.extend(left.map(|(_, number)| number));
        }
        events
    }

    /// The batch with the first of these positions, or the first one behind it.
    fn find(&self, positions: &Range<u64>) -> Option<Stored> {
        let before = self.records.range(..=positions.start).next_back();
        let has_it = |(first, batch): &(&u64, &Batch)| **first + batch.len() as u64 > positions.start;
        let found = before.filter(has_it).or_else(|| self.records.range(positions.clone()).next());
        found.map(|(first, batch)| Stored { first: *first, batch: batch.clone() })
    }

    /// Forgets what was not durable.
    pub(super) fn crash(&mut self) {
        (self.next, self.progress) = self.durable.clone();
        let next = self.next;
        self.records.retain(|first, _| *first < next);
        self.appended.retain(|position, _| *position < next);
    }
}

#[async_trait]
impl SpoolStore for ScriptedStore {
    fn open(&self, _: &str) -> Result<Recovered, SinkError> {
        let shelf = self.shelf();
        Ok(Recovered { progress: shelf.progress.clone(), next: shelf.next })
    }

    async fn append(&self, batches: &[Batch]) -> Result<(), AppendError> {
        let _turn = self.turn.lock().await;
        let events: u64 = batches.iter().map(|batch| batch.len() as u64).sum();
        let answer = {
            let mut shelf = self.shelf();
            if shelf.unsettled() + events > shelf.plan.room && shelf.unsettled() > 0 && !shelf.is_healed {
                shelf.found_full += 1;
                return Err(AppendError::Full { removable: shelf.parts(), error: None });
            }
            let answer = shelf.next_answer(|shelf| &mut shelf.appends);
            shelf.late_appends += u64::from(!matches!(answer.delay, Delay::None | Delay::InTime));
            answer
        };
        self.wait(answer.delay).await;
        let mut shelf = self.shelf();
        if answer.outcome != StoreOutcome::Ok {
            shelf.failed_appends += 1;
            return Err(AppendError::Failed(SinkError::temporary("scripted")));
        }
        for batch in batches {
            let first = shelf.next;
            shelf.records.insert(first, batch.clone());
            shelf.appended.extend((first..).zip(number(batch)));
            shelf.next += batch.len() as u64;
        }
        Ok(())
    }

    async fn read(&self, positions: Range<u64>) -> Result<Option<Stored>, SinkError> {
        let answer = self.shelf().next_answer(|shelf| &mut shelf.reads);
        self.wait(answer.delay).await;
        let mut shelf = self.shelf();
        if answer.outcome == StoreOutcome::Fail {
            return Err(SinkError::temporary("scripted"));
        }
        if positions.end > shelf.next {
            shelf.wrong = Some(format!("{positions:?} is read of {}", shelf.next));
        }
        if answer.outcome == StoreOutcome::Lose
            && let Some(Stored { first, batch }) = shelf.find(&positions)
        {
            shelf.records.remove(&first);
            shelf.lost += batch.len() as u64;
        }
        Ok(shelf.find(&positions))
    }

    fn advance(&self, progress: SpoolProgress) {
        let mut shelf = self.shelf();
        if progress.frontier < shelf.progress.frontier {
            shelf.wrong = Some(format!("back from {:?} to {progress:?}", shelf.progress));
        }
        shelf.progress = progress;
    }

    async fn sync(&self) -> Result<(), SinkError> {
        drop(self.turn.lock().await);
        let (answer, before) = {
            let mut shelf = self.shelf();
            (shelf.next_answer(|shelf| &mut shelf.syncs), shelf.next)
        };
        self.wait(answer.delay).await;
        let mut shelf = self.shelf();
        if answer.outcome != StoreOutcome::Ok {
            return Err(SinkError::temporary("scripted"));
        }
        // What came after its begin may be there, and may not.
        let covered: Vec<u64> = shelf.appended.range(..before).map(|(_, event)| *event).collect();
        shelf.synced.extend(covered);
        let durable = (shelf.next, shelf.progress.clone());
        // Only now is it certain that the next life does not want them.
        let firsts: Vec<u64> = shelf.records.keys().copied().collect();
        for first in firsts.into_iter().filter(|first| !shelf.is_wanted(*first, &durable.1)).collect::<Vec<_>>() {
            shelf.records.remove(&first);
        }
        shelf.durable = durable;
        Ok(())
    }
}
