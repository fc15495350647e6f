//! Anywhere (pure): one sink with its pipeline and its fallback, from a table to a builder's pipeline.

use std::fmt;

use serde::Deserialize;

use super::choice::keys_of;
use super::delivery::{Delivery, LinkDelivery};
use super::error::{ConfigError, ConfigErrorKind, part};
use super::format::FormatOptions;
use super::item::{Item, ItemValue};
use super::path::FilePath;
use super::quantity::{FileMode, LevelName};
use super::reader::read;
use super::registry::SinkRegistry;
use super::rolling::RollingPolicy;
use super::set;
use super::settings::check_filter;
use crate::pipeline::Pipeline;
use crate::sink::{Colors, ConsoleSink, Durability, FileSink, NullSink};

/// The types that need no registration.
pub(super) const BUILT_IN: [&str; 3] = ["console", "file", "null"];

#[derive(Clone, Debug)]
pub(super) struct SinkSettings {
    rank: PipelineKeys,
    kind: SinkKind,
    fallback: Option<Box<SinkSettings>>,
}

/// The keys of a pipeline, or of a fallback.
#[derive(Clone, Debug)]
enum PipelineKeys {
    Primary(Box<Delivery>),
    Link(LinkDelivery),
}

#[derive(Clone, Debug)]
enum SinkKind {
    Console(ConsoleKeys),
    File(FileKeys),
    Null(NullKeys),
    Registered(Box<Registered>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsoleKeys {
    stream: Option<StreamWord>,
    stderr_from: Option<LevelName>,
    colors: Option<ColorsWord>,
    format: Option<FormatOptions>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKeys {
    path: FilePath,
    durability: Option<DurabilityWord>,
    mode: Option<FileMode>,
    rolling: Option<RollingPolicy>,
    format: Option<FormatOptions>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NullKeys {}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StreamWord {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ColorsWord {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DurabilityWord {
    Buffered,
    SyncOnFlush,
    SyncEveryBatch,
}

/// A sink whose type the program registers: its options are read when a builder is created.
#[derive(Clone)]
pub(super) struct Registered {
    /// The sink's table.
    pub(super) table: Item,
    pub(super) path: Vec<String>,
    /// The table without the keys that every sink has.
    pub(super) options: Item,
    /// Those keys.
    pub(super) beside: &'static [&'static str],
}

/// Without the options: they may be secrets.
impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SinkSettings {
    /// Reads the table at this path.
    pub(super) fn read(table: &Item, path: &[String]) -> Result<Self, ConfigError> {
        let (delivery, options): (Delivery, Item) = split(table, path)?;
        if delivery.level.is_some()
            && let Some(filter) = table.get("filter")
        {
            return Err(ConfigError::new(ConfigErrorKind::Beside("level"))
                .at(filter)
                .under("filter".into())
                .inside(path));
        }
        check_filter(table, delivery.filter.as_deref(), path)?;
        let kind = SinkKind::read(&delivery.kind, table, options, path, keys_of::<Delivery>())?;
        let fallback = SinkSettings::read_fallback(table, path)?;
        Ok(SinkSettings { rank: PipelineKeys::Primary(Box::new(delivery)), kind, fallback })
    }

    fn read_fallback(table: &Item, path: &[String]) -> Result<Option<Box<Self>>, ConfigError> {
        let Some(table) = table.get("fallback") else { return Ok(None) };
        let path = &[path, &["fallback".to_owned()]].concat();
        let (delivery, options): (LinkDelivery, Item) = split(table, path)?;
        let kind = SinkKind::read(&delivery.kind, table, options, path, keys_of::<LinkDelivery>())?;
        let fallback = SinkSettings::read_fallback(table, path)?;
        Ok(Some(Box::new(SinkSettings { rank: PipelineKeys::Link(delivery), kind, fallback })))
    }

    pub(super) fn pipeline(&self, sinks: &SinkRegistry) -> Result<Pipeline, ConfigError> {
        let pipeline = self.kind.pipeline(sinks)?;
        let pipeline = match &self.rank {
            PipelineKeys::Primary(delivery) => delivery.apply(pipeline),
            PipelineKeys::Link(delivery) => delivery.apply(pipeline),
        };
        let fallback = self.fallback.as_ref().map(|fallback| fallback.pipeline(sinks)).transpose()?;
        Ok(set(pipeline, fallback, Pipeline::fallback))
    }
}

/// Returns the keys that every sink has, and the table of the others, which belong to its type.
fn split<D: for<'de> Deserialize<'de>>(table: &Item, path: &[String]) -> Result<(D, Item), ConfigError> {
    if !matches!(table.node, ItemValue::Table(_)) {
        let allowed = "a table with a `type`".to_owned();
        // A key that is not below a sink may be anything.
        return Err(ConfigError::new(ConfigErrorKind::Value { allowed }).at(table).inside(path).without_value());
    }
    let common = keys_of::<D>();
    let delivery = read(&table.with_keys(|key| common.contains(&key)), path, &[])?;
    Ok((delivery, table.with_keys(|key| !common.contains(&key))))
}

impl SinkKind {
    fn read(
        kind: &str,
        table: &Item,
        options: Item,
        path: &[String],
        beside: &'static [&'static str],
    ) -> Result<Self, ConfigError> {
        Ok(match kind {
            "console" => SinkKind::Console(read(&options, path, beside)?),
            "file" => SinkKind::File(read(&options, path, beside)?),
            "null" => SinkKind::Null(read(&options, path, beside)?),
            _ => SinkKind::Registered(Box::new(Registered {
                table: table.clone(),
                path: path.to_vec(),
                options,
                beside,
            })),
        })
    }

    fn pipeline(&self, sinks: &SinkRegistry) -> Result<Pipeline, ConfigError> {
        match self {
            SinkKind::Console(keys) => Ok(Pipeline::new(ConsoleSink::from(keys))),
            SinkKind::File(keys) => Ok(Pipeline::new(FileSink::from(keys))),
            SinkKind::Null(NullKeys {}) => Ok(Pipeline::new(NullSink)),
            SinkKind::Registered(registered) => sinks.make(registered),
        }
    }
}

impl From<&ConsoleKeys> for ConsoleSink {
    fn from(keys: &ConsoleKeys) -> Self {
        let ConsoleKeys { stream, stderr_from, colors, format } = keys;
        let console = match stream {
            None | Some(StreamWord::Stdout) => ConsoleSink::stdout(),
            Some(StreamWord::Stderr) => ConsoleSink::stderr(),
        };
        let console = set(console, *stderr_from, |console, LevelName(level)| console.stderr_from(level));
        let console = set(console, *colors, |console, colors| console.colors(colors.into()));
        set(console, format.as_ref(), |console, format| format.on_console(console))
    }
}

impl From<&FileKeys> for FileSink {
    fn from(keys: &FileKeys) -> Self {
        #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no permission bits"))]
        let FileKeys { path, durability, mode, rolling, format } = keys;
        let file = set(FileSink::new(&path.0), *durability, |file, durability| file.durability(durability.into()));
        #[cfg(unix)]
        let file = set(file, *mode, |file, FileMode(mode)| file.mode(mode));
        let file = set(file, rolling.as_ref(), |file, rolling| file.rolling(rolling.into()));
        set(file, format.as_ref(), |file, format| file.format(format.build()))
    }
}

impl From<ColorsWord> for Colors {
    fn from(word: ColorsWord) -> Self {
        match word {
            ColorsWord::Auto => Colors::Auto,
            ColorsWord::Always => Colors::Always,
            ColorsWord::Never => Colors::Never,
        }
    }
}

impl From<DurabilityWord> for Durability {
    fn from(word: DurabilityWord) -> Self {
        match word {
            DurabilityWord::Buffered => Durability::Buffered,
            DurabilityWord::SyncOnFlush => Durability::SyncOnFlush,
            DurabilityWord::SyncEveryBatch => Durability::SyncEveryBatch,
        }
    }
}

/// The key of a sink: `sinks.name`.
pub(super) fn path_of(name: &str) -> Vec<String> {
    vec!["sinks".into(), part(name)]
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::format::tests::is_as_without_options;
    use crate::sink::Rolling;

    /// Checks that the keys of these two tables have the same values as their defaults.
    pub(in crate::config) fn file_and_console(file: &Item, console: &Item) {
        let (file, console) = (SinkSettings::read(file, &[]), SinkSettings::read(console, &[]));
        let (file, console) = (file.expect("a file").kind, console.expect("a console").kind);
        let (SinkKind::File(file), SinkKind::Console(console)) = (file, console) else { panic!("not these") };
        let FileKeys { path: _, durability, mode, rolling, format } = file;
        assert_eq!(durability.map(Durability::from), Some(Durability::default()));
        assert_eq!(mode, Some(FileMode(0o640)));
        is_as_without_options(&format.expect("it is there"), "text");
        // These have no default; the others in the example do.
        let asked = Rolling::daily().max_bytes(64 << 20).keep_files(100).keep_bytes(1 << 30);
        let asked = asked.keep_age(Duration::from_secs(14 * 86_400)).file_name("app.{date}.{seq}.log");
        let shown = rolling.as_ref().map(|policy| format!("{:?}", Rolling::from(policy)));
        assert_eq!(shown, Some(format!("{asked:?}")));

        let ConsoleKeys { stream, stderr_from: _, colors, format } = console;
        assert!(matches!(stream, Some(StreamWord::Stdout)));
        assert_eq!(colors.map(Colors::from), Some(Colors::default()));
        is_as_without_options(&format.expect("it is there"), "text");
    }

    #[test]
    fn a_word_stands_for_the_variant_of_its_name() {
        for word in [ColorsWord::Auto, ColorsWord::Always, ColorsWord::Never] {
            assert_eq!(format!("{:?}", Colors::from(word)), format!("{word:?}"));
        }
        for word in [DurabilityWord::Buffered, DurabilityWord::SyncOnFlush, DurabilityWord::SyncEveryBatch] {
            assert_eq!(format!("{:?}", Durability::from(word)), format!("{word:?}"));
        }
    }
}
