//! Anywhere (pure): the bytes of a spool's files, version 1, as `docs/spool.md` describes them. All numbers are little-endian.
//!
//! ```text
//!  segment  = header │ records
//!  header   = "LOGWEIRS" │ version: u32 │ 0: u32 │ segment id: u64 │ position of its first event: u64 │ CRC: u32 │ 0: u32
//!  record   = payload length: u32, more than 0 │ events: u32 │ position of the first: u64 │ CRC: u32 │ payload
//!  frontier = two slots, 128 KiB apart; the valid one with the higher number counts
//!  slot     = number: u64 │ frontier: u64 │ ranges: u32 │ CRC: u32 │ of each range: its start and its end, u64
//! ```
//!
//! A segment's name has its position and its id, and ids ascend: where two segments have an event, the one with the higher id
//! counts. The CRC is CRC-32C (RFC 3720) over all other fields of its header, record or slot; that of a record begins with its segment's
//! id, so that a block of another segment is not taken for one of this. A payload is a stored batch (`event::stored`).

use std::ops::Range;

use super::store::SpoolProgress;

pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 40;
pub(super) const RECORD_BYTES: usize = 20;
/// The distance of the two slots.
pub(super) const SLOT_BYTES: u64 = 128 << 10;
const SLOT_HEADER_BYTES: usize = 24;
/// What a slot has room for. The events of further ranges are delivered again after a restart.
const MAX_RANGES: usize = 8000;
/// The most events of a record.
const MAX_EVENTS: u32 = 1 << 16;
const MAGIC: [u8; 8] = *b"LOGWEIRS";

/// The identity of a segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) first: u64,
    pub(super) id: u64,
}

/// A record, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) payload: u32,
    pub(super) events: u32,
    pub(super) first: u64,
    crc: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl SegmentName {
    /// The name of its file: position and id, so that both are known if the header is damaged.
    pub(super) fn file(self) -> String {
        format!("{:020}-{:016x}.segment", self.first, self.id)
    }

    pub(super) fn of_file(name: &str) -> Option<Self> {
        let (first, id) = name.strip_suffix(".segment")?.split_once('-')?;
        Some(SegmentName { first: first.parse().ok()?, id: u64::from_str_radix(id, 16).ok()? })
    }

    pub(super) fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..24].copy_from_slice(&self.id.to_le_bytes());
        header[24..32].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&header[..32]);
        header[32..36].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

impl RecordHeader {
    pub(super) fn new(segment: SegmentName, first: u64, events: u32, payload: &[u8]) -> Self {
        let mut header = RecordHeader { payload: payload.len() as u32, events, first, crc: 0 };
        header.crc = header.checksum(segment, payload);
        header
    }

    fn checksum(self, segment: SegmentName, payload: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&segment.id.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &self.to_bytes()[..16]), payload)
    }

    pub(super) fn is_valid(self, segment: SegmentName, payload: &[u8]) -> bool {
        self.crc == self.checksum(segment, payload)
    }

    pub(super) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.payload.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.events.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Reads a header that can be one: of events within these positions, with a payload of at most so many bytes.
    pub(super) fn plausible(bytes: &[u8], positions: &Range<u64>, most_bytes: u64) -> Option<Self> {
        let (payload, events) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
        let (first, crc) = (u64_at(bytes, 8)?, u32_at(bytes, 16)?);
        let fits = first >= positions.start && first.checked_add(events.into())? <= positions.end;
        let is_one = payload > 0 && u64::from(payload) <= most_bytes && (1..=MAX_EVENTS).contains(&events);
        (fits && is_one).then_some(RecordHeader { payload, events, first, crc })
    }

    /// The positions of its events.
    pub(super) fn positions(self) -> Range<u64> {
        self.first..self.first + u64::from(self.events)
    }

    /// Its bytes in the file.
    pub(super) fn bytes(self) -> u64 {
        RECORD_BYTES as u64 + u64::from(self.payload)
    }
}

/// Returns the bytes of a slot.
pub(super) fn slot(number: u64, progress: &SpoolProgress) -> Vec<u8> {
    let ranges = &progress.settled[..progress.settled.len().min(MAX_RANGES)];
    let mut bytes = Vec::with_capacity(SLOT_HEADER_BYTES + 16 * ranges.len());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&progress.frontier.to_le_bytes());
    bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for range in ranges {
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&range.end.to_le_bytes());
    }
    let crc = slot_checksum(&bytes);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn slot_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..20]), &bytes[24..])
}

/// Reads a slot; `None` if it is not valid.
pub(super) fn read_slot(bytes: &[u8]) -> Option<(u64, SpoolProgress)> {
    let (number, frontier, ranges) = (u64_at(bytes, 0)?, u64_at(bytes, 8)?, u32_at(bytes, 16)? as usize);
    let end = SLOT_HEADER_BYTES + 16 * ranges.min(MAX_RANGES);
    let slot = bytes.get(..end).filter(|_| ranges <= MAX_RANGES)?;
    if u32_at(slot, 20)? != slot_checksum(slot) || number == 0 {
        return None;
    }
    let range = |at: usize| Some(u64_at(slot, at)?..u64_at(slot, at + 8)?);
    let settled = (0..ranges).map(|index| range(SLOT_HEADER_BYTES + 16 * index)).collect::<Option<_>>()?;
    Some((number, SpoolProgress { frontier, settled }))
}
