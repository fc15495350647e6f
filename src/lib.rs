//! An async, Tokio-native logging runtime: bounded memory, a shutdown with a deadline, and books that balance.
//!
//! Callers put events into a bounded queue at almost no cost. One flush task drains it into batches, by size or by time,
//! and hands them to the sinks, each behind a pipeline of its own. Every accepted event ends delivered, dropped for a
//! named and counted reason, or reported as unconfirmed: logweir does not say that it never loses, it always accounts.
//!
//! ```
//! use std::time::Duration;
//! use logweir::format::Json;
//! use logweir::sink::{ConsoleSink, FileSink};
//! use logweir::{Logger, info};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::env::temp_dir().join(format!("logweir-doc-{}.json", std::process::id()));
//! let logger = Logger::builder()
//!     .name("checkout")
//!     .filter("info,hyper=warn")
//!     .sink("console", ConsoleSink::stdout())
//!     .sink("file", FileSink::new(&path).format(Json::new()))
//!     .start()?;
//!
//! info!(logger: logger, "user {user} logged in", user = "ada", attempts = 2);
//!
//! let report = logger.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.sink("file").map(|sink| sink.delivered), Some(1));
//! # std::fs::remove_file(&path)?;
//! # Ok(())
//! # }
//! ```
//!
//! # The journey of an event
//!
//! ```text
//!  caller's thread                      flush task                          one pipeline per sink, each its own task
//!  filter ─ encode ─ open chunk ─▶ lanes: chunks, mpsc ─ merge by time ─┬▶ backlog ─ breaker ─ retry ─▶ Sink::write
//!  static call site   inline        capacity each,       batch          ├▶ backlog ─ …
//!  context (Arc)      bytes         a byte account                      └▶ …
//! ```
//!
//! The modules of the source stand in this order. The [macros](#macros) make an [`Event`] of 128 bytes;
//! [`Logger`] takes it; a [`Pipeline`] carries a [`Batch`] to a [`Sink`], which turns it into bytes with a [`Format`].
//!
//! # What does a call cost?
//! No I/O, one lock of its lane for as long as an event is copied, no formatting (a `%` or `?` field apart, which exists
//! only as text) and no allocation while the fields fit about 94 bytes. `cargo bench --bench caller` prints the
//! figures for your machine.
//!
//! # How is it told to log more, or less?
//! [`Logger::set_filter`] replaces the filter while it runs, [`Logger::set_temporary_filter`] for a time,
//! [`Logger::set_sink_filter`] for one sink; [`Builder::filter_from_env`] takes it from the environment.
//!
//! # How is it configured from a file?
//! With the feature `config`, `config::Config` reads everything that the [`Builder`] offers from TOML or JSON, and what
//! variables of the environment override; what is wrong there is named with its file, line, key, value and what is allowed.
//! `Config::example()` is a file to start from, with every key and its default.
//!
//! # What happens when the queue is full?
//! What [`Overflow`] says: by default the oldest event of the caller's lane makes room, and is counted
//! (`overflow_oldest`). `DropNewest` refuses the new event, `Block` waits on threads that may. In a task,
//! [`Logger::emit_wait`] waits without blocking; [`Logger::try_emit`] hands the event back. A full lane costs its caller
//! one short lock.
//!
//! [`Builder::reserve`] keeps a part of each lane for important events: the others are refused (`shed`) before they fill
//! it. [`Builder::on_pressure`] tells you while there is time to do less.
//!
//! # What happens when a sink is slow, hangs or fails?
//! It costs only itself. Its backlog has its own share of the memory; when that is full its oldest batches are dropped
//! (`backlog_full`). What fails for now is tried again ([`Retry`]); a sink that keeps failing is left alone and probed
//! ([`Breaker`]), and a [`fallback`](Pipeline::fallback) takes its events meanwhile. Events that a sink rejects are
//! searched for by halves, so that one poisoned event costs only itself. A write that takes longer than its pipeline's
//! timeout is given up, and unless an attempt or the fallback delivers its events they are *unconfirmed*: nobody can know
//! whether they arrived. A panic in a sink is caught and counted. [`Pipeline`] says it in full.
//!
//! With [`WhenFull::Block`] you give isolation up on purpose: the flush task then waits for that sink, the queue fills, and
//! with `Block` or `emit_wait` the chain is lossless from the sink back to the caller.
//!
//! # What does shutdown promise?
//! [`Logger::shutdown`] returns by its deadline, whatever the sinks do, under any executor, and its report adds up:
//! `emitted = accepted + refused`, `accepted = evicted + dispatched`, and for each sink
//! `routed = delivered + fallback + dropped + unconfirmed`, every loss by [`DropReason`]. [`Logger::shutdown_guard`] does
//! the same where it is dropped, `Logger::shutdown_on_signal` for a program that a signal ends.
//!
//! # What happens when something panics?
//! In a thread or task of yours: nothing, unless [`Logger::install_panic_hook`] is called, which logs it as `Fatal` and waits for a
//! moment until that is delivered. In a sink, a format or a callback: it is caught, counted and reported. If a task of the
//! logger's own ends (by a bug here, or in a [`metrics`](Builder::metrics_recorder) recorder), the logger does: further events are
//! refused (`task_failed`), the other sinks get what there is, [`Logger::state`] and one report say so.
//!
//! # How are log files rolled?
//! [`sink::Rolling`] begins others by time and size, deletes old ones and compresses the rest, on a thread of its own. If
//! another program moves the file away or deletes it, the next batch goes to a new one.
//!
//! # What survives a crash?
//! What a sink has handed to the system: see [`sink::Durability`] for files. Events that are in the queue or in a backlog
//! when the process is killed or aborts are lost, and no counter shows them; at most a
//! [`flush_interval`](Builder::flush_interval) of events when the sinks keep up. [`Logger::flush`] is the barrier.
//!
//! # What happens when the process exits?
//! An exit hook ends every running logger within its [`shutdown_timeout`](Builder::shutdown_timeout): when `main` returns,
//! by `?` or a panic too, and when any thread calls `std::process::exit`. [`exit()`] delivers and exits. The page
//! `logweir::docs::exit` of this documentation shows what arrives at each end of a process.
//!
//! # What may be duplicated?
//! What was in a write that was given up without an answer and is written again, here or by a fallback: at-least-once,
//! counted as `maybe_duplicated`. What a sink said it delivered is never sent again, and a sink that
//! [outlives timeouts](Sink::outlives_timeout), as the console and files do, is waited for instead. Each event has an id
//! ([`Record::id`](event::Record::id)), the same in every attempt, by which a destination can remove the second; a sink that
//! reports this ([`RequestSink::duplicates`](sink::RequestSink::duplicates)) has nothing to count.
//!
//! # How do events leave the machine?
//! Through a [`sink::RequestSink`]: it encodes events into a request, sends it, and reports the result of each event. Its
//! pipeline decides on size, time, retries and fallbacks.
//!
//! # Why are some of my logs missing?
//! In this order: the filter ([`Logger::enabled`]); macros before [`Logger::set_global`], which do nothing; a call after
//! the shutdown (`closed`); `every:` or `at_most:` of the call (`sampled`); a loss, in [`Logger::stats`] or the metrics by
//! reason; a pipeline's filter (`filtered`); a sink that logs, whose events are suppressed. The books have them all but the
//! first two.
//!
//! Losses are announced in the log itself: a line with the target `logweir`, at most one a second for each sink, says how
//! many were lost and why, and how long a sink was unavailable that is back. [`Builder::notice_interval`] says more.
//!
//! # Where does it run?
//! [`Builder::start`] gives the logger a thread of its own, with a runtime of its own; [`Builder::start_on`] runs it on
//! yours. Console and file block threads that they own and that never keep the process alive.
//!
//! # Macros
//! [`trace!`], [`debug!`], [`info!`], [`warn!`], [`error!`], [`fatal!`] and [`log!`] emit, [`new_event!`] gives the event to
//! you. A template that does not parse, or a hole without its field, does not compile.
//!
//! # What belongs together?
//! [`scope`](scope()) gives its fields to everything that a task logs, [`Logger::with`] to what goes through a handle,
//! [`Builder::enrich`] and [`Builder::enrich_with`] to everything. [`CorrelationId`] names a request.
//!
//! # What must not be in a log?
//! [`Builder::redact`] hides fields by name, [`Sensitive`] values by type, both before the queue.
//!
//! # Too much of one thing?
//! `every: n` and `at_most: n, per: time` before the template [thin a call out](info#sampling); what they left out is
//! counted and said.
//!
//! # Where do I come from?
//! From `tracing-appender`, `env_logger`, `log4rs` or `slog`: `logweir::docs::migrating` in this documentation shows what changes.
//!
//! # From `tracing`
//! With the feature `tracing`, `tracing_subscriber::registry().with(logger.tracing_layer())` sends what a program and its
//! libraries log through `tracing` to the logger: events with their types, spans as context, under the logger's filter.
//!
//! # Features
//! * `prometheus` (default): [`Builder::prometheus`] serves the metrics over HTTP; [`Logger::render_metrics`].
//! * `signal` (default): [`Logger::shutdown_on_signal`] and [`Logger::reopen_on_sighup`], on Unix.
//! * `tracing`: `Logger::tracing_layer`, a layer by which call sites of `tracing` log here; see `bridge::tracing`.
//! * `opentelemetry`: trace and span ids of OpenTelemetry on events that come through that layer.
//! * `serde`: fields `k = @value` as JSON, and `Serialize` for [`Stats`] and the reports.
//! * `log`: `Logger::install_log`, which takes the records of the `log` crate.
//! * `config`: `config::Config`, everything the builder offers from a TOML or JSON file and the environment.
//! * `gzip`: `Rolling::gzip`, compressed files.
//! * `spool`: `Spool` and `Pipeline::spool`, events on disk until they are settled; `logweir::docs::spool` says what survives.
//! * `http`: `http::HttpSink`, destinations over HTTP in the protocol of a vendor; `otlp`, `elastic`: two of these; `tls`: `https`.
//! * `pretty`: `format::Pretty` and `ConsoleSink::pretty`, several lines an event for a developer's terminal.
//! * `testing`: `testing::capture`, a logger whose events a test looks at, `testing::TestConsole`, which prints them where
//!   `cargo test` captures them, and `testing::conformance`, which checks a sink of your own.
//!
//! # Limits
//! * Linux is what it is tested on; macOS and Windows are expected to work and are not tested.
//! * After `fork` without `exec` only the forking thread is there: nothing that the child logs through the parent's logger
//!   is delivered. Calls that would wait for it return at once, and that is reported.
//! * With `panic = "abort"` a panic in a sink ends the process, like any other.
//! * A sink that blocks inside `poll` stops every sink of its logger: wrap it in [`Blocking::new`].

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The rooms, in the order of an event's journey. A room imports only rooms of the rows below its own; the rows are in
// `tests/it/layout.rs`, and each room's `mod.rs` says where it runs, what comes in and what goes out.

// A call becomes an event, on the caller's thread.
mod macros;
#[cfg(any(feature = "log", feature = "tracing"))]
pub mod bridge;
pub mod event;
// Whether it passes, and what its place in the program adds to it.
pub mod filter;
mod context;
// The handle, and the queue behind it.
mod logger;
mod queue;
// The flush task merges the lanes into batches; each sink's pipeline delivers them.
mod dispatch;
mod pipeline;
// Keeps a pipeline's events on disk.
#[cfg_attr(not(feature = "spool"), doc(hidden))]
pub mod spool;
pub mod sink;
pub mod format;
#[cfg(feature = "http")]
pub mod http;

// What runs all this: the state that the parts of a logger share, its flush task, its shutdown.
mod runtime;
// How a process ends: guard, signals, panics.
mod lifecycle;
// What the logger counts and reports about itself.
pub mod stats;
mod observe;
#[cfg(feature = "prometheus")]
mod admin;
// How it is set up and tested.
mod builder;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "testing")]
pub mod testing;
mod fs;
mod time;

// Pages, not code: they exist where documentation is built or tested.
#[cfg(any(doc, doctest))]
pub mod docs;

#[cfg(feature = "prometheus")]
pub use admin::Prometheus;
pub use async_trait::async_trait;
pub use builder::{BuildError, Builder};
pub use context::correlation_id::CorrelationId;
pub use context::scope::{Scope, current_scope, in_scope, scope};
pub use context::suppress::suppress;
pub use event::{Batch, Event, Level, LevelFilter, Sensitive, Value, err};
pub use format::Format;
#[cfg(all(unix, feature = "signal"))]
pub use lifecycle::Signal;
pub use lifecycle::{PanicHook, ShutdownGuard, exit};
pub use logger::{Logger, Receipt, WeakLogger, global};
pub use pipeline::{Breaker, BreakerState, IntoPipeline, Pipeline, Retry, WhenFull};
pub use queue::{Confirmation, Overflow};
pub use runtime::{Pressure, State};
pub use sink::{Blocking, Sink, SinkError};
#[cfg(feature = "spool")]
pub use spool::Spool;
pub use stats::{DropReason, FlushReport, ShutdownReport, Stats};

/// What goes wrong, besides [`BuildError`] and [`SinkError`]: refusals of calls, and trouble of the logger's own.
pub mod error {
    #[cfg(feature = "log")]
    pub use crate::bridge::InstallLogError;
    pub use crate::logger::TryEmitError;
    pub use crate::logger::{ConfirmError, EmitError, InsideRuntimeError, ReopenError, SinkFilterError};
    pub use crate::observe::diagnostics::Diagnostic;
}

/// What the macros expand to; not for use by hand, and free to change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{Callsite, Hole, Piece, Template, count, dotted, dotted_len, field_name, parse, text};
    pub use crate::filter::sampler::Sampler;
    pub use crate::logger::global;
    #[cfg(not(feature = "serde"))]
    pub use crate::macros::FeatureSerde;
    pub use crate::macros::{debug, display, json, value};
}

/// The README's programs compile.
#[cfg(all(doctest, feature = "prometheus", feature = "tracing", feature = "config", feature = "spool"))]
#[doc = include_str!("../README.md")]
struct Readme;
