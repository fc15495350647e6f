//! Anywhere (pure): the book of one sink. Every event routed to it is in exactly one account.

use std::time::{Duration, SystemTime};

use sketches_ddsketch::{Config, DDSketch};

use super::backlog::BacklogQueue;
use crate::sink::{ErrorKind, SinkError};
use crate::stats::{DropReason, Drops, LastError, SinkReport};

/// The accounts of one sink, less the backlog's, which counts itself.
pub(super) struct Ledger {
    filtered: u64,
    routed: u64,
    delivered: u64,
    dropped: Drops,
    in_flight: u64,
    unconfirmed: u64,
    bytes: u64,
    errors: [u64; ErrorKind::ALL.len()],
    last_error: Option<LastError>,
    /// Of what kind the trouble is that the sink has not come out of yet.
    trouble: Option<ErrorKind>,
    latency: DDSketch,
}

/// Where the events of an attempt stand when its outcome is booked.
#[derive(Clone, Copy)]
pub(super) enum From {
    InFlight,
    /// The attempt was given up; this is its late answer.
    Unconfirmed,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Ledger {
            filtered: 0,
            routed: 0,
            delivered: 0,
            dropped: Drops::default(),
            in_flight: 0,
            unconfirmed: 0,
            bytes: 0,
            errors: [0; ErrorKind::ALL.len()],
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

    /// A batch was handed out: some of its events are this sink's, some are not.
    pub(super) fn route(&mut self, routed: u64, filtered: u64) {
        self.routed += routed;
        self.filtered += filtered;
    }

    /// Events leave the backlog, or never enter it, for this reason.
    pub(super) fn drop_waiting(&mut self, reason: DropReason, events: u64) {
        self.dropped.add(reason, events);
    }

    pub(super) fn begin(&mut self, events: u64) {
        self.in_flight += events;
    }

    pub(super) fn deliver(&mut self, from: From, events: u64) {
        self.leave(from, events);
        self.delivered += events;
    }

    pub(super) fn drop_attempted(&mut self, from: From, reason: DropReason, events: u64) {
        self.leave(from, events);
        self.dropped.add(reason, events);
    }

    pub(super) fn give_up(&mut self, events: u64) {
        self.leave(From::InFlight, events);
        self.unconfirmed += events;
    }

    fn leave(&mut self, from: From, events: u64) {
        match from {
            From::InFlight => self.in_flight -= events,
            From::Unconfirmed => self.unconfirmed -= events,
        }
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

    pub(super) fn succeed(&mut self) {
        self.trouble = None;
    }

    /// Notes a failed call; returns whether it is news.
    pub(super) fn fail(&mut self, error: &SinkError, at: SystemTime) -> bool {
        self.errors[error.kind() as usize] += 1;
        self.last_error = Some(last_error(error, at));
        self.trouble.replace(error.kind()) != Some(error.kind())
    }

    pub(super) fn report(&self, name: &str, backlog: &BacklogQueue) -> SinkReport {
        let quantile = |q| self.latency.quantile(q).ok().flatten().map(Duration::from_secs_f64);
        SinkReport {
            name: name.into(),
            filtered: self.filtered,
            routed: self.routed,
            delivered: self.delivered,
            fallback: 0,
            dropped: self.dropped,
            backlog: backlog.events(),
            backlog_bytes: backlog.pinned() as u64,
            in_flight: self.in_flight,
            unconfirmed: self.unconfirmed,
            bytes: self.bytes,
            errors: self.errors.iter().sum(),
            errors_by_kind: self.errors,
            last_error: self.last_error.clone(),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

pub(super) fn last_error(error: &SinkError, at: SystemTime) -> LastError {
    LastError { kind: error.kind(), message: crate::diagnostics::Chain(error).to_string(), at }
}
