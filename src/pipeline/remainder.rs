//! Anywhere (pure): the remaining events of a batch in delivery, in runs, oldest event first.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::action::{BatchSource, Charge, InFlightBatch};
use super::destination::{Encoding, Parcel};
use crate::event::Batch;
use crate::sink::Request;

/// Single rejections, with nothing delivered before, after which the rest of a batch is rejected as a whole: the sink
/// accepts none of it, and writing each event alone would take as many calls as the batch has events.
const REJECTIONS: u32 = 3;

/// A run of a batch that is sent at once.
pub(super) struct Run {
    pub(super) batch: Batch,
    /// The memory of the whole batch; none for a notice.
    pub(super) charge: Option<Arc<Charge>>,
    /// Part of a notice, which no counter of events includes.
    pub(super) is_notice: bool,
    pub(super) source: BatchSource,
    /// Since when it may have been delivered: the start of its first request without a certain answer.
    pub(super) uncertain_since: Option<Instant>,
    /// When its last request began.
    pub(super) sent_at: Option<Instant>,
    /// A request with it failed before.
    pub(super) is_retry: bool,
    /// Its request, once encoded.
    pub(super) body: Option<Vec<u8>>,
    /// In how many requests its events were.
    attempts: u32,
}

impl Run {
    pub(super) fn new(taken: InFlightBatch) -> Self {
        let InFlightBatch { batch, charge, source } = taken;
        Run {
            batch,
            charge,
            is_notice: false,
            source,
            uncertain_since: None,
            sent_at: None,
            is_retry: false,
            body: None,
            attempts: 0,
        }
    }

    pub(super) fn notice(batch: Batch) -> Self {
        Run { is_notice: true, ..Run::new(InFlightBatch { batch, charge: None, source: BatchSource::Memory }) }
    }

    /// Events of the same run as another one, not encoded.
    pub(super) fn with_batch(&self, batch: Batch) -> Self {
        let Run { is_notice, source, uncertain_since, sent_at, is_retry, attempts, .. } = *self;
        let taken = InFlightBatch { batch, charge: self.charge.clone(), source };
        Run { is_notice, uncertain_since, sent_at, is_retry, attempts, ..Run::new(taken) }
    }

    /// Whether its events were in a request.
    pub(super) fn was_sent(&self) -> bool {
        self.attempts > 0
    }

    /// Counts an attempt that ended before the request was sent.
    pub(super) fn set_sent(&mut self) {
        self.attempts += 1;
    }

    /// Records that its last request may have arrived.
    pub(super) fn set_uncertain(&mut self) {
        self.uncertain_since = self.uncertain_since.or(self.sent_at);
    }

    /// Its events that may have been delivered without confirmation, if nothing has them but the memory.
    pub(super) fn unconfirmed(&self) -> u64 {
        let is_unconfirmed = self.uncertain_since.is_some() && !self.is_spooled();
        if is_unconfirmed { self.events() as u64 } else { 0 }
    }

    /// Whether its events are in the spool.
    pub(super) fn is_spooled(&self) -> bool {
        self.source.is_spooled()
    }

    /// The number of its events that the counters include.
    pub(super) fn events(&self) -> usize {
        if self.is_notice { 0 } else { self.batch.len() }
    }

    /// Makes this encoding the run's, and cuts the run to its events; returns the others.
    pub(super) fn cut(&mut self, encoding: Encoding) -> CutOff {
        let Encoding { events, refused, body, .. } = encoding;
        let (front, behind) = match events < self.batch.len() {
            true => self.batch.split_at(events),
            false => (self.batch.clone(), Batch::default()),
        };
        self.body = Some(body);
        if refused.is_empty() {
            self.batch = front;
            return CutOff { behind: self.with_batch(behind), refused: self.with_batch(Batch::default()) };
        }
        let is_kept = |index: &u32| refused.binary_search(index).is_err();
        self.batch = front.pick(&(0..front.len() as u32).filter(is_kept).collect::<Vec<_>>());
        CutOff { behind: self.with_batch(behind), refused: self.with_batch(front.pick(&refused)) }
    }

    /// Makes its request, for one more attempt; [`Run::reclaim`] is to follow.
    pub(super) fn next_attempt(&mut self) -> Arc<Parcel> {
        self.attempts += 1;
        let body = self.body.take().unwrap_or_default();
        let request = Request { batch: self.batch.clone(), body, attempt: self.attempts };
        Arc::new(Parcel { request, _charge: self.charge.clone() })
    }

    /// Takes the body back after an attempt, unless a late call has it.
    pub(super) fn reclaim(&mut self, parcel: Arc<Parcel>) {
        self.body = Arc::into_inner(parcel).map(|parcel| parcel.request.body);
    }
}

/// What an encoded request leaves of its run.
pub(super) struct CutOff {
    /// The events behind it.
    pub(super) behind: Run,
    /// The events that no request can have.
    pub(super) refused: Run,
}

/// The runs of one batch that are not settled.
pub(super) struct Remainder {
    runs: VecDeque<Run>,
    rejections: u32,
    any_delivered: bool,
    /// A panic counts once per batch, however many writes it takes to find the event that causes it.
    pub(super) has_panicked: bool,
}

/// What follows a rejection of the first run.
#[derive(Debug, PartialEq)]
pub(super) enum BisectStep {
    /// The run is halved: the sink gets each half.
    Halved,
    /// The run is one event: the bad one.
    Poison,
    /// The whole batch is rejected.
    All,
}

impl Remainder {
    pub(super) fn new(taken: InFlightBatch) -> Self {
        let runs = VecDeque::from([Run::new(taken)]);
        Remainder { runs, rejections: 0, any_delivered: false, has_panicked: false }
    }

    /// Whether its events are in the spool.
    pub(super) fn is_spooled(&self) -> bool {
        self.runs.front().is_some_and(Run::is_spooled)
    }

    /// Leaves its events to the spool, where they are.
    pub(super) fn put_back(&mut self) {
        self.runs.clear();
    }

    pub(super) fn front(&mut self) -> Option<&mut Run> {
        self.runs.front_mut()
    }

    pub(super) fn take_front(&mut self) -> Option<Run> {
        self.runs.pop_front()
    }

    /// Takes the first run, if its events were in a request.
    pub(super) fn take_sent(&mut self) -> Option<Run> {
        self.runs.front().is_some_and(Run::was_sent).then(|| self.runs.pop_front())?
    }

    /// Begins with events that were in no request.
    pub(super) fn begin_request(&mut self) {
        (self.rejections, self.any_delivered, self.has_panicked) = (0, false, false);
    }

    /// Puts a run before the others, unless it has no event.
    pub(super) fn put_front(&mut self, run: Run) {
        if !run.batch.is_empty() {
            self.runs.push_front(run);
        }
    }

    /// Events that may have been delivered without confirmation.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.runs.iter().map(Run::unconfirmed).sum()
    }

    /// Records that some of its events were delivered.
    pub(super) fn record_delivered(&mut self, events: usize) {
        self.any_delivered |= events > 0;
    }

    /// Bisects the first run, which was rejected.
    pub(super) fn bisect_front(&mut self) -> BisectStep {
        if self.halve_front() {
            return BisectStep::Halved;
        }
        self.rejections += 1;
        if self.rejections >= REJECTIONS && !self.any_delivered { BisectStep::All } else { BisectStep::Poison }
    }

    /// Halves the first run, unless it is one event.
    pub(super) fn halve_front(&mut self) -> bool {
        let Some(mut first) = self.runs.pop_front() else { return false };
        let len = first.batch.len();
        if len < 2 {
            self.runs.push_front(first);
            return false;
        }
        first.is_retry = false;
        let (older, newer) = first.batch.split_at(len / 2);
        self.runs.push_front(first.with_batch(newer));
        self.runs.push_front(first.with_batch(older));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};

    fn rest(events: usize) -> Remainder {
        let batch = (0..events).map(|n| Event::new(Level::Info, "t", &n.to_string())).collect();
        Remainder::new(InFlightBatch { batch, charge: None, source: BatchSource::Memory })
    }

    fn first(rest: &mut Remainder) -> Vec<String> {
        let batch = rest.front().map(|run| run.batch.clone());
        batch.iter().flat_map(Batch::iter).map(|record| record.message().to_string()).collect()
    }

    #[test]
    fn a_rejected_run_is_halved_down_to_one_event_oldest_first() {
        let mut rest = rest(5);
        assert_eq!(rest.bisect_front(), BisectStep::Halved);
        assert_eq!(first(&mut rest), ["0", "1"]);
        assert_eq!(rest.bisect_front(), BisectStep::Halved);
        assert_eq!((first(&mut rest), rest.bisect_front()), (vec!["0".into()], BisectStep::Poison));
        drop(rest.take_front());
        // The second is delivered.
        drop(rest.take_front());
        rest.record_delivered(1);
        assert_eq!(first(&mut rest), ["2", "3", "4"]);
    }

    #[test]
    fn three_single_rejections_with_nothing_delivered_reject_the_rest() {
        let mut rest = rest(8);
        let mut singles = 0;
        loop {
            match rest.bisect_front() {
                BisectStep::Halved => {}
                BisectStep::Poison => drop(rest.take_front().inspect(|_| singles += 1)),
                BisectStep::All => break,
            }
        }
        assert_eq!(
            (singles, std::iter::from_fn(|| rest.take_front()).map(|run| run.batch.len()).sum::<usize>()),
            (2, 6)
        );
    }

    #[test]
    fn a_batch_of_which_something_was_delivered_is_searched_to_its_end() {
        let mut rest = rest(8);
        rest.record_delivered(1);
        let mut singles = 0;
        while rest.front().is_some() {
            match rest.bisect_front() {
                BisectStep::Halved => {}
                BisectStep::Poison => drop(rest.take_front().inspect(|_| singles += 1)),
                BisectStep::All => panic!("something was delivered"),
            }
        }
        assert_eq!(singles, 8);
    }
}
