//! The caller's thread, once: from a checked plan to a running logger.

#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
#[cfg(feature = "prometheus")]
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

#[cfg(feature = "prometheus")]
use futures::future::BoxFuture;
use metrics::Recorder;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use super::Builder;
use super::error::{BuildError, BuildErrorKind};
use super::plan::Plan;
#[cfg(feature = "prometheus")]
use crate::admin::{Exporter, Server};
use crate::dispatch::{Dispatcher, Enrichers};
use crate::event::Redactor;
use crate::filter::FilterCell;
use crate::logger::Logger;
use crate::observe::diagnostics::Diagnostics;
use crate::observe::metrics::{Limits, LoggerMetrics, SinkHistograms};
use crate::pipeline::{Bells, House, Line, Pipeline, Station, StationConfig};
use crate::queue::{MayBlock, Queue, QueueConfig, Reserve, mark_logger_thread};
use crate::runtime::{
    self, Cancellation, DetachedRuntime, FlushTaskParts, Host, LoggerCore, ShutdownHooks, ShutdownState, start_watchdog,
};

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
    /// Returns an error for the first invalid option, a sink that cannot be opened, a port in use, or a missing thread.
    /// Nothing was started then.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    pub fn start(self) -> Result<Logger, BuildError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        let runtime = DetachedRuntime::new(runtime);
        let (core, parts) = self.build(runtime.get().handle(), Host::OwnThread)?;
        let spawned = {
            let core = core.clone();
            thread::Builder::new().name("logweir".into()).spawn(move || run_thread(runtime, core, parts))
        };
        spawned.map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        core.register();
        Ok(Logger::new(core))
    }

    /// Starts the logger on this runtime, for a test with a paused clock, or to have no extra thread. The runtime needs
    /// its timers (`enable_time`), and with [`Builder::prometheus`] its I/O (`enable_io`).
    ///
    /// If the runtime is dropped before the logger is shut down, pending events are lost (`runtime_dropped`), which is
    /// reported once. On a current-thread runtime the logger makes progress only while that runtime does.
    ///
    /// # Errors
    /// Like [`Builder::start`]; also for a runtime without timers or I/O.
    ///
    /// # Blocking
    /// Opens the sinks on this thread.
    pub fn start_on(self, runtime: &Handle) -> Result<Logger, BuildError> {
        let is_current_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let (core, parts) = self.build(runtime, Host::Runtime { id: runtime.id(), is_current_thread })?;
        runtime.spawn(runtime::run(core.clone(), parts));
        if Handle::try_current().is_ok_and(|here| here.id() == runtime.id()) {
            core.mark_polled();
        }
        core.register();
        Ok(Logger::new(core))
    }

    fn build(mut self, runtime: &Handle, home: Host) -> Result<(Arc<LoggerCore>, FlushTaskParts), BuildError> {
        let plan = Plan::check(&self)?;
        let name = self.name.take().unwrap_or_else(next_name);
        #[cfg(feature = "prometheus")]
        let exporter = self.bind()?;
        self.open_sinks()?;

        let names: Vec<String> = self.sinks.iter().map(|(name, _)| name.clone()).collect();
        let limits = Limits { queue_capacity: self.queue_capacity * self.lanes, memory_bytes: self.memory_limit };
        let register = |recorder: &dyn Recorder| LoggerMetrics::register(recorder, &name, &limits, &names);
        #[cfg(feature = "prometheus")]
        let own = exporter.as_ref().map(|exporter| exporter.recorder() as &dyn Recorder);
        #[cfg(not(feature = "prometheus"))]
        let own = None;
        let (metrics, sink_histograms) = match own.or(self.recorder) {
            Some(recorder) => register(recorder),
            None => metrics::with_recorder(|recorder| register(recorder)),
        };
        #[cfg(feature = "prometheus")]
        let (addr, server) = register_server(exporter, runtime)?;
        check_timers(runtime)?;

        let notifiers = Arc::new(Bells::default());
        let diagnostics = Arc::new(Diagnostics::new(name.clone(), self.on_error.take()));
        let redactor = self.redacted.ok().filter(|patterns| !patterns.is_empty()).map(Redactor::new);
        let enrichment = self.enrichment.map(|enrichment| match &redactor {
            Some(redactor) => Arc::new(enrichment.redacted(redactor)),
            None => Arc::new(enrichment),
        });
        let env = House {
            bells: notifiers.clone(),
            diagnostics: diagnostics.clone(),
            notice_interval: self.notice_interval,
            enrichment: enrichment.clone(),
        };
        let (sinks, lines) = build_sinks(self.sinks, &plan, sink_histograms, &env);
        let may_block = match home {
            Host::OwnThread => MayBlock::Anywhere,
            Host::Runtime { .. } => MayBlock::OutsideRuntimes,
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
            redactor: redactor.map(Box::new),
        });
        let enrichers = Enrichers::new(self.enrichers, enrichment.clone());
        let dispatcher = Dispatcher::new(self.lanes, self.batch_size, plan.batch_bytes, enrichment);
        let core = Arc::new(LoggerCore {
            name,
            queue,
            filter: FilterCell::new(plan.filter),
            sinks,
            notifiers,
            diagnostics,
            metrics,
            shutdown: ShutdownState::default(),
            shutdown_timeout: self.shutdown_timeout,
            home,
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
            prometheus_addr: addr,
        });
        start_watchdog(&core).map_err(|source| BuildError(BuildErrorKind::Thread(source)))?;
        #[cfg(feature = "prometheus")]
        let background_tasks = server.map(|server| serve_metrics(server, Arc::downgrade(&core))).into_iter().collect();
        #[cfg(not(feature = "prometheus"))]
        let background_tasks = Vec::new();
        let cancel = self.cancel.map(|token| Cancellation { token, grace: self.grace_period });
        let parts = FlushTaskParts {
            lines,
            flush_interval: self.flush_interval,
            cancel,
            pressure_monitors: self.pressure_monitors,
            enrichers,
            background_tasks,
        };
        Ok((core, parts))
    }

    #[cfg(feature = "prometheus")]
    fn bind(&self) -> Result<Option<Exporter>, BuildError> {
        let bind = |addr| Exporter::bind(addr).map_err(|source| BuildError(BuildErrorKind::Listen { addr, source }));
        self.prometheus.map(bind).transpose()
    }

    fn open_sinks(&mut self) -> Result<(), BuildError> {
        for (sink, pipeline) in &mut self.sinks {
            let (mut next, mut name) = (Some(pipeline), sink.clone());
            for number in 1.. {
                let Some(link) = next else { break };
                link.sink.open().map_err(|source| BuildError(BuildErrorKind::Sink { name, source }))?;
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

/// The main function of the logger's own thread.
fn run_thread(runtime: DetachedRuntime, core: Arc<LoggerCore>, parts: FlushTaskParts) {
    mark_logger_thread();
    runtime.get().block_on(runtime::run(core, parts));
}

/// The shared half of each pipeline, and the half that its task owns.
type SinkParts = (Box<[Arc<Station>]>, Vec<Line>);

fn build_sinks(sinks: Vec<(String, Pipeline)>, plan: &Plan, histograms: Vec<SinkHistograms>, env: &House) -> SinkParts {
    let equipped = sinks.into_iter().zip(&plan.sinks).zip(histograms).map(|(((name, pipeline), plan), histograms)| {
        let mut pipeline = pipeline;
        let fallbacks = pipeline.take_links();
        let Pipeline { sink, timeout, when_full, retry, breaker, on_breaker, .. } = pipeline;
        let config = StationConfig {
            name,
            filter: plan.filter.clone(),
            timeout,
            breaker,
            on_breaker,
            links: fallbacks.len(),
            when_full,
            limit: plan.account,
            meters: histograms,
            house: env.clone(),
        };
        (Arc::new(Station::new(config)), Line { sink, retry, fallbacks })
    });
    let (sinks, lines): (Vec<_>, Vec<_>) = equipped.unzip();
    (sinks.into(), lines)
}

#[cfg(feature = "prometheus")]
fn register_server(
    exporter: Option<Exporter>,
    runtime: &Handle,
) -> Result<(Option<SocketAddr>, Option<Server>), BuildError> {
    let Some(exporter) = exporter else { return Ok((None, None)) };
    let _inside = runtime.enter();
    let listen = |source| BuildError(BuildErrorKind::Listen { addr: ([0, 0, 0, 0], 0).into(), source });
    let addr = exporter.addr().map_err(listen)?;
    // Tokio has no query for its drivers; it panics without them.
    let registered = catch_unwind(AssertUnwindSafe(|| exporter.register()));
    let server = registered.map_err(|_| BuildError(BuildErrorKind::Runtime("I/O (`enable_io`)")))?;
    let server = server.map_err(|source| BuildError(BuildErrorKind::Listen { addr, source }))?;
    Ok((Some(addr), Some(server)))
}

#[cfg(feature = "prometheus")]
fn serve_metrics(server: Server, core: std::sync::Weak<LoggerCore>) -> BoxFuture<'static, ()> {
    Box::pin(server.run(core))
}

fn check_timers(runtime: &Handle) -> Result<(), BuildError> {
    let _inside = runtime.enter();
    let made = catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO)));
    made.map_err(|_| BuildError(BuildErrorKind::Runtime("timers (`enable_time`)")))
}
