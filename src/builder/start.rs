//! The caller's thread, once: from a checked plan to a running logger.

use std::io;
use std::panic::{Location, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use metrics::Recorder;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Builder;
use super::error::{BuildError, BuildErrorKind};
use super::open::unclaimed_bytes;
use super::plan::Plan;
#[cfg(feature = "prometheus")]
use crate::admin::Endpoint;
use crate::context::scope::ScopeId;
use crate::context::suppress;
use crate::context::thread_flags::mark_logger_thread;
use crate::dispatch::{Dispatcher, Enrichers};
use crate::event::{EventId, LevelFilter, Redactor};
use crate::filter::FilterCell;
use crate::logger::Logger;
use crate::observe::diagnostics::{Diagnostic, Diagnostics};
#[cfg(feature = "prometheus")]
use crate::observe::exporter::Exporter;
use crate::observe::metrics::{Limits, LoggerMetrics, SinkHistograms, SinkIdentity};
use crate::observe::names;
use crate::pipeline::{NoticeIds, Notifiers, Pipeline, PipelineEnv, SinkHandle, SinkHandleConfig, SinkTaskParts};
use crate::queue::{Queue, QueueConfig};
use crate::runtime::{
    self, Cancellation, DetachedRuntime, FlushTaskParts, Host, LoggerCore, ServiceThread, ShutdownHooks, ShutdownState,
    start_timers,
};
use crate::sink::of_one_logger;

impl Logger {
    /// Returns a builder with the default options.
    pub fn builder() -> Builder<'static> {
        Builder::new()
    }
}

impl Builder<'_> {
    /// Starts the logger on a thread of its own, named `logweir`: it works from any runtime or none, does not starve
    /// with the application, and survives a dropped runtime.
    ///
    /// # Errors
    /// Returns an error for the first invalid option, a sink that cannot be opened, a port in use, a missing thread, or
    /// the name of another running logger on the same metrics recorder.
    /// Nothing was started then.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    #[track_caller]
    pub fn start(self) -> Result<Logger, BuildError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Those of its blocking pool, where a sink may work.
            .on_thread_start(mark_own_thread)
            .build()
            .map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        let runtime = DetachedRuntime::new(runtime);
        let (core, parts) = self.build(runtime.get().handle(), Host::OwnThread, Location::caller())?;
        let spawned = {
            let core = core.clone();
            thread::Builder::new().name("logweir".into()).spawn(move || run_thread(runtime, core, parts))
        };
        spawned.map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        core.register();
        Ok(Logger::new(core))
    }

    /// Starts the logger on this runtime, for a test with a paused clock, or to have no extra thread. The runtime
    /// needs its timers (`enable_time`). [`Builder::prometheus`] needs nothing of it: it has a thread of its own.
    ///
    /// Events that a sink logs are suppressed, but not those of the tasks that it or its libraries spawn: no one can tell
    /// them from the program's. If a sink's HTTP client logs, for example, each delivery makes events to deliver. Wrap
    /// such tasks in [`suppress`](crate::suppress()), filter their targets out, or use [`Builder::start`].
    ///
    /// If the runtime is dropped before the logger is shut down, pending events are lost (`runtime_dropped`), which is
    /// reported once. On a current-thread runtime the logger makes progress only while that runtime does.
    ///
    /// # Errors
    /// Like [`Builder::start`]; also for a runtime without timers.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    #[track_caller]
    pub fn start_on(self, runtime: &Handle) -> Result<Logger, BuildError> {
        let is_current_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let (core, parts) =
            self.build(runtime, Host::Runtime { id: runtime.id(), is_current_thread }, Location::caller())?;
        runtime.spawn(runtime::run(core.clone(), parts));
        if Handle::try_current().is_ok_and(|here| here.id() == runtime.id()) {
            core.mark_polled();
        }
        core.register();
        Ok(Logger::new(core))
    }

    fn build(
        mut self,
        runtime: &Handle,
        home: Host,
        started_at: &'static Location<'static>,
    ) -> Result<(Arc<LoggerCore>, FlushTaskParts), BuildError> {
        let plan = Plan::check(&self)?;
        check_timers(runtime)?;
        #[cfg(feature = "prometheus")]
        let OwnMetrics { exporter, endpoint, unbound } = self.own_metrics()?;
        let findings = of_one_logger(|| self.open_sinks())?;

        #[cfg(feature = "prometheus")]
        let own = exporter.as_ref().map(|exporter| exporter.recorder() as &dyn Recorder);
        #[cfg(not(feature = "prometheus"))]
        let own = None;
        let (name, metrics, sink_histograms) = self.register_metrics(own, unclaimed_bytes(&findings), started_at)?;
        let notifiers = Arc::new(Notifiers::default());
        let diagnostics = Arc::new(Diagnostics::new(name.clone(), self.on_error.take()));
        let skipped = self.skipped.into_iter().chain(self.skipped_of_sinks);
        skipped.for_each(|error| diagnostics.report(Diagnostic::FilterSkipped { error }));
        findings.into_iter().for_each(|finding| diagnostics.report(finding.into()));
        let redactor = self.redacted.ok().filter(|patterns| !patterns.is_empty()).map(Redactor::new).map(Arc::new);
        let enrichment = self.enrichment.map(|enrichment| match &redactor {
            Some(redactor) => Arc::new(enrichment.redacted(redactor)),
            None => Arc::new(enrichment),
        });
        let env = PipelineEnv {
            notifiers: notifiers.clone(),
            diagnostics: diagnostics.clone(),
            notice_interval: self.notice_interval,
            enrichment: enrichment.clone(),
            redactor: redactor.clone(),
            notice_ids: Arc::new(NoticeIds::new(random_id()?)),
            flush_at: self.flush_at,
        };
        let (sinks, sink_tasks) = build_sinks(self.sinks, &plan, sink_histograms, &env);
        let (reserve_level, percent) = self.reserve;
        let queue = Queue::new(QueueConfig {
            lanes: self.lanes,
            capacity: self.queue_capacity,
            heap_bytes: plan.heap_bytes,
            max_event_bytes: self.max_event_bytes,
            flush_at: self.flush_at,
            overflow: self.overflow,
            open_places: (self.queue_capacity - (self.queue_capacity * percent).div_ceil(100)).max(1),
            reserve_level: if percent == 0 { LevelFilter::Trace } else { reserve_level },
            is_on_users_runtime: home != Host::OwnThread,
        });
        let enrichers = Enrichers::new(self.enrichers, enrichment.clone());
        let dispatcher = Dispatcher::new(self.lanes, self.batch_size, plan.batch_bytes, enrichment, random_id()?);
        let core = Arc::new(LoggerCore {
            name,
            queue,
            scope_id: ScopeId::next(),
            redactor,
            suppressed: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            filter: FilterCell::new(plan.filter, self.max_event_bytes),
            sinks,
            notifiers,
            diagnostics,
            metrics,
            shutdown: ShutdownState::default(),
            shutdown_timeout: self.shutdown_timeout,
            host: home,
            process: std::process::id(),
            polled_on: AtomicUsize::new(0),
            dispatcher: Mutex::new(dispatcher),
            flushes: Mutex::default(),
            hooks: ShutdownHooks::default(),
            // The one that is returned.
            handles: AtomicUsize::new(1),
            report_losses: AtomicBool::new(false),
            heartbeat: AtomicU64::new(0),
            heartbeat_request: Notify::new(),
            stopped_at: OnceLock::new(),
            #[cfg(feature = "prometheus")]
            exporter,
            #[cfg(feature = "prometheus")]
            prometheus_addr: endpoint.as_ref().map(Endpoint::addr),
            stop_services: CancellationToken::new(),
        });
        start_timers(&core).map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        #[cfg(feature = "prometheus")]
        let mut services =
            serve_metrics(&core, endpoint, unbound).map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        #[cfg(not(feature = "prometheus"))]
        let mut services = Vec::new();
        let network = match sink_tasks.iter().any(|task| task.encodes_for_network) {
            true => Some(start_network(&mut services).map_err(|source| BuildError(BuildErrorKind::Thread(source)))?),
            false => None,
        };
        let cancel = self.cancel.map(|token| Cancellation { token, grace: self.grace_period });
        let parts = FlushTaskParts {
            sink_tasks,
            network,
            flush_interval: self.flush_interval,
            cancel,
            pressure_monitors: self.pressure_monitors,
            enrichers,
            services,
        };
        Ok((core, parts))
    }

    /// Makes the recorder of the logger's own and binds its address, if they are wanted.
    #[cfg(feature = "prometheus")]
    fn own_metrics(&self) -> Result<OwnMetrics, BuildError> {
        let mut own = OwnMetrics::default();
        let Some(prometheus) = &self.prometheus else { return Ok(own) };
        own.exporter = Some(Exporter::new());
        if let Some(addr) = prometheus.addr {
            match Endpoint::bind(addr) {
                Ok(endpoint) => own.endpoint = Some(endpoint),
                Err(source) if prometheus.is_optional => {
                    own.unbound = Some(Diagnostic::MetricsUnavailable { addr, error: source.into() });
                }
                Err(source) => return Err(BuildError(BuildErrorKind::Listen { addr, source })),
            }
        }
        Ok(own)
    }

    /// Claims the name and registers the metrics: on the recorder of the logger's own, the user's, or the global one.
    fn register_metrics(
        &mut self,
        own: Option<&dyn Recorder>,
        unclaimed_bytes: u64,
        started_at: &'static Location<'static>,
    ) -> Result<(String, LoggerMetrics, Vec<SinkHistograms>), BuildError> {
        let given = self.name.take();
        let identity = |(name, pipeline): &(String, Pipeline)| SinkIdentity {
            name: name.clone(),
            has_spool: pipeline.spool.is_some(),
        };
        let sinks: Vec<SinkIdentity> = self.sinks.iter().map(identity).collect();
        let limits = Limits {
            queue_capacity: self.queue_capacity * self.lanes,
            memory_bytes: self.memory_limit,
            unclaimed_bytes,
        };
        let register = |recorder: &dyn Recorder, (name, guard): (String, _)| {
            let (metrics, histograms) = LoggerMetrics::register(recorder, &name, &limits, &sinks, guard);
            (name, metrics, histograms)
        };
        if let Some(own) = own {
            return Ok(register(own, names::unshared(given)));
        }
        let shared = |recorder: &dyn Recorder| {
            let claimed = names::claim(given.clone(), recorder, started_at);
            claimed.map(|name| register(recorder, name)).map_err(|there| {
                let name = given.clone().unwrap_or_default();
                BuildError(BuildErrorKind::NameTaken { name, here: started_at, there })
            })
        };
        self.recorder.map_or_else(|| metrics::with_recorder(shared), shared)
    }
}

/// The metrics that [`Builder::prometheus`] asks for.
#[cfg(feature = "prometheus")]
#[derive(Default)]
struct OwnMetrics {
    exporter: Option<Exporter>,
    endpoint: Option<Endpoint>,
    /// Why an optional endpoint is missing.
    unbound: Option<Diagnostic>,
}

/// Starts what the recorder of the logger's own needs.
#[cfg(feature = "prometheus")]
fn serve_metrics(
    core: &Arc<LoggerCore>,
    endpoint: Option<Endpoint>,
    unbound: Option<Diagnostic>,
) -> io::Result<Vec<ServiceThread>> {
    unbound.into_iter().for_each(|diagnostic| core.diagnostics.report(diagnostic));
    endpoint.into_iter().map(|endpoint| endpoint.start(core)).collect()
}

/// Marks a thread of the logger's own: whatever runs there, also what a sink or its libraries spawn, is a part of delivery.
fn mark_own_thread() {
    mark_logger_thread();
    suppress::mark_thread();
}

/// The main function of the logger's own thread.
fn run_thread(runtime: DetachedRuntime, core: Arc<LoggerCore>, parts: FlushTaskParts) {
    mark_own_thread();
    runtime.get().block_on(runtime::run(core, parts));
}

/// Starts the thread of the sinks that encode for the network.
fn start_network(services: &mut Vec<ServiceThread>) -> io::Result<Handle> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().on_thread_start(mark_own_thread).build()?;
    // Of its own: at the deadline its tasks are aborted by the flush task, and do not just end.
    let (runtime, stop) = (DetachedRuntime::new(runtime), CancellationToken::new());
    let handle = runtime.get().handle().clone();
    let stopped = stop.clone();
    services.push(ServiceThread::spawn("logweir-net", stop, move || {
        mark_own_thread();
        runtime.get().block_on(stopped.cancelled());
    })?);
    Ok(handle)
}

/// The shared half of each pipeline, and the half that its task owns.
type SinkParts = (Box<[Arc<SinkHandle>]>, Vec<SinkTaskParts>);

fn build_sinks(
    sinks: Vec<(String, Pipeline)>,
    plan: &Plan,
    histograms: Vec<SinkHistograms>,
    env: &PipelineEnv,
) -> SinkParts {
    // What callers wait for that want a confirmation.
    let is_any_essential = sinks.iter().any(|(_, pipeline)| pipeline.is_essential);
    let equipped = sinks.into_iter().zip(&plan.sinks).zip(histograms).enumerate();
    let equipped = equipped.map(|(number, (((name, mut pipeline), plan), histograms))| {
        let holds_recovered = pipeline.is_essential;
        let is_essential = if is_any_essential { pipeline.is_essential } else { pipeline.spool.is_some() };
        let is_confirming = pipeline.links().map(Pipeline::is_confirming).collect();
        let (on_breaker, spool) = (pipeline.on_breaker.take(), pipeline.spool.take());
        let store = spool.as_ref().map(|spool| spool.store.clone());
        let (when_full, retry, breaker) = (pipeline.when_full, pipeline.retry.clone(), pipeline.breaker.clone());
        let batching = pipeline.batching.within(plan.most_body_bytes);
        let encodes_for_network = pipeline.encodes_for_network();
        let destinations = pipeline.take_destinations(plan.most_body_bytes);
        let config = SinkHandleConfig {
            name,
            filter: plan.filter.clone(),
            breaker,
            on_breaker,
            number,
            is_essential,
            holds_recovered,
            is_confirming,
            when_full,
            limit: plan.account,
            batching,
            spool,
            histograms,
            env: env.clone(),
        };
        (Arc::new(SinkHandle::new(config)), SinkTaskParts { retry, destinations, encodes_for_network, spool: store })
    });
    let (sinks, tasks): (Vec<_>, Vec<_>) = equipped.unzip();
    (sinks.into(), tasks)
}

/// Draws the identity of what a logger dispatches.
fn random_id() -> Result<EventId, BuildError> {
    let mut origin = [0; 10];
    getrandom::fill(&mut origin).map_err(|source| BuildError(BuildErrorKind::Random(source.into())))?;
    Ok(EventId::first_of(origin))
}

fn check_timers(runtime: &Handle) -> Result<(), BuildError> {
    let _inside = runtime.enter();
    let made = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
    made.map_err(|_| BuildError(BuildErrorKind::Runtime("timers (`enable_time`)")))
}
