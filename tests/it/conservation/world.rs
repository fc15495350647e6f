//! Plays a program: one runtime with a paused clock, one logger, and a count of our own of what must be counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use logweir::error::{ConfirmError, TryEmitError};
use logweir::{Builder, Event, Level, LevelFilter, Logger, Pipeline, Receipt, ShutdownReport, WhenFull};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::link::{Log, RequestLink, ScriptedLink, SharedLog, event, locked};
use super::program::{End, LinkPlan, Program, SinkPlan, Step, What, ms};
use super::second;
use super::store::ScriptedStore;
use super::verdict;

/// What is wrong.
pub(super) type Wrong = String;

/// In tokio's time: no program takes that long.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// What a timer may be late: they are rounded up to the next millisecond.
const ROUNDING: Duration = Duration::from_millis(2);
pub(super) const SINKS: [&str; 3] = ["a", "b", "c"];

macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// An event that the program logged.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) level: Level,
    /// 0 is the main task, which waits for each of its calls.
    pub(super) producer: u64,
    /// It was not refused, as far as its caller knows.
    pub(super) passed: bool,
}

/// What callers in the background have in common with the main one.
#[derive(Default)]
pub(super) struct Calls {
    /// Calls that must be counted.
    pub(super) emitted: AtomicU64,
    pub(super) logged: Mutex<Vec<Logged>>,
    /// What callers in the background found to be wrong.
    pub(super) wrong: Mutex<Vec<Wrong>>,
}

impl Calls {
    fn new_event(&self, level: Level, producer: u64) -> u64 {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.push(Logged { level, producer, passed: false });
        logged.len() as u64 - 1
    }

    /// The call counts; the event is in, or was refused.
    fn counts(&self, id: u64, passed: bool) {
        self.emitted.fetch_add(1, Ordering::Relaxed);
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)[id as usize].passed = passed;
    }
}

/// A call of `emit_confirmed` whose event was accepted.
pub(super) type Confirming = BoxFuture<'static, Result<Receipt, ConfirmError>>;

pub(super) struct World<'a> {
    pub(super) program: &'a Program,
    pub(super) logs: Vec<SharedLog>,
    /// Of each sink that has a spool.
    pub(super) stores: Vec<Option<ScriptedStore>>,
    pub(super) calls: Arc<Calls>,
    pub(super) logger: Logger,
    /// `None`: dropped, or never made.
    children: Vec<Option<Logger>>,
    filter: LevelFilter,
    behind: Vec<JoinHandle<()>>,
    /// The calls that wait for a confirmation, by their events.
    pub(super) confirming: Mutex<Vec<(u64, Confirming)>>,
    /// When an earlier shutdown is to be over.
    deadline: Option<Instant>,
    /// Other tasks wait for room: what they do depends on how they are woken.
    pub(super) has_waiters: bool,
    pub(super) is_closing: bool,
    pub(super) is_healed: bool,
    /// How many events had been logged before the last flush that each sink completed.
    pub(super) flushed: Vec<usize>,
}

/// Plays a program and says what is wrong.
pub(super) fn run(program: &Program) -> Result<(), Wrong> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let logs: Vec<SharedLog> = program.sinks.iter().map(|_| Arc::new(Mutex::new(Log::default()))).collect();
    let mut world = World::start(program, &runtime, logs, program.stores(), Arc::default())?;
    let checked = world.play_to_the_end(runtime);
    world.logs.iter().for_each(|log| drop(locked(log).logger.take()));
    checked.map(drop)
}

/// Plays a program whose sinks have spools, and the life after it, in which all is well.
pub(super) fn run_spooled(program: &Program) -> Result<(), Wrong> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (first, stores) = (runtime(), program.stores());
    let logs: Vec<SharedLog> = program.sinks.iter().map(|_| Arc::new(Mutex::new(Log::default()))).collect();
    let mut world = World::start(program, &first, logs.clone(), stores.clone(), Arc::default())?;
    let report = world.play_to_the_end(first);
    logs.iter().for_each(|log| drop(locked(log).logger.take()));
    let report = report?;
    let handover = second::Handover::of(&world, &report)?;
    let mut next = Program { end: End::Complete, steps: Vec::new(), ..program.clone() };
    next.sinks.iter_mut().flat_map(|sink| &mut sink.links).for_each(|link| link.poison = None);
    let logs = handover.logs();
    let second = runtime();
    let mut world = World::start(&next, &second, logs.clone(), stores, handover.calls(&world))?;
    let report = world.play_the_rest(second);
    logs.iter().for_each(|log| drop(locked(log).logger.take()));
    handover.check(&report?, &logs)
}

fn pipeline(plan: &SinkPlan, account: usize, log: &SharedLog, store: Option<&ScriptedStore>) -> Pipeline {
    let link = |number: usize| {
        let link = &plan.links[number];
        let scripted = ScriptedLink::new(link, number, log.clone());
        let pipeline = match link.requests {
            None => Pipeline::new(scripted),
            Some(_) => Pipeline::new(RequestLink(scripted)),
        };
        pipeline.timeout(ms(link.timeout))
    };
    let mut chain = None;
    for number in (1..plan.links.len()).rev() {
        let last = link(number);
        chain = Some(match chain {
            Some(next) => last.fallback(next),
            None => last,
        });
    }
    let policy = if plan.waits { WhenFull::Block } else { WhenFull::DropOldest };
    let policy = plan.spool.as_ref().map_or(policy, |spool| spool.policy);
    let first = link(0).level(plan.level).when_full(policy);
    let first = first.retry(plan.retry.policy()).breaker(plan.breaker.policy());
    let first = match plan.batching.zip(plan.most_bytes(account)) {
        Some((batching, bytes)) => first.batching(batching.events, bytes, ms(batching.linger)),
        None => first,
    };
    let first = match plan.backlog() {
        Some(bytes) => first.backlog_bytes(bytes),
        None => first,
    };
    let first = match store {
        Some(store) => first.spool_store(store.clone()),
        None => first,
    };
    match chain {
        Some(chain) => first.fallback(chain),
        None => first,
    }
}

impl SinkPlan {
    /// The bytes of the plan; bodies need some.
    fn backlog(&self) -> Option<usize> {
        let has_bodies = self.links.iter().any(|link| link.requests.is_some());
        self.backlog.map(|bytes| if has_bodies { bytes.max(1024) } else { bytes })
    }

    /// The most bytes that a request may have, if that is enough for one.
    fn most_bytes(&self, account: usize) -> Option<usize> {
        let bodies = self.links.iter().filter(|link| link.requests.is_some()).count().max(1);
        Some(account / 2 / bodies).filter(|bytes| *bytes >= 1024)
    }

    /// What the bodies of requests take of the account: what they may, or half of that without a size of the plan.
    fn body_bytes(&self, account: usize) -> usize {
        let bodies = self.links.iter().filter(|link| link.requests.is_some()).count().max(1);
        let asked = self.most_bytes(account).filter(|_| self.batching.is_some());
        let of = |(index, link): (usize, &LinkPlan)| match (&link.requests, index, asked) {
            (None, ..) => 0,
            (Some(_), 0, Some(bytes)) => bytes,
            (Some(_), ..) => (account / 2 / bodies / 2).min(1 << 20),
        };
        self.links.iter().enumerate().map(of).sum()
    }
}

impl Program {
    /// What every lane takes, and twice: the lanes may take a quarter of the memory.
    fn lanes_bytes(&self) -> usize {
        self.config.lanes * self.config.capacity * size_of::<Event>()
    }

    fn half(&self) -> usize {
        2 * self.lanes_bytes() + self.config.memory / 2
    }

    /// The queue's account.
    pub(super) fn heap_bytes(&self) -> usize {
        self.half() - self.lanes_bytes()
    }

    /// The account of each sink for its events.
    pub(super) fn accounts(&self) -> Vec<usize> {
        let of = |(sink, account): (&SinkPlan, usize)| account - sink.body_bytes(account);
        self.sinks.iter().zip(self.whole_accounts()).map(of).collect()
    }

    fn whole_accounts(&self) -> Vec<usize> {
        let asked: usize = self.sinks.iter().filter_map(SinkPlan::backlog).sum();
        let unasked = self.sinks.iter().filter(|sink| sink.backlog().is_none()).count();
        let share = (self.half() - asked).checked_div(unasked).unwrap_or(0);
        self.sinks.iter().map(|sink| sink.backlog().unwrap_or(share)).collect()
    }

    pub(super) fn max_event_bytes(&self) -> usize {
        let smallest = self.accounts().into_iter().min().unwrap();
        (smallest / 2).min(1024)
    }

    fn stores(&self) -> Vec<Option<ScriptedStore>> {
        let store = |sink: &SinkPlan| Some(ScriptedStore::new(sink.spool.as_ref()?, sink.links[0].timeout));
        self.sinks.iter().map(store).collect()
    }

    fn builder(&self, logs: &[SharedLog], stores: &[Option<ScriptedStore>]) -> Builder<'static> {
        let config = &self.config;
        let mut builder = Logger::builder()
            .name("random")
            .level(Level::Trace)
            .lanes(config.lanes)
            .queue_capacity(config.capacity)
            .batch_size(config.batch_size)
            .overflow(config.overflow)
            .memory_limit(2 * self.half())
            .max_event_bytes(self.max_event_bytes())
            .flush_interval(ms(config.flush_interval))
            .flush_at(config.flush_at)
            .on_error(|_| {});
        if config.enrichment > 0 {
            let (mut number, bytes) = (0_u64, config.enrichment);
            builder = builder.enrich_with("load", move || {
                number += 1;
                format!("{number:0bytes$}")
            });
        }
        if let Some((level, percent)) = config.reserve {
            builder = builder.reserve(level, percent);
        }
        for (index, account) in self.whole_accounts().into_iter().enumerate() {
            let (plan, log, store) = (&self.sinks[index], &logs[index], stores[index].as_ref());
            builder = builder.sink(SINKS[index], pipeline(plan, account, log, store));
        }
        builder
    }
}

impl<'a> World<'a> {
    fn start(
        program: &'a Program,
        runtime: &Runtime,
        logs: Vec<SharedLog>,
        stores: Vec<Option<ScriptedStore>>,
        calls: Arc<Calls>,
    ) -> Result<Self, Wrong> {
        let started = program.builder(&logs, &stores).start_on(runtime.handle());
        let logger = started.map_err(|error| format!("{error}"))?;
        logs.iter().for_each(|log| locked(log).logger = Some(logger.clone()));
        Ok(World {
            program,
            logs,
            stores,
            calls,
            logger,
            children: Vec::new(),
            filter: LevelFilter::Trace,
            behind: Vec::new(),
            confirming: Mutex::default(),
            deadline: None,
            has_waiters: false,
            is_closing: false,
            is_healed: false,
            flushed: vec![0; program.sinks.len()],
        })
    }

    /// Some more events; then everything that there is, is delivered.
    fn play_the_rest(&mut self, runtime: Runtime) -> Result<ShutdownReport, Wrong> {
        let report = runtime.block_on(async {
            let what = What { level: Level::Error, text: 0, handle: 0 };
            (0..3).for_each(|_| self.emit(&what));
            self.flush(Duration::from_secs(5)).await?;
            (0..2).for_each(|_| self.emit(&what));
            self.is_healed = true;
            self.shutdown(Duration::MAX).await
        })?;
        verdict::on_the_end(self, &report)?;
        Ok(report)
    }

    fn play_to_the_end(&mut self, runtime: Runtime) -> Result<ShutdownReport, Wrong> {
        runtime.block_on(async {
            for step in &self.program.steps {
                timeout(FOREVER, self.step(step)).await.map_err(|_| format!("{step:?} does not end"))??;
            }
            Ok::<_, Wrong>(())
        })?;
        let report = match self.program.end {
            End::RuntimeGone => {
                drop(runtime);
                self.is_closing = true;
                futures::executor::block_on(self.logger.shutdown(Duration::ZERO))
            }
            End::Shutdown(millis) => runtime.block_on(self.shutdown(ms(millis)))?,
            End::Complete if self.program.can_complete() => runtime.block_on(self.shutdown(Duration::MAX))?,
            End::Complete => runtime.block_on(self.shutdown(Duration::from_secs(1)))?,
        };
        verdict::on_the_end(self, &report)?;
        Ok(report)
    }

    async fn step(&mut self, step: &Step) -> Result<(), Wrong> {
        match step {
            Step::Emit { what, count } => (0..*count).for_each(|_| self.emit(what)),
            Step::TryEmit(what) => self.try_emit(what)?,
            Step::EmitWait { what, patience } => {
                let waited = self.emit_wait(what, 0);
                // Cancelled it counts nowhere.
                timeout(ms(*patience), waited).await.unwrap_or_default();
            }
            Step::EmitWaitBehind(what) => {
                self.has_waiters = true;
                let producer = self.behind.len() as u64 + 1;
                let waited = self.emit_wait(what, producer);
                self.behind.push(tokio::spawn(waited));
            }
            Step::EmitConfirmed(what) => self.emit_confirmed(what)?,
            Step::EmitElsewhere(what) => {
                let handle = Handle::current();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        // Else `Overflow::Block` would wait there.
                        let _inside = handle.enter();
                        self.emit(what);
                    });
                });
            }
            Step::Flush(millis) => self.flush(ms(*millis)).await?,
            Step::FlushBehind(millis) => {
                let (logger, limit, calls) = (self.logger.clone(), ms(*millis), self.calls.clone());
                self.behind.push(tokio::spawn(async move {
                    let report = logger.flush(limit).await;
                    let stats = logger.stats();
                    for (flushed, sink) in report.sinks.iter().zip(&stats.sinks) {
                        let is_possible = flushed.lost <= sink.dropped.total()
                            && (!flushed.flushed || flushed.pending == 0 && flushed.error.is_none());
                        if !is_possible {
                            let mut wrong = calls.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                            wrong.push(format!("a flush says {flushed:?}: {sink:?}"));
                        }
                    }
                }));
            }
            Step::Reopen(patience) => {
                timeout(ms(*patience), self.logger.reopen(ms(*patience))).await.map(drop).unwrap_or_default();
            }
            Step::Heal => {
                self.is_healed = true;
                self.logs.iter().for_each(|log| locked(log).is_healed = true);
                self.stores.iter().flatten().for_each(|store| store.shelf().is_healed = true);
            }
            Step::FlushDropped { timeout: millis, patience } => {
                timeout(ms(*patience), self.logger.flush(ms(*millis))).await.map(drop).unwrap_or_default();
            }
            Step::Advance(millis) => sleep(ms(*millis)).await,
            Step::With { parent, bytes } => {
                let child = self.handle(*parent).with("context", "c".repeat(*bytes));
                self.children.push(Some(child));
            }
            Step::DropChild(number) => drop(self.children.get_mut(*number).and_then(Option::take)),
            Step::ResetBreaker(sink) => drop(self.logger.reset_breaker(SINKS[*sink])),
            Step::SetFilter(filter) => {
                self.logger.set_filter(filter.to_string()).map_err(|error| error.to_string())?;
                self.filter = *filter;
            }
            Step::Stats => verdict::on_a_moment(self)?,
            Step::BeginShutdown(millis) => self.begin_shutdown(ms(*millis)),
        }
        Ok(())
    }

    fn handle(&self, number: usize) -> &Logger {
        let child = number.checked_sub(1).and_then(|child| self.children.get(child)?.as_ref());
        child.unwrap_or(&self.logger)
    }

    fn emit(&self, what: &What) {
        let id = self.calls.new_event(what.level, 0);
        if self.filter.allows(what.level) {
            self.calls.counts(id, true);
        }
        self.handle(what.handle).emit(event(id, what.level, what.text));
    }

    fn emit_confirmed(&mut self, what: &What) -> Result<(), Wrong> {
        let id = self.calls.new_event(what.level, 0);
        let (logger, event) = (self.handle(what.handle).clone(), event(id, what.level, what.text));
        let before = self.logger.stats();
        let mut confirmed = async move { logger.emit_confirmed(event, Duration::MAX).await }.boxed();
        let polled = (&mut confirmed).now_or_never();
        let after = self.logger.stats();
        match polled {
            None if after.accepted > before.accepted => {
                self.calls.counts(id, true);
                self.confirming.get_mut().unwrap().push((id, confirmed));
            }
            // Without room it is canceled, and counts nowhere.
            None => {}
            Some(Err(ConfirmError::Filtered)) => ensure!(!self.filter.allows(what.level), "it passes the filter"),
            Some(Err(ConfirmError::Refused(_) | ConfirmError::Closed)) => {
                ensure!(after.emitted > before.emitted, "a refusal that is not counted");
                self.calls.counts(id, false);
            }
            Some(result) => return Err(format!("{result:?} before the logger has run")),
        }
        Ok(())
    }

    fn try_emit(&self, what: &What) -> Result<(), Wrong> {
        let id = self.calls.new_event(what.level, 0);
        match self.handle(what.handle).try_emit(event(id, what.level, what.text)) {
            Ok(()) if self.filter.allows(what.level) => self.calls.counts(id, true),
            Ok(()) => {}
            Err(refused) => {
                ensure!(self.filter.allows(what.level), "what the filter keeps out is not handed back");
                let is_closed = matches!(refused, TryEmitError::Closed(_));
                ensure!(!is_closed || self.is_closing, "closed, and nobody closed it");
                let back = refused.into_event();
                ensure!(back.message().to_string() == id.to_string(), "another event is handed back: {back:?}");
            }
        }
        Ok(())
    }

    fn emit_wait(&self, what: &What, producer: u64) -> impl Future<Output = ()> + Send + 'static {
        let (calls, logger, what) = (self.calls.clone(), self.handle(what.handle).clone(), what.clone());
        async move {
            let id = calls.new_event(what.level, producer);
            // The filter is asked in the first poll.
            let counts = logger.enabled(what.level, "t");
            let taken = logger.emit_wait(event(id, what.level, what.text)).await;
            if counts {
                calls.counts(id, taken.is_ok());
            }
        }
    }

    async fn flush(&mut self, limit: Duration) -> Result<(), Wrong> {
        let logged = self.calls.logged.lock().unwrap_or_else(PoisonError::into_inner).len();
        let (before, asked) = (self.logger.stats(), Instant::now());
        let report = self.logger.flush(limit).await;
        let took = asked.elapsed();
        ensure!(took <= limit + ROUNDING, "a flush took {took:?} of {limit:?}");
        let after = self.logger.stats();
        ensure!(!report.complete || report.queued == 0, "a complete flush with events queued: {report:?}");
        for (index, flushed) in report.sinks.iter().enumerate().filter(|(_, sink)| sink.flushed && !self.is_closing) {
            self.flushed[index] = logged;
            ensure!(flushed.error.is_none(), "flushed, with an error: {flushed:?}");
        }
        for ((flushed, sink), store) in report.sinks.iter().zip(&after.sinks).zip(&self.stores) {
            let settled = sink.filtered
                + sink.delivered
                + sink.delivered_by_fallback
                + sink.dropped.total()
                + sink.unconfirmed
                // It is durable.
                + if store.is_some() { sink.spooled + sink.in_flight } else { 0 };
            let due = before.accepted - after.evicted.total().min(before.accepted) + sink.recovered;
            ensure!(!report.complete || settled >= due, "a complete flush: {settled} of {due} are settled: {sink:?}");
            ensure!(!flushed.flushed || flushed.pending == 0, "flushed with something pending: {flushed:?}");
        }
        Ok(())
    }

    fn begin_shutdown(&mut self, limit: Duration) {
        self.note_deadline(limit);
        let logger = self.logger.clone();
        self.behind.push(tokio::spawn(async move { drop(logger.shutdown(limit).await) }));
        self.has_waiters = true;
    }

    fn note_deadline(&mut self, limit: Duration) {
        self.is_closing = true;
        let deadline = Instant::now().checked_add(limit);
        self.deadline = [self.deadline, deadline].into_iter().flatten().min();
    }

    async fn shutdown(&mut self, limit: Duration) -> Result<ShutdownReport, Wrong> {
        let was_closing = self.is_closing;
        self.note_deadline(limit);
        let asked = Instant::now();
        let report = timeout(FOREVER, self.logger.shutdown(limit)).await;
        let report = report.map_err(|_| format!("a shutdown within {limit:?} does not end"))?;
        let late = self.deadline.map_or(Duration::ZERO, |deadline| deadline.max(asked).elapsed());
        ensure!(late <= ROUNDING, "a shutdown within {limit:?} returns {late:?} late");
        if self.deadline.is_none() {
            ensure!(!report.timed_out, "a shutdown without a deadline timed out");
        }
        if !was_closing && !self.has_waiters {
            let counted = self.calls.emitted.load(Ordering::Relaxed);
            ensure!(report.emitted == counted, "{counted} calls count, {} are counted", report.emitted);
        }
        // The same for everybody, and for ever.
        ensure!(self.logger.shutdown(Duration::MAX).await == report, "a second shutdown says something else");
        self.leave().await;
        Ok(report)
    }

    /// Nobody uses the logger any more.
    async fn leave(&mut self) {
        for task in self.behind.drain(..) {
            task.abort();
            // Whether it ended by itself or not.
            task.await.unwrap_or_default();
        }
        self.children.clear();
    }

    pub(super) fn drop_children(&mut self) {
        self.children.clear();
    }
}
