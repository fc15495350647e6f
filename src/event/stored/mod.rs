//! Anywhere (pure): the form in which a batch is kept outside the process.
//!
//! A stored batch is complete in itself: it has the call sites, the contexts and the enrichment of its events, each once. So
//! what is damaged elsewhere does not concern it. Numbers are LEB128, texts and bytes have their length before them.
//!
//! ```text
//!  batch    = first id: 16 bytes, little-endian
//!             count: number │ 0, if the ids have no gaps; else 1 and, for each event but the first, its distance: number
//!             enrichment: 0, or 1 and fields │ contexts: count, fields of each │ call sites: count, each
//!             events
//!  event    = flags: 1 byte │ time: 8 bytes │ call site: number │ context: 0, or its number from 1 │ fields
//!  fields   = bytes, as in `encoding`
//!  site     = bytes: target, module, file: text │ line: number │ template: text │ names: count, text of each
//!             pieces of the template: count, each 0 and a text, or 1 and field, alignment, format
//! ```

mod bytes;
mod sites;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, put_bytes, put_number};

use super::encoding::EncodedFields;
use super::{Batch, Event, EventId, SharedFields};

/// A stored batch that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedBatch;

/// The distinct values of a batch that many of its events share, by their addresses, in the order of their first use.
struct Distinct<T> {
    values: Vec<T>,
    numbers: HashMap<usize, usize>,
    /// The address that was used last, and its number.
    last: (usize, usize),
}

impl<T> Distinct<T> {
    fn new() -> Self {
        Distinct { values: Vec::new(), numbers: HashMap::new(), last: (0, 0) }
    }

    /// Returns the number of the value at an address, which is added if it is new.
    fn number(&mut self, value: T, address: usize) -> usize {
        if self.last.0 != address {
            let new = self.values.len();
            let number = *self.numbers.entry(address).or_insert(new);
            if number == new {
                self.values.push(value);
            }
            self.last = (address, number);
        }
        self.last.1
    }
}

/// Appends the stored form of a batch, which is a view of one dispatched batch or of a part of it.
pub(crate) fn store(batch: &Batch, out: &mut Vec<u8>) {
    let Some(first) = batch.get(0) else { return };
    out.extend_from_slice(&first.id().to_u128().to_le_bytes());
    put_number(out, batch.len() as u64);
    put_distances(batch, out);
    match first.enrichment {
        None => out.push(0),
        Some(enrichment) => {
            out.push(1);
            put_bytes(out, enrichment.encoded());
        }
    }
    let (mut contexts, mut sites) = (Distinct::<&Arc<SharedFields>>::new(), Distinct::new());
    let mut events = Vec::with_capacity(batch.len() * 64);
    for record in batch.iter() {
        let Event { callsite, timestamp, context, fields } = record.event;
        events.push(fields.flags);
        events.extend_from_slice(&timestamp.to_le_bytes());
        put_number(&mut events, sites.number(*callsite, std::ptr::from_ref(*callsite).addr()) as u64);
        let context = context.as_ref().map_or(0, |context| 1 + contexts.number(context, Arc::as_ptr(context).addr()));
        put_number(&mut events, context as u64);
        put_bytes(&mut events, fields.bytes());
    }
    put_number(out, contexts.values.len() as u64);
    contexts.values.iter().for_each(|context| put_bytes(out, context.encoded()));
    put_number(out, sites.values.len() as u64);
    sites.values.iter().for_each(|site| put_bytes(out, &sites::define(site)));
    out.extend_from_slice(&events);
}

/// Appends how far each event's id is from the one before it.
fn put_distances(batch: &Batch, out: &mut Vec<u8>) {
    let numbers = || batch.iter().map(|record| record.id().to_u128());
    let distances = || numbers().skip(1).zip(numbers()).map(|(next, id)| next.wrapping_sub(id) as u64);
    let has_gaps = distances().any(|distance| distance != 1);
    out.push(u8::from(has_gaps));
    if has_gaps {
        distances().for_each(|distance| put_number(out, distance));
    }
}

/// Restores a batch from its stored form, which is all of `stored`.
///
/// # Errors
/// Returns an error for bytes that are no stored batch.
pub(crate) fn restore(stored: &[u8]) -> Result<Batch, MalformedBatch> {
    let mut bytes = Bytes::new(stored);
    let first_id = EventId::from_u128(u128::from_le_bytes(bytes.array()?));
    let count = bytes.count()?;
    let mut numbers = None;
    if bytes.flag()? {
        let mut number = 0_u32;
        let mut all = vec![0];
        for _ in 1..count {
            let distance = u32::try_from(bytes.number()?).map_err(|_| MalformedBatch)?;
            number = number.checked_add(distance).ok_or(MalformedBatch)?;
            all.push(number);
        }
        numbers = Some(all);
    }
    let shared = |fields: &[u8]| Arc::new(SharedFields::restored(EncodedFields::restored(0, fields)));
    let enrichment = if bytes.flag()? { Some(shared(bytes.bytes()?)) } else { None };
    let contexts =
        (0..bytes.count()?).map(|_| Ok(shared(bytes.bytes()?))).collect::<Result<Vec<_>, MalformedBatch>>()?;
    let sites = (0..bytes.count()?).map(|_| sites::intern(bytes.bytes()?)).collect::<Result<Vec<_>, _>>()?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let [flags] = bytes.array()?;
        let timestamp = u64::from_le_bytes(bytes.array()?);
        let site = usize::try_from(bytes.number()?).ok().and_then(|site| sites.get(site)).ok_or(MalformedBatch)?;
        let context = match bytes.number()? {
            0 => None,
            number => Some(contexts.get(number as usize - 1).ok_or(MalformedBatch)?.clone()),
        };
        let fields = EncodedFields::restored(flags, bytes.bytes()?);
        events.push(site.event(timestamp, context, fields));
    }
    if !bytes.is_empty() || events.is_empty() {
        return Err(MalformedBatch);
    }
    Ok(Batch::restored(events.into(), numbers.map(Arc::from), enrichment, first_id))
}
