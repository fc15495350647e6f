//! A service thread: how long a connection of the endpoint may stay open, and which one gives way to another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// From the beginning of a request to its last byte. A scraper sends it at once, in one packet.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the last byte of its answer. The default of Prometheus for a whole scrape.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// From an answer to the next request. Between the usual intervals of scrapes: a close meets no request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const MAX_LIFETIME: Duration = Duration::from_secs(60);
/// From this age on, an answer is the last one: a scraper reconnects before its lifetime ends.
const LAST_ANSWER_AGE: Duration = Duration::from_secs(30);
/// Keeps a client that pipelines requests from taking the time of the others.
const ANSWER_INTERVAL: Duration = Duration::from_millis(10);
/// How long a new connection may take for its first request and answer before it gives way to another: a few time
/// slices of a busy machine.
const GRACE: Duration = Duration::from_millis(100);
/// How often a connection is checked for its timeout.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The rest of a request.
    Request,
    /// The client reads the answer.
    Answer,
    /// The first byte of the next request.
    Idle,
}

impl Phase {
    fn timeout(self) -> Duration {
        match self {
            Phase::Request => REQUEST_TIMEOUT,
            Phase::Answer => ANSWER_TIMEOUT,
            Phase::Idle => IDLE_TIMEOUT,
        }
    }
}

/// What a connection does, written by its stream and its requests.
pub(super) struct Activity {
    opened: Instant,
    // A std lock: held to set a few fields.
    state: Mutex<ActivityState>,
    /// Notified when the connection may give way to another.
    replaceable: Arc<Notify>,
}

struct ActivityState {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    last_byte: Instant,
    next_answer: Instant,
    /// A part of the answer was written.
    is_written: bool,
    is_replaceable: bool,
}

impl Activity {
    pub(super) fn new(replaceable: Arc<Notify>) -> Arc<Self> {
        let now = Instant::now();
        let state = ActivityState {
            phase: Phase::Request,
            since: now,
            last_byte: now,
            next_answer: now,
            is_written: false,
            is_replaceable: false,
        };
        Arc::new(Activity { opened: now, state: Mutex::new(state), replaceable })
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes arrived.
    pub(super) fn read(&self) {
        let mut state = self.state();
        state.last_byte = Instant::now();
        if state.phase == Phase::Idle {
            state.enter(Phase::Request);
        }
    }

    /// The system took bytes of the answer.
    pub(super) fn written(&self) {
        let mut state = self.state();
        state.last_byte = Instant::now();
        state.is_written = true;
    }

    /// The system has taken all bytes so far.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.phase == Phase::Answer && state.is_written {
            state.enter(Phase::Idle);
            self.set_replaceable(&mut state);
        }
    }

    fn set_replaceable(&self, state: &mut ActivityState) {
        if !state.is_replaceable {
            state.is_replaceable = true;
            self.replaceable.notify_one();
        }
    }

    /// A request is complete. Returns when to answer it.
    pub(super) fn requested(&self) -> Instant {
        let mut state = self.state();
        state.enter(Phase::Answer);
        state.is_written = false;
        let when = state.next_answer.max(state.since);
        state.next_answer = when + ANSWER_INTERVAL;
        when
    }

    /// Returns whether this answer must be the connection's last.
    pub(super) fn is_last_answer(&self) -> bool {
        self.opened.elapsed() >= LAST_ANSWER_AGE
    }

    fn deadline(&self) -> Instant {
        let state = self.state();
        (state.since + state.phase.timeout()).min(self.opened + MAX_LIFETIME)
    }

    /// Waits until the connection has exceeded a limit. Poll the connection first: bytes that have arrived are read before
    /// their time is over.
    pub(super) async fn expired(&self) {
        // A timer and not the age: a thread that did not run has read nothing meanwhile.
        sleep_until(self.opened + GRACE).await;
        self.set_replaceable(&mut self.state());
        loop {
            let (deadline, now) = (self.deadline(), Instant::now());
            if deadline <= now {
                return;
            }
            // The next phase may have an earlier deadline.
            sleep_until(deadline.min(now + CHECK_INTERVAL)).await;
        }
    }
}

impl ActivityState {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

/// Returns the position of the connection that gives way to another one: of those that may, the one that has been idle
/// longest.
pub(super) fn longest_idle<'a>(open: impl Iterator<Item = &'a Activity>) -> Option<usize> {
    let last_byte = |activity: &Activity| {
        let state = activity.state();
        state.is_replaceable.then_some(state.last_byte)
    };
    let replaceable = open.enumerate().filter_map(|(position, activity)| Some((position, last_byte(activity)?)));
    replaceable.min_by_key(|(_, last_byte)| *last_byte).map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    async fn expires_within(activity: &Activity, time: Duration) -> bool {
        timeout(time, activity.expired()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_of_a_connection_has_its_timeout() {
        let activity = Activity::new(Arc::default());
        assert!(!expires_within(&activity, REQUEST_TIMEOUT - Duration::from_millis(1)).await);
        // More bytes of the same request win no time.
        activity.read();
        assert!(expires_within(&activity, Duration::from_millis(2)).await);

        let activity = Activity::new(Arc::default());
        activity.requested();
        activity.written();
        assert!(!expires_within(&activity, ANSWER_TIMEOUT - Duration::from_millis(1)).await);
        // Nor does a part of the answer.
        activity.written();
        assert!(expires_within(&activity, Duration::from_millis(2)).await);

        let activity = Activity::new(Arc::default());
        activity.requested();
        activity.written();
        activity.flushed();
        assert!(!expires_within(&activity, Duration::from_secs(44)).await);
        // From the first byte on, it is a request again.
        activity.read();
        assert!(!expires_within(&activity, Duration::from_secs(4)).await);
        assert!(expires_within(&activity, Duration::from_secs(2)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_always_active_ends_with_its_lifetime_after_its_last_answer() {
        let activity = Activity::new(Arc::default());
        for second in 0..60 {
            assert_eq!(activity.is_last_answer(), second >= 30, "after {second} s");
            activity.read();
            activity.requested();
            activity.written();
            activity.flushed();
            assert!(!expires_within(&activity, Duration::from_millis(999)).await, "after {second} s");
            advance(Duration::from_millis(1)).await;
        }
        assert!(expires_within(&activity, Duration::ZERO).await);
    }

    #[tokio::test(start_paused = true)]
    async fn pipelined_requests_are_answered_one_each_10_ms() {
        let activity = Activity::new(Arc::default());
        let start = Instant::now();
        let waits: Vec<_> = (0..4).map(|_| activity.requested() - start).collect();
        assert_eq!(waits, [0, 10, 20, 30].map(Duration::from_millis));
        advance(Duration::from_secs(1)).await;
        assert_eq!(activity.requested(), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_been_idle_longest_gives_way_and_new_ones_have_a_grace() {
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(Activity::new(Arc::default()));
            advance(Duration::from_millis(10)).await;
        }
        let victim = || longest_idle(open.iter().map(|activity| &**activity));
        assert_eq!(victim(), None);
        open[1].requested();
        open[1].written();
        open[1].flushed();
        assert_eq!(victim(), Some(1), "it has its answer");
        advance(GRACE).await;
        assert_eq!(victim(), Some(1), "the others were not polled in their time");
        assert!(!expires_within(&open[0], Duration::ZERO).await && !expires_within(&open[2], Duration::ZERO).await);
        assert_eq!(victim(), Some(0));
        open[0].read();
        assert_eq!(victim(), Some(2));
    }
}
