//! Any thread: ids for events that belong together.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::event::{ToValue, Value};
use crate::time::clock;

/// Crockford's alphabet: no letter is taken for a digit, and the characters sort as the bits do.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: usize = 26;

/// An id for events that belong together: those of a request, a job, a message. As a field's value it is text.
///
/// Its form is that of a [ULID](https://github.com/ulid/spec), 26 characters from `0-9A-Z`, so it fits a header and
/// sorts as text by time. Of its 128 bits the first 48 are milliseconds since 1970, the next 32 a counter of this
/// process, the last 48 are drawn when the process creates its first id. Within a process no two ids are equal, and ids
/// of one millisecond sort in the order in which they were created. Two processes create the same id only if they draw
/// the same 48 bits and then agree in time and counter. A child after `fork` has the bits of its parent.
///
/// It tells when it was created, and it can be guessed: it is a name, not a secret.
///
/// ```
/// use logweir::{CorrelationId, current_scope, fields, in_scope};
///
/// let incoming: Option<&str> = None; // the header `x-request-id`, say
/// let id = incoming.map_or_else(|| CorrelationId::new().to_string(), str::to_owned);
/// in_scope(fields![request_id = id], || {
///     let header = current_scope().field("request_id").map(|id| id.to_string()); // for the next service
///     assert_eq!(header.map(|id| id.len()), Some(26));
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrelationId([u8; LEN]);

impl CorrelationId {
    /// Creates a new id, different from all others of this process.
    #[expect(clippy::new_without_default, reason = "no two are equal, so none is the default")]
    pub fn new() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| fastrand::Rng::new().u64(..) & 0xFFFF_FFFF_FFFF);
        // Starts at a random number: a counter from zero would tell how many requests there were.
        static COUNTER: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(fastrand::Rng::new().u32(..1 << 31)));

        let millis = clock::now_nanos() / 1_000_000;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        CorrelationId::from_bits(u128::from(millis) << 80 | u128::from(count) << 48 | u128::from(*PROCESS))
    }

    fn from_bits(bits: u128) -> Self {
        let digit = |place: usize| ALPHABET[(bits >> (5 * (LEN - 1 - place)) & 31) as usize];
        CorrelationId(std::array::from_fn(digit))
    }

    /// Returns the 26 characters.
    #[expect(clippy::missing_panics_doc, reason = "the alphabet is ASCII")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }
}

impl AsRef<str> for CorrelationId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CorrelationId").field(&self.as_str()).finish()
    }
}

impl ToValue for CorrelationId {
    fn to_value(&self) -> Value<'_> {
        Value::Str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_written_as_the_ulid_specification_writes_them() {
        assert_eq!(CorrelationId::from_bits(0).as_str(), "00000000000000000000000000");
        assert_eq!(CorrelationId::from_bits(u128::MAX).as_str(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        // The specification's example.
        assert_eq!(&CorrelationId::from_bits(1_469_918_176_385 << 80).as_str()[..10], "01ARYZ6S41");
    }
}
