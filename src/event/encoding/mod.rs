//! Anywhere (pure): the byte form of field values, and its reader.
//!
//! Invariants:
//! * A value is a tag byte and a payload. Numbers have fixed payloads, little-endian; texts have their length before
//!   them, in one byte or (tag with [`LONG`]) in four.
//! * The values of a call site's static names come first, in their order, then pairs of a name (encoded as a text) and
//!   a value. The names of a context may be qualified: see `PairName`.
//! * The bytes are inline until they no longer fit, then all of them are on the heap and `len` is [`SPILLED`], an index
//!   past the end of the inline buffer: the inline attempt of every later write then fails by its own bounds check.

mod reader;
#[cfg(test)]
mod tests;
mod truncate;

use std::fmt::{self, Write};

pub use reader::Fields;
pub(crate) use reader::{FieldLayer, Reader};
use truncate::clip;
pub(super) use truncate::values;

use super::value::{ErrorChain, FAILED_MARK, MAX_ERRORS, Value};

/// With the other three words of an event: 128 bytes, two cache lines.
const INLINE: usize = 94;
const SPILLED: u8 = u8::MAX;
const FIRST_HEAP_BYTES: usize = 256;
/// The longest text of a value.
const MAX_TEXT_BYTES: usize = 64 << 20;

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const I64: u8 = 3;
    pub(super) const U64: u8 = 4;
    pub(super) const F64: u8 = 5;
    pub(super) const I128: u8 = 6;
    pub(super) const U128: u8 = 7;
    pub(super) const STR: u8 = 8;
    pub(super) const DEBUG: u8 = 9;
    pub(super) const BYTES: u8 = 10;
    pub(super) const JSON: u8 = 11;
    pub(super) const ERROR: u8 = 12;
    /// The name of a pair, with a qualifier.
    pub(super) const QUALIFIED: u8 = 13;
    pub(super) const F32: u8 = 14;
}

/// Set on a text's tag when its length takes four bytes.
const LONG: u8 = 0x80;

/// Follows a qualified name: as many of them as needed are appended where another field has the name already.
const SPARE: &str = "________";

/// What kind of text a formatted value is.
#[derive(Clone, Copy)]
pub(crate) enum TextKind {
    Str,
    Debug,
    #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "only `@value` writes JSON"))]
    Json,
}

/// Field values in their byte form, and the flag byte that fills the space beside them.
#[derive(Clone)]
pub(crate) struct EncodedFields {
    // A box of a vector, not a vector: the indirection is paid by the rare long event, the 16 bytes by every event.
    #[expect(clippy::box_collection)]
    heap: Option<Box<Vec<u8>>>,
    len: u8,
    pub(super) flags: u8,
    inline: [u8; INLINE],
}

impl EncodedFields {
    #[inline]
    pub(super) const fn new(flags: u8) -> Self {
        EncodedFields { heap: None, len: 0, flags, inline: [0; INLINE] }
    }

    /// Returns fields with these flags and bytes, which were those of others.
    #[cfg(feature = "spool")]
    pub(super) fn restored(flags: u8, bytes: &[u8]) -> Self {
        let mut fields = EncodedFields::new(flags);
        match fields.inline.get_mut(..bytes.len()) {
            Some(inline) => {
                inline.copy_from_slice(bytes);
                fields.len = bytes.len() as u8;
            }
            None => {
                fields.heap = Some(Box::new(bytes.to_vec()));
                fields.len = SPILLED;
            }
        }
        fields
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.heap {
            None => self.inline.get(..self.len as usize).unwrap_or_default(),
            Some(heap) => heap,
        }
    }

    /// Returns the heap memory this value holds, as the memory accounts charge it.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.heap {
            None => 0,
            Some(heap) => heap.capacity() + size_of::<Vec<u8>>(),
        }
    }

    // Always: at a call the variant is known, and the match folds into the one store it needs.
    #[inline(always)]
    pub(super) fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Null => self.put(tag::NULL, []),
            Value::Bool(v) => self.put(if v { tag::TRUE } else { tag::FALSE }, []),
            Value::I64(v) => self.put(tag::I64, v.to_le_bytes()),
            Value::U64(v) => self.put(tag::U64, v.to_le_bytes()),
            Value::F32(v) => self.put(tag::F32, v.to_le_bytes()),
            Value::F64(v) => self.put(tag::F64, v.to_le_bytes()),
            Value::I128(v) => self.put(tag::I128, v.to_le_bytes()),
            Value::U128(v) => self.put(tag::U128, v.to_le_bytes()),
            Value::Str(v) => self.push_text(tag::STR, v.as_bytes()),
            Value::Debug(v) => self.push_text(tag::DEBUG, v.as_bytes()),
            Value::Json(v) => self.push_text(tag::JSON, v.as_bytes()),
            Value::Bytes(v) => self.push_text(tag::BYTES, v),
            Value::Error(chain) => self.push_error(chain, MAX_TEXT_BYTES),
        }
    }

    /// Writes a value that exists only as a formatting, straight into the buffer, up to `most` bytes. A formatting that fails
    /// leaves the text it has written and a mark.
    pub(super) fn push_format(
        &mut self,
        kind: TextKind,
        most: usize,
        write: impl FnOnce(&mut dyn Write) -> fmt::Result,
    ) {
        let tag = match kind {
            TextKind::Str => tag::STR,
            TextKind::Debug => tag::DEBUG,
            TextKind::Json => tag::JSON,
        };
        let start = self.open_text(tag);
        let mut text = TextWriter { to: self, room: most, truncated: false };
        let failed = write(&mut text).is_err();
        // A formatting may swallow the error that a full text returned.
        if failed || text.truncated {
            // Half a document would not parse, so a JSON value becomes text here.
            self.append(FAILED_MARK.as_bytes());
            self.bytes_mut()[start] = if tag == tag::JSON { tag::STR } else { tag };
        }
        self.close_text(start);
    }

    #[inline]
    pub(super) fn push_named(&mut self, name: &str, value: Value<'_>) {
        self.push_text(tag::STR, name.as_bytes());
        self.push(value);
    }

    /// Writes the name of a pair, whose value is to be pushed next, with the longer name that it has where an event's own
    /// field has this one: `qualifier` and `name`.
    #[cfg(feature = "tracing")]
    pub(super) fn push_qualified(&mut self, qualifier: &str, name: &str) {
        let parts = [&(qualifier.len() as u32).to_le_bytes(), qualifier.as_bytes(), name.as_bytes(), SPARE.as_bytes()];
        self.push_text(tag::QUALIFIED, &parts.concat());
    }

    /// Two stores into one checked slot: assembling tag and payload first costs a store-forwarding stall.
    #[inline]
    fn put<const N: usize>(&mut self, tag: u8, payload: [u8; N]) {
        let at = self.len as usize;
        match self.inline.get_mut(at..at + 1 + N) {
            Some(slot) => {
                slot[0] = tag;
                slot[1..].copy_from_slice(&payload);
                self.len += 1 + N as u8;
            }
            None => {
                let heap = self.spill();
                heap.push(tag);
                heap.extend_from_slice(&payload);
            }
        }
    }

    #[inline]
    fn push_text(&mut self, tag: u8, text: &[u8]) {
        let at = self.len as usize;
        match self.inline.get_mut(at..at + 2 + text.len()) {
            Some(slot) => {
                slot[0] = tag;
                slot[1] = text.len() as u8;
                slot[2..].copy_from_slice(text);
                self.len += 2 + text.len() as u8;
            }
            None => self.push_long_text(tag, text),
        }
    }

    #[cold]
    fn push_long_text(&mut self, tag: u8, text: &[u8]) {
        let heap = self.spill();
        let (tag, text) = match text.len() {
            ..=MAX_TEXT_BYTES => (tag, text),
            // Half a document would not parse.
            _ => (if tag == tag::JSON { tag::STR } else { tag }, clip(tag, text, MAX_TEXT_BYTES)),
        };
        heap.reserve(5 + text.len());
        match u8::try_from(text.len()) {
            Ok(len) => heap.extend_from_slice(&[tag, len]),
            Err(_) => {
                heap.push(tag | LONG);
                heap.extend_from_slice(&(text.len() as u32).to_le_bytes());
            }
        }
        heap.extend_from_slice(text);
    }

    #[cold]
    pub(super) fn push_error(&mut self, chain: ErrorChain<'_>, most: usize) {
        let start = self.open_text(tag::ERROR);
        let mut room = most;
        match chain.as_live() {
            Some(error) => {
                // Sources may lead back to their start.
                for error in std::iter::successors(Some(error), |error| error.source()).take(MAX_ERRORS) {
                    room = self.push_message(room, |to| write!(to, "{error}"));
                }
            }
            None => {
                for message in chain.messages() {
                    room = self.push_message(room, |to| to.write_str(&message));
                }
            }
        }
        self.close_text(start);
    }

    /// Writes one message of a chain with room for so many bytes; returns the remaining room.
    fn push_message(&mut self, room: usize, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> usize {
        let start = self.bytes().len();
        self.append(&[0; 4]);
        let mut text = TextWriter { to: self, room, truncated: false };
        let failed = write(&mut text).is_err();
        let room = text.room;
        if failed || text.truncated {
            self.append(FAILED_MARK.as_bytes());
        }
        let bytes = self.bytes_mut();
        let len = (bytes.len() - start - 4) as u32;
        bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        room
    }

    /// Begins a text whose length is not known yet; returns its offset.
    fn open_text(&mut self, tag: u8) -> usize {
        let start = self.bytes().len();
        self.append(&[tag, 0]);
        start
    }

    /// Ends the text begun at `start`, which reaches to the end of the bytes.
    fn close_text(&mut self, start: usize) {
        let bytes = self.bytes_mut();
        let len = bytes.len() - start - 2;
        match u8::try_from(len) {
            Ok(len) => bytes[start + 1] = len,
            Err(_) => {
                // More than 255 bytes never fit inline, so this is the heap.
                bytes[start] |= LONG;
                let len = (len as u32).to_le_bytes();
                self.spill().splice(start + 1..start + 2, len);
            }
        }
    }

    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let at = self.len as usize;
        match self.inline.get_mut(at..at + bytes.len()) {
            Some(slot) => {
                slot.copy_from_slice(bytes);
                self.len += bytes.len() as u8;
            }
            None => self.spill().extend_from_slice(bytes),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.heap {
            None => &mut self.inline[..self.len as usize],
            Some(heap) => heap,
        }
    }

    #[cold]
    fn spill(&mut self) -> &mut Vec<u8> {
        let (inline, len) = (&self.inline, self.len);
        self.len = SPILLED;
        self.heap.get_or_insert_with(|| {
            let mut heap = Vec::with_capacity(FIRST_HEAP_BYTES);
            heap.extend_from_slice(&inline[..len as usize]);
            Box::new(heap)
        })
    }
}

struct TextWriter<'a> {
    to: &'a mut EncodedFields,
    room: usize,
    /// A write was refused for lack of room.
    truncated: bool,
}

impl TextWriter<'_> {
    /// Writes as much as there is room for.
    #[cold]
    fn truncate(&mut self, text: &str) -> fmt::Result {
        if !std::mem::replace(&mut self.truncated, true) {
            let fits = (0..=self.room).rev().find(|end| text.is_char_boundary(*end));
            self.to.append(&text.as_bytes()[..fits.unwrap_or(0)]);
            self.room = 0;
        }
        Err(fmt::Error)
    }
}

impl Write for TextWriter<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self.room.checked_sub(text.len()) {
            Some(room) if !self.truncated => {
                self.room = room;
                self.to.append(text.as_bytes());
                Ok(())
            }
            _ => self.truncate(text),
        }
    }
}
