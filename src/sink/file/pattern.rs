//! Anywhere (pure): the names of a rolling sink's files, and which files are its own.

use std::cmp::Ordering;

use super::granularity::Granularity;

const DATE: &str = "{date}";
const SEQ: &str = "{seq}";
/// The suffix of a compressed file.
const GZ: &str = ".gz";
/// The suffix of a compressed file while it is written. Its name begins with a dot, so that it matches no pattern of a
/// shell that the file itself matches.
const PARTIAL: &str = ".gz.partial";

/// The order of files: the period in which a file was begun, then its number in that period, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey {
    pub(super) period: u64,
    pub(super) seq: u64,
}

impl FileKey {
    /// The key of the next file, begun in `period`. Never before this one, whatever the clock shows.
    pub(super) fn next(self, period: u64) -> FileKey {
        match period.cmp(&self.period) {
            Ordering::Greater => FileKey { period, seq: 1 },
            Ordering::Less | Ordering::Equal => FileKey { period: self.period, seq: self.seq.saturating_add(1) },
        }
    }
}

/// The kind of a file. Of two files with one key, the later kind has all lines of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileKind {
    /// An incomplete compressed file: being written, or left behind.
    Partial,
    /// Lines, as they were written.
    Plain,
    Compressed,
}

/// A name pattern with a date and a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamePattern {
    before: String,
    between: String,
    behind: String,
    is_seq_first: bool,
    granularity: Granularity,
}

impl NamePattern {
    /// The pattern for the name of a file that is not rolled: `app.log` makes `app.{date}.{seq}.log`.
    pub(super) fn of(name: &str, granularity: Granularity) -> Self {
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        NamePattern {
            before: format!("{stem}."),
            between: ".".into(),
            behind: extension,
            is_seq_first: false,
            granularity,
        }
    }

    /// `None` unless it is a name, with each of the two once, and without the suffix of a compressed file.
    pub(super) fn parse(pattern: &str, granularity: Granularity) -> Option<Self> {
        let (date, seq) = (pattern.find(DATE)?, pattern.find(SEQ)?);
        let is_seq_first = seq < date;
        let (first, second) = if is_seq_first { (SEQ, DATE) } else { (DATE, SEQ) };
        let (before, rest) = pattern.split_once(first)?;
        let (between, behind) = rest.split_once(second)?;
        let parts = [before, between, behind];
        let is_good = |part: &&str| !part.contains(DATE) && !part.contains(SEQ) && !part.contains(['/', '\\', '\0']);
        let is_name =
            parts.iter().all(is_good) && !behind.to_ascii_lowercase().ends_with(GZ) && !behind.ends_with(PARTIAL);
        let [before, between, behind] = parts.map(str::to_owned);
        is_name.then_some(NamePattern { before, between, behind, is_seq_first, granularity })
    }

    pub(super) fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The name of the file with this key, of this kind.
    pub(super) fn name(&self, key: FileKey, kind: FileKind) -> String {
        let name = self.plain_name(key);
        match kind {
            FileKind::Plain => name,
            FileKind::Compressed => name + GZ,
            FileKind::Partial => format!(".{name}{PARTIAL}"),
        }
    }

    fn plain_name(&self, FileKey { period, seq }: FileKey) -> String {
        let NamePattern { before, between, behind, is_seq_first, granularity } = self;
        let date = granularity.format(period);
        // At least four digits: most shells sort names as text.
        if *is_seq_first {
            format!("{before}{seq:04}{between}{date}{behind}")
        } else {
            format!("{before}{date}{between}{seq:04}{behind}")
        }
    }

    /// The key and the kind of the file of this name, if it is one of ours.
    pub(super) fn parse_name(&self, name: &str) -> Option<(FileKey, FileKind)> {
        if let Some(key) = self.parse_plain(name) {
            return Some((key, FileKind::Plain));
        }
        if let Some(partial) = name.strip_suffix(PARTIAL) {
            // An earlier version began no name with a dot.
            let name = partial.strip_prefix('.').unwrap_or(partial);
            return Some((self.parse_plain(name)?, FileKind::Partial));
        }
        Some((self.parse_plain(name.strip_suffix(GZ)?)?, FileKind::Compressed))
    }

    /// Whether a file of this name could be one of ours with another granularity.
    pub(super) fn is_like(&self, name: &str) -> bool {
        let with = |granularity| NamePattern { granularity, ..self.clone() };
        [Granularity::Minute, Granularity::Hour, Granularity::Day]
            .into_iter()
            .any(|granularity| with(granularity).parse_name(name).is_some())
    }

    /// Whether a file of one pattern can have the name of a file of the other.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let key = FileKey { period: 1_000_000, seq: 1 };
        [FileKind::Plain, FileKind::Compressed].into_iter().any(|kind| {
            other.parse_name(&self.name(key, kind)).is_some() || self.parse_name(&other.name(key, kind)).is_some()
        })
    }

    fn parse_plain(&self, name: &str) -> Option<FileKey> {
        let inner = name.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)?;
        let (date, seq) = if self.is_seq_first {
            let (rest, date) = inner.split_at_checked(inner.len().checked_sub(self.granularity.format(0).len())?)?;
            (date, rest.strip_suffix(&*self.between)?)
        } else {
            let (date, rest) = inner.split_at_checked(self.granularity.format(0).len())?;
            (date, rest.strip_prefix(&*self.between)?)
        };
        let key = FileKey { period: self.granularity.parse(date)?, seq: seq.parse().ok()? };
        // `+1` and `00001` are numbers too, but no names of ours.
        (self.plain_name(key) == name).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(period: u64, seq: u64) -> FileKey {
        FileKey { period, seq }
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
            let names = NamePattern::of(name, Granularity::Day);
            assert_eq!(names.name(day(1, 3), FileKind::Plain), expected);
            assert_eq!(names.parse_name(expected), Some((day(1, 3), FileKind::Plain)));
        }
    }

    #[test]
    fn names_of_a_pattern_are_found_again_in_every_state() {
        for pattern in ["{date}{seq}", "{seq}{date}", "a.{date}.{seq}.log", "{seq}-{date}.x", "ä{date}ö{seq}ü"] {
            for granularity in [Granularity::Minute, Granularity::Hour, Granularity::Day] {
                let names = NamePattern::parse(pattern, granularity).expect(pattern);
                for place in [day(0, 1), day(20_000, 9_999), day(20_000, 10_000), day(1, u64::MAX)] {
                    let name = names.name(place, FileKind::Plain);
                    assert_eq!(names.parse_name(&name), Some((place, FileKind::Plain)));
                    assert_eq!(names.parse_name(&format!("{name}.gz")), Some((place, FileKind::Compressed)));
                    assert_eq!(
                        names.parse_name(&names.name(place, FileKind::Partial)),
                        Some((place, FileKind::Partial))
                    );
                }
            }
        }
    }

    #[test]
    fn what_only_looks_like_ours_is_not() {
        let names = NamePattern::of("app.log", Granularity::Day);
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
            assert_eq!(names.parse_name(name), None, "{name}");
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
            assert_eq!(NamePattern::parse(pattern, Granularity::Day), None, "{pattern:?}");
        }
    }

    #[test]
    fn a_file_that_is_being_compressed_has_a_name_that_no_pattern_of_a_shell_meets() {
        let names = NamePattern::of("app.log", Granularity::Day);
        assert_eq!(names.name(day(1, 3), FileKind::Partial), ".app.1970-01-02.0003.log.gz.partial");
    }

    #[test]
    fn patterns_overlap_if_a_file_of_one_could_be_a_file_of_the_other() {
        let of = |path| NamePattern::of(path, Granularity::Day);
        let parse = |pattern| NamePattern::parse(pattern, Granularity::Day).unwrap();
        assert!(of("app.log").overlaps(&of("app.log")));
        assert!(of("app.log").overlaps(&parse("app.{date}.{seq}.log")));
        assert!(!of("app.log").overlaps(&of("app2.log")));
        assert!(!of("app.log").overlaps(&NamePattern::of("app.log", Granularity::Hour)));
        assert!(of("app").overlaps(&of("app.gz")), "the compressed files of the first");
        assert!(of("app.gz").overlaps(&of("app")));
    }

    #[test]
    fn places_never_go_back() {
        assert_eq!(day(5, 3).next(6), day(6, 1));
        assert_eq!(day(5, 3).next(5), day(5, 4));
        assert_eq!(day(5, 3).next(4), day(5, 4));
    }
}
