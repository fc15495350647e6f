//! The flush task: which events of a batch a sink wants.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::{Batch, Callsite, Event, LevelFilter};
use crate::filter::Filter;

/// Call sites whose threshold is cached; more than a busy service logs from between two batches.
const CACHE_SIZE: usize = 64;

/// A sink's filter, which can be replaced while the logger runs.
pub(super) struct SinkFilter {
    // A std lock: held for one batch, and to replace the filter. No other lock is taken under it.
    cached: Mutex<CachedFilter>,
}

struct CachedFilter {
    filter: Filter,
    lowest: LevelFilter,
    highest: LevelFilter,
    /// The filter's threshold for a call site's target, by the call site's address.
    kept: Box<[Option<(&'static Callsite, LevelFilter)>; CACHE_SIZE]>,
}

impl SinkFilter {
    pub(super) fn new(filter: Filter) -> Self {
        SinkFilter { cached: Mutex::new(CachedFilter::new(filter)) }
    }

    /// Replaces the filter, from the next batch on.
    pub(super) fn set(&self, filter: Filter) {
        *self.cached() = CachedFilter::new(filter);
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        self.cached().wants(event)
    }

    /// Returns the indices of the events that are wanted, or `None` if all are.
    pub(super) fn pick(&self, batch: &Batch) -> Option<Vec<u32>> {
        let mut cached = self.cached();
        if cached.highest == LevelFilter::Trace {
            return None;
        }
        let wanted = batch.iter().enumerate().filter(|(_, record)| cached.wants(record.event()));
        let picked: Vec<u32> = wanted.map(|(index, _)| index as u32).collect();
        (picked.len() < batch.len()).then_some(picked)
    }

    fn cached(&self) -> MutexGuard<'_, CachedFilter> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedFilter {
    fn new(filter: Filter) -> Self {
        let (lowest, highest) = (filter.lowest(), filter.highest());
        CachedFilter { filter, lowest, highest, kept: Box::new([None; CACHE_SIZE]) }
    }

    fn wants(&mut self, event: &Event) -> bool {
        // The level alone decides for most events, and for all under a filter without targets.
        let level = event.level();
        if !self.lowest.allows(level) {
            return false;
        }
        self.highest.allows(level) || self.threshold(event).allows(level)
    }

    fn threshold(&mut self, event: &Event) -> LevelFilter {
        let Some(callsite) = event.callsite() else { return self.filter.threshold(event.target()) };
        // Call sites are more than 64 bytes apart.
        let slot = &mut self.kept[std::ptr::from_ref(callsite).addr() / 64 % CACHE_SIZE];
        match slot {
            Some((kept, threshold)) if std::ptr::eq(*kept, callsite) => *threshold,
            _ => {
                let threshold = self.filter.threshold(callsite.target());
                *slot = Some((callsite, threshold));
                threshold
            }
        }
    }
}
