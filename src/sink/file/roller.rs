//! The sink's thread: which of the files of a rolling sink is written to, and when the next one is begun.
//!
//! Invariants:
//! * places only rise, and one that was compressed is never taken again;
//! * the current file carries a shared lock, by which everybody knows that it is written to;
//! * `seen` is the period in which the current file was begun or, if the clock was set back since, the one it was set to.

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

/// How often another process may be faster before it is an error.
const TRIES: usize = 64;

pub(super) struct Roller {
    policy: Rolling,
    folder: Folder,
    /// The path as it was given, which shows where the current file is.
    link: PathBuf,
    durability: Durability,
    place: Option<Place>,
    seen: u64,
    upkeep: Upkeep,
    trouble: Trouble,
    /// That the path is no link was said.
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

    /// The period that it is by the clock.
    pub(super) fn now(&self) -> u64 {
        self.folder.names().unit().of(self.policy.clock.now())
    }

    /// Whether the next line, of so many bytes, belongs into another file than the current one, of so many.
    pub(super) fn is_due(&mut self, now: u64, bytes: u64, line: u64) -> bool {
        // Time that is lived through twice is not waited for.
        self.seen = self.seen.min(now);
        let is_over = self.policy.every.is_some() && now > self.seen;
        let is_full = bytes > 0 && self.policy.max_bytes.is_some_and(|most| bytes.saturating_add(line) > most);
        is_over || is_full
    }

    /// How many of the lines that end at these offsets from `start` fit behind so many bytes; one at the least.
    pub(super) fn room(&self, bytes: u64, start: usize, ends: &[usize]) -> usize {
        let fits = |most: u64| ends.partition_point(|end| bytes + (end - start) as u64 <= most);
        self.policy.max_bytes.map_or(ends.len(), fits).max(1)
    }

    /// Opens the newest file if it may go on, or else the next one. With `beyond`, one that comes after the current file.
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

    /// The current file is full, or its time is over: opens the one behind it.
    pub(super) fn roll(&mut self, now: u64) -> Result<Opened, OpenError> {
        let Some(place) = self.place.map(|place| place.next(now)) else { return self.open(now, true) };
        // The usual case, without a look through the folder: nobody else was there before.
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

    /// The file that was written to before: it goes if nothing was.
    pub(super) fn leave(&self, path: &Path, file: &File) {
        let is_empty = || file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        // Claimed, nobody else has it, nor gets it any more: who opens it finds the lock, and then that it has gone.
        if is_empty() && claim(file) && is_empty() {
            // It is only less tidy if that fails.
            fs::remove_file(path).unwrap_or_default();
        }
    }

    /// Has the path show where the current file is, if that is known.
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

    /// Waits for what is to be done with the others, as long as the policy says.
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
        // Ahead of the clock, it was begun before that was set back. Its date says nothing, so its last change must.
        let is_ahead = newest.place.period > now;
        let period = if is_ahead { unit.of(newest.modified.as_nanos() as u64) } else { newest.place.period };
        self.policy.every.is_none() || period == now
    }

    /// Opens the file and lets everybody know that it is written to. None if it is somebody else's.
    fn take(&self, place: Place) -> Result<Option<Opened>, OpenError> {
        let path = self.folder.file(place, State::Plain);
        // What is no file does not become one of ours by its name; a folder in its place is an error.
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Ok(None);
        }
        let opened =
            Opened::to_share(&path, self.durability).map_err(|source| OpenError { path: path.clone(), source })?;
        // Somebody compresses it, or just has.
        if !share(&opened.file) || !stands_at(&path, &opened.file) {
            return Ok(None);
        }
        // Another process was here, whose lines would be overwritten by this file's: it is passed by, and what was made here
        // is deleted with the next look at all of them.
        let is_over = self.folder.file(place, State::Compressed).exists();
        Ok((!is_over).then_some(opened))
    }

    /// Of a file that is not gone on with: the first line of the next one is not to look like the rest of its last.
    fn end_torn_line(&self, newest: Found) {
        if newest.state == State::Plain
            && let Ok(Some(opened)) = self.take(newest.place)
            && opened.torn
        {
            // If that fails, it is as torn as before.
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

/// Only a link of ours is replaced, and nothing depends on it.
#[cfg(unix)]
fn point(link: &Path, folder: &Folder, place: Place) -> io::Result<()> {
    use std::os::unix::fs::symlink;

    let is_ours = match fs::symlink_metadata(link) {
        // A name of ours is no path: one that leads elsewhere is not a link that was made here.
        Ok(metadata) if metadata.is_symlink() => {
            fs::read_link(link).is_ok_and(|to| to.to_str().is_some_and(|name| folder.names().place(name).is_some()))
        }
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_ours {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else stands there, which is left alone"));
    }
    // Made beside it and moved over it: whoever opens the path finds the one or the other.
    let new = link.with_file_name(format!(".{}.{}", folder.names().name(place), std::process::id()));
    let pointed = symlink(folder.names().name(place), &new).and_then(|()| fs::rename(&new, link));
    match pointed {
        Ok(()) => Ok(()),
        Err(error) => {
            fs::remove_file(&new).unwrap_or_default();
            // Of that name was somebody's who does the same, or one left behind: the next file has another one.
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        }
    }
}

#[cfg(not(unix))]
fn point(_: &Path, _: &Folder, _: Place) -> io::Result<()> {
    Ok(())
}
