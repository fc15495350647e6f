//! Anywhere (pure): when a file sink begins another file, by its keys.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::error::needs;
use super::path::FileName;
use super::quantity::{HumanDuration, HumanSize};
use super::set;
use crate::sink::Rolling;

/// With `every`, `max_bytes` or both.
#[derive(Clone, Debug)]
pub(super) struct RollingPolicy(RollingKeys);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollingKeys {
    every: Option<Every>,
    max_bytes: Option<HumanSize>,
    keep_files: Option<usize>,
    keep_age: Option<HumanDuration>,
    keep_bytes: Option<HumanSize>,
    gzip: Option<Gzip>,
    file_name: Option<FileName>,
    close_timeout: Option<HumanDuration>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Every {
    Minute,
    Hour,
    Day,
}

/// Whether files are compressed; always false if the feature is off.
#[derive(Clone, Copy, Debug)]
struct Gzip(bool);

impl From<&RollingPolicy> for Rolling {
    fn from(RollingPolicy(keys): &RollingPolicy) -> Self {
        let rolling = match (keys.every, keys.max_bytes) {
            (Some(Every::Minute), _) => Rolling::minutely(),
            (Some(Every::Hour), _) => Rolling::hourly(),
            (None, Some(HumanSize(bytes))) => Rolling::by_size(bytes),
            // If both are absent, the reader has already returned an error.
            (Some(Every::Day), _) | (None, None) => Rolling::daily(),
        };
        let rolling = set(rolling, keys.max_bytes, |rolling, HumanSize(bytes)| rolling.max_bytes(bytes));
        let rolling = set(rolling, keys.keep_files, Rolling::keep_files);
        let rolling = set(rolling, keys.keep_age, |rolling, HumanDuration(age)| rolling.keep_age(age));
        let rolling = set(rolling, keys.keep_bytes, |rolling, HumanSize(bytes)| rolling.keep_bytes(bytes));
        let rolling = set(rolling, keys.gzip, Gzip::apply);
        let rolling = set(rolling, keys.file_name.as_ref(), |rolling, FileName(name)| rolling.file_name(name));
        set(rolling, keys.close_timeout, |rolling, HumanDuration(time)| rolling.close_timeout(time))
    }
}

impl Gzip {
    fn apply(rolling: Rolling, Gzip(is_on): Gzip) -> Rolling {
        #[cfg(feature = "gzip")]
        if is_on {
            return rolling.gzip();
        }
        debug_assert!(!is_on, "it is refused when it is read");
        rolling
    }
}

impl<'de> Deserialize<'de> for Gzip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_on = bool::deserialize(deserializer)?;
        if is_on && !cfg!(feature = "gzip") { Err(needs("gzip")) } else { Ok(Gzip(is_on)) }
    }
}

impl<'de> Deserialize<'de> for RollingPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = RollingKeys::deserialize(deserializer)?;
        if keys.every.is_none() && keys.max_bytes.is_none() {
            return Err(de::Error::custom("it needs `every`, `max_bytes` or both"));
        }
        Ok(RollingPolicy(keys))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(json: &str) -> String {
        let policy: RollingPolicy = serde_json::from_str(json).expect(json);
        format!("{:?}", Rolling::from(&policy))
    }

    #[test]
    fn every_key_reaches_its_own_rule() {
        let json = r#"{ "every": "hour", "max_bytes": "3KiB", "keep_files": 5, "keep_age": "7s", "keep_bytes": 11000,
                        "file_name": "a.{date}.{seq}", "close_timeout": "13s", "gzip": false }"#;
        let rolling =
            Rolling::hourly().max_bytes(3 << 10).keep_files(5).keep_age(Duration::from_secs(7)).keep_bytes(11_000);
        let rolling = rolling.file_name("a.{date}.{seq}").close_timeout(Duration::from_secs(13));
        assert_eq!(read(json), format!("{rolling:?}"));
        assert_eq!(read(r#"{ "every": "minute" }"#), format!("{:?}", Rolling::minutely()));
        assert_eq!(read(r#"{ "every": "day" }"#), format!("{:?}", Rolling::daily()));
        assert_eq!(read(r#"{ "max_bytes": 1 }"#), format!("{:?}", Rolling::by_size(1)));
    }
}
