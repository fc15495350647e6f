//! Anywhere (pure): the options of a builder, by their keys.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::choice::{WordOrTable, choice};
use super::error::{ConfigError, ConfigErrorKind, part};
use super::item::{Item, ItemValue};
use super::listen::Listen;
use super::quantity::{HumanDuration, HumanSize, Interval, LevelName, Percent, Threshold};
use super::reader::{TYPE, read};
use super::registry::SinkRegistry;
use super::sink::{SinkSettings, path_of};
use crate::builder::Builder;
use crate::event::{ToValue, Value};
use crate::queue::Overflow;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    keys: BuilderKeys,
    /// In the written order.
    sinks: Vec<(String, SinkSettings)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderKeys {
    name: Option<String>,
    filter: Option<String>,
    level: Option<LevelName>,
    filter_from_env: Option<bool>,
    queue_capacity: Option<usize>,
    lanes: Option<usize>,
    memory_limit: Option<HumanSize>,
    max_event_bytes: Option<HumanSize>,
    batch_size: Option<usize>,
    flush_interval: Option<HumanDuration>,
    flush_at: Option<Threshold>,
    overflow: Option<OverflowPolicy>,
    reserve: Option<ReserveKeys>,
    notice_interval: Option<Interval>,
    enrich: Option<EnrichFields>,
    redact: Option<Vec<String>>,
    grace_period: Option<HumanDuration>,
    shutdown_timeout: Option<HumanDuration>,
    prometheus: Option<Listen>,
    /// Tables, which are read as sinks.
    #[serde(rename = "sinks")]
    _sinks: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReserveKeys {
    level: LevelName,
    percent: Percent,
}

impl Settings {
    pub(super) fn read(root: &Item) -> Result<Self, ConfigError> {
        let is_table = matches!(root.node, ItemValue::Table(_));
        // A value in the place of all keys may be anything.
        let hide = |error: ConfigError| if is_table { error } else { error.without_value() };
        let keys: BuilderKeys = read(root, &[], &[]).map_err(hide)?;
        if keys.level.is_some()
            && let Some(filter) = root.get("filter")
        {
            return Err(ConfigError::new(ConfigErrorKind::Beside("level")).at(filter).under("filter".into()));
        }
        check_filter(root, keys.filter.as_deref(), &[])?;
        Ok(Settings { keys, sinks: read_sinks(root)? })
    }

    pub(super) fn builder<'r>(&self, sinks: &SinkRegistry) -> Result<Builder<'r>, ConfigError> {
        sinks.check()?;
        let keys = &self.keys;
        let mut builder = keys.ends(keys.delivery(keys.queue(keys.apply_filters(Builder::new()))));
        for (name, sink) in &self.sinks {
            builder = builder.sink(name, sink.pipeline(sinks)?);
        }
        Ok(builder)
    }
}

fn read_sinks(root: &Item) -> Result<Vec<(String, SinkSettings)>, ConfigError> {
    let Some(sinks) = root.get("sinks") else { return Ok(Vec::new()) };
    if !matches!(sinks.node, ItemValue::Table(_) | ItemValue::Null) {
        let allowed = "a table of sinks, such as `[sinks.console]` with `type = \"console\"`".to_owned();
        return Err(ConfigError::new(ConfigErrorKind::Value { allowed }).at(sinks).under("sinks".into()));
    }
    sinks.entries().iter().map(|(name, table)| read_sink(name, table, sinks)).collect()
}

fn read_sink(name: &str, table: &Item, sinks: &Item) -> Result<(String, SinkSettings), ConfigError> {
    // A typing error in a variable's name looks like the beginning of a new sink.
    if table.origin.variable().is_some() && matches!(table.node, ItemValue::Table(_)) && table.get(TYPE).is_none() {
        let others = sinks
            .entries()
            .iter()
            .map(|(name, _)| name)
            .filter(|other| *other != name)
            .map(|other| part(other))
            .collect();
        return Err(ConfigError::new(ConfigErrorKind::NoSink { others }).at(table).inside(&path_of(name)));
    }
    Ok((name.to_owned(), SinkSettings::read(table, &path_of(name))?))
}

/// Checks the grammar of this table's filter.
pub(super) fn check_filter(table: &Item, filter: Option<&str>, path: &[String]) -> Result<(), ConfigError> {
    let Some(Err(error)) = filter.map(str::parse::<crate::filter::Filter>) else { return Ok(()) };
    let place = table.get("filter").unwrap_or(table);
    Err(ConfigError::new(ConfigErrorKind::Filter(error)).at(place).under("filter".into()).inside(path))
}

/// Calls the method of a builder if there is a value for it: an absent key leaves the builder's default.
pub(super) fn set<B, V>(builder: B, value: Option<V>, method: impl FnOnce(B, V) -> B) -> B {
    match value {
        Some(value) => method(builder, value),
        None => builder,
    }
}

impl BuilderKeys {
    fn apply_filters<'r>(&self, builder: Builder<'r>) -> Builder<'r> {
        let builder = set(builder, self.name.as_deref(), Builder::name);
        let builder = set(builder, self.filter.as_deref(), |builder, filter| builder.filter(filter));
        let builder = set(builder, self.level, |builder, LevelName(level)| builder.level(level));
        // After the filter, which stays if the environment has none.
        set(builder, self.filter_from_env.filter(|is_on| *is_on), |builder, _| builder.filter_from_env())
    }

    fn queue<'r>(&self, builder: Builder<'r>) -> Builder<'r> {
        let builder = set(builder, self.queue_capacity, Builder::queue_capacity);
        let builder = set(builder, self.lanes, Builder::lanes);
        let builder = set(builder, self.memory_limit, |builder, bytes| builder.memory_limit(bytes.in_memory()));
        let builder = set(builder, self.max_event_bytes, |builder, bytes| builder.max_event_bytes(bytes.in_memory()));
        let builder = set(builder, self.overflow, |builder, OverflowPolicy(policy)| builder.overflow(policy));
        set(builder, self.reserve.as_ref(), |builder, ReserveKeys { level, percent }| {
            builder.reserve(level.0, percent.0)
        })
    }

    fn delivery<'r>(&self, builder: Builder<'r>) -> Builder<'r> {
        let builder = set(builder, self.batch_size, Builder::batch_size);
        let builder = set(builder, self.flush_interval, |builder, HumanDuration(time)| builder.flush_interval(time));
        let builder = set(builder, self.flush_at, |builder, Threshold(level)| builder.flush_at(level));
        let builder = set(builder, self.notice_interval, |builder, Interval(time)| builder.notice_interval(time));
        let fields = self.enrich.iter().flat_map(|EnrichFields(fields)| fields);
        let builder = fields.fold(builder, |builder, (name, value)| builder.enrich(name, value.to_value()));
        set(builder, self.redact.as_ref(), Builder::redact)
    }

    fn ends<'r>(&self, builder: Builder<'r>) -> Builder<'r> {
        let builder = set(builder, self.grace_period, |builder, HumanDuration(time)| builder.grace_period(time));
        let builder =
            set(builder, self.shutdown_timeout, |builder, HumanDuration(time)| builder.shutdown_timeout(time));
        #[cfg(not(feature = "prometheus"))]
        debug_assert!(self.prometheus.is_none(), "it is refused when it is read");
        #[cfg(feature = "prometheus")]
        let builder = set(builder, self.prometheus, |builder, listen| builder.prometheus(listen.prometheus()));
        builder
    }
}

#[derive(Clone, Copy, Debug)]
struct OverflowPolicy(Overflow);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockKeys {
    block: HumanDuration,
}

impl WordOrTable for OverflowPolicy {
    fn allowed() -> String {
        "`drop_oldest`, `drop_newest`, or a table with a duration: `{ block = \"50ms\" }`".into()
    }

    fn from_word<E: de::Error>(word: &str) -> Result<Option<Self>, E> {
        Ok(match word {
            "drop_oldest" => Some(OverflowPolicy(Overflow::DropOldest)),
            "drop_newest" => Some(OverflowPolicy(Overflow::DropNewest)),
            _ => None,
        })
    }

    fn from_table<'de, A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        let BlockKeys { block: HumanDuration(time) } = BlockKeys::deserialize(MapAccessDeserializer::new(table))?;
        Ok(OverflowPolicy(Overflow::Block(time)))
    }
}

impl<'de> Deserialize<'de> for OverflowPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer)
    }
}

/// Fields in their order.
#[derive(Clone)]
struct EnrichFields(Vec<(String, Scalar)>);

/// The names alone: the values may be secrets.
impl fmt::Debug for EnrichFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[derive(Clone)]
enum Scalar {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
}

impl ToValue for Scalar {
    fn to_value(&self) -> Value<'_> {
        match self {
            Scalar::Bool(value) => value.to_value(),
            Scalar::I64(value) => value.to_value(),
            Scalar::U64(value) => value.to_value(),
            Scalar::F64(value) => value.to_value(),
            Scalar::Text(value) => value.to_value(),
        }
    }
}

impl<'de> Deserialize<'de> for EnrichFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = EnrichFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of fields, such as `service = \"checkout\"`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<EnrichFields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = table.next_entry()? {
            fields.push(field);
        }
        Ok(EnrichFields(fields))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, `true` or `false`")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::I64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::U64(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::F64(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}
