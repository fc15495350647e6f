//! A sink's thread: which file of a rolling sink is written to, and when the next one is begun.
//!
//! Invariants:
//! * Places only increase, and a compressed one is never taken again.
//! * The current file has a shared lock, which marks it as being written.
//! * `seen` is the period in which the current file was begun or, if the clock was set back since, the one it was set
//!   to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Durability;
use super::error::{MaintenanceError, MaintenanceTask, OpenError};
use super::folder::{Folder, Found};
use super::names::{Place, State};
use super::open::{Opened, claim, share, stands_at};
use super::rolling::Rolling;
use super::upkeep::{Current, Trouble, Upkeep};

/// How often other processes may take the tried file before it is an error.
const TRIES: usize = 64;

pub(super) struct Roller {
    policy: Rolling,
    folder: Folder,
    /// The path as given, a symlink to the current file.
    link: PathBuf,
    durability: Durability,
    place: Option<Place>,
    seen: u64,
    upkeep: Upkeep,
    trouble: Trouble,
    /// Whether the error that the path is no symlink was reported.
    is_link_said: bool,
}

impl Roller {
    pub(super) fn start(
        path: &Path,
        policy: Rolling,
        folder: Folder,
        durability: Durability,
        trouble: &Trouble,
    ) -> io::Result<Self> {
        let upkeep = Upkeep::start(&policy, &folder, trouble)?;
        let (link, trouble) = (path.to_owned(), trouble.clone());
        Ok(Roller { policy, folder, link, durability, place: None, seen: 0, upkeep, trouble, is_link_said: false })
    }

    /// The current period by the clock.
    pub(super) fn now(&self) -> u64 {
        self.folder.names().unit().of(self.policy.clock.now())
    }

    /// Whether the next line, of `line` bytes, needs another file than the current one, of `bytes` bytes.
    pub(super) fn is_due(&mut self, now: u64, bytes: u64, line: u64) -> bool {
        // After the clock was set back, the repeated time must not delay the next file.
        self.seen = self.seen.min(now);
        let is_over = self.policy.every.is_some() && now > self.seen;
        let is_full = bytes > 0 && self.policy.max_bytes.is_some_and(|most| bytes.saturating_add(line) > most);
        is_over || is_full
    }

    /// How many of the lines that end at these offsets from `start` fit after `bytes` bytes; at least one.
    pub(super) fn room(&self, bytes: u64, start: usize, ends: &[usize]) -> usize {
        let fits = |most: u64| ends.partition_point(|end| bytes + (end - start) as u64 <= most);
        self.policy.max_bytes.map_or(ends.len(), fits).max(1)
    }

    /// Opens the newest file if it may be continued, or else the next one. With `beyond`, one after the current file.
    pub(super) fn open(&mut self, now: u64, beyond: bool) -> Result<Opened, OpenError> {
        let mut passed = self.place.filter(|_| beyond);
        for _ in 0..TRIES {
            let newest = self.newest()?;
            let place = self.choose(newest, passed, now);
            if let Some(newest) = newest.filter(|newest| self.place.is_none() && newest.place < place) {
                self.end_torn_line(newest);
            }
            if let Some(opened) = self.take(place)? {
                self.begin(place, now, opened.bytes);
                return Ok(opened);
            }
            passed = Some(place);
        }
        let source = io::Error::other("other processes take every file that is tried");
        Err(OpenError { path: self.folder.path().to_owned(), source })
    }

    /// Opens the next file, when the current one is full or its period is over.
    pub(super) fn roll(&mut self, now: u64) -> Result<Opened, OpenError> {
        let Some(place) = self.place.map(|place| place.next(now)) else { return self.open(now, true) };
        // The usual case needs no scan of the directory: no other process was there before.
        let path = self.folder.file(place, State::Plain);
        match File::create_new(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return self.open(now, true),
            Err(source) => return Err(OpenError { path, source }),
        }
        match self.take(place)? {
            Some(opened) => {
                self.begin(place, now, opened.bytes);
                Ok(opened)
            }
            None => self.open(now, true),
        }
    }

    /// Deletes the previous file if it is empty.
    pub(super) fn leave(&self, path: &Path, file: &File) {
        let is_empty = || file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        // With an exclusive lock, no other process has the file or gets it anymore: one that opens it finds the lock,
        // and then that it was deleted.
        if is_empty() && claim(file) && is_empty() {
            // If that fails, only an empty file is left.
            fs::remove_file(path).unwrap_or_default();
        }
    }

    /// Points the path to the current file, if there is one.
    pub(super) fn point(&mut self) {
        let Some(place) = self.place else { return };
        match point(&self.link, &self.folder, place) {
            Ok(()) => self.is_link_said = false,
            Err(source) => {
                if !std::mem::replace(&mut self.is_link_said, true) {
                    let path = self.link.clone();
                    self.trouble.say(MaintenanceError { task: MaintenanceTask::Link, path, source });
                }
            }
        }
    }

    /// Waits for pending maintenance, as long as the policy allows.
    pub(super) fn close(&self) {
        if !self.policy.close_timeout.is_zero() {
            self.upkeep.wait(self.policy.close_timeout);
        }
    }

    fn newest(&self) -> Result<Option<Found>, OpenError> {
        let files = self.folder.files();
        let files = files.map_err(|source| OpenError { path: self.folder.path().to_owned(), source })?;
        Ok(files.into_iter().rfind(|found| found.state != State::Partial))
    }

    fn choose(&self, newest: Option<Found>, passed: Option<Place>, now: u64) -> Place {
        let Some(newest) = newest else {
            return passed.map_or(Place { period: now, seq: 1 }, |passed| passed.next(now));
        };
        let is_new = passed.is_none_or(|passed| newest.place > passed);
        let has_room = self.policy.max_bytes.is_none_or(|most| newest.bytes < most);
        if is_new && newest.state == State::Plain && self.has_time(&newest, now) && has_room {
            return newest.place;
        }
        passed.map_or(newest.place, |passed| passed.max(newest.place)).next(now)
    }

    fn has_time(&self, newest: &Found, now: u64) -> bool {
        let unit = self.folder.names().unit();
        // Dated ahead of the clock, it was begun before the clock was set back. The date is useless then, so the last
        // change decides.
        let is_ahead = newest.place.period > now;
        let period = if is_ahead { unit.of(newest.modified.as_nanos() as u64) } else { newest.place.period };
        self.policy.every.is_none() || period == now
    }

    /// Opens the file and marks it as being written. `None`: another process has it.
    fn take(&self, place: Place) -> Result<Option<Opened>, OpenError> {
        let path = self.folder.file(place, State::Plain);
        // A path that is no file does not become ours by its name; a directory there is an error.
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Ok(None);
        }
        let opened =
            Opened::to_share(&path, self.durability).map_err(|source| OpenError { path: path.clone(), source })?;
        // Another process compresses it, or just has.
        if !share(&opened.file) || !stands_at(&path, &opened.file) {
            return Ok(None);
        }
        // Another process compressed the file of this name, whose lines this file would overwrite: it is skipped, and
        // the empty file created here is deleted by the next maintenance run.
        let is_over = self.folder.file(place, State::Compressed).exists();
        Ok((!is_over).then_some(opened))
    }

    /// Ends a torn line in a file that is not continued: the next file's first line must not look like the rest of it.
    fn end_torn_line(&self, newest: Found) {
        if newest.state == State::Plain
            && let Ok(Some(opened)) = self.take(newest.place)
            && opened.torn
        {
            // If that fails, the line stays torn.
            (&opened.file).write_all(b"\n").unwrap_or_default();
        }
    }

    fn begin(&mut self, place: Place, now: u64, bytes: u64) {
        self.place = Some(place);
        self.seen = now;
        self.point();
        self.upkeep.look(Current { place, bytes: self.policy.max_bytes.unwrap_or(bytes) });
    }
}

/// Replaces a symlink of ours only; nothing depends on it.
#[cfg(unix)]
fn point(link: &Path, folder: &Folder, place: Place) -> io::Result<()> {
    use std::os::unix::fs::symlink;

    let is_ours = match fs::symlink_metadata(link) {
        // A link to a name of ours was made here; one to another path was not.
        Ok(metadata) if metadata.is_symlink() => {
            fs::read_link(link).is_ok_and(|to| to.to_str().is_some_and(|name| folder.names().place(name).is_some()))
        }
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_ours {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else stands there, which is left alone"));
    }
    // Created under another name and renamed over it: a process that opens the path finds the old or the new one.
    let new = link.with_file_name(format!(".{}.{}", folder.names().name(place), std::process::id()));
    let pointed = symlink(folder.names().name(place), &new).and_then(|()| fs::rename(&new, link));
    match pointed {
        Ok(()) => Ok(()),
        Err(error) => {
            fs::remove_file(&new).unwrap_or_default();
            // Another process is doing the same, or left its link behind: the next file has another name.
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        }
    }
}

#[cfg(not(unix))]
fn point(_: &Path, _: &Folder, _: Place) -> io::Result<()> {
    Ok(())
}
