//! Anywhere (pure): whether a sink that keeps failing is asked again, and when.

use std::time::Duration;

use tokio::time::Instant;

use crate::stats::labels::BreakerState;

/// When a sink that keeps failing is left alone.
///
/// Closed, every batch is written. After so many failures in a row it opens: batches go to the fallback, if there is
/// one, or wait. After a delay it is half-open: one write is the probe. If that succeeds it closes; if not it opens
/// again for twice the delay, up to a cap. A rejection is no failure: the sink answered. A permanent error opens it at
/// once, as the first timeout does for a sink that outlives timeouts, whose late answer then is the probe.
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
    /// It stays closed whatever happens.
    pub fn never() -> Self {
        Breaker::default().failure_threshold(NEVER)
    }

    /// How many failures in a row open it. Default: 5; 1 or more.
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// How long it stays open before the first probe. Default: 1 s; more than zero.
    pub fn probe_delay(mut self, delay: Duration) -> Self {
        self.probe_delay = delay;
        self
    }

    /// The longest it stays open between probes. Default: 30 s; at least `probe_after`.
    pub fn max_probe_delay(mut self, delay: Duration) -> Self {
        self.max_probe_delay = delay;
        self
    }
}

pub(crate) type BreakerCallback = Box<dyn Fn(BreakerState) + Send + Sync>;

/// A breaker at work.
pub(super) struct Circuit {
    policy: Breaker,
    state: BreakerState,
    /// In a row.
    failure_threshold: u32,
    delay: Duration,
    probe_at: Option<Instant>,
    opened: u64,
}

impl Circuit {
    pub(super) fn new(policy: Breaker) -> Self {
        let delay = policy.probe_delay;
        Circuit { policy, state: BreakerState::Closed, failure_threshold: 0, delay, probe_at: None, opened: 0 }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == BreakerState::Open
    }

    /// Whether the latest writes failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failure_threshold > 0 || self.state != BreakerState::Closed
    }

    /// How often it opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Asks to write: `Ok` to go on (as the probe, if it was open), or when to ask again.
    pub(super) fn ask(&mut self, now: Instant) -> Result<(), Instant> {
        match self.probe_at {
            Some(probe_at) if self.state == BreakerState::Open && now < probe_at => Err(probe_at),
            _ => {
                // A probe that was lost (its write was cancelled, say) is simply made again.
                if self.state == BreakerState::Open {
                    self.state = BreakerState::HalfOpen;
                }
                Ok(())
            }
        }
    }

    /// The sink answered.
    pub(super) fn succeed(&mut self) {
        *self = Circuit { opened: self.opened, ..Circuit::new(self.policy.clone()) };
    }

    /// A write failed. Returns whether that opened it.
    pub(super) fn fail(&mut self, now: Instant) -> bool {
        self.failure_threshold = self.failure_threshold.saturating_add(1);
        match self.state {
            BreakerState::Closed
                if self.failure_threshold < self.policy.failure_threshold || self.policy.failure_threshold == NEVER =>
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

    /// Opens it whatever the count. Returns whether it was closed.
    pub(super) fn trip(&mut self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed if self.policy.failure_threshold == NEVER => false,
            BreakerState::Closed => self.open(now, self.policy.probe_delay),
            _ => self.fail(now),
        }
    }

    fn open(&mut self, now: Instant, delay: Duration) -> bool {
        let was_closed = self.state == BreakerState::Closed;
        self.state = BreakerState::Open;
        self.delay = delay;
        // A delay beyond all time: only `reset` asks again.
        self.probe_at = Some(now.checked_add(delay).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into())));
        self.opened += u64::from(was_closed);
        was_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn circuit(now: Instant, failures: u32) -> Circuit {
        let mut circuit = Circuit::new(Breaker::default());
        for _ in 0..failures {
            circuit.fail(now);
        }
        circuit
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_not_before() {
        let now = Instant::now();
        let mut circuit = circuit(now, 4);
        assert_eq!((circuit.state(), circuit.ask(now)), (BreakerState::Closed, Ok(())));
        circuit.succeed();
        assert!((0..4).all(|_| !circuit.fail(now)), "a success begins the count anew");
        assert!(circuit.fail(now));
        assert_eq!((circuit.state(), circuit.ask(now)), (BreakerState::Open, Err(now + S)));
    }

    #[test]
    fn one_probe_closes_it_or_opens_it_for_twice_the_delay_up_to_the_cap() {
        let mut now = Instant::now();
        let mut circuit = circuit(now, 5);
        for delay in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuit.ask(now + delay * S - S / 2), Err(now + delay * S));
            now += delay * S;
            assert_eq!((circuit.ask(now), circuit.state()), (Ok(()), BreakerState::HalfOpen));
            assert!(!circuit.fail(now), "it was open before");
        }
        assert_eq!(circuit.ask(now + 30 * S), Ok(()));
        circuit.succeed();
        assert_eq!((circuit.state(), circuit.opened()), (BreakerState::Closed, 1));
        assert!((0..4).all(|_| !circuit.fail(now)) && circuit.fail(now));
        assert_eq!(circuit.ask(now), Err(now + S), "the delay begins anew");
    }

    #[test]
    fn a_lost_probe_heals() {
        let now = Instant::now();
        let mut circuit = circuit(now, 5);
        assert_eq!(circuit.ask(now + S), Ok(()));
        // Nobody reported how that probe ended.
        assert_eq!((circuit.ask(now + S), circuit.state()), (Ok(()), BreakerState::HalfOpen));
    }

    #[test]
    fn a_permanent_error_opens_it_at_once() {
        let now = Instant::now();
        let mut circuit = circuit(now, 0);
        assert!(circuit.trip(now));
        assert_eq!((circuit.state(), circuit.ask(now)), (BreakerState::Open, Err(now + S)));
    }
}
