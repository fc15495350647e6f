//! Anywhere (pure): the wire format of Protocol Buffers, as far as OTLP needs it.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>. A message is written before its length is known: the length
//! has a place of a fixed size, filled with a varint that is padded to it, which the format allows.

/// The size of a small message's length: up to 16,383 bytes, beyond which the message is moved.
const SMALL: usize = 2;
/// The size of a large one's: up to 256 MiB.
const LARGE: usize = 4;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_tag(field: u32, kind: u32, out: &mut Vec<u8>) {
    put_varint((field << 3 | kind).into(), out);
}

/// A field of the types `int64`, `bool` or an enumeration.
pub(super) fn put_number(field: u32, value: u64, out: &mut Vec<u8>) {
    put_tag(field, VARINT, out);
    put_varint(value, out);
}

/// A field of the types `fixed64` or `double`.
pub(super) fn put_fixed64(field: u32, value: u64, out: &mut Vec<u8>) {
    put_tag(field, FIXED64, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of the types `string` or `bytes`, or a message that is encoded.
pub(super) fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(field, LEN, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A field whose content `write` appends: text, or a message that is rarely longer than 16 KiB.
pub(super) fn put_small(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(field, LEN, out);
    let start = out.len();
    out.extend_from_slice(&[0; SMALL]);
    write(out);
    let len = out.len() - start - SMALL;
    let places = len.checked_ilog2().map_or(1, |bits| bits as usize / 7 + 1).max(SMALL);
    if places > SMALL {
        out.splice(start..start, (SMALL..places).map(|_| 0));
    }
    fill(&mut out[start..start + places], len);
}

/// Begins a message that may be large; returns where its content begins.
pub(super) fn begin_large(field: u32, out: &mut Vec<u8>) -> usize {
    put_tag(field, LEN, out);
    out.extend_from_slice(&[0; LARGE]);
    out.len()
}

/// Ends a message whose content begins there.
pub(super) fn end_large(start: usize, out: &mut [u8]) {
    let len = out.len() - start;
    fill(&mut out[start - LARGE..start], len);
}

/// Fills these bytes with a varint.
fn fill(places: &mut [u8], mut value: usize) {
    let last = places.len() - 1;
    for (index, place) in places.iter_mut().enumerate() {
        *place = (value & 0x7f) as u8 | if index < last { 0x80 } else { 0 };
        value >>= 7;
    }
}

/// The fields of a message, in their order; it ends where it is malformed.
pub(super) struct EncodedMessage<'a>(pub(super) &'a [u8]);

pub(super) enum FieldValue<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl EncodedMessage<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for index in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for EncodedMessage<'a> {
    type Item = Option<(u64, FieldValue<'a>)>;

    /// `Some(None)`: it is malformed.
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut read = || {
            let tag = self.varint()?;
            let value = match tag & 7 {
                0 => FieldValue::Number(self.varint()?),
                2 => {
                    let len = usize::try_from(self.varint()?).ok()?;
                    let (bytes, rest) = self.0.split_at_checked(len)?;
                    self.0 = rest;
                    FieldValue::Bytes(bytes)
                }
                kind @ (1 | 5) => {
                    let (bytes, rest) = self.0.split_at_checked(if kind == 1 { 8 } else { 4 })?;
                    self.0 = rest;
                    FieldValue::Bytes(bytes)
                }
                _ => return None,
            };
            Some((tag >> 3, value))
        };
        let field = read();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}
