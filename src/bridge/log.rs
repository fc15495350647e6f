//! The caller's thread: records of the `log` crate.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use log::kv::{Key, Value as LogValue, VisitSource, VisitValue};
use log::{Log, Metadata, Record, SetLoggerError};
use tokio::runtime::Handle;

use crate::context::suppress;
use crate::event::{Event, Level, LevelFilter, ToValue, err};
use crate::logger::Logger;

type KvResult = Result<(), log::kv::Error>;

/// The most that a flush waits outside of a runtime: as long as a sink has for one write by default.
const FLUSH: Duration = Duration::from_secs(5);

/// What `log` calls.
struct Bridge {
    logger: Logger,
}

impl Logger {
    /// Makes this the logger of the `log` crate: what libraries and your own code log there becomes events here.
    ///
    /// A record keeps its level, target, module, file and line, and its key-values their types: numbers up to 128 bits,
    /// floats, booleans, text, null, errors with their sources; what is none of these is text, as its `Display` or `Debug`
    /// writes it. Of two values of one name the first counts. Names and targets are not static here, so they travel in
    /// the event and count in the memory accounts; a record takes one allocation more than a call of our own macros.
    ///
    /// [`log::max_level`] is the least important level that the filter lets pass for any target, from now on and whenever
    /// the filter changes ([`Logger::set_filter`], [`Logger::set_temporary_filter`]); what you set it to yourself holds until
    /// then. `log` has no `Fatal`: a filter that passes nothing below turns it off.
    ///
    /// The handle that `log` gets is never dropped, as with [`Logger::set_global`]: such a logger ends only by
    /// [`Logger::shutdown`]; records that come later are refused (`closed`) and counted. One that
    /// [`with`](Logger::with) made gives its context to every record. What sinks and the logger's own tasks log through
    /// `log` is suppressed, as is everything else they log.
    ///
    /// # Flush
    /// `log::logger().flush()` never deadlocks. On a thread of a tokio runtime, one of `spawn_blocking` too, it asks for a
    /// flush and returns; await [`Logger::flush`] to know how it went. In sinks and the logger's own tasks, which a flush
    /// would wait for, it does nothing. On any other thread it waits like [`Logger::flush_blocking`], 5 s at the most, all
    /// of them if the logger runs on a runtime that nobody drives meanwhile.
    ///
    /// # Beside `tracing`
    /// `tracing_subscriber`'s `init()` and `try_init()` install a bridge of their own from `log` to `tracing` (unless its
    /// feature `tracing-log` is off), and there can be one: after it this is an error; after this `init()` panics. To have
    /// both, make the subscriber the default with `tracing::subscriber::set_global_default`.
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
    /// `log` has a logger already, which stays; it takes one in the life of the process. Nothing has changed then.
    pub fn install_log(&self) -> Result<(), InstallLogError> {
        log::set_boxed_logger(Box::new(self.log_bridge())).map_err(|source| InstallLogError { source })?;
        self.follow_filter(|lowest| log::set_max_level(max_level(lowest)));
        Ok(())
    }

    /// What [`Logger::install_log`] installs, for a `log` logger of yours that passes records on, or a test.
    ///
    /// It holds a handle to this logger and leaves [`log::max_level`] alone.
    pub fn log_bridge(&self) -> impl Log + use<> {
        Bridge { logger: self.clone() }
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(level(metadata.level()), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        // `log`'s macros have compared with the maximum level, no more.
        if self.enabled(record.metadata()) {
            self.logger.__emit(event(record));
        }
    }

    fn flush(&self) {
        if suppress::is_active() {
            // A sink that flushes what it logs with would ask for its own next flush, for ever.
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
    // A source that fails half way has given what it gave.
    record.key_values().visit(&mut fields).unwrap_or_default();
    fields.0
}

/// Takes the pairs of a record into its event.
struct PairVisitor(Event);

impl<'kvs> VisitSource<'kvs> for PairVisitor {
    fn visit_pair(&mut self, key: Key<'kvs>, value: LogValue<'kvs>) -> KvResult {
        let mut field = Field { event: &mut self.0, name: Some(key.as_str()) };
        // A value that fails before it says what it is stands as null: its name was logged.
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
    /// `Display` or `Debug` alone; `log` does not say which, and its `Display` writes either.
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
        self.add(value)
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
#[derive(Debug)]
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

impl Error for InstallLogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
