//! Anywhere (pure): how many rolled files are kept.

use std::time::Duration;

use super::granularity::Granularity;
use super::pattern::FileKey;

/// By how much the clock may go forward between two looks, or a file may be dated ahead, before that is taken for a
/// mistake.
pub(super) const JUMP: Duration = Duration::from_secs(2 * 86_400);

/// How long a clock that has jumped must be right before files are deleted by their age.
const PROBATION: Duration = Duration::from_secs(3600);

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
pub(super) struct RolledFile {
    pub(super) key: FileKey,
    pub(super) bytes: u64,
    /// When it was last written to, since the Unix epoch.
    pub(super) modified: Duration,
}

/// The inputs of the decision besides the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetentionInput {
    /// Since the Unix epoch.
    pub(super) time: Duration,
    pub(super) granularity: Granularity,
    /// Whether a file ends with its period, as the current one will.
    pub(super) is_by_time: bool,
    pub(super) current: FileKey,
    /// The size that the current file may reach; 0 while it is empty, for what is empty does not count.
    pub(super) current_bytes: u64,
}

impl Retention {
    pub(super) fn is_anything(&self) -> bool {
        *self != Retention::default()
    }

    /// How many of these files, which are in order, expire: the first ones.
    pub(super) fn count_expired(&self, rolled: &[RolledFile], input: &RetentionInput) -> usize {
        let current = usize::from(input.current_bytes > 0);
        let by_count = self.files.map_or(0, |most| (rolled.len() + current).saturating_sub(most));
        let by_bytes = self.bytes.map_or(0, |most| {
            let mut left = most.saturating_sub(input.current_bytes);
            let kept = rolled.iter().rev().take_while(|file| {
                let fits = file.bytes <= left;
                left = left.saturating_sub(file.bytes);
                fits
            });
            rolled.len() - kept.count()
        });
        let by_age = self.age.map_or(0, |most| {
            let is_old = |index: &usize| input.ended(rolled, *index).saturating_add(most) <= input.time;
            // A file that is older cannot have ended later, whatever its times are.
            (0..rolled.len()).rev().find(is_old).map_or(0, |newest| newest + 1)
        });
        by_count.max(by_bytes).max(by_age).min(rolled.len())
    }
}

/// How many of the first `count` files may go so that no line goes while an older one stays: a file that two processes
/// wrote to side by side goes with the other's. `begun` tells when a file was begun, if that is known.
pub(super) fn count_settled(rolled: &[RolledFile], count: usize, begun: impl Fn(usize) -> Option<Duration>) -> usize {
    let mut last = Duration::ZERO;
    let last_writes: Vec<_> = rolled[..count]
        .iter()
        .map(|file| {
            last = last.max(file.modified);
            last
        })
        .collect();
    let is_settled = |count: &usize| begun(*count).is_none_or(|begun| last_writes[count - 1] <= begun);
    (1..=count).rev().find(is_settled).unwrap_or(0)
}

impl RetentionInput {
    /// When the last line of a file may have been written.
    fn ended(&self, rolled: &[RolledFile], index: usize) -> Duration {
        let RolledFile { key: own, modified, .. } = rolled[index];
        // A file that is rolled by size alone continues until the next one was begun.
        let until = if self.is_by_time { own } else { rolled.get(index + 1).map_or(self.current, |next| next.key) };
        let end = self.granularity.end(until.period);
        // A period in the future comes from a clock that was ahead, and does not tell the time.
        if end.saturating_sub(self.time) > self.granularity.end(0) { modified } else { end }
    }
}

/// The clock of deletion by age, which believes no jump ahead for an hour.
#[derive(Debug)]
pub(super) struct ClockGuard {
    /// The latest time that was plausible.
    plausible: Duration,
    /// When the clock was first seen to have jumped ahead of that, by a clock that never jumps.
    jumped: Option<Duration>,
}

impl ClockGuard {
    /// `known`: a time that has passed for certain.
    pub(super) fn new(known: Duration) -> Self {
        ClockGuard { plausible: known, jumped: None }
    }

    /// Returns a time that has come for certain, from that of the clock; `elapsed` is by a clock that never jumps.
    pub(super) fn check(&mut self, time: Duration, elapsed: Duration) -> Duration {
        if time > self.plausible.saturating_add(JUMP) {
            let since = *self.jumped.get_or_insert(elapsed);
            if elapsed.saturating_sub(since) < PROBATION {
                return self.plausible;
            }
        }
        (self.plausible, self.jumped) = (time, None);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Files of ten bytes, begun on these days.
    fn files(days: impl IntoIterator<Item = u64>) -> Vec<RolledFile> {
        days.into_iter()
            .map(|period| RolledFile { key: FileKey { period, seq: 1 }, bytes: 10, modified: Duration::ZERO })
            .collect()
    }

    fn on(day: u64) -> RetentionInput {
        let current = FileKey { period: day, seq: 1 };
        RetentionInput {
            time: DAY * day as u32 + DAY / 2,
            granularity: Granularity::Day,
            is_by_time: true,
            current,
            current_bytes: 10,
        }
    }

    #[test]
    fn without_limits_everything_stays() {
        assert!(!Retention::default().is_anything());
        assert_eq!(Retention::default().count_expired(&files(0..100), &on(10_000)), 0);
    }

    #[test]
    fn the_count_has_the_current_file_in_it() {
        let keep = |files| Retention { files: Some(files), ..Retention::default() };
        for (most, count_expired) in [(1, 5), (2, 4), (5, 1), (6, 0), (usize::MAX, 0)] {
            assert_eq!(keep(most).count_expired(&files(0..5), &on(5)), count_expired, "keep {most}");
        }
        assert_eq!(keep(1).count_expired(&[], &on(5)), 0);
    }

    #[test]
    fn the_bytes_have_room_for_the_current_file_in_them() {
        let keep = |bytes| Retention { bytes: Some(bytes), ..Retention::default() };
        for (most, count_expired) in [(0, 5), (9, 5), (19, 5), (20, 4), (29, 4), (59, 1), (60, 0), (u64::MAX, 0)] {
            assert_eq!(keep(most).count_expired(&files(0..5), &on(5)), count_expired, "keep {most}");
        }
        // Files older than one that does not fit are deleted too: the kept files have no gap.
        let mut uneven = files(0..3);
        uneven[1].bytes = 1000;
        assert_eq!(keep(100).count_expired(&uneven, &on(5)), 2);
    }

    #[test]
    fn age_counts_from_the_end_of_the_period_in_which_a_file_was_written() {
        let keep = |age| Retention { age: Some(age), ..Retention::default() };
        // At noon of day 10: day 6 ended three and a half days ago.
        assert_eq!(keep(DAY * 7 / 2).count_expired(&files(0..10), &on(10)), 7);
        assert_eq!(keep(DAY * 7 / 2 + Duration::from_nanos(1)).count_expired(&files(0..10), &on(10)), 6);
        assert_eq!(keep(Duration::MAX).count_expired(&files(0..10), &on(10)), 0);
    }

    #[test]
    fn a_file_rolled_by_size_alone_is_as_old_as_its_last_line_may_be() {
        let keep = Retention { age: Some(DAY * 3), ..Retention::default() };
        // The file of day 2 was written to until day 9.
        let rolled = files([1, 2, 9]);
        assert_eq!(keep.count_expired(&rolled, &RetentionInput { is_by_time: false, ..on(10) }), 1);
        assert_eq!(keep.count_expired(&rolled, &on(10)), 2);
    }

    #[test]
    fn a_file_whose_date_has_not_come_yet_is_as_old_as_its_last_change() {
        let keep = Retention { age: Some(DAY * 3), ..Retention::default() };
        let mut rolled = files([5, 4000, 4001, 4002]);
        let current = FileKey { period: 4003, seq: 1 };
        for (file, day) in rolled.iter_mut().zip([0, 6, 7, 9]) {
            file.modified = DAY * day + DAY / 2;
        }
        assert_eq!(keep.count_expired(&rolled, &RetentionInput { current, ..on(10) }), 3);
        assert_eq!(keep.count_expired(&rolled[1..], &RetentionInput { current, is_by_time: false, ..on(10) }), 2);
        // Of today, which is not over.
        assert_eq!(keep.count_expired(&files([10]), &on(10)), 0);
    }

    #[test]
    fn a_file_with_a_time_to_come_holds_up_no_newer_one_that_is_old() {
        let keep = Retention { age: Some(DAY * 3), ..Retention::default() };
        let mut rolled = files([4000, 4000, 4000]);
        for (file, (seq, day)) in rolled.iter_mut().zip([(1, 3999), (2, 5), (3, 9)]) {
            (file.key.seq, file.modified) = (seq, DAY * day);
        }
        assert_eq!(
            keep.count_expired(&rolled, &RetentionInput { current: FileKey { period: 4000, seq: 4 }, ..on(10) }),
            2
        );
    }

    #[test]
    fn the_strictest_limit_counts() {
        let keep = Retention { files: Some(5), age: Some(DAY * 100), bytes: Some(30) };
        assert_eq!(keep.count_expired(&files(0..10), &on(10)), 8);
    }

    #[test]
    fn an_empty_current_file_counts_for_nothing() {
        let silent = RetentionInput { current_bytes: 0, ..on(5) };
        let keep = Retention { files: Some(5), ..Retention::default() };
        assert_eq!(keep.count_expired(&files(0..5), &silent), 0);
        let keep = Retention { bytes: Some(50), ..Retention::default() };
        assert_eq!(keep.count_expired(&files(0..5), &silent), 0);
    }

    #[test]
    fn a_file_goes_only_if_every_kept_one_was_begun_after_its_last_line() {
        let mut rolled = files(0..4);
        for (file, hour) in rolled.iter_mut().zip([1, 9, 3, 4]) {
            file.modified = DAY * hour;
        }
        let begun = |hours: [u64; 5]| move |index: usize| Some(DAY * hours[index] as u32);
        // The second one was still written to when the others were begun.
        let all = [0, 1, 2, 3, 10];
        for (count, settled) in [(0, 0), (1, 1), (2, 1), (3, 1), (4, 4)] {
            assert_eq!(count_settled(&rolled, count, begun(all)), settled, "{count}");
        }
        assert_eq!(count_settled(&rolled, 3, |_| None), 3, "what is not known holds up nothing");
    }

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_and_one_that_ends_before_never_was() {
        let hour = Duration::from_secs(3600);
        let mut guard = ClockGuard::new(DAY * 10);
        let mut check = |day: u32, elapsed| guard.check(DAY * day, elapsed) / 86_400;
        let day = |day| Duration::from_secs(day);
        assert_eq!(check(12, hour), day(12), "two days are no jump");
        assert_eq!(check(400, hour), day(12));
        assert_eq!(check(13, hour * 2), day(13), "it is right again");
        assert_eq!(check(400, hour * 3), day(13));
        assert_eq!(check(401, hour * 4 - Duration::from_nanos(1)), day(13));
        assert_eq!(check(401, hour * 4), day(401));
        assert_eq!(check(5, hour * 4), day(5), "set back, nothing is old");
    }
}
