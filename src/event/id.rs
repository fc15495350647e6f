//! Anywhere (pure): the identity of an event.

use std::fmt;

/// The bits of an event's number.
const NUMBER_BITS: u32 = 48;

/// The identity of an event: the same in every sink, attempt and restart, so that a destination can tell a repeat.
///
/// It is 80 random bits, which `start()` draws from the operating system, and the 48-bit number of the event in the order of
/// dispatch. Its text is 32 hexadecimal digits. Ids of one logger ascend with this order.
///
/// Two processes, and two loggers of one process, have different ids, except when a virtual machine is restored twice from
/// one snapshot of its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    origin: u64,
    /// The lowest bits are the number, which never reaches the others: 2⁴⁸ events are 9 years of a million a second.
    number: u64,
}

impl EventId {
    /// That of an event which no logger dispatched.
    pub(crate) const ZERO: EventId = EventId { origin: 0, number: 0 };

    /// Returns the first id of an origin, which are 80 random bits.
    pub(crate) fn first_of(origin: [u8; 10]) -> Self {
        let [a, b, high @ ..] = origin;
        EventId { origin: u64::from_be_bytes(high), number: u64::from(u16::from_be_bytes([a, b])) << NUMBER_BITS }
    }

    /// Returns the id of the event that comes so many events later.
    #[inline]
    pub(crate) fn plus(self, events: u64) -> Self {
        EventId { number: self.number + events, ..self }
    }

    /// Returns the id with this number of 128 bits.
    #[cfg(feature = "spool")]
    pub(crate) fn from_u128(id: u128) -> Self {
        EventId { origin: (id >> 64) as u64, number: id as u64 }
    }

    /// Returns the id as a number of 128 bits.
    pub fn to_u128(self) -> u128 {
        u128::from(self.origin) << 64 | u128::from(self.number)
    }
}

/// As 32 hexadecimal digits.
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.origin, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_origin_and_its_number_in_32_digits() {
        let first = EventId::first_of([0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(first.to_string(), "0102030405060708abcd000000000000");
        assert_eq!(first.plus(0x1_0000_0001).to_string(), "0102030405060708abcd000100000001");
        assert_eq!(format!("{:032x}", first.plus(7).to_u128()), first.plus(7).to_string());
        assert!(first.plus(9) < first.plus(10));
    }
}
