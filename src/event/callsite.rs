//! Anywhere (pure): the part of a log call that is known when it compiles.

use std::sync::atomic::{AtomicU64, Ordering};

use super::level::LevelFilter;
use super::template::{Template, shows};

/// The static half of an event: where it was logged, its template, its field names.
///
/// Made by the macros; hidden from the documentation because nothing else should make one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Callsite {
    pub(super) target: &'static str,
    pub(super) module: &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) template: Template,
    pub(super) names: &'static [&'static str],
    /// The filter's cached decision: its generation above the low byte, the threshold for this target in it.
    answer: AtomicU64,
    /// The redactor's cached decision: its generation in the upper half, a bit for each name it hides in the lower.
    hidden: AtomicU64,
}

impl Callsite {
    /// Creates a call site. Generation 0 is no filter's, so its first call reads the filter.
    pub const fn new(
        target: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
        template: Template,
        names: &'static [&'static str],
    ) -> Self {
        let (answer, hidden) = (AtomicU64::new(0), AtomicU64::new(0));
        Callsite { target, module, file, line, template, names, answer, hidden }
    }

    /// Returns the target, by which filters decide.
    pub(crate) fn target(&self) -> &'static str {
        self.target
    }

    /// Returns the names of the fields, in their order.
    pub(crate) fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// Returns the template, as written in the call.
    pub(crate) fn template(&self) -> &'static str {
        self.template.text
    }

    /// Returns the names of the fields that its template has holes for.
    pub(crate) fn shown_names(&self) -> impl Iterator<Item = &'static str> {
        let shown = self.names.iter().enumerate().filter(|(field, _)| shows(&self.template, *field));
        shown.map(|(_, name)| *name)
    }

    /// Returns the message, if it has no holes.
    pub(crate) fn constant_message(&self) -> Option<&'static str> {
        self.template.constant()
    }

    /// Returns the threshold cached for this generation of a filter, as a number that compares like [`LevelFilter`].
    #[inline]
    pub(crate) fn cached_threshold(&self, generation: u64) -> Option<u8> {
        // Relaxed: the word is complete in itself, and with a stale one the filter is only read again.
        let answer = self.answer.load(Ordering::Relaxed);
        (answer >> 8 == generation).then_some(answer as u8)
    }

    /// Returns the hidden names cached for this generation of a redactor.
    pub(super) fn cached_hidden(&self, generation: u32) -> Option<u32> {
        let hidden = self.hidden.load(Ordering::Relaxed);
        (hidden >> 32 == u64::from(generation)).then_some(hidden as u32)
    }

    pub(super) fn cache_hidden(&self, generation: u32, names: u32) {
        self.hidden.store(u64::from(generation) << 32 | u64::from(names), Ordering::Relaxed);
    }

    pub(crate) fn cache_threshold(&self, generation: u64, threshold: LevelFilter) {
        self.answer.store(generation << 8 | threshold as u64, Ordering::Relaxed);
    }
}
