//! Anywhere (pure): the spool of a sink, by its keys.

use serde::Deserialize;
use serde::de::Deserializer;

use super::error::needs;
use super::path::FilePath;
use super::quantity::{HumanDuration, HumanSize, Written, deserialize_written};
#[cfg(feature = "spool")]
use super::set;
#[cfg(feature = "spool")]
use crate::pipeline::Pipeline;
#[cfg(feature = "spool")]
use crate::sink::Durability;
#[cfg(feature = "spool")]
use crate::spool::Spool;

/// A spool; none without the feature.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "spool"), expect(dead_code, reason = "it is refused when it is read"))]
pub(super) struct SpoolPolicy(SpoolKeys);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "spool"), expect(dead_code, reason = "it is refused when it is read"))]
struct SpoolKeys {
    path: FilePath,
    max_bytes: Option<HumanSize>,
    durability: Option<SyncMode>,
    also: Option<Vec<String>>,
    #[serde(default)]
    allow_network_file_system: bool,
}

/// When the disk is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SyncMode {
    Buffered,
    EveryBatch,
    Interval(HumanDuration),
}

impl Written for SyncMode {
    const ALLOWED: &str = "`buffered`, `sync_every_batch`, or a duration with its unit, such as `500ms`";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "buffered" => Some(SyncMode::Buffered),
            "sync_every_batch" => Some(SyncMode::EveryBatch),
            _ => HumanDuration::from_text(text).map(SyncMode::Interval),
        }
    }
}

deserialize_written!(SyncMode);

impl<'de> Deserialize<'de> for SpoolPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = SpoolKeys::deserialize(deserializer)?;
        if cfg!(feature = "spool") { Ok(SpoolPolicy(keys)) } else { Err(needs("spool")) }
    }
}

#[cfg(feature = "spool")]
impl SpoolPolicy {
    pub(super) fn apply(&self, pipeline: Pipeline) -> Pipeline {
        pipeline.spool(Spool::from(self))
    }
}

#[cfg(feature = "spool")]
impl From<&SpoolPolicy> for Spool {
    fn from(SpoolPolicy(keys): &SpoolPolicy) -> Self {
        let spool = set(Spool::new(&keys.path.0), keys.max_bytes, |spool, HumanSize(bytes)| spool.max_bytes(bytes));
        let spool = set(spool, keys.durability, |spool, mode| spool.durability(mode.into()));
        let spool = keys.also.iter().flatten().fold(spool, |spool, sink| spool.also(sink));
        if keys.allow_network_file_system { spool.allow_network_file_system() } else { spool }
    }
}

#[cfg(feature = "spool")]
impl From<SyncMode> for Durability {
    fn from(mode: SyncMode) -> Self {
        match mode {
            SyncMode::Buffered => Durability::Buffered,
            SyncMode::EveryBatch => Durability::SyncEveryBatch,
            SyncMode::Interval(HumanDuration(interval)) => Durability::SyncInterval(interval),
        }
    }
}

#[cfg(all(test, feature = "spool"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_key_reaches_its_own_option() {
        let read = |json: &str| {
            let policy: SpoolPolicy = serde_json::from_str(json).expect(json);
            format!("{:?}", Spool::from(&policy))
        };
        let all = r#"{ "path": "s", "max_bytes": "64MiB", "durability": "2s", "also": ["a", "b"], "allow_network_file_system": true }"#;
        let spool = Spool::new("s").max_bytes(64 << 20).durability(Durability::SyncInterval(Duration::from_secs(2)));
        assert_eq!(read(all), format!("{:?}", spool.also("a").also("b").allow_network_file_system()));
        assert_eq!(read(r#"{ "path": "s" }"#), format!("{:?}", Spool::new("s")));
        for (word, durability) in [("buffered", Durability::Buffered), ("sync_every_batch", Durability::SyncEveryBatch)]
        {
            let spool = Spool::new("s").durability(durability);
            assert_eq!(read(&format!(r#"{{ "path": "s", "durability": "{word}" }}"#)), format!("{spool:?}"));
        }
    }
}
