//! Anywhere (pure): how long to wait before a write is retried, and when to stop.

use std::time::Duration;

use tokio::time::Instant;

/// The longest pause that a destination may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// When a write that failed with a temporary error is retried.
///
/// The wait after the `n`th failure is random between zero and `initial_delay · 2ⁿ⁻¹`, at most `max_delay`. This "full
/// jitter" spreads the clients of a service that recovers
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
///
/// If the destination asks for a pause ([`SinkError::with_retry_after`](crate::SinkError::with_retry_after),
/// [`Answer::retry_after`](crate::sink::Answer::retry_after)), the next attempt comes after that: at least `initial_delay`, at
/// most 5 min. Such an answer is no failed attempt. A pause may last beyond `max_elapsed`; an answer after that ends the
/// retries. A pause ends early for a reopen, a shutdown, and the first
/// flush that is requested after `initial_delay`.
///
/// Only temporary errors are retried, and timed-out writes of a sink that does not outlive timeouts. Such a retry may
/// deliver twice, and is counted as `maybe_duplicated`.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a policy does nothing until a pipeline has it"]
pub struct Retry {
    pub(crate) initial_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) max_elapsed: Duration,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) seed: Option<u64>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            max_elapsed: Duration::from_secs(5 * 60),
            max_attempts: None,
            seed: None,
        }
    }
}

impl Retry {
    /// Creates a policy without a second attempt.
    pub fn never() -> Self {
        Retry::default().max_attempts(1)
    }

    /// Sets the bound of the first wait. Default: 100 ms. Range: more than zero.
    pub fn initial_delay(mut self, wait: Duration) -> Self {
        self.initial_delay = wait;
        self
    }

    /// Sets the bound of every wait. Default: 10 s. Range: at least `initial_delay`.
    pub fn max_delay(mut self, wait: Duration) -> Self {
        self.max_delay = wait;
        self
    }

    /// Sets how long after its first failure a batch is retried. Default: 5 min.
    pub fn max_elapsed(mut self, age: Duration) -> Self {
        self.max_elapsed = age;
        self
    }

    /// Sets how often a batch is written at most, including the first time, apart from pauses that the destination asks for.
    /// Default: limited by `max_elapsed` only. Range: 1 or more.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Makes the waits the same in every run, for tests. Default: different in every process.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

/// The waits of one batch after another.
pub(super) struct Backoff {
    policy: Retry,
    random: fastrand::Rng,
    /// Of the current batch.
    failures: u32,
    first_failure: Option<Instant>,
    /// It never ends.
    is_endless: bool,
}

impl Backoff {
    pub(super) fn new(policy: Retry) -> Self {
        let random = policy.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Backoff { policy, random, failures: 0, first_failure: None, is_endless: false }
    }

    /// Begins a new batch; `is_endless`: it is retried for as long as it takes.
    pub(super) fn begin(&mut self, is_endless: bool) {
        self.reset();
        self.is_endless = is_endless;
    }

    /// Begins anew, after the current batch made progress.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    /// Keeps the current batch for a sink that is unusable, without an attempt that counts. Returns `false` if it is too old.
    pub(super) fn keep(&mut self, now: Instant) -> bool {
        let age = now.duration_since(*self.first_failure.get_or_insert(now));
        age <= self.policy.max_elapsed || self.is_endless
    }

    /// Records a failed attempt. Returns the time of the next, or `None` to stop.
    pub(super) fn after_failure(&mut self, now: Instant) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        let since = *self.first_failure.get_or_insert(now);
        if !self.is_endless && self.policy.max_attempts.is_some_and(|most| self.failures >= most) {
            return None;
        }
        let bound =
            self.policy.initial_delay.saturating_mul(1 << (self.failures - 1).min(31)).min(self.policy.max_delay);
        let Some(next) = now.checked_add(bound.mul_f64(self.random.f64())) else {
            return self.is_endless.then(|| now + MAX_PAUSE);
        };
        // There is no wait for an attempt that would come too late.
        (self.is_endless || next.duration_since(since) <= self.policy.max_elapsed).then_some(next)
    }

    /// Records that the destination asks for a pause, which is no attempt. Returns the time of the next attempt, however late
    /// that is; `None` to stop, if the batch is too old already.
    pub(super) fn pause(&mut self, now: Instant, wait: Duration) -> Option<Instant> {
        let is_kept = self.keep(now);
        // A wait of zero does not become a busy loop.
        let wait = wait.min(MAX_PAUSE).max(self.policy.initial_delay.min(MAX_PAUSE));
        is_kept.then(|| now + wait)
    }

    /// When an attempt is not too soon after one that has just failed.
    pub(super) fn earliest(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.policy.initial_delay)
    }

    /// When the current batch is too old, if it has failed.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.first_failure?.checked_add(self.policy.max_elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn waits(backoff: &mut Backoff, now: Instant, failures: usize) -> Vec<Option<Duration>> {
        (0..failures).map(|_| backoff.after_failure(now).map(|next| next - now)).collect()
    }

    #[test]
    fn waits_are_random_below_a_bound_that_doubles_to_the_cap() {
        let now = Instant::now();
        let policy = Retry::default().initial_delay(100 * MS).max_delay(1000 * MS).seed(7);
        let mut most = [Duration::ZERO; 6];
        for seed in 0..500 {
            let mut backoff = Backoff::new(policy.clone().seed(seed));
            for (most, wait) in most.iter_mut().zip(waits(&mut backoff, now, 6)) {
                *most = wait.expect("far from too old").max(*most);
            }
        }
        for (most, bound) in most.into_iter().zip([100, 200, 400, 800, 1000, 1000]) {
            assert!(most <= bound * MS && most > bound * MS * 9 / 10, "{most:?} of {bound} ms");
        }
    }

    #[test]
    fn a_seed_makes_the_waits_the_same_in_every_run() {
        let now = Instant::now();
        let of = |seed| waits(&mut Backoff::new(Retry::default().seed(seed)), now, 5);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_pause_that_the_destination_asks_for_is_kept_and_is_no_attempt() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Retry::default().max_attempts(2));
        for (wait, paused) in [(3000, 3000), (600_000, 300_000), (0, 100)] {
            assert_eq!(backoff.pause(now, wait * MS), Some(now + paused * MS));
        }
        assert!(backoff.after_failure(now).is_some(), "it is the first attempt that counts");
        assert_eq!(backoff.after_failure(now), None);
    }

    #[test]
    fn a_batch_is_given_up_after_its_attempts() {
        let waits = waits(&mut Backoff::new(Retry::default().max_attempts(3)), Instant::now(), 3);
        assert_eq!(waits.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(Backoff::new(Retry::never()).after_failure(Instant::now()), None);
    }

    #[test]
    fn a_batch_is_given_up_when_its_next_attempt_would_be_too_old() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Retry::default().max_elapsed(1000 * MS));
        assert!(backoff.after_failure(now).is_some());
        assert_eq!(backoff.after_failure(now + 1001 * MS), None);
        assert_eq!(backoff.pause(now + 1001 * MS, 1 * MS), None, "neither does a pause keep it");
        backoff.reset();
        assert!(backoff.after_failure(now + 2000 * MS).is_some(), "the next batch begins anew");
    }

    #[test]
    fn a_pause_never_exhausts_a_retry_that_is_not_too_old() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Retry::default().max_elapsed(1000 * MS));
        assert_eq!(backoff.pause(now, Duration::MAX), Some(now + MAX_PAUSE));
        assert_eq!(backoff.pause(now + 1000 * MS, 5000 * MS), Some(now + 6000 * MS));
    }
}
