//! Anywhere (pure): the remaining events of a batch in delivery, in runs, oldest event first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::action::{Charge, InFlightBatch};
use crate::event::Batch;

/// Single rejections, with nothing delivered before, after which the rest of a batch is rejected as a whole: the sink
/// accepts none of it, and writing each event alone would take as many calls as the batch has events.
const REJECTIONS: u32 = 3;

/// A run of a batch that is written at once.
pub(super) struct Run {
    pub(super) batch: Batch,
    /// The memory of the whole batch; none for a notice.
    pub(super) charge: Option<Arc<Charge>>,
    /// Part of a notice, which no counter of events includes.
    pub(super) is_notice: bool,
    /// A write of it timed out without a result.
    pub(super) may_be_delivered: bool,
    /// A write of it failed before.
    pub(super) is_retry: bool,
}

impl Run {
    pub(super) fn notice(batch: Batch) -> Self {
        Run { is_notice: true, ..Run::new(batch, None) }
    }

    fn new(batch: Batch, charge: Option<Arc<Charge>>) -> Self {
        Run { batch, charge, is_notice: false, may_be_delivered: false, is_retry: false }
    }

    /// The run, for a call that owns it.
    pub(super) fn in_flight(&self) -> InFlightBatch {
        InFlightBatch { batch: self.batch.clone(), charge: self.charge.clone() }
    }

    /// Its events that may have been delivered without confirmation.
    pub(super) fn unconfirmed(&self) -> u64 {
        if self.may_be_delivered { self.events() as u64 } else { 0 }
    }

    /// The number of its events that the counters include.
    pub(super) fn events(&self) -> usize {
        if self.is_notice { 0 } else { self.batch.len() }
    }
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
        let run = Run::new(taken.batch, taken.charge);
        Remainder { runs: VecDeque::from([run]), rejections: 0, any_delivered: false, has_panicked: false }
    }

    pub(super) fn front(&mut self) -> Option<&mut Run> {
        self.runs.front_mut()
    }

    pub(super) fn take_front(&mut self) -> Option<Run> {
        self.runs.pop_front()
    }

    /// Events that may have been delivered without confirmation.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.runs.iter().map(Run::unconfirmed).sum()
    }

    /// The same, without those of the first run.
    pub(super) fn unconfirmed_behind_front(&self) -> u64 {
        self.runs.iter().skip(1).map(Run::unconfirmed).sum()
    }

    /// Removes the first `events` of the first run, which are delivered.
    pub(super) fn delivered(&mut self, events: usize) {
        self.any_delivered |= events > 0;
        if let Some(first) = self.runs.front_mut() {
            first.batch = first.batch.skip(events);
            if first.batch.is_empty() {
                self.runs.pop_front();
            }
        }
    }

    /// Bisects the first run, which was rejected.
    pub(super) fn bisect_front(&mut self) -> BisectStep {
        let Some(first) = self.runs.pop_front() else { return BisectStep::All };
        let len = first.batch.len();
        if len > 1 {
            let (older, newer) = first.batch.split_at(len / 2);
            let Run { charge, may_be_delivered, .. } = first;
            let run = |batch, charge| Run { may_be_delivered, ..Run::new(batch, charge) };
            self.runs.push_front(run(newer, charge.clone()));
            self.runs.push_front(run(older, charge));
            return BisectStep::Halved;
        }
        self.runs.push_front(first);
        self.rejections += 1;
        if self.rejections >= REJECTIONS && !self.any_delivered { BisectStep::All } else { BisectStep::Poison }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};

    fn rest(events: usize) -> Remainder {
        let batch = (0..events).map(|n| Event::new(Level::Info, "t", &n.to_string())).collect();
        Remainder::new(InFlightBatch { batch, charge: None })
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
        rest.delivered(1);
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
        let mut rest = rest(9);
        rest.delivered(1);
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
