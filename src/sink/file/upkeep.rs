//! A service thread: deletes old files that are no longer written to, and compresses the others.
//!
//! Each run reads the directory and keeps no state: files of an earlier run are no special case.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::{MaintenanceError, MaintenanceTask};
use super::folder::{Folder, Found};
use super::names::{Place, State};
use super::open::claim;
use super::retention::{Now, Rolled};
use super::rolling::Rolling;
use crate::context::suppress;
use crate::sink::SinkError;

/// How often it runs by itself, if time alone may require it.
const PERIOD: Duration = Duration::from_secs(60);

/// The active file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) place: Place,
    /// Its size, or the size it may reach.
    pub(super) bytes: u64,
}

/// The background error that the sink is to report: the newest, if there are several.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<SinkError>>>);

impl Trouble {
    pub(super) fn say(&self, error: MaintenanceError) {
        // A std lock: held to move one error.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(SinkError::temporary(error));
    }

    pub(super) fn take(&self) -> Option<SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

enum Wake {
    Look,
    /// Like `Look`; answered when nothing is left to do.
    Finish(Sender<()>),
}

/// The sink's end of the maintenance thread. When it is dropped, the thread ends once nothing is left to do; the exit
/// of the process does not wait for it.
pub(super) struct Upkeep {
    current: Arc<Mutex<Option<Current>>>,
    /// None: the policy needs no maintenance.
    wakes: Option<Sender<Wake>>,
}

impl Upkeep {
    pub(super) fn start(policy: &Rolling, folder: &Folder, trouble: &Trouble) -> io::Result<Self> {
        let current = Arc::default();
        if !policy.is_compressing() && !policy.retention.is_anything() {
            return Ok(Upkeep { current, wakes: None });
        }
        let (wakes, inbox) = mpsc::channel();
        let keeper = Keeper {
            policy: policy.clone(),
            folder: folder.clone(),
            trouble: trouble.clone(),
            current: Arc::clone(&current),
        };
        thread::Builder::new().name("logweir-upkeep".into()).spawn(move || keeper.run(&inbox))?;
        Ok(Upkeep { current, wakes: Some(wakes) })
    }

    /// Records that another file is the active one.
    pub(super) fn look(&self, current: Current) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
        self.wake(Wake::Look);
    }

    /// Waits until nothing is left to do, or this time is over.
    pub(super) fn wait(&self, time: Duration) {
        let (done, end) = mpsc::channel();
        self.wake(Wake::Finish(done));
        // Either way of ending only means that the wait is over.
        end.recv_timeout(time).unwrap_or_default();
    }

    fn wake(&self, wake: Wake) {
        if let Some(wakes) = &self.wakes {
            // If the thread panicked, files stay unchanged.
            wakes.send(wake).unwrap_or_default();
        }
    }
}

/// The thread's end.
struct Keeper {
    policy: Rolling,
    folder: Folder,
    trouble: Trouble,
    current: Arc<Mutex<Option<Current>>>,
}

impl Keeper {
    fn run(self, inbox: &Receiver<Wake>) {
        suppress::mark_thread();
        #[cfg(feature = "gzip")]
        super::gzip::step_back();
        let mut is_behind = false;
        loop {
            let first = if is_behind || self.policy.retention.age.is_some() {
                match inbox.recv_timeout(PERIOD) {
                    Err(RecvTimeoutError::Timeout) => Wake::Look,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Ok(wake) => wake,
                }
            } else {
                let Ok(wake) = inbox.recv() else { return };
                wake
            };
            let wakes: Vec<_> = std::iter::once(first).chain(inbox.try_iter()).collect();
            is_behind = !self.tidy();
            for wake in wakes {
                if let Wake::Finish(done) = wake {
                    // The sink may have stopped waiting.
                    done.send(()).unwrap_or_default();
                }
            }
        }
    }

    /// Deletes expired files, then compresses the oldest file that is not compressed, and so on until it can do no
    /// more; returns whether nothing is left at all.
    fn tidy(&self) -> bool {
        let mut passed = HashSet::new();
        loop {
            let Some(current) = *self.current.lock().unwrap_or_else(PoisonError::into_inner) else { return true };
            let files = match self.folder.files() {
                Ok(files) => files,
                Err(error) => {
                    self.say(MaintenanceTask::List, self.folder.path().to_owned(), error);
                    return false;
                }
            };
            let files: Vec<_> = files.into_iter().filter(|found| found.place < current.place).collect();
            let kept = self.delete(&files, current, &mut passed);
            if !self.compress(&kept, &mut passed) {
                return passed.is_empty();
            }
        }
    }

    /// Deletes expired files; returns the rest.
    fn delete(&self, files: &[Found], current: Current, passed: &mut HashSet<Place>) -> Vec<Found> {
        let places = files.chunk_by(|a, b| a.place == b.place);
        // Only a partial compressed file exists: its source was deleted.
        let is_left_behind = |states: &&[Found]| states.iter().all(|found| found.state == State::Partial);
        let (left_behind, whole): (Vec<_>, Vec<_>) = places.partition(is_left_behind);
        let bytes = |states: &[Found]| states.iter().map(|found| found.bytes).sum();
        let modified = |states: &[Found]| states.iter().map(|found| found.modified).max().unwrap_or_default();
        let rolled =
            |states: &&[Found]| Rolled { place: states[0].place, bytes: bytes(states), modified: modified(states) };
        let rolled: Vec<_> = whole.iter().map(rolled).collect();
        let now = Now {
            time: Duration::from_nanos(self.policy.clock.now()),
            unit: self.folder.names().unit(),
            is_by_time: self.policy.every.is_some(),
            current: current.place,
            current_bytes: current.bytes,
        };
        let (doomed, kept) = whole.split_at(self.policy.retention.doomed(&rolled, &now));
        for states in left_behind.iter().chain(doomed) {
            if !self.delete_all(states) {
                passed.insert(states[0].place);
            }
        }
        kept.concat()
    }

    /// Deletes all files in a place; returns whether none is left.
    fn delete_all(&self, states: &[Found]) -> bool {
        // The plain file before the partial one: the process that compresses the first is writing the second.
        states.iter().rev().all(|found| {
            let path = self.folder.file(found.place, found.state);
            remove(&path).unwrap_or_else(|error| {
                self.say(MaintenanceTask::Delete, path, error);
                false
            })
        })
    }

    /// Compresses the oldest file that is not compressed; returns whether there was one to try.
    #[cfg(feature = "gzip")]
    fn compress(&self, kept: &[Found], passed: &mut HashSet<Place>) -> bool {
        let is_next = |found: &&Found| found.state == State::Plain && !passed.contains(&found.place);
        let Some(next) = kept.iter().filter(|_| self.policy.is_compressing()).find(is_next) else { return false };
        match super::gzip::compress(&self.folder, next.place) {
            Ok(true) => true,
            // Another process still writes to it.
            Ok(false) => passed.insert(next.place),
            Err(error) => {
                passed.insert(next.place);
                let is_full = error.kind() == io::ErrorKind::StorageFull;
                self.say(MaintenanceTask::Compress, self.folder.file(next.place, State::Plain), error);
                // The other files have no more room.
                !is_full
            }
        }
    }

    #[cfg(not(feature = "gzip"))]
    fn compress(&self, _: &[Found], _: &mut HashSet<Place>) -> bool {
        false
    }

    fn say(&self, task: MaintenanceTask, path: PathBuf, source: io::Error) {
        self.trouble.say(MaintenanceError { task, path, source });
    }
}

/// Deletes a file, unless another process writes to it.
fn remove(path: &Path) -> io::Result<bool> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(true) } else { Err(error) };
    // Locked exclusively until it is deleted: a process that opens it meanwhile notices.
    let file = File::open(path);
    if file.as_ref().is_ok_and(|file| !claim(file)) {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true).or_else(gone)
}
