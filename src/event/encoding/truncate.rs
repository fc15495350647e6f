//! Anywhere (pure): truncates the longest texts of an event that is longer than allowed.

use super::super::value::Value;
use super::{EncodedFields, Reader, tag};

impl EncodedFields {
    /// Releases the spare room of a spilled buffer if that is worth a reallocation, or if the buffer takes more than
    /// `max`.
    pub(in super::super) fn shrink(&mut self, max: usize) {
        if let Some(heap) = &mut self.heap
            && (heap.capacity() - heap.len() > heap.len() / 2 || heap.capacity() > max)
        {
            heap.shrink_to_fit();
        }
    }

    /// Truncates the longest text values until at most `max` bytes are left, and drops the pairs whose name alone takes
    /// more than a quarter of that. `names` is the number of static names.
    #[cold]
    pub(in super::super) fn truncate_to(&mut self, max: usize, names: usize) {
        if self.bytes().len() > max {
            *self = self.without_names_over(max / 4, names);
        }
        while self.bytes().len() > max {
            let excess = self.bytes().len() - max;
            let bytes = self.bytes();
            let longest = values(bytes, names).filter(|span| span.text_len > 0).max_by_key(|span| span.text_len);
            let mut shorter = EncodedFields::new(self.flags);
            match longest {
                Some(span) => {
                    shorter.append(&bytes[..span.start]);
                    shorter.push_truncated(&bytes[span.start..span.end], span.text_len.saturating_sub(excess));
                    shorter.append(&bytes[span.end..]);
                }
                // Numbers alone are over the limit: keep the whole values that fit.
                None => {
                    let fit = values(bytes, names).map(|span| span.end).take_while(|&end| end <= max).last();
                    shorter.append(&bytes[..fit.unwrap_or(0)]);
                }
            }
            *self = shorter;
        }
        if let Some(heap) = &mut self.heap {
            heap.shrink_to_fit();
        }
    }

    /// Returns a copy with other values from value number `first` on. `names` is the number of static names.
    pub(in super::super) fn with_values<const N: usize>(
        &self,
        first: usize,
        new: [Value<'_>; N],
        names: usize,
    ) -> Self {
        let (bytes, mut fields) = (self.bytes(), EncodedFields::new(self.flags));
        let start = values(bytes, names).nth(first).map_or(bytes.len(), |span| span.start);
        let end = values(bytes, names).nth(first + N - 1).map_or(bytes.len(), |span| span.end);
        fields.append(&bytes[..start]);
        new.into_iter().for_each(|value| fields.push(value));
        fields.append(&bytes[end..]);
        fields
    }

    /// Returns a copy without pairs whose name is longer: a truncated name would be another name, and to make room for
    /// a long one every text would be truncated.
    fn without_names_over(&self, longest: usize, names: usize) -> Self {
        let (bytes, mut kept) = (self.bytes(), EncodedFields::new(self.flags));
        let mut from = 0;
        for value in values(bytes, names) {
            if value.name_len <= longest {
                kept.append(&bytes[from..value.end]);
            }
            from = value.end;
        }
        kept
    }

    /// Writes the one encoded text value in `encoded` again with at most `keep` bytes of text.
    fn push_truncated(&mut self, encoded: &[u8], keep: usize) {
        match (Reader { rest: encoded }).next() {
            Some(Value::Bytes(bytes)) => self.push_text(tag::BYTES, &bytes[..keep.min(bytes.len())]),
            Some(Value::Debug(text)) => self.push_text(tag::DEBUG, clip(tag::DEBUG, text.as_bytes(), keep)),
            // Half a JSON document or half a chain becomes text.
            Some(value) => {
                let text = value.to_string();
                self.push_text(tag::STR, clip(tag::STR, text.as_bytes(), keep));
            }
            None => {}
        }
    }
}

/// Returns at most `max` bytes of `text`, ending on a character boundary unless these are bytes.
pub(super) fn clip(tag: u8, text: &[u8], max: usize) -> &[u8] {
    let mut end = max.min(text.len());
    while tag != tag::BYTES && end > 0 && end < text.len() && text[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

/// The range of a value in the bytes, from its tag to its end.
pub(in super::super) struct ValueSpan {
    pub(in super::super) start: usize,
    pub(in super::super) end: usize,
    /// 0 for a value that is no text.
    text_len: usize,
    /// 0 for a value of a static name.
    name_len: usize,
}

/// Returns the values (not the names of pairs) in encoded bytes.
pub(in super::super) fn values(bytes: &[u8], names: usize) -> impl Iterator<Item = ValueSpan> {
    let mut reader = Reader { rest: bytes };
    let mut index = 0;
    std::iter::from_fn(move || {
        let mut name_len = 0;
        loop {
            let start = bytes.len() - reader.rest.len();
            let text_len = reader.skip_value()?;
            let end = bytes.len() - reader.rest.len();
            index += 1;
            let is_name = index > names && (index - names) % 2 == 1;
            if !is_name {
                return Some(ValueSpan { start, end, text_len, name_len });
            }
            name_len = text_len;
        }
    })
}
