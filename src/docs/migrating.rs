//! Documentation only: migration from another logging library, with the lines that change, before and after.
//!
//! The call sites stay, if they use `tracing` or `log`: a bridge takes their events. The setup of logging and the end
//! of the program change.
//!
//! | there | here |
//! |---|---|
//! | `tracing_appender::non_blocking(writer)` | a [sink](crate::sink): each has its own queue, thread and memory |
//! | `NonBlockingBuilder::lossy(true)`, `.buffered_lines_limit(n)` | [`Overflow::DropNewest`](crate::Overflow::DropNewest), [`Builder::queue_capacity`](crate::Builder::queue_capacity) |
//! | `NonBlockingBuilder::lossy(false)` | [`Overflow::Block`](crate::Overflow::Block) with [`WhenFull::Block`](crate::WhenFull::Block) |
//! | `WorkerGuard` | [`Logger::shutdown_guard`](crate::Logger::shutdown_guard), or [`Logger::shutdown`](crate::Logger::shutdown) for the numbers |
//! | `ErrorCounter::dropped_lines` | [`Logger::stats`](crate::Logger::stats), the metrics, and a line in the log |
//! | `RUST_LOG=info,hyper=warn` | [`Builder::filter_from_env`](crate::Builder::filter_from_env): directives of targets have the same syntax; those of spans and fields, and patterns, are skipped and reported |
//! | slog's `o!(..)` on a child | [`Logger::with_fields`](crate::Logger::with_fields) |
//! | `tracing_appender::rolling::daily(folder, name)`, log4rs' rolling policies and triggers | [`Rolling`](crate::sink::Rolling) |
//! | log4rs' YAML file | `config::Config`, from TOML or JSON |
//! | a span used only for its fields | [`scope`](crate::scope()) |
//! | slog's `FnValue` at the root | [`Builder::enrich_with`](crate::Builder::enrich_with) |
//!
//! # From `tracing-appender`
//!
//! Before:
//!
//! ```text
//! let file = tracing_appender::rolling::never("logs", "app.log");
//! let (writer, _guard) = tracing_appender::non_blocking(file);
//! tracing_subscriber::registry()
//!     .with(tracing_subscriber::EnvFilter::new("info,hyper=warn"))
//!     .with(tracing_subscriber::fmt::layer().json().with_writer(writer))
//!     .init();
//!
//! tracing::info!(user = "ada", "logged in");
//! ```
//!
//! After, with the feature `tracing`:
//!
#![cfg_attr(feature = "tracing", doc = "```no_run")]
#![cfg_attr(not(feature = "tracing"), doc = "```ignore")]
//! use std::time::Duration;
//! use logweir::Logger;
//! use logweir::format::Json;
//! use logweir::sink::FileSink;
//! use tracing_subscriber::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logger = Logger::builder()
//!     .filter("info,hyper=warn")
//!     .sink("file", FileSink::new("logs/app.log").format(Json::new()))
//!     .start()?;
//! let _guard = logger.shutdown_guard(Duration::from_secs(5));
//! tracing_subscriber::registry().with(logger.tracing_layer()).init();
//!
//! tracing::info!(user = "ada", "logged in");
//! # Ok(())
//! # }
//! ```
//!
//! The guard waits at most its timeout; `tracing-appender`'s waits for one second and abandons the remaining events. If
//! you use another policy than `rolling::never`, replace it by [`FileSink::rolling`](crate::sink::FileSink::rolling).
//! If `logrotate` moves a file away, the sink follows the path.
//!
//! # From `env_logger`
//!
//! Before:
//!
//! ```text
//! env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,hyper=warn")).init();
//!
//! log::info!("user {user} logged in");
//! ```
//!
//! After, with the feature `log`:
//!
#![cfg_attr(feature = "log", doc = "```no_run")]
#![cfg_attr(not(feature = "log"), doc = "```ignore")]
//! use std::time::Duration;
//! use logweir::Logger;
//! use logweir::sink::ConsoleSink;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logger = Logger::builder()
//!     .filter("info,hyper=warn")
//!     .filter_from_env()
//!     .sink("console", ConsoleSink::stderr())
//!     .start()?;
//! let _guard = logger.shutdown_guard(Duration::from_secs(5));
//! logger.install_log()?;
//!
//! let user = "ada";
//! log::info!("user {user} logged in");
//! # Ok(())
//! # }
//! ```
//!
//! `env_logger` writes before the call returns. Here the line is written a moment later, so a program that is
//! killed or aborts loses the last moment. [`Logger::flush`](crate::Logger::flush) is the barrier.
//!
//! # From `log4rs`
//!
//! Before:
//!
//! ```text
//! let stderr = ConsoleAppender::builder().target(Target::Stderr).build();
//! let file = FileAppender::builder().encoder(Box::new(JsonEncoder::new())).build("logs/app.log")?;
//! let config = Config::builder()
//!     .appender(Appender::builder().build("file", Box::new(file)))
//!     .appender(
//!         Appender::builder()
//!             .filter(Box::new(ThresholdFilter::new(LevelFilter::Warn)))
//!             .build("stderr", Box::new(stderr)),
//!     )
//!     .logger(log4rs::config::Logger::builder().build("hyper", LevelFilter::Warn))
//!     .build(Root::builder().appenders(["file", "stderr"]).build(LevelFilter::Info))?;
//! log4rs::init_config(config)?;
//! ```
//!
//! After, with the feature `log`:
//!
#![cfg_attr(feature = "log", doc = "```no_run")]
#![cfg_attr(not(feature = "log"), doc = "```ignore")]
//! use std::time::Duration;
//! use logweir::format::Json;
//! use logweir::sink::{ConsoleSink, FileSink};
//! use logweir::{Level, Logger, Pipeline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logger = Logger::builder()
//!     .filter("info,hyper=warn")
//!     .sink("file", FileSink::new("logs/app.log").format(Json::new()))
//!     .sink("stderr", Pipeline::new(ConsoleSink::stderr()).level(Level::Warn))
//!     .start()?;
//! let _guard = logger.shutdown_guard(Duration::from_secs(5));
//! logger.install_log()?;
//! # Ok(())
//! # }
//! ```
//!
//! In log4rs, an appender that hangs or fails stops the others and the caller; here each sink has a pipeline of its
//! own. YAML files are not supported: with the feature `config`, TOML and JSON are.
//!
//! # From `slog`
//!
//! Here the call sites change: slog's macros separate the pairs by a semicolon, these use fields.
//!
//! Before:
//!
//! ```text
//! let file = OpenOptions::new().create(true).append(true).open("logs/app.log")?;
//! let drain = slog_json::Json::default(file).fuse();
//! let drain = slog_async::Async::new(drain).chan_size(8192).build().fuse();
//! let root = slog::Logger::root(drain, o!("service" => "shop"));
//!
//! let request = root.new(o!("request" => 7, "user" => "ada"));
//! info!(request, "paid"; "amount" => 12.5, "error" => #?error);
//! ```
//!
//! After:
//!
//! ```no_run
//! use std::time::Duration;
//! use logweir::format::Json;
//! use logweir::sink::FileSink;
//! use logweir::{Logger, fields, info};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let error = std::fmt::Error;
//! let root = Logger::builder()
//!     .enrich("service", "shop")
//!     .queue_capacity(8192)
//!     .sink("file", FileSink::new("logs/app.log").format(Json::new()))
//!     .start()?;
//! let _guard = root.shutdown_guard(Duration::from_secs(5));
//!
//! let request = root.with_fields(fields![request = 7, user = "ada"]);
//! info!(logger: request, "paid {amount}", amount = 12.5, error = ?error);
//! # Ok(())
//! # }
//! ```
//!
//! With `set_global` and a [`scope`](crate::scope()), no logger has to be passed along for its fields:
//!
//! ```
//! use logweir::{fields, info, scope};
//!
//! async fn pay(amount: f64) {
//!     info!("paid {amount}", amount); // carries `request`
//! }
//!
//! # async fn handle() {
//! scope(fields![request = 7], pay(12.5)).await;
//! # }
//! ```
