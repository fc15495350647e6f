//! The flush task: which events of a batch a sink wants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Batch, Callsite, Event, LevelFilter};
use crate::filter::Filter;

/// Call sites whose threshold is cached; more than a busy service logs from between two batches.
const KEPT: usize = 64;

/// A sink's filter, which can be replaced while the logger runs.
pub(super) struct Selection {
    // A std lock: held for one batch, and to replace the filter. No other lock is taken under it.
    choice: Mutex<Choice>,
}

struct Choice {
    filter: Filter,
    lowest: LevelFilter,
    highest: LevelFilter,
    /// The filter's threshold for a call site's target, by the call site's address.
    kept: Box<[Option<(&'static Callsite, LevelFilter)>; KEPT]>,
}

impl Selection {
    pub(super) fn new(filter: Filter) -> Self {
        Selection { choice: Mutex::new(Choice::new(filter)) }
    }

    /// Replaces the filter, from the next batch on.
    pub(super) fn set(&self, filter: Filter) {
        *self.choice() = Choice::new(filter);
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        self.choice().wants(event)
    }

    /// Returns the indices of the events that are wanted, or `None` if all are.
    pub(super) fn pick(&self, batch: &Batch) -> Option<Arc<[u32]>> {
        let mut choice = self.choice();
        if choice.highest == LevelFilter::Trace {
            return None;
        }
        let wanted = batch.iter().enumerate().filter(|(_, record)| choice.wants(record.event()));
        let picked: Arc<[u32]> = wanted.map(|(index, _)| index as u32).collect();
        (picked.len() < batch.len()).then_some(picked)
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Choice {
    fn new(filter: Filter) -> Self {
        let (lowest, highest) = (filter.lowest(), filter.highest());
        Choice { filter, lowest, highest, kept: Box::new([None; KEPT]) }
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
        let slot = &mut self.kept[std::ptr::from_ref(callsite).addr() / 64 % KEPT];
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
