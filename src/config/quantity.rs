//! Anywhere (pure): durations, sizes, percents and levels in human-readable form.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

use crate::event::{Level, LevelFilter};
use crate::format::UtcOffset;

/// A duration in human-readable form, for the options of a sink of your own.
///
/// Numbers with units: `100ms`, `5s`, `1m 30s`, `1h`, `14d`; several are added up. A bare number is an error, because
/// its unit is unknown, and so is `5M`, which could mean months.
///
/// ```
/// use std::time::Duration;
/// use logweir::config::HumanDuration;
///
/// #[derive(serde::Deserialize)]
/// struct Options { patience: HumanDuration }
///
/// let options: Options = serde_json::from_str(r#"{ "patience": "1m 30s" }"#)?;
/// assert_eq!(options.patience.0, Duration::from_secs(90));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(
    /// The duration.
    pub Duration,
);

/// A number of bytes in human-readable form, for the options of a sink of your own.
///
/// A whole number of bytes, or a number with its unit: `64MiB` and `64 MiB` are 64 · 2²⁰ bytes, `64MB` and `64 MB` 64 ·
/// 10⁶. The same holds for `k`, `M`, `G`, `T`, `P` and `E`, in any case.
///
/// ```
/// use logweir::config::HumanSize;
///
/// let sizes: [HumanSize; 3] = serde_json::from_str(r#"["64MiB", "1.5 kB", 4096]"#)?;
/// assert_eq!(sizes, [HumanSize(64 << 20), HumanSize(1500), HumanSize(4096)]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanSize(
    /// The number of bytes.
    pub u64,
);

impl HumanSize {
    /// The size as a size in memory. The builder refuses more than there can be.
    pub(super) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The time between two notices, which may be unlimited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval(pub(super) Duration);

#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) u8);

#[derive(Clone, Copy, Debug)]
pub(super) struct LevelName(pub(super) Level);

/// A level or `off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold(pub(super) LevelFilter);

/// An address to listen on; none is `never`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) Option<SocketAddr>);

/// An offset from UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offset(pub(super) UtcOffset);

/// Permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileMode(pub(super) u32);

/// A value written as text or as a whole number.
pub(super) trait Written: Sized {
    /// The valid values, in the words of an error.
    const ALLOWED: &str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_number(_: u64) -> Option<Self> {
        None
    }
}

impl Written for HumanDuration {
    const ALLOWED: &str = "a duration with its unit, such as `100ms`, `5s` or `1m 30s`";

    fn from_text(text: &str) -> Option<Self> {
        // A month to the parser, but a minute to a user who writes sizes in any case.
        if text.contains('M') {
            return None;
        }
        humantime::parse_duration(text.trim()).ok().map(HumanDuration)
    }
}

impl Written for HumanSize {
    const ALLOWED: &str = "a size, such as `64MiB`, `64 MB` or a whole number of bytes";

    fn from_text(text: &str) -> Option<Self> {
        let ByteSize(bytes) = text.trim().parse().ok()?;
        // The parser returns this if a number does not fit.
        (bytes < u64::MAX).then_some(HumanSize(bytes))
    }

    fn from_number(bytes: u64) -> Option<Self> {
        Some(HumanSize(bytes))
    }
}

impl Written for Interval {
    const ALLOWED: &str = "`never`, or a duration with its unit, such as `100ms`, `5s` or `1m 30s`";

    fn from_text(text: &str) -> Option<Self> {
        if text == "never" {
            return Some(Interval(Duration::MAX));
        }
        HumanDuration::from_text(text).map(|HumanDuration(interval)| Interval(interval))
    }
}

impl Written for Percent {
    const ALLOWED: &str = "a whole number of percent, such as `10` or `10%`";

    fn from_text(text: &str) -> Option<Self> {
        text.strip_suffix('%')?.trim().parse().ok().map(Percent)
    }

    fn from_number(percent: u64) -> Option<Self> {
        percent.try_into().ok().map(Percent)
    }
}

impl Written for LevelName {
    const ALLOWED: &str = "`trace`, `debug`, `info`, `warn`, `error` or `fatal`";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(LevelName)
    }
}

impl Written for Threshold {
    const ALLOWED: &str = "`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `off`";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Threshold)
    }
}

impl Written for Address {
    const ALLOWED: &str = "an IP address and a port, such as `127.0.0.1:9464` or `[::]:9464`; or `never`";

    fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "never" => Some(Address(None)),
            text => text.parse().ok().map(|address| Address(Some(address))),
        }
    }
}

impl Written for Offset {
    const ALLOWED: &str = "an offset from UTC, such as `+02:00`, `-03:30` or `Z`";

    fn from_text(text: &str) -> Option<Self> {
        if text == "Z" {
            return Some(Offset(UtcOffset::UTC));
        }
        let (hours, minutes) = text.split_once(':')?;
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let hours = hours.strip_prefix(['+', '-'])?;
        let two = |digits: &str| -> Option<i8> {
            let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_two.then(|| digits.parse().ok()).flatten()
        };
        UtcOffset::hours_minutes(sign * two(hours)?, sign * two(minutes)?).map(Offset)
    }
}

impl Written for FileMode {
    // No number: `640` and `0o640` are different ones.
    const ALLOWED: &str = "octal digits in quotes, from `600` to `777`, with reading and writing for the owner";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim().trim_start_matches("0o");
        let mode = u32::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with('+'))?;
        (mode <= 0o777 && mode & 0o600 == 0o600).then_some(FileMode(mode))
    }
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ALLOWED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let read = u64::try_from(number).ok().and_then(T::from_number);
        read.ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }
}

/// Reads text or a number.
pub(super) fn deserialize<'de, T: Written, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(WrittenVisitor(PhantomData))
}

macro_rules! deserialize_written {
    ($($type:ty)*) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::quantity::deserialize(deserializer)
            }
        }
    )*};
}

pub(super) use deserialize_written;

deserialize_written!(HumanDuration HumanSize Interval Percent LevelName Threshold Address Offset FileMode);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        HumanSize::from_text(text).map(|HumanSize(bytes)| bytes)
    }

    fn time(text: &str) -> Option<Duration> {
        HumanDuration::from_text(text).map(|HumanDuration(duration)| duration)
    }

    #[test]
    fn sizes_are_read_in_powers_of_two_and_of_ten() {
        for (text, expected) in [
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            (" 64mib ", 64 << 20),
            ("64 MB", 64_000_000),
            ("1.5kB", 1500),
            ("1GiB", 1 << 30),
            ("512", 512),
            ("512B", 512),
            ("0", 0),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn permission_bits_are_octal_digits_and_let_the_owner_read_and_write() {
        for (text, mode) in [("0640", 0o640), ("600", 0o600), ("0o777", 0o777), (" 0660 ", 0o660)] {
            assert_eq!(FileMode::from_text(text), Some(FileMode(mode)), "{text}");
        }
        for text in ["", "0", "0440", "0240", "1640", "0680", "rw-r-----", "+640", "-640"] {
            assert_eq!(FileMode::from_text(text), None, "{text}");
        }
        assert_eq!(FileMode::from_number(640), None);
    }

    #[test]
    fn what_is_no_size_or_larger_than_any_is_none() {
        for text in ["", "MiB", "64 megs", "-1", "1e3", "5s", "64MiB64", "99999999EiB", "18446744073709551615", "NaN"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations_add_up_and_have_a_unit() {
        assert_eq!(time("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(time("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(time("14d"), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(
            (time("0s"), time("0")),
            (Some(Duration::ZERO), Some(Duration::ZERO)),
            "nothing is the same in any unit"
        );
        for text in ["5", "", "s", "-5s", "5 parsecs", "1e3s", "99999999999999999999s", "5s!", "5M"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_have_a_sign_and_two_digits_each() {
        let offset = |text| Offset::from_text(text).map(|Offset(offset)| offset);
        assert_eq!(offset("+05:45"), UtcOffset::hours_minutes(5, 45));
        assert_eq!(offset("-03:30"), UtcOffset::hours_minutes(-3, -30));
        assert_eq!(offset("Z"), Some(UtcOffset::UTC));
        for text in ["", "2", "02:00", "+2:00", "+02:60", "+24:00", "+-2:00", "+02:+1", "+é:00"] {
            assert_eq!(offset(text), None, "{text}");
        }
    }

    #[test]
    fn an_interval_may_be_endless_and_a_percent_has_its_sign_or_is_a_number() {
        assert_eq!(Interval::from_text("never").map(|Interval(time)| time), Some(Duration::MAX));
        assert_eq!(Percent::from_text("10 %").map(|Percent(percent)| percent), Some(10));
        assert!(Percent::from_text("10").is_none() && Percent::from_number(256).is_none());
    }
}
