//! The caller's thread, once: when a file is rolled, how the files are named, and which are kept.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{self, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::RollingError;
use super::granularity::Granularity;
use super::open::has_variable;
use super::pattern::NamePattern;
use super::retention::Retention;
use crate::event::nanos;
use crate::time::clock;

/// When a [`FileSink`](super::FileSink) begins another file, how its files are named, and which are kept.
///
/// The files are in the directory of the sink's path. Each name is the path's file name with the date on which the file
/// was begun and a number. For `logs/app.log`:
///
/// ```text
/// logs/app.2026-11-23.0001.log.gz
/// logs/app.2026-11-24.0001.log.gz
/// logs/app.2026-11-24.0002.log        the current one
/// logs/app.log -> app.2026-11-24.0002.log
/// ```
///
/// Read in name order, the files contain every line exactly once, those of one process in order (the order of text, as in
/// shells, until there are more than 9,999 files of one date). On Unix the path itself is a symbolic link to the file
/// begun last, for `tail -F`. If the path exists and is not a symlink (a file from before rolling, say), logweir leaves it
/// unchanged, creates no link, and reports that once.
///
/// **Time** is UTC. A file is rolled by the first batch that is written after its minute, hour or day, by the clock of
/// the machine and not by the times of the events. If nothing is written in an hour, no file is begun for it. File
/// names never go backwards: if the clock is set back, the current file continues until the clock has advanced by one
/// whole period, and the next file has the same date and the next number. If files turn out to be dated more than two days
/// ahead by a clock that was wrong, they are renamed to the next numbers of the file before them when the last is left; one
/// such file also after a restart.
///
/// **Size**: a line that would make a file longer than [`max_bytes`](Rolling::max_bytes) begins the next one. Lines are
/// never truncated; a longer line has a file of its own.
///
/// **A restart** continues the newest file, unless its period or its size is exceeded or another process has it; if its
/// date is in the future, it must have been written to in the present period. Lines that were torn by a crash are ended
/// first. A file in which nothing was written is deleted at the end.
///
/// **Several processes** can have one path, as in a deployment during which the old one writes its last lines. Each
/// locks the file it writes to, for itself alone, and begins the next one behind the newest there is.
///
/// **Deletion and compression** run on a separate thread: at the start, whenever the next file gets its first line, and
/// once a minute if files are to be deleted. That thread touches only files whose names match the pattern exactly, never
/// the newest one and none that is locked, and continues the work of an earlier run. Files are deleted oldest first, and no
/// line goes while an older one stays: a file that another process has open, or was still writing to when newer ones were
/// begun, keeps those until it can go with them, so limits may be exceeded until then. If a process writes nothing and its
/// file has to be deleted, its own thread gives the file up; the next line goes to another one. Errors cost no event and
/// are reported ([`Builder::on_error`](crate::Builder::on_error)); the thread retries within a minute.
///
/// Where a file system has no locks, each start begins a file of its own, nothing is deleted or compressed, and that is
/// reported once. On Windows no locks are taken, and only one process at a time is safe.
///
/// If the next file cannot be created (no permission, no room), the current one continues, however long it gets, the
/// error is reported, and the next batch tries again. Links and devices that have the name of a file are skipped.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use logweir::sink::{FileSink, Rolling};
///
/// let rolling = Rolling::daily()
///     .max_bytes(64 << 20)
///     .keep_age(Duration::from_secs(14 * 24 * 3600))
///     .keep_bytes(1 << 30);
/// let sink = FileSink::new("logs/app.log").rolling(rolling);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a policy does nothing until a file sink has it"]
pub struct Rolling {
    /// None: by size alone.
    pub(super) every: Option<Granularity>,
    pub(super) max_bytes: Option<u64>,
    pub(super) retention: Retention,
    pub(super) gzip: bool,
    pub(super) file_name: Option<String>,
    pub(super) close_timeout: Duration,
    pub(super) clock: Clock,
}

impl Rolling {
    /// Begins a file for each minute, named `app.2026-11-24T21-19.0001.log`.
    pub fn minutely() -> Self {
        Rolling::by(Some(Granularity::Minute))
    }

    /// Begins a file for each hour, named `app.2026-11-24T21.0001.log`.
    pub fn hourly() -> Self {
        Rolling::by(Some(Granularity::Hour))
    }

    /// Begins a file for each day, named `app.2026-11-24.0001.log`.
    pub fn daily() -> Self {
        Rolling::by(Some(Granularity::Day))
    }

    /// Rolls a file when it has this many bytes, whatever the time. Range: 1 or more. Files are named as by
    /// [`daily`](Rolling::daily), after the day on which they were begun.
    pub fn by_size(bytes: u64) -> Self {
        Rolling::by(None).max_bytes(bytes)
    }

    fn by(every: Option<Granularity>) -> Self {
        Rolling {
            every,
            max_bytes: None,
            retention: Retention::default(),
            gzip: false,
            file_name: None,
            close_timeout: Duration::ZERO,
            clock: Clock(None),
        }
    }

    /// Sets the maximum size of a file in bytes, unless one line alone is longer. Default: no limit. Range: 1 or more.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets the maximum number of files, including the current one and compressed ones, but not empty ones; the oldest are deleted first.
    /// Default: no limit. Range: 1 or more.
    pub fn keep_files(mut self, files: usize) -> Self {
        self.retention.files = Some(files);
        self
    }

    /// Sets how long a file is kept after the end of its period: the minute, hour or day in its name. For files rolled
    /// by size alone, the period ends with the day on which the next file was begun. For files dated in the future by a
    /// clock that was ahead, the last write counts. Default: forever. Range: more than zero.
    ///
    /// Checked once a minute, also when nothing is logged. If the clock jumps ahead by more than two days, or the newest
    /// file is dated before that at the start, files are deleted by their age an hour later, if the clock still shows that: one
    /// wrong reading deletes nothing.
    pub fn keep_age(mut self, age: Duration) -> Self {
        self.retention.age = Some(age);
        self
    }

    /// Sets the maximum size of all files together in bytes, compressed files by their compressed size; the oldest are
    /// deleted first. Default: no limit. Range: more than [`max_bytes`](Rolling::max_bytes), if that is set, or more
    /// than twice that with `gzip`, since a file waits for its compression.
    ///
    /// From its first line on, the current file counts with its full `max_bytes`, so that the files do not exceed the
    /// limit while it fills up; without `max_bytes`, with the size it has then. The compressed copy being made of a file
    /// is not included.
    pub fn keep_bytes(mut self, bytes: u64) -> Self {
        self.retention.bytes = Some(bytes);
        self
    }

    /// Compresses files when they are rolled (gzip, RFC 1952), in the background: `app.2026-11-24.0001.log.gz`.
    ///
    /// A file is replaced once its compressed copy is complete and on the disk, with the owner, the permissions and the
    /// time of the file; a crash at any moment loses nothing. Until then the copy has a name that begins with a dot, so
    /// that `zcat -f logs/app.2*` does not meet it. The thread has a low priority if the system has
    /// priorities for threads (Linux: nice 10), so files may wait for compression while the machine is busy.
    #[cfg(feature = "gzip")]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Sets the name of the files, with `{date}` and `{seq}` once each: the date on which a file was begun, in the
    /// format of `every`, and the number, from 1 for each date, with leading zeros up to four digits. Default: the name
    /// of the path, with both before its extension. It must not be a path or end in `.gz`.
    ///
    /// Files with other names, by another pattern or another `every`, are no longer the sink's own: they stay
    /// unchanged.
    pub fn file_name(mut self, pattern: &str) -> Self {
        self.file_name = Some(pattern.to_owned());
        self
    }

    /// Sets how long `close` waits for pending deletion and compression. Default: not at all, because the next start
    /// continues them. Use it for programs that leave complete files behind; the pipeline's
    /// [`timeout`](crate::Pipeline::timeout) and the shutdown's should be longer.
    pub fn close_timeout(mut self, time: Duration) -> Self {
        self.close_timeout = time;
        self
    }

    /// Sets the clock by which files are rolled and age. Default: the system's. Use it in tests, where a day has to
    /// pass in a moment.
    ///
    /// Called on the sink's threads, at least once for every batch; it must not block. If it panics, the system's clock is used.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock(Some(Arc::new(clock)));
        self
    }

    /// Checks that the options fit together; returns the resulting name pattern.
    pub(super) fn check(&self, path: &Path) -> Result<NamePattern, RollingError> {
        let Retention { files, age, bytes } = self.retention;
        if self.max_bytes == Some(0) {
            return Err(wrong("max_bytes", 0, "1 or more"));
        }
        if files == Some(0) {
            return Err(wrong("keep_files", 0, "1 or more: the current file counts"));
        }
        if age.is_some_and(|age| age.is_zero()) {
            return Err(wrong("keep_age", 0, "more than zero"));
        }
        let (full, whose) = if self.gzip {
            (2, "the current file and one that waits for its compression have room for their `max_bytes`")
        } else {
            (1, "the current file has room for its `max_bytes`")
        };
        let least = self.max_bytes.unwrap_or(0).saturating_mul(full);
        if let Some(bytes) = bytes.filter(|bytes| *bytes <= least) {
            return Err(wrong("keep_bytes", bytes, &format!("more than {least}: {whose}")));
        }
        let wrong_path = |allowed| Err(wrong("path", format_args!("`{}`", path.display()), allowed));
        let is_directory = path.as_os_str().to_string_lossy().ends_with(path::is_separator);
        let is_compressed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        if is_directory || is_compressed {
            return wrong_path(
                "the path of a file that does not end in `/` or `.gz`: the files are plain text beside it",
            );
        }
        // The path itself is checked, not the target of a symlink: ours would be at the path.
        if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
            return wrong_path("a path with a file, a link or nothing there: the files are made beside it");
        }
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return wrong_path("a path whose last part is a file's name in Unicode");
        };
        // By size alone, too, a name has the date on which the file was begun.
        let granularity = self.every.unwrap_or(Granularity::Day);
        let Some(pattern) = &self.file_name else { return Ok(NamePattern::of(name, granularity)) };
        // The path is a link to one of the files, and none of them.
        let parsed = NamePattern::parse(pattern, granularity).filter(|_| !has_variable(pattern));
        parsed.filter(|names| names.parse_name(name).is_none()).ok_or_else(|| {
            let allowed = "a name with `{date}` and `{seq}` once each and no `${NAME}`, that is no path, does not end in \
                           `.gz` and does not give the name of the path itself";
            wrong("file_name", format_args!("`{pattern}`"), allowed)
        })
    }
}

fn wrong(option: &'static str, value: impl fmt::Display, allowed: &str) -> RollingError {
    RollingError { option, value: value.to_string(), allowed: allowed.to_owned() }
}

/// The source of the time.
#[derive(Clone)]
pub(super) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "custom" } else { "system" })
    }
}

impl Clock {
    /// Nanoseconds since the Unix epoch.
    pub(super) fn now(&self) -> u64 {
        let Some(clock) = &self.0 else { return clock::now_nanos() };
        // Half a batch may be out already: a panic would cause it to be written again.
        catch_unwind(AssertUnwindSafe(|| nanos(clock()))).unwrap_or_else(|_| clock::now_nanos())
    }
}
