//! Anywhere (pure): the part of a log call that is known when it compiles.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// The filters' cached decisions: the generation above the low byte, the threshold for this target in it.
    answers: [AtomicU64; CACHED],
    /// The redactors' cached decisions: the generation in the upper half, a bit for each name it hides in the lower.
    hidden: [AtomicU64; CACHED],
    /// The longest text that is formatted here, in bytes: the largest limit on an event that a logger has which has decided
    /// here. 0 before.
    text_limit: AtomicUsize,
}

/// The longest formatted text where no logger has decided: a `Display` that never ends must not exhaust the memory.
const MAX_TEXT_BYTES: usize = 64 << 20;

/// How many loggers may log at one call site and each find its decisions there.
const CACHED: usize = 4;

/// Returns the word for this generation. The last digits of a generation tell loggers apart.
#[inline]
fn word(words: &[AtomicU64; CACHED], generation: u64) -> &AtomicU64 {
    &words[generation as usize % CACHED]
}

impl Callsite {
    /// The number of loggers for which a call site caches decisions; see [`Callsite::cached_threshold`].
    pub(crate) const CACHED: usize = CACHED;

    /// Creates a call site. Generation 0 is no filter's, so its first call reads the filter.
    pub const fn new(
        target: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
        template: Template,
        names: &'static [&'static str],
    ) -> Self {
        let (answers, hidden) = ([const { AtomicU64::new(0) }; CACHED], [const { AtomicU64::new(0) }; CACHED]);
        Callsite { target, module, file, line, template, names, answers, hidden, text_limit: AtomicUsize::new(0) }
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
        let answer = word(&self.answers, generation).load(Ordering::Relaxed);
        (answer >> 8 == generation).then_some(answer as u8)
    }

    /// Lets texts that are formatted here be as long as an event of this logger.
    pub(crate) fn allow_text(&self, bytes: usize) {
        self.text_limit.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Returns the longest text that is formatted here, in bytes.
    pub(super) fn max_text(&self) -> usize {
        match self.text_limit.load(Ordering::Relaxed) {
            0 => MAX_TEXT_BYTES,
            limit => limit.min(MAX_TEXT_BYTES),
        }
    }

    /// Returns the hidden names cached for this generation of a redactor.
    pub(super) fn cached_hidden(&self, generation: u32) -> Option<u32> {
        let hidden = word(&self.hidden, generation.into()).load(Ordering::Relaxed);
        (hidden >> 32 == u64::from(generation)).then_some(hidden as u32)
    }

    pub(super) fn cache_hidden(&self, generation: u32, names: u32) {
        word(&self.hidden, generation.into()).store(u64::from(generation) << 32 | u64::from(names), Ordering::Relaxed);
    }

    pub(crate) fn cache_threshold(&self, generation: u64, threshold: LevelFilter) {
        word(&self.answers, generation).store(generation << 8 | threshold as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_loggers_at_one_call_site_each_find_their_decision() {
        static SITE: Callsite = Callsite::new("t", "m", "f", 1, Template::new("", &[]), &[]);
        for generation in 4..8 {
            SITE.cache_threshold(generation, if generation % 2 == 0 { LevelFilter::Warn } else { LevelFilter::Info });
            SITE.cache_hidden(generation as u32, generation as u32);
        }
        for generation in 4..8 {
            let expected = if generation % 2 == 0 { LevelFilter::Warn } else { LevelFilter::Info };
            assert_eq!(SITE.cached_threshold(generation), Some(expected as u8));
            assert_eq!(SITE.cached_hidden(generation as u32), Some(generation as u32));
        }
        assert_eq!((SITE.cached_threshold(8), SITE.cached_hidden(9)), (None, None), "another filter's");
    }
}
