//! A sink's thread: which file of a rolling sink is written to, and when the next one is begun.
//!
//! Invariants:
//! * The active file is locked exclusively: no other process writes to it, and none compresses or deletes it. Where there
//!   are no locks, it is one that this sink has created.
//! * A file is begun behind the newest one, of whichever process.
//! * `seen` is the period in which the active file was begun or, if the clock was set back since, the one it was set to.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory::{FileEntry, LogDir};
use super::error::{MaintenanceError, MaintenanceTask, OpenError};
use super::maintenance::{BackgroundErrors, Maintenance};
use super::open::{self, FileOptions, OpenedFile};
use super::pattern::{FileKey, FileKind};
use super::retention::JUMP;
use super::rolling::Rolling;
use crate::fs::{LockedFile, is_at_path, is_busy, point_symlink, rename_new};

/// How often other processes may be faster before it is an error.
const TRIES: usize = 64;

/// 2025: a clock that shows an earlier time has not been set.
const UNSET: Duration = Duration::from_secs(1_735_689_600);

pub(super) struct Roller {
    policy: Rolling,
    dir: LogDir,
    /// The path as given, a symlink to the active file.
    link: PathBuf,
    options: FileOptions,
    /// The active file.
    key: Option<FileKey>,
    seen: u64,
    /// The same, before the last look at the clock.
    seen_before: u64,
    /// The first file that this sink has begun with the date of its clock.
    first_begun: Option<FileKey>,
    maintenance: Maintenance,
    errors: BackgroundErrors,
    link_reported: bool,
}

impl Roller {
    pub(super) fn start(
        path: &Path,
        policy: Rolling,
        dir: LogDir,
        options: FileOptions,
        errors: &BackgroundErrors,
    ) -> io::Result<Self> {
        let maintenance = Maintenance::start(&policy, &dir, errors)?;
        let (link, errors) = (path.to_owned(), errors.clone());
        Ok(Roller {
            policy,
            dir,
            link,
            options,
            key: None,
            seen: 0,
            seen_before: 0,
            first_begun: None,
            maintenance,
            errors,
            link_reported: false,
        })
    }

    /// The current period by the clock.
    pub(super) fn current_period(&self) -> u64 {
        self.dir.pattern().granularity().of(self.policy.clock.now())
    }

    /// Whether the next line, of `line` bytes, needs another file than the active one, of `bytes` bytes.
    pub(super) fn should_roll(&mut self, now: u64, bytes: u64, line: u64) -> bool {
        // After the clock was set back, the repeated time must not delay the next file.
        (self.seen, self.seen_before) = (self.seen.min(now), self.seen);
        let is_over = self.policy.every.is_some() && now > self.seen;
        let is_full = bytes > 0 && self.policy.max_bytes.is_some_and(|most| bytes.saturating_add(line) > most);
        is_over || is_full
    }

    /// How many of the lines that end at these offsets from `start` fit after `bytes` bytes; at least one.
    pub(super) fn lines_that_fit(&self, bytes: u64, start: usize, ends: &[usize]) -> usize {
        let fits = |most: u64| ends.partition_point(|end| bytes + (end - start) as u64 <= most);
        self.policy.max_bytes.map_or(ends.len(), fits).max(1)
    }

    /// Opens the first file: the newest one if it may be continued, or else one behind it. `before` is the file that the
    /// sink has left.
    pub(super) fn open_first(&mut self, before: Option<&Metadata>) -> Result<OpenedFile, OpenError> {
        let now = self.current_period();
        let files = self.files()?;
        self.first_begun = self.first_begun.or_else(|| self.only_ahead(&files, now));
        let newest = files.iter().rfind(|file| file.kind != FileKind::Partial);
        // No key is used twice, even if its file was moved away.
        let key = newest.map(|newest| newest.key).max(self.key);
        let is_next = |file: &&FileEntry| Some(file.key) == key && is_only_copy(&files, file);
        let continued = newest.filter(is_next).filter(|newest| self.may_continue(newest, now));
        let of_newest = newest.and_then(|newest| fs::metadata(&newest.path).ok());
        for file in files.iter().filter(|file| is_only_copy(&files, file)) {
            end_torn_line(&file.path, continued != Some(file));
        }
        let opened = match continued.and_then(|file| Some((file.key, OpenedFile::existing(&file.path)?))) {
            Some((key, opened)) => {
                self.activate(key, now, &opened);
                opened
            }
            None => self.begin(key, now, of_newest.as_ref().or(before))?,
        };
        self.maintenance.run();
        Ok(opened)
    }

    /// Opens the next file, behind the newest one, as the active one is to be left, which is at `path`.
    pub(super) fn open_next(
        &mut self,
        now: u64,
        path: &mut PathBuf,
        before: &Metadata,
    ) -> Result<OpenedFile, OpenError> {
        // Two looks at the clock are needed to tell that it was ahead.
        let time = self.seen_before.max(now);
        if let Some(active) = self.key
            && self.is_ahead(active, time)
            && self.redate(&self.files()?, time, active)
            && let Some(key) = self.key
        {
            *path = self.dir.file(key, FileKind::Plain);
        }
        let newest = self.newest()?;
        if let Some(other) = newest.filter(|newest| Some(*newest) != self.key) {
            end_torn_line(&self.dir.file(other, FileKind::Plain), false);
        }
        self.begin(newest.max(self.key), now, Some(before))
    }

    /// Points the path to the active file again, unless another process has begun a newer one.
    pub(super) fn reopen(&mut self) {
        if self.listed_newest().is_ok_and(|newest| newest == self.key) {
            self.update_symlink();
        }
    }

    /// Returns false if the active file is no longer locked: it was closed, or released to be deleted.
    pub(super) fn begin_batch(&mut self) -> bool {
        self.maintenance.begin_batch()
    }

    pub(super) fn end_batch(&mut self) {
        self.maintenance.end_batch();
    }

    /// Lets old files be deleted and compressed.
    pub(super) fn maintain(&self) {
        self.maintenance.run();
    }

    /// Waits for pending maintenance, as long as the policy allows.
    pub(super) fn close(&mut self) {
        self.maintenance.release_active();
        if !self.policy.close_timeout.is_zero() {
            self.maintenance.finish(self.policy.close_timeout);
        }
    }

    /// Deletes the active file, which is empty.
    pub(super) fn remove_empty(&mut self, path: &Path) {
        if fs::remove_file(path).is_ok() {
            // If the directory cannot be read, the link leads nowhere until the next start.
            self.key = self.listed_newest().unwrap_or_default();
            self.update_symlink();
        }
    }

    /// Points the path to the active file.
    fn update_symlink(&mut self) {
        let pattern = self.dir.pattern();
        let is_ours = |name: &str| pattern.is_like(name);
        let plain = self.key.filter(|key| self.dir.file(*key, FileKind::Plain).exists());
        let name = plain.map(|key| pattern.name(key, FileKind::Plain));
        let pointed = point_symlink(&self.link, name.as_deref(), is_ours);
        match pointed {
            Ok(()) => self.link_reported = false,
            Err(source) => {
                if !std::mem::replace(&mut self.link_reported, true) {
                    let path = self.link.clone();
                    self.errors.push(MaintenanceError { task: MaintenanceTask::Link, path, source });
                }
            }
        }
    }

    /// Creates a file behind the newest one. `before` is the file whose permissions it gets.
    fn begin(
        &mut self,
        mut newest: Option<FileKey>,
        now: u64,
        before: Option<&Metadata>,
    ) -> Result<OpenedFile, OpenError> {
        for _ in 0..TRIES {
            let key = newest.map_or(FileKey { period: now, seq: 1 }, |newest| newest.next(now));
            let path = self.dir.file(key, FileKind::Plain);
            match OpenedFile::create_new(&path, self.options, before) {
                Ok(opened) if self.is_ours(key, &opened) => {
                    self.activate(key, now, &opened);
                    if key.period == now {
                        self.first_begun.get_or_insert(key);
                    }
                    return Ok(opened);
                }
                Ok(_) => {}
                // A link or a device of such a name does not become ours; a directory is a mistake.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && !fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) =>
                {
                    end_torn_line(&path, false);
                }
                Err(source) => return Err(OpenError { path, source }),
            }
            newest = self.listed_newest()?.max(Some(key));
        }
        Err(self.failed(io::Error::other("other processes take every file that is tried")))
    }

    /// Locks a file that was just created; false if it is not for this process.
    fn is_ours(&self, key: FileKey, opened: &OpenedFile) -> bool {
        if is_busy(&opened.file.lock_exclusive()) || !is_at_path(&opened.path, &opened.file) {
            // Another process was faster.
            return false;
        }
        // If another process has compressed a file with this key, the copy was there before the key was free again.
        let is_new = fs::symlink_metadata(self.dir.file(key, FileKind::Compressed)).is_err();
        if !is_new {
            fs::remove_file(&opened.path).unwrap_or_default();
        }
        is_new
    }

    fn activate(&mut self, key: FileKey, now: u64, opened: &OpenedFile) {
        (self.key, self.seen, self.seen_before) = (Some(key), now, now);
        self.maintenance.set_active(key, &opened.file);
        self.update_symlink();
    }

    fn may_continue(&self, newest: &FileEntry, now: u64) -> bool {
        let has_room = self.policy.max_bytes.is_none_or(|most| newest.bytes < most);
        // Dated ahead of the clock, it was begun before the clock was set back. The date is useless then, so the last
        // write decides.
        let granularity = self.dir.pattern().granularity();
        let is_ahead = newest.key.period > now;
        let period = if is_ahead { granularity.of(newest.modified.as_nanos() as u64) } else { newest.key.period };
        has_room && (self.policy.every.is_none() || period == now)
    }

    /// Whether a file is dated so far ahead of the clock that one of the two was wrong.
    fn is_ahead(&self, key: FileKey, now: u64) -> bool {
        let granularity = self.dir.pattern().granularity();
        let now = granularity.start(now);
        now > UNSET && granularity.start(key.period) > now.saturating_add(JUMP)
    }

    /// Returns the files that are dated ahead of the clock, behind the last one that is not and a gap.
    fn ahead<'f>(&self, files: &'f [FileEntry], now: u64) -> Option<(Option<FileKey>, &'f [FileEntry])> {
        let granularity = self.dir.pattern().granularity();
        let first = files.iter().position(|file| self.is_ahead(file.key, now))?;
        let (right, ahead) = files.split_at(first);
        let last = right.last().map(|file| file.key);
        let earliest = last.map_or(Duration::ZERO, |last| granularity.end(last.period).saturating_add(JUMP));
        (granularity.start(ahead[0].key.period) > earliest).then_some((last, ahead))
    }

    /// Returns the key of a single file that a wrong clock has dated ahead before this start, perhaps.
    fn only_ahead(&self, files: &[FileEntry], now: u64) -> Option<FileKey> {
        let (last, ahead) = self.ahead(files, now)?;
        let key = ahead[0].key;
        (last.is_some() && ahead.iter().all(|file| file.key == key)).then_some(key)
    }

    /// Renames the last files if they were dated by a clock that was far ahead: names would keep that date for as long.
    /// Returns whether one was renamed.
    ///
    /// A clock that is far behind now looks alike. So only files are renamed that this sink has begun, or continued, and
    /// of several only those behind others.
    fn redate(&mut self, files: &[FileEntry], now: u64, active: FileKey) -> bool {
        let Some((mut last, ahead)) = self.ahead(files, now) else { return false };
        let is_own = self.first_begun.is_some_and(|begun| ahead[0].key >= begun);
        if !is_own || last.is_none() && ahead[0].key != active {
            return false;
        }
        let (period, mut is_any) = (self.seen, false);
        for copies in ahead.chunk_by(|one, other| one.key == other.key) {
            let old = copies[0].key;
            let new = last.map_or(FileKey { period, seq: 1 }, |last| last.next(period));
            // The compressed one first: it has all lines of the plain one.
            let is_renamed = |file: &FileEntry| self.rename(file, new, active == old).is_some();
            if new >= old || !copies.iter().rev().filter(|file| file.kind != FileKind::Partial).all(is_renamed) {
                break;
            }
            if active == old {
                self.key = Some(new);
            }
            (last, is_any) = (Some(new), true);
        }
        is_any
    }

    /// Gives a file another key, unless there is such a file or another process has this one.
    fn rename(&self, file: &FileEntry, key: FileKey, is_active: bool) -> Option<()> {
        let _lock = if is_active { None } else { Some(LockedFile::at(&file.path).ok()?) };
        rename_new(&file.path, &self.dir.file(key, file.kind)).ok()
    }

    fn files(&self) -> Result<Vec<FileEntry>, OpenError> {
        self.dir.files().map_err(|source| self.failed(source))
    }

    /// Returns the newest key. Usually the link tells: a process that begins a file points it there.
    fn newest(&self) -> Result<Option<FileKey>, OpenError> {
        let active = self.key.map(|key| self.dir.pattern().name(key, FileKind::Plain));
        match (active, fs::read_link(&self.link)) {
            (Some(active), Ok(newest)) if newest.as_os_str() == &*active => Ok(self.key),
            _ => self.listed_newest(),
        }
    }

    fn listed_newest(&self) -> Result<Option<FileKey>, OpenError> {
        self.dir.newest().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> OpenError {
        OpenError { path: self.dir.path().to_owned(), source }
    }
}

/// Whether a file has lines that no compressed copy has.
fn is_only_copy(files: &[FileEntry], file: &FileEntry) -> bool {
    let copy = (file.key, FileKind::Compressed);
    file.kind == FileKind::Plain && files.binary_search_by_key(&copy, |other| (other.key, other.kind)).is_err()
}

/// Ends the last line of a file, if its process was killed in the middle of it; deletes an empty one on request. If that
/// fails, the file stays as it is.
fn end_torn_line(path: &Path, delete_empty: bool) {
    let Ok(file) = LockedFile::at(path) else { return };
    if delete_empty && file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        fs::remove_file(path).unwrap_or_default();
    } else {
        open::end_torn_line(path, &file).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::NamePattern;
    use super::*;
    use crate::sink::file::granularity::Granularity;

    #[test]
    fn a_key_whose_file_another_process_has_compressed_meanwhile_is_not_taken_again() {
        let path = std::env::temp_dir().join(format!("logweir-twin-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let dir = LogDir::new(&path, NamePattern::of("app.log", Granularity::Day));
        let (policy, options, errors) = (Rolling::daily(), FileOptions::default(), BackgroundErrors::default());
        let roller = Roller::start(&path.join("app.log"), policy, dir, options, &errors).unwrap();
        let key = FileKey { period: 20_000, seq: 1 };
        let open = || OpenedFile::create_new(&roller.dir.file(key, FileKind::Plain), options, None).unwrap();
        assert!(roller.is_ours(key, &open()));
        fs::remove_file(roller.dir.file(key, FileKind::Plain)).unwrap();
        fs::write(roller.dir.file(key, FileKind::Compressed), "all lines").unwrap();
        assert!(!roller.is_ours(key, &open()));
        assert!(!roller.dir.file(key, FileKind::Plain).exists(), "nothing of it is left");
        fs::remove_dir_all(path).unwrap();
    }
}
