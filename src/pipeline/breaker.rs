//! Anywhere (pure): whether a sink that keeps failing gets another write, and when.

use std::time::Duration;

use tokio::time::Instant;

use crate::stats::labels::BreakerState;

/// When a sink that keeps failing is paused.
///
/// While the breaker is closed, every batch is written. After a number of consecutive failures it opens: batches go to
/// the fallback, if there is one, or wait. After a delay it is half-open: one write is the probe. If the probe
/// succeeds, the breaker closes; if it fails, the breaker opens again for twice the delay, up to a limit. A rejection
/// is no failure: the sink works. A permanent error opens the breaker at once. So does the first timeout of a sink that
/// outlives timeouts; the late result of that call is the probe.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a policy does nothing until a pipeline has it"]
pub struct Breaker {
    pub(crate) failure_threshold: u32,
    pub(crate) probe_delay: Duration,
    pub(crate) max_probe_delay: Duration,
}

const NEVER: u32 = u32::MAX;

impl Default for Breaker {
    fn default() -> Self {
        Breaker { failure_threshold: 5, probe_delay: Duration::from_secs(1), max_probe_delay: Duration::from_secs(30) }
    }
}

impl Breaker {
    /// Creates a policy by which the breaker always stays closed.
    pub fn never() -> Self {
        Breaker::default().failure_threshold(NEVER)
    }

    /// Sets how many consecutive failures open the breaker. Default: 5. Range: 1 or more.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// Sets how long the breaker stays open before the first probe. Default: 1 s. Range: more than zero.
    pub fn probe_delay(mut self, delay: Duration) -> Self {
        self.probe_delay = delay;
        self
    }

    /// Sets the longest time the breaker stays open between probes. Default: 30 s. Range: at least `probe_delay`.
    pub fn max_probe_delay(mut self, delay: Duration) -> Self {
        self.max_probe_delay = delay;
        self
    }
}

pub(crate) type BreakerCallback = Box<dyn Fn(BreakerState) + Send + Sync>;

/// The state machine of a breaker.
#[derive(Clone)]
pub(super) struct CircuitBreaker {
    policy: Breaker,
    state: BreakerState,
    /// Consecutive failures.
    failures: u32,
    delay: Duration,
    probe_at: Option<Instant>,
    opened: u64,
    /// Counts the changes of its state.
    generation: u64,
}

impl CircuitBreaker {
    pub(super) fn new(policy: Breaker) -> Self {
        let delay = policy.probe_delay;
        CircuitBreaker {
            policy,
            state: BreakerState::Closed,
            failures: 0,
            delay,
            probe_at: None,
            opened: 0,
            generation: 0,
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == BreakerState::Open
    }

    /// Whether the latest writes failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0 || self.state != BreakerState::Closed
    }

    /// How often it opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// The same for as long as its state is. A result of a write of another generation says nothing about this state.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Requests a write: the generation, to write (as the probe, if it was open), or when to request again.
    pub(super) fn try_acquire(&mut self, now: Instant) -> Result<u64, Instant> {
        match self.probe_at {
            Some(probe_at) if self.state == BreakerState::Open && now < probe_at => Err(probe_at),
            _ => {
                // If a probe was lost (its write was canceled, say), the next write is the probe.
                if self.state == BreakerState::Open {
                    self.set_state(BreakerState::HalfOpen);
                }
                Ok(self.generation)
            }
        }
    }

    /// Makes the next write the probe, at once, if it is open.
    pub(super) fn probe_now(&mut self) {
        self.probe_at = None;
    }

    /// Records that the sink works: closes the breaker.
    pub(super) fn succeed(&mut self) {
        self.set_state(BreakerState::Closed);
        (self.failures, self.delay, self.probe_at) = (0, self.policy.probe_delay, None);
    }

    /// Closes it, whatever the results of earlier writes will be.
    pub(super) fn reset(&mut self) {
        self.succeed();
        self.generation += 1;
    }

    fn set_state(&mut self, state: BreakerState) {
        self.generation += u64::from(self.state != state);
        self.state = state;
    }

    /// Records a failed write. Returns whether that opened it.
    pub(super) fn fail(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            BreakerState::Closed
                if self.failures < self.policy.failure_threshold || self.policy.failure_threshold == NEVER =>
            {
                false
            }
            BreakerState::Closed => self.open(now, self.policy.probe_delay),
            BreakerState::HalfOpen => {
                self.open(now, self.delay.saturating_mul(2).min(self.policy.max_probe_delay));
                false
            }
            BreakerState::Open => false,
        }
    }

    /// Opens it regardless of the count. Returns whether it was closed.
    pub(super) fn trip(&mut self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed if self.policy.failure_threshold == NEVER => false,
            BreakerState::Closed => self.open(now, self.policy.probe_delay),
            _ => self.fail(now),
        }
    }

    fn open(&mut self, now: Instant, delay: Duration) -> bool {
        let was_closed = self.state == BreakerState::Closed;
        self.set_state(BreakerState::Open);
        self.delay = delay;
        // A delay beyond the clock's range: only a reset ends it.
        self.probe_at = Some(now.checked_add(delay).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into())));
        self.opened += u64::from(was_closed);
        was_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn circuit(now: Instant, failures: u32) -> CircuitBreaker {
        let mut circuit = CircuitBreaker::new(Breaker::default());
        for _ in 0..failures {
            circuit.fail(now);
        }
        circuit
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_not_before() {
        let now = Instant::now();
        let mut circuit = circuit(now, 4);
        assert_eq!((circuit.state(), circuit.try_acquire(now)), (BreakerState::Closed, Ok(0)));
        circuit.succeed();
        assert!((0..4).all(|_| !circuit.fail(now)), "a success begins the count anew");
        assert!(circuit.fail(now));
        assert_eq!((circuit.state(), circuit.try_acquire(now)), (BreakerState::Open, Err(now + S)));
    }

    #[test]
    fn one_probe_closes_it_or_opens_it_for_twice_the_delay_up_to_the_cap() {
        let mut now = Instant::now();
        let mut circuit = circuit(now, 5);
        for delay in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuit.try_acquire(now + delay * S - S / 2), Err(now + delay * S));
            now += delay * S;
            assert!(circuit.try_acquire(now).is_ok() && circuit.state() == BreakerState::HalfOpen);
            assert!(!circuit.fail(now), "it was open before");
        }
        assert!(circuit.try_acquire(now + 30 * S).is_ok());
        circuit.succeed();
        assert_eq!((circuit.state(), circuit.opened()), (BreakerState::Closed, 1));
        assert!((0..4).all(|_| !circuit.fail(now)) && circuit.fail(now));
        assert_eq!(circuit.try_acquire(now), Err(now + S), "the delay begins anew");
    }

    #[test]
    fn a_lost_probe_heals() {
        let now = Instant::now();
        let mut circuit = circuit(now, 5);
        let probe = circuit.try_acquire(now + S);
        // The result of that probe was never recorded.
        assert_eq!((circuit.try_acquire(now + S), circuit.state()), (probe, BreakerState::HalfOpen));
    }

    #[test]
    fn a_permanent_error_opens_it_at_once() {
        let now = Instant::now();
        let mut circuit = circuit(now, 0);
        assert!(circuit.trip(now));
        assert_eq!((circuit.state(), circuit.try_acquire(now)), (BreakerState::Open, Err(now + S)));
    }

    #[test]
    fn its_generation_changes_with_its_state_and_with_a_reset() {
        let now = Instant::now();
        let mut circuit = circuit(now, 0);
        let mut seen = vec![circuit.generation()];
        let mut note = |circuit: &CircuitBreaker| seen.push(circuit.generation());
        circuit.succeed();
        circuit.fail(now);
        note(&circuit);
        circuit.trip(now);
        note(&circuit);
        assert!(circuit.try_acquire(now + S).is_ok());
        note(&circuit);
        circuit.succeed();
        note(&circuit);
        circuit.reset();
        note(&circuit);
        assert_eq!(seen, [0, 0, 1, 2, 3, 4]);
    }
}
