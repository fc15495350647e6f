//! Anywhere (pure): the counters of one sink. Every event routed to it is in exactly one of them, or in the backlog.

use std::time::{Duration, SystemTime};

use sketches_ddsketch::{Config, DDSketch};
use tokio::time::Instant;

use super::backlog::BacklogQueue;
use super::breaker::Circuit;
use super::notice::Recovery;
use crate::sink::{SinkError, SinkErrorKind};
use crate::stats::{DropCounts, DropReason, FallbackStats, LastError, SinkStats};

/// The counters of one sink, except the backlog's, which counts its own events.
pub(super) struct Ledger {
    filtered: u64,
    routed: u64,
    delivered: u64,
    /// One for each fallback link.
    links: Vec<LinkBook>,
    dropped: DropCounts,
    in_flight: u64,
    /// Of the events in flight: those in a write that has not returned, or in one that timed out before.
    uncertain: u64,
    unconfirmed: u64,
    maybe_duplicated: u64,
    retries: u64,
    notices: u64,
    bytes: u64,
    errors: [u64; SinkErrorKind::ALL.len()],
    last_error: Option<LastError>,
    /// The kind of error since the last success.
    trouble: Option<SinkErrorKind>,
    latency: DDSketch,
}

/// The start of an outage: the time, and the counters at that time.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    fallback: u64,
    lost: u64,
}

/// One link of the fallback chain.
#[derive(Default)]
struct LinkBook {
    delivered: u64,
    notices: u64,
    errors: u64,
    trouble: Option<SinkErrorKind>,
}

/// What delivered events or wrote a notice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outlet {
    Sink,
    /// This link of the fallback chain.
    Link(usize),
}

/// The final state of events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Delivered,
    /// Delivered by this link of the fallback chain.
    Fallback(usize),
    Dropped(DropReason),
    /// Their write timed out: they may or may not have been delivered.
    Unconfirmed,
}

impl Ledger {
    pub(super) fn new(links: usize) -> Self {
        Ledger {
            filtered: 0,
            routed: 0,
            delivered: 0,
            links: (0..links).map(|_| LinkBook::default()).collect(),
            dropped: DropCounts::default(),
            in_flight: 0,
            uncertain: 0,
            unconfirmed: 0,
            maybe_duplicated: 0,
            retries: 0,
            notices: 0,
            bytes: 0,
            errors: [0; SinkErrorKind::ALL.len()],
            last_error: None,
            trouble: None,
            latency: DDSketch::new(Config::defaults()),
        }
    }

    pub(super) fn routed(&self) -> u64 {
        self.routed
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
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

    pub(super) fn begin(&mut self, events: u64) {
        self.in_flight += events;
    }

    pub(super) fn settle(&mut self, events: u64, fate: Fate) {
        self.in_flight -= events;
        match fate {
            Fate::Delivered => self.delivered += events,
            Fate::Fallback(link) => self.links[link].delivered += events,
            Fate::Dropped(reason) => self.dropped.add(reason, events),
            Fate::Unconfirmed => self.unconfirmed += events,
        }
    }

    /// Moves unconfirmed events back in flight: their late result came.
    pub(super) fn reclaim(&mut self, events: u64) {
        self.unconfirmed -= events;
        self.in_flight += events;
    }

    /// Sets how many of the events in flight may have been delivered, or may be at this moment.
    pub(super) fn set_uncertain(&mut self, events: u64) {
        self.uncertain = events;
    }

    /// Ends all events in flight: those certainly not delivered are dropped, the others are unconfirmed.
    pub(super) fn end_in_flight(&mut self, why: DropReason) {
        let uncertain = self.uncertain.min(self.in_flight);
        self.settle(uncertain, Fate::Unconfirmed);
        self.settle(self.in_flight, Fate::Dropped(why));
        self.uncertain = 0;
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

    fn fallback(&self) -> u64 {
        self.links.iter().map(|book| book.delivered).sum()
    }

    /// Counts written notice lines, which are no events.
    pub(super) fn add_notices(&mut self, by: Outlet, lines: u64) {
        match by {
            Outlet::Sink => self.notices += lines,
            Outlet::Link(link) => self.links[link].notices += lines,
        }
    }

    pub(super) fn succeed(&mut self) {
        self.trouble = None;
    }

    /// The start of an outage that begins now.
    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment { at: now, fallback: self.fallback(), lost: self.dropped.total() }
    }

    /// The outage since then.
    pub(super) fn recovery(&self, since: Moment, now: Instant) -> Recovery {
        Recovery {
            lasted: now - since.at,
            fallback: self.fallback() - since.fallback,
            lost: self.dropped.total() - since.lost,
        }
    }

    /// Records a failed call; returns whether it is a new failure.
    pub(super) fn fail(&mut self, error: &SinkError, at: SystemTime) -> bool {
        self.errors[error.kind() as usize] += 1;
        self.last_error = Some(last_error(error, at));
        self.trouble.replace(error.kind()) != Some(error.kind())
    }

    /// Records a background error.
    pub(super) fn grumble(&mut self, error: &SinkError, at: SystemTime) {
        self.errors[error.kind() as usize] += 1;
        self.last_error = Some(last_error(error, at));
    }

    pub(super) fn link_grumbled(&mut self, link: usize) {
        self.links[link].errors += 1;
    }

    pub(super) fn link_succeeded(&mut self, link: usize) {
        self.links[link].trouble = None;
    }

    /// Records a failed call of a fallback link; returns whether it is a new failure.
    pub(super) fn link_failed(&mut self, link: usize, kind: SinkErrorKind) -> bool {
        let book = &mut self.links[link];
        book.errors += 1;
        book.trouble.replace(kind) != Some(kind)
    }

    pub(super) fn report(&self, name: &str, backlog: &BacklogQueue, circuit: &Circuit) -> SinkStats {
        let quantile = |q| self.latency.quantile(q).ok().flatten().map(Duration::from_secs_f64);
        let links = self.links.iter().enumerate().map(|(index, book)| FallbackStats {
            name: format!("{name}/{}", index + 1),
            delivered: book.delivered,
            notices: book.notices,
            errors: book.errors,
        });
        SinkStats {
            name: name.into(),
            filtered: self.filtered,
            routed: self.routed,
            delivered: self.delivered,
            delivered_by_fallback: self.fallback(),
            fallbacks: links.collect(),
            dropped: self.dropped,
            backlog: backlog.events(),
            backlog_bytes: backlog.pinned() as u64,
            in_flight: self.in_flight,
            unconfirmed: self.unconfirmed,
            maybe_duplicated: self.maybe_duplicated,
            retries: self.retries,
            notices: self.notices,
            written_bytes: self.bytes,
            errors: self.errors.iter().sum(),
            errors_by_kind: self.errors,
            last_error: self.last_error.clone(),
            breaker: circuit.state(),
            breaker_opened: circuit.opened(),
            write_p50: quantile(0.5),
            write_p95: quantile(0.95),
            write_p99: quantile(0.99),
        }
    }
}

pub(super) fn last_error(error: &SinkError, at: SystemTime) -> LastError {
    LastError { kind: error.kind(), message: crate::format::plain::CauseChain(error).to_string(), at }
}
