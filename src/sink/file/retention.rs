//! Anywhere (pure): how many rolled files are kept.

use std::time::Duration;

use super::names::Place;
use super::period::Unit;

/// Which files of a rolling sink are kept. None: all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Retention {
    /// The maximum number of files, including the current one.
    pub(super) files: Option<usize>,
    /// How long after its last line a file is kept.
    pub(super) age: Option<Duration>,
    /// The maximum number of bytes, including the room of the current file.
    pub(super) bytes: Option<u64>,
}

/// A file that is no longer written to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rolled {
    pub(super) place: Place,
    pub(super) bytes: u64,
    /// When it was last written to, since the Unix epoch.
    pub(super) modified: Duration,
}

/// The inputs of the decision besides the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the Unix epoch.
    pub(super) time: Duration,
    pub(super) unit: Unit,
    /// Whether a file ends with its period, as the current one will.
    pub(super) is_by_time: bool,
    pub(super) current: Place,
    /// The current file's size, or the size it may reach.
    pub(super) current_bytes: u64,
}

impl Retention {
    pub(super) fn is_anything(&self) -> bool {
        *self != Retention::default()
    }

    /// How many of these files, which are in order, expire: the first ones.
    pub(super) fn doomed(&self, rolled: &[Rolled], now: &Now) -> usize {
        let by_count = self.files.map_or(0, |most| (rolled.len() + 1).saturating_sub(most));
        let by_bytes = self.bytes.map_or(0, |most| {
            let mut left = most.saturating_sub(now.current_bytes);
            let kept = rolled.iter().rev().take_while(|file| {
                let fits = file.bytes <= left;
                left = left.saturating_sub(file.bytes);
                fits
            });
            rolled.len() - kept.count()
        });
        let by_age = self.age.map_or(0, |most| {
            let is_old = |index: &usize| now.ended(rolled, *index).saturating_add(most) <= now.time;
            (0..rolled.len()).take_while(is_old).count()
        });
        by_count.max(by_bytes).max(by_age).min(rolled.len())
    }
}

impl Now {
    /// When the last line of a file may have been written.
    fn ended(&self, rolled: &[Rolled], index: usize) -> Duration {
        let Rolled { place: own, modified, .. } = rolled[index];
        // A file that is rolled by size alone continues until the next one was begun.
        let until = if self.is_by_time { own } else { rolled.get(index + 1).map_or(self.current, |next| next.place) };
        let end = self.unit.end(until.period);
        // A period in the future comes from a clock that was ahead, and does not tell the time.
        if end.saturating_sub(self.time) > self.unit.end(0) { modified } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Files of ten bytes, begun on these days.
    fn files(days: impl IntoIterator<Item = u64>) -> Vec<Rolled> {
        days.into_iter()
            .map(|period| Rolled { place: Place { period, seq: 1 }, bytes: 10, modified: Duration::ZERO })
            .collect()
    }

    fn on(day: u64) -> Now {
        let current = Place { period: day, seq: 1 };
        Now { time: DAY * day as u32 + DAY / 2, unit: Unit::Day, is_by_time: true, current, current_bytes: 10 }
    }

    #[test]
    fn without_limits_everything_stays() {
        assert!(!Retention::default().is_anything());
        assert_eq!(Retention::default().doomed(&files(0..100), &on(10_000)), 0);
    }

    #[test]
    fn the_count_has_the_current_file_in_it() {
        let keep = |files| Retention { files: Some(files), ..Retention::default() };
        for (most, doomed) in [(1, 5), (2, 4), (5, 1), (6, 0), (usize::MAX, 0)] {
            assert_eq!(keep(most).doomed(&files(0..5), &on(5)), doomed, "keep {most}");
        }
        assert_eq!(keep(1).doomed(&[], &on(5)), 0);
    }

    #[test]
    fn the_bytes_have_room_for_the_current_file_in_them() {
        let keep = |bytes| Retention { bytes: Some(bytes), ..Retention::default() };
        for (most, doomed) in [(0, 5), (9, 5), (19, 5), (20, 4), (29, 4), (59, 1), (60, 0), (u64::MAX, 0)] {
            assert_eq!(keep(most).doomed(&files(0..5), &on(5)), doomed, "keep {most}");
        }
        // Files older than one that does not fit are deleted too: the kept files have no gap.
        let mut uneven = files(0..3);
        uneven[1].bytes = 1000;
        assert_eq!(keep(100).doomed(&uneven, &on(5)), 2);
    }

    #[test]
    fn age_counts_from_the_end_of_the_period_in_which_a_file_was_written() {
        let keep = |age| Retention { age: Some(age), ..Retention::default() };
        // At noon of day 10: day 6 ended three and a half days ago.
        assert_eq!(keep(DAY * 7 / 2).doomed(&files(0..10), &on(10)), 7);
        assert_eq!(keep(DAY * 7 / 2 + Duration::from_nanos(1)).doomed(&files(0..10), &on(10)), 6);
        assert_eq!(keep(Duration::MAX).doomed(&files(0..10), &on(10)), 0);
    }

    #[test]
    fn a_file_rolled_by_size_alone_is_as_old_as_its_last_line_may_be() {
        let keep = Retention { age: Some(DAY * 3), ..Retention::default() };
        // The file of day 2 was written to until day 9.
        let rolled = files([1, 2, 9]);
        assert_eq!(keep.doomed(&rolled, &Now { is_by_time: false, ..on(10) }), 1);
        assert_eq!(keep.doomed(&rolled, &on(10)), 2);
    }

    #[test]
    fn a_file_whose_date_has_not_come_yet_is_as_old_as_its_last_change() {
        let keep = Retention { age: Some(DAY * 3), ..Retention::default() };
        let mut rolled = files([5, 4000, 4001, 4002]);
        let current = Place { period: 4003, seq: 1 };
        for (file, day) in rolled.iter_mut().zip([0, 6, 7, 9]) {
            file.modified = DAY * day + DAY / 2;
        }
        assert_eq!(keep.doomed(&rolled, &Now { current, ..on(10) }), 3);
        assert_eq!(keep.doomed(&rolled[1..], &Now { current, is_by_time: false, ..on(10) }), 2);
        // Of today, which is not over.
        assert_eq!(keep.doomed(&files([10]), &on(10)), 0);
    }

    #[test]
    fn the_strictest_limit_counts() {
        let keep = Retention { files: Some(5), age: Some(DAY * 100), bytes: Some(30) };
        assert_eq!(keep.doomed(&files(0..10), &on(10)), 8);
    }
}
