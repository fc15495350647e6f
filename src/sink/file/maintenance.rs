//! A service thread: deletes old files that no process writes to anymore, and compresses the others.
//!
//! Invariants:
//! * Each run reads the directory once and keeps no state of files: those of an earlier run are no special case.
//! * The newest file is never touched, and no other one without an exclusive lock.
//! * Files are deleted oldest first. One that cannot be deleted keeps all newer ones.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::directory::{FileEntry, LogDir};
use super::error::{MaintenanceError, MaintenanceTask};
use super::gzip;
use super::pattern::{FileKey, FileKind};
use super::retention::{ClockGuard, RetentionInput, RolledFile, count_settled};
use super::rolling::Rolling;
use crate::context::contain::contain;
use crate::context::suppress;
use crate::fs::LockedFile;
use crate::sink::SinkError;

/// How often it runs by itself, if time alone or another process may require it.
const PERIOD: Duration = Duration::from_secs(60);

/// A period, at least, after which the date of a file is not that of the last look at the clock.
const HOUR: Duration = Duration::from_secs(3600);

/// How long it compresses files before it looks again whether some have to be deleted.
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

/// The active file. Between two batches it is here, where the maintenance thread may take it to release its lock, if the file
/// has to be deleted: other processes have begun so many newer ones, and this one has nothing to write.
type Lease = Option<(FileKey, Weak<LockedFile>)>;

/// The sink's end of the maintenance thread. When it is dropped, the thread ends once nothing is left to do; the exit
/// of the process does not wait for it.
pub(super) struct Maintenance {
    /// None: the policy needs no maintenance.
    requests: Option<Sender<Sender<()>>>,
    // A std lock: held for a moment, but while the lock of a file is released.
    lease: Arc<Mutex<Lease>>,
    /// The same during a batch, and before the first one.
    active: Lease,
}

impl Maintenance {
    pub(super) fn start(policy: &Rolling, dir: &LogDir, errors: &BackgroundErrors) -> io::Result<Self> {
        let lease = Arc::<Mutex<Lease>>::default();
        if !policy.gzip && !policy.retention.is_anything() {
            return Ok(Maintenance { requests: None, lease, active: None });
        }
        let (requests, inbox) = mpsc::channel();
        let thread = MaintenanceThread {
            policy: policy.clone(),
            dir: dir.clone(),
            errors: errors.clone(),
            lease: lease.clone(),
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        };
        thread::Builder::new()
            .name("logweir-files".into())
            .spawn(move || thread.run(&inbox, MaintenanceThread::run_once))?;
        Ok(Maintenance { requests: Some(requests), lease, active: None })
    }

    /// Lets the thread run; it answers when nothing is left to do.
    pub(super) fn run(&self) -> Receiver<()> {
        let (done, end) = mpsc::channel();
        if let Some(requests) = &self.requests {
            // The thread only ends with this sender.
            requests.send(done).unwrap_or_default();
        }
        end
    }

    /// Waits until nothing is left to do, or this time is over.
    pub(super) fn finish(&self, time: Duration) {
        // Either way of ending only means that the wait is over.
        self.run().recv_timeout(time).unwrap_or_default();
    }

    /// Tells which file is the active one.
    pub(super) fn set_active(&mut self, key: FileKey, file: &Arc<LockedFile>) {
        self.active = Some((key, Arc::downgrade(file)));
    }

    /// Tells that there is no active file.
    pub(super) fn release_active(&mut self) {
        self.active = None;
        *lock(&self.lease) = None;
    }

    /// Keeps the lock of the active file; returns false if there is none, or its lock was released.
    pub(super) fn begin_batch(&mut self) -> bool {
        self.active = lock(&self.lease).take();
        self.active.is_some()
    }

    pub(super) fn end_batch(&mut self) {
        if let Some(active) = self.active.take() {
            *lock(&self.lease) = Some(active);
        }
    }
}

fn lock(lease: &Mutex<Lease>) -> MutexGuard<'_, Lease> {
    lease.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn run(mut self, inbox: &Receiver<Sender<()>>, mut run_once: impl FnMut(&mut Self) -> Progress) {
        suppress::mark_thread();
        gzip::lower_priority();
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
            waiting.extend(first.into_iter().chain(inbox.try_iter()));
            progress = contain(|| run_once(&mut self)).unwrap_or_else(|panicked| {
                let source = io::Error::other(panicked.0);
                self.report(MaintenanceTask::Maintain, self.dir.path(), source);
                Progress::Behind
            });
            if progress != Progress::Interrupted {
                // The sink may have stopped waiting.
                waiting.drain(..).for_each(|done| done.send(()).unwrap_or_default());
            }
        }
    }

    /// Deletes what is expired, then compresses the rest.
    fn run_once(&mut self) -> Progress {
        let files = match self.dir.files() {
            Ok(files) => files,
            Err(error) => {
                self.report(MaintenanceTask::List, self.dir.path(), error);
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
        // The lease is not locked while the files are.
        let leased = lock(&self.lease).take_if(|(key, _)| *key == files[0].key);
        if let Some(active) = leased.and_then(|(_, file)| file.upgrade()) {
            active.release();
        }
        files.iter().all(|file| {
            let locked = lock_listed(file);
            self.is_done(MaintenanceTask::Delete, &file.path, locked)
        })
    }

    /// Deletes all files of a key, if no process writes to them.
    fn delete(&mut self, files: &[FileEntry]) -> bool {
        // The plain file before the partial one: the process that compresses the first is writing the second.
        files.iter().rev().all(|file| {
            // Locked until it is deleted: a process that opens it meanwhile notices that it is locked, or gone.
            let deleted = lock_listed(file).and_then(|_locked| fs::remove_file(&file.path));
            self.is_done(MaintenanceTask::Delete, &file.path, deleted)
        })
    }

    /// Takes care of copies whose source was deleted.
    fn recover(&mut self, left_behind: &[&[FileEntry]]) -> bool {
        left_behind.iter().copied().flatten().fold(true, |is_done, file| {
            let recovered = gzip::recover(&self.dir, file.key, &file.path);
            self.is_done(MaintenanceTask::Compress, &file.path, recovered) && is_done
        })
    }

    fn compress(&mut self, rolled: &[&[FileEntry]], mut is_done: bool) -> Progress {
        let plain = |files: &&&[FileEntry]| files.iter().any(|file| file.kind == FileKind::Plain);
        let started = Instant::now();
        let is_on = self.policy.gzip;
        for files in rolled.iter().filter(|_| is_on).filter(plain) {
            if started.elapsed() >= TURN {
                return Progress::Interrupted;
            }
            let compressed = gzip::compress(&self.dir, files[0].key);
            let is_full = compressed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
            let path = self.dir.file(files[0].key, FileKind::Plain);
            is_done &= self.is_done(MaintenanceTask::Compress, &path, compressed);
            // The other files have no more room.
            if is_full {
                break;
            }
        }
        if is_done { Progress::Finished } else { Progress::Behind }
    }

    /// Whether a file needs no other attempt; reports why it does, unless another process has it.
    fn is_done<T>(&mut self, task: MaintenanceTask, path: &Path, result: io::Result<T>) -> bool {
        let Err(error) = result else { return true };
        match error.kind() {
            // Another process was faster.
            io::ErrorKind::NotFound => return true,
            io::ErrorKind::WouldBlock => {}
            // The file system has no locks, which is reported once.
            io::ErrorKind::Unsupported => {
                if !mem::replace(&mut self.is_lock_reported, true) {
                    self.report(MaintenanceTask::Lock, self.dir.path(), error);
                }
            }
            _ => self.report(task, path, error),
        }
        false
    }

    fn report(&self, task: MaintenanceTask, path: &Path, source: io::Error) {
        self.errors.push(MaintenanceError { task, path: path.to_owned(), source });
    }
}

/// Locks a file that is as it was when the directory was read.
fn lock_listed(file: &FileEntry) -> io::Result<LockedFile> {
    let locked = LockedFile::at(&file.path)?;
    if locked.metadata()?.len() == file.bytes { Ok(locked) } else { Err(io::ErrorKind::WouldBlock.into()) }
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
        FileKind::Compressed => gzip::begun(&file.path),
        _ => fs::metadata(&file.path).ok()?.created().ok()?.duration_since(UNIX_EPOCH).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::granularity::Granularity;
    use crate::sink::file::pattern::NamePattern;

    /// Files of one day with a line each, and the thread of their sink.
    fn thread(test: &str, files: u64, policy: Rolling) -> MaintenanceThread {
        let path = std::env::temp_dir().join(format!("logweir-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        let dir = LogDir::new(&path, NamePattern::of("app.log", Granularity::Day));
        let key = |seq| FileKey { period: 20_000, seq };
        (1..=files).for_each(|seq| fs::write(dir.file(key(seq), FileKind::Plain), "line\n").unwrap());
        MaintenanceThread {
            policy,
            dir,
            errors: BackgroundErrors::default(),
            lease: Arc::default(),
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        }
    }

    #[test]
    fn an_active_file_that_holds_up_the_deletion_is_released_between_two_batches() {
        let mut thread = thread("lease", 5, Rolling::daily().keep_files(2));
        let mut sink = Maintenance { requests: None, lease: thread.lease.clone(), active: None };
        let first = thread.dir.files().unwrap().remove(0);
        let active = Arc::new(LockedFile::at(&first.path).unwrap());
        sink.set_active(first.key, &active);
        assert_eq!(thread.run_once(), Progress::Behind);
        assert_eq!(thread.dir.files().unwrap().len(), 5, "it is being written to");
        sink.end_batch();
        assert_eq!(thread.run_once(), Progress::Finished);
        assert_eq!(thread.dir.files().unwrap().len(), 2);
        assert!(!sink.begin_batch(), "it has to be opened again");
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }

    #[test]
    fn an_empty_file_of_another_process_counts_for_no_limit() {
        let mut thread = thread("empty", 2, Rolling::daily().keep_files(2));
        let empty = |seq| thread.dir.file(FileKey { period: 20_000, seq }, FileKind::Plain);
        (3..=6).for_each(|seq| fs::write(empty(seq), "").unwrap());
        fs::write(empty(7), "line\n").unwrap();
        assert_eq!(thread.run_once(), Progress::Finished);
        let bytes: Vec<_> = thread.dir.files().unwrap().iter().map(|file| (file.key.seq, file.bytes)).collect();
        assert_eq!(bytes, [(2, 5), (3, 0), (4, 0), (5, 0), (6, 0), (7, 5)], "only what has lines is deleted");
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }

    #[test]
    fn a_run_that_panics_is_reported_and_the_next_one_is_made() {
        let thread = thread("panics", 0, Rolling::daily().keep_files(2));
        let (errors, path) = (thread.errors.clone(), thread.dir.path().to_owned());
        let (requests, inbox) = mpsc::channel();
        let mut runs = 0;
        let running = thread::spawn(move || {
            thread.run(&inbox, |_| {
                runs += 1;
                assert!(runs > 1, "scripted");
                Progress::Finished
            });
        });
        for _ in 0..2 {
            let (done, end) = mpsc::channel();
            requests.send(done).unwrap();
            end.recv().unwrap();
        }
        let error = errors.take().unwrap();
        assert!(error.reported().to_string().contains("cannot delete or compress files"), "{}", error.reported());
        assert!(errors.take().is_none(), "once");
        drop(requests);
        running.join().unwrap();
        fs::remove_dir_all(path).unwrap();
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
            errors.push(MaintenanceError { task, path: "app.log".into(), source: io::ErrorKind::Other.into() });
        }
        let taken = std::iter::from_fn(|| errors.take()).map(|error| error.reported().to_string());
        assert_eq!(taken.filter(|text| text.contains("link") || text.contains("lock")).count(), 2);
    }
}
