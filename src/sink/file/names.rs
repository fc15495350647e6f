//! Anywhere (pure): the names of a rolling sink's files, and which files are its own.

use std::cmp::Ordering;

use super::period::Unit;

const DATE: &str = "{date}";
const SEQ: &str = "{seq}";
/// The suffix of a compressed file.
pub(super) const GZ: &str = ".gz";
/// The suffix of a compressed file while it is written.
pub(super) const PARTIAL: &str = ".gz.partial";

/// The order of files: the period in which a file was begun, then its number in that period, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) period: u64,
    pub(super) seq: u64,
}

impl Place {
    /// The place of the next file, begun in `period`. Never before this one, whatever the clock shows.
    pub(super) fn next(self, period: u64) -> Place {
        match period.cmp(&self.period) {
            Ordering::Greater => Place { period, seq: 1 },
            Ordering::Less | Ordering::Equal => Place { period: self.period, seq: self.seq.saturating_add(1) },
        }
    }
}

/// The state of a file. Of two files in one place, the later state has all lines of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// An incomplete compressed file: being written, or left behind.
    Partial,
    /// Lines, as they were written.
    Plain,
    Compressed,
}

/// A name pattern with a date and a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Names {
    before: String,
    between: String,
    behind: String,
    is_seq_first: bool,
    unit: Unit,
}

impl Names {
    /// The pattern for the name of a file that is not rolled: `app.log` makes `app.{date}.{seq}.log`.
    pub(super) fn of(name: &str, unit: Unit) -> Self {
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        Names { before: format!("{stem}."), between: ".".into(), behind: extension, is_seq_first: false, unit }
    }

    /// `None` unless it is a name, with each of the two once, and without the suffix of a compressed file.
    pub(super) fn parse(pattern: &str, unit: Unit) -> Option<Self> {
        let (date, seq) = (pattern.find(DATE)?, pattern.find(SEQ)?);
        let is_seq_first = seq < date;
        let (first, second) = if is_seq_first { (SEQ, DATE) } else { (DATE, SEQ) };
        let (before, rest) = pattern.split_once(first)?;
        let (between, behind) = rest.split_once(second)?;
        let parts = [before, between, behind];
        let is_good = |part: &&str| !part.contains(DATE) && !part.contains(SEQ) && !part.contains(['/', '\\', '\0']);
        let is_name = parts.iter().all(is_good) && !behind.ends_with(GZ) && !behind.ends_with(PARTIAL);
        let [before, between, behind] = parts.map(str::to_owned);
        is_name.then_some(Names { before, between, behind, is_seq_first, unit })
    }

    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    /// The name of the file in this place.
    pub(super) fn name(&self, place: Place) -> String {
        let Names { before, between, behind, is_seq_first, unit } = self;
        let (date, seq) = (unit.label(place.period), place.seq);
        // At least four digits: most shells sort names as text.
        if *is_seq_first {
            format!("{before}{seq:04}{between}{date}{behind}")
        } else {
            format!("{before}{date}{between}{seq:04}{behind}")
        }
    }

    /// The place and state of the file of this name, if it is one of ours.
    pub(super) fn place(&self, name: &str) -> Option<(Place, State)> {
        if let Some(place) = self.place_of_plain(name) {
            return Some((place, State::Plain));
        }
        if let Some(name) = name.strip_suffix(PARTIAL) {
            return Some((self.place_of_plain(name)?, State::Partial));
        }
        Some((self.place_of_plain(name.strip_suffix(GZ)?)?, State::Compressed))
    }

    fn place_of_plain(&self, name: &str) -> Option<Place> {
        let inner = name.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)?;
        let (date, seq) = if self.is_seq_first {
            let (rest, date) = inner.split_at_checked(inner.len().checked_sub(self.unit.label_len())?)?;
            (date, rest.strip_suffix(&*self.between)?)
        } else {
            let (date, rest) = inner.split_at_checked(self.unit.label_len())?;
            (date, rest.strip_prefix(&*self.between)?)
        };
        let place = Place { period: self.unit.parse(date)?, seq: seq.parse().ok()? };
        // `+1` and `00001` are numbers too, but no names of ours.
        (self.name(place) == name).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(period: u64, seq: u64) -> Place {
        Place { period, seq }
    }

    #[test]
    fn the_pattern_of_a_path_keeps_its_extension_at_the_end() {
        for (name, expected) in [
            ("app.log", "app.1970-01-02.0003.log"),
            ("app", "app.1970-01-02.0003"),
            (".log", ".log.1970-01-02.0003"),
            ("a.b.json", "a.b.1970-01-02.0003.json"),
            ("{date}.log", "{date}.1970-01-02.0003.log"),
        ] {
            let names = Names::of(name, Unit::Day);
            assert_eq!(names.name(day(1, 3)), expected);
            assert_eq!(names.place(expected), Some((day(1, 3), State::Plain)));
        }
    }

    #[test]
    fn names_of_a_pattern_are_found_again_in_every_state() {
        for pattern in ["{date}{seq}", "{seq}{date}", "a.{date}.{seq}.log", "{seq}-{date}.x", "ä{date}ö{seq}ü"] {
            for unit in [Unit::Minute, Unit::Hour, Unit::Day] {
                let names = Names::parse(pattern, unit).expect(pattern);
                for place in [day(0, 1), day(20_000, 9_999), day(20_000, 10_000), day(1, u64::MAX)] {
                    let name = names.name(place);
                    assert_eq!(names.place(&name), Some((place, State::Plain)));
                    assert_eq!(names.place(&format!("{name}.gz")), Some((place, State::Compressed)));
                    assert_eq!(names.place(&format!("{name}.gz.partial")), Some((place, State::Partial)));
                }
            }
        }
    }

    #[test]
    fn what_only_looks_like_ours_is_not() {
        let names = Names::of("app.log", Unit::Day);
        for name in [
            "app.log",
            "app.1970-01-02.log",
            "app.1970-01-02.3.log",
            "app.1970-01-02.00003.log",
            "app.1970-01-02.+003.log",
            "app.1970-01-02.0003.log.bak",
            "app.1970-01-02.0003.log.gz.gz",
            "app.1970-01-02.0003.log.gz.part",
            "app.1970-01-02T00.0003.log",
            "app.1970-02-30.0003.log",
            "app2.1970-01-02.0003.log",
            "app.1970-01-0é.0003.log",
            "appé",
            "",
        ] {
            assert_eq!(names.place(name), None, "{name}");
        }
    }

    #[test]
    fn a_pattern_has_a_date_and_a_number_once_and_is_no_path() {
        for pattern in [
            "",
            "app.log",
            "{date}",
            "{seq}",
            "{date}{seq}{seq}",
            "{date}{date}{seq}",
            "a/{date}.{seq}",
            "a\\{date}.{seq}",
            "{date}.{seq}.gz",
            "{date}.{seq}.gz.partial",
            "{date}.\0.{seq}",
        ] {
            assert_eq!(Names::parse(pattern, Unit::Day), None, "{pattern:?}");
        }
    }

    #[test]
    fn places_never_go_back() {
        assert_eq!(day(5, 3).next(6), day(6, 1));
        assert_eq!(day(5, 3).next(5), day(5, 4));
        assert_eq!(day(5, 3).next(4), day(5, 4));
    }
}
