//! Anywhere (pure): periods of UTC time, after which rolled files are named.

use std::time::Duration;

use crate::time::calendar::{DAYS_BEFORE_EPOCH, civil, days};

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granularity {
    Minute,
    Hour,
    Day,
}

impl Granularity {
    fn seconds(self) -> u64 {
        match self {
            Granularity::Minute => 60,
            Granularity::Hour => 3600,
            Granularity::Day => 86_400,
        }
    }

    /// The period that contains this time, counted from the Unix epoch.
    pub(super) fn of(self, nanos: u64) -> u64 {
        nanos / 1_000_000_000 / self.seconds()
    }

    /// The start of a period, since the Unix epoch.
    pub(super) fn start(self, period: u64) -> Duration {
        Duration::from_secs(period.saturating_mul(self.seconds()))
    }

    /// The end of a period, since the Unix epoch.
    pub(super) fn end(self, period: u64) -> Duration {
        self.start(period.saturating_add(1))
    }

    /// The name of a period: ISO 8601 down to the period's granularity, but with `-` for `:`, which not every file system
    /// accepts.
    pub(super) fn format(self, period: u64) -> String {
        let seconds = period.saturating_mul(self.seconds());
        let (year, month, day) = civil(seconds / 86_400 + DAYS_BEFORE_EPOCH);
        let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
        match self {
            Granularity::Minute => format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}"),
            Granularity::Hour => format!("{year:04}-{month:02}-{day:02}T{hour:02}"),
            Granularity::Day => format!("{year:04}-{month:02}-{day:02}"),
        }
    }

    /// The period of this label, if it is one.
    pub(super) fn parse(self, label: &str) -> Option<u64> {
        let number = |range: std::ops::Range<usize>| {
            let digits = label.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let since = days(number(0..4)?, number(5..7)?, number(8..10)?)?.checked_sub(DAYS_BEFORE_EPOCH)?;
        let period = match self {
            Granularity::Day => since,
            Granularity::Hour => since * 24 + number(11..13)?,
            Granularity::Minute => since * 1440 + number(11..13)? * 60 + number(14..16)?,
        };
        // Checks the separators, the range of hours and minutes, and the length.
        (self.format(period) == label).then_some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANULARITIES: [(Granularity, &str); 3] = [
        (Granularity::Minute, "2026-11-24T21-19"),
        (Granularity::Hour, "2026-11-24T21"),
        (Granularity::Day, "2026-11-24"),
    ];

    #[test]
    fn a_stretch_has_the_label_of_its_beginning_and_is_found_by_it() {
        let nanos = 1_795_555_159_999_999_999;
        for (granularity, label) in GRANULARITIES {
            let period = granularity.of(nanos);
            assert_eq!(granularity.format(period), label);
            assert_eq!(granularity.parse(label), Some(period));
            assert_eq!(label.len(), granularity.format(0).len());
            assert_eq!(granularity.of(granularity.end(period).as_nanos() as u64), period + 1);
            assert_eq!(granularity.of(granularity.end(period).as_nanos() as u64 - 1), period);
        }
    }

    #[test]
    fn labels_sort_as_their_stretches_do() {
        for (granularity, _) in GRANULARITIES {
            let labels: Vec<_> = (0..3000).map(|step| granularity.format(step * 67)).collect();
            assert!(labels.is_sorted());
        }
    }

    #[test]
    fn what_is_no_label_is_no_stretch() {
        for (granularity, label) in GRANULARITIES {
            for wrong in
                [&label[1..], &label.replace('-', ":"), &label.replace("24", "32"), &label.replace("2026", "1969")]
            {
                assert_eq!(granularity.parse(wrong), None, "{wrong}");
            }
            assert_eq!(granularity.parse(&format!("{label}0")), None);
        }
        for wrong in ["2026-11-24T24-00", "2026-11-24T23-60", "2026-02-29T00-00", "+026-11-24T00-00", "2026-11-2éT00-0"]
        {
            assert_eq!(Granularity::Minute.parse(wrong), None, "{wrong}");
        }
    }
}
