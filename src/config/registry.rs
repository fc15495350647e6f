//! The caller's thread, once: the sinks of a program's own, by the name of their type in a configuration.

use std::error::Error;
use std::fmt;

use serde::de::DeserializeOwned;

use super::error::{ConfigError, ConfigErrorKind};
use super::reader::{TYPE, read};
use super::sink::{BUILT_IN, Registered};
use crate::pipeline::{IntoPipeline, Pipeline};

type MakeSink = Box<dyn Fn(&Registered) -> Result<Pipeline, ConfigError> + Send + Sync>;

/// Your own types of sink, which a configuration may name as a `type` in addition to `console`, `file` and `null`.
///
/// ```
/// use logweir::config::{Config, HumanDuration, SinkRegistry};
/// use logweir::sink::MemorySink;
///
/// #[derive(serde::Deserialize)]
/// struct Queue { topic: String, linger: Option<HumanDuration> }
///
/// let sinks = SinkRegistry::new().register("queue", |options: Queue| {
///     // Connect to `options.topic` here.
///     Ok::<_, std::io::Error>(MemorySink::new())
/// });
/// let config = Config::from_toml(r#"
///     [sinks.orders]
///     type = "queue"
///     topic = "orders"
///     level = "warn"
/// "#)?;
/// let logger = config.builder(&sinks)?.start()?;
/// # logger.shutdown_blocking(std::time::Duration::from_secs(5))?;
///
/// let config = Config::from_toml("sinks.orders = { type = 'queue', topic = 'orders', lingr = '5ms' }")?;
/// let error = config.builder(&sinks).err().expect("a slip");
/// assert!(error.to_string().starts_with("text:1: unknown key `sinks.orders.lingr` (did you mean `linger`?)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use = "sinks do nothing until a configuration is given them"]
pub struct SinkRegistry {
    makers: Vec<(String, MakeSink)>,
}

impl SinkRegistry {
    /// Creates a registry with the built-in types only.
    pub fn new() -> Self {
        SinkRegistry::default()
    }

    /// Registers a function that creates the sinks of this `type`: it gets the options of the sink and returns the
    /// sink, or a [`Pipeline`] to it.
    ///
    /// `O` is read from the keys of the sink's table, without those that every sink has (`level`, `timeout`, `retry`
    /// and so on), which are set on the pipeline afterwards. A key that `O` does not have is an error, with or without
    /// serde's `deny_unknown_fields`. The exception is an `O` with a `flatten` or a `tag`: serde does not report the
    /// keys of such a type, and an error is at the sink's table. A field of `Option` may be absent. Use
    /// [`HumanDuration`](super::HumanDuration), [`HumanSize`](super::HumanSize) and
    /// [`FormatOptions`](super::FormatOptions) for its fields, and `()` for no options.
    ///
    /// No error shows the value of an option, see [`ConfigError`]. Declare a secret as
    /// [`Sensitive`](crate::Sensitive), which `Debug` hides too.
    ///
    /// An error that the function returns is the source of the [`ConfigError`] of
    /// [`Config::builder`](super::Config::builder). A name that is registered twice or built in is also an error there.
    pub fn register<O, P, Kind, E>(
        mut self,
        name: &str,
        make: impl Fn(O) -> Result<P, E> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned,
        P: IntoPipeline<Kind>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let make = move |sink: &Registered| {
            let options = read(&sink.options, &sink.path, sink.beside).map_err(ConfigError::without_value)?;
            let failed =
                |error: E| ConfigError::new(ConfigErrorKind::Sink(error.into())).at(&sink.table).inside(&sink.path);
            make(options).map(P::into_pipeline).map_err(failed)
        };
        self.makers.push((name.to_owned(), Box::new(make)));
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_taken = |(index, (name, _)): &(usize, &(String, MakeSink))| {
            BUILT_IN.contains(&name.as_str()) || self.makers[..*index].iter().any(|(other, _)| other == name)
        };
        match self.makers.iter().enumerate().find(is_taken) {
            None => Ok(()),
            Some((_, (name, _))) => Err(ConfigError::new(ConfigErrorKind::Registered(name.clone()))),
        }
    }

    pub(super) fn make(&self, sink: &Registered) -> Result<Pipeline, ConfigError> {
        let kind = sink.table.get(TYPE);
        let asked = |name: &str| kind.is_some_and(|kind| kind.is_text(name));
        match self.makers.iter().find(|(name, _)| asked(name)) {
            Some((_, make)) => make(sink),
            None => {
                let registered = self.makers.iter().map(|(name, _)| name.clone());
                let allowed = BUILT_IN.into_iter().map(str::to_owned).chain(registered).collect();
                let place = kind.unwrap_or(&sink.table);
                Err(ConfigError::new(ConfigErrorKind::Word { allowed }).at(place).under(TYPE.into()).inside(&sink.path))
            }
        }
    }
}

impl fmt::Debug for SinkRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.makers.iter().map(|(name, _)| name)).finish()
    }
}
