//! Anywhere a sink formats (pure): what is the same in every line of a call site, written once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::event::Callsite;

/// Stretches of bytes, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Fragments {
    /// Adds what `write` writes.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The stretch of this number; an empty one beyond the last.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or(self.bytes.len());
        self.bytes.get(index.checked_sub(1).map_or(0, end)..end(index)).unwrap_or_default()
    }
}

/// The fragments of every call site that was met, at most as many as the program has.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites(HashMap<usize, Fragments, BuildHasherDefault<AddressHasher>>);

impl Sites {
    /// The fragments of a call site, which `write` makes the first time.
    #[inline]
    pub(super) fn of(&mut self, site: &'static Callsite, write: impl FnOnce(&mut Fragments)) -> &Fragments {
        // Call sites live as long as the program, so an address is never another's.
        self.0.entry(std::ptr::from_ref(site).addr()).or_insert_with(|| {
            let mut fragments = Fragments::default();
            write(&mut fragments);
            fragments
        })
    }
}

/// Addresses are spread by what they are: one multiplication brings their differences to the top, where the map looks.
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
        let (mut sites, mut written) = (Sites::default(), 0);
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
