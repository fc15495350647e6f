//! The caller's thread, once: when a file is rolled, how the files are called, what is kept of them.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::RollingError;
use super::names::Names;
use super::period::Unit;
use super::retention::Retention;
use crate::event::nanos;
use crate::time::clock;

/// When a [`FileSink`](super::FileSink) begins another file, how its files are called, and what is kept of them.
///
/// The files stand in the folder of the sink's path, and are called as it is, with the date on which they were begun and a
/// number: for `logs/app.log`
///
/// ```text
/// logs/app.2026-11-23.0001.log.gz
/// logs/app.2026-11-24.0001.log.gz
/// logs/app.2026-11-24.0002.log        the current one
/// logs/app.log -> app.2026-11-24.0002.log
/// ```
///
/// Read in the order of their names they have every line once, in order (the order of texts, as shells have it, until there
/// are more than 9,999 files of one date). No file is ever renamed while it is written to.
/// On Unix the path itself is a symbolic link to the current file, for `tail -F`; whatever else stands there (a file from
/// the time before it was rolled, say) is left alone: there is no link then, and that is reported once.
///
/// **Time** is UTC. A file is rolled by the first batch that is written after its minute, hour or day, by the clock of the
/// machine and not by the times of the events; for an hour in which nothing is written none is begun. A clock that is set
/// back does no harm: names never go back, so the current file goes on until the clock has gone on for one whole period, and
/// the next one has the same date and the next number.
///
/// **Size**: a line that would make a file longer than [`max_bytes`](Rolling::max_bytes) begins the next one. Lines are
/// never cut; one that is longer has a file of its own.
///
/// **A restart** goes on with the newest file, unless its time or its size is over; if its date has not come yet, it must
/// have been written to in the present period. A line that was torn by a crash is ended first.
///
/// **Deleting and compressing** is the work of a thread of its own, whenever a file is rolled and at the start. It touches
/// only files whose names are exactly what the pattern gives, never the newest one, and takes up what an earlier run
/// has left. Trouble of it costs no event and is reported ([`Builder::on_error`](crate::Builder::on_error)); it tries again
/// within a minute.
///
/// **Several processes** can share the files, as in a deployment during which the old one writes its last lines: each
/// holds a shared lock on the file it writes to, and what somebody holds is neither compressed nor deleted. Each rolls by
/// itself, so some files may be short. That is for local file systems on Unix: where there are no locks, and on Windows, one
/// process at a time is all that is safe, and on SMB shares, whose locks keep the owner of a shared one from writing, rolled
/// files do not belong.
///
/// If the next file cannot be made (no permission, no room), the current one goes on, however long it gets, the trouble is
/// reported, and the next batch tries again. Links and devices that have the name of a file are passed over.
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
#[derive(Clone)]
#[must_use = "a policy does nothing until a file sink has it"]
pub struct Rolling {
    /// None: by size alone.
    pub(super) every: Option<Unit>,
    pub(super) max_bytes: Option<u64>,
    pub(super) retention: Retention,
    #[cfg(feature = "gzip")]
    pub(super) gzip: bool,
    pub(super) file_name: Option<String>,
    pub(super) close_timeout: Duration,
    pub(super) clock: Clock,
}

impl Rolling {
    /// A file for each minute, called `app.2026-11-24T21-19.0001.log`.
    pub fn minutely() -> Self {
        Rolling::by(Some(Unit::Minute))
    }

    /// A file for each hour, called `app.2026-11-24T21.0001.log`.
    pub fn hourly() -> Self {
        Rolling::by(Some(Unit::Hour))
    }

    /// A file for each day, called `app.2026-11-24.0001.log`.
    pub fn daily() -> Self {
        Rolling::by(Some(Unit::Day))
    }

    /// A file is rolled when it has so many bytes, whatever the time; 1 or more. Called as by [`daily`](Rolling::daily), by
    /// the day on which it was begun.
    pub fn by_size(bytes: u64) -> Self {
        Rolling::by(None).max_bytes(bytes)
    }

    fn by(every: Option<Unit>) -> Self {
        Rolling {
            every,
            max_bytes: None,
            retention: Retention::default(),
            #[cfg(feature = "gzip")]
            gzip: false,
            file_name: None,
            close_timeout: Duration::ZERO,
            clock: Clock(None),
        }
    }

    /// The most bytes of a file, unless one line alone is longer. Default: no limit; 1 or more.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The most files, the current one and compressed ones included; the oldest go first. Default: no limit; 1 or more.
    pub fn keep_files(mut self, files: usize) -> Self {
        self.retention.files = Some(files);
        self
    }

    /// How long a file is kept after its time was over: the minute, hour or day that it is called by; of files that are
    /// rolled by size alone, the day on which the next one was begun; of files whose date has not come yet, since a clock was
    /// ahead, when they were last written to. Default: for ever; more than zero.
    ///
    /// Looked at once a minute, also when nothing is logged.
    pub fn keep_age(mut self, age: Duration) -> Self {
        self.retention.age = Some(age);
        self
    }

    /// The most bytes of all files together, compressed ones by what they are then; the oldest go first. Default: no limit;
    /// more than [`max_bytes`](Rolling::max_bytes), if that is set, and than twice that with `gzip`, since a file waits for its compression.
    ///
    /// The current file counts as if it had its `max_bytes` already, so that the files do not outgrow the limit while it
    /// fills up; without `max_bytes`, as what it has when the one before it is rolled. The compressed copy that is being
    /// made of a file comes on top.
    pub fn keep_bytes(mut self, bytes: u64) -> Self {
        self.retention.bytes = Some(bytes);
        self
    }

    /// Compresses files when they are rolled (gzip, RFC 1952), off the way of the events: `app.2026-11-24.0001.log.gz`.
    ///
    /// A file is replaced when its compressed copy is whole and on the disk, with the owner, the permissions and the time
    /// it had; a crash at any moment loses nothing. The thread has a low priority where the system has priorities for threads
    /// (Linux: nice 10), so files may wait for compression while the machine is busy.
    #[cfg(feature = "gzip")]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// The name of the files, with `{date}` and `{seq}` in it once each: the date on which a file was begun, as `every`
    /// calls it, and the number, from 1 for each date, with leading zeros up to four digits. Default: the name of the
    /// path, with both before its extension. Not a path, and not one that ends in `.gz`.
    ///
    /// Files that were called otherwise, by another pattern or another `every`, are no longer the sink's own: they stay as
    /// they are.
    pub fn file_name(mut self, pattern: &str) -> Self {
        self.file_name = Some(pattern.to_owned());
        self
    }

    /// How long the end of the sink waits until what is to be deleted and compressed is. Default: not at all, as the next
    /// start goes on with it. For programs that leave complete files behind; the pipeline's
    /// [`timeout`](crate::Pipeline::timeout) and the shutdown's should be longer.
    pub fn close_timeout(mut self, time: Duration) -> Self {
        self.close_timeout = time;
        self
    }

    /// The clock by which files are rolled and grow old. Default: the system's. For tests, in which a day is to pass in a
    /// moment.
    ///
    /// Asked on the sink's threads, for every batch; it must not block. When it panics, the system's is asked.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock(Some(Arc::new(clock)));
        self
    }

    /// By what files are called.
    fn unit(&self) -> Unit {
        self.every.unwrap_or(Unit::Day)
    }

    /// Whether the knobs fit together; the names they come to.
    pub(super) fn check(&self, path: &Path) -> Result<Names, RollingError> {
        let wrong =
            |knob, value: String, allowed: &str| Err(RollingError { option: knob, value, allowed: allowed.to_owned() });
        let Retention { files, age, .. } = self.retention;
        if self.max_bytes == Some(0) {
            return wrong("max_bytes", "0".into(), "1 or more");
        }
        if files == Some(0) {
            return wrong("keep_files", "0".into(), "1 or more: the current file counts");
        }
        if age.is_some_and(|age| age.is_zero()) {
            return wrong("keep_age", "0".into(), "more than zero");
        }
        self.check_bytes()?;
        // The last link counts, not where it leads: that is where ours would be.
        if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
            let allowed = "a path with a file, a link or nothing there: the files are made beside it";
            return wrong("path", format!("`{}`", path.display()), allowed);
        }
        self.names(path)
    }

    fn check_bytes(&self) -> Result<(), RollingError> {
        let (full, whose) = if self.is_compressing() {
            (2, "the current file and one that waits for its compression have room for their `max_bytes`")
        } else {
            (1, "the current file has room for its `max_bytes`")
        };
        let least = self.max_bytes.unwrap_or(0).saturating_mul(full);
        match self.retention.bytes {
            Some(bytes) if bytes <= least => {
                let allowed = format!("more than {least}: {whose}");
                Err(RollingError { option: "keep_bytes", value: bytes.to_string(), allowed })
            }
            _ => Ok(()),
        }
    }

    #[cfg(feature = "gzip")]
    pub(super) fn is_compressing(&self) -> bool {
        self.gzip
    }

    #[cfg(not(feature = "gzip"))]
    pub(super) fn is_compressing(&self) -> bool {
        false
    }

    fn names(&self, path: &Path) -> Result<Names, RollingError> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            let value = format!("`{}`", path.display());
            let allowed = "a path whose last part is a file's name in Unicode".to_owned();
            return Err(RollingError { option: "path", value, allowed });
        };
        let Some(pattern) = &self.file_name else { return Ok(Names::of(name, self.unit())) };
        // What stands at the path is a link to one of the files, and none of them.
        let names = Names::parse(pattern, self.unit()).filter(|names| names.place(name).is_none());
        names.ok_or_else(|| RollingError {
            option: "file_name",
            value: format!("`{pattern}`"),
            allowed:
                "a name with `{date}` and `{seq}` once each, that is no path, does not end in `.gz` and does not give \
                      the name of the path itself"
                    .to_owned(),
        })
    }
}

impl fmt::Debug for Rolling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rolling { every, max_bytes, retention, file_name, close_timeout, .. } = self;
        f.debug_struct("Rolling")
            .field("every", every)
            .field("max_bytes", max_bytes)
            .field("retention", retention)
            .field("file_name", file_name)
            .field("close_timeout", close_timeout)
            .finish_non_exhaustive()
    }
}

/// What asks the time.
#[derive(Clone)]
pub(super) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    /// Nanoseconds since the Unix epoch.
    pub(super) fn now(&self) -> u64 {
        let Some(clock) = &self.0 else { return clock::now_nanos() };
        // Half a batch may be out already: a panic would have it written again.
        catch_unwind(AssertUnwindSafe(|| nanos(clock()))).unwrap_or_else(|_| clock::now_nanos())
    }
}
