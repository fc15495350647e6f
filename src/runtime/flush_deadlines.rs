//! The flush task: when the timeouts of flushes pass, on the clock of the logger's runtime.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::flush::Expiry;

/// Those whose callers gave up are removed when there are this many, then when there are twice those that remained.
const SWEEP_THRESHOLD: usize = 64;

/// The deadlines of flushes that callers wait for. A flush without one is not here: it waits as long as its caller does.
pub(super) struct FlushDeadlines {
    /// By deadline, and by a number that tells those of one moment apart.
    pending: BTreeMap<(Instant, u64), Weak<Expiry>>,
    added: u64,
    sweep_at: usize,
}

impl Default for FlushDeadlines {
    fn default() -> Self {
        FlushDeadlines { pending: BTreeMap::new(), added: 0, sweep_at: SWEEP_THRESHOLD }
    }
}

impl FlushDeadlines {
    /// Adds new timeouts, which begin now.
    pub(super) fn add(&mut self, timeouts: Vec<(Weak<Expiry>, Duration)>, now: Instant) {
        for (expiry, timeout) in timeouts {
            if expiry.strong_count() > 0
                && let Some(deadline) = now.checked_add(timeout)
            {
                self.pending.insert((deadline, self.added), expiry);
                self.added += 1;
            }
        }
        if self.pending.len() >= self.sweep_at {
            self.pending.retain(|_, expiry| expiry.strong_count() > 0);
            self.sweep_at = (self.pending.len() * 2).max(SWEEP_THRESHOLD);
        }
    }

    /// Expires the flushes whose time is over; returns whether there were any that a caller waits for.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(first) = self.pending.first_entry()
            && first.key().0 <= now
        {
            if let Some(expiry) = first.remove().upgrade() {
                expiry.expire();
                any = true;
            }
        }
        any
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|((deadline, _), _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn flushes_that_were_given_up_leave_nothing_behind() {
        let (mut deadlines, now) = (FlushDeadlines::default(), Instant::now());
        let waiting = Arc::new(Expiry::default());
        deadlines.add(vec![(Arc::downgrade(&waiting), SECOND)], now);
        for _ in 0..10_000 {
            let given_up = Arc::new(Expiry::default());
            deadlines.add(vec![(Arc::downgrade(&given_up), SECOND)], now);
            assert!(deadlines.pending.len() <= SWEEP_THRESHOLD, "{}", deadlines.pending.len());
        }
        assert!(!deadlines.expire(now) && !waiting.has_expired());
        assert!(deadlines.expire(now + SECOND) && waiting.has_expired());
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_timeout_beyond_the_clock_has_no_deadline() {
        let mut deadlines = FlushDeadlines::default();
        let waiting = Arc::new(Expiry::default());
        deadlines.add(vec![(Arc::downgrade(&waiting), Duration::MAX)], Instant::now());
        assert_eq!(deadlines.next(), None);
    }
}
