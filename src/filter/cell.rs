//! Any thread: the filter of a logger, read by every call and replaced at run time.
//!
//! Invariants:
//! * Each decision is that of one filter, the old or the new one; once a replacement has returned, it is the new one's.
//! * A generation belongs to one filter forever, in the whole process: a decision cached under it stays valid.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Filter;
#[cfg(feature = "log")]
use crate::event::LevelFilter;
use crate::event::{Callsite, Event, Level};

pub(crate) struct FilterCell {
    /// The lowest level that passes for any target: most disabled calls are decided by this one byte.
    lowest: AtomicU8,
    generation: AtomicU64,
    /// Its number in the process.
    cell: u64,
    /// The logger's limit on an event, which call sites learn with its decision.
    max_event_bytes: usize,
    // A std lock: held to read one pointer, by a call site or thread that has not used this filter yet, or to replace
    // it.
    settings: Mutex<CellState>,
}

struct CellState {
    current: Arc<Filter>,
    /// While a temporary filter is in force: the permanent one to restore, and the time of the temporary one.
    suspended: Option<(Arc<Filter>, Duration)>,
    /// Called with the lowest threshold of each new filter.
    #[cfg(feature = "log")]
    follower: Option<fn(LevelFilter)>,
    /// Called after each replacement, without the lock: it reads the filter again, which takes the lock.
    #[cfg(feature = "tracing")]
    on_change: Option<fn()>,
}

/// Generation 0 means a call site without a decision.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Returns a new generation. Its last digit is that of the cell, so that the decisions of a few loggers have words of their
/// own at a call site, also after their filters were replaced.
fn next_generation(cell: u64) -> u64 {
    let words = Callsite::CACHED as u64;
    GENERATION.fetch_add(1, Ordering::Relaxed) * words + cell % words
}

thread_local! {
    /// The filter that decided last on this thread for a target without a call site, and its generation: threads that
    /// log through another facade would otherwise contend for one lock at every call.
    static ASKED: RefCell<(u64, Option<Arc<Filter>>)> = const { RefCell::new((0, None)) };
}

/// The callers' side.
impl FilterCell {
    pub(crate) fn new(filter: Filter, max_event_bytes: usize) -> Self {
        static CELLS: AtomicU64 = AtomicU64::new(0);
        let cell = CELLS.fetch_add(1, Ordering::Relaxed);
        FilterCell {
            lowest: AtomicU8::new(filter.lowest() as u8),
            generation: AtomicU64::new(next_generation(cell)),
            cell,
            max_event_bytes,
            settings: Mutex::new(CellState {
                current: Arc::new(filter),
                suspended: None,
                #[cfg(feature = "log")]
                follower: None,
                #[cfg(feature = "tracing")]
                on_change: None,
            }),
        }
    }

    #[inline]
    pub(crate) fn allows(&self, callsite: &'static Callsite, level: Level) -> bool {
        if (level as u8) < self.lowest.load(Ordering::Relaxed) {
            return false;
        }
        let generation = self.generation.load(Ordering::Acquire);
        match callsite.cached_threshold(generation) {
            Some(threshold) => level as u8 >= threshold,
            None => self.ask(callsite, level, generation),
        }
    }

    pub(crate) fn allows_event(&self, event: &Event) -> bool {
        match event.callsite() {
            Some(callsite) => self.allows(callsite, event.level()),
            None => self.allows_target(event.target(), event.level()),
        }
    }

    pub(crate) fn allows_target(&self, target: &str, level: Level) -> bool {
        if (level as u8) < self.lowest.load(Ordering::Relaxed) {
            return false;
        }
        let generation = self.generation.load(Ordering::Acquire);
        let kept = ASKED.try_with(|asked| {
            let (of, filter) = &mut *asked.borrow_mut();
            if *of != generation {
                // As in `ask`: at worst a newer filter is kept under an older generation, and read again.
                (*of, *filter) = (generation, Some(self.current()));
            }
            filter.as_ref().is_some_and(|filter| filter.allows(level, target))
        });
        // A thread that is ending has dropped its copy.
        kept.unwrap_or_else(|_| self.current().allows(level, target))
    }

    /// Returns whether events of this level pass for some target.
    #[cfg(feature = "tracing")]
    pub(crate) fn may_allow(&self, level: Level) -> bool {
        level as u8 >= self.lowest.load(Ordering::Relaxed)
    }

    #[cold]
    fn ask(&self, callsite: &'static Callsite, level: Level, generation: u64) -> bool {
        // The generation is read before the filter: a newer filter's decision under an older generation is requested
        // again.
        let threshold = self.current().threshold(callsite.target());
        callsite.allow_text(self.max_event_bytes);
        callsite.cache_threshold(generation, threshold);
        threshold.allows(level)
    }
}

/// The side that replaces the filter.
impl FilterCell {
    pub(crate) fn current(&self) -> Arc<Filter> {
        self.settings().current.clone()
    }

    /// Replaces the filter permanently; ends a temporary one.
    pub(crate) fn set(&self, filter: Filter) {
        let mut settings = self.settings();
        settings.suspended = None;
        self.install(settings, Arc::new(filter));
    }

    /// Replaces the filter for a time, counted from when the flush task learns of it; then the permanent one is
    /// restored.
    pub(crate) fn set_for(&self, filter: Filter, time: Duration) {
        let mut settings = self.settings();
        let permanent = settings.suspended.take().map_or_else(|| settings.current.clone(), |(permanent, _)| permanent);
        settings.suspended = Some((permanent, time));
        self.install(settings, Arc::new(filter));
    }

    /// Returns the generation and the time of the filter in force, if it is a temporary one.
    pub(crate) fn active_override(&self) -> Option<(u64, Duration)> {
        let settings = self.settings();
        settings.suspended.as_ref().map(|(_, time)| (self.generation.load(Ordering::Relaxed), *time))
    }

    /// Ends a temporary filter, if it is still in force.
    pub(crate) fn restore(&self, generation: u64) {
        let mut settings = self.settings();
        if self.generation.load(Ordering::Relaxed) == generation
            && let Some((permanent, _)) = settings.suspended.take()
        {
            self.install(settings, permanent);
        }
    }

    /// Calls `follower` with the lowest threshold now, and again with each new filter, in the order of the filters.
    #[cfg(feature = "log")]
    pub(crate) fn follow(&self, follower: fn(LevelFilter)) {
        let mut settings = self.settings();
        follower(settings.current.lowest());
        settings.follower = Some(follower);
    }

    /// Sets the function that is called after each replacement.
    #[cfg(feature = "tracing")]
    pub(crate) fn on_change(&self, call: fn()) {
        self.settings().on_change = Some(call);
    }

    /// Installs a filter, under the lock: two replacements leave the numbers of one filter, not a mixture.
    fn install(&self, mut settings: MutexGuard<'_, CellState>, filter: Arc<Filter>) {
        let lowest = filter.lowest();
        self.lowest.store(lowest as u8, Ordering::Relaxed);
        settings.current = filter;
        self.generation.store(next_generation(self.cell), Ordering::Release);
        #[cfg(feature = "log")]
        settings.follower.iter().for_each(|follower| follower(lowest));
        #[cfg(feature = "tracing")]
        let on_change = settings.on_change;
        drop(settings);
        #[cfg(feature = "tracing")]
        on_change.iter().for_each(|call| call());
    }

    fn settings(&self) -> MutexGuard<'_, CellState> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
