//! A sink task: what the sink does not take goes to the fallbacks, in their order; late results settle it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt;

use super::action::FallbackAction;
use super::destination::{Attempt, Failure, delivered_of};
use super::ledger::Outcome;
use super::remainder::{Remainder, Run};
use super::task::SinkTask;
use crate::event::Batch;
use crate::stats::DropReason;

/// Events counted as unconfirmed that late results of these fallbacks may still settle.
pub(super) struct PendingConfirmation {
    fallbacks: Vec<usize>,
    /// How many: the last ones of each fallback's write.
    events: usize,
    /// Writes of them that have not returned, or never will.
    open_attempts: usize,
    /// The reason for the drop if no fallback delivered them.
    reason: DropReason,
}

impl SinkTask {
    /// Whether a fallback is available, that is, has no late call.
    pub(super) fn has_available_fallback(&self) -> bool {
        self.destinations[1..].iter().any(|fallback| !fallback.is_late())
    }

    fn available_fallbacks(&self) -> Vec<usize> {
        (1..self.destinations.len()).filter(|index| !self.destinations[*index].is_late()).collect()
    }

    /// Sends all that is left of a batch to the fallbacks.
    pub(super) async fn fall_back(&mut self, rest: &mut Remainder, reason: DropReason) {
        while let Some(run) = rest.take_front() {
            self.deliver_by_fallback(run, rest.unconfirmed(), reason).await;
        }
    }

    /// Has the first available fallback deliver a run. If none can, the loss is counted once: for this reason, or as
    /// unconfirmed if a write of the run timed out. `behind` are the unconfirmed events in flight besides the run.
    pub(super) async fn deliver_by_fallback(&mut self, mut run: Run, behind: u64, reason: DropReason) {
        self.collect_late_results();
        // Writes of it that timed out, and the fallbacks whose late result may still come.
        let (mut open_attempts, mut late) = (usize::from(run.may_be_delivered), Vec::new());
        for index in self.available_fallbacks() {
            let delivered = match self.attempt(index, &mut run, behind).await {
                Attempt::Returned(result) => delivered_of(&result, run.batch.len()),
                Attempt::TimedOut { is_late, .. } => {
                    open_attempts += 1;
                    late.extend(is_late.then_some(index));
                    0
                }
            };
            run.batch = run.batch.skip(delivered);
            self.handle.settle(delivered, Outcome::Delivered(index), behind + run.unconfirmed());
            if run.batch.is_empty() {
                return;
            }
        }
        let outcome = if open_attempts > 0 { Outcome::Unconfirmed } else { Outcome::Dropped(reason) };
        self.handle.settle(run.batch.len(), outcome, behind);
        if !late.is_empty() {
            let events = run.batch.len();
            self.confirmations.push(PendingConfirmation { fallbacks: late, events, open_attempts, reason });
        }
    }

    /// Has the first available fallback write a notice; returns which did.
    pub(super) async fn write_notice_to_fallback(&mut self, lines: &Batch) -> Option<usize> {
        self.collect_late_results();
        for index in self.available_fallbacks() {
            if let Attempt::Returned(Ok(())) = self.attempt(index, &mut Run::notice(lines.clone()), 0).await {
                return Some(index);
            }
        }
        None
    }

    /// Waits for the late result of a call of the sink itself. Meanwhile, new batches go to the fallbacks. The events of
    /// that call do not: it may still deliver them.
    pub(super) async fn divert_until_late_result(&mut self) -> Result<(), Failure> {
        let handle = self.handle.clone();
        loop {
            // If every fallback is busy, new batches wait, as they would if there were none.
            let can_divert = self.has_available_fallback();
            let action = tokio::select! {
                biased;
                (index, len, result) = self.next_late_result(0) => match index {
                    0 => return result,
                    _ => {
                        self.record_late_result(index, len, &result);
                        continue;
                    }
                },
                action = handle.next_fallback_action(), if can_divert => action,
            };
            match action {
                FallbackAction::Write(taken) => {
                    self.fall_back(&mut Remainder::new(taken), DropReason::BreakerOpen).await;
                }
                FallbackAction::Notify(notice) => {
                    let by = self.write_notice_to_fallback(&notice.batch).await;
                    handle.record_notice(&notice, by);
                }
            }
        }
    }
}

/// Results after a timeout.
impl SinkTask {
    /// Records the next late result of a fallback; never returns if none is late. Cancel-safe.
    pub(super) async fn late_fallback_result(&mut self) {
        let (index, len, result) = self.next_late_result(1).await;
        self.record_late_result(index, len, &result);
    }

    /// Waits for the next late result of a destination from this one on. Cancel-safe.
    async fn next_late_result(&mut self, first: usize) -> (usize, usize, Result<(), Failure>) {
        poll_fn(|cx| {
            for (index, destination) in self.destinations.iter_mut().enumerate().skip(first) {
                if let Poll::Ready((len, result)) = pin!(destination.late_result()).poll_unpin(cx) {
                    return Poll::Ready((index, len, result));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Records the late results that are available.
    fn collect_late_results(&mut self) {
        while self.late_fallback_result().now_or_never().is_some() {}
    }

    /// Waits until this fallback's late call returns, if it has one.
    pub(super) async fn late_result_of(&mut self, index: usize) {
        if self.destinations[index].is_late() {
            let (len, result) = self.destinations[index].late_result().await;
            self.record_late_result(index, len, &result);
        }
    }

    fn record_late_result(&mut self, index: usize, len: usize, result: &Result<(), Failure>) {
        self.handle.record_result(index, result);
        self.collect_aside(index);
        // Without a pending confirmation, another fallback delivered them all.
        let Some(at) = self.confirmations.iter().position(|pending| pending.fallbacks.contains(&index)) else { return };
        let pending = &mut self.confirmations[at];
        // Another fallback may have delivered the first of them.
        let delivered = delivered_of(result, len).saturating_sub(len - pending.events);
        self.handle.settle_late(delivered, Outcome::Delivered(index));
        pending.events -= delivered;
        pending.open_attempts -= 1;
        pending.fallbacks.retain(|fallback| *fallback != index);
        if pending.open_attempts == 0 {
            self.handle.settle_late(pending.events, Outcome::Dropped(pending.reason));
        }
        if pending.fallbacks.is_empty() {
            self.confirmations.swap_remove(at);
        }
    }
}
