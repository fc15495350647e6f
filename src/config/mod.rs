//! The caller's thread, once: everything the builder offers, from a TOML or JSON file and the environment.

// In: a file, a text or another deserializer; variables of the environment; the sinks that a program registers.
// Out: a `Builder` with all options set, or a `ConfigError` with the place, the key, the value and the valid ones.
//
// Invariants:
// * An absent key calls no method of the builder: defaults are defined in `builder` only.
// * Each value keeps the place it was written at, so every error names it.
// * `example.toml` has every key with its default, and tests compare it with the builder.
//
// Text becomes items (`text.rs`, `item.rs`), variables override them (`variables.rs`), and serde reads them
// (`reader.rs`).
//
// Next: `builder`, which checks the options and starts the logger.
//
// Add a key of the builder in `settings.rs`, of a pipeline in `delivery.rs`, of a sink in `sink.rs`, of a format in
// `format.rs`, each with a line in `example.toml`.

mod choice;
mod delivery;
mod error;
mod format;
mod item;
mod json;
mod listen;
mod path;
mod quantity;
mod reader;
mod rolling;
mod settings;
mod sink;
mod spool;
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
use variables::Skipped;

use crate::builder::{BuildError, Builder};

/// The configuration of a logger by a file and by the environment: everything of a [`Builder`] that is not code.
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
/// The keys are the methods of the builder, of [`Pipeline`](crate::Pipeline), [`Retry`](crate::Retry) and so on, with
/// their meaning, bounds and defaults: an absent key calls no method. [`Config::example`] has all of them. Code stays
/// code: callbacks, [`cancel_on`](Builder::cancel_on), [`enrich_with`](Builder::enrich_with) and a
/// [`metrics_recorder`](Builder::metrics_recorder) are set on the builder, and a sink of your own is
/// [registered](SinkRegistry::register).
///
/// # Values
/// * **Durations** have a unit: `100ms`, `5s`, `1m 30s`. **Sizes** are a number of bytes or have a unit: `64MiB`, `64
///   MB`. **Percents** are `10` or `10%`. **Levels** are written in any case, **filters** in the grammar of
///   [`Filter`](crate::filter::Filter).
/// * **Sinks** are tables below `sinks`, each with a `type`; they are opened and reported in the written order.
/// * **Paths** are relative to the working directory of the process, as for the sinks. At the beginning, `~/` is the
///   home directory; `${NAME}` is the variable of the environment, which must be set and not empty, also in `file_name`.
///   `$$` is a `$`, and `./~/` a directory called `~`. `~name/` and `$NAME` are errors.
/// * In JSON, `null` is the same as an absent key.
///
/// # The environment
/// [`with_env`](Config::with_env) reads variables that begin with `LOGWEIR__`: `LOGWEIR__FILTER=debug`,
/// `LOGWEIR__SINKS__FILE__LEVEL=warn`. Two underscores separate the parts of a key.
///
/// * Case is ignored, and an underscore matches any character of a key that a variable cannot have:
///   `LOGWEIR__SINKS__ACCESS_LOG__LEVEL` is for a sink `access-log`. If several keys match, none of them exactly, that
///   is an error. A sink with two consecutive underscores in its name cannot be configured by a variable.
/// * A part that matches no existing key names a new one, in lowercase if it is all in capitals. So a variable can add
///   a sink: `LOGWEIR__SINKS__CONSOLE__TYPE=console`. An unknown key is an error that names the variable.
/// * The value is a TOML value if it can be read as one (`5`, `true`, `["password", "*_token"]`, `{ block = "50ms" }`),
///   or else text. If text is expected, whatever else it can be read as is the text that was written. A table or a list
///   replaces the whole previous value.
/// * Below `enrich`, every value is text: `LOGWEIR__ENRICH__COMMIT=1234e56` is the text `1234e56`, and quotes around it
///   are removed. A number or Boolean is written in a table for all fields: `LOGWEIR__ENRICH={ shard = 7 }`.
/// * A blank variable counts as not set; empty text is `""`.
/// * `filter` replaces a `level` in the same table, and `level` a `filter`. Directives that are invalid are skipped, and
///   reported when the logger starts ([`Diagnostic::FilterSkipped`](crate::error::Diagnostic::FilterSkipped)); the rest
///   applies. If no directive can be used, the written filter stays. In a file, an invalid directive is an error.
///
/// `LOGWEIR_LOG`, with one underscore, and `RUST_LOG` are the variables of
/// [`filter_from_env`](Builder::filter_from_env). If `filter_from_env` is set, they take precedence over all of them,
/// including `LOGWEIR__FILTER`.
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
/// An error then has the key from `Config` on; the other format reports the place. It also decides the order of the
/// sinks: `toml::from_str` returns keys sorted by name, `serde_json::from_str` in the written order.
///
/// It is not `Serialize`: a logger does not keep its configuration, and the original file has more information.
#[derive(Clone)]
#[must_use = "a configuration does nothing until a logger is built of it"]
pub struct Config {
    /// As written, for variables that override it.
    root: Item,
    settings: Settings,
    /// Of the filters in variables.
    skipped: Vec<Skipped>,
}

impl Config {
    /// Reads a file, as TOML or JSON if its name ends in `.toml` or `.json`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has another extension, or is refused by
    /// [`from_toml`](Config::from_toml) or [`from_json`](Config::from_json).
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

    /// Reads TOML; errors call its origin `text`.
    ///
    /// # Errors
    /// Returns an error for invalid TOML, an unknown key, or an invalid value. Errors that only
    /// [`start`](Builder::start) can detect (options that do not fit together, a file that cannot be opened) are
    /// returned there.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Config::from_root(text::from_toml(text, &Origin::new(Source::Text))?)
    }

    /// Reads JSON; errors call its origin `text`.
    ///
    /// # Errors
    /// Like [`from_toml`](Config::from_toml); also for a key that occurs twice.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Config::from_root(text::from_json(text, &Origin::new(Source::Text))?)
    }

    fn from_root(root: Item) -> Result<Self, ConfigError> {
        Ok(Config { settings: Settings::read(&root)?, root, skipped: Vec::new() })
    }

    /// Returns the configuration with the overrides of the process's environment, see [above](Config#the-environment).
    ///
    /// # Errors
    /// Returns an error for the first variable that names no key, or whose value is invalid for it. Directives of a
    /// filter that are invalid are not an error: they are skipped, and reported when the logger starts.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        self.with_vars(env::vars_os())
    }

    /// Returns the configuration with the overrides of these variables, like [`with_env`](Config::with_env); for tests,
    /// or an environment from another source.
    ///
    /// # Errors
    /// Like [`with_env`](Config::with_env).
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
        self.skipped.extend(variables::overlay(&mut self.root, variables)?);
        Ok(Config { skipped: self.skipped, ..Config::from_root(self.root)? })
    }

    /// Returns a builder with all of these options, to be completed and started. `sinks` has your own types of sink;
    /// [`SinkRegistry::new`] has none.
    ///
    /// # Errors
    /// Returns an error for a sink whose type is neither built in nor registered, options that its type does not have,
    /// an error of its registered function, and a number that the builder refuses, alone or in combination.
    pub fn builder<'r>(&self, sinks: &SinkRegistry) -> Result<Builder<'r>, ConfigError> {
        let builder = self.settings.builder(sinks)?;
        let skipped = self.skipped.iter().cloned();
        let builder = skipped.fold(builder, |builder, (error, is_of_sink)| builder.skipped(error, is_of_sink));
        match builder.check().map_err(|error| self.place(error)) {
            Err(Some(error)) => Err(error),
            // Options that are not written here may still be set on the builder: `start` checks again.
            Err(None) | Ok(()) => Ok(builder),
        }
    }

    /// The builder's error with the place where its option is written.
    fn place(&self, error: BuildError) -> Option<ConfigError> {
        let (knob, value, _) = error.parts()?;
        let of_sink = || {
            let is_it = |(name, _): &&(String, Item)| value.contains(&format!("(sink `{name}"));
            let (name, table) = self.root.get("sinks")?.entries().iter().find(is_it)?;
            // The option of a fallback is deeper, but inside this table.
            Some((table.get(knob).unwrap_or(table), sink::path_of(name)))
        };
        let (item, path) = self.root.get(knob).map(|item| (item, Vec::new())).or_else(of_sink)?;
        let origin = item.origin.clone();
        Some(ConfigError::new(ConfigErrorKind::Knob(error)).written_at(origin).under(knob.into()).inside(&path))
    }

    /// Returns a file to start from, in TOML: every key with its meaning, unit and default.
    ///
    /// A line that begins with `#` and a key or a table shows the default, or an example if there is none; delete the
    /// `#` to change it. A line that begins with `# ` explains.
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

/// No key is set: the builder's defaults, and no sink.
impl Default for Config {
    fn default() -> Self {
        Config::from_root(Item::empty(Origin::new(Source::Text))).expect("every key may be absent")
    }
}

/// Without the options of registered sinks and the values of `enrich`, which may be secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Config").field(&self.settings).finish()
    }
}

/// The errors are those of [`Config::from_toml`], as text.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Config::from_root(Item::deserialize(deserializer)?)
            .map_err(|error| de::Error::custom(format_args!("{error:?}")))
    }
}
