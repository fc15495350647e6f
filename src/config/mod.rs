//! The caller's thread, once: everything the builder offers from a TOML or JSON file and the environment.

mod choice;
mod delivery;
mod error;
mod format;
mod item;
mod json;
mod listen;
mod nearest;
mod quantity;
mod reader;
mod rolling;
mod settings;
mod sink;
mod registry;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod variables;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer};

pub use error::ConfigError;
use error::ConfigErrorKind;
pub use format::FormatOptions;
use item::{Item, Origin, Source};
pub use quantity::{HumanDuration, HumanSize};
pub use registry::SinkRegistry;
use settings::{Settings, set};

use crate::builder::{BuildError, Builder};

/// What a logger is told by a file and by the environment: everything of a [`Builder`] that is no code.
///
/// ```no_run
/// use logweir::config::{Config, SinkRegistry};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::from_file("logweir.toml")?.with_env()?;
/// let logger = config.builder(&SinkRegistry::new())?
///     .on_error(|diagnostic| eprintln!("{diagnostic}"))
///     .start()?;
/// # Ok(())
/// # }
/// ```
///
/// The keys are the methods of the builder, of [`Pipeline`](crate::Pipeline), [`Retry`](crate::Retry) and so on, with their
/// meaning, bounds and defaults: a key that is absent calls no method. [`Config::example`] has all of them. What is code
/// stays code: callbacks, [`cancel_on`](Builder::cancel_on), [`enrich_with`](Builder::enrich_with) and a
/// [`metrics`](Builder::metrics_recorder) recorder are set on the builder, and a sink of your own is [registered](SinkRegistry::register).
///
/// # What is written how
/// * **Durations** have their unit: `100ms`, `5s`, `1m 30s`. **Sizes** are a number of bytes or have a unit: `64MiB`,
///   `64 MB`. **Percents** are `10` or `10%`. **Levels** are written in any case, **filters** in the grammar of
///   [`Filter`](crate::filter::Filter).
/// * **Sinks** are tables below `sinks`, each with a `type`; they are opened and reported in the order they are written in.
/// * **Paths** are relative to the directory of the process, as they are for the sinks.
/// * In JSON `null` is as if the key were absent.
///
/// # The environment
/// [`with_env`](Config::with_env) reads variables that begin with `LOGWEIR__`: `LOGWEIR__FILTER=debug`,
/// `LOGWEIR__SINKS__FILE__LEVEL=warn`. Two underscores stand between the parts of a key.
///
/// * Capitals and small letters are the same, and an underscore stands for any character of a key that a variable cannot
///   have: `LOGWEIR__SINKS__ACCESS_LOG__LEVEL` is for a sink `access-log`. If several keys fit, none of them exactly, that is
///   an error. A sink with two underscores in a row in its name is out of reach.
/// * A part that fits no key that is there names a new one, in small letters if it is all in capitals. So a sink can be
///   added: `LOGWEIR__SINKS__CONSOLE__TYPE=console`. A key that nobody knows is an error that names the variable.
/// * The value is a TOML value if it reads as one (`5`, `true`, `["password", "*_token"]`, `{ block = "50ms" }`), or else
///   text. Where text is wanted, a number or truth value is the text it is written as. A table or a list takes the place of
///   the whole that was there.
/// * A blank variable counts as not set; empty text is `""`.
/// * `filter` takes the place of a `level` that was written beside it, and `level` that of a `filter`.
///
/// `LOGWEIR_LOG`, with one underscore, and `RUST_LOG` are the variables of [`filter_from_env`](Builder::filter_from_env),
/// which go before all of them, `LOGWEIR__FILTER` included, where `filter_from_env` is set.
///
/// # In a configuration of your own
/// `Config` is `Deserialize`, for any format that knows its types, as TOML, JSON and YAML do:
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     workers: usize,
///     logging: logweir::config::Config,
/// }
///
/// let text = r#"{ "workers": 4, "logging": { "filter": "info", "sinks": { "console": { "type": "console" } } } }"#;
/// let settings: Settings = serde_json::from_str(text)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// The error then has the key from `Config` on; where that is, is the other format's to say. So is the order of the sinks:
/// `toml::from_str` hands keys over sorted by name, `serde_json::from_str` as they are written.
///
/// It is not `Serialize`: a logger does not keep its configuration, and the file it was read from says more.
#[derive(Clone)]
#[must_use = "a configuration does nothing until a logger is built of it"]
pub struct Config {
    /// As it was written, for what overrides it.
    root: Item,
    settings: Settings,
}

impl Config {
    /// Reads a file, TOML or JSON as its name ends in `.toml` or `.json`.
    ///
    /// # Errors
    /// A file that cannot be read, another ending, what [`from_toml`](Config::from_toml) and
    /// [`from_json`](Config::from_json) refuse.
    ///
    /// # Blocking
    /// Reads the file on this thread.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let origin = Origin::new(Source::File(path.to_owned()));
        let fail = |problem| ConfigError::new(problem).written_at(origin.clone());
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        let read = match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("toml") => text::from_toml,
            Some("json") => text::from_json,
            _ => return Err(fail(ConfigErrorKind::Extension)),
        };
        let text = fs::read_to_string(path).map_err(|source| fail(ConfigErrorKind::Read(source)))?;
        Config::from_root(read(&text, &origin)?)
    }

    /// Reads TOML; its origin is called `text` in errors.
    ///
    /// # Errors
    /// What is no TOML, an unknown key, a value that is not allowed. What only [`start`](Builder::start) can know (that
    /// knobs fit together, that a file can be opened) it says itself.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Config::from_root(text::from_toml(text, &Origin::new(Source::Text))?)
    }

    /// Reads JSON; its origin is called `text` in errors.
    ///
    /// # Errors
    /// As of [`from_toml`](Config::from_toml); also a key that is there twice.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Config::from_root(text::from_json(text, &Origin::new(Source::Text))?)
    }

    fn from_root(root: Item) -> Result<Self, ConfigError> {
        Ok(Config { settings: Settings::read(&root)?, root })
    }

    /// With what the environment of the process overrides, see [above](Config#the-environment).
    ///
    /// # Errors
    /// The first variable that names no key, or whose value is not allowed there.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        self.with_vars(env::vars_os())
    }

    /// With what these variables override, as [`with_env`](Config::with_env); for tests, or an environment from elsewhere.
    ///
    /// # Errors
    /// As of [`with_env`](Config::with_env).
    ///
    /// ```
    /// # use logweir::config::Config;
    /// let config = Config::from_toml("sinks.file = { type = 'file', path = 'app.log' }")?;
    /// let error = config.with_vars([("LOGWEIR__SINKS__FILE__LEVEL", "loud")]).expect_err("no level");
    /// let said = "environment variable `LOGWEIR__SINKS__FILE__LEVEL`: `sinks.file.level` is \"loud\"; allowed is \
    ///             `trace`, `debug`, `info`, `warn`, `error` or `fatal`";
    /// assert_eq!(error.to_string(), said);
    /// # Ok::<(), logweir::config::ConfigError>(())
    /// ```
    pub fn with_vars<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigError>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        variables::overlay(&mut self.root, variables)?;
        Config::from_root(self.root)
    }

    /// The builder that was told all of this, to be told the rest and started. `sinks` has the types of sink of your own;
    /// [`SinkRegistry::new`] is none.
    ///
    /// # Errors
    /// A sink of a type that is neither built in nor registered, options that its type does not take, and what its
    /// registered function returns as an error; a number that the builder refuses, alone or beside the others.
    pub fn builder<'r>(&self, sinks: &SinkRegistry) -> Result<Builder<'r>, ConfigError> {
        let builder = self.settings.builder(sinks)?;
        match builder.check().map_err(|error| self.place(error)) {
            Err(Some(error)) => Err(error),
            // What is not written here may be told to the builder yet: `start` looks again.
            Err(None) | Ok(()) => Ok(builder),
        }
    }

    /// The builder's error with the place in which its knob is written.
    fn place(&self, error: BuildError) -> Option<ConfigError> {
        let (knob, value, _) = error.parts()?;
        let of_sink = || {
            let is_it = |(name, _): &&(String, Item)| value.contains(&format!("(sink `{name}"));
            let (name, table) = self.root.get("sinks")?.entries().iter().find(is_it)?;
            // What a fallback has stands deeper, but in this table.
            Some((table.get(knob).unwrap_or(table), sink::path_of(name)))
        };
        let (item, path) = self.root.get(knob).map(|item| (item, Vec::new())).or_else(of_sink)?;
        let origin = item.origin.clone();
        Some(ConfigError::new(ConfigErrorKind::Knob(error)).written_at(origin).under(knob.into()).inside(&path))
    }

    /// A file to start from, in TOML: every key with its meaning, unit and default.
    ///
    /// A line that begins with `#` and a key or a table shows the default, or an example where there is none; delete the `#` to
    /// change it. A line that begins with `# ` explains.
    ///
    /// ```
    /// # use logweir::config::Config;
    /// let config = Config::from_toml(Config::example())?;
    /// # Ok::<(), logweir::config::ConfigError>(())
    /// ```
    pub fn example() -> &'static str {
        include_str!("example.toml")
    }
}

/// Nothing is said: the builder's defaults, and no sink.
impl Default for Config {
    fn default() -> Self {
        Config::from_root(Item::empty(Origin::new(Source::Text))).expect("every key may be absent")
    }
}

/// Without the options of registered sinks, which may be secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Config").field(&self.settings).finish()
    }
}

/// The errors are those of [`Config::from_toml`], as text.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Config::from_root(Item::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
