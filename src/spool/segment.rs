//! A spool's thread: the records of one segment, and the search for the undamaged ones.

use std::io;
use std::ops::Range;

use super::fs::SpoolFs;
use super::layout::{RECORD_BYTES, RecordHeader, SegmentName};

/// A read that fails is tried so many times.
const READ_TRIES: u32 = 3;
/// What is read at once where a record is searched for.
pub(super) const WINDOW_BYTES: usize = 256 << 10;

/// The file of a run of events.
pub(super) struct Segment<F: SpoolFs> {
    pub(super) name: SegmentName,
    /// Behind its last event.
    pub(super) end: u64,
    /// Its bytes.
    pub(super) len: u64,
    pub(super) file: Option<F::File>,
}

/// What was read of a segment.
pub(super) enum Found {
    Record(RecordHeader, Vec<u8>),
    Nothing,
}

impl<F: SpoolFs> Segment<F> {
    pub(super) fn positions(&self) -> Range<u64> {
        self.name.first..self.end
    }
}

/// Appends the bytes of records; returns the position behind them.
pub(super) fn put_records(segment: SegmentName, mut position: u64, records: &[(u32, &[u8])], out: &mut Vec<u8>) -> u64 {
    for (events, payload) in records {
        out.extend_from_slice(&RecordHeader::new(segment, position, *events, payload).to_bytes());
        out.extend_from_slice(payload);
        position += u64::from(*events);
    }
    position
}

/// Reads the first record that ends behind `start`, from an offset on, at which a record with this position is expected.
pub(super) fn read_in<F: SpoolFs>(
    fs: &F,
    segment: &Segment<F>,
    offset: &mut u64,
    position: &mut u64,
    start: u64,
) -> io::Result<Found> {
    let mut tries = 0;
    loop {
        match next_record(fs, segment, *offset, *position) {
            Ok((Found::Record(header, payload), next)) => {
                (*offset, *position) = (next, header.positions().end);
                if header.positions().end > start {
                    return Ok(Found::Record(header, payload));
                }
            }
            Ok((Found::Nothing, _)) => return Ok(Found::Nothing),
            Err(error) => {
                tries += 1;
                if tries == READ_TRIES {
                    return Err(error);
                }
            }
        }
    }
}

/// Reads the record at an offset, or the first valid one behind it; returns the offset behind it.
pub(super) fn next_record<F: SpoolFs>(
    fs: &F,
    segment: &Segment<F>,
    offset: u64,
    position: u64,
) -> io::Result<(Found, u64)> {
    let Some(file) = &segment.file else { return Ok((Found::Nothing, offset)) };
    if let Some(record) = record_at(fs, file, segment, offset, position)? {
        let next = offset + record.0.bytes();
        return Ok((Found::Record(record.0, record.1), next));
    }
    // Damaged, or the end. The next header that is plausible, if its checksum is right, is one.
    let mut window = vec![0; WINDOW_BYTES];
    let mut from = offset + 1;
    while from < segment.len {
        let len = fs.read_at(file, &mut window, from)?;
        for at in 0..len.saturating_sub(RECORD_BYTES - 1) {
            let here = from + at as u64;
            let positions = position..segment.end;
            if RecordHeader::plausible(&window[at..], &positions, segment.len - here).is_some()
                && let Some((header, payload)) = record_at(fs, file, segment, here, position)?
            {
                return Ok((Found::Record(header, payload), here + header.bytes()));
            }
        }
        if len < window.len() {
            break;
        }
        from += (len - RECORD_BYTES + 1) as u64;
    }
    Ok((Found::Nothing, segment.len))
}

/// Reads the record at an offset, if there is a valid one.
fn record_at<F: SpoolFs>(
    fs: &F,
    file: &F::File,
    segment: &Segment<F>,
    offset: u64,
    position: u64,
) -> io::Result<Option<(RecordHeader, Vec<u8>)>> {
    let room = segment.len.saturating_sub(offset + RECORD_BYTES as u64);
    let mut header = [0; RECORD_BYTES];
    if fs.read_at(file, &mut header, offset)? < RECORD_BYTES {
        return Ok(None);
    }
    let Some(header) = RecordHeader::plausible(&header, &(position..segment.end), room) else { return Ok(None) };
    let mut payload = vec![0; header.payload as usize];
    let len = fs.read_at(file, &mut payload, offset + RECORD_BYTES as u64)?;
    let is_whole = len == payload.len() && header.is_valid(segment.name, &payload);
    Ok(is_whole.then_some((header, payload)))
}
