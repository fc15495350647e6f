//! The caller's thread: records of the `log` crate.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use log::kv::{Key, Value as LogValue, VisitSource, VisitValue};
use log::{Log, Metadata, Record, SetLoggerError};
use tokio::runtime::Handle;

use crate::context::suppress;
use crate::event::{Event, Level, LevelFilter, ToValue, Value, err};
use crate::format::plain::write_debug;
use crate::logger::Logger;

type KvResult = Result<(), log::kv::Error>;

/// The longest wait of a flush outside a runtime: the default timeout for one write of a sink.
const FLUSH: Duration = Duration::from_secs(5);

/// The logger that `log` calls.
struct Bridge {
    logger: Logger,
}

impl Logger {
    /// Makes this the logger of the `log` crate: records that libraries and your own code log there become events here.
    ///
    /// A record keeps its level, target, module, file and line, and its key-values their types: numbers up to 128 bits,
    /// floats, booleans, text, null, errors with their sources. `log` makes an `f32` an `f64`: a float with a fraction that
    /// is exactly an `f32` is written with the digits of one, `0.1` for `0.1_f32`. Any other value is text, as its `Display`
    /// or `Debug` writes it. The first of two values of one name wins. Names and targets are not static here, so they travel in
    /// the event and count in the memory accounts; a record takes one allocation more than a call of logweir's own
    /// macros.
    ///
    /// [`log::max_level`] is set to the least important level that the filter passes for any target, now and whenever
    /// the filter changes ([`Logger::set_filter`], [`Logger::set_temporary_filter`]). A level that you set yourself
    /// holds until then. `log` has no `Fatal`: a filter that passes nothing below it turns `log` off.
    ///
    /// The handle that `log` gets is never dropped, as with [`Logger::set_global`]: such a logger ends only by
    /// [`Logger::shutdown`]; later records are refused (`closed`) and counted. A handle made by [`with`](Logger::with)
    /// gives its context to every record. Records that sinks and the logger's own tasks log through `log` are
    /// suppressed, like everything else they log.
    ///
    /// # Flush
    /// `log::logger().flush()` never deadlocks. On a thread of a tokio runtime, also one of `spawn_blocking`, it
    /// requests a flush and returns; await [`Logger::flush`] for the result. In sinks and the logger's own tasks, for
    /// which a flush would wait, it does nothing. On any other thread it waits like [`Logger::flush_blocking`], for at
    /// most 5 s, and for all of them if no thread drives the logger's runtime meanwhile.
    ///
    /// # With `tracing`
    /// `tracing_subscriber`'s `init()` and `try_init()` install a bridge of their own from `log` to `tracing` (unless
    /// its feature `tracing-log` is off), and there can be one: after it this is an error; after this `init()` panics.
    /// To have both, make the subscriber the default with `tracing::subscriber::set_global_default`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let logger = logweir::Logger::builder().sink("null", logweir::sink::NullSink).start()?;
    /// logger.install_log()?;
    /// log::info!(user = "ada", attempts = 2; "logged in");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error, and changes nothing, if the `log` crate has a logger already: it takes one in the life of the
    /// process.
    pub fn install_log(&self) -> Result<(), InstallLogError> {
        log::set_boxed_logger(Box::new(self.log_bridge())).map_err(|source| InstallLogError { source })?;
        self.follow_filter(|lowest| log::set_max_level(max_level(lowest)));
        Ok(())
    }

    /// Returns the bridge that [`Logger::install_log`] installs, for a `log` logger of yours that forwards records, or
    /// a test.
    ///
    /// It holds a handle to this logger and does not change [`log::max_level`].
    pub fn log_bridge(&self) -> impl Log + use<> {
        Bridge { logger: self.clone() }
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(level(metadata.level()), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        // `log`'s macros compare with the maximum level only.
        if self.enabled(record.metadata()) {
            self.logger.__emit(event(record));
        }
    }

    fn flush(&self) {
        if suppress::is_active() {
            // A sink that flushes the logger it logs with would request its own next flush, forever.
            return;
        }
        match Handle::try_current() {
            Ok(_) => self.logger.begin_flush(),
            Err(_) => drop(self.logger.flush_on_current_thread(FLUSH)),
        }
    }
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warn,
        log::Level::Info => Level::Info,
        log::Level::Debug => Level::Debug,
        log::Level::Trace => Level::Trace,
    }
}

fn max_level(lowest: LevelFilter) -> log::LevelFilter {
    match lowest {
        LevelFilter::Trace => log::LevelFilter::Trace,
        LevelFilter::Debug => log::LevelFilter::Debug,
        LevelFilter::Info => log::LevelFilter::Info,
        LevelFilter::Warn => log::LevelFilter::Warn,
        LevelFilter::Error => log::LevelFilter::Error,
        LevelFilter::Fatal | LevelFilter::Off => log::LevelFilter::Off,
    }
}

fn event(record: &Record<'_>) -> Event {
    let (module, file, line) = (record.module_path(), record.file(), record.line());
    let mut fields =
        PairVisitor(Event::dynamic_format(level(record.level()), record.target(), *record.args(), module, file, line));
    // If a source fails half way, the pairs before it are kept.
    record.key_values().visit(&mut fields).unwrap_or_default();
    fields.0
}

/// Adds the pairs of a record to its event.
struct PairVisitor(Event);

impl<'kvs> VisitSource<'kvs> for PairVisitor {
    fn visit_pair(&mut self, key: Key<'kvs>, value: LogValue<'kvs>) -> KvResult {
        let mut field = Field { event: &mut self.0, name: Some(key.as_str()) };
        // A value that fails before it yields anything becomes null: its name was logged.
        value.visit(&mut field).unwrap_or_default();
        field.add(())
    }
}

/// Takes one value, once.
struct Field<'a> {
    event: &'a mut Event,
    name: Option<&'a str>,
}

impl Field<'_> {
    fn add(&mut self, value: impl ToValue) -> KvResult {
        if let Some(name) = self.name.take() {
            self.event.add(name, value.to_value());
        }
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Field<'_> {
    /// A value with `Display` or `Debug` alone; `log` does not tell which, and its `Display` writes either.
    fn visit_any(&mut self, value: LogValue<'_>) -> KvResult {
        if let Some(name) = self.name.take() {
            self.event.add_display(name, &value);
        }
        Ok(())
    }

    fn visit_null(&mut self) -> KvResult {
        self.add(())
    }

    fn visit_u64(&mut self, value: u64) -> KvResult {
        self.add(value)
    }

    fn visit_i64(&mut self, value: i64) -> KvResult {
        self.add(value)
    }

    fn visit_u128(&mut self, value: u128) -> KvResult {
        self.add(value)
    }

    fn visit_i128(&mut self, value: i128) -> KvResult {
        self.add(value)
    }

    fn visit_f64(&mut self, value: f64) -> KvResult {
        self.add(Value::widened(value))
    }

    fn visit_bool(&mut self, value: bool) -> KvResult {
        self.add(value)
    }

    fn visit_str(&mut self, value: &str) -> KvResult {
        self.add(value)
    }

    fn visit_error(&mut self, error: &(dyn Error + 'static)) -> KvResult {
        self.add(err(error))
    }

    fn visit_borrowed_error(&mut self, error: &'v (dyn Error + 'static)) -> KvResult {
        // By default this is `visit_any`.
        self.add(err(error))
    }
}

/// The `log` crate has a logger already; see [`Logger::install_log`].
pub struct InstallLogError {
    source: SetLoggerError,
}

impl fmt::Display for InstallLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the `log` crate has a logger already, and takes one in the life of a process: install this one first, or \
             leave the other out. If it came with tracing_subscriber's `init()` or `try_init()`, `log` records go to \
             `tracing`: set the subscriber with `tracing::subscriber::set_global_default` instead, which leaves `log` to \
             `install_log`; or leave `install_log` out, and let `Logger::tracing_layer` in that subscriber bring the records here",
        )
    }
}

/// Like `Display`, with the sources.
impl fmt::Debug for InstallLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_debug(self, f)
    }
}

impl Error for InstallLogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
