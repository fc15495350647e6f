//! A spool's thread: the files of one folder, which one process at a time has locked.
//!
//! Positions here are those of the folder's own files.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::frontier::{FRONTIER, Frontier};
use super::fs::SpoolFs;
use super::layout::{HEADER_BYTES, RECORD_BYTES, RecordHeader, SegmentName};
use super::positions::Positions;
use super::segment::{Found, Segment, WINDOW_BYTES, next_record, put_records, read_in};
use super::store::SpoolProgress;

/// Locked by the process that has the folder.
pub(super) const LOCK: &str = "lock";
/// At most two to this power.
const MAX_SKIPPED_SYNCS_BITS: u32 = 10;

pub(super) struct Folder<F: SpoolFs> {
    dir: PathBuf,
    _lock: F::Lock,
    segments: VecDeque<Segment<F>>,
    /// The position of the event that is appended next.
    next: u64,
    progress: SpoolProgress,
    frontier: Frontier<F>,
    /// The disk may not have all of the last segment: its process has ended.
    is_unsynced: bool,
    /// After a synchronization of it that failed, so many others come before the next one.
    syncs_to_skip: u32,
    failed_syncs: u32,
    /// A part of what was refused may be behind the last segment's end, or in another one: the next record is the first of a
    /// new one, which counts from there on.
    is_torn: bool,
    /// Where the last read ended: the segment's first position, the offset, and the position there.
    cursor: (u64, u64, u64),
}

impl<F: SpoolFs> Folder<F> {
    /// Creates a folder with nothing in it.
    pub(super) fn create(fs: &F, dir: PathBuf) -> io::Result<Option<Self>> {
        fs.create_dir(&dir)?;
        let Some(lock) = fs.lock(&dir.join(LOCK))? else { return Ok(None) };
        // Another process may have taken it over, and deleted it, before it was locked.
        if !fs.list(&dir)?.iter().any(|name| name == LOCK) {
            return Ok(None);
        }
        Ok(Some(Folder {
            dir,
            _lock: lock,
            segments: VecDeque::new(),
            next: 0,
            progress: SpoolProgress::default(),
            frontier: Frontier::default(),
            is_unsynced: false,
            syncs_to_skip: 0,
            failed_syncs: 0,
            is_torn: false,
            cursor: (0, 0, 0),
        }))
    }

    /// Locks a folder of an earlier process, and finds out what it has. `None`: another process has it.
    pub(super) fn adopt(fs: &F, dir: PathBuf) -> io::Result<Option<Self>> {
        let Some(lock) = fs.lock(&dir.join(LOCK))? else { return Ok(None) };
        let names = segments_in_order(fs.list(&dir)?.iter().filter_map(|name| SegmentName::of_file(name)).collect());
        let mut folder = Folder {
            segments: VecDeque::new(),
            next: 0,
            progress: SpoolProgress::default(),
            frontier: Frontier::default(),
            is_unsynced: true,
            syncs_to_skip: 0,
            failed_syncs: 0,
            is_torn: false,
            cursor: (0, 0, 0),
            _lock: lock,
            dir,
        };
        for (index, name) in names.iter().enumerate() {
            let file = fs.open(&folder.dir.join(name.file()), false)?;
            let len = fs.len(&file)?;
            let next = names.get(index + 1).map(|next| next.first);
            let mut segment = Segment { name: *name, end: next.unwrap_or(u64::MAX), len, file: Some(file) };
            if next.is_none() {
                segment.end = folder.end_of(fs, &segment)?;
            }
            segment.file = None;
            folder.next = segment.end;
            folder.segments.push_back(segment);
        }
        folder.read_frontier(fs)?;
        Ok(Some(folder))
    }

    /// Finds the position behind the last record of the last segment: what comes there was not written as a whole.
    fn end_of(&self, fs: &F, segment: &Segment<F>) -> io::Result<u64> {
        let (mut offset, mut position) = (HEADER_BYTES as u64, segment.name.first);
        while let (Found::Record(header, _), next) = next_record(fs, segment, offset, position)? {
            (offset, position) = (next, header.positions().end);
        }
        Ok(position)
    }

    fn read_frontier(&mut self, fs: &F) -> io::Result<()> {
        let first = self.first();
        let (frontier, found) = Frontier::open(fs, &self.dir)?;
        let progress = found.unwrap_or(SpoolProgress { frontier: first, settled: Vec::new() });
        // It may be ahead of what the disk has: what was settled is not there any more. What is missing behind it was not settled.
        self.progress = SpoolProgress { frontier: progress.frontier.min(self.next.max(first)), ..progress };
        self.frontier = frontier;
        Ok(())
    }

    pub(super) fn progress(&self) -> &SpoolProgress {
        &self.progress
    }

    /// The position of the first event that is there, or that is missing.
    pub(super) fn first_known(&self) -> u64 {
        self.first().min(self.progress.frontier)
    }

    /// The position of the first event that is there.
    fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.name.first)
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The bytes of its segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Its segments, oldest first, but the one that is appended to.
    pub(super) fn sealed(&self, is_own: bool) -> impl Iterator<Item = &Segment<F>> {
        self.segments.iter().take(self.segments.len() - usize::from(is_own && !self.segments.is_empty()))
    }

    #[cfg(test)]
    pub(super) fn is_unsynced(&self) -> bool {
        self.is_unsynced
    }

    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The bytes of the segment that is appended to; `None`: there is none.
    pub(super) fn open_bytes(&self) -> Option<u64> {
        self.segments.back().map(|segment| segment.len)
    }

    pub(super) fn set_progress(&mut self, progress: SpoolProgress) {
        self.progress = progress;
    }
}

/// Returns the segments that count, by their positions: of two that have an event, the one that was begun later.
fn segments_in_order(mut names: Vec<SegmentName>) -> Vec<SegmentName> {
    names.sort_by_key(|name| name.id);
    let mut order: Vec<SegmentName> = Vec::new();
    for name in names {
        order.retain(|earlier| earlier.first < name.first);
        order.push(name);
    }
    order
}

/// Appends.
impl<F: SpoolFs> Folder<F> {
    /// Begins a new segment. Its name is on disk when this returns.
    pub(super) fn begin_segment(&mut self, fs: &F, id: u64) -> io::Result<()> {
        self.begin_segment_at(fs, SegmentName { first: self.next, id }, &[])
    }

    /// Appends these records again, to a new segment, whatever the disk has of them: they are the last of the other one.
    pub(super) fn append_again(&mut self, fs: &F, id: u64, records: &[(u32, &[u8])]) -> io::Result<()> {
        let events: u64 = records.iter().map(|(events, _)| u64::from(*events)).sum();
        self.begin_segment_at(fs, SegmentName { first: self.next - events, id }, records)
    }

    fn begin_segment_at(&mut self, fs: &F, name: SegmentName, records: &[(u32, &[u8])]) -> io::Result<()> {
        let path = self.dir.join(name.file());
        let file = fs.open(&path, true)?;
        let mut bytes = name.header().to_vec();
        put_records(name, name.first, records, &mut bytes);
        let begun = fs.write_at(&file, &bytes, 0).and_then(|()| fs.sync_dir(&self.dir));
        if let Err(error) = begun {
            // If it stays, a record behind its position would be searched for there.
            self.is_torn |= fs.remove_file(&path).is_err();
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            (last.end, last.file) = (name.first, None);
        }
        // Nothing of it is left.
        if self.segments.back().is_some_and(|last| last.end <= last.name.first)
            && let Some(empty) = self.segments.pop_back()
        {
            fs.remove_file(&self.dir.join(empty.name.file())).unwrap_or_default();
        }
        self.segments.push_back(Segment { name, end: self.next, len: bytes.len() as u64, file: Some(file) });
        self.is_torn = false;
        Ok(())
    }

    /// Appends records to the last segment, all or none: the number of events and the payload of each.
    pub(super) fn append(&mut self, fs: &F, records: &[(u32, &[u8])]) -> io::Result<()> {
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let Some(file) = &segment.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::with_capacity(records.iter().map(|(_, payload)| RECORD_BYTES + payload.len()).sum());
        let next = put_records(segment.name, self.next, records, &mut bytes);
        if let Err(error) = fs.write_at(file, &bytes, segment.len) {
            // A whole record may be there of what is refused.
            self.is_torn |= fs.set_len(file, segment.len).is_err();
            return Err(error);
        }
        segment.len += bytes.len() as u64;
        (segment.end, self.next) = (next, next);
        Ok(())
    }

    /// Waits until the disk has what an earlier process appended. If that fails, twice as many synchronizations pass before it
    /// is tried again: it writes a whole file.
    pub(super) fn sync_adopted(&mut self, fs: &F) -> io::Result<()> {
        if !self.is_unsynced || self.syncs_to_skip > 0 {
            self.syncs_to_skip = self.syncs_to_skip.saturating_sub(1);
            return Ok(());
        }
        let written = self.write_again(fs);
        self.is_unsynced = written.is_err();
        self.failed_syncs += u32::from(written.is_err());
        self.syncs_to_skip = if written.is_err() { 1 << self.failed_syncs.min(MAX_SKIPPED_SYNCS_BITS) } else { 0 };
        written
    }

    /// Writes the last segment over with the same bytes, and synchronizes it: a synchronization by its process may have failed,
    /// after which the system takes for written what the disk has not.
    fn write_again(&self, fs: &F) -> io::Result<()> {
        if let Some(last) = self.segments.back() {
            let file = fs.open(&self.dir.join(last.name.file()), false)?;
            let (mut window, mut offset) = (vec![0; WINDOW_BYTES], 0);
            loop {
                let len = fs.read_at(&file, &mut window, offset)?;
                if len == 0 {
                    break;
                }
                fs.write_at(&file, &window[..len], offset)?;
                offset += len as u64;
            }
            fs.sync(&file)?;
            fs.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Waits until the disk has all that was appended to the last segment.
    pub(super) fn sync(&self, fs: &F) -> io::Result<()> {
        self.segments.back().and_then(|segment| segment.file.as_ref()).map_or(Ok(()), |file| fs.sync(file))
    }

    /// Writes what is settled, if that has changed.
    pub(super) fn write_frontier(&mut self, fs: &F) -> io::Result<()> {
        let is_new = self.segments.is_empty() && self.next == 0;
        if is_new { Ok(()) } else { self.frontier.write(fs, &self.dir, &self.progress) }
    }

    /// Waits until the disk has what is settled.
    pub(super) fn sync_frontier(&mut self, fs: &F) -> io::Result<()> {
        self.write_frontier(fs)?;
        self.frontier.sync(fs, &self.dir)
    }

    /// Deletes the segments of which every event is settled; the disk has that before it.
    pub(super) fn delete_settled(&mut self, fs: &F, is_own: bool) -> io::Result<()> {
        let settled = Positions::new(&self.progress, self.next);
        let settled: Vec<SegmentName> = self
            .sealed(is_own)
            .filter(|segment| settled.unsettled(segment.positions()).is_empty())
            .map(|segment| segment.name)
            .collect();
        if settled.is_empty() {
            return Ok(());
        }
        self.sync_frontier(fs)?;
        for name in settled {
            match fs.remove_file(&self.dir.join(name.file())) {
                // Deleted by hand.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.segments.retain(|segment| segment.name != name);
        }
        Ok(())
    }

    /// Deletes the folder, of which every event is settled.
    pub(super) fn delete(mut self, fs: &F) -> io::Result<()> {
        self.sync_frontier(fs)?;
        for name in fs.list(&self.dir)? {
            if SegmentName::of_file(&name).is_some() || name == FRONTIER {
                fs.remove_file(&self.dir.join(name))?;
            }
        }
        fs.remove_file(&self.dir.join(LOCK))?;
        match fs.remove_dir(&self.dir) {
            // What could not be read was set aside.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed,
        }
    }
}

/// Reads.
impl<F: SpoolFs> Folder<F> {
    /// Reads the record with the event at the first of these positions, or the first one behind it. `None`: there is none.
    /// What cannot be read is set aside and skipped.
    pub(super) fn read(&mut self, fs: &F, positions: Range<u64>) -> io::Result<Option<(RecordHeader, Vec<u8>)>> {
        let mut start = positions.start;
        while start < positions.end {
            let Some(index) = self.segments.iter().position(|segment| segment.end > start) else { return Ok(None) };
            if index > 0 {
                self.segments[index - 1].file = None;
            }
            let segment = &mut self.segments[index];
            start = start.max(segment.name.first);
            if segment.file.is_none() {
                match fs.open(&self.dir.join(segment.name.file()), false) {
                    Ok(file) => segment.file = Some(file),
                    // Deleted by hand.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        start = segment.end;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let segment = &self.segments[index];
            let (at, mut offset, mut position) = self.cursor;
            if at != segment.name.first || position > start || offset == 0 {
                (offset, position) = (HEADER_BYTES as u64, segment.name.first);
            }
            match read_in(fs, segment, &mut offset, &mut position, start) {
                Ok(found) => {
                    self.cursor = (segment.name.first, offset, position);
                    match found {
                        Found::Record(header, payload) if header.positions().end <= positions.end => {
                            return Ok(Some((header, payload)));
                        }
                        Found::Record(..) => return Ok(None),
                        Found::Nothing => start = segment.end,
                    }
                }
                Err(_) => {
                    start = segment.end;
                    self.set_aside(fs, index);
                }
            }
        }
        Ok(None)
    }

    /// Keeps a segment that cannot be read, for someone who can.
    fn set_aside(&mut self, fs: &F, index: usize) {
        let name = self.segments[index].name.file();
        // If it cannot be renamed, the next process tries to read it again.
        fs.rename(&self.dir.join(&name), &self.dir.join(format!("{name}.unreadable"))).unwrap_or_default();
        self.segments.remove(index);
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}
