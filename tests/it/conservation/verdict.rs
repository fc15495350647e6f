//! What must hold at every moment, and at the end.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use logweir::error::ConfirmError;
use logweir::event::EventId;
use logweir::sink::{Duplicates, SinkErrorKind};
use logweir::stats::SinkStats;
use logweir::{BreakerState, Confirmation, DropReason, Overflow, ShutdownReport, Stats};
use tokio::time::Instant;

use super::link::{Log, Write, locked};
use super::program::{Delay, End, LinkPlan, Outcome, SinkPlan, Step};
use super::store::Shelf;
use super::world::{Logged, SINKS, World, Wrong, ensure};

/// An event, its share of a context and what surrounds them, over `max_event_bytes`.
const AROUND_AN_EVENT: usize = 2048;

/// Any moment between two steps.
pub(super) fn on_a_moment(world: &World<'_>) -> Result<(), Wrong> {
    let stats = world.logger.stats();
    stats.check().map_err(|wrong| wrong.to_string())?;
    let counted = world.calls.emitted.load(Ordering::Relaxed);
    ensure!(stats.emitted == counted, "{counted} calls count, {} are counted", stats.emitted);
    intake(world, &stats)?;
    let limits = world.program.accounts();
    for (((log, sink), limit), plan) in world.logs.iter().zip(&stats.sinks).zip(limits).zip(&world.program.sinks) {
        deliveries(&locked(log), sink)?;
        // Beside a batch that a late call keeps, another one may pass alone.
        let late = plan.links.iter().filter(|link| link.outlives).count();
        // What is read back is read whatever else is there.
        let late = late + usize::from(plan.spool.is_some());
        let most = ((1 + late) * limit.max(world.program.max_event_bytes() + AROUND_AN_EVENT)) as u64;
        ensure!(sink.backlog_bytes <= most, "{} bytes are pinned, {most} allowed: {sink}", sink.backlog_bytes);
        ensure!(sink.backlog == 0 || sink.backlog_bytes > 0, "a backlog that pins nothing: {sink}");
    }
    Ok(())
}

pub(super) fn on_the_end(world: &mut World<'_>, report: &ShutdownReport) -> Result<(), Wrong> {
    report.check().map_err(|wrong| wrong.to_string())?;
    ensure!(report.queued == 0, "{} events are left in the queue", report.queued);
    on_a_moment(world)?;
    world.drop_children();
    confirmations(world, report)?;
    let stats = world.logger.stats();
    ensure!((stats.queued, stats.queued_bytes) == (0, 0), "left in the queue's accounts: {stats:?}");
    ensure!(stats.sinks == report.sinks || world.is_closing, "a sink's book changed after the end");
    let wrong = world.calls.wrong.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    ensure!(!report.timed_out || !must_be_complete(world), "every sink is well, and the shutdown timed out\n{report}");
    let logged = world.calls.logged.lock().unwrap_or_else(PoisonError::into_inner);
    for (index, sink) in report.sinks.iter().enumerate() {
        let (plan, log) = (&world.program.sinks[index], locked(&world.logs[index]));
        let facts = Facts::of(&log, plan);
        let told = |wrong: Wrong| format!("{wrong}\n{report}");
        deliveries(&log, sink).map_err(told)?;
        routes(&logged, plan, sink, report).map_err(told)?;
        match &world.stores[index] {
            Some(store) => facts.spooled(world, &store.shelf(), sink, report).map_err(told)?,
            None => {
                facts.compare(plan, sink).map_err(told)?;
                facts.reasons((world, plan), &logged, sink, report).map_err(told)?;
            }
        }
        order(&logged, plan, &log).map_err(told)?;
        notices(world, plan, &log, sink, report).map_err(told)?;
        // What the spool has may be in a request at the deadline.
        let is_idle = !report.timed_out && world.program.end != End::RuntimeGone && sink.spooled == 0;
        ensure!(!is_idle || sink.backlog_bytes == 0, "{} bytes are still pinned: {sink}", sink.backlog_bytes);
    }
    Ok(())
}

/// Every call that waits for a confirmation has ended with the logger, and its result is what the sinks and stores saw.
fn confirmations(world: &mut World<'_>, report: &ShutdownReport) -> Result<(), Wrong> {
    let taken: Vec<HashSet<u64>> = world
        .logs
        .iter()
        .map(|log| locked(log).writes.iter().flat_map(|write| write.taken()).copied().collect())
        .collect();
    for (event, confirmed) in std::mem::take(world.confirming.get_mut().unwrap()) {
        let Some(result) = confirmed.now_or_never() else {
            return Err(format!("event {event}: the logger has ended, and its caller still waits"));
        };
        let index = |name: &str| SINKS.iter().position(|sink| *sink == name).unwrap();
        let context = || format!("event {event}: {result:?}\n{report}");
        match &result {
            Ok(receipt) => {
                ensure!(!receipt.sinks.is_empty(), "{}", context());
                for (sink, how) in &receipt.sinks {
                    let store = world.stores[index(sink)].as_ref();
                    let is_so = match how {
                        Confirmation::Delivered => taken[index(sink)].contains(&event),
                        Confirmation::Synced => store.is_some_and(|store| store.shelf().synced.contains(&event)),
                        _ => false,
                    };
                    ensure!(is_so, "not so: {}", context());
                }
            }
            Err(ConfirmError::NoEssentialSink) => {}
            Err(ConfirmError::Evicted(_)) => {
                ensure!(taken.iter().all(|taken| !taken.contains(&event)), "{}", context());
            }
            Err(ConfirmError::Dropped { sink, reason }) => {
                ensure!(report.sinks[index(sink)].dropped.get(*reason) > 0, "{}", context());
                // A rejection without a name leaves open what was taken.
                let is_unnamed = *reason == DropReason::Rejected;
                ensure!(is_unnamed || !taken[index(sink)].contains(&event), "{}", context());
            }
            Err(ConfirmError::Unconfirmed { .. }) => {}
            Err(_) => return Err(context()),
        }
    }
    Ok(())
}

impl Facts {
    /// What a spool costs, and what it saves.
    fn spooled(
        &self,
        world: &World<'_>,
        shelf: &Shelf,
        sink: &SinkStats,
        report: &ShutdownReport,
    ) -> Result<(), Wrong> {
        ensure!(shelf.wrong.is_none(), "{:?}", shelf.wrong);
        let is_well = shelf.failed_appends + shelf.late_appends + shelf.found_full == 0;
        ensure!(!is_well || sink.spool_bypassed == 0, "{} bypassed a spool that is well", sink.spool_bypassed);
        let is_cut_off = report.timed_out || world.program.end == End::RuntimeGone;
        for (reason, count) in sink.dropped.iter() {
            let is_outage =
                [DropReason::SinkFailed, DropReason::RetriesExhausted, DropReason::BreakerOpen].contains(&reason);
            // As without a spool.
            let most = match reason {
                _ if is_outage => sink.spool_bypassed,
                DropReason::Deadline | DropReason::RuntimeDropped if !is_cut_off => sink.spool_bypassed,
                DropReason::SpoolFull if shelf.found_full == 0 => 0,
                DropReason::SpoolCorrupt => shelf.lost,
                _ => u64::MAX,
            };
            ensure!(count <= most, "{count} events were dropped for {reason}; at most {most} are possible");
        }
        // What was rejected or panicked after a doubt is not sent again.
        let doubtful = self.doubtful.keys().filter(|id| !self.taken.contains_key(id)).count() as u64;
        let unconfirmed = sink.unconfirmed;
        ensure!(
            unconfirmed <= doubtful || !is_well || is_cut_off,
            "{unconfirmed} are unconfirmed, {doubtful} in doubt"
        );
        // An append that was running at the end may have ended since.
        let (left, spooled) = (shelf.unsettled(), sink.spooled);
        ensure!(
            left >= spooled && left <= spooled + sink.unconfirmed,
            "{left} are in the store, {spooled} in the book"
        );
        Ok(())
    }
}

/// Whether the end has the time for all there is: the sinks are well, and none is in a call that may never return.
fn must_be_complete(world: &World<'_>) -> bool {
    let ended_before = world.program.steps.iter().any(|step| matches!(step, Step::BeginShutdown(_)));
    let may_hang = world.program.sinks.iter().flat_map(|sink| &sink.links).any(|link| link.outlives);
    let has_time = matches!(world.program.end, End::Complete | End::Shutdown(20_000..));
    world.is_healed && has_time && !ended_before && !may_hang
}

/// Only reasons that the program gives.
fn intake(world: &World<'_>, stats: &Stats) -> Result<(), Wrong> {
    let config = &world.program.config;
    let drops_oldest = config.overflow == Overflow::DropOldest;
    for (reason, count) in stats.refused.iter() {
        let is_possible = match reason {
            DropReason::OverflowNewest => !drops_oldest || world.has_waiters,
            DropReason::Memory => true,
            DropReason::Shed => config.reserve.is_some(),
            DropReason::Closed => world.is_closing,
            DropReason::TaskFailed => world.program.end == End::RuntimeGone,
            _ => false,
        };
        ensure!(is_possible, "{count} were refused for {reason}");
    }
    for (reason, count) in stats.evicted.iter() {
        let is_possible = drops_oldest && DropReason::EVICTED.contains(&reason);
        ensure!(is_possible, "{count} were evicted for {reason}");
    }
    let heap = world.program.heap_bytes() as u64;
    ensure!(stats.queued_bytes <= heap, "{} bytes are queued, {heap} allowed", stats.queued_bytes);
    Ok(())
}

/// What is booked as delivered is what each link said it has.
fn deliveries(log: &Log, sink: &SinkStats) -> Result<(), Wrong> {
    let taken = log.taken();
    let taken = |link: usize| taken[link];
    ensure!(sink.delivered == taken(0), "the sink has {}: {sink}", taken(0));
    for (index, link) in sink.fallbacks.iter().enumerate() {
        let has = taken(index + 1);
        ensure!(link.delivered == has, "the link {} has {has}, {} are booked", link.name, link.delivered);
    }
    let all: u64 = sink.fallbacks.iter().map(|link| link.delivered).sum();
    ensure!(sink.delivered_by_fallback == all, "the links have {all}, {} are booked", sink.delivered_by_fallback);
    Ok(())
}

/// What reached the sink is what passed the filter and its level.
fn routes(logged: &[Logged], plan: &SinkPlan, sink: &SinkStats, report: &ShutdownReport) -> Result<(), Wrong> {
    let passed = logged.iter().filter(|event| event.passed);
    let (wanted, kept_out): (Vec<_>, Vec<_>) = passed.partition(|event| event.level >= plan.level);
    let most = (wanted.len() as u64, kept_out.len() as u64);
    let booked = (sink.routed, sink.filtered);
    ensure!(booked.0 <= most.0 && booked.1 <= most.1, "routed and filtered {booked:?} of {most:?}");
    let is_lossless = report.evicted.total() + report.refused.total() == 0;
    let is_all = report.emitted == most.0 + most.1;
    ensure!(!is_lossless || !is_all || booked == most, "routed and filtered {booked:?}, not {most:?}");
    Ok(())
}

/// What the log says of one sink and its links.
#[derive(Default)]
struct Facts {
    attempted: HashSet<u64>,
    /// Since when a write without a certain answer had it.
    doubtful: HashMap<u64, Instant>,
    /// And by whom.
    taken: HashMap<u64, usize>,
    taken_twice: Option<u64>,
    /// In a write that goes on behind its timeout.
    late: HashSet<u64>,
    /// Written again after a write that nobody answered, or has not answered yet.
    maybe_duplicated: u64,
    /// In a write that the sink itself rejected, or that panicked, and not in the part it took: what is not accepted is
    /// searched for in the same way, and given up as a whole for what was said last.
    not_accepted: HashSet<u64>,
    /// Of these, those that were alone in it, or left alone by what it took.
    poison: HashSet<u64>,
    /// Rejected by name, or as a whole.
    rejected: HashSet<u64>,
    /// So many were rejected without a name.
    unnamed: u64,
    /// How the sink itself answered.
    answers: HashMap<SinkErrorKind, u64>,
    /// Its answers that took nothing and left something.
    failures: u64,
    /// Its answers that cannot be.
    faults: u64,
    unanswered: u64,
}

impl Facts {
    fn of(log: &Log, plan: &SinkPlan) -> Self {
        let mut facts = Facts { unnamed: log.rejected_unnamed(), ..Facts::default() };
        let duplicates = plan.links[0].requests.map_or(Duplicates::Possible, |plan| plan.duplicates);
        for write in &log.writes {
            facts.attempted.extend(&write.events);
            let is_repeat = |id: &&u64| match facts.doubtful.get(id) {
                Some(since) if write.link == 0 => match duplicates {
                    Duplicates::Removed => false,
                    Duplicates::RemovedWithin(window) => write.at - *since >= window,
                    _ => true,
                },
                doubt => doubt.is_some() || facts.late.contains(id),
            };
            facts.maybe_duplicated += write.events.iter().filter(is_repeat).count() as u64;
            if write.is_late && write.link > 0 {
                facts.late.extend(&write.events);
            }
            for id in write.taken() {
                let before = facts.taken.insert(*id, write.link);
                // A link that outlives its timeout may answer when another has been asked already.
                if before.is_some_and(|link| link == 0 || link >= write.link || !plan.links[link].outlives) {
                    facts.taken_twice = Some(*id);
                }
            }
            let Some(said) = &write.answer else {
                facts.doubt(write);
                facts.unanswered += u64::from(write.link == 0);
                continue;
            };
            if said.maybe_arrived {
                facts.doubt(write);
            }
            facts.rejected.extend(&said.rejected);
            if matches!(said.outcome, Outcome::Rejected { .. } | Outcome::Panic) {
                facts.do_not_accept(write);
            }
            if write.link == 0 {
                facts.faults += u64::from(said.is_faulty);
                facts.failures += u64::from(said.taken.len() as u64 == said.unnamed && write.open().next().is_some());
                said.error.iter().for_each(|kind| *facts.answers.entry(*kind).or_default() += 1);
            }
        }
        facts
    }

    fn doubt(&mut self, write: &Write) {
        for id in write.open() {
            self.doubtful.entry(id).or_insert(write.at);
        }
    }

    fn do_not_accept(&mut self, write: &Write) {
        if write.link == 0 {
            let rest: Vec<u64> = write.open().collect();
            self.poison.extend(rest.iter().filter(|_| rest.len() == 1));
            self.not_accepted.extend(rest);
        }
    }

    fn answers(&self, kind: SinkErrorKind) -> u64 {
        self.answers.get(&kind).copied().unwrap_or(0)
    }

    fn compare(&self, plan: &SinkPlan, sink: &SinkStats) -> Result<(), Wrong> {
        ensure!(self.taken_twice.is_none(), "taken twice: {:?}", self.taken_twice);
        let unconfirmed = self.doubtful.keys().filter(|id| !self.taken.contains_key(id)).count() as u64;
        ensure!(sink.unconfirmed == unconfirmed, "{unconfirmed} were never answered, {} are booked", sink.unconfirmed);
        let (seen, booked) = (self.maybe_duplicated, sink.maybe_duplicated);
        ensure!(seen == booked, "{seen} were written again that may be there, {booked} are booked");
        use SinkErrorKind::{Panic, Permanent, Rejected, Temporary};
        for kind in [Temporary, Rejected, Permanent, Panic] {
            let (said, booked) = (self.answers(kind), sink.errors_of(kind));
            let said = if kind == Temporary { said + self.faults } else { said };
            // What no request can have is an error too.
            let may_refuse = kind == Rejected && plan.links[0].requests.is_some_and(|plan| plan.refuses.is_some());
            ensure!(said == booked || may_refuse && said < booked, "{said} answers are {kind:?}, {booked} are booked");
        }
        Ok(())
    }

    /// Only reasons that the script gives, and of no more events than it gives them for.
    fn reasons(
        &self,
        (world, plan): (&World<'_>, &SinkPlan),
        logged: &[Logged],
        sink: &SinkStats,
        report: &ShutdownReport,
    ) -> Result<(), Wrong> {
        use SinkErrorKind::{Panic, Permanent, Rejected, Temporary};
        let lost = |of: &HashSet<u64>| of.iter().filter(|id| !self.taken.contains_key(id)).count() as u64;
        let timeouts = sink.errors_of(SinkErrorKind::Timeout);
        let troubles =
            timeouts + self.answers(Temporary) + self.answers(Permanent) + self.answers(Panic) + self.failures;
        let has_links = plan.links.len() > 1;
        // Behind a flush or a close that outlives its timeout the fallback has the backlog, and may fail.
        let is_long = |delay: &Delay| !matches!(delay, Delay::None | Delay::InTime);
        let may_be_stuck = has_links && plan.links[0].outlives && plan.links[0].calls.iter().any(is_long);
        let poisoned = sink.dropped.get(DropReason::Rejected) + sink.dropped.get(DropReason::Panicked);
        // What no request can have is in none.
        let refused_by = |link: &LinkPlan, id: &u64| link.requests.is_some_and(|requests| requests.refuses(*id));
        let all = 0..logged.len() as u64;
        let refused: HashSet<u64> = all.clone().filter(|id| refused_by(&plan.links[0], id)).collect();
        let refused_anywhere = all.filter(|id| plan.links.iter().any(|link| refused_by(link, id)));
        let tried: HashSet<u64> = refused_anywhere.chain(self.attempted.iter().copied()).collect();
        let alone = self.poison.len() as u64 + lost(&self.rejected) + lost(&refused) + self.unnamed;
        ensure!(poisoned <= alone || alone >= 3, "{poisoned} were not accepted, of which {alone} were found alone");
        let is_gone = world.program.end == End::RuntimeGone && !report.timed_out;
        for (reason, count) in sink.dropped.iter() {
            let most = match reason {
                DropReason::BacklogFull if !plan.waits => sink.routed,
                DropReason::Rejected => {
                    let all = self.not_accepted.union(&self.rejected).chain(&refused);
                    lost(&all.copied().collect()) + self.unnamed
                }
                DropReason::Panicked if self.answers(Panic) > 0 => lost(&self.not_accepted),
                DropReason::SinkFailed if self.answers(Permanent) > 0 => lost(&tried),
                // Beside rejected events others may be sent again.
                DropReason::RetriesExhausted
                    if self.answers(Temporary) + self.answers(Permanent) + self.answers(Rejected) + timeouts > 0 =>
                {
                    lost(&tried)
                }
                DropReason::BreakerOpen if troubles > 0 || may_be_stuck => sink.routed,
                DropReason::Deadline if report.timed_out => sink.routed,
                // The last fifth of the time, which is the fallback's: it had them and failed.
                DropReason::Deadline if has_links && world.is_closing => lost(&tried),
                DropReason::RuntimeDropped if is_gone => sink.routed,
                _ => 0,
            };
            ensure!(count <= most, "{count} were dropped for {reason}, at the most {most} can be");
        }
        Ok(())
    }
}

/// The readers were told of no more than was lost; of all of it, if the sink had the last word.
fn notices(
    world: &World<'_>,
    plan: &SinkPlan,
    log: &Log,
    sink: &SinkStats,
    report: &ShutdownReport,
) -> Result<(), Wrong> {
    let told = |link: Option<usize>, is_sinks| -> u64 {
        let of =
            log.notices.iter().filter(|told| link.is_none_or(|link| told.link == link) && told.is_sinks == is_sinks);
        of.map(|told| told.lost).sum()
    };
    let lines = |of: &dyn Fn(usize) -> bool| log.notices.iter().filter(|told| of(told.link)).count() as u64;
    ensure!(sink.notices == lines(&|link| link == 0), "{} lines of notices are booked", sink.notices);
    for (index, link) in sink.fallbacks.iter().enumerate() {
        ensure!(link.notices == lines(&|number| number == index + 1), "{} lines of notices are booked", link.notices);
    }
    let (queue, own) = (report.refused.total() + report.evicted.total(), sink.dropped.total());
    let (told_queue, told_own) = (told(Some(0), false), told(Some(0), true));
    ensure!(told_queue <= queue && told_own <= own, "{told_queue} of {queue} and {told_own} of {own} lost are told of");
    let told_fallback: u64 = (1..plan.links.len()).map(|link| told(Some(link), true)).sum();
    ensure!(told_fallback <= own, "the fallback's readers are told of {told_fallback} of {own} lost");
    ensure!(
        (1..plan.links.len()).all(|link| told(Some(link), false) == 0),
        "the fallback is told of the queue's losses"
    );
    let has_last_word = log
        .writes
        .iter()
        .rfind(|write| write.link == 0)
        .is_none_or(|last| last.answer.as_ref().is_some_and(|said| said.outcome == Outcome::Ok));
    let is_orderly = !report.timed_out && world.program.end != End::RuntimeGone && plan.links.len() == 1;
    if has_last_word && is_orderly && sink.breaker == BreakerState::Closed {
        let after = report.refused.get(DropReason::Closed);
        ensure!(told_queue + after >= queue, "{told_queue} of {queue} lost in the queue are told of");
        ensure!(told_own == own, "{told_own} of {own} lost are told of");
    }
    Ok(())
}

/// Events are first written in the order of their ids, which is the order they were logged in, and delivered in that, unless
/// an answer of the destination changes it.
fn order(logged: &[Logged], plan: &SinkPlan, log: &Log) -> Result<(), Wrong> {
    let mains = |events: &[u64]| -> Vec<u64> {
        events.iter().copied().filter(|id| logged.get(*id as usize).is_some_and(|e| e.producer == 0)).collect()
    };
    ensure!(log.wrong.is_none(), "{:?}", log.wrong);
    // Those of an earlier life have other ids.
    let (mut last, mut last_main): (HashMap<u128, EventId>, _) = (HashMap::new(), None);
    let mut seen = HashSet::new();
    for id in log.writes.iter().filter(|write| write.link == 0).flat_map(|write| &write.events) {
        if !seen.insert(*id) {
            continue;
        }
        let (event, time) = log.events[id];
        let before = last.insert(event.to_u128() >> 48, event);
        ensure!(before < Some(event), "{id} is first written as {event}, after {before:?}");
        if logged[*id as usize].producer == 0 {
            // The lanes are merged by time: if the clock was set back in between, so is the order.
            let is_after = last_main.is_none_or(|(before, at)| before < *id || at < time && before > *id);
            ensure!(is_after, "{id} is first written after {last_main:?}");
            last_main = Some((*id, time));
        }
    }
    for link in 0..plan.links.len() {
        // While a late answer is waited for, the fallback gets what came after; what an answer names is sent again alone.
        // What a full spool has no room for comes before what the sink rejects.
        let is_aside = plan.links[0].outlives || plan.spool.is_some();
        if link > 0 && is_aside || plan.links[..=link].iter().any(|link| link.requests.is_some()) {
            continue;
        }
        let taken = log.writes.iter().filter(|write| write.link == link).flat_map(|write| mains(write.taken()));
        ensure!(taken.is_sorted(), "not in order at the link {link}");
    }
    let unknown = log.writes.iter().flat_map(|write| &write.events).find(|id| !logged[**id as usize].passed);
    ensure!(unknown.is_none(), "{unknown:?} was not accepted, and is there");
    let below = log.writes.iter().flat_map(|w| &w.events).find(|id| logged[**id as usize].level < plan.level);
    ensure!(below.is_none(), "{below:?} is below the sink's level");
    Ok(())
}
