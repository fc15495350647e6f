//! Anywhere (pure): what is known of a log call when it compiles.

use std::sync::atomic::{AtomicU64, Ordering};

use super::level::LevelFilter;
use super::template::Template;

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
    /// The filter's last answer: its generation above the low byte, the threshold for this target in it.
    answer: AtomicU64,
}

impl Callsite {
    /// Generation 0 is no filter's, so a new call site asks first.
    pub const fn new(
        target: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
        template: Template,
        names: &'static [&'static str],
    ) -> Self {
        Callsite { target, module, file, line, template, names, answer: AtomicU64::new(0) }
    }

    /// The target, by which filters decide.
    pub(crate) fn target(&self) -> &'static str {
        self.target
    }

    /// The names of the fields, in their order.
    pub(crate) fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// The message, if it has no holes.
    pub(crate) fn constant_message(&self) -> Option<&'static str> {
        self.template.constant()
    }

    /// The answer kept for this generation of a filter, as a number that compares like [`LevelFilter`].
    #[inline]
    pub(crate) fn cached_threshold(&self, generation: u64) -> Option<u8> {
        // Relaxed: the word is complete in itself, and a stale one only asks the filter again.
        let answer = self.answer.load(Ordering::Relaxed);
        (answer >> 8 == generation).then_some(answer as u8)
    }

    pub(crate) fn cache_threshold(&self, generation: u64, threshold: LevelFilter) {
        self.answer.store(generation << 8 | threshold as u64, Ordering::Relaxed);
    }
}
