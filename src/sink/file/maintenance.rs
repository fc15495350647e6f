//! A service thread: deletes old files that no process writes to anymore, and compresses the others.
//!
//! Invariants:
//! * Each run reads the directory once and keeps no state of files: those of an earlier run are no special case.
//! * The newest file is never touched, and no other one without an exclusive lock.
//! * Files are deleted oldest first. One that cannot be deleted keeps all newer ones.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::directory::{FileEntry, LogDir};
use super::error::{MaintenanceError, MaintenanceTask};
use super::open::{Outcome, lock_at};
use super::pattern::{FileKey, FileKind};
use super::retention::{ClockGuard, RetentionInput, RolledFile, count_settled};
use super::rolling::Rolling;
use crate::context::suppress;
use crate::fs::LockedFile;
use crate::sink::SinkError;

/// How often it runs by itself, if time alone or another process may require it.
const PERIOD: Duration = Duration::from_secs(60);

/// A period, at least, after which the date of a file is not that of the last look at the clock.
const HOUR: Duration = Duration::from_secs(3600);

/// How long it compresses files before it looks again whether some have to be deleted.
#[cfg(feature = "gzip")]
const TURN: Duration = Duration::from_secs(1);

/// How many background errors wait for the sink to report them.
const MAX_ERRORS: usize = 8;

/// The background errors that the sink is to report, the oldest first.
#[derive(Clone, Default)]
pub(super) struct BackgroundErrors(Arc<Mutex<VecDeque<SinkError>>>);

impl BackgroundErrors {
    pub(super) fn push(&self, error: MaintenanceError) {
        // A std lock: held to move one error.
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == MAX_ERRORS {
            errors.pop_back();
        }
        errors.push_back(SinkError::background(error));
    }

    pub(super) fn take(&self) -> Option<SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

enum MaintenanceCommand {
    Run,
    /// Run; answered when nothing is left to do.
    Finish(Sender<()>),
}

/// The lock of the active file. Between two batches the maintenance thread may release it, if the file has to be deleted:
/// other processes have begun so many newer ones, and this one has nothing to write.
#[derive(Default)]
struct Lease {
    key: Option<FileKey>,
    /// A second handle of the file, by which its lock is released.
    handle: Option<File>,
    is_writing: bool,
    is_released: bool,
}

impl Lease {
    /// Releases the lock, unless the file is being written to.
    fn release(&mut self) {
        let handle = if self.is_writing { None } else { self.handle.take() };
        self.is_released |= handle.map(LockedFile::new).is_some();
    }
}

/// The sink's end of the maintenance thread. When it is dropped, the thread ends once nothing is left to do; the exit
/// of the process does not wait for it.
pub(super) struct Maintenance {
    /// None: the policy needs no maintenance.
    commands: Option<Sender<MaintenanceCommand>>,
    // A std lock: held for a moment, but while the lock of a file is released.
    lease: Arc<Mutex<Lease>>,
}

impl Maintenance {
    pub(super) fn start(policy: &Rolling, dir: &LogDir, errors: &BackgroundErrors) -> io::Result<Self> {
        let lease = Arc::<Mutex<Lease>>::default();
        if !policy.is_compressing() && !policy.retention.is_anything() {
            return Ok(Maintenance { commands: None, lease });
        }
        let (commands, inbox) = mpsc::channel();
        let thread = MaintenanceThread {
            policy: policy.clone(),
            dir: dir.clone(),
            errors: errors.clone(),
            lease: lease.clone(),
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        };
        thread::Builder::new().name("logweir-files".into()).spawn(move || thread.run(&inbox))?;
        Ok(Maintenance { commands: Some(commands), lease })
    }

    /// Lets the thread run.
    pub(super) fn run(&self) {
        self.send(MaintenanceCommand::Run);
    }

    /// Waits until nothing is left to do, or this time is over.
    pub(super) fn finish(&self, time: Duration) {
        let (done, end) = mpsc::channel();
        self.send(MaintenanceCommand::Finish(done));
        // Either way of ending only means that the wait is over.
        end.recv_timeout(time).unwrap_or_default();
    }

    /// Tells which file is the active one.
    pub(super) fn set_active(&self, key: Option<FileKey>, file: &File) {
        if self.commands.is_some() {
            let mut lease = self.lease();
            (lease.key, lease.is_released) = (key, false);
            // Without a handle, the file holds up the deletion until it is left.
            lease.handle = file.try_clone().ok();
        }
    }

    /// Keeps the lock of the active file; returns false if it was released.
    pub(super) fn begin_batch(&self) -> bool {
        if self.commands.is_none() {
            return true;
        }
        let mut lease = self.lease();
        lease.is_writing = true;
        !lease.is_released
    }

    pub(super) fn end_batch(&self) {
        if self.commands.is_some() {
            self.lease().is_writing = false;
        }
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: MaintenanceCommand) {
        if let Some(commands) = &self.commands {
            // The thread only ends with this sender.
            commands.send(command).unwrap_or_default();
        }
    }
}

/// The thread's end.
struct MaintenanceThread {
    policy: Rolling,
    dir: LogDir,
    errors: BackgroundErrors,
    lease: Arc<Mutex<Lease>>,
    guard: Option<ClockGuard>,
    started: Instant,
    is_lock_reported: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing is left to do.
    Finished,
    /// The next run continues at once, with a new listing of the directory.
    Interrupted,
    /// Something failed, or another process has a file open: the next run tries again, in a while.
    Behind,
}

impl MaintenanceThread {
    fn run(mut self, inbox: &Receiver<MaintenanceCommand>) {
        suppress::mark_thread();
        #[cfg(feature = "gzip")]
        super::gzip::lower_priority();
        let mut progress = Progress::Finished;
        let mut waiting = Vec::new();
        loop {
            let pause = match progress {
                Progress::Interrupted => Duration::ZERO,
                Progress::Finished if !self.policy.retention.is_anything() => Duration::MAX,
                Progress::Finished | Progress::Behind => PERIOD,
            };
            let first = match inbox.recv_timeout(pause) {
                Err(RecvTimeoutError::Disconnected) if progress != Progress::Interrupted => return,
                received => received.ok(),
            };
            for command in first.into_iter().chain(inbox.try_iter()) {
                if let MaintenanceCommand::Finish(done) = command {
                    waiting.push(done);
                }
            }
            progress = catch_unwind(AssertUnwindSafe(|| self.run_once())).unwrap_or_else(|payload| {
                let source = io::Error::other(SinkError::panicked(payload).into_source());
                self.report(MaintenanceTask::Maintain, self.dir.path().to_owned(), source);
                Progress::Behind
            });
            if progress != Progress::Interrupted {
                // The sink may have stopped waiting.
                waiting.drain(..).for_each(|done: Sender<()>| done.send(()).unwrap_or_default());
            }
        }
    }

    /// Deletes what is expired, then compresses the rest.
    fn run_once(&mut self) -> Progress {
        let files = match self.dir.files() {
            Ok(files) => files,
            Err(error) => {
                self.report(MaintenanceTask::List, self.dir.path().to_owned(), error);
                return Progress::Behind;
            }
        };
        let is_left_behind = |files: &&[FileEntry]| files.iter().all(|file| file.kind == FileKind::Partial);
        let by_key = files.chunk_by(|one, other| one.key == other.key);
        let (left_behind, mut rolled): (Vec<_>, Vec<_>) = by_key.partition(is_left_behind);
        let mut is_done = self.recover(&left_behind);
        let Some(newest) = rolled.pop() else { return Progress::Finished };
        // What is empty is about to be written to, or is deleted at the next start.
        rolled.retain(|files| files.iter().any(|file| file.bytes > 0));
        let summaries: Vec<_> = rolled.iter().map(|files| summary(files)).collect();
        let expired = self.count_expired(&summaries, &newest[newest.len() - 1]);
        let free = rolled[..expired].iter().take_while(|files| self.is_free(files)).count();
        let last_writes: Vec<_> = summaries.iter().map(past).collect();
        let settled = count_settled(&last_writes, free, |index| begun(rolled.get(index).unwrap_or(&newest)));
        let deleted = rolled[..settled].iter().take_while(|files| self.delete(files)).count();
        is_done &= deleted == expired;
        self.compress(&rolled[deleted..], is_done)
    }

    /// How many files the limits allow no more.
    fn count_expired(&mut self, rolled: &[RolledFile], newest: &FileEntry) -> usize {
        let granularity = self.dir.pattern().granularity();
        let time = Duration::from_nanos(self.policy.clock.now());
        // The date of a file that was not begun just now: by this clock perhaps.
        let is_earlier = |key: &FileKey| granularity.end(key.period).max(granularity.start(key.period) + HOUR) <= time;
        let keys = rolled.iter().map(|file| file.key).chain([newest.key]);
        let known = keys.rev().find(is_earlier).map_or(time, |key| granularity.start(key.period));
        let guard = self.guard.get_or_insert_with(|| ClockGuard::new(known));
        let input = RetentionInput {
            time: guard.check(time, self.started.elapsed()),
            granularity,
            is_by_time: self.policy.every.is_some(),
            current: newest.key,
            current_bytes: match newest.bytes {
                0 => 0,
                bytes => bytes.max(self.policy.max_bytes.unwrap_or(0)),
            },
        };
        self.policy.retention.count_expired(rolled, &input)
    }

    /// Whether all files of a key can be locked, so that they can be deleted.
    fn is_free(&mut self, files: &[FileEntry]) -> bool {
        // Not held while the files are locked.
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if lease.key == Some(files[0].key) {
            lease.release();
        }
        drop(lease);
        files.iter().all(|file| self.listed(file).is_some())
    }

    /// Deletes all files of a key, if no process writes to them.
    fn delete(&mut self, files: &[FileEntry]) -> bool {
        // The plain file before the partial one: the process that compresses the first is writing the second.
        files.iter().rev().all(|file| {
            let Some(lock) = self.listed(file) else { return false };
            // Until it is deleted: a process that opens it meanwhile notices that it is locked, or gone.
            let deleted = if lock.is_some() { fs::remove_file(&file.path) } else { Ok(()) };
            deleted.map_err(|error| self.report(MaintenanceTask::Delete, file.path.clone(), error)).is_ok()
        })
    }

    /// Locks a file that is as it was when the directory was read. Some(None): it was deleted. None: it cannot be had.
    fn listed(&mut self, file: &FileEntry) -> Option<Option<LockedFile>> {
        match lock_at(&file.path) {
            Ok(Ok(lock)) => lock.metadata().is_ok_and(|there| there.len() == file.bytes).then_some(Some(lock)),
            Ok(Err(outcome)) => {
                self.hear(outcome);
                (outcome == Outcome::Done).then_some(None)
            }
            Err(error) => {
                self.report(MaintenanceTask::Delete, file.path.clone(), error);
                None
            }
        }
    }

    /// Takes care of copies whose source was deleted.
    fn recover(&mut self, left_behind: &[&[FileEntry]]) -> bool {
        let mut is_done = true;
        for file in left_behind.iter().copied().flatten() {
            #[cfg(feature = "gzip")]
            let recovered = super::gzip::recover(&self.dir, file.key, &file.path);
            #[cfg(not(feature = "gzip"))]
            let recovered = fs::remove_file(&file.path);
            if let Err(error) = recovered {
                is_done = false;
                self.report(MaintenanceTask::Compress, file.path.clone(), error);
            }
        }
        is_done
    }

    #[cfg(feature = "gzip")]
    fn compress(&mut self, rolled: &[&[FileEntry]], mut is_done: bool) -> Progress {
        let plain = |files: &&&[FileEntry]| files.iter().any(|file| file.kind == FileKind::Plain);
        let started = Instant::now();
        let is_on = self.policy.is_compressing();
        for files in rolled.iter().filter(|_| is_on).filter(plain) {
            if started.elapsed() >= TURN {
                return Progress::Interrupted;
            }
            let key = files[0].key;
            match super::gzip::compress(&self.dir, key) {
                Ok(outcome) => {
                    self.hear(outcome);
                    is_done &= outcome == Outcome::Done;
                }
                Err(error) => {
                    is_done = false;
                    let is_full = error.kind() == io::ErrorKind::StorageFull;
                    self.report(MaintenanceTask::Compress, self.dir.file(key, FileKind::Plain), error);
                    // The other files have no more room.
                    if is_full {
                        break;
                    }
                }
            }
        }
        if is_done { Progress::Finished } else { Progress::Behind }
    }

    #[cfg(not(feature = "gzip"))]
    fn compress(&mut self, _: &[&[FileEntry]], is_done: bool) -> Progress {
        if is_done { Progress::Finished } else { Progress::Behind }
    }

    /// Reports once that nothing is deleted or compressed, since the file system has no locks.
    fn hear(&mut self, outcome: Outcome) {
        if outcome == Outcome::Unlockable && !std::mem::replace(&mut self.is_lock_reported, true) {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            self.report(MaintenanceTask::Lock, self.dir.path().to_owned(), source);
        }
    }

    fn report(&self, task: MaintenanceTask, path: PathBuf, source: io::Error) {
        self.errors.push(MaintenanceError { task, path, source });
    }
}

/// A file as it counts: of several with one key the last one, which has all lines.
fn summary(files: &[FileEntry]) -> RolledFile {
    let FileEntry { key, bytes, modified, .. } = files[files.len() - 1];
    RolledFile { key, bytes, modified }
}

/// A file whose last write is in the past: another time is by a clock that was ahead, and tells nothing.
fn past(file: &RolledFile) -> RolledFile {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RolledFile { modified: if file.modified > now { Duration::ZERO } else { file.modified }, ..*file }
}

/// When the lines of a file were begun, if that is known.
fn begun(files: &[FileEntry]) -> Option<Duration> {
    let file = files.iter().find(|file| file.kind != FileKind::Partial)?;
    match file.kind {
        #[cfg(feature = "gzip")]
        FileKind::Compressed => super::gzip::begun(&file.path),
        _ => fs::metadata(&file.path).ok()?.created().ok()?.duration_since(UNIX_EPOCH).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::granularity::Granularity;
    use crate::sink::file::pattern::NamePattern;

    /// Files of this day with a line each, and the thread of a sink whose file is the first.
    fn thread(test: &str, files: u64, policy: Rolling) -> MaintenanceThread {
        let path = std::env::temp_dir().join(format!("logweir-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        let dir = LogDir::new(&path, NamePattern::of("app.log", Granularity::Day));
        let key = |seq| FileKey { period: 20_000, seq };
        (1..=files).for_each(|seq| fs::write(dir.file(key(seq), FileKind::Plain), "line\n").unwrap());
        let handle = lock_at(&dir.file(key(1), FileKind::Plain)).unwrap().unwrap().try_clone().unwrap();
        handle.try_lock().unwrap();
        let lease = Lease { key: Some(key(1)), handle: Some(handle), is_writing: true, is_released: false };
        MaintenanceThread {
            policy,
            dir,
            errors: BackgroundErrors::default(),
            lease: Arc::new(Mutex::new(lease)),
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        }
    }

    #[test]
    fn an_active_file_that_holds_up_the_deletion_is_released_between_two_batches() {
        let mut thread = thread("lease", 5, Rolling::daily().keep_files(2));
        assert_eq!(thread.run_once(), Progress::Behind);
        assert_eq!(thread.dir.files().unwrap().len(), 5, "it is being written to");
        thread.lease.lock().unwrap().is_writing = false;
        assert_eq!(thread.run_once(), Progress::Finished);
        assert_eq!(thread.dir.files().unwrap().len(), 2);
        assert!(thread.lease.lock().unwrap().is_released);
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }

    #[test]
    fn a_file_that_was_written_to_after_the_directory_was_read_stays() {
        let mut thread = thread("listed", 2, Rolling::daily());
        let listed = thread.dir.files().unwrap().remove(1);
        fs::write(&listed.path, "line\nanother\n").unwrap();
        assert!(!thread.delete(std::slice::from_ref(&listed)));
        assert!(listed.path.exists());
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }

    #[test]
    fn errors_that_are_reported_once_do_not_hide_each_other() {
        let errors = BackgroundErrors::default();
        for task in [MaintenanceTask::Link, MaintenanceTask::Lock] {
            errors.push(MaintenanceError { task, path: PathBuf::new(), source: io::ErrorKind::Other.into() });
        }
        let taken = std::iter::from_fn(|| errors.take()).map(|error| error.reported().to_string());
        assert_eq!(taken.filter(|text| text.contains("link") || text.contains("lock")).count(), 2);
    }
}
