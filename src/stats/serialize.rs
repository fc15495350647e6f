//! Anywhere (pure): the serialized form of times and counts: seconds as numbers, moments in RFC 3339, kinds as keys.

use std::time::{Duration, SystemTime};

use serde::Serializer;

use super::labels::SinkErrorKind;
use crate::format::timestamp::rfc3339;

pub(super) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

pub(super) fn optional_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_some(&time.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

/// Serializes a moment in RFC 3339, in UTC.
pub(crate) fn moment<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// Serializes a map of the kinds that occurred.
pub(super) fn by_kind<S: Serializer>(
    errors: &[u64; SinkErrorKind::ALL.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let counts = SinkErrorKind::ALL.into_iter().zip(errors);
    serializer.collect_map(counts.filter(|(_, count)| **count > 0))
}
