//! The life after a life: what a spool hands over, and its delivery.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use logweir::ShutdownReport;

use super::link::{Log, SharedLog, locked};
use super::program::End;
use super::world::{Calls, Logged, World, Wrong, ensure};

/// What one life leaves to the next, for each sink.
pub(super) struct Handover(Vec<Left>);

#[derive(Default)]
struct Left {
    /// In the store, by their numbers, in the order of their positions.
    events: Vec<u64>,
    /// Positions that are not settled, those of lost events too.
    unsettled: u64,
    /// What the sink has, as far as the first life knows.
    taken: HashSet<u64>,
    /// The store has forgotten something.
    has_crashed: bool,
    identities: Vec<(u64, (logweir::event::EventId, u64))>,
    is_spooled: bool,
}

impl Handover {
    /// Has the stores crash that do, and looks at the rest.
    pub(super) fn of(world: &World<'_>, report: &ShutdownReport) -> Result<Self, Wrong> {
        let mut all = Vec::new();
        for (index, store) in world.stores.iter().enumerate() {
            let Some(store) = store else {
                all.push(Left::default());
                continue;
            };
            let (log, mut shelf, plan) = (locked(&world.logs[index]), store.shelf(), &world.program.sinks[index]);
            let spool = plan.spool.as_ref();
            // After an orderly end that made everything durable a crash changes nothing.
            let is_orderly = !report.timed_out && world.program.end != End::RuntimeGone;
            let is_durable =
                is_orderly && spool.is_some_and(|spool| spool.syncs.is_empty() && spool.appends.is_empty());
            let has_crashed = spool.is_some_and(|spool| spool.crashes);
            if has_crashed && is_durable {
                let before = shelf.left();
                shelf.crash();
                ensure!(shelf.left() == before, "a crash after an orderly end changes {before:?}: {:?}", shelf.left());
            }
            let has_crashed = has_crashed && !is_durable;
            let taken: HashSet<u64> = log.writes.iter().flat_map(|write| write.taken()).copied().collect();
            if !has_crashed {
                let (left, sink) = (shelf.left(), &report.sinks[index]);
                let again = left.iter().find(|event| taken.contains(event));
                ensure!(again.is_none(), "{again:?} is delivered, and not settled in the store: {sink}");
            } else {
                shelf.crash();
            }
            shelf.is_healed = true;
            let identities = log.events.iter().map(|(number, identity)| (*number, *identity)).collect();
            let (events, unsettled) = (shelf.left(), shelf.unsettled());
            // What a flush has covered is durable, or settled.
            let logged = world.calls.logged.lock().unwrap_or_else(PoisonError::into_inner);
            let covered = logged.iter().enumerate().take(world.flushed[index]);
            let is_safe = |event: u64| taken.contains(&event) || events.contains(&event);
            let is_missing = |(number, event): &(usize, &Logged)| {
                event.passed && event.producer == 0 && event.level >= plan.level && !is_safe(*number as u64)
            };
            let missing = covered.filter(is_missing).count() as u64;
            let sink = &report.sinks[index];
            let lost = report.refused.total() + report.evicted.total() + sink.dropped.total() + sink.unconfirmed
                // Found by the next life, if by none.
                + shelf.lost;
            ensure!(missing <= lost, "{missing} are missing that a flush has covered, {lost} are counted: {sink}");
            all.push(Left { events, unsettled, taken, has_crashed, identities, is_spooled: true });
        }
        Ok(Handover(all))
    }

    /// The logs of the next life: an event is the same there.
    pub(super) fn logs(&self) -> Vec<SharedLog> {
        let log = |left: &Left| {
            let events = left.identities.iter().copied().collect();
            Arc::new(Mutex::new(Log { is_healed: true, events, ..Log::default() }))
        };
        self.0.iter().map(log).collect()
    }

    /// The events of the next life have other numbers.
    pub(super) fn calls(&self, world: &World<'_>) -> Arc<Calls> {
        let logged = world.calls.logged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Arc::new(Calls { emitted: AtomicU64::new(0), logged: Mutex::new(logged), wrong: Mutex::default() })
    }

    /// Everything that was left is delivered or counted, in its order, and nothing else is delivered again.
    pub(super) fn check(&self, report: &ShutdownReport, logs: &[SharedLog]) -> Result<(), Wrong> {
        for (index, left) in self.0.iter().enumerate().filter(|(_, left)| left.is_spooled) {
            let (sink, log) = (&report.sinks[index], locked(&logs[index]));
            ensure!(
                sink.recovered == left.unsettled,
                "{} are recovered, {} left: {sink}",
                sink.recovered,
                left.unsettled
            );
            let taken: HashSet<u64> = log.writes.iter().flat_map(|write| write.taken()).copied().collect();
            let missing = left.events.iter().filter(|event| !taken.contains(event)).count() as u64;
            let lost = sink.dropped.total() + sink.unconfirmed;
            ensure!(missing <= lost, "{missing} of those left are not delivered, {lost} are counted: {sink}");
            let again = left.taken.intersection(&taken).next();
            ensure!(left.has_crashed || again.is_none(), "{again:?} is delivered in both lives: {sink}");
            ensure!(sink.spooled == 0, "{} are left again: {sink}", sink.spooled);
            let mut first: Vec<u64> = Vec::new();
            for event in log.writes.iter().filter(|write| write.link == 0).flat_map(|write| &write.events) {
                if left.events.contains(event) && !first.contains(event) {
                    first.push(*event);
                }
            }
            let order: Vec<u64> = left.events.iter().copied().filter(|event| first.contains(event)).collect();
            ensure!(first == order, "recovered in the order {first:?}, not {order:?}");
        }
        Ok(())
    }
}
