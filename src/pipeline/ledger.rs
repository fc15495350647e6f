//! Anywhere (pure): the counters of one sink. Every event routed to it, or recovered, is in exactly one of them, or in the
//! backlog.

use std::time::Duration;

use sketches_ddsketch::{Config, DDSketch};
use tokio::time::Instant;

use super::destination::Failure;
use super::notice::Outage;
use super::state::SinkState;
use crate::sink::SinkErrorKind;
use crate::stats::{DropCounts, DropReason, FallbackStats, LastError, SinkStats};

/// The counters of one sink, except the backlog's, which counts its own events.
pub(super) struct Ledger {
    filtered: u64,
    routed: u64,
    /// The sink's own, then one for each fallback.
    destinations: Vec<DestinationCounts>,
    dropped: DropCounts,
    in_flight: u64,
    /// Of the events in flight: those in a write that has not returned, or in one that timed out before.
    uncertain: u64,
    /// The same of a batch that waits for a late result, while others go to the fallbacks.
    waiting_uncertain: u64,
    unconfirmed: u64,
    /// Taken over from earlier processes.
    recovered: u64,
    /// Appended to the spool and not settled.
    spooled: u64,
    /// Of these: in a request.
    requested: u64,
    maybe_duplicated: u64,
    retries: u64,
    bytes: u64,
    errors_by_kind: [u64; SinkErrorKind::ALL.len()],
    last_error: Option<LastError>,
    latency: DDSketch,
}

/// What one destination did.
#[derive(Clone, Default)]
struct DestinationCounts {
    delivered: u64,
    notices: u64,
    errors: u64,
    /// The kind of error since the last success.
    failing_with: Option<SinkErrorKind>,
}

/// The start of an outage: the time, and the counters at that time.
#[derive(Clone, Copy)]
pub(super) struct OutageStart {
    at: Instant,
    fallback: u64,
    lost: u64,
}

/// The final state of events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// Delivered by this destination.
    Delivered(usize),
    Dropped(DropReason),
    /// Their write timed out: they may or may not have been delivered.
    Unconfirmed,
}

/// Events that were not delivered for certain, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Losses {
    pub(super) lost: u64,
    pub(super) unconfirmed: u64,
}

/// The losses of a sink at one moment.
pub(crate) struct SinkLosses(pub(super) Losses);

impl Ledger {
    pub(super) fn new(destinations: usize) -> Self {
        Ledger {
            filtered: 0,
            routed: 0,
            destinations: vec![DestinationCounts::default(); destinations],
            dropped: DropCounts::default(),
            in_flight: 0,
            uncertain: 0,
            waiting_uncertain: 0,
            unconfirmed: 0,
            recovered: 0,
            spooled: 0,
            requested: 0,
            maybe_duplicated: 0,
            retries: 0,
            bytes: 0,
            errors_by_kind: [0; SinkErrorKind::ALL.len()],
            last_error: None,
            latency: DDSketch::new(Config::defaults()),
        }
    }

    pub(super) fn routed(&self) -> u64 {
        self.routed
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight + self.requested
    }

    /// Whether a request is under way, and the spool has all of its events.
    pub(super) fn has_only_spooled_in_flight(&self) -> bool {
        self.in_flight == 0 && self.requested > 0
    }

    pub(super) fn spooled(&self) -> u64 {
        self.spooled
    }

    /// Counts a dispatched batch: events for this sink, and events its filter excludes.
    pub(super) fn route(&mut self, routed: u64, filtered: u64) {
        self.routed += routed;
        self.filtered += filtered;
    }

    /// Counts events that leave the backlog, or never enter it, for this reason.
    pub(super) fn drop_waiting(&mut self, reason: DropReason, events: u64) {
        self.dropped.add(reason, events);
    }

    pub(super) fn start(&mut self, events: u64) {
        self.in_flight += events;
    }

    /// Counts what earlier processes left in the spool.
    pub(super) fn recover(&mut self, events: u64) {
        self.recovered += events;
        self.spooled += events;
    }

    /// Counts events that are appended to the spool, of those that waited.
    pub(super) fn spool(&mut self, events: u64) {
        self.spooled += events;
    }

    /// Counts events that leave the spool undelivered.
    pub(super) fn drop_spooled(&mut self, reason: DropReason, events: u64) {
        self.spooled -= events;
        self.dropped.add(reason, events);
    }

    /// Counts events that waited, and may have been appended to the spool.
    pub(super) fn lose_sight(&mut self, events: u64) {
        self.unconfirmed += events;
    }

    /// Sets how many of the spooled events are in a request.
    pub(super) fn set_requested(&mut self, events: u64) {
        self.requested = events;
    }

    /// Settles events of the spool, after a request.
    pub(super) fn settle_spooled(&mut self, events: u64, outcome: Outcome) {
        self.requested = 0;
        self.spooled -= events;
        self.count(events, outcome);
    }

    pub(super) fn settle(&mut self, events: u64, outcome: Outcome) {
        self.in_flight -= events;
        self.count(events, outcome);
    }

    fn count(&mut self, events: u64, outcome: Outcome) {
        match outcome {
            Outcome::Delivered(destination) => self.destinations[destination].delivered += events,
            Outcome::Dropped(reason) => self.dropped.add(reason, events),
            Outcome::Unconfirmed => self.unconfirmed += events,
        }
    }

    /// Moves unconfirmed events back in flight: their late result came.
    pub(super) fn unsettle(&mut self, events: u64) {
        self.unconfirmed -= events;
        self.in_flight += events;
    }

    /// Sets how many of the events in flight may have been delivered, or may be at this moment.
    pub(super) fn set_uncertain(&mut self, events: u64) {
        self.uncertain = events;
    }

    /// Sets how many events of a batch that waits for a late result, and are not in that request, may have been delivered.
    pub(super) fn set_waiting_uncertain(&mut self, events: u64) {
        self.waiting_uncertain = events;
    }

    /// Ends all events in flight: those certainly not delivered are dropped, the others are unconfirmed.
    pub(super) fn end_in_flight(&mut self, why: DropReason) {
        let uncertain = (self.uncertain + self.waiting_uncertain).min(self.in_flight);
        self.settle(uncertain, Outcome::Unconfirmed);
        self.settle(self.in_flight, Outcome::Dropped(why));
        (self.uncertain, self.waiting_uncertain, self.requested) = (0, 0, 0);
    }

    pub(super) fn add_retry(&mut self) {
        self.retries += 1;
    }

    pub(super) fn add_maybe_duplicated(&mut self, events: u64) {
        self.maybe_duplicated += events;
    }

    pub(super) fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    pub(super) fn add_latency(&mut self, latency: Duration) {
        self.latency.add(latency.as_secs_f64());
    }

    pub(super) fn reset_latency(&mut self) {
        self.latency = DDSketch::new(Config::defaults());
    }

    pub(super) fn dropped(&self) -> DropCounts {
        self.dropped
    }

    pub(super) fn losses(&self) -> Losses {
        Losses { lost: self.dropped.total(), unconfirmed: self.unconfirmed }
    }

    fn delivered_by_fallbacks(&self) -> u64 {
        self.destinations[1..].iter().map(|counts| counts.delivered).sum()
    }

    /// Counts written notice lines, which are no events.
    pub(super) fn add_notices(&mut self, destination: usize, lines: u64) {
        self.destinations[destination].notices += lines;
    }

    /// The start of an outage that begins now.
    pub(super) fn outage_start(&self, now: Instant) -> OutageStart {
        OutageStart { at: now, fallback: self.delivered_by_fallbacks(), lost: self.dropped.total() }
    }

    /// The outage since then.
    pub(super) fn outage(&self, since: OutageStart, now: Instant) -> Outage {
        Outage {
            lasted: now - since.at,
            fallback: self.delivered_by_fallbacks() - since.fallback,
            lost: self.dropped.total() - since.lost,
        }
    }

    /// Records a success of this destination.
    pub(super) fn record_success(&mut self, destination: usize) {
        self.destinations[destination].failing_with = None;
    }

    /// Records a failed call of this destination; returns whether it is a new failure.
    pub(super) fn record_error(&mut self, destination: usize, failure: &Failure) -> bool {
        self.record_background_error(destination, failure);
        self.destinations[destination].failing_with.replace(failure.kind()) != Some(failure.kind())
    }

    /// Records an error that failed no call.
    pub(super) fn record_background_error(&mut self, destination: usize, failure: &Failure) {
        self.destinations[destination].errors += 1;
        if destination == 0 {
            self.errors_by_kind[failure.kind() as usize] += 1;
            self.last_error = Some(failure.text.clone());
        }
    }

    pub(super) fn stats(&self, name: &str, state: &SinkState) -> SinkStats {
        let SinkState { backlog, breaker, .. } = state;
        let quantile = |q| self.latency.quantile(q).ok().flatten().map(Duration::from_secs_f64);
        let own = &self.destinations[0];
        let fallbacks = self.destinations[1..].iter().enumerate().map(|(index, counts)| FallbackStats {
            name: format!("{name}/{}", index + 1),
            delivered: counts.delivered,
            notices: counts.notices,
            errors: counts.errors,
        });
        SinkStats {
            name: name.into(),
            filtered: self.filtered,
            routed: self.routed,
            delivered: own.delivered,
            delivered_by_fallback: self.delivered_by_fallbacks(),
            fallbacks: fallbacks.collect(),
            dropped: self.dropped,
            backlog: state.waiting_before(u64::MAX),
            backlog_bytes: backlog.pinned() as u64,
            spooled: self.spooled - self.requested,
            recovered: self.recovered,
            spool_bytes: 0,
            spool_age: None,
            spool_bypassed: state.spool.as_ref().map_or(0, |spool| spool.bypassed()),
            in_flight: self.in_flight + self.requested,
            unconfirmed: self.unconfirmed,
            maybe_duplicated: self.maybe_duplicated,
            retries: self.retries,
            notices: own.notices,
            written_bytes: self.bytes,
            errors: own.errors,
            errors_by_kind: self.errors_by_kind,
            last_error: self.last_error.clone(),
            breaker: breaker.state(),
            breaker_opened: breaker.opened(),
            write_p50: quantile(0.5),
            write_p95: quantile(0.95),
            write_p99: quantile(0.99),
        }
    }
}
