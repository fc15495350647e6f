//! Anywhere (pure): numbers and texts in stored bytes.

use super::MalformedBatch;

/// A number has at most so many bytes.
const MAX_NUMBER_BYTES: usize = 10;
/// Nothing has more parts than a batch may have events.
const MAX_COUNT: u64 = 1 << 16;

/// Appends a number in LEB128: seven bits a byte, the lowest first, the highest bit set in all but the last.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads them.
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Bytes { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedBatch> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(MalformedBatch)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn flag(&mut self) -> Result<bool, MalformedBatch> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(MalformedBatch),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, MalformedBatch> {
        let mut number = 0;
        for place in 0..MAX_NUMBER_BYTES {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MalformedBatch)
    }

    /// Reads how many parts follow.
    pub(super) fn count(&mut self) -> Result<usize, MalformedBatch> {
        let count = self.number()?;
        if count <= MAX_COUNT { Ok(count as usize) } else { Err(MalformedBatch) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MalformedBatch> {
        let len = usize::try_from(self.number()?).map_err(|_| MalformedBatch)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(MalformedBatch)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, MalformedBatch> {
        std::str::from_utf8(self.bytes()?).map_err(|_| MalformedBatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back() {
        for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            let mut bytes = Bytes::new(&out);
            assert_eq!((bytes.number(), bytes.is_empty()), (Ok(number), true), "{out:?}");
        }
        assert_eq!(Bytes::new(&[0x80; 11]).number(), Err(MalformedBatch));
        assert_eq!(Bytes::new(&[0x80]).number(), Err(MalformedBatch));
    }
}
