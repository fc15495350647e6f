//! Answers with a result for each event.

use logweir::sink::{Answer, SinkErrorKind, Verdict};

use super::link::{Said, ScriptedError};
use super::program::{Named, Outcome, Rest, ms};

impl Named {
    /// The event's own result, if it has one.
    fn verdict(&self, id: u64) -> Option<Verdict> {
        let drawn = (self.seed ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        match drawn {
            0 => Some(Verdict::Delivered),
            1 => Some(Verdict::Again),
            2 => Some(Verdict::Rejected("scripted".into())),
            _ => None,
        }
    }

    pub(super) fn say(self, events: &[u64]) -> Said {
        let of = |verdict: &dyn Fn(Option<Verdict>) -> bool| -> Vec<u64> {
            events.iter().copied().filter(|id| verdict(self.verdict(*id))).collect()
        };
        let taken = of(&|verdict| match verdict {
            Some(verdict) => verdict == Verdict::Delivered,
            None => self.rest == Rest::Delivered,
        });
        let rejected = of(&|verdict| match verdict {
            Some(verdict) => matches!(verdict, Verdict::Rejected(_)),
            None => self.rest == Rest::Whole,
        });
        let unnamed = self.unnamed.min(taken.len()) as u64;
        let is_again = events.len() > taken.len() + rejected.len();
        let error = match self.rest {
            Rest::Again => Some(SinkErrorKind::Temporary),
            Rest::Unusable => Some(SinkErrorKind::Permanent),
            Rest::Whole => Some(SinkErrorKind::Rejected),
            Rest::Delivered if rejected.len() as u64 + unnamed > 0 => Some(SinkErrorKind::Rejected),
            Rest::Delivered => is_again.then_some(SinkErrorKind::Temporary),
        };
        let is_faulty = self.is_faulty || self.unnamed > taken.len();
        let outcome = Outcome::Named(self);
        Said { outcome, taken, unnamed, rejected, error, maybe_arrived: self.maybe_arrived, is_faulty }
    }

    pub(super) fn answer(self, events: &[u64], error: impl Fn(&'static str) -> ScriptedError) -> Answer {
        let mut answer = match self.rest {
            Rest::Delivered => Answer::delivered(),
            Rest::Again => Answer::again(error("busy")),
            Rest::Unusable => Answer::unusable(error("401")),
            Rest::Whole => Answer::rejected(error("400")).whole(),
        };
        // In any order.
        for (index, id) in events.iter().enumerate().rev() {
            if let Some(verdict) = self.verdict(*id) {
                answer = answer.except(index, verdict);
            }
        }
        if self.is_faulty {
            answer = answer.except(events.len(), Verdict::Again);
        }
        if self.maybe_arrived {
            answer = answer.maybe_arrived();
        }
        if let Some(after) = self.retry_after {
            answer = answer.retry_after(ms(after));
        }
        answer.rejected_unnamed(self.unnamed)
    }
}
