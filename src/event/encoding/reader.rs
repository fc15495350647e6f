//! Anywhere (pure): reads encoded values; the fields of an event, its context and its enrichment.

use std::fmt;

use super::super::value::{ErrorChain, Value};
use super::{LONG, SPARE, tag};

/// Reads encoded values; ends at bytes it cannot read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in super::super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (payload, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*payload)
    }

    #[inline]
    fn text(&mut self, tag: u8) -> Option<&'a [u8]> {
        let len = if tag & LONG == 0 {
            u8::from_le_bytes(self.take()?) as usize
        } else {
            u32::from_le_bytes(self.take()?) as usize
        };
        let (text, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(text)
    }

    /// Skips one value; returns the length of its text.
    #[inline]
    pub(in super::super) fn skip_value(&mut self) -> Option<usize> {
        let [tag] = self.take()?;
        let fixed = match tag & !LONG {
            tag::NULL | tag::FALSE | tag::TRUE => 0,
            tag::F32 => 4,
            tag::I64 | tag::U64 | tag::F64 => 8,
            tag::I128 | tag::U128 => 16,
            tag::STR..=tag::QUALIFIED => return self.text(tag).map(<[u8]>::len),
            _ => return None,
        };
        self.rest = self.rest.get(fixed..)?;
        Some(0)
    }

    /// Reads a value that is a `Str`, or the name of a pair.
    #[inline]
    pub(in super::super) fn name(&mut self) -> Option<&'a str> {
        self.name_bytes().map(utf8)
    }

    #[inline]
    fn name_bytes(&mut self) -> Option<&'a [u8]> {
        let [tag] = self.take()?;
        match tag & !LONG {
            tag::STR => self.text(tag),
            tag::QUALIFIED => Some(PairName::qualified(self.text(tag)?).bytes()),
            _ => None,
        }
    }

    /// Reads the name of a pair with all its forms.
    pub(in super::super) fn pair_name(&mut self) -> Option<PairName<'a>> {
        let [tag] = self.take()?;
        match tag & !LONG {
            tag::STR => Some(PairName { text: self.text(tag)?, start: 0, spare: 0 }),
            tag::QUALIFIED => Some(PairName::qualified(self.text(tag)?)),
            _ => None,
        }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let [tag] = self.take()?;
        Some(match tag & !LONG {
            tag::NULL => Value::Null,
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::I64 => Value::I64(i64::from_le_bytes(self.take()?)),
            tag::U64 => Value::U64(u64::from_le_bytes(self.take()?)),
            tag::F32 => Value::F32(f32::from_le_bytes(self.take()?)),
            tag::F64 => Value::F64(f64::from_le_bytes(self.take()?)),
            tag::I128 => Value::I128(i128::from_le_bytes(self.take()?)),
            tag::U128 => Value::U128(u128::from_le_bytes(self.take()?)),
            tag::STR => Value::Str(utf8(self.text(tag)?)),
            tag::DEBUG => Value::Debug(utf8(self.text(tag)?)),
            tag::JSON => Value::Json(utf8(self.text(tag)?)),
            tag::BYTES => Value::Bytes(self.text(tag)?),
            tag::QUALIFIED => Value::Str(utf8(PairName::qualified(self.text(tag)?).bytes())),
            tag::ERROR => Value::Error(ErrorChain::encoded(self.text(tag)?)),
            _ => return None,
        })
    }
}

/// The bytes were a `str` when they were written; the check is the price of reading them back without `unsafe`.
#[inline]
fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("\u{FFFD}")
}

/// The name of a pair. That of a span's field is qualified by the name of its span: where a nearer field has the same
/// name, it is `span.field`, so that both are kept.
#[derive(Clone, Copy)]
pub(in super::super) struct PairName<'a> {
    /// The qualifier, the name, and [`SPARE`].
    text: &'a [u8],
    /// Where the name begins.
    start: usize,
    /// 0 for a name that cannot be qualified: a nearer field overrides it.
    spare: usize,
}

impl<'a> PairName<'a> {
    fn qualified(payload: &'a [u8]) -> Self {
        let plain = PairName { text: payload, start: 0, spare: 0 };
        let Some((start, text)) = payload.split_first_chunk::<4>() else { return plain };
        let name = PairName { text, start: u32::from_le_bytes(*start) as usize, spare: SPARE.len() };
        if name.start + SPARE.len() <= text.len() { name } else { plain }
    }

    #[inline]
    fn bytes(self) -> &'a [u8] {
        &self.text[self.start..self.text.len() - self.spare]
    }

    /// Returns the name without a qualifier.
    pub(in super::super) fn name(self) -> &'a str {
        utf8(self.bytes())
    }

    /// Returns every name under which the field may be read, without the `_` that keep names apart.
    pub(in super::super) fn forms(self) -> impl Iterator<Item = &'a str> {
        let is_qualified = self.spare > 0;
        let whole = self.alternatives().next();
        let apart = is_qualified.then(|| self.name().trim_end_matches('_'));
        [Some(self.name()), whole, apart].into_iter().flatten()
    }

    /// Returns the names to use instead where a nearer field has this one, the best first.
    pub(in super::super) fn alternatives(self) -> impl Iterator<Item = &'a str> {
        let PairName { text, spare, .. } = self;
        let ends = if spare == 0 { 0..0 } else { text.len() - spare..text.len() + 1 };
        ends.map(move |end| utf8(&text[..end]))
    }
}

/// A layer of fields: static names with their values, then named pairs.
#[derive(Clone, Copy, Default)]
pub(crate) struct FieldLayer<'a> {
    pub(in super::super) names: &'a [&'static str],
    pub(in super::super) values: Reader<'a>,
}

impl<'a> FieldLayer<'a> {
    /// Returns whether there is a field of this name. Compares bytes and reads no value: it is called for every field
    /// of the layers after this one.
    pub(in super::super) fn has(self, name: &str) -> bool {
        let FieldLayer { names, mut values } = self;
        if names.contains(&name) {
            return true;
        }
        for _ in names {
            values.skip_value();
        }
        while let Some(other) = values.name_bytes() {
            if other == name.as_bytes() {
                return true;
            }
            values.skip_value();
        }
        false
    }
}

impl<'a> Iterator for FieldLayer<'a> {
    type Item = (&'a str, Value<'a>);

    // Always, like that of `Fields`, which calls it in one place.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self.names.split_first() {
            Some((name, rest)) => {
                self.names = rest;
                Some((name, self.values.next()?))
            }
            None => Some((self.values.name()?, self.values.next()?)),
        }
    }
}

/// The fields of an event, each name once: the event's own before its context's before the logger's enrichment.
///
/// Where two have one name, the nearest wins; but a span's field that a nearer field hides has the name `span.field`
/// instead (feature `tracing`).
#[derive(Clone)]
pub struct Fields<'a> {
    /// Within a layer names are unique: call sites are checked when they compile, pairs when they are added.
    layers: [FieldLayer<'a>; 3],
    current: FieldLayer<'a>,
    at: usize,
}

impl<'a> Fields<'a> {
    pub(in super::super) fn new(layers: [FieldLayer<'a>; 3]) -> Self {
        Fields { layers, current: layers[0], at: 0 }
    }

    /// Returns the name of a field of the context whose own name a field of the event has; none if it is overridden.
    #[cold]
    fn other_name(&self, name: &str) -> Option<&'a str> {
        let [event, context, _] = self.layers;
        if self.at != 1 {
            return None;
        }
        let (mut pairs, mut given) = (context.values, Vec::new());
        while let Some(pair) = pairs.pair_name() {
            pairs.skip_value();
            if event.has(pair.name()) {
                let is_free =
                    |other: &&str| !given.contains(other) && !self.layers.iter().any(|layer| layer.has(other));
                let other = pair.alternatives().find(is_free);
                if std::ptr::eq(pair.bytes().as_ptr(), name.as_ptr()) {
                    return other;
                }
                given.extend(other);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, Value<'a>);

    // Always: with several formats it would be a call for each field, a tenth of the instructions of a line.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.current.next() {
                Some((name, value)) if self.layers[..self.at].iter().any(|layer| layer.has(name)) => {
                    if let Some(name) = self.other_name(name) {
                        return Some((name, value));
                    }
                }
                Some(field) => return Some(field),
                None => {
                    let next = self.layers.get(self.at + 1)?;
                    self.at += 1;
                    self.current = *next;
                }
            }
        }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
