//! A spool's thread: all folders of one spool, in one row of positions: those of earlier processes, then its own.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::folder::Folder;
use super::fs::SpoolFs;
use super::layout::HEADER_BYTES;
use super::positions::Positions;
use super::store::SpoolProgress;

/// What the disk may not have is also in memory, up to this many bytes: then it is synchronized early.
const MAX_UNSYNCED_BYTES: usize = 8 << 20;
/// A folder's name begins with the version of what is in it.
pub(super) const FOLDER_PREFIX: &str = "v1-";
/// A new folder may be taken for one of an earlier process before it is locked.
const CREATE_TRIES: u32 = 8;

pub(super) struct Disk<F: SpoolFs> {
    fs: F,
    limits: SpoolLimits,
    /// Of earlier processes, oldest first; the last one is its own.
    folders: VecDeque<Placed<F>>,
    progress: SpoolProgress,
    /// What was appended and the disk may not have, oldest first.
    unsynced: VecDeque<Unsynced>,
    unsynced_bytes: usize,
    /// What is unsynced is to be appended to a new segment first.
    is_distrusted: bool,
    last_id: u64,
    /// The latest error that no caller has got.
    trouble: Option<io::Error>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolLimits {
    pub(super) max_bytes: u64,
    pub(super) segment_bytes: u64,
}

/// A folder, and where its events are among all.
struct Placed<F: SpoolFs> {
    folder: Folder<F>,
    /// The position here of its event at `from`.
    base: u64,
    /// The positions there.
    from: u64,
}

struct Unsynced {
    events: u32,
    payload: Vec<u8>,
}

/// Why nothing was appended.
#[derive(Debug)]
pub(super) enum Refused {
    /// The parts that can be removed; the error of a disk that is full.
    Full(Vec<Range<u64>>, Option<io::Error>),
    Failed(io::Error),
}

impl<F: SpoolFs> Placed<F> {
    fn positions(&self) -> Range<u64> {
        self.base..self.base + (self.folder.next() - self.from)
    }

    fn inside(&self, position: u64) -> u64 {
        position - self.base + self.from
    }

    fn outside(&self, positions: Range<u64>) -> Range<u64> {
        let place = |position: u64| position.max(self.from) - self.from + self.base;
        place(positions.start)..place(positions.end)
    }
}

impl<F: SpoolFs> Disk<F> {
    /// Takes over the folders below these directories, and creates one of its own below the first.
    pub(super) fn open(fs: F, dirs: &[PathBuf], limits: SpoolLimits) -> io::Result<Self> {
        let (mut folders, mut trouble) = (Vec::new(), None);
        for dir in dirs {
            fs.create_dir(dir)?;
            // Their names, if they are new.
            dir.ancestors()
                .skip(1)
                .take(2)
                .filter(|dir| !dir.as_os_str().is_empty())
                .try_for_each(|dir| fs.sync_dir(dir))?;
            for name in fs.list(dir)?.into_iter().filter(|name| name.starts_with(FOLDER_PREFIX)) {
                match Folder::adopt(&fs, dir.join(name)) {
                    Ok(folder) => folders.extend(folder),
                    // Its process has just ended, and has deleted it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // It is left where it is: the next process may be able to read it.
                    Err(error) => trouble = Some(error),
                }
            }
        }
        folders.sort_by_key(|folder| folder.dir().file_name().map(ToOwned::to_owned));
        let mut disk = Disk {
            fs,
            limits,
            folders: VecDeque::new(),
            progress: SpoolProgress::default(),
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            is_distrusted: false,
            last_id: 0,
            trouble,
        };
        let mut base = 0;
        for folder in folders {
            let positions = Positions::new(folder.progress(), folder.next());
            if positions.outstanding() == 0 {
                // That of a process that ended in order; what cannot be deleted now is found again.
                folder.delete(&disk.fs).unwrap_or_default();
                continue;
            }
            let placed = Placed { from: folder.first_known(), folder, base };
            let settled = positions.settled().filter(|range| range.end > placed.from);
            disk.progress.settled.extend(settled.map(|range| placed.outside(range)));
            base = placed.positions().end;
            disk.folders.push_back(placed);
        }
        let own = disk.create(&dirs[0])?;
        disk.folders.push_back(Placed { folder: own, base, from: 0 });
        Ok(disk)
    }

    fn create(&mut self, dir: &Path) -> io::Result<Folder<F>> {
        for _ in 0..CREATE_TRIES {
            let name = format!("{FOLDER_PREFIX}{:016x}", self.next_id());
            match Folder::create(&self.fs, dir.join(name)) {
                Ok(Some(folder)) => {
                    self.fs.sync_dir(dir)?;
                    return Ok(folder);
                }
                // Another process that starts has taken it over.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "other processes take every new folder for their own"))
    }

    /// Returns a number that is higher than those before it, and another one in each process: later ones come later.
    fn next_id(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        self.last_id = now.max(self.last_id + 1);
        self.last_id
    }

    pub(super) fn progress(&self) -> &SpoolProgress {
        &self.progress
    }

    /// Returns an error that no caller has got, once.
    pub(super) fn take_trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }

    /// Where its own events begin, if the disk may not have all of the others.
    #[cfg(test)]
    pub(super) fn first_synced(&self) -> u64 {
        let is_unsynced = |placed: &Placed<F>| placed.folder.is_unsynced();
        if self.folders.iter().any(is_unsynced) { self.folders.back().map_or(0, |own| own.base) } else { 0 }
    }

    #[cfg(test)]
    pub(super) fn is_torn(&self) -> bool {
        self.folders.back().is_some_and(|own| own.folder.is_torn())
    }

    /// The position of the event that is appended next.
    pub(super) fn next(&self) -> u64 {
        self.folders.back().map_or(0, |own| own.positions().end)
    }

    /// The bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.folders.iter().map(|placed| placed.folder.bytes()).sum()
    }

    /// Takes over what is settled.
    pub(super) fn advance(&mut self, progress: SpoolProgress) {
        for placed in &mut self.folders {
            let Range { start, end } = placed.positions();
            let inside = |range: &Range<u64>| {
                let (from, to) = (range.start.max(start), range.end.min(end));
                (from < to).then(|| placed.inside(from)..placed.inside(to))
            };
            let settled = progress.settled.iter().filter_map(inside).collect();
            let frontier = placed.inside(progress.frontier.clamp(start, end));
            // A range that begins where the frontier is moves it.
            let own = Positions::new(&SpoolProgress { frontier, settled }, placed.folder.next());
            placed.folder.set_progress(own.progress());
        }
        self.progress = progress;
    }

    /// Deletes what is settled as a whole.
    pub(super) fn clean(&mut self) -> io::Result<()> {
        let count = self.folders.len();
        for (index, placed) in self.folders.iter_mut().enumerate() {
            placed.folder.delete_settled(&self.fs, index + 1 == count)?;
        }
        let is_done =
            |placed: &Placed<F>| Positions::new(placed.folder.progress(), placed.folder.next()).outstanding() == 0;
        while self.folders.len() > 1 && self.folders.front().is_some_and(is_done) {
            self.folders.pop_front().map_or(Ok(()), |placed| placed.folder.delete(&self.fs))?;
        }
        Ok(())
    }

    /// Ends: what is settled as a whole is deleted, its own folder too.
    pub(super) fn end(mut self) -> io::Result<()> {
        let mut ended = self.clean();
        for placed in self.folders {
            let mut folder = placed.folder;
            // One that fails does not keep the others from it.
            ended = ended.and(match Positions::new(folder.progress(), folder.next()).outstanding() {
                0 => folder.delete(&self.fs),
                _ => folder.write_frontier(&self.fs),
            });
        }
        ended
    }
}

/// Appends.
impl<F: SpoolFs> Disk<F> {
    /// Appends records, all or none: the events and the payload of each.
    pub(super) fn append(&mut self, records: Vec<(u32, Vec<u8>)>) -> Result<(), Refused> {
        let bytes: u64 = records.iter().map(|(_, payload)| payload.len() as u64 + 64).sum();
        if self.bytes() + bytes > self.limits.max_bytes {
            let error = self.clean().err();
            if self.bytes() + bytes > self.limits.max_bytes {
                self.seal_if_alone();
                return Err(Refused::Full(self.removable(), error));
            }
        }
        if self.unsynced_bytes > MAX_UNSYNCED_BYTES {
            // It failed before: no more is kept in memory.
            self.sync().map_err(Refused::Failed)?;
        }
        let appended = self.restore_trust().and_then(|()| self.append_now(&records, bytes));
        match appended {
            Ok(()) => {
                for (events, payload) in records {
                    self.unsynced_bytes += payload.len();
                    self.unsynced.push_back(Unsynced { events, payload });
                }
                if self.unsynced_bytes > MAX_UNSYNCED_BYTES
                    && let Err(error) = self.sync()
                {
                    self.trouble = Some(error);
                }
                Ok(())
            }
            Err(error) if is_full(&error) => Err(Refused::Full(self.removable(), Some(error))),
            Err(error) => Err(Refused::Failed(error)),
        }
    }

    fn append_now(&mut self, records: &[(u32, Vec<u8>)], bytes: u64) -> io::Result<()> {
        let open = own(&mut self.folders).open_bytes();
        if open.is_none_or(|open| open + bytes > self.limits.segment_bytes && open > HEADER_BYTES as u64) {
            if open.is_some() {
                self.sync()?;
            }
            let id = self.next_id();
            let Disk { folders, fs, .. } = self;
            own(folders).begin_segment(fs, id)?;
        }
        let records: Vec<(u32, &[u8])> =
            records.iter().map(|(events, payload)| (*events, payload.as_slice())).collect();
        let Disk { folders, fs, .. } = self;
        own(folders).append(fs, &records)
    }

    /// The positions of the parts that can be removed to make room.
    fn removable(&self) -> Vec<Range<u64>> {
        let count = self.folders.len();
        let parts = self.folders.iter().enumerate().flat_map(|(index, placed)| {
            placed.folder.sealed(index + 1 == count).map(|segment| placed.outside(segment.positions()))
        });
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Makes the open segment removable if nothing else is.
    fn seal_if_alone(&mut self) {
        let has_records = own(&mut self.folders).open_bytes().is_some_and(|bytes| bytes > HEADER_BYTES as u64);
        if has_records && self.removable().is_empty() && self.sync().is_ok() {
            let id = self.next_id();
            let Disk { folders, fs, .. } = self;
            own(folders).begin_segment(fs, id).unwrap_or_default();
        }
    }

    /// Waits until the disk has all that was appended, and what is settled.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.restore_trust()?;
        if !self.unsynced.is_empty() {
            let Disk { folders, fs, .. } = self;
            if let Err(error) = own(folders).sync(fs) {
                // Nothing of it is believed, also if the next synchronization says it is there.
                self.is_distrusted = true;
                self.restore_trust().unwrap_or_default();
                return Err(error);
            }
            self.unsynced.clear();
            self.unsynced_bytes = 0;
        }
        let Disk { folders, fs, trouble, .. } = self;
        let count = folders.len();
        for placed in folders.iter_mut().take(count - 1) {
            // No caller waits for what another process appended.
            let synced = placed.folder.sync_adopted(fs).and_then(|()| placed.folder.sync_frontier(fs));
            *trouble = synced.err().or(trouble.take());
        }
        own(folders).sync_frontier(fs)
    }

    /// Appends to a new segment what a synchronization that failed may have lost, or behind which a record is torn.
    fn restore_trust(&mut self) -> io::Result<()> {
        if !self.is_distrusted && !own(&mut self.folders).is_torn() {
            return Ok(());
        }
        let id = self.next_id();
        let Disk { folders, fs, unsynced, .. } = self;
        let records: Vec<(u32, &[u8])> = unsynced.iter().map(|one| (one.events, one.payload.as_slice())).collect();
        own(folders).append_again(fs, id, &records)?;
        self.is_distrusted = false;
        Ok(())
    }
}

/// Reads.
impl<F: SpoolFs> Disk<F> {
    /// Reads the record with the event at the first of these positions, or the first one behind it.
    pub(super) fn read(&mut self, positions: Range<u64>) -> io::Result<Option<(Range<u64>, Vec<u8>)>> {
        for placed in &mut self.folders {
            let own = placed.positions();
            let (start, end) = (positions.start.max(own.start), positions.end.min(own.end));
            if start >= end {
                continue;
            }
            let range = placed.inside(start)..placed.inside(end);
            if let Some((header, payload)) = placed.folder.read(&self.fs, range)? {
                return Ok(Some((placed.outside(header.positions()), payload)));
            }
        }
        Ok(None)
    }
}

fn own<F: SpoolFs>(folders: &mut VecDeque<Placed<F>>) -> &mut Folder<F> {
    &mut folders.back_mut().expect("its own folder is there").folder
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
