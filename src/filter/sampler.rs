//! The caller's thread: which events of a sampled log call pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The sampling of a log call with `every:` or `at_most:`: a static for each call.
#[doc(hidden)]
#[derive(Debug)]
pub struct Sampler(Rule);

#[derive(Debug)]
enum Rule {
    Every {
        nth: u64,
        seen: AtomicU64,
    },
    AtMost {
        most: u64,
        per: Duration,
        // A std lock: held for a few instructions; its fields change together.
        window: Mutex<Window>,
    },
}

impl Sampler {
    /// Lets the first pass, and every `nth` from there.
    ///
    /// # Panics
    /// At compile time, if it is zero.
    #[track_caller]
    pub const fn every(nth: u64) -> Self {
        assert!(nth > 0, "`every:` is zero; it takes 1 or more");
        Sampler(Rule::Every { nth, seen: AtomicU64::new(0) })
    }

    /// Lets `most` pass in each `per`, which begins with the first of them.
    ///
    /// # Panics
    /// At compile time, if one of them is zero.
    #[track_caller]
    pub const fn at_most(most: u64, per: Duration) -> Self {
        assert!(most > 0, "`at_most:` is zero; it takes 1 or more");
        assert!(!per.is_zero(), "`per:` is zero; it takes a time of more than zero");
        Sampler(Rule::AtMost { most, per, window: Mutex::new(Window { began: None, passed: 0, skipped: 0 }) })
    }

    /// Returns how many were skipped since the last that passed, if this one passes.
    pub(crate) fn admit(&self) -> Option<u64> {
        match &self.0 {
            Rule::Every { nth, seen } => {
                // Relaxed: the number guards no other memory. It wraps around after 2^64 calls.
                let before = seen.fetch_add(1, Ordering::Relaxed);
                before.is_multiple_of(*nth).then(|| if before == 0 { 0 } else { nth - 1 })
            }
            Rule::AtMost { most, per, window } => {
                // Not tokio's time: there may be no runtime here. Read before the lock, to hold it for less time.
                let now = Instant::now();
                window.lock().unwrap_or_else(PoisonError::into_inner).admit(now, *most, *per)
            }
        }
    }
}

/// A window of time, in which a number of calls pass.
#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    passed: u64,
    skipped: u64,
}

impl Window {
    fn admit(&mut self, now: Instant, most: u64, per: Duration) -> Option<u64> {
        // Another thread may have read its clock later and taken the lock first: no time has passed then.
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= per) {
            self.began = Some(now);
            self.passed = 0;
        }
        if self.passed < most {
            self.passed += 1;
            return Some(std::mem::take(&mut self.skipped));
        }
        self.skipped += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_window_begins_with_the_first_that_passes_and_the_next_says_what_it_left_out() {
        let mut window = Window { began: None, passed: 0, skipped: 0 };
        let start = Instant::now();
        let mut admit = |millis| window.admit(start + Duration::from_millis(millis), 2, SECOND);
        assert_eq!([0, 10, 20, 999].map(&mut admit), [Some(0), Some(0), None, None]);
        assert_eq!([1000, 1500, 1600].map(&mut admit), [Some(2), Some(0), None], "a window of its own");
        assert_eq!([9000, 9001, 9002].map(&mut admit), [Some(1), Some(0), None], "begun when it is needed");
        assert_eq!([8000, 9999, 10_000].map(admit), [None, None, Some(3)], "a clock read before the window began");
    }

    #[test]
    fn of_calls_at_the_same_time_exactly_every_nth_passes() {
        let sampler = Sampler::every(7);
        let passed = || (0..700).filter_map(|_| sampler.admit()).collect::<Vec<_>>();
        let passed: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(passed)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!((passed.len(), passed.iter().sum::<u64>()), (400, 399 * 6));
    }
}
