//! Anywhere (pure): RFC 3339 timestamps from nanoseconds since the Unix epoch.
//!
//! Many events share a second, so the text up to the second is cached and only the fraction is written for each.

use crate::time::calendar::{DAYS_BEFORE_EPOCH, civil};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// `2026-11-21T21:19:00`, the fraction follows.
const PREFIX: usize = 19;
/// Prefix, point, nine digits, `+hh:mm`.
const LONGEST: usize = PREFIX + 1 + 9 + 6;

/// A fixed offset from UTC, such as `+02:00`.
///
/// The default is UTC itself, printed as `Z`. It uses no time zone database: it does not follow daylight saving time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UtcOffset {
    minutes: i16,
}

impl UtcOffset {
    /// No offset.
    pub const UTC: UtcOffset = UtcOffset { minutes: 0 };

    /// Creates an offset east of UTC, or west if the numbers are negative: `hours_minutes(-3, -30)` is `-03:30`.
    ///
    /// Returns `None` unless hours are within ±23 and minutes within ±59 (the range of RFC 3339) and the two, if
    /// neither is 0, have the same sign.
    ///
    /// # Examples
    /// ```
    /// use logweir::format::UtcOffset;
    ///
    /// assert!(UtcOffset::hours_minutes(5, 45).is_some());
    /// assert!(UtcOffset::hours_minutes(24, 0).is_none());
    /// assert!(UtcOffset::hours_minutes(-3, 30).is_none());
    /// ```
    pub const fn hours_minutes(hours: i8, minutes: i8) -> Option<Self> {
        let opposed = (hours > 0 && minutes < 0) || (hours < 0 && minutes > 0);
        if opposed || hours.unsigned_abs() > 23 || minutes.unsigned_abs() > 59 {
            return None;
        }
        Some(UtcOffset { minutes: hours as i16 * 60 + minutes as i16 })
    }
}

/// The written digits of a second's fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Precision {
    Millis,
    Nanos,
}

/// Writes times; caches the text of the last one.
#[derive(Clone, Debug)]
pub(super) struct Timestamp {
    offset: UtcOffset,
    precision: Precision,
    /// The second of `text`; initially a value that no second has, since the last that fits 64 bits of nanoseconds is
    /// in 2554.
    second: u64,
    text: [u8; LONGEST],
    len: usize,
}

/// Returns the time in RFC 3339, in UTC with nanoseconds. Times before 1970 or after 2554 are the first or the last one
/// between.
#[cfg(feature = "serde")]
pub(crate) fn rfc3339(time: std::time::SystemTime) -> String {
    let nanos = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut out = Vec::with_capacity(LONGEST);
    Timestamp::new(Precision::Nanos, UtcOffset::UTC).write(nanos.try_into().unwrap_or(u64::MAX), &mut out);
    String::from_utf8(out).expect("digits and marks")
}

impl Timestamp {
    pub(super) fn new(precision: Precision, offset: UtcOffset) -> Self {
        let mut text = [0; LONGEST];
        text[PREFIX] = b'.';
        let end = PREFIX + 1 + if precision == Precision::Millis { 3 } else { 9 };
        let len = match offset {
            UtcOffset::UTC => {
                text[end] = b'Z';
                end + 1
            }
            UtcOffset { minutes } => {
                let distance = minutes.unsigned_abs();
                text[end] = if minutes < 0 { b'-' } else { b'+' };
                put_two(&mut text, end + 1, (distance / 60).into());
                text[end + 3] = b':';
                put_two(&mut text, end + 4, (distance % 60).into());
                end + 6
            }
        };
        Timestamp { offset, precision, second: u64::MAX, text, len }
    }

    #[inline]
    pub(super) fn write(&mut self, nanos: u64, out: &mut Vec<u8>) {
        let second = nanos / NANOS_PER_SECOND;
        // Not `>`: if the clock is set back, its time is written unchanged.
        if second != self.second {
            self.turn_to(second);
        }
        let fraction = (nanos % NANOS_PER_SECOND) as u32;
        // Groups of three do not depend on each other's divisions.
        put_three(&mut self.text, PREFIX + 1, fraction / 1_000_000);
        if self.precision == Precision::Nanos {
            put_three(&mut self.text, PREFIX + 4, fraction / 1_000 % 1_000);
            put_three(&mut self.text, PREFIX + 7, fraction % 1_000);
        }
        out.extend_from_slice(&self.text[..self.len]);
    }

    #[cold]
    fn turn_to(&mut self, second: u64) {
        self.second = second;
        // Counted from the start of the cycle, a time before 1970 (a western offset at the epoch) is no special case.
        let shift = i64::from(self.offset.minutes) * 60;
        let local = (second + DAYS_BEFORE_EPOCH * SECONDS_PER_DAY).saturating_add_signed(shift);
        let (year, month, day) = civil(local / SECONDS_PER_DAY);
        let of_day = local % SECONDS_PER_DAY;

        let text = &mut self.text;
        put_two(text, 0, year / 100);
        put_two(text, 2, year % 100);
        put_two(text, 5, month);
        put_two(text, 8, day);
        put_two(text, 11, of_day / 3600);
        put_two(text, 14, of_day / 60 % 60);
        put_two(text, 17, of_day % 60);
        for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
            text[at] = mark;
        }
    }
}

fn put_two(text: &mut [u8; LONGEST], at: usize, number: u64) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

#[inline]
fn put_three(text: &mut [u8; LONGEST], at: usize, number: u32) {
    text[at] = b'0' + (number / 100) as u8;
    text[at + 1] = b'0' + (number / 10 % 10) as u8;
    text[at + 2] = b'0' + (number % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos_of(second: u64) -> u64 {
        second * NANOS_PER_SECOND
    }

    fn write(timestamp: &mut Timestamp, nanos: u64) -> String {
        let mut out = Vec::new();
        timestamp.write(nanos, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn utc(nanos: u64) -> String {
        write(&mut Timestamp::new(Precision::Nanos, UtcOffset::UTC), nanos)
    }

    fn millis_at(hours: i8, minutes: i8, nanos: u64) -> String {
        write(&mut Timestamp::new(Precision::Millis, UtcOffset::hours_minutes(hours, minutes).unwrap()), nanos)
    }

    #[test]
    fn known_instants_are_written_as_the_calendar_has_them() {
        for (second, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_799, "2000-02-29T23:59:59"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (1_735_689_600, "2025-01-01T00:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(utc(nanos_of(second)), format!("{expected}.000000000Z"));
        }
        assert_eq!(utc(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn every_day_until_2554_agrees_with_counting_the_days_one_by_one() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        let mut timestamp = Timestamp::new(Precision::Millis, UtcOffset::UTC);
        for days in 0..=u64::MAX / NANOS_PER_SECOND / SECONDS_PER_DAY {
            let text = write(&mut timestamp, nanos_of(days * SECONDS_PER_DAY));
            assert_eq!(text, format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z"));

            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn every_second_of_a_day_is_written_with_its_hour_and_minute() {
        let mut timestamp = Timestamp::new(Precision::Millis, UtcOffset::UTC);
        for second in 0..SECONDS_PER_DAY {
            let (hour, minute, second_of_minute) = (second / 3600, second / 60 % 60, second % 60);
            let expected = format!("1970-01-01T{hour:02}:{minute:02}:{second_of_minute:02}.000Z");
            assert_eq!(write(&mut timestamp, nanos_of(second)), expected);
        }
    }

    #[test]
    fn a_fraction_keeps_its_leading_zeros_and_is_cut_not_rounded() {
        assert_eq!(utc(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(utc(1_002_003_004), "1970-01-01T00:00:01.002003004Z");
        assert_eq!(millis_at(0, 0, 999_999_999), "1970-01-01T00:00:00.999Z");
    }

    #[test]
    fn an_offset_moves_the_time_and_is_written_behind_it() {
        assert_eq!(millis_at(2, 0, 0), "1970-01-01T02:00:00.000+02:00");
        assert_eq!(millis_at(5, 45, 0), "1970-01-01T05:45:00.000+05:45");
        assert_eq!(millis_at(-3, -30, 0), "1969-12-31T20:30:00.000-03:30");
        assert_eq!(millis_at(0, -1, 0), "1969-12-31T23:59:00.000-00:01");
        assert_eq!(millis_at(-23, -59, 0), "1969-12-31T00:01:00.000-23:59");
        assert_eq!(millis_at(23, 59, u64::MAX), "2554-07-22T23:33:33.709+23:59");
    }

    #[test]
    fn an_offset_that_rfc_3339_cannot_write_is_refused() {
        for (hours, minutes) in [(24, 0), (-24, 0), (0, 60), (0, -60), (1, -1), (-1, 1), (i8::MIN, 0), (0, i8::MIN)] {
            assert_eq!(UtcOffset::hours_minutes(hours, minutes), None);
        }
    }

    #[test]
    fn a_time_that_jumps_back_or_ahead_is_written_as_by_a_fresh_clock() {
        let mut timestamp = Timestamp::new(Precision::Nanos, UtcOffset::UTC);
        let noon = nanos_of(1_709_208_000);
        for nanos in [noon, noon + 1, noon - 1, noon - NANOS_PER_SECOND, noon, 0, u64::MAX, noon + 999_999_999, noon] {
            assert_eq!(write(&mut timestamp, nanos), utc(nanos));
        }
    }
}
