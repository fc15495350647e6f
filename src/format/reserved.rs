//! Anywhere a sink formats (pure): what becomes of a field whose name the format uses itself.

use crate::event::Record;

/// Writes as many `_` as make a reserved name one that no other field of the record has.
#[cold]
pub(super) fn write_suffix(name: &str, record: &Record<'_>, out: &mut Vec<u8>) {
    let taken = |suffix: usize| {
        record.fields().any(|(other, _)| {
            other.strip_prefix(name).is_some_and(|rest| rest.len() == suffix && rest.bytes().all(|byte| byte == b'_'))
        })
    };
    // The reserved name itself is one of the fields, so this starts at 1.
    let suffix = (1..).find(|&suffix| !taken(suffix)).unwrap_or(1);
    out.extend(std::iter::repeat_n(b'_', suffix));
}
