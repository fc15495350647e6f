//! Anywhere (pure): what an answer means for each event of its request.
//!
//! Invariants:
//! * Every event of the request is in exactly one part.
//! * What a destination cannot have said is clamped and reported, whatever it is.

use std::borrow::Cow;
use std::collections::HashSet;

use super::destination::Failure;
use crate::event::{Batch, EventId};
use crate::sink::{Answer, RestVerdict, SinkError, Verdict};

/// The events of a request, by their results.
#[derive(Debug, Default)]
pub(crate) struct Ruling {
    pub(crate) delivered: usize,
    /// Rejected, and it is unknown which of those that are counted as delivered otherwise.
    pub(crate) rejected_unnamed: usize,
    /// Rejected by name.
    pub(crate) rejected: Batch,
    /// To be sent again, with all the rest delivered or under another verdict.
    pub(crate) again: Batch,
    /// Those with the answer's own verdict, which is not that they are delivered.
    pub(crate) others: Batch,
    /// Both of these, oldest first.
    pub(crate) open: Batch,
    /// The `again` ones may have arrived.
    pub(crate) doubts_again: bool,
    /// The `others` may have arrived.
    pub(crate) doubts_others: bool,
    /// Why the first of the rejected ones was rejected.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// What the answer cannot mean.
    pub(crate) fault: Option<String>,
}

impl Ruling {
    pub(crate) fn of(answer: &Answer, batch: &Batch) -> Self {
        let len = batch.len();
        let first = if answer.rest == RestVerdict::Delivered { len } else { answer.delivered_first.min(len) };
        // What a destination refuses, it does not have.
        let is_sent_again = matches!(answer.rest, RestVerdict::Again | RestVerdict::Unusable | RestVerdict::Panicked);
        let (doubts_again, doubts_others) = (answer.maybe_arrived, answer.maybe_arrived && is_sent_again);
        let mut ruling = Ruling { delivered: first, doubts_again, doubts_others, ..Ruling::default() };
        if answer.exceptions.is_empty() {
            if first < len {
                ruling.others = batch.skip(first);
                ruling.open = ruling.others.clone();
            }
        } else {
            ruling.name(answer, batch, first);
        }
        ruling.rejected_unnamed = answer.rejected_unnamed.min(ruling.delivered);
        ruling.delivered -= ruling.rejected_unnamed;
        if answer.rejected_unnamed > ruling.rejected_unnamed {
            let most = ruling.rejected_unnamed;
            ruling.fault = Some(format!("rejected {} events of {most}", answer.rejected_unnamed));
        }
        ruling
    }

    /// Applies the verdicts that name an event; `first` events are delivered otherwise.
    fn name(&mut self, answer: &Answer, batch: &Batch, first: usize) {
        let mut named: Vec<Option<&Verdict>> = vec![None; batch.len()];
        for (index, verdict) in &answer.exceptions {
            match named.get_mut(*index) {
                Some(verdicts @ None) => *verdicts = Some(verdict),
                Some(Some(_)) => self.fault = Some(format!("two verdicts for event {index}")),
                None => self.fault = Some(format!("a verdict for event {index} of {}", batch.len())),
            }
        }
        let (mut rejected, mut again, mut others, mut open) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, verdict) in named.into_iter().enumerate() {
            let part = match verdict {
                Some(Verdict::Delivered) => continue,
                None if index < first => continue,
                Some(Verdict::Rejected(why)) => {
                    self.reason.get_or_insert_with(|| why.clone());
                    rejected.push(index as u32);
                    continue;
                }
                // They have the verdict of the rest.
                Some(Verdict::Again) if answer.rest == RestVerdict::Again => &mut others,
                Some(Verdict::Again) => &mut again,
                None => &mut others,
            };
            part.push(index as u32);
            open.push(index as u32);
        }
        self.delivered = batch.len() - rejected.len() - open.len();
        (self.rejected, self.again, self.others) = (batch.pick(&rejected), batch.pick(&again), batch.pick(&others));
        self.open = batch.pick(&open);
    }

    /// What to report of an answer that has no error of its own.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (rejected, reason) = (self.rejected.len() + self.rejected_unnamed, self.reason.as_deref());
        let all = rejected + self.delivered + self.open.len();
        if rejected > 0 {
            let cause = reason.map(|reason| format!(", the first: {reason}")).unwrap_or_default();
            return Some(Failure::new(SinkError::rejected(format!("{rejected} of {all} events rejected{cause}"))));
        }
        let again = self.again.len();
        (again > 0).then(|| Failure::new(SinkError::temporary(format!("{again} of {all} events not accepted for now"))))
    }

    /// Returns the events of the answer's request that it settles.
    pub(super) fn settled_of(&self, batch: &Batch) -> Batch {
        if self.open.is_empty() && self.rejected.is_empty() {
            return batch.clone();
        }
        let left = self.open.iter().chain(self.rejected.iter());
        let left: HashSet<EventId> = left.map(|record| record.id()).collect();
        let is_settled = |index: &u32| batch.get(*index as usize).is_some_and(|record| !left.contains(&record.id()));
        batch.pick(&(0..batch.len() as u32).filter(is_settled).collect::<Vec<_>>())
    }

    /// Removes the events from `pending` that may have arrived; returns them.
    pub(super) fn take_doubtful(&self, pending: &mut Vec<EventId>) -> Vec<EventId> {
        let parts = [(&self.again, self.doubts_again), (&self.others, self.doubts_others)];
        let doubtful = parts.into_iter().filter(|(_, is_doubtful)| *is_doubtful).flat_map(|(part, _)| part.iter());
        let doubtful: HashSet<EventId> = doubtful.map(|record| record.id()).collect();
        pending.extract_if(.., |id| doubtful.contains(id)).collect()
    }

    /// Removes the events from `pending` that this answer settles as delivered, or rejected without a name; returns how many
    /// those are.
    pub(super) fn settle(&self, pending: &mut Vec<EventId>) -> usize {
        let left = self.open.iter().chain(self.rejected.iter());
        let open: HashSet<EventId> = left.map(|record| record.id()).collect();
        let before = pending.len();
        pending.retain(|id| open.contains(id));
        before - pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Level};
    use crate::sink::SinkError;

    fn batch(events: usize) -> Batch {
        (0..events).map(|n| Event::new(Level::Info, "t", &n.to_string())).collect()
    }

    fn numbers(batch: &Batch) -> Vec<u128> {
        batch.iter().map(|record| record.id().to_u128()).collect()
    }

    fn rejected(why: &'static str) -> Verdict {
        Verdict::Rejected(why.into())
    }

    #[test]
    fn every_event_is_in_one_part() {
        let answer = Answer::delivered()
            .except(4, Verdict::Again)
            .except(1, rejected("second"))
            .except(0, rejected("first"))
            .except(5, Verdict::Delivered);
        let ruling = Ruling::of(&answer, &batch(6));
        assert_eq!((ruling.delivered, ruling.rejected_unnamed, ruling.fault.as_deref()), (3, 0, None));
        assert_eq!((numbers(&ruling.rejected), numbers(&ruling.again)), (vec![0, 1], vec![4]));
        assert_eq!((ruling.others.len(), ruling.reason.as_deref()), (0, Some("first")));
    }

    #[test]
    fn an_exception_comes_before_the_verdict_of_all() {
        let answer = Answer::again("busy").except(1, Verdict::Delivered).except(2, Verdict::Again);
        let ruling = Ruling::of(&answer, &batch(4));
        assert_eq!((ruling.delivered, numbers(&ruling.others), ruling.again.len()), (1, vec![0, 2, 3], 0));
        let answer = Answer::rejected("one of them").except(3, Verdict::Again);
        let ruling = Ruling::of(&answer, &batch(4));
        assert_eq!((numbers(&ruling.others), numbers(&ruling.again)), (vec![0, 1, 2], vec![3]));
    }

    #[test]
    fn a_sinks_error_delivers_the_first_events() {
        let answer = Answer::from(Err(SinkError::temporary("half way").with_delivered(3)));
        let ruling = Ruling::of(&answer, &batch(5));
        assert_eq!((ruling.delivered, numbers(&ruling.others)), (3, vec![3, 4]));
        assert!(ruling.open.len() == 2 && ruling.fault.is_none());
        assert!(Ruling::of(&Answer::from(Ok(())), &batch(5)).open.is_empty());
    }

    #[test]
    fn what_cannot_be_is_clamped_and_reported() {
        let faults = [
            (Answer::delivered().except(0, rejected("a")).except(0, Verdict::Again), 1, "two verdicts for event 0"),
            (Answer::delivered().except(2, rejected("a")), 2, "a verdict for event 2 of 2"),
            (Answer::delivered().rejected_unnamed(5), 0, "rejected 5 events of 2"),
            (Answer::again("busy").rejected_unnamed(1), 0, "rejected 1 events of 0"),
        ];
        for (answer, delivered, fault) in faults {
            let ruling = Ruling::of(&answer, &batch(2));
            assert_eq!((ruling.delivered, ruling.fault.as_deref()), (delivered, Some(fault)));
            let parts = [&ruling.rejected, &ruling.again, &ruling.others].map(Batch::len);
            assert_eq!(ruling.delivered + ruling.rejected_unnamed + parts.iter().sum::<usize>(), 2, "{answer:?}");
        }
    }

    #[test]
    fn unnamed_rejections_are_taken_off_what_is_delivered() {
        let answer = Answer::delivered().except(0, Verdict::Again).rejected_unnamed(2);
        let ruling = Ruling::of(&answer, &batch(4));
        assert_eq!((ruling.delivered, ruling.rejected_unnamed, ruling.again.len()), (1, 2, 1));
    }
}
