//! Anywhere (pure): the bytes that are the same in every line of a call site, formatted once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::event::{Callsite, Record};

/// Sequences of bytes, in their order.
#[derive(Clone, Debug)]
pub(super) struct Fragments {
    bytes: Vec<u8>,
    /// Where each begins, and where the last one ends.
    bounds: Vec<usize>,
}

impl Default for Fragments {
    fn default() -> Self {
        Fragments { bytes: Vec::new(), bounds: vec![0] }
    }
}

impl Fragments {
    /// Adds a sequence that `write` writes.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.bounds.push(self.bytes.len());
    }

    /// Returns the sequence with this index; an empty one beyond the last.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        match self.bounds.get(index..index + 2) {
            Some(&[start, end]) => self.bytes.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The fragments of every call site seen so far, at most as many as the program has.
#[derive(Clone, Debug, Default)]
pub(super) struct CallsiteCache(HashMap<usize, Fragments, BuildHasherDefault<AddressHasher>>);

impl CallsiteCache {
    /// Returns the fragments of a record's call site; `write` makes them when the call site is seen for the first time.
    #[inline]
    pub(super) fn lookup(
        &mut self,
        record: &Record<'_>,
        write: impl FnOnce(&'static Callsite, &mut Fragments),
    ) -> CachedCallsite<'_> {
        match record.event().callsite() {
            Some(site) => CachedCallsite {
                names: site.names(),
                fragments: Some(self.of(site, |fragments| write(site, fragments))),
            },
            None => CachedCallsite { names: &[], fragments: None },
        }
    }

    #[inline]
    fn of(&mut self, site: &'static Callsite, write: impl FnOnce(&mut Fragments)) -> &Fragments {
        // Call sites live as long as the program, so an address never belongs to another.
        self.0.entry(std::ptr::from_ref(site).addr()).or_insert_with(|| {
            let mut fragments = Fragments::default();
            write(&mut fragments);
            fragments
        })
    }
}

/// The fragments of a record's call site, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedCallsite<'a> {
    names: &'static [&'static str],
    fragments: Option<&'a Fragments>,
}

impl<'a> CachedCallsite<'a> {
    /// Returns the fragments.
    #[inline]
    pub(super) fn fragments(self) -> Option<&'a Fragments> {
        self.fragments
    }

    /// Returns the fragment of the record's field with this index, where `first` is the fragment of the first name: an
    /// empty one if the name is not the call site's.
    #[inline]
    pub(super) fn name(self, first: usize, field: usize, name: &str) -> &'a [u8] {
        // An event's own fields come first, starting with those that its call site names: all of them, unless it was
        // truncated.
        match (self.names.get(field), self.fragments) {
            (Some(own), Some(fragments)) if std::ptr::eq(*own, name) => fragments.get(first + field),
            _ => &[],
        }
    }
}

/// Hashes an address by one multiplication, which moves the differences to the top bits, where the map looks.
#[derive(Clone, Copy, Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize((*byte).into()));
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        // 2^64 over the golden ratio, odd: Knuth, "The Art of Computer Programming", volume 3, section 6.4.
        let mixed = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Template;

    #[test]
    fn stretches_are_given_back_as_they_were_added() {
        let mut fragments = Fragments::default();
        for text in ["a", "", "bc"] {
            fragments.add(|out| out.extend_from_slice(text.as_bytes()));
        }
        assert_eq!([0, 1, 2, 3].map(|index| fragments.get(index)), [&b"a"[..], b"", b"bc", b""]);
    }

    #[test]
    fn a_call_site_is_written_once_and_never_taken_for_another() {
        static FIRST: Callsite = Callsite::new("a", "", "", 1, Template::new("", &[]), &[]);
        static SECOND: Callsite = Callsite::new("b", "", "", 1, Template::new("", &[]), &[]);
        let (mut sites, mut written) = (CallsiteCache::default(), 0);
        for _ in 0..3 {
            for site in [&FIRST, &SECOND] {
                let fragments = sites.of(site, |fragments| {
                    written += 1;
                    fragments.add(|out| out.extend_from_slice(site.target().as_bytes()));
                });
                assert_eq!(fragments.get(0), site.target().as_bytes());
            }
        }
        assert_eq!(written, 2);
    }
}
