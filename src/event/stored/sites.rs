//! Anywhere (pure): call sites that are read back. Each is made once, and stays for the life of the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::MalformedBatch;
use super::bytes::{Bytes, put_bytes, put_number};
use crate::event::callsite::Callsite;
use crate::event::encoding::{EncodedFields, Reader};
use crate::event::template::{Hole, Piece, Template};
use crate::event::{DYNAMIC, DYNAMIC_SITE, Event, FIXED_TIME, Level, MESSAGE, SharedFields, TRUNCATED};

/// So many stay at most. Events of others have none, and the text of the template as their message.
const MAX_SITES: usize = 1 << 16;

/// By their definitions.
type StoredSites = HashMap<Box<[u8]>, &'static Callsite>;

static SITES: Mutex<Option<StoredSites>> = Mutex::new(None);

/// A call site of a stored batch.
pub(super) enum StoredSite {
    Interned(&'static Callsite),
    /// There are too many.
    Unknown {
        target: String,
        module: String,
        file: String,
        line: u32,
        template: String,
        names: Vec<String>,
    },
}

/// Returns the definition of a call site.
pub(super) fn define(site: &Callsite) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    [site.target, site.module, site.file].iter().for_each(|text| put_bytes(&mut out, text.as_bytes()));
    put_number(&mut out, site.line.into());
    put_bytes(&mut out, site.template.text.as_bytes());
    put_number(&mut out, site.names.len() as u64);
    site.names.iter().for_each(|name| put_bytes(&mut out, name.as_bytes()));
    let pieces = site.template.pieces();
    put_number(&mut out, pieces.len() as u64);
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                out.push(0);
                put_bytes(&mut out, text.as_bytes());
            }
            Piece::Hole(hole) => {
                out.push(1);
                out.extend_from_slice(&hole.to_bytes());
            }
        }
    }
    out
}

/// Returns the call site with this definition.
pub(super) fn intern(definition: &[u8]) -> Result<StoredSite, MalformedBatch> {
    let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    let sites = sites.get_or_insert_default();
    if let Some(site) = sites.get(definition) {
        return Ok(StoredSite::Interned(site));
    }
    let parsed = Definition::parse(definition)?;
    if sites.len() >= MAX_SITES {
        return Ok(parsed.unknown());
    }
    let site = parsed.leak();
    sites.insert(definition.into(), site);
    Ok(StoredSite::Interned(site))
}

struct Definition<'a> {
    texts: [&'a str; 3],
    line: u32,
    template: &'a str,
    names: Vec<&'a str>,
    pieces: Vec<StoredPiece<'a>>,
}

enum StoredPiece<'a> {
    Text(&'a str),
    Hole(Hole),
}

impl<'a> Definition<'a> {
    fn parse(definition: &'a [u8]) -> Result<Self, MalformedBatch> {
        let mut bytes = Bytes::new(definition);
        let texts = [bytes.text()?, bytes.text()?, bytes.text()?];
        let line = u32::try_from(bytes.number()?).map_err(|_| MalformedBatch)?;
        let template = bytes.text()?;
        let names = (0..bytes.count()?).map(|_| bytes.text()).collect::<Result<Vec<_>, _>>()?;
        let mut pieces = Vec::new();
        for _ in 0..bytes.count()? {
            pieces.push(match bytes.flag()? {
                false => StoredPiece::Text(bytes.text()?),
                true => StoredPiece::Hole(Hole::from_bytes(bytes.array()?, names.len()).ok_or(MalformedBatch)?),
            });
        }
        if bytes.is_empty() { Ok(Definition { texts, line, template, names, pieces }) } else { Err(MalformedBatch) }
    }

    fn leak(self) -> &'static Callsite {
        let text = |text: &str| -> &'static str { Box::leak(text.into()) };
        let [target, module, file] = self.texts.map(text);
        let names: Vec<&'static str> = self.names.into_iter().map(text).collect();
        let piece = |piece: StoredPiece<'_>| match piece {
            StoredPiece::Text(piece) => Piece::Text(text(piece)),
            StoredPiece::Hole(hole) => Piece::Hole(hole),
        };
        let pieces: Vec<Piece> = self.pieces.into_iter().map(piece).collect();
        let template = Template::new(text(self.template), Box::leak(pieces.into_boxed_slice()));
        let names = Box::leak(names.into_boxed_slice());
        Box::leak(Box::new(Callsite::new(target, module, file, self.line, template, names)))
    }

    fn unknown(self) -> StoredSite {
        let [target, module, file] = self.texts.map(str::to_owned);
        let names = self.names.into_iter().map(str::to_owned).collect();
        StoredSite::Unknown { target, module, file, line: self.line, template: self.template.to_owned(), names }
    }
}

impl StoredSite {
    /// Returns an event of this call site.
    pub(super) fn event(&self, timestamp: u64, context: Option<Arc<SharedFields>>, fields: EncodedFields) -> Event {
        match self {
            _ if fields.flags & DYNAMIC != 0 => Event { callsite: &DYNAMIC_SITE, timestamp, context, fields },
            StoredSite::Interned(callsite) => Event { callsite, timestamp, context, fields },
            StoredSite::Unknown { target, module, file, line, template, names } => {
                let mut values = Reader::new(fields.bytes());
                let message = if fields.flags & MESSAGE != 0 { values.name() } else { Some(&**template) };
                let event = Event::new(Level::from_bits(fields.flags), target, message.unwrap_or_default());
                let mut event = event.with_source(Some(module), Some(file), Some(*line));
                for name in names {
                    let Some(value) = values.next() else { break };
                    event = event.with(name, value);
                }
                while let (Some(name), Some(value)) = (values.name(), values.next()) {
                    event = event.with(name, value);
                }
                event.fields.flags |= fields.flags & (TRUNCATED | FIXED_TIME);
                Event { timestamp, context, ..event }
            }
        }
    }
}
