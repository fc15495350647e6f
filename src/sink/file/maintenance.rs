//! A service thread: deletes old files that no process writes to anymore, and compresses the others.
//!
//! Invariants:
//! * Each run reads the directory once and keeps no state of files: those of an earlier run are no special case.
//! * The newest file is never touched, and no other one without an exclusive lock.
//! * Files are deleted oldest first. One that cannot be deleted keeps all newer ones.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::directory::{FileEntry, LogDir};
use super::error::{MaintenanceError, MaintenanceTask};
use super::open::open_to_lock;
use super::pattern::{FileKey, FileKind};
use super::retention::{ClockGuard, RetentionInput, RolledFile, count_settled};
use super::rolling::Rolling;
use crate::context::suppress;
use crate::fs::{Lock, is_at_path};
use crate::sink::SinkError;

/// How often it runs by itself, if time alone or another process may require it.
const PERIOD: Duration = Duration::from_secs(60);

/// How long it compresses files before it looks again whether some have to be deleted.
#[cfg(feature = "gzip")]
const TURN: Duration = Duration::from_secs(1);

/// The background error that the sink is to report: the newest, if there are several.
#[derive(Clone, Default)]
pub(super) struct BackgroundError(Arc<Mutex<Option<SinkError>>>);

impl BackgroundError {
    pub(super) fn set(&self, error: MaintenanceError) {
        // A std lock: held to move one error.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(SinkError::background(error));
    }

    pub(super) fn take(&self) -> Option<SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

enum MaintenanceCommand {
    /// Run, as this file is the active one.
    Run(FileKey),
    /// Run for the first time, after a time that has passed for certain.
    Start(FileKey, Duration),
    /// Run; answered when nothing is left to do.
    Finish(Sender<()>),
}

/// The sink's end of the maintenance thread. When it is dropped, the thread ends once nothing is left to do; the exit
/// of the process does not wait for it.
pub(super) struct Maintenance {
    /// None: the policy needs no maintenance.
    commands: Option<Sender<MaintenanceCommand>>,
    overdue: Overdue,
}

/// The active file, if it is among those that would have to be deleted: other processes have begun so many newer ones.
type Overdue = Arc<Mutex<Option<FileKey>>>;

impl Maintenance {
    pub(super) fn start(policy: &Rolling, dir: &LogDir, errors: &BackgroundError) -> io::Result<Self> {
        let overdue = Overdue::default();
        if !policy.is_compressing() && !policy.retention.is_anything() {
            return Ok(Maintenance { commands: None, overdue });
        }
        let (commands, inbox) = mpsc::channel();
        let thread = MaintenanceThread {
            policy: policy.clone(),
            dir: dir.clone(),
            errors: errors.clone(),
            overdue: overdue.clone(),
            active: None,
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        };
        thread::Builder::new().name("logweir-files".into()).spawn(move || thread.run(&inbox))?;
        Ok(Maintenance { commands: Some(commands), overdue })
    }

    /// Lets the thread run for the first time. `known` is a time that has passed for certain.
    pub(super) fn begin(&self, active: FileKey, known: Duration) {
        self.send(MaintenanceCommand::Start(active, known));
    }

    /// Lets the thread run, as this is the active file.
    pub(super) fn run(&self, active: FileKey) {
        self.send(MaintenanceCommand::Run(active));
    }

    /// Waits until nothing is left to do, or this time is over.
    pub(super) fn finish(&self, time: Duration) {
        let (done, end) = mpsc::channel();
        self.send(MaintenanceCommand::Finish(done));
        // Either way of ending only means that the wait is over.
        end.recv_timeout(time).unwrap_or_default();
    }

    /// Whether this active file has to be left, so that it can be deleted.
    pub(super) fn is_overdue(&self, active: Option<FileKey>) -> bool {
        self.commands.is_some()
            && active.is_some()
            && *self.overdue.lock().unwrap_or_else(PoisonError::into_inner) == active
    }

    fn send(&self, command: MaintenanceCommand) {
        if let Some(commands) = &self.commands {
            // The thread only ends with this sender.
            commands.send(command).unwrap_or_default();
        }
    }
}

/// The result of an attempt on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Another process has it open.
    Busy,
    /// Without locks no process can tell.
    Unlockable,
}

/// The thread's end.
struct MaintenanceThread {
    policy: Rolling,
    dir: LogDir,
    errors: BackgroundError,
    overdue: Overdue,
    active: Option<FileKey>,
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
                match command {
                    MaintenanceCommand::Run(active) => self.active = Some(active),
                    MaintenanceCommand::Start(active, known) => {
                        self.active = Some(active);
                        self.guard.get_or_insert_with(|| ClockGuard::new(known));
                    }
                    MaintenanceCommand::Finish(done) => waiting.push(done),
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
        let is_empty = |files: &[FileEntry]| files.iter().all(|file| file.bytes == 0);
        let (empty, rolled): (Vec<_>, Vec<_>) = rolled.into_iter().partition(|files| is_empty(files));
        for files in empty {
            // Left behind by a process that was killed, or about to be written to.
            is_done &= self.delete(files) == Outcome::Done;
        }
        let expired = self.count_expired(&rolled, newest);
        for (index, files) in rolled[..expired].iter().enumerate() {
            if self.active == Some(files[0].key) {
                *self.overdue.lock().unwrap_or_else(PoisonError::into_inner) = self.active;
                return Progress::Behind;
            }
            if self.delete(files) != Outcome::Done {
                // A newer file must not go before it.
                return self.compress(&rolled[index..], false);
            }
        }
        self.compress(&rolled[expired..], is_done)
    }

    fn count_expired(&mut self, rolled: &[&[FileEntry]], newest: &[FileEntry]) -> usize {
        let retention = self.policy.retention;
        if !retention.is_anything() {
            return 0;
        }
        let granularity = self.dir.pattern().granularity();
        let modified = |files: &[FileEntry]| files.iter().map(|file| file.modified).max().unwrap_or_default();
        let time = Duration::from_nanos(self.policy.clock.now());
        let guard = self.guard.get_or_insert_with(|| ClockGuard::new(time));
        let bytes = |files: &[FileEntry]| files.iter().map(|file| file.bytes).sum::<u64>();
        let input = RetentionInput {
            time: guard.check(time, self.started.elapsed()),
            granularity,
            is_by_time: self.policy.every.is_some(),
            current: newest[0].key,
            current_bytes: match bytes(newest) {
                0 => 0,
                bytes => bytes.max(self.policy.max_bytes.unwrap_or(0)),
            },
        };
        // A time that has not come yet is by a clock that was ahead, and tells nothing.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last_write = |files: &[FileEntry]| Some(modified(files)).filter(|time| *time <= now).unwrap_or_default();
        let summary =
            |files: &&[FileEntry]| RolledFile { key: files[0].key, bytes: bytes(files), modified: modified(files) };
        let summaries: Vec<_> = rolled.iter().map(summary).collect();
        let expired = retention.count_expired(&summaries, &input);
        let settled = |file: &RolledFile, files: &&[FileEntry]| RolledFile { modified: last_write(files), ..*file };
        let summaries: Vec<_> = summaries.iter().zip(rolled).map(|(file, files)| settled(file, files)).collect();
        count_settled(&summaries, expired, |index| begun(rolled.get(index).unwrap_or(&newest)))
    }

    /// Deletes all files of a key, if no process writes to them.
    fn delete(&mut self, files: &[FileEntry]) -> Outcome {
        // The plain file before the partial one: the process that compresses the first is writing the second.
        for file in files.iter().rev() {
            let outcome = remove(file).unwrap_or_else(|error| {
                self.report(MaintenanceTask::Delete, file.path.clone(), error);
                Outcome::Busy
            });
            self.hear(outcome);
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        Outcome::Done
    }

    /// Takes care of copies whose source was deleted.
    fn recover(&mut self, left_behind: &[&[FileEntry]]) -> bool {
        let mut is_done = true;
        for file in left_behind.iter().copied().flatten() {
            #[cfg(feature = "gzip")]
            let recovered = super::gzip::recover(&self.dir, file.key, &file.path);
            #[cfg(not(feature = "gzip"))]
            let recovered = Ok(());
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
                    // Of a compression that was killed, under whatever name.
                    let partial = files.iter().filter(|file| file.kind == FileKind::Partial && is_done);
                    partial.for_each(|file| fs::remove_file(&file.path).unwrap_or_default());
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
        self.errors.set(MaintenanceError { task, path, source });
    }
}

/// When the lines of a file were begun, if that is known.
fn begun(files: &[FileEntry]) -> Option<Duration> {
    let oldest = files.iter().find(|file| file.kind != FileKind::Partial)?;
    match oldest.kind {
        #[cfg(feature = "gzip")]
        FileKind::Compressed => super::gzip::begun(&oldest.path),
        _ => fs::metadata(&oldest.path).ok()?.created().ok()?.duration_since(UNIX_EPOCH).ok(),
    }
}

/// Deletes a file, unless another process has it open or has written to it since the directory was read. A lock keeps
/// others from it until it is deleted: one that opens it meanwhile notices.
fn remove(listed: &FileEntry) -> io::Result<Outcome> {
    let path = &listed.path;
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let file = match open_to_lock(path) {
        Err(error) => return gone(error).map(|()| Outcome::Done),
        Ok(file) => file,
    };
    match file.lock_exclusive() {
        Lock::Held if !is_at_path(path, &file) => Ok(Outcome::Done),
        Lock::Held if file.metadata()?.len() != listed.bytes => Ok(Outcome::Busy),
        Lock::Held => fs::remove_file(path).or_else(gone).map(|()| Outcome::Done),
        Lock::Busy => Ok(Outcome::Busy),
        Lock::Unsupported => Ok(Outcome::Unlockable),
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
        fs::create_dir_all(&path).unwrap();
        let dir = LogDir::new(&path, NamePattern::of("app.log", Granularity::Day));
        let key = |seq| FileKey { period: 20_000, seq };
        (1..=files).for_each(|seq| fs::write(dir.file(key(seq), FileKind::Plain), "line\n").unwrap());
        MaintenanceThread {
            policy,
            dir,
            errors: BackgroundError::default(),
            overdue: Overdue::default(),
            active: Some(key(1)),
            guard: None,
            started: Instant::now(),
            is_lock_reported: false,
        }
    }

    #[test]
    fn an_active_file_that_holds_up_the_deletion_is_to_be_left() {
        let mut thread = thread("overdue", 5, Rolling::daily().keep_files(2));
        assert_eq!(thread.run_once(), Progress::Behind);
        assert_eq!(*thread.overdue.lock().unwrap(), thread.active);
        assert_eq!(thread.dir.files().unwrap().len(), 5);
        thread.active = Some(FileKey { period: 20_000, seq: 6 });
        assert_eq!(thread.run_once(), Progress::Finished);
        assert_eq!(thread.dir.files().unwrap().len(), 2);
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }

    #[test]
    fn a_file_that_was_written_to_after_the_directory_was_read_stays() {
        let thread = thread("listed", 1, Rolling::daily());
        let listed = thread.dir.files().unwrap().remove(0);
        fs::write(&listed.path, "line\nanother\n").unwrap();
        assert_eq!(remove(&listed).unwrap(), Outcome::Busy);
        assert!(listed.path.exists());
        fs::remove_dir_all(thread.dir.path()).unwrap();
    }
}
