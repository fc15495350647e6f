//! The caller's thread, once: every knob with its default and bounds, checked together by `start`.

use std::error::Error;
use std::fmt;
use std::io;
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
#[cfg(feature = "prometheus")]
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::Duration;

#[cfg(feature = "prometheus")]
use futures::future::BoxFuture;
use metrics::Recorder;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::deadline;
use crate::diagnostics::{Diagnostic, Diagnostics, Handler};
use crate::event::{Context, Level, LevelFilter, ToValue};
use crate::filter::{Filter, FilterCell, ParseFilterError};
use crate::logger::Logger;
use crate::metrics::{Limits, Meters, SinkMeters};
use crate::pipeline::{Bells, Line, Pipeline, Station, StationConfig};
#[cfg(feature = "prometheus")]
use crate::prometheus::{Exporter, Server};
use crate::queue::{EVENT_BYTES, MayBlock, Overflow, Queue, QueueConfig, Reserve, mark_logger_thread};
use crate::shared::{Home, Hooks, Shared};
use crate::shutdown::ShutdownCell;
use crate::sink::SinkError;
use crate::worker::{self, Cancel, Desk, Gauge, Kit, Pressure};

const MAX_LANES: usize = 64;
const DEFAULT_LANES: usize = 4;
const MAX_CAPACITY: usize = 1 << 24;
/// In percent of a lane: every event gets a tenth at the least.
const MAX_RESERVE: usize = 90;
const MAX_BATCH: usize = 1 << 16;
const MIN_EVENT_BYTES: usize = 256;
/// Two of the smallest limit on an event: one can wait while another is written.
const MIN_ACCOUNT: usize = 2 * MIN_EVENT_BYTES;
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// A batch pins at most this part of the smallest sink's account, so that some can wait while one is written.
const BATCHES_PER_ACCOUNT: usize = 4;
/// The flush task is watched this often, and reported if it was not polled in between.
const WATCH: Duration = Duration::from_secs(1);

/// Configures a logger; made by [`Logger::builder`].
///
/// Nothing is checked before [`start`](Builder::start), which names the wrong knob, its value and what is allowed.
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<'r> {
    name: Option<String>,
    filter: Result<Filter, ParseFilterError>,
    queue_capacity: usize,
    lanes: usize,
    memory: usize,
    max_event_bytes: usize,
    batch_size: usize,
    flush_interval: Duration,
    flush_at: LevelFilter,
    overflow: Overflow,
    reserve: Reserve,
    gauges: Vec<Gauge>,
    on_error: Option<Handler>,
    enrichment: Option<Context>,
    sinks: Vec<(String, Pipeline)>,
    cancel: Option<CancellationToken>,
    grace: Duration,
    shutdown_timeout: Duration,
    recorder: Option<&'r dyn Recorder>,
    #[cfg(feature = "prometheus")]
    prometheus: Option<SocketAddr>,
}

impl<'r> Builder<'r> {
    pub(crate) fn new() -> Self {
        Builder {
            name: None,
            filter: Ok(Filter::from(Level::Info)),
            queue_capacity: 8192,
            lanes: thread::available_parallelism().map_or(DEFAULT_LANES, |cores| cores.get().min(DEFAULT_LANES)),
            memory: 64 << 20,
            max_event_bytes: 256 << 10,
            batch_size: 512,
            flush_interval: Duration::from_millis(100),
            flush_at: Level::Error.into(),
            overflow: Overflow::default(),
            reserve: Reserve::NONE,
            gauges: Vec::new(),
            on_error: None,
            enrichment: None,
            sinks: Vec::new(),
            cancel: None,
            grace: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            recorder: None,
            #[cfg(feature = "prometheus")]
            prometheus: None,
        }
    }

    /// The logger's name: the label `logger` of its metrics, and how its own trouble is signed. Default: `logweir` for
    /// the first unnamed logger of the process, `logweir-2` for the second, and so on.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Which events pass, by target and level, in the grammar of [`Filter`]. Default: `info`. Of this and
    /// [`Builder::level`] the last call counts.
    pub fn filter(mut self, filter: &str) -> Self {
        self.filter = filter.parse();
        self
    }

    /// The least important level that passes, whatever the target. Default: `Info`.
    pub fn level(mut self, level: Level) -> Self {
        self.filter = Ok(Filter::from(level));
        self
    }

    /// How many events each lane holds. Default: 8192; 1 to 16,777,216.
    ///
    /// All lanes together, at 128 bytes an event, may take half of the queue's memory at the most.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events;
        self
    }

    /// Over how many channels the callers' threads are spread. Default: the number of cores, at most 4; 1 to 64.
    ///
    /// Each lane has its own capacity and evicts its own oldest event. One lane makes the overflow policy exact for all
    /// threads together, and lets them contend.
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// The memory budget in bytes. Default: 64 MiB.
    ///
    /// Half is the queue's: the lanes, then spilled bytes and contexts. The other half is the sinks' backlogs', in
    /// equal shares or as [`Pipeline::backlog`] says. Shares are never lent.
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// The most bytes an event's fields may take. Default: 256 KiB; 256 at the least. Of a longer event the longest
    /// text value is cut; the event is flagged and counted as `truncated`.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// The most events in one [`Sink::write`](crate::Sink::write). Default: 512; 1 to 65,536.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.batch_size = events;
        self
    }

    /// Accepted events reach every sink's backlog within this time, as long as the logger's runtime is polled.
    /// Default: 100 ms; 1 ms to 1 h.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// Events of this level and above wake the flush task at once. Default: `Error`; `LevelFilter::Off` for none.
    pub fn flush_at(mut self, level: impl Into<LevelFilter>) -> Self {
        self.flush_at = level.into();
        self
    }

    /// What happens to an event that finds the queue full. Default: [`Overflow::DropOldest`].
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }

    /// Keeps this part of each lane, rounded up, for events of `level` and above. Default: none; 0 to 90 percent.
    ///
    /// An event below the level that finds only the reserve left is refused (`shed`) under every overflow policy:
    /// it neither evicts nor blocks. [`Logger::try_emit`] hands it back, [`Logger::emit_wait`] waits until its part of
    /// the lane has room. The others use all of the lane, and what happens to one that finds it full is the policy's.
    /// Callers that log at the very same moment may take a place of the reserve each. Of a lane with few places one
    /// stays for every event.
    pub fn reserve(mut self, level: Level, percent: u8) -> Self {
        self.reserve = Reserve { level: level.into(), percent: percent.into() };
        self
    }

    /// Calls `callback` when the queue has filled to `percent` ([`Pressure::Rising`]), and when it has then fallen below
    /// half of that ([`Pressure::Falling`]): once for each crossing. Default: none; 1 to 100 percent; each call adds one.
    ///
    /// What counts is the fullest lane, or the memory for spilled bytes and contexts if that is fuller. The flush task
    /// looks whenever it hands out, so a peak between two looks may pass unseen, and one is seen a
    /// [`flush_interval`](Builder::flush_interval) late at the most. The caller pays nothing.
    ///
    /// Runs on the logger's runtime, between two batches: it must not block, what it logs is suppressed, and a panic is
    /// caught and reported.
    pub fn on_pressure(mut self, percent: u8, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Self {
        self.gauges.push(Gauge::new(percent, callback));
        self
    }

    /// What to do with trouble of the logger itself. Default: at most ten lines a second on standard error.
    ///
    /// Runs on the logger's runtime; it must not block, and what it logs is suppressed.
    pub fn on_error(mut self, handler: impl Fn(&Diagnostic) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(handler));
        self
    }

    /// A field that every event carries, unless it or its context has one of that name. Costs the caller nothing: it is
    /// added when sinks read.
    pub fn enrich(mut self, key: &str, value: impl ToValue) -> Self {
        self.enrichment = Some(Context::extend(self.enrichment.as_ref(), key, value.to_value()));
        self
    }

    /// Adds a sink, or a [`Pipeline`] to one. Names are the label `sink` of the metrics and must differ.
    pub fn sink(mut self, name: &str, sink: impl Into<Pipeline>) -> Self {
        self.sinks.push((name.to_owned(), sink.into()));
        self
    }

    /// Follows a service's cancellation: the tasks of the service write their last lines then, so the logger goes on
    /// accepting, flushes its sinks at once and at every interval, and shuts down when [`Logger::shutdown`] is called
    /// or [`Builder::grace`] is over.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// How long the logger waits for [`Logger::shutdown`] after the cancellation. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The time for a shutdown that nobody called with one: after the grace, or when the last handle was dropped.
    /// Default: 5 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Registers the metrics on a recorder of yours. Default: on the global recorder that is there at `start`, if any.
    pub fn metrics(mut self, recorder: &'r dyn Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Makes a recorder of this logger's own and serves it at `http://ADDR/metrics`, until the sinks are closed. Port 0
    /// takes a free one, see [`Logger::prometheus_addr`].
    #[cfg(feature = "prometheus")]
    pub fn prometheus(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.prometheus = Some(addr.into());
        self
    }

    /// Starts the logger on a thread of its own, named `logweir`: it works from any runtime or none, does not starve
    /// with the application, and survives a dropped runtime.
    ///
    /// # Errors
    /// The first knob that is wrong, a sink that cannot be opened, a port in use, no thread. Nothing was started then.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    pub fn start(self) -> Result<Logger, BuildError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| BuildError(Problem::Thread(source)))?;
        let runtime = OwnRuntime::new(runtime);
        let (shared, kit) = self.build(runtime.get().handle(), Home::OwnThread)?;
        let spawned = {
            let shared = shared.clone();
            thread::Builder::new().name("logweir".into()).spawn(move || run_thread(runtime, shared, kit))
        };
        spawned.map_err(|source| BuildError(Problem::Thread(source)))?;
        Ok(Logger::new(shared))
    }

    /// Starts the logger on a runtime of yours, for a test with a paused clock, or to have no extra thread. The runtime
    /// needs its timers (`enable_time`), and with [`Builder::prometheus`] its I/O (`enable_io`).
    ///
    /// If the runtime is dropped before the logger is shut down, what is pending is lost (`runtime_gone`) and said so
    /// once. On a current-thread runtime the logger moves on only while that runtime does.
    ///
    /// # Errors
    /// As [`Builder::start`]; also for a runtime without timers or I/O.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    pub fn start_on(self, runtime: &Handle) -> Result<Logger, BuildError> {
        let is_current_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let (shared, kit) = self.build(runtime, Home::Runtime { id: runtime.id(), is_current_thread })?;
        runtime.spawn(worker::run(shared.clone(), kit));
        Ok(Logger::new(shared))
    }

    fn build(mut self, runtime: &Handle, home: Home) -> Result<(Arc<Shared>, Kit), BuildError> {
        let plan = Plan::check(&self)?;
        let filter = std::mem::replace(&mut self.filter, Ok(Filter::from(Level::Info)))
            .map_err(|error| BuildError(Problem::Filter(error)))?;
        let name = self.name.take().unwrap_or_else(next_name);
        #[cfg(feature = "prometheus")]
        let exporter = self.bind()?;
        self.open_sinks()?;

        let names: Vec<String> = self.sinks.iter().map(|(name, _)| name.clone()).collect();
        let limits = Limits { queue_capacity: self.queue_capacity * self.lanes, memory_bytes: self.memory };
        let register = |recorder: &dyn Recorder| Meters::register(recorder, &name, &limits, &names);
        #[cfg(feature = "prometheus")]
        let own = exporter.as_ref().map(|exporter| exporter.recorder() as &dyn Recorder);
        #[cfg(not(feature = "prometheus"))]
        let own = None;
        let (meters, sink_meters) = match own.or(self.recorder) {
            Some(recorder) => register(recorder),
            None => metrics::with_recorder(|recorder| register(recorder)),
        };
        #[cfg(feature = "prometheus")]
        let (addr, server) = register_server(exporter, runtime)?;
        check_timers(runtime)?;

        let bells = Arc::new(Bells::default());
        let diagnostics = Arc::new(Diagnostics::new(name.clone(), self.on_error.take()));
        let (stations, lines) = stations(self.sinks, &plan, sink_meters, &bells, &diagnostics);
        let may_block = match home {
            Home::OwnThread => MayBlock::Anywhere,
            Home::Runtime { .. } => MayBlock::OutsideRuntimes,
        };
        let queue = Queue::new(QueueConfig {
            lanes: self.lanes,
            capacity: self.queue_capacity,
            heap_bytes: plan.heap_bytes,
            max_event_bytes: self.max_event_bytes,
            flush_at: self.flush_at,
            overflow: self.overflow,
            reserve: if self.reserve.percent == 0 { Reserve::NONE } else { self.reserve },
            may_block,
        });
        let desk = Desk::new(self.lanes, self.batch_size, plan.batch_bytes, self.enrichment.map(Arc::new));
        let shared = Arc::new(Shared {
            name,
            queue,
            filter: FilterCell::new(filter),
            stations,
            bells,
            diagnostics,
            meters,
            shutdown: ShutdownCell::new(),
            shutdown_timeout: self.shutdown_timeout,
            home,
            desk: Mutex::new(desk),
            flushes: Mutex::default(),
            hooks: Hooks::default(),
            // The one that is returned.
            handles: AtomicUsize::new(1),
            guarded: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            watched: Notify::new(),
            ended: OnceLock::new(),
            #[cfg(feature = "prometheus")]
            prometheus_addr: addr,
        });
        watch(&shared).map_err(|source| BuildError(Problem::Thread(source)))?;
        #[cfg(feature = "prometheus")]
        let companions = server.map(|server| companion(server, Arc::downgrade(&shared))).into_iter().collect();
        #[cfg(not(feature = "prometheus"))]
        let companions = Vec::new();
        let cancel = self.cancel.map(|token| Cancel { token, grace: self.grace });
        Ok((shared, Kit { lines, flush_interval: self.flush_interval, cancel, gauges: self.gauges, companions }))
    }

    #[cfg(feature = "prometheus")]
    fn bind(&self) -> Result<Option<Exporter>, BuildError> {
        let bind = |addr| Exporter::bind(addr).map_err(|source| BuildError(Problem::Listen { addr, source }));
        self.prometheus.map(bind).transpose()
    }

    fn open_sinks(&mut self) -> Result<(), BuildError> {
        for (sink, pipeline) in &mut self.sinks {
            let (mut next, mut name) = (Some(pipeline), sink.clone());
            for number in 1.. {
                let Some(link) = next else { break };
                link.sink.open().map_err(|source| BuildError(Problem::Sink { name, source }))?;
                next = link.fallback.as_deref_mut();
                name = format!("{sink}/{number}");
            }
        }
        Ok(())
    }
}

fn next_name() -> String {
    static UNNAMED: AtomicUsize = AtomicUsize::new(1);
    match UNNAMED.fetch_add(1, Ordering::Relaxed) {
        1 => "logweir".to_owned(),
        number => format!("logweir-{number}"),
    }
}

/// The runtime of a thread of our own, whose end waits for nobody: a sink may have left a blocking task behind, and
/// a `start` that fails drops it on the caller's thread, where tokio panics if waiting could block another runtime.
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(crate) fn new(runtime: Runtime) -> Self {
        OwnRuntime(Some(runtime))
    }

    pub(crate) fn get(&self) -> &Runtime {
        self.0.as_ref().expect("only `drop` takes it")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The logger's own thread.
fn run_thread(runtime: OwnRuntime, shared: Arc<Shared>, kit: Kit) {
    mark_logger_thread();
    runtime.get().block_on(worker::run(shared, kit));
}

/// The shared half of each pipeline, and the half its task owns.
type Equipped = (Box<[Arc<Station>]>, Vec<Line>);

fn stations(
    sinks: Vec<(String, Pipeline)>,
    plan: &Plan,
    meters: Vec<SinkMeters>,
    bells: &Arc<Bells>,
    diagnostics: &Arc<Diagnostics>,
) -> Equipped {
    let equipped = sinks.into_iter().zip(&plan.accounts).zip(meters).map(|(((name, pipeline), &limit), meters)| {
        let mut pipeline = pipeline;
        let fallbacks = pipeline.take_links();
        let Pipeline { sink, level, timeout, when_full, retry, breaker, on_breaker, .. } = pipeline;
        let config = StationConfig {
            name,
            level,
            timeout,
            breaker,
            on_breaker,
            links: fallbacks.len(),
            when_full,
            limit,
            meters,
            bells: bells.clone(),
            diagnostics: diagnostics.clone(),
        };
        (Arc::new(Station::new(config)), Line { sink, retry, fallbacks })
    });
    let (stations, lines): (Vec<_>, Vec<_>) = equipped.unzip();
    (stations.into(), lines)
}

#[cfg(feature = "prometheus")]
fn register_server(
    exporter: Option<Exporter>,
    runtime: &Handle,
) -> Result<(Option<SocketAddr>, Option<Server>), BuildError> {
    let Some(exporter) = exporter else { return Ok((None, None)) };
    let _inside = runtime.enter();
    let listen = |source| BuildError(Problem::Listen { addr: ([0, 0, 0, 0], 0).into(), source });
    let addr = exporter.addr().map_err(listen)?;
    // Tokio has no way to ask for its drivers; it panics without them.
    let registered = catch_unwind(AssertUnwindSafe(|| exporter.register()));
    let server = registered.map_err(|_| BuildError(Problem::Runtime("I/O (`enable_io`)")))?;
    let server = server.map_err(|source| BuildError(Problem::Listen { addr, source }))?;
    Ok((Some(addr), Some(server)))
}

#[cfg(feature = "prometheus")]
fn companion(server: Server, shared: Weak<Shared>) -> BoxFuture<'static, ()> {
    Box::pin(server.run(shared))
}

fn check_timers(runtime: &Handle) -> Result<(), BuildError> {
    let _inside = runtime.enter();
    let made = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
    made.map_err(|_| BuildError(Problem::Runtime("timers (`enable_time`)")))
}

/// Has the timer thread look whether the flush task is polled.
fn watch(shared: &Arc<Shared>) -> io::Result<()> {
    let shared = Arc::downgrade(shared);
    let (mut seen, mut periods) = (u64::MAX, 0_u32);
    deadline::every(WATCH, move || {
        let Some(shared) = Weak::upgrade(&shared).filter(|shared| shared.shutdown.requested().is_none()) else {
            return false;
        };
        let turns = shared.turns.load(Ordering::Relaxed);
        periods = if turns == seen { periods + 1 } else { 0 };
        seen = turns;
        // Asked to take a turn one period ago, it has not.
        if periods == 1 {
            shared.diagnostics.report(Diagnostic::Stalled { since: WATCH });
        }
        // It still has not: a handler that would be called where it runs hears nothing either.
        if periods == 2 {
            shared.diagnostics.pass_over();
        }
        shared.watched.notify_one();
        true
    })
}

/// What the knobs come to, once they are known to fit together.
struct Plan {
    /// The queue's bytes less its lanes.
    heap_bytes: usize,
    /// One for each sink.
    accounts: Vec<usize>,
    batch_bytes: usize,
}

impl Plan {
    fn check(builder: &Builder<'_>) -> Result<Plan, BuildError> {
        let Builder { queue_capacity, lanes, memory, max_event_bytes, .. } = *builder;
        within("lanes", lanes, 1, MAX_LANES)?;
        within("queue_capacity", queue_capacity, 1, MAX_CAPACITY)?;
        within("reserve", builder.reserve.percent, 0, MAX_RESERVE)?;
        let mut marks = builder.gauges.iter().map(Gauge::mark);
        marks.try_for_each(|mark| within("on_pressure", mark.into(), 1, 100))?;
        within("batch_size", builder.batch_size, 1, MAX_BATCH)?;
        within_time("flush_interval", builder.flush_interval, Duration::from_millis(1), MAX_INTERVAL)?;
        if builder.name.as_ref().is_some_and(String::is_empty) {
            return Err(knob("name", "empty", "any text that is not empty"));
        }
        #[cfg(feature = "prometheus")]
        if builder.recorder.is_some() && builder.prometheus.is_some() {
            return Err(knob("metrics", "set beside `prometheus`", "one of the two: each is a recorder"));
        }
        let half = memory / 2;
        let lanes_bytes = lanes * queue_capacity * EVENT_BYTES;
        if lanes_bytes > half / 2 {
            let allowed = format!(
                "at most {} with `memory` {memory} and `lanes` {lanes}: at {EVENT_BYTES} bytes an event the lanes may \
                 take a quarter of the memory",
                half / 2 / lanes / EVENT_BYTES
            );
            return Err(knob("queue_capacity", queue_capacity, allowed));
        }
        let heap_bytes = half - lanes_bytes;
        let accounts = accounts(&builder.sinks, half)?;
        let smallest = accounts.iter().copied().min().unwrap_or(0);
        // Half of a sink's account, so that one can wait while another is written.
        let most = heap_bytes.saturating_sub(size_of::<Vec<u8>>()).min(smallest / 2);
        if max_event_bytes < MIN_EVENT_BYTES || max_event_bytes > most {
            let allowed = format!(
                "{MIN_EVENT_BYTES} to {most} with `memory` {memory}: the queue has {heap_bytes} bytes beside its lanes, the \
                 smallest sink's account {smallest}, of which an event may take half"
            );
            return Err(knob("max_event_bytes", max_event_bytes, allowed));
        }
        Ok(Plan { heap_bytes, accounts, batch_bytes: smallest / BATCHES_PER_ACCOUNT })
    }
}

/// The sinks' accounts: what was asked for, the rest in equal shares.
fn accounts(sinks: &[(String, Pipeline)], half: usize) -> Result<Vec<usize>, BuildError> {
    if sinks.is_empty() {
        return Err(knob("sink", "none", "at least one sink"));
    }
    for (index, (name, pipeline)) in sinks.iter().enumerate() {
        if name.is_empty() || sinks[..index].iter().any(|(other, _)| other == name) {
            return Err(knob("sink", format!("`{name}`"), "names that are not empty and differ"));
        }
        check_pipeline(name, pipeline)?;
    }
    let asked = sinks.iter().filter_map(|(_, pipeline)| pipeline.backlog_bytes).fold(0, usize::saturating_add);
    let unasked = sinks.iter().filter(|(_, pipeline)| pipeline.backlog_bytes.is_none()).count();
    if asked > half {
        let allowed = format!("at most {half} for all sinks together: half of `memory`");
        return Err(knob("backlog", asked, allowed));
    }
    let share = (half - asked).checked_div(unasked).unwrap_or(0);
    let account = |(name, pipeline): &(String, Pipeline)| {
        let bytes = pipeline.backlog_bytes.unwrap_or(share);
        if bytes < MIN_ACCOUNT {
            let allowed = format!("at least {MIN_ACCOUNT} for each sink, of half of `memory`, which is {half}");
            return Err(knob("backlog", format!("{bytes} (sink `{name}`)"), allowed));
        }
        Ok(bytes)
    };
    sinks.iter().map(account).collect()
}

/// The numbers of a pipeline and of the links of its chain.
fn check_pipeline(name: &str, pipeline: &Pipeline) -> Result<(), BuildError> {
    let Pipeline { timeout, retry, breaker, fallback, .. } = pipeline;
    let wrong = |what, value: String, allowed: &str| Err(knob(what, format!("{value} (sink `{name}`)"), allowed));
    if timeout.is_zero() {
        return wrong("timeout", "0".into(), "more than zero");
    }
    if retry.initial.is_zero() || retry.cap < retry.initial {
        let value = format!("{:?} with a cap of {:?}", retry.initial, retry.cap);
        return wrong("retry", value, "a first wait of more than zero, and a cap that is not below it");
    }
    if retry.max_attempts == Some(0) {
        return wrong("retry", "0 attempts".into(), "1 attempt or more");
    }
    if breaker.failures == 0 {
        return wrong("breaker", "0 failures".into(), "1 failure or more");
    }
    if breaker.probe_after.is_zero() || breaker.cap < breaker.probe_after {
        let value = format!("a probe after {:?} with a cap of {:?}", breaker.probe_after, breaker.cap);
        return wrong("breaker", value, "a delay of more than zero, and a cap that is not below it");
    }
    fallback.as_ref().map_or(Ok(()), |link| check_pipeline(&format!("{name}: fallback"), link))
}

fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<(), BuildError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(knob(name, value, format!("{least} to {most}"))) }
}

fn within_time(name: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), BuildError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(knob(name, format!("{value:?}"), format!("{least:?} to {most:?}")))
    }
}

fn knob(name: &'static str, value: impl ToString, allowed: impl Into<String>) -> BuildError {
    BuildError(Problem::Knob { name, value: value.to_string(), allowed: allowed.into() })
}

/// Why `start` refused. Nothing was started; sinks that were opened are dropped.
#[derive(Debug)]
pub struct BuildError(Problem);

#[derive(Debug)]
enum Problem {
    Knob {
        name: &'static str,
        value: String,
        allowed: String,
    },
    Filter(ParseFilterError),
    Sink {
        name: String,
        source: SinkError,
    },
    #[cfg(feature = "prometheus")]
    Listen {
        addr: SocketAddr,
        source: io::Error,
    },
    Runtime(&'static str),
    Thread(io::Error),
}

impl BuildError {
    /// The knob that is wrong, as the builder's method is named; none if it is the environment that refused.
    pub fn knob(&self) -> Option<&str> {
        match &self.0 {
            Problem::Knob { name, .. } => Some(name),
            Problem::Filter(_) => Some("filter"),
            Problem::Sink { .. } => Some("sink"),
            #[cfg(feature = "prometheus")]
            Problem::Listen { .. } => Some("prometheus"),
            Problem::Runtime(_) => Some("start_on"),
            Problem::Thread(_) => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::Knob { name, value, allowed } => write!(f, "`{name}` is {value}; allowed is {allowed}"),
            Problem::Filter(error) => write!(f, "`filter`: {error}"),
            Problem::Sink { name, source } => {
                write!(f, "sink `{name}` cannot be opened")?;
                // What is wrong with a sink (its path, say) is in the error's source, which not every caller prints.
                source.source().map_or(Ok(()), |cause| write!(f, ": {}", crate::diagnostics::Chain(cause)))
            }
            #[cfg(feature = "prometheus")]
            Problem::Listen { addr, source } => write!(f, "`prometheus`: cannot listen on {addr}: {source}"),
            Problem::Runtime(what) => write!(f, "`start_on`: the runtime has no {what}"),
            Problem::Thread(source) => write!(f, "the system gave the logger no thread: {source}"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Problem::Filter(error) => Some(error),
            Problem::Sink { source, .. } => Some(source),
            #[cfg(feature = "prometheus")]
            Problem::Listen { source, .. } => Some(source),
            Problem::Thread(source) => Some(source),
            Problem::Knob { .. } | Problem::Runtime(_) => None,
        }
    }
}
